"""Digests on the device against numpy in float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tb_layerview.measure.tf import kernel

tf = pytest.importorskip("tensorflow")

from tb_layerview.format import histogram  # noqa: E402
from tb_layerview.format.values import Axis  # noqa: E402
from tb_layerview.measure.extra import Extra  # noqa: E402
from tb_layerview.measure.measurement import Measurement  # noqa: E402
from tb_layerview.measure.tf import on_device  # noqa: E402
from tb_layerview.measure.tf.tap import Tap  # noqa: E402

rng = np.random.default_rng(2)


def _measure(taps: dict[int, Tap], values: bool = True) -> dict[int, Measurement]:
    fetched: dict[str, Any] = tf.function(lambda: on_device.reduce(taps, on_device.prepare(taps)), autograph=False)()
    if not values:
        del fetched["values"]
    return on_device.measurements(taps, tf.nest.map_structure(lambda t: t.numpy(), fetched))


# Small tensors are measured on the host, larger ones at once or in blocks: each has its way through the code.
SHAPES = {"small": (20, 30), "one block": (100, 64), "several blocks": (3000, 100)}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (on_device, kernel):
        monkeypatch.setattr(module, "BLOCK", 1 << 17)
    monkeypatch.setattr(kernel, "_loops", _small_block_loops)


_small_block_loops: dict[Any, Any] = {}  # blocks are part of what is traced
DATA = {
    "normal": lambda shape: rng.normal(size=shape),
    "100 ± 0.5": lambda shape: 100 + 0.5 * rng.normal(size=shape),
    "1e25": lambda shape: 1e25 * rng.normal(size=shape),
    "constant": lambda shape: np.full(shape, 0.1),
    "sparse": lambda shape: np.maximum(rng.normal(size=shape), 0),
    "negative zero": lambda shape: np.where(rng.random(shape) < 0.5, -0.0, rng.normal(size=shape)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int32"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.core(
    "normal-*",
    "sparse-several blocks-float32",
    "negative zero-one block-float32",
    "1e25-*-float64",
    "1e25-*-float32",
    "constant-*-float16",
    "100*-*-bfloat16",
)
def test_statistics_units_and_quantiles_equal_numpys(data: str, shape: tuple[int, ...], dtype: str) -> None:
    if data == "1e25" and dtype in ("float16", "int32"):
        pytest.skip("out of the type's range")
    tensor = tf.cast(tf.constant(DATA[data](shape) * (100 if dtype == "int32" else 1)), dtype)
    truth = tensor.numpy().astype(np.float64)
    (measured,) = _measure({0: Tap(tensor, units=True)}).values()
    digest = measured.digest
    assert (digest.size, digest.zero, digest.negative) == (truth.size, np.sum(truth == 0), np.sum(truth < 0))
    assert (digest.min, digest.max) == (truth.min(), truth.max())
    assert digest.mean == pytest.approx(truth.mean(), rel=1e-9, abs=1e-12 * np.abs(truth).max())
    assert digest.std == pytest.approx(truth.std(), rel=1e-9, abs=1e-12 * np.abs(truth).max())
    assert digest.rms == pytest.approx(np.sqrt(np.mean(truth**2)), rel=1e-9)
    assert measured.units is not None
    np.testing.assert_allclose(measured.units.mean, truth.mean(axis=0), rtol=1e-9, atol=1e-12 * np.abs(truth).max())
    np.testing.assert_allclose(measured.units.rms, np.sqrt((truth**2).mean(axis=0)), rtol=1e-9)
    np.testing.assert_allclose(measured.units.zero, (truth == 0).mean(axis=0))
    np.testing.assert_allclose(measured.units.peak, np.abs(truth).max(axis=0))
    assert measured.counted is not None
    stored = histogram.decode(histogram.encode(*measured.counted))
    q = (0.01, 0.25, 0.5, 0.75, 0.99)
    expected = np.quantile(truth, q)
    allowed = np.maximum(0.05 * truth.std(), 0.07 * np.abs(expected)) + 1e-12 * np.abs(expected)
    assert (np.abs(stored.quantiles(q) - expected) <= allowed).all()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_non_finite_elements_are_counted_and_enter_nothing_else(shape: tuple[int, ...]) -> None:
    array = rng.normal(size=shape).astype(np.float32)
    array[3, 4], array[5], array[7, 0] = np.nan, np.inf, -np.inf
    finite = np.where(np.isfinite(array), array.astype(np.float64), np.nan)
    (measured,) = _measure({0: Tap(tf.constant(array), units=True)}).values()
    digest = measured.digest
    assert (digest.nan, digest.pos_inf, digest.neg_inf) == (1, shape[1], 1)
    assert digest.mean == pytest.approx(np.nanmean(finite), rel=1e-9)
    assert digest.std == pytest.approx(np.nanstd(finite), rel=1e-9)
    assert digest.max == np.nanmax(finite)
    assert measured.units is not None and measured.counted is not None
    np.testing.assert_allclose(measured.units.rms, np.sqrt(np.nanmean(finite**2, axis=0)), rtol=1e-9)
    stored = histogram.decode(histogram.encode(*measured.counted))
    assert stored.counts.sum() == np.sum(np.isfinite(array))


def test_a_tensor_without_a_finite_element_has_no_moments() -> None:
    (measured,) = _measure({0: Tap(tf.fill([100, 100], np.nan), units=True)}).values()
    assert measured.digest.nan == 10_000
    assert np.isnan([measured.digest.min, measured.digest.max, measured.digest.mean, measured.digest.rms]).all()
    assert measured.units is not None and np.isnan(measured.units.rms).all()


def test_many_tensors_of_all_sizes_keep_their_own_numbers() -> None:
    arrays = {i: rng.normal(loc=i, size=(i + 1, 97)).astype(np.float32) for i in range(0, 90, 7)}
    taps = {
        i: Tap(tf.constant(a), units=True, keep=(Axis(0, 1, 1, i + 1), Axis(0, 2, 49, 97))) for i, a in arrays.items()
    }
    measured = _measure(taps)
    assert measured.keys() == arrays.keys()
    for i, array in arrays.items():
        assert measured[i].digest.mean == pytest.approx(array.astype(np.float64).mean(), rel=1e-9)
        assert measured[i].kept is not None
        assert np.array_equal(measured[i].kept, array[:1, ::2])
    assert all(m.kept is None for m in _measure(taps, values=False).values())


def test_a_batch_smaller_than_planned_keeps_what_is_there() -> None:
    taps = {0: Tap(tf.ones([2, 5]), keep=(Axis(0, 1, 8, 8), Axis(0, 1, 5, 5)))}
    (measured,) = _measure(taps).values()
    assert measured.kept is not None and measured.kept.shape == (2, 5)
    assert [axis.count for axis in measured.kept_axes] == [2, 5]


def test_a_tensor_larger_than_a_block_of_real_size_keeps_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    array = np.zeros((400_000, 50), np.float32)
    array[::2, ::2] = 100 + rng.random((200_000, 25), np.float32)
    assert array.size > kernel.BLOCK
    (measured,) = _measure({0: Tap(tf.constant(array), units=True)}).values()
    truth = array.astype(np.float64)
    assert (measured.digest.zero, measured.digest.size) == (15_000_000, 20_000_000)
    assert measured.digest.std == pytest.approx(truth.std(), rel=1e-9)
    assert measured.units is not None
    np.testing.assert_allclose(measured.units.zero, (truth == 0).mean(axis=0))


def test_digests_can_be_added_to_a_tf1_graph() -> None:
    array = rng.normal(size=(200, 50)).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        taps = {0: Tap(tf.constant(array), units=True), 1: Tap(tf.constant(array[0]))}
        measured = on_device.measurements(taps, session.run(on_device.reduce(taps, on_device.prepare(taps))))
    assert measured[0].digest.rms == pytest.approx(np.sqrt(np.mean(array.astype(np.float64) ** 2)))
    assert measured[1].digest.max == array[0].max()


def test_what_is_on_the_host_gives_the_same_measurements() -> None:
    arrays = {i: rng.normal(size=shape).astype(np.float32) for i, shape in enumerate(SHAPES.values())}
    taps = {
        i: Tap(
            tf.constant(array),
            units=True,
            keep=(Axis(0, 2, 8, 500), Axis(0, 1, 4, array.shape[1])),  # planned for a batch of another size
            sparse=Extra(features=1, bounds=(-1.0, 1.0)),
        )
        for i, array in arrays.items()
    }
    there, here = _measure(taps), on_device.measure({i: t.without_tensor() for i, t in taps.items()}, arrays)
    assert here.keys() == there.keys() == arrays.keys()
    for i, array in arrays.items():
        one, other = here[i], there[i]
        assert dataclasses.astuple(one.digest) == pytest.approx(dataclasses.astuple(other.digest), rel=1e-9)
        assert one.units is not None and other.units is not None
        np.testing.assert_allclose(one.units.rms, np.sqrt((array.astype(np.float64) ** 2).mean(axis=0)), rtol=1e-6)
        np.testing.assert_allclose(one.units.rms, other.units.rms, rtol=1e-6)
        assert one.kept is not None and np.array_equal(one.kept, array[:16:2, :4])
        assert one.kept_axes == other.kept_axes
        assert [axis.size for axis in one.kept_axes] == list(array.shape)
        assert one.sparse == pytest.approx(dict(other.sparse), rel=1e-5)
        assert one.sparse.keys() == {"spread", "rank", "saturated"}
