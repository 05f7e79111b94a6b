"""Digests on the host against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tb_layerview.digest import measure
from tb_layerview.values import Axis

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
    assert digest.rms == pytest.approx(np.sqrt(np.mean(truth**2)), rel=1e-12)
    assert digest.std == pytest.approx(truth.std(), rel=1e-9, abs=1e-15 * np.abs(truth).max())


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_float64_at_the_ends_of_its_range_keeps_its_moments(scale: float) -> None:
    base = rng.normal(size=1000)
    digest = measure(base * scale).digest
    assert digest.std == pytest.approx(base.std() * scale, rel=1e-9)
    assert digest.rms == pytest.approx(np.sqrt(np.mean(base**2)) * scale, rel=1e-9)


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
