"""Weights of which a step changes few rows: what is logged of them at which step, against the weights themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tb_layerview as lv
from tb_layerview import Keep, LayerReader, LayerRecorder, LayerViewCallback, Select
from tb_layerview.capture.keras.tf.rows import changed_rows, with_unchanged
from tb_layerview.capture.octaves import Octaves
from tb_layerview.format.values import Axis
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.tf import digests

keras = tf.keras
ROWS, UNITS, STEPS, BATCH = 40_000, 32, 8, 32
WHOLE = [0, 8]  # the first and the last, which is the first of the octave from 8 on
_RNG = np.random.RandomState(0)
IDS = _RNG.randint(0, ROWS, (STEPS * BATCH, 4))
TARGETS = _RNG.rand(len(IDS), 1).astype("float32")


class Table(keras.layers.Layer):
    """Looks rows up without being an `Embedding`."""

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(name="table", shape=(ROWS, UNITS), initializer="random_normal")

    def call(self, ids: Any) -> Any:
        return tf.gather(tf.convert_to_tensor(self.table), ids)


class Weights(keras.callbacks.Callback):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.found.append(self.model.get_weights()[0].copy())

    def on_train_end(self, logs: Any = None) -> None:
        self.found.append(self.model.get_weights()[0].copy())


def _model(optimizer: Any = "sgd", layer: Any = None, compiled: bool = True) -> Any:
    keras.utils.set_random_seed(1)
    layer = keras.layers.Embedding(ROWS, UNITS, name="table") if layer is None else layer
    ids = keras.Input((4,), dtype="int32")
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(layer(ids))))
    if compiled:
        model.compile(optimizer, "mse")
    return model


def _fit(model: Any, callbacks: list[Any]) -> dict[str, Any]:
    history = model.fit(IDS, TARGETS, batch_size=BATCH, verbose=0, shuffle=False, callbacks=callbacks)
    return dict(history.history)


def _index(run: Any, kind: str, name: str) -> int:
    return next(i for i, t in enumerate(run.tensors) if (t.layer, t.kind, t.name) == ("table", kind, name))


def _steps(run: Any, kind: str, name: str) -> list[int]:
    index = _index(run, kind, name)
    return [int(s) for s in run.steps[~np.isnan(run.statistics("size")[index])]]


def _statistics(run: Any, kind: str, name: str, step: int) -> dict[str, float]:
    index = _index(run, kind, name)
    at = run.steps.tolist().index(step)
    names = ("size", "zero", "negative", "min", "max", "mean", "std", "rms")
    return {statistic: float(run.statistics(statistic)[index, at]) for statistic in names}


def _true(array: Any) -> dict[str, Any]:
    wide = np.asarray(array, np.float64)
    # Smaller numbers than 2**-130 count as zero.
    zero = np.count_nonzero(np.abs(wide) < 2.0**-130)
    return {
        "size": wide.size,
        "zero": zero,
        "negative": np.count_nonzero(wide <= -(2.0**-130)),
        **{name: pytest.approx(getattr(wide, name)(), rel=1e-6, abs=1e-12) for name in ("min", "max", "mean", "std")},
        "rms": pytest.approx(np.sqrt(np.mean(wide**2)), rel=1e-6),
    }


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("kind", ["Embedding", "a gather"])
@pytest.mark.core("Embedding-adam", "a gather-sgd")
def test_changed_rows_are_logged_at_each_step_and_the_whole_once_an_octave(
    tmp_path: Path, optimizer: str, kind: str
) -> None:
    def make() -> Any:
        return _model(optimizer, None if kind == "Embedding" else Table(name="table"))

    weight = "embeddings" if kind == "Embedding" else "table"
    bare, weights = make(), Weights()
    losses = _fit(bare, [weights])
    logged = make()
    assert _fit(logged, [LayerViewCallback(tmp_path)]) == losses
    assert all(np.array_equal(one, other) for one, other in zip(bare.get_weights(), logged.get_weights()))

    run = LayerReader(tmp_path).run()
    touched = f"{weight} (touched rows)"
    assert _steps(run, "weight", weight) == WHOLE
    assert _steps(run, "update", weight) == _steps(run, "update", touched) == list(range(1, STEPS + 1))
    assert _steps(run, "weight", touched) == list(range(1, STEPS + 1))
    for step in WHOLE:
        assert _statistics(run, "weight", weight, step) == _true(weights.found[step])
    for step in range(1, STEPS + 1):
        after, before = weights.found[step], weights.found[step - 1]
        rows = np.flatnonzero((after != before).any(axis=1))
        assert 0 < len(rows) < ROWS / 8
        assert _statistics(run, "weight", touched, step) == _true(after[rows])
        assert _statistics(run, "update", touched, step) == _true(after[rows] - before[rows])
        assert _statistics(run, "update", weight, step) == _true(after - before)
    assert any("touched rows" in note for note in run.model.notes)


def test_rows_that_the_steps_of_one_execution_change_are_logged_together(tmp_path: Path) -> None:
    def make() -> Any:
        model = _model(compiled=False)
        model.compile("sgd", "mse", steps_per_execution=3)  # the last one has fewer
        return model

    bare, weights = make(), Weights()
    losses = _fit(bare, [weights])
    logged = make()
    assert _fit(logged, [LayerViewCallback(tmp_path)]) == losses
    assert all(np.array_equal(one, other) for one, other in zip(bare.get_weights(), logged.get_weights()))

    run, touched = LayerReader(tmp_path).run(), "embeddings (touched rows)"
    steps = [*range(0, STEPS, 3), STEPS]
    assert STEPS % 3
    assert _steps(run, "weight", touched) == steps[1:]
    assert _steps(run, "weight", "embeddings") == [0, STEPS]
    for before, after, step in zip(weights.found, weights.found[1:], steps[1:]):
        rows = np.flatnonzero((after != before).any(axis=1))
        assert _statistics(run, "weight", touched, step) == _true(after[rows])


def test_what_is_kept_of_a_whole_update_is_that_of_the_weights(tmp_path: Path) -> None:
    weights = Weights()
    _fit(_model("adam"), [weights, LayerViewCallback(tmp_path, keep=Keep(gradients=4096))])
    run = LayerReader(tmp_path).run()
    values = run.values(_index(run, "update", "embeddings"), STEPS)
    rows, units = (axis.indices() for axis in values.axes)
    change = weights.found[-1] - weights.found[-2]
    largest = np.abs(change).max()
    np.testing.assert_allclose(values.array, change[np.ix_(rows, units)], rtol=2**-10, atol=largest * 2**-28)


def test_a_weight_that_changes_as_a_whole_is_logged_as_a_whole_at_each_step(tmp_path: Path) -> None:
    decay = keras.optimizers.AdamW(weight_decay=0.1)
    weights = Weights()
    _fit(_model(decay), [weights, LayerViewCallback(tmp_path)])
    run = LayerReader(tmp_path).run()
    assert _steps(run, "weight", "embeddings") == list(range(STEPS + 1))
    assert _steps(run, "update", "embeddings (touched rows)") == []
    for step in range(1, STEPS + 1):
        change = weights.found[step] - weights.found[step - 1]
        assert _statistics(run, "update", "embeddings", step) == _true(change)


@pytest.mark.parametrize("kinds", [("weight",), ("update",), ("activation", "weight")])
def test_changed_rows_are_found_where_gradients_are_not_logged(tmp_path: Path, kinds: Any) -> None:
    _fit(_model(), [LayerViewCallback(tmp_path, select=Select(kinds=kinds))])
    run = LayerReader(tmp_path).run()
    kind = "update" if kinds == ("update",) else "weight"
    assert _steps(run, kind, "embeddings (touched rows)") == list(range(1, STEPS + 1))
    assert _steps(run, kind, "embeddings") == (WHOLE if kind == "weight" else list(range(1, STEPS + 1)))


def test_a_loop_of_ones_own_without_a_loss_has_the_last_step_as_a_whole_too(tmp_path: Path) -> None:
    model, optimizer = _model(compiled=False), keras.optimizers.SGD(0.1)
    with LayerRecorder(model, tmp_path, IDS[:8]) as recorder:
        for step in range(4):
            recorder.record(step)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(IDS[8 * step : 8 * step + 8]) - TARGETS[:8]) ** 2)
            found = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(found, model.trainable_variables))
    run = LayerReader(tmp_path).run()
    assert _steps(run, "weight", "embeddings (touched rows)") == [1, 2, 3]
    assert _steps(run, "weight", "embeddings") == [0, 3]
    before_last = _statistics(run, "weight", "embeddings", 3)
    assert before_last["size"] == ROWS * UNITS


def test_a_frozen_table_is_logged_at_each_step_and_digested_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Assign(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            weights.append(model.get_weights()[_place(model)].copy())
            if batch == 5:
                table.assign(table * 2.0)

    def _place(model: Any) -> int:
        return next(i for i, weight in enumerate(model.get_weights()) if weight.size == ROWS * UNITS)

    digested: list[int] = []
    whole = digests.prepare

    def counted(taps: Any) -> Any:
        digested.extend(tap.tensor.shape.num_elements() or 0 for tap in taps.values())
        return whole(taps)

    monkeypatch.setattr(digests, "prepare", counted)
    weights: list[Any] = []
    layer = keras.layers.Embedding(ROWS, UNITS, name="table", trainable=False)
    model = _model(layer=layer)
    table = layer.weights[0]
    keep = Keep(weights=0)
    _fit(model, [LayerViewCallback(tmp_path, keep=keep, schedule=1), Assign()])
    run = LayerReader(tmp_path).run()
    assert _steps(run, "weight", "embeddings") == list(range(STEPS + 1))
    for step in range(1, STEPS):
        assert _statistics(run, "weight", "embeddings", step) == _true(weights[step]), step
    assert _statistics(run, "weight", "embeddings", STEPS) == _true(weights[-1])
    # With and without values, before and after it was changed.
    assert 2 <= digested.count(ROWS * UNITS) <= 4


def test_a_small_embedding_is_a_weight_like_any_other(tmp_path: Path) -> None:
    model = _model(layer=keras.layers.Embedding(ROWS, 4, name="table"))
    _fit(model, [LayerViewCallback(tmp_path)])
    run = LayerReader(tmp_path).run()
    assert [t.name for t in run.tensors if t.layer == "table" and t.kind == "weight"] == ["embeddings"]
    assert _steps(run, "weight", "embeddings") == list(range(STEPS + 1))


def test_rows_are_compared_bit_by_bit() -> None:
    table = np.zeros((100_000, 16), "float32")
    table[7, 3] = np.nan
    variable = tf.Variable(table)
    before = variable.read_value()
    after = table.copy()
    after[[0, 65_535, 65_536, 99_999], [0, 15, 0, 15]] = [1, np.nan, -0.0, 1e-40]
    variable.assign(after)
    assert changed_rows(variable.read_value(), before).numpy().tolist() == [0, 65_535, 65_536, 99_999]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_rows_of_any_type_are_compared(dtype: str) -> None:
    variable = tf.Variable(tf.cast(tf.random.stateless_uniform([300, 2, 5], (0, 0)), dtype))
    before = variable.read_value()
    variable.scatter_add(tf.IndexedSlices(tf.ones([2, 2, 5], dtype), [3, 299]))
    assert changed_rows(variable.read_value(), before).numpy().tolist() == [3, 299]


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_changed_rows_and_unchanged_ones_make_the_whole(rows: int) -> None:
    change = np.zeros((50, 6))
    change[:rows] = np.random.RandomState(rows).randn(rows, 6)
    axes = (Axis(0, 10, 5, 50), Axis(0, 1, 6, 6))
    whole = with_unchanged(measure(change[:rows], units=True), change.size, change[::10], axes)
    wanted = measure(change, units=True, keep=axes)
    for name, value in vars(wanted.digest).items():
        assert getattr(whole.digest, name) == pytest.approx(value, rel=1e-12, abs=1e-15)
    _assert_same(whole, wanted, of_units=rows > 0)


def _assert_same(whole: Measurement, wanted: Measurement, of_units: bool) -> None:
    assert whole.cells is not None and wanted.cells is not None and wanted.units is not None
    assert np.array_equal(whole.cells.code_counts(), wanted.cells.code_counts())
    assert whole.kept is not None and wanted.kept is not None and np.array_equal(whole.kept, wanted.kept)
    if of_units:
        assert whole.units is not None
        for name, value in vars(wanted.units).items():
            np.testing.assert_allclose(getattr(whole.units, name), value, rtol=1e-12, atol=1e-15)


def test_the_whole_is_wanted_first_last_and_once_an_octave_from_step_8_on() -> None:
    octaves = Octaves()
    assert [step for step in range(41) if octaves.want(step)] == [0, 8, 16, 32]
    assert octaves.want(40, is_last=True) and not octaves.want(40, is_last=True)
    short = Octaves()
    assert [step for step in (0, 2, 5, 7) if short.want(step, is_last=step == 7)] == [0, 7]
    sparse = Octaves()
    assert [step for step in (3, 50, 60, 100, 120, 300, 500) if sparse.want(step)] == [3, 50, 100, 300]


def test_a_replay_has_the_whole(tmp_path: Path) -> None:
    ids, targets = IDS.copy(), TARGETS.copy()
    targets[5 * BATCH] = np.nan
    model = _model()
    model.fit(ids, targets, batch_size=BATCH, verbose=0, shuffle=False, callbacks=[LayerViewCallback(tmp_path)])
    run = lv.LayerReader(tmp_path / "replay").run()
    assert _steps(run, "weight", "embeddings") == run.steps.tolist() != []
