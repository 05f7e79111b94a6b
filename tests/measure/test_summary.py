"""Quantiles, silent units and update ratios as columns, against numpy on the arrays that were logged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from older_logs import without_summaries

from tb_layerview import Keep, LayerReader, LayerViewCallback, LayerWriter, Schedule
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.statistics import DENSE, QUANTILES, SUMMARIES
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.summary import summarise
from tb_layerview.writing.step import Measured, Step
from tb_layerview.writing.training_log import TrainingLog

FRACTIONS = list(QUANTILES.values())


def arrays_of(step: int) -> dict[str, npt.NDArray[np.generic]]:
    """Tensors of every kind of distribution, NaN and infinities among them."""
    random = np.random.default_rng(step)
    normal = random.normal(size=(40, 25))
    holes = normal.copy()
    holes[0, :5] = np.nan, np.inf, -np.inf, 0.0, np.nan
    return {
        "normal": normal.astype(np.float32),
        "relu": np.maximum(normal - 1, 0).astype(np.float32),
        "far": 100 + 0.5 * normal,
        "near": (1 + 0.001 * normal).astype(np.float32),
        "holes": holes,
        "tiny": 1e-200 * normal,
        "huge": 1e150 * normal,
        "cauchy": random.standard_cauchy((40, 25)),
        "counts": random.integers(0, 10, (40, 25)),
        "single": np.full((1, 1), float(step)),
    }


def assert_quantiles(found: npt.NDArray[np.float64], array: npt.NDArray[np.generic]) -> None:
    """Holds quantiles to numpy's, within the error that `Histogram.quantiles` states."""
    finite = array[np.isfinite(array)].astype(np.float64)
    truth = np.quantile(finite, FRACTIONS)
    # A quantile of few elements lies anywhere between two of them.
    low, high = (np.quantile(finite, FRACTIONS, method=method) for method in ("lower", "higher"))
    room = np.maximum(0.05 * finite.std(), 0.07 * np.maximum(np.abs(low), np.abs(high))) + 1e-6 * np.abs(truth)
    assert np.all((low - room <= found) & (found <= high + room)), f"{found} is not {truth}"


def test_quantiles_are_columns_of_all_tensors_at_all_steps(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(5):
            writer.write(step, arrays_of(step))
    run = LayerReader(tmp_path).run()
    columns = {name: run.statistics(name) for name in QUANTILES}
    for step in range(5):
        for layer, array in arrays_of(step).items():
            tensor = run.tensor(layer)
            found = np.array([columns[name][tensor, step] for name in QUANTILES])
            if layer not in ("tiny", "huge"):  # what float32 does not hold
                assert_quantiles(found, array)
            of_step = run.stored_quantiles(tensor, step)
            assert of_step is not None
            assert_quantiles(np.array(list(of_step.values())), array)


def test_a_step_with_many_tensors_gives_each_what_it_has_alone() -> None:
    measured = {
        3 * i: measure(array, units=True)
        for i, array in enumerate([*arrays_of(0).values(), np.zeros((0, 4)), np.full((2, 3), np.nan)])
    }
    together = summarise(measured)
    for i, m in enumerate(measured.values()):
        np.testing.assert_array_equal(together[:, i], summarise({0: m})[:, 0])
    assert np.isnan(together[: len(QUANTILES), -2:]).all()
    assert summarise({}).shape == (len(SUMMARIES), 0)


def test_what_was_not_counted_or_has_no_units_is_nan() -> None:
    whole = measure(np.ones((2, 3)), units=True)
    assert not np.isnan(summarise({0: whole})[: len(DENSE)]).any()
    assert np.isnan(summarise({0: Measurement(whole.digest)})).all()


@pytest.mark.parametrize("kind", ["activation", "weight", "gradient", "update"])
def test_silent_is_the_share_of_units_that_are_all_zero(tmp_path: Path, kind: str) -> None:
    array = np.random.default_rng(0).normal(size=(6, 5, 8)).astype(np.float32)
    array[..., [1, 4]] = 0.0
    array[..., 6] = -0.0
    array[:-1, :, 2] = 0.0  # not all of it
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": array, "bias": np.zeros(4), "none": array[..., :0]}, kind=kind)
        array[..., 0], array[0, 0, 1] = 1e-30, np.nan  # small is not zero; the finite elements of unit 1 are
        writer.write(1, {"a": array}, kind=kind)
        writer.write(2, {"a": np.zeros((2, 8))}, kind=kind)
    run = LayerReader(tmp_path).run()
    silent = run.statistics("silent")
    np.testing.assert_array_equal(silent[run.tensor("a")], [3 / 8, 3 / 8, 1.0])
    np.testing.assert_array_equal(silent[run.tensor("bias")], [np.nan] * 3)
    np.testing.assert_array_equal(silent[run.tensor("none")], [np.nan] * 3)


def test_silent_is_nan_where_units_are_not_measured(tmp_path: Path) -> None:
    with LayerWriter(tmp_path, keep=Keep(units=False)) as writer:
        writer.write(0, {"a": np.zeros((2, 3))})
    assert np.isnan(LayerReader(tmp_path).run().statistics("silent")).all()


def test_columns_stay_where_histograms_and_units_are_thinned_away(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
    array[:, ::4] = 0.0
    session = TrainingLog(tmp_path, Schedule(budget=1.0), Keep(max_bytes=120_000, weights=0))
    tensor = Tensor(0, "weight", "kernel", array.shape, "float32", axes=("input", "unit"))
    session.describe(Model((Layer("dense"),), (tensor,)))
    session.begin(0)
    for step in range(200):
        if session.due(step):
            session.write(Step(step, (Measured({0: measure(array, units=True)}),)))
            session.flush()
    session.close()
    run = LayerReader(tmp_path).run()
    assert len(run.steps) > 40
    assert len(run.kept_steps("histogram", 0)) < len(run.steps)
    assert len(run.kept_steps("units", 0)) < len(run.steps)
    np.testing.assert_array_equal(run.statistics("silent")[0], 0.25)
    for column in np.stack([run.statistics(name)[0] for name in QUANTILES], axis=1):
        assert_quantiles(column, array)


def test_logs_of_older_writers_have_no_such_columns_and_stay_readable(tmp_path: Path) -> None:
    arrays = arrays_of(0)
    with LayerWriter(tmp_path) as writer:
        writer.write(0, arrays)
    without_summaries(tmp_path)
    run = LayerReader(tmp_path).run()
    assert run.problems == ()
    for name in (*QUANTILES, "silent"):
        assert np.isnan(run.statistics(name)).all()
    assert run.statistics("max")[run.tensor("relu"), 0] == arrays["relu"].max()
    stored = run.stored_quantiles(run.tensor("cauchy"), 0)  # of the histogram
    assert stored is not None
    assert_quantiles(np.array(list(stored.values())), arrays["cauchy"])


def test_an_update_ratio_is_the_rms_of_the_update_by_that_of_its_weight(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = {layer: [random.normal(size=(4, 3)) for _ in range(4)] for layer in ("one", "two")}
    updates = {layer: [0.01 * random.normal(size=(4, 3)) for _ in range(4)] for layer in ("one", "two", "alone")}
    weights["two"][2] = np.zeros((4, 3))
    with LayerWriter(tmp_path) as writer:
        for step in range(4):
            if step != 1:
                writer.write(step, {layer: arrays[step] for layer, arrays in weights.items()}, kind="weight")
            writer.write(step, {layer: arrays[step] for layer, arrays in updates.items()}, kind="update")
            # Neither another call nor another name is that weight.
            writer.write(step, {"alone": np.ones((4, 3))}, kind="weight", call=1)
            writer.write(step, {"alone": np.ones(3)}, kind="weight", name="bias")
    run = LayerReader(tmp_path).run()
    found = run.statistics("update_ratio")
    for layer in ("one", "two"):
        ratio = found[run.tensor(layer, kind="update")]
        for step in (0, 2, 3):
            update, weight = (np.sqrt(np.mean(of[layer][step] ** 2)) for of in (updates, weights))
            assert ratio[step] == (np.inf if (layer, step) == ("two", 2) else pytest.approx(update / weight))
        assert np.isnan(ratio[1])
    assert np.isnan(found[run.tensor("alone", kind="update")]).all()
    assert np.isnan(found[run.tensor("one", kind="weight")]).all()


def test_a_keras_training_logs_them_and_they_are_those_of_its_weights(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [tf.keras.Input((6,)), layers.Dense(64, activation="relu", name="hidden"), layers.Dense(3, name="logits")]
    )
    model.compile(tf.keras.optimizers.SGD(0.1), "mse")
    hidden = model.get_layer("hidden")
    kernel, bias = hidden.get_weights()
    bias[:5] = -1e6  # five units that no input wakes
    hidden.set_weights([kernel, bias])
    states = []

    class Remember(tf.keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
            states.append([array.astype(np.float64) for array in hidden.get_weights()])

    random = np.random.default_rng(0)
    x, y = random.normal(size=(32, 6)).astype(np.float32), random.normal(size=(32, 3)).astype(np.float32)
    callbacks = [Remember(), LayerViewCallback(tmp_path, schedule=1)]
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=callbacks)
    states.append([array.astype(np.float64) for array in hidden.get_weights()])
    kernels = [kernel for kernel, _ in states]
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == [0, 1, 2, 3, 4]
    logged, update = (run.tensor("hidden", kind=kind, name="kernel") for kind in ("weight", "update"))
    quantiles = np.stack([run.statistics(name)[logged] for name in QUANTILES], axis=1)
    for step, weights in enumerate(kernels):
        assert_quantiles(quantiles[step], weights)
    asleep = [np.mean((x[:8] @ kernel + bias <= 0).all(axis=0)) for kernel, bias in states]
    assert 5 / 64 <= min(asleep) < 0.5
    np.testing.assert_array_equal(run.statistics("silent")[run.tensor("hidden", kind="activation")], asleep)
    ratios = run.statistics("update_ratio")[update]
    assert np.isnan(ratios[0])
    for step in range(1, 5):
        change, weights = kernels[step] - kernels[step - 1], kernels[step]
        assert ratios[step] == pytest.approx(np.sqrt(np.mean(change**2) / np.mean(weights**2)), rel=1e-4)
