"""Digests by numpy against numpy in float64; `test_parity.py` holds the other engines against them."""

from __future__ import annotations

import numpy as np
import pytest

from tb_layerview.format import histogram
from tb_layerview.format.values import Axis
from tb_layerview.measure.host import measure
from tb_layerview.measure.merge import merge
from tb_layerview.measure.native import library


@pytest.fixture(autouse=True)
def _by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "engine", lambda: None)


rng = np.random.default_rng(1)
ARRAYS = {
    "normal": rng.normal(size=(50, 40)),
    "far from zero": 100 + 0.5 * rng.normal(size=(50, 40)),
    "huge": 1e25 * rng.normal(size=(50, 40)),
    "tiny": 1e-30 * rng.normal(size=(50, 40)),
    "constant": np.full((50, 40), 0.1),
    "sparse": np.maximum(rng.normal(size=(50, 40)), 0),
    "one element": np.array([3.5]),
    "a scalar": np.array(-2.0),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ARRAYS)
def test_statistics_equal_numpys_in_float64(name: str, dtype: type) -> None:
    array = ARRAYS[name].astype(dtype)
    truth = array.astype(np.float64)
    digest = measure(array).digest
    assert digest.size == truth.size
    assert digest.zero == np.sum(truth == 0)
    assert digest.negative == np.sum(truth < 0)
    assert (digest.nan, digest.pos_inf, digest.neg_inf) == (0, 0, 0)
    assert (digest.min, digest.max) == (truth.min(), truth.max())
    assert digest.mean == pytest.approx(truth.mean(), rel=1e-12, abs=1e-15 * np.abs(truth).max())
    assert digest.rms == pytest.approx(np.sqrt(np.mean(truth**2)), rel=1e-12, abs=0)
    assert digest.std == pytest.approx(truth.std(), rel=1e-9, abs=1e-15 * np.abs(truth).max())


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_float64_at_the_ends_of_its_range_keeps_its_moments(scale: float) -> None:
    base = rng.normal(size=1000)
    digest = measure(base * scale).digest
    # Without abs=0, approx takes any two numbers below 1e-12 for equal.
    assert digest.std == pytest.approx(base.std() * scale, rel=1e-9, abs=0)
    assert digest.rms == pytest.approx(np.sqrt(np.mean(base**2)) * scale, rel=1e-9, abs=0)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_integers_and_booleans_are_counted_as_numbers(dtype: type) -> None:
    array = rng.integers(0, 5, (30, 20)).astype(dtype)
    digest = measure(array).digest
    assert digest.zero == np.sum(array == 0)
    assert digest.mean == pytest.approx(array.astype(np.float64).mean())


def test_non_finite_elements_are_counted_and_enter_nothing_else() -> None:
    array = rng.normal(size=(20, 10)).astype(np.float32)
    finite = array.astype(np.float64).copy()
    array[3, 4], array[5, :3], array[6, 0] = np.nan, np.inf, -np.inf
    kept = np.isfinite(array)
    measured = measure(array, units=True)
    digest = measured.digest
    assert (digest.nan, digest.pos_inf, digest.neg_inf, digest.size) == (1, 3, 1, 200)
    assert digest.mean == pytest.approx(finite[kept].mean())
    assert digest.std == pytest.approx(finite[kept].std())
    assert measured.units is not None
    for unit in range(10):
        own = finite[kept[:, unit], unit]
        assert measured.units.mean[unit] == pytest.approx(own.mean())
        assert measured.units.rms[unit] == pytest.approx(np.sqrt(np.mean(own**2)))
        assert measured.units.peak[unit] == pytest.approx(np.abs(own).max())


def test_a_nan_in_one_unit_leaves_the_other_units_alone() -> None:
    array = rng.normal(size=(20, 10)).astype(np.float32)
    before = measure(array, units=True).units
    array[:, 7] = np.nan
    after = measure(array, units=True).units
    assert before is not None and after is not None
    others = np.arange(10) != 7
    assert np.array_equal(before.rms[others], after.rms[others])
    assert np.isnan(after.rms[7]) and np.isnan(after.peak[7])


@pytest.mark.parametrize("array", [np.zeros((0, 3), np.float32), np.full((2, 2), np.nan, np.float32)])
def test_without_a_finite_element_moments_are_nan(array: np.ndarray) -> None:
    measured = measure(array, units=True)
    assert measured.digest.size == array.size
    assert np.isnan([measured.digest.min, measured.digest.mean, measured.digest.std, measured.digest.rms]).all()


def test_kept_elements_are_those_at_the_axes_indices() -> None:
    array = np.arange(120.0).reshape(10, 12)
    axes = (Axis(0, 1, 3, 10), Axis(0, 5, 3, 12))
    kept = measure(array, keep=axes).kept
    assert kept is not None
    assert kept.tolist() == array[np.ix_([0, 1, 2], [0, 5, 10])].tolist()


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j])])
def test_what_holds_no_real_numbers_is_refused_with_a_way_out(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="Convert it to float32 first, or leave it out"):
        measure(array)


def parts(seed: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    one, other = random.normal(0, 1, (40, 6)), random.normal(0, 1, (24, 6))
    if kind == "one far from zero":
        one, other = one, 100 + 0.5 * other
    elif kind == "both far from zero":
        one, other = 100 + 0.5 * one, 101 + 0.5 * other
    elif kind == "relu":
        one, other = np.maximum(one, 0), np.maximum(other - 1, 0)
    elif kind == "with NaN and infinities":
        one[3, 2], one[4, 2], other[:, 5] = np.nan, np.inf, -np.inf
    elif kind == "one of NaN alone":
        one[:] = np.nan
    elif kind == "one empty":
        other = other[:0]
    return one, other


KINDS = [
    "of one kind",
    "one far from zero",
    "both far from zero",
    "relu",
    "with NaN and infinities",
    "one of NaN alone",
    "one empty",
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_merged_measurements_are_those_of_the_concatenated_batches(kind: str, dtype: str, scale: float) -> None:
    if scale != 1 and dtype == "float64":
        scale = 1e300
    one, other = ((scale * part).astype(dtype) for part in parts(1, kind))
    whole = np.concatenate([one, other]).astype(np.float64)
    merged = merge(measure(one, units=True), measure(other, units=True))
    finite = whole[np.isfinite(whole)]
    digest = merged.digest
    assert (digest.size, digest.nan) == (whole.size, np.isnan(whole).sum())
    assert (digest.pos_inf, digest.neg_inf) == ((whole == np.inf).sum(), (whole == -np.inf).sum())
    assert (digest.zero, digest.negative) == ((finite == 0).sum(), (finite < 0).sum())
    assert (digest.min, digest.max) == (finite.min(), finite.max())
    scaled = finite / scale
    expected = [scaled.mean(), scaled.std(), np.sqrt((scaled**2).mean())]
    np.testing.assert_allclose(np.array([digest.mean, digest.std, digest.rms]) / scale, expected, rtol=1e-6, atol=1e-7)
    assert merged.counted is not None
    bins = histogram.decode(histogram.encode(*merged.counted))
    assert bins.counts.sum() == finite.size
    q = [0.05, 0.25, 0.5, 0.75, 0.95]
    true = np.quantile(finite, q)
    allowed = np.maximum(0.05 * scale * scaled.std(), 0.07 * np.abs(true)) + 0.07 * np.abs(true)
    assert (np.abs(bins.quantiles(q) - true) <= allowed).all()


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "with NaN and infinities"])
def test_merged_units_are_those_of_the_concatenated_batches(kind: str) -> None:
    one, other = (part.astype(np.float32) for part in parts(2, kind))
    merged = merge(measure(one, units=True), measure(other, units=True))
    whole = np.concatenate([one, other]).astype(np.float64)
    rows = whole[np.isfinite(whole).all(axis=1)]
    assert merged.units is not None
    np.testing.assert_allclose(merged.units.mean, rows.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(merged.units.rms, np.sqrt((rows**2).mean(axis=0)), rtol=1e-5)
    np.testing.assert_allclose(merged.units.zero, (rows == 0).mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(merged.units.peak, np.abs(rows).max(axis=0).astype(np.float32))


def test_merging_keeps_the_values_of_the_first_batch() -> None:
    one, other = parts(3, "of one kind")
    keep = (Axis(0, 1, 40, 40), Axis(0, 1, 6, 6))
    merged = merge(measure(one, keep=keep), measure(other))
    np.testing.assert_array_equal(merged.kept, one)
    assert merged.kept_axes == keep
