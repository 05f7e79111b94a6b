"""Findings: faults planted at a known layer and step are found there, and healthy trainings have none."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_layerview import Check, LayerReader, LayerViewCallback, LayerWriter
from tb_layerview.commands import cli
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.statistics import SUMMARIES, Digest
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.finding import Finding, headline
from tb_layerview.health.of_run import evidence_of
from tb_layerview.health.rules.catalogue import RULES, with_thresholds
from tb_layerview.health.rules.growth import times
from tb_layerview.health.watch import Watch
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.reading.run import Run
from tb_layerview.writing import log_files
from tb_layerview.writing.alarms import Alarms

# The rules are the same on both stacks; that they get the same columns there is in tests/health/diagnosis.
pytestmark = pytest.mark.once

Arrays = dict[str, dict[str, np.ndarray]]
KINDS = ("activation", "weight", "gradient", "update")


def findings(logdir: Path, name: str = ".", goes_on: bool = False) -> tuple[Finding, ...]:
    """What is found in a log; if it `goes_on`, as it was before anybody could know that it ends there."""
    evidence = evidence_of(LayerReader(logdir).run(name))
    found = diagnose(dataclasses.replace(evidence, ended=evidence.ended and not goes_on))
    assert all(len(headline(finding).split()) <= 12 for finding in found)
    return found


def write_dense_layers(folder: Path, steps: int, spoil: Callable[[int, Arrays], None]) -> None:
    """Three dense layers `a`, `b`, `c`, all healthy; `spoil(step, arrays by kind and layer)` plants a fault."""
    with LayerWriter(folder) as writer:
        for step in range(steps):
            random = np.random.default_rng(step)
            arrays = {
                kind: {layer: scale * random.normal(size=(16, 20)) for layer in "abc"}
                for kind, scale in (("activation", 1.0), ("weight", 0.3), ("gradient", 1e-2), ("update", 3e-4))
            }
            arrays["activation"] = {layer: np.tanh(array) for layer, array in arrays["activation"].items()}
            spoil(step, arrays)
            for kind in KINDS:
                writer.write(step, arrays[kind], kind=kind, function="tanh" if kind == "activation" else "")


def healthy(step: int, arrays: Arrays) -> None:
    """Plants nothing."""


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    write_dense_layers(tmp_path, 60, healthy)
    assert findings(tmp_path) == ()


def model_of(run: Run) -> Model:
    place = {layer.path: i for i, layer in enumerate(run.layers)}
    tensors = [
        Tensor(place[t.layer], t.kind, t.name, t.shape, t.dtype, t.call, t.axes, t.function) for t in run.tensors
    ]
    return Model(run.layers, tuple(tensors))


def as_logged(run: Run) -> Iterator[tuple[int, dict[int, Digest], np.ndarray]]:
    """Each step with its digests and summaries."""
    for column, step in enumerate(run.steps.tolist()):
        summaries = np.array([run.statistics(name)[:, column] for name in SUMMARIES], np.float32)
        yield step, {t.index: run.digest(t, step) for t in run.tensors}, summaries


def seen_step_by_step(run: Run) -> list[str]:
    """What `Watch` finds in a run, in the order in which it finds it."""
    watch = Watch(model_of(run))
    return [f.words for step, digests, summaries in as_logged(run) for f in watch.see(step, digests, {}, summaries)]


#: What plants a fault of each rule that dense layers can have.
PLANTED: list[tuple[str, str, Callable[[np.ndarray], np.ndarray], int]] = [
    ("non_finite", "activation", lambda a: np.where(np.arange(20) == 3, np.nan, a), 1),
    ("silent_layer", "activation", lambda a: 0 * a, 3),
    ("silent_units", "activation", lambda a: np.where(np.arange(20) == 3, a, 0), 10),
    ("dead_units", "activation update", lambda a: np.where(np.arange(20) < 8, a, 0), 10),
    ("alike_units", "activation", lambda a: a[..., np.arange(20) % 15], 5),
    ("constant_output", "activation", lambda a: 0 * a + 0.5, 5),
    ("collapsed_representation", "activation", lambda a: a[:1] + 1e-5 * a, 5),
    ("collapsed_representation", "activation", lambda a: np.round(8 * a[:1]) / 8 + 0 * a, 5),  # has no rank
    ("saturated_activation", "activation", lambda a: np.where(a > 0, 1, -1) * (1 - 1e-4 * np.abs(a)), 10),
    ("zero_gradient", "gradient", lambda a: 0 * a, 5),
    ("vanishing_gradient", "gradient", lambda a: 1e-8 * a, 10),
    ("fading_gradient", "gradient", lambda a: 3e-6 * a, 10),
    ("gradient_spike", "gradient", lambda a: 1e4 * a, 1),
    ("unmoved_weight", "update", lambda a: 0 * a, 10),
    ("update_ratio", "update", lambda a: 2e3 * a, 10),
    ("update_spike", "update", lambda a: 5e3 * a, 1),  # what is written here are other weights at each step
    ("small_update", "update", lambda a: 1e-6 * a, 20),
]


#: What each of them is called, as a reader of the field's textbooks would.
HEADLINES = {
    "non_finite": "NaN in 'b'",
    "silent_layer": "'b' is dead: all its elements are zero",
    "silent_units": "95 % of the units of 'b' are silent",
    "dead_units": "60 % of the units of 'b' are dead",
    "alike_units": "25 % of the units of 'b' are duplicates",
    "constant_output": "'b' is the same everywhere",
    "collapsed_representation": "'b' is the same for all examples (collapsed)",
    "saturated_activation": "'b' is saturated in 100 % of its elements",
    "zero_gradient": "Kernel gradient of 'b' is exactly zero",
    "vanishing_gradient": "Kernel gradient of 'b' vanishes: 10⁸ times below others",
    "fading_gradient": "Kernel gradient of 'b' fades while others stay",
    "gradient_spike": "Kernel gradient of 'b' jumps: 8,600 times larger",
    "unmoved_weight": "Kernel update of 'b' is zero",
    "update_ratio": "Kernel update of 'b' is too large: 186 %",
    "update_spike": "Kernel update of 'b' jumps: 29 times larger",
    "small_update": "Kernel update of 'b' hardly moves the weight",
}


@pytest.mark.parametrize(("rule", "kinds", "spoilt", "patience"), PLANTED)
def test_a_rule_names_the_layer_and_the_step_from_which_on_it_holds(
    rule: str, kinds: str, spoilt: Callable[[np.ndarray], np.ndarray], patience: int, tmp_path: Path
) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        if step >= 25:
            for kind in kinds.split():
                arrays[kind]["b"] = spoilt(arrays[kind]["b"])

    # One step fewer than it takes, and there is nothing yet; but what is ten times too large has also jumped.
    at_once = ["update_spike"] * (rule == "update_ratio")
    write_dense_layers(tmp_path / "short", 25 + patience - 1, plant)
    assert [f.rule for f in findings(tmp_path, "short", goes_on=True)] == at_once
    write_dense_layers(tmp_path / "long", 30 + patience, plant)
    (found,) = [f for f in findings(tmp_path, "long") if f.rule == rule]
    assert seen_step_by_step(LayerReader(tmp_path).run("long"))[len(at_once)] == found.words
    assert found.tensor is not None
    assert (found.tensor.layer, found.tensor.kind) == ("b", kinds.split()[0])
    assert (found.before, found.first) == (24, 25)
    assert all(np.isfinite(value) for value in found.measured.values())
    assert headline(found) == f"{HEADLINES[rule]} since step 25"


def test_a_course_says_at_every_step_what_diagnose_says_of_the_first(tmp_path: Path) -> None:
    sizes = np.where(np.arange(40) < 25, 1.0, 1e-8)

    def plant(step: int, arrays: Arrays) -> None:
        arrays["gradient"]["b"] = sizes[step] * arrays["gradient"]["b"]

    write_dense_layers(tmp_path / "run", 40, plant)
    run = LayerReader(tmp_path).run("run")
    evidence = evidence_of(run)
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


def test_a_window_tells_of_each_rule_what_the_whole_log_tells(tmp_path: Path) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        if step >= 40:
            arrays["gradient"]["c"] *= 1.3 ** (step - 39)  # explodes, little by little
        if 12 <= step < 16 or step >= 60:
            arrays["update"]["c"] *= 1e-6
        for i, (_, kinds, spoilt, _) in enumerate(PLANTED):
            if step % len(PLANTED) == i or step >= 80:
                layer = "ab"[i % 2]
                for kind in kinds.split():
                    arrays[kind][layer] = spoilt(arrays[kind][layer])

    write_dense_layers(tmp_path / "mixed", 100, plant)
    for rule, kinds, spoilt, _ in PLANTED:

        def one(step: int, arrays: Arrays, kinds: str = kinds, spoilt: Any = spoilt) -> None:
            for kind in kinds.split() if step >= 25 else ():
                arrays[kind]["b"] = spoilt(arrays[kind]["b"])

        write_dense_layers(tmp_path / rule, 60, one)
    reader, compared = LayerReader(tmp_path), set()
    for name in ("mixed", *(rule for rule, *_ in PLANTED)):
        evidence = evidence_of(reader.run(name))
        first = {(f.rule, f.tensor.index): f for f in diagnose(evidence) if f.tensor is not None}
        for rule in RULES:
            held = rule.holds(evidence)
            windows = evidence.windows(rule.lookback, range(len(evidence.steps)))
            as_known = np.column_stack([rule.holds(window)[:, -1] for window in windows])
            np.testing.assert_array_equal(as_known, held, err_msg=rule.name)
            compared |= {rule.name} if held.any() else set()
            for tensor in np.flatnonzero(held.any(axis=1)):
                finding = first.get((rule.name, int(tensor)))
                if finding is not None:
                    at = evidence.steps.tolist().index(finding.first)
                    course = rule.course(evidence, int(tensor), [at])
                    assert course.values[0] == finding.measured[course.name]
    assert compared >= {rule for rule, *_ in PLANTED} | {"exploding_gradient"}


def test_every_rule_has_been_planted() -> None:
    elsewhere = {"depth_scale", "exploding_gradient", "collapsed_attention", "uniform_attention", "alike_heads"}
    elsewhere |= {"train_inference_shift"}  # tests/capture/keras/test_keras_modes.py
    assert {rule for rule, *_ in PLANTED} | elsewhere == {rule.name for rule in RULES}


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("rule", "spoilt", "patience"),
    [
        # Head 1 alone: the others still look at several positions.
        ("collapsed_attention", lambda z: np.where(np.arange(4)[:, None, None] == 1, 1e3 * z, z), 5),
        ("uniform_attention", lambda z: 1e-5 * z, 10),
        ("alike_heads", lambda z: z[:, :1] + 1e-3 * z, 10),
    ],
)
def test_attention_that_makes_no_sense_is_found_in_each_of_its_three_ways(
    rule: str, spoilt: Callable[[np.ndarray], np.ndarray], patience: int, tmp_path: Path
) -> None:
    onset = 100 if rule == "uniform_attention" else 20
    with LayerWriter(tmp_path) as writer:
        for step in range(onset + patience):
            logits = np.random.default_rng(step).normal(size=(3, 4, 8, 8))
            # Attention that is even at first, as in a young transformer, is no finding; and all is causal.
            logits *= 1e-4 if step < 15 else 1
            logits = np.where(np.tril(np.ones((8, 8))), spoilt(logits) if step >= onset else logits, -1e9)
            writer.write(step, {"attention": softmax(logits)}, kind="activation", name="scores")
            if step == onset + patience - 2:
                assert findings(tmp_path) == ()
    (found,) = findings(tmp_path)
    assert (found.rule, found.before, found.first) == (rule, onset - 1, onset)
    assert seen_step_by_step(LayerReader(tmp_path).run()) == [found.words]


def test_a_scale_that_runs_away_with_depth_is_named_where_it_has_done_so_three_times(tmp_path: Path) -> None:
    def write(folder: Path, factor: float, steps: int = 6) -> None:
        with LayerWriter(folder) as writer:
            for step in range(steps):
                random = np.random.default_rng(step)
                for i in range(6):
                    writer.write(step, {f"dense_{i}": factor**i * random.normal(size=(16, 20))})
                    writer.write(step, {f"dense_{i}": random.normal(size=(20, 20))}, kind="weight")

    for name, factor in (("grows", 4.0), ("shrinks", 1 / 15)):
        write(tmp_path / name, factor)
        found = findings(tmp_path, name)
        assert [(f.rule, f.tensor.layer, f.first) for f in found if f.tensor] == [
            ("depth_scale", f"dense_{i}", 0) for i in (3, 4, 5)
        ]
        assert seen_step_by_step(LayerReader(tmp_path).run(name)) == [f.words for f in found]
        assert ("larger" if factor > 1 else "smaller") in found[0].words
    for name, factor in (("residual", 2.0), ("stacked LSTMs", 0.2)):
        write(tmp_path / name, factor)
        assert findings(tmp_path, name) == ()


def test_what_grows_a_little_in_each_of_many_layers_is_named_where_it_is_too_much(tmp_path: Path) -> None:
    def write(folder: Path, forward: float, backward: float, layers: int = 24) -> None:
        with LayerWriter(folder) as writer:
            for step in range(5):
                random = np.random.default_rng(step)
                for i in range(layers):
                    name = f"dense_{i:02}"
                    writer.write(step, {name: forward**i * random.normal(size=(16, 20))})
                    writer.write(step, {name: random.normal(size=(20, 20))}, kind="weight")
                    gradient = backward ** (layers - 1 - i) * random.normal(size=(20, 20))
                    writer.write(step, {name: gradient}, kind="gradient")

    for name, forward, backward, rule, layers, named in (
        ("sums", 1.8, 1.0, "depth_scale", 24, 1 + int(np.log(1e4) / np.log(1.8))),
        ("gradients", 1.0, 1.7, "exploding_gradient", 24, 23 - 1 - int(np.log(1e3) / np.log(1.7))),
    ):
        write(tmp_path / name, forward, backward, layers)
        found = findings(tmp_path, name)
        assert {f.rule for f in found} == {rule} and {f.first for f in found} == {0}
        places = [int(f.tensor.layer.removeprefix("dense_")) for f in found if f.tensor]
        # From there on, the worst of them last; the noise of a layer may shift it by one.
        assert places == (list(range(places[0], 24)) if name == "sums" else list(range(places[0], -1, -1)))
        assert abs(places[0] - named) <= 1
        assert set(seen_step_by_step(LayerReader(tmp_path).run(name))) == {f.words for f in found}
    write(tmp_path / "few", 1.8, 1.7, 12)
    assert findings(tmp_path, "few") == ()


@pytest.mark.parametrize("dead", [0.0, np.inf])
def test_what_grows_behind_a_layer_that_gives_nothing_is_compared_with_what_it_has_grown_from(
    tmp_path: Path, dead: float
) -> None:
    """Such a layer need not break the training: connections lead around it."""
    layers, begin = 28, 5

    def size(place: int, factor: float) -> float:
        """Smaller before the layer that gives nothing than after it, where it grows from 1."""
        return 0.1 if place < begin - 1 else dead if place == begin - 1 else factor ** (place - begin)

    with LayerWriter(tmp_path) as writer:
        for step in range(5):
            for i in range(layers):
                name = f"dense_{i:02}"
                kernel = np.random.default_rng(i).normal(size=(20, 20))
                writer.write(step, {name: np.full((16, 20), size(i, 1.8))})
                writer.write(step, {name: kernel}, kind="weight")
                writer.write(step, {name: np.full((20, 20), size(layers - 1 - i, 1.7))}, kind="gradient")
    found = findings(tmp_path)
    for rule, number, factor, total in (
        ("depth_scale", "before", 1.8, 1e4),
        ("exploding_gradient", "behind", 1.7, 1e3),
    ):
        of_rule = {int(f.tensor.layer.removeprefix("dense_")): f for f in found if f.rule == rule and f.tensor}
        far = {place if number == "before" else layers - 1 - place: f for place, f in of_rule.items()}
        assert min(far) == begin + 1 + int(np.log(total) / np.log(factor)) and max(far) == layers - 1
        for place, finding in far.items():
            assert finding.measured[number] == pytest.approx(1.0)
            ways = (
                f"{place - begin} layers before" if number == "before" else f"is {factor ** (place - begin):,.0f} times"
            )
            assert ways in finding.words
    assert {f.words for f in found} == set(seen_step_by_step(LayerReader(tmp_path).run(".")))


def test_a_gradient_that_grows_little_by_little_is_found_when_it_is_a_hundred_times_what_any_was(
    tmp_path: Path,
) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        arrays["gradient"]["a"] *= 1e-3  # it may grow a thousandfold without a finding
        if step >= 25:
            arrays["gradient"]["a"] *= min(1.5 ** (step - 24), 1e3)
            arrays["gradient"]["b"] *= 1.5 ** (step - 24)

    write_dense_layers(tmp_path, 42, plant)
    (found,) = findings(tmp_path)
    run = LayerReader(tmp_path).run()
    assert seen_step_by_step(run) == [found.words]
    assert found.tensor is not None
    assert (found.rule, found.tensor.layer) == ("exploding_gradient", "b")
    rms = run.statistics("rms")[run.tensor("b", kind="gradient")]
    largest = np.max([run.statistics("rms")[run.tensor(layer, kind="gradient"), :10] for layer in "abc"])
    assert found.first == np.flatnonzero(rms > 100 * largest)[0]


def test_a_weight_that_never_moved_is_found_and_one_that_came_to_rest_is_not(tmp_path: Path) -> None:
    def all_small(step: int, arrays: Arrays) -> None:
        for layer in "abc":
            arrays["update"][layer] *= 1e-6

    def at_rest(step: int, arrays: Arrays) -> None:
        if step > 5:
            all_small(step, arrays)

    write_dense_layers(tmp_path / "never", 45, all_small)
    never = findings(tmp_path, "never")
    assert [(f.rule, f.tensor.layer, f.first) for f in never if f.tensor] == [("small_update", x, 0) for x in "abc"]
    assert seen_step_by_step(LayerReader(tmp_path).run("never")) == [f.words for f in never]
    write_dense_layers(tmp_path / "decayed", 45, at_rest)
    assert findings(tmp_path, "decayed") == ()
    assert seen_step_by_step(LayerReader(tmp_path).run("decayed")) == []


def test_units_whose_weights_still_move_are_not_called_dead(tmp_path: Path) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        arrays["activation"]["b"] *= np.arange(20) < 8

    write_dense_layers(tmp_path, 30, plant)
    assert findings(tmp_path) == ()


def connected(folder: Path, layers: tuple[Layer, ...], write: Callable[[int, int], np.ndarray]) -> tuple[Finding, ...]:
    """The findings of a log of activations [16, 20], `write(layer, step)`, of layers with known connections."""
    tensors = tuple(
        Tensor(i, "activation", "output", (16, 20), "float64", 0, ("example", "unit")) for i in range(len(layers))
    )
    out = log_files.LogFiles(folder)
    out.describe(Model(layers, tensors))
    for step in range(20):
        arrays = {i: write(i, step) for i in range(len(layers))}
        out.write(step, {i: measure(array, units=True, sparse=Extra.of(tensors[i])) for i, array in arrays.items()})
    out.close()
    return findings(folder)


def test_positions_are_the_same_for_all_examples_and_no_collapse(tmp_path: Path) -> None:
    layers = (Layer("input", "Input"), Layer("positions", inputs=(0,)), Layer("sum", inputs=(0, 1)))

    def healthy(layer: int, step: int) -> np.ndarray:
        given, positions = np.random.default_rng(step).normal(size=(16, 20)), np.tile(np.arange(20.0), (16, 1))
        return (given, positions, given + positions)[layer]

    def collapsed(layer: int, step: int) -> np.ndarray:
        return healthy(min(layer, 1), step)

    assert connected(tmp_path / "healthy", layers, healthy) == ()
    (found,) = connected(tmp_path / "collapsed", (*layers[:2], Layer("sum", inputs=(1,))), collapsed)
    assert found.tensor is not None
    assert (found.rule, found.tensor.layer) == ("collapsed_representation", "positions")  # where it begins


def test_what_is_sure_at_the_output_is_not_called_saturated(tmp_path: Path) -> None:
    def plant(step: int, arrays: Arrays) -> None:
        arrays["activation"]["c"] = np.sign(arrays["activation"]["c"])

    write_dense_layers(tmp_path, 20, plant)
    assert findings(tmp_path) == ()


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


def test_without_a_replay_weights_that_a_batch_broke_are_not_blamed_on_a_layer(
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
    callback = lv.LayerViewCallback(tmp_path, schedule=1, check=lv.Check(replay=False))
    model.fit(x, y, batch_size=32, shuffle=False, verbose=2, callbacks=[callback])
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


@pytest.mark.parametrize("initial", [2.0**16, 2.0**24])
def test_a_training_whose_optimizer_skips_steps_has_no_findings(
    initial: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tf = pytest.importorskip("tensorflow")
    import tb_layerview as lv

    mixed = keras.mixed_precision
    mixed.set_global_policy("mixed_float16")
    try:
        keras.utils.set_random_seed(1)
        dense = keras.layers.Dense
        model = keras.Sequential(
            [
                keras.Input((8,)),
                dense(32, activation="relu", name="one"),
                dense(32, activation="relu", name="two"),
                dense(1, dtype="float32", name="score"),
            ]
        )
        adam = keras.optimizers.Adam(1e-3)
        scaled = mixed.LossScaleOptimizer(adam, initial_scale=initial, dynamic_growth_steps=8)
        model.compile(scaled, "mse")
        x = np.random.default_rng(0).normal(size=(640, 8)).astype(np.float32)
        y = (x[:, :1] * x[:, 1:2] > 0).astype(np.float32)
        callback = lv.LayerViewCallback(tmp_path, probe=(x[:32], y[:32]), schedule=1, keep=lv.Keep(gradients=10**4))
        model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[callback])
    finally:
        mixed.set_global_policy("float32")
    run = LayerReader(tmp_path).run()
    updates = [tensor.index for tensor in run.tensors if tensor.kind == "update"]
    skipped = (run.statistics("rms")[updates] == 0).all(axis=0)
    # At first until the scale has come down, and later again and again.
    assert skipped.sum() >= 4 and skipped[40:].any() and not skipped.all()
    assert findings(tmp_path) == ()
    assert not [record for record in caplog.records if record.name == "tb_layerview"]
    with tf.GradientTape() as tape:
        loss = 256 * tf.reduce_mean((model(x[:32], training=True) - y[:32]) ** 2)
    kernel = model.get_layer("one").kernel
    truth = tape.gradient(loss, getattr(kernel, "value", kernel) if not isinstance(kernel, tf.Variable) else kernel)
    logged = run.values(run.tensor("one", kind="gradient", name="kernel"), int(run.steps[-1])).array
    np.testing.assert_allclose(logged, truth.numpy() / 256, rtol=0.02, atol=1e-4)


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


def overflows(grows: Callable[[int], float]) -> Callable[[int, Arrays], None]:
    """A gradient that is `grows(n)` times larger n steps after step 20, and overflows eight steps after it."""

    def plant(step: int, arrays: Arrays) -> None:
        if step >= 20:
            arrays["gradient"]["b"] *= grows(step - 20)
        if step >= 28:
            for kind in ("activation", "gradient"):
                arrays[kind]["b"][:] = np.nan

    return plant


def test_what_grows_until_it_overflows_began_before_and_leads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dense_layers(tmp_path, 32, overflows(lambda n: 1e3 * 10**n))
    lead, *others = findings(tmp_path)
    assert (lead.rule, lead.severity, lead.first, lead.follows) == ("exploding_gradient", "warning", 20, None)
    overflow = [f for f in others if f.rule == "non_finite"]
    assert len(overflow) == 2 and all((f.first, f.follows) == (28, 0) for f in overflow)
    cli.main(["check", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  warning, since step 20: gradient") and "more follow from it) [expl" in lines[1]
    assert lines[2].startswith("    which led to: error, since step 28: activation 'output' of layer 'b' holds 320 NaN")


def test_what_is_large_and_grows_no_more_is_not_why_something_overflows(tmp_path: Path) -> None:
    write_dense_layers(tmp_path, 32, overflows(lambda n: 1e4 * 0.8**n))
    lead, *others = findings(tmp_path)
    assert (lead.rule, lead.first, lead.follows) == ("non_finite", 28, None)
    assert "exploding_gradient" in {f.rule for f in others if f.first == 20 and f.follows is None}
    # Put first, the error is still what follows from it names: the other NaN of its step.
    assert [f.follows for f in others if f.rule == "non_finite"] == [0]


def test_a_training_is_told_of_the_overflow_and_of_what_led_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dense_layers(tmp_path, 32, overflows(lambda n: 1e3 * 10**n))
    run = LayerReader(tmp_path).run()
    found: list[Finding] = []
    check = Check(on_finding=found.append, stop_on="error")
    alarms = Alarms(check, "train", guard=lambda _: contextlib.nullcontext())
    alarms.describe(model_of(run))
    for step, digests, summaries in as_logged(run):
        alarms.see(step, {index: Measurement(digest) for index, digest in digests.items()}, {}, summaries)
        alarms.act_on_findings(can_stop=True)
        assert alarms.should_stop == (step >= 28)
    assert [f.rule for f in found if f.severity == "error"] == ["non_finite"]
    (told,) = [m for m in caplog.messages if "holds 320 NaN" in m and "stops the training" not in m]
    assert told.startswith("tb_layerview: since step 28, activation 'output' of layer 'b' holds 320 NaN among its 320")
    assert "which follows from this: since step 20, gradient 'kernel' of layer 'b' is " in told


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
    evidence = evidence_of(LayerReader(tmp_path).run())
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


@pytest.mark.parametrize(
    ("functions", "width", "rate", "are_all_small"),
    [
        ("relu tanh tanh tanh tanh tanh tanh tanh", 32, 1e-3, False),  # grows out of it, and its gradients with it
        ("relu tanh tanh tanh tanh tanh tanh tanh", 8, 1e-3, True),
        ("tanh tanh tanh relu tanh tanh tanh tanh", 16, 1e-3, False),
        ("tanh tanh tanh tanh tanh tanh tanh relu", 32, 1e-2, True),
        ("tanh tanh tanh tanh tanh tanh tanh tanh", 8, 1e-3, True),
        ("relu relu relu relu relu relu relu relu", 8, 1e-3, True),
    ],
)
def test_layers_that_start_at_a_hundredth_are_one_cause_whatever_collapses_later(
    functions: str, width: int, rate: float, are_all_small: bool, tmp_path: Path
) -> None:
    keras = pytest.importorskip("tensorflow").keras
    r = np.random.RandomState(1)
    x = r.randn(64, 4).astype(np.float32)
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(width, f, name=f"d{i}") for i, f in enumerate(functions.split())]
    model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1, name="o")])
    for layer in hidden:
        if are_all_small or layer.activation.__name__ == "tanh":
            kernel, bias = layer.get_weights()
            layer.set_weights([0.01 * kernel, bias])
    model.compile(keras.optimizers.Adam(rate), "mse")
    callback = LayerViewCallback(tmp_path, schedule=1)
    model.fit(x, x.sum(1, keepdims=True), batch_size=16, epochs=25, verbose=0, callbacks=[callback])
    found = findings(tmp_path)
    roots = [(f.rule, f.first) for f in found if f.follows is None]
    assert roots == [("depth_scale", 0)], [f.words for f in found if f.follows is None]
    # There is something to explain: a layer collapses when no scale runs away any more.
    over = max(f.last for f in found if f.rule == "depth_scale" and f.follows is None)
    assert any(f.rule == "collapsed_representation" and f.first > over for f in found)


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1.5, "2 times"), (29.3, "29 times"), (8573.0, "8,600 times"), (4e5, "400,000 times"), (1.2e8, "10⁸ times")],
)
def test_a_factor_is_written_as_people_do(factor: float, words: str) -> None:
    assert times(factor) == words
