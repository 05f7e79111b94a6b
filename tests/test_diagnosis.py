"""Findings: faults planted at a known layer and step are found there, and healthy trainings have none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_layerview import LayerReader, LayerWriter, cli
from tb_layerview.diagnosis import Finding, diagnose
from tb_layerview.evidence import Evidence
from tb_layerview.model import Model, Tensor
from tb_layerview.record import SUMMARIES
from tb_layerview.rules import RULES, with_thresholds
from tb_layerview.run import Run
from tb_layerview.watch import Watch

Arrays = dict[str, dict[str, np.ndarray]]
KINDS = ("activation", "weight", "gradient", "update")


def findings(logdir: Path, name: str = ".") -> tuple[Finding, ...]:
    return diagnose(Evidence.of(LayerReader(logdir).run(name)))


def write_dense_layers(folder: Path, steps: int, spoil: Callable[[int, Arrays], None]) -> None:
    """Three dense layers `a`, `b`, `c`, all healthy; `spoil(step, arrays by kind and layer)` plants a fault."""
    with LayerWriter(folder) as writer:
        for step in range(steps):
            random = np.random.default_rng(step)
            arrays = {
                kind: {layer: scale * random.normal(size=(16, 20)) for layer in "abc"}
                for kind, scale in (("activation", 1.0), ("weight", 0.3), ("gradient", 1e-2), ("update", 3e-4))
            }
            spoil(step, arrays)
            for kind in KINDS:
                writer.write(step, arrays[kind], kind=kind)


def healthy(step: int, arrays: Arrays) -> None:
    """Plants nothing."""


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    write_dense_layers(tmp_path, 60, healthy)
    assert findings(tmp_path) == ()


def seen_step_by_step(run: Run) -> list[str]:
    """What `Watch` finds in a run, in the order in which it finds it."""
    place = {layer.path: i for i, layer in enumerate(run.layers)}
    tensors = [Tensor(place[t.layer], t.kind, t.name, t.shape, t.dtype, t.call, t.axes) for t in run.tensors]
    watch = Watch(Model(run.layers, tuple(tensors)))
    found = []
    for step in run.steps.tolist():
        column = run.steps.tolist().index(step)
        summaries = np.array([run.statistics(name)[:, column] for name in SUMMARIES], np.float32)
        found += watch.see(step, {t.index: run.digest(t, step) for t in run.tensors}, {}, summaries)
    return [finding.words for finding in found]


@pytest.mark.parametrize(
    ("rule", "kind", "spoilt", "patience"),
    [
        ("non_finite", "activation", lambda a: np.where(np.arange(20) == 3, np.nan, a), 1),
        ("silent_layer", "activation", lambda a: 0 * a, 3),
        ("silent_units", "activation", lambda a: np.where(np.arange(20) == 3, a, 0), 10),
        ("constant_output", "activation", lambda a: 0 * a + 0.5, 5),
        ("zero_gradient", "gradient", lambda a: 0 * a, 5),
        ("vanishing_gradient", "gradient", lambda a: 1e-8 * a, 10),
        ("gradient_spike", "gradient", lambda a: 1e4 * a, 1),
        ("unmoved_weight", "update", lambda a: 0 * a, 10),
        ("update_ratio", "update", lambda a: 2e3 * a, 10),
    ],
)
def test_a_rule_names_the_layer_and_the_step_from_which_on_it_holds(
    rule: str, kind: str, spoilt: Callable[[np.ndarray], np.ndarray], patience: int, tmp_path: Path
) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        if step >= 25:
            arrays[kind]["b"] = spoilt(arrays[kind]["b"])

    # One step fewer than it takes, and there is nothing yet.
    write_dense_layers(tmp_path / "short", 25 + patience - 1, plant)
    assert findings(tmp_path, "short") == ()
    write_dense_layers(tmp_path / "long", 40, plant)
    (found,) = [f for f in findings(tmp_path, "long") if f.rule == rule]
    assert seen_step_by_step(LayerReader(tmp_path).run("long"))[:1] == [found.words]
    assert found.tensor is not None
    assert (found.tensor.layer, found.tensor.kind) == ("b", kind)
    assert (found.before, found.first) == (24, 25)


def test_a_course_says_at_every_step_what_diagnose_says_of_the_first(tmp_path: Path) -> None:
    sizes = np.where(np.arange(40) < 25, 1.0, 1e-8)

    def plant(step: int, arrays: Arrays) -> None:
        arrays["gradient"]["b"] = sizes[step] * arrays["gradient"]["b"]

    write_dense_layers(tmp_path / "run", 40, plant)
    run = LayerReader(tmp_path).run("run")
    evidence = Evidence.of(run)
    rms = run.statistics("rms")
    own = [t.index for t in run.tensors if t.kind == "gradient" and len(t.shape) > 1 and not t.name.startswith("bias")]
    for finding in diagnose(evidence):
        assert finding.tensor is not None
        (rule,) = [rule for rule in RULES if rule.name == finding.rule]
        course = rule.course(evidence, finding.tensor.index, range(40))
        at = run.steps.tolist().index(finding.first)
        assert {course.name: course.values[at]}.items() <= dict(finding.measured).items()
        assert len(course.values) == 40 and set(map(len, course.compared.values())) <= {40}
    (vanishing,) = [rule for rule in RULES if rule.name == "vanishing_gradient"]
    tensor = run.tensor("b", kind="gradient").index
    course = vanishing.course(evidence, tensor, range(40))
    np.testing.assert_allclose(course.values, rms[tensor])
    np.testing.assert_allclose(course.compared["largest"], rms[own].max(axis=0))
    np.testing.assert_allclose(course.compared["threshold"], 1e-6 * rms[own].max(axis=0))
    (spike,) = [rule for rule in RULES if rule.name == "gradient_spike"]
    before = spike.course(evidence, tensor, [3, 30]).compared["before"]
    np.testing.assert_allclose(before, [rms[tensor, :3].max(), rms[tensor, :30].max()])


def test_every_rule_has_been_planted() -> None:
    (mark,) = [
        m for m in test_a_rule_names_the_layer_and_the_step_from_which_on_it_holds.pytestmark if m.name == "parametrize"
    ]
    assert {values[0] for values in mark.args[1]} | {"collapsed_attention"} == {rule.name for rule in RULES}


def test_attention_on_one_position_is_told_from_attention_on_many(tmp_path: Path) -> None:
    uniform = np.full((2, 4, 6, 6), 1 / 6)
    one_hot = np.zeros((2, 4, 6, 6))
    one_hot[..., 2] = 1
    with LayerWriter(tmp_path) as writer:
        for step in range(12):
            writer.write(step, {"attention": one_hot if step >= 4 else uniform}, kind="activation", name="scores")
    (found,) = [f for f in findings(tmp_path) if f.rule == "collapsed_attention"]
    assert (found.before, found.first) == (3, 4)
    assert found.measured["positions"] == pytest.approx(1)


def train(folder: Path, layers: list[Any], steps: int, optimizer: Any, y: np.ndarray | None = None) -> None:
    """Trains on a small problem of two features, every step logged."""
    import tensorflow as tf

    import tb_layerview as lv

    tf.keras.utils.set_random_seed(3)
    x = np.random.default_rng(0).normal(size=(256, 2)).astype(np.float32)
    labels = (x[:, 0] * x[:, 1] > 0).astype(np.float32)[:, None] if y is None else y
    model = tf.keras.Sequential([tf.keras.Input((2,)), *layers])
    model.compile(optimizer, "mse")
    model.fit(
        x, labels, batch_size=32, epochs=-(-steps // 8), verbose=0, callbacks=[lv.LayerViewCallback(folder, schedule=1)]
    )


class Weak:
    """Keras, imported when it is first needed."""

    def __getattr__(self, name: str) -> Any:
        tf = pytest.importorskip("tensorflow")
        return getattr(tf.keras, name)


keras = Weak()


def test_a_logarithm_of_zero_is_traced_to_its_layer(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    dense = keras.layers.Dense
    layers = [
        dense(16, activation="relu", name="features"),
        keras.layers.Lambda(tf.math.log, name="log"),
        dense(1, name="score"),
    ]
    train(tmp_path, layers, 8, "sgd")
    lead, *others = findings(tmp_path)
    assert lead.rule == "non_finite" and lead.first == 0
    assert lead.tensor is not None and lead.tensor.layer == "log"
    run = LayerReader(tmp_path).run()
    given = run.values(run.tensor("features", kind="activation"), 0).array
    assert lead.measured["neg_inf"] == np.count_nonzero(given == 0)
    assert "'features'" in lead.words and "finite" in lead.words
    assert others and all(f.follows == 0 for f in others)


def test_weights_that_a_batch_broke_are_not_blamed_on_a_layer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = keras.layers.Dense
    y = np.zeros((256, 1), np.float32)
    y[100] = np.inf  # in the fourth batch of 32, and not in the probe
    tf = pytest.importorskip("tensorflow")
    import tb_layerview as lv

    tf.keras.utils.set_random_seed(3)
    x = np.random.default_rng(0).normal(size=(256, 2)).astype(np.float32)
    model = keras.Sequential([keras.Input((2,)), dense(8, activation="tanh", name="one"), dense(1, name="two")])
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=32, shuffle=False, verbose=0, callbacks=[lv.LayerViewCallback(tmp_path, schedule=1)])
    (told,) = [record.getMessage() for record in caplog.records if "not finite" in record.getMessage()]
    assert "since step 4" in told and "2 of 2 layers" in told
    assert "errors, see above" in capsys.readouterr().out
    lead, *others = findings(tmp_path)
    assert (lead.rule, lead.tensor, lead.before, lead.first) == ("non_finite", None, 3, 4)
    assert "2 of 2 layers" in lead.words
    assert all(f.follows == 0 for f in others)


def test_relus_with_biases_far_below_zero_are_silent_from_the_first_step(tmp_path: Path) -> None:
    dense = keras.layers.Dense
    layers = [
        dense(16, activation="relu", name="one"),
        dense(16, activation="relu", bias_initializer=keras.initializers.Constant(-50.0), name="two"),
        dense(1, name="three"),
    ]
    train(tmp_path, layers, 24, "sgd")
    found = findings(tmp_path)
    assert (found[0].rule, found[0].first) == ("silent_layer", 0)
    assert found[0].tensor is not None and found[0].tensor.layer == "two"
    followers = {f.tensor.layer for f in found[1:] if f.tensor is not None and f.follows == 0}
    assert {"one", "two"} <= followers  # their gradients are zero


def test_a_deep_stack_of_sigmoids_lets_its_first_layers_gradients_vanish(tmp_path: Path) -> None:
    dense = keras.layers.Dense
    layers = [dense(8, activation="sigmoid", name=f"dense_{i}") for i in range(20)] + [dense(1, name="score")]
    train(tmp_path, layers, 24, "sgd")
    layers_found = [f.tensor.layer for f in findings(tmp_path) if f.rule == "vanishing_gradient" and f.tensor]
    assert {"dense_0", "dense_1", "dense_2"} <= set(layers_found)
    assert not {"dense_18", "dense_19", "score"} & set(layers_found)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_nothing_is_found_in_healthy_trainings(activation: str, optimizer: str, tmp_path: Path) -> None:
    dense = keras.layers.Dense
    train(tmp_path, [dense(32, activation=activation), dense(32, activation=activation), dense(1)], 64, optimizer)
    assert findings(tmp_path) == ()


def test_the_command_prints_what_went_wrong_and_ends_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        if step >= 25:
            arrays["activation"]["b"][0, 0] = np.inf

    write_dense_layers(tmp_path / "good", 30, healthy)
    assert cli.main(["check", str(tmp_path)]) == 0
    assert "good: nothing found in 12 tensors at 30 steps" in capsys.readouterr().out
    write_dense_layers(tmp_path / "bad", 30, plant)
    assert cli.main(["check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "bad: 1 error" in out and "since step 25: activation 'output' of layer 'b' holds 1 +inf among its 320" in out
    assert cli.main(["check", "--json", str(tmp_path)]) == 1
    (data,) = json.loads(capsys.readouterr().out)
    assert (data["run"], data["rule"], data["first"], data["tensor"]["layer"]) == ("bad", "non_finite", 25, "b")
    assert cli.main(["check", str(tmp_path / "nowhere")]) == 2


def test_what_is_over_explains_nothing_that_comes_later(tmp_path: Path) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        if step == 10:
            arrays["activation"]["a"][0, 0] = np.nan
        if step >= 20:
            arrays["activation"]["b"][0, 0] = np.nan
        if step >= 22:
            arrays["activation"]["c"][0, 0] = np.nan

    write_dense_layers(tmp_path, 30, plant)
    found = [(f.tensor.layer, f.first, f.last, f.follows) for f in findings(tmp_path) if f.tensor is not None]
    assert found == [("a", 10, 10, None), ("b", 20, 29, None), ("c", 22, 29, 1)]


def test_thresholds_can_be_moved_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        arrays["gradient"]["b"] *= 1e-4

    write_dense_layers(tmp_path, 20, plant)
    evidence = Evidence.of(LayerReader(tmp_path).run())
    assert diagnose(evidence) == ()
    (found,) = diagnose(evidence, with_thresholds({"vanishing_gradient.ratio": 1e-3}))
    assert found.tensor is not None and found.tensor.layer == "b"
    assert (
        diagnose(evidence, with_thresholds({"vanishing_gradient.ratio": 1e-3, "vanishing_gradient.patience": 21})) == ()
    )
    for name, value, words in (
        ("vanishing_gradient.ratios", 1.0, "there is no threshold 'vanishing_gradient.ratios'; there are"),
        ("nothing.ratio", 1.0, "there is no threshold 'nothing.ratio'"),
        ("vanishing_gradient.ratio", float("nan"), "must be a number from 0 on, not nan"),
        ("vanishing_gradient.patience", 0.0, "must be a whole number from 1 on, not 0.0"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            with_thresholds({name: value})
