"""Several writers in one folder: what the later one hides is said, and what two of them share is kept."""

from __future__ import annotations

import collections
import copy
import itertools
import logging
import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_layerview import Check, Keep, LayerReader, LayerWriter, Select
from tb_layerview.format.names import FOLDER
from tb_layerview.reading.run import Run
from tb_layerview.serving.columns import by_group, by_step
from tb_layerview.writing import earlier
from tb_layerview.writing.earlier import EarlierSteps, earlier_steps, first_modes


def _write(folder: Path, steps: Sequence[int], value: float = 1.0, kind: Any = "weight", name: str = "kernel") -> None:
    with LayerWriter(folder) as writer:
        for step in steps:
            writer.write(step, {"a": np.arange(12.0).reshape(4, 3) + value}, kind=kind, name=name)


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Any:
    """What was said of hidden steps so far."""
    caplog.set_level(logging.WARNING, "tb_layerview")
    return lambda: [r.getMessage() for r in caplog.records if "hidden" in r.getMessage()]


# What is hidden.


def test_a_writer_says_at_its_first_step_what_it_hides(tmp_path: Path, warned: Any) -> None:
    _write(tmp_path, range(9))
    with LayerWriter(tmp_path) as writer:
        assert warned() == []
        for step in (0, 1):
            writer.write(step, {"a": np.ones(3)})
            assert warned() == [
                f"tb_layerview: {tmp_path} holds steps 0 to 8 of another training: they are hidden from step 0 on. "
                "Give another folder to keep both."
            ]
    assert LayerReader(tmp_path).run().hidden.startswith("9 steps from 0 on")


def test_a_training_that_went_back_says_from_which_step_on(tmp_path: Path, warned: Any) -> None:
    _write(tmp_path, range(0, 4000, 500))
    _write(tmp_path, [1000, 1500])
    assert ["holds steps 0 to 3,500 of" in line and "hidden from step 1,000 on" in line for line in warned()] == [True]


@pytest.mark.parametrize("first", [8, 9, 100], ids=["at the last step", "behind it", "far behind it"])
def test_a_training_that_goes_on_where_the_log_ends_is_no_reason_to_warn(
    first: int, tmp_path: Path, warned: Any
) -> None:
    _write(tmp_path, range(9))
    _write(tmp_path, [first, first + 1])
    assert warned() == []


def test_what_was_hidden_already_is_not_told_again(tmp_path: Path, warned: Any) -> None:
    _write(tmp_path, range(9))
    _write(tmp_path, [0, 1])
    _write(tmp_path, [2, 3])  # goes on with the second one
    assert len(warned()) == 1


def test_the_steps_that_a_folder_shows_are_those_that_the_reader_finds(tmp_path: Path) -> None:
    chance = random.Random(4)
    for history in range(12):
        folder = tmp_path / str(history)
        assert earlier_steps(folder / FOLDER) is None
        for _ in range(chance.randint(1, 4)):
            _write(folder, sorted(chance.sample(range(0, 400, 7), chance.randint(1, 5))))
            shown = LayerReader(folder).run().steps
            found = earlier_steps(folder / FOLDER)
            assert found is not None
            assert (found.last, found.is_all) == (shown[-1], True)
            assert found.first == shown[0]


def test_a_log_that_is_cut_off_or_no_log_is_looked_at_as_far_as_it_goes(tmp_path: Path, warned: Any) -> None:
    _write(tmp_path, range(9))
    (file,) = (tmp_path / FOLDER).glob("*tfevents*")
    whole = file.read_bytes()
    for length in range(0, len(whole), 97):
        file.write_bytes(whole[:length])
        found = earlier_steps(tmp_path / FOLDER)
        assert found is None or found.last <= 8
    file.write_bytes(bytes(1000))
    assert earlier_steps(tmp_path / FOLDER) is None
    _write(tmp_path, [0])
    assert warned() == []


def test_a_log_too_long_to_be_looked_through_is_said_to_hold_more(
    tmp_path: Path, warned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, range(50))
    monkeypatch.setattr(earlier, "_MOST_RECORDS", 20)
    found = earlier_steps(tmp_path / FOLDER)
    assert found == EarlierSteps(0, 17, is_all=False)  # a version, a model, and 18 steps
    _write(tmp_path, [3])
    assert ["steps 0 to 17 and more of" in line for line in warned()] == [True]


def test_the_mode_of_a_damaged_log_is_that_of_its_first_whole_step_or_unknown(tmp_path: Path) -> None:
    _write(tmp_path, range(9))
    (file,) = (tmp_path / FOLDER).glob("*tfevents*")
    whole = file.read_bytes()
    assert list(first_modes(tmp_path / FOLDER)) == ["train"]
    found: dict[str, int] = collections.Counter()
    for place in range(0, len(whole), 7):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            file.write_bytes(damaged)
            modes = list(first_modes(tmp_path / FOLDER))
            found[modes[0] if modes else "unknown"] += 1
            assert modes in (["train"], [])
    assert min(found["train"], found["unknown"]) > 0
    assert list(first_modes(tmp_path / "nothing")) == []


def test_a_file_that_cannot_be_read_is_no_reason_not_to_log(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / FOLDER / "events.out.tfevents.1.x.layerview").mkdir(parents=True)
    _write(tmp_path, [0, 1])
    assert "cannot be looked at" in caplog.text
    assert LayerReader(tmp_path).run().steps.tolist() == [0, 1]


# What two share.


def _means(run: Run, kind: str) -> list[float]:
    return run.statistics("mean")[run.tensor("a", kind=kind).index].tolist()  # type: ignore[arg-type]


def _two(folder: Path, second: float, at: int = 8, last: int = 8) -> Run:
    """A training up to a step, its update logged at the last one, and another one from `at` on with other weights."""
    _write(folder, range(last), 1.0)
    with LayerWriter(folder) as writer:
        matrix = np.arange(12.0).reshape(4, 3)
        writer.write(last, {"a": matrix}, kind="weight", name="kernel", scalars={"loss": 2.0, "rate": 0.5})
        writer.write(last, {"a": matrix / 7}, kind="update", name="kernel")
    with LayerWriter(folder) as writer:
        for step in (at, at + 1):
            writer.write(step, {"a": matrix + second}, kind="weight", name="kernel", scalars={"loss": 3.0})
    return LayerReader(folder).run()


def test_of_a_step_that_two_share_what_the_second_has_not_is_the_firsts(tmp_path: Path) -> None:
    run = _two(tmp_path, 0.0)
    assert run.steps.tolist() == list(range(10))
    update, weight = run.tensor("a", kind="update"), run.tensor("a", kind="weight")
    np.testing.assert_allclose(_means(run, "update"), [np.nan] * 8 + [5.5 / 7, np.nan])
    np.testing.assert_allclose(_means(run, "weight"), [6.5] * 8 + [5.5, 5.5])
    assert run.hidden == ""
    assert run.digest(update, 8).mean == pytest.approx(5.5 / 7)
    assert run.kept_steps("histogram", update).tolist() == [8]
    assert run.histogram(update, 8).quantiles([1.0])[0] == pytest.approx(11 / 7, rel=0.05)
    assert run.kept_steps("values", weight).tolist() == list(range(10))
    np.testing.assert_array_equal(run.values(weight, 8).array, np.arange(12.0).reshape(4, 3))
    assert run.scalars_by_step[8] == {"loss": 3.0, "rate": 0.5}
    assert run.statistics("update_ratio")[update.index][8] == pytest.approx(1 / 7)
    # As the browser gets it.
    both = np.array([update.index, weight.index])
    np.testing.assert_allclose(by_step(run, "mean", both)[:, 8], [5.5 / 7, 5.5], rtol=1e-6)
    np.testing.assert_allclose(by_group(run, "mean", both)[:, 1, 8], [5.5 / 7, 5.5], rtol=1e-6)


@pytest.mark.parametrize(("second", "at", "why"), [(0.5, 8, "other weights"), (0.0, 6, "it went back")])
def test_what_another_training_has_logged_is_not_mixed_in(second: float, at: int, why: str, tmp_path: Path) -> None:
    run = _two(tmp_path, second, at)
    assert not [t for t in run.tensors if t.kind == "update"], why
    assert run.hidden


def test_constant_weights_are_no_sign_of_one_training(tmp_path: Path) -> None:
    for kinds in (("weight", "update"), ("weight",)):
        with LayerWriter(tmp_path) as writer:
            for kind in kinds:
                writer.write(0, {"a": np.zeros((4, 3))}, kind=kind, name="bias")  # type: ignore[arg-type]
    assert [t.kind for t in LayerReader(tmp_path).run().tensors] == ["weight"]


def test_three_that_share_a_step_give_each_what_the_later_ones_have_not(tmp_path: Path) -> None:
    matrix = np.arange(12.0).reshape(4, 3)
    for number, kinds in enumerate((("update", "gradient"), ("gradient",), ())):
        with LayerWriter(tmp_path) as writer:
            writer.write(5, {"a": matrix}, kind="weight", name="kernel")
            for kind in kinds:
                writer.write(5, {"a": matrix + number}, kind=kind, name="kernel")  # type: ignore[arg-type]
    run = LayerReader(tmp_path).run()
    assert _means(run, "update") == [5.5]
    assert _means(run, "gradient") == [6.5]
    assert run.hidden == ""


# Trainings.


@pytest.fixture
def keras() -> Any:
    return pytest.importorskip("tensorflow").keras


_random = np.random.default_rng(8)
X = _random.normal(size=(32, 4)).astype(np.float32)
Y = _random.normal(size=(32, 1)).astype(np.float32)


def _model(keras: Any) -> Any:
    model = keras.Sequential([keras.layers.Dense(3, name="hidden"), keras.layers.Dense(1, name="o")])
    model.build((None, 4))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def _fit(model: Any, *callbacks: Any) -> None:
    model.fit(X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=list(callbacks))


@pytest.mark.parametrize("kinds", [("weight", "update"), ("update",)], ids=["with weights", "updates alone"])
def test_the_last_step_of_a_fit_keeps_its_update_when_another_goes_on(
    keras: Any, kinds: Any, tmp_path: Path, warned: Any
) -> None:
    from tb_layerview import LayerViewCallback

    model, seen = _model(keras), []
    callback = LayerViewCallback(tmp_path, select=Select(kinds=kinds), schedule=1, keep=Keep(gradients=100))

    def note(batch: int, logs: Any) -> None:
        del batch, logs
        seen.append(model.get_weights()[0])

    for _ in range(2):
        _fit(model, keras.callbacks.LambdaCallback(on_train_batch_begin=note), callback)
    seen.append(model.get_weights()[0])
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == list(range(9))
    rms = run.statistics("rms")[run.tensor("hidden", kind="update", name="kernel").index]
    truth = [np.sqrt(np.mean(np.square(b - a, dtype=np.float64))) for a, b in itertools.pairwise(seen)]
    np.testing.assert_allclose(rms[1:], truth, rtol=1e-5)
    assert run.hidden == ""
    assert warned() == []


def test_copies_of_a_callback_say_that_they_hide_each_others_steps(keras: Any, tmp_path: Path, warned: Any) -> None:
    from tb_layerview import LayerViewCallback

    callback = LayerViewCallback(tmp_path, schedule=1)
    for trial in range(3):
        _fit(_model(keras), copy.deepcopy(callback))
        assert len(warned()) == trial
    assert warned()[-1].startswith(f"tb_layerview: {tmp_path} holds steps 0 to 4 of another training")


@pytest.mark.parametrize("used", ["unused", "used", "in use"])
@pytest.mark.parametrize("made", ["copy", "deepcopy", "pickle"])
@pytest.mark.core("copy-in use", "deepcopy-used", "pickle-in use", "pickle-unused")
def test_a_copy_of_a_callback_has_its_options_and_is_unused(keras: Any, made: str, used: str, tmp_path: Path) -> None:
    from tb_layerview import LayerViewCallback

    copied: dict[str, Any] = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": _pickled}
    callback = LayerViewCallback(
        tmp_path / "one", (X[:5], Y[:5]), Select(kinds=("weight",)), 2, Keep(units=False), Check(replay=False)
    )
    callback.mine = [7]
    others: list[Any] = []
    if used != "unused":

        def make_one(batch: int, logs: Any) -> None:
            del logs
            if batch == 2:
                others.append(copied[made](callback))

        make = keras.callbacks.LambdaCallback(on_train_batch_begin=make_one)
        _fit(_model(keras), callback, *([make] if used == "in use" else []))
    other = others[0] if used == "in use" else copied[made](callback)
    assert (other.mine, other.model) == ([7], None)
    other._logdir = str(tmp_path / "other")
    _fit(_model(keras), other)
    run = LayerReader(tmp_path / "other").run()
    assert run.steps.tolist() == [0, 2, 4]
    assert {t.kind for t in run.tensors} == {"weight"}
    assert run.model.probe is not None and run.model.probe.examples == 5


def _pickled(callback: Any) -> Any:
    return pickle.loads(pickle.dumps(callback))


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, _pickled], ids=["copy", "deepcopy", "pickle"])
def test_a_copy_of_a_hook_in_use_has_its_options_and_is_unused(made: Any, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    from tb_layerview import LayerViewHook

    hook = LayerViewHook(tmp_path / "one", Select(kinds=("weight",)), 2)

    def train(hook: Any, steps: int) -> Any:
        with tf.Graph().as_default():
            kernel = tf.compat.v1.get_variable("dense/kernel", (4, 1))
            loss = tf.reduce_mean(tf.square(tf.matmul(tf.constant(X), kernel)))
            step = tf.compat.v1.train.get_or_create_global_step()
            train = tf.compat.v1.train.GradientDescentOptimizer(0.1).minimize(loss, step)
            with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
                for _ in range(steps):
                    session.run(train)
                return made(hook)

    other = train(hook, 4)
    other._logdir = str(tmp_path / "other")
    train(other, 6)
    assert LayerReader(tmp_path / "one").run().steps.tolist() == [2, 4]
    assert LayerReader(tmp_path / "other").run().steps.tolist() == [2, 4, 6]
