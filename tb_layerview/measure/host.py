"""Exact statistics of whole tensors, and what else one look at a tensor gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format import histogram
from tb_layerview.format.statistics import Digest
from tb_layerview.format.units import Units
from tb_layerview.format.values import Axis
from tb_layerview.measure import extra
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.measurement import SINGLE, Measurement, can_measure, with_kept
from tb_layerview.measure.native import library


def measure(
    array: npt.NDArray[np.generic],
    *,
    units: bool = False,
    keep: Sequence[Axis] | None = None,
    sparse: Extra | None = None,
) -> Measurement:
    """Measures an array on the host, all statistics in float64.

    Args:
      array: Of a type for which `can_measure` holds, any shape.
      units: Whether to measure each unit (index of the last axis) too; wants rank 2 or more.
      keep: Which elements to keep, an axis each; None keeps none. Counts beyond an axis' size keep what is there.
      sparse: What to measure beside what all tensors have.

    Raises:
      TypeError: The array's type is not one that is logged.
    """
    if not can_measure(array.dtype.name):
        raise TypeError(
            f"an array of type {array.dtype.name} cannot be logged: it holds no real numbers. "
            "Convert it to float32 first, or leave it out."
        )
    native = library.engine() if array.size else None
    with_units = units and array.ndim > 1 and array.size > 0
    seen = look(array, units=with_units) if native is None else native.look(array, units=with_units)
    if keep is not None:
        # A copy: whoever keeps it keeps no memory of the whole.
        kept = array[tuple(axis.as_slice() for axis in keep)].copy()
        seen = with_kept(seen, kept, keep, array.shape)
    return seen if sparse is None else dataclasses.replace(seen, sparse=extra.measure(array, sparse))


def look(array: npt.NDArray[np.generic], *, units: bool) -> Measurement:
    """What numpy says of an array, which is what is true.

    Args:
      array: Of a type for which `can_measure` holds, any shape.
      units: Whether to measure each unit; wants rank 1 or more, and an element.
    """
    single = array.dtype.name in SINGLE
    values: npt.NDArray[np.floating] = array.astype(np.float32 if single else np.float64)
    flat = values.ravel()
    finite = np.isfinite(flat)
    nan = pos_inf = neg_inf = 0
    if not finite.all():
        nan = int(np.count_nonzero(np.isnan(flat)))
        pos_inf = int(np.count_nonzero(flat == np.inf))
        neg_inf = flat.size - int(np.count_nonzero(finite)) - nan - pos_inf
        flat = flat[finite]
    wide = flat.astype(np.float64, copy=False)
    low, high, mean, std, rms = _moments(wide)
    center, shift = center_and_shift(mean, std, low, high, single)
    distances = flat if not center and not shift else np.ldexp(wide - center, -shift)
    codes = distances.astype(np.float32, copy=False).view(np.uint32) >> np.uint32(histogram.CODE_SHIFT)
    return Measurement(
        digest=Digest(
            size=array.size,
            nan=nan,
            pos_inf=pos_inf,
            neg_inf=neg_inf,
            zero=flat.size - int(np.count_nonzero(flat)),
            negative=int(np.count_nonzero(flat < 0)),
            min=low,
            max=high,
            mean=mean,
            std=std,
            rms=rms,
        ),
        cells=histogram.Cells.of(np.bincount(codes, minlength=histogram.CODES)),
        center=center,
        shift=shift,
        units=_measure_units(values) if units else None,
    )


def center_and_shift(mean: float, std: float, low: float, high: float, single: bool) -> tuple[float, int]:
    """What to subtract and by which power of two to divide before counting codes.

    Both are 0 for most tensors. The centre is rounded to float32 for types that float32 holds, so that the distance of
    near elements from it is exact. Only types wider than float32 need a shift, and only out of float32's range.
    """
    center = 0.0
    if std < abs(mean) / histogram.CENTER_RATIO:
        center = float(np.float32(mean)) if single else mean
    if single or not np.isfinite(low):
        return center, 0
    with np.errstate(over="ignore"):
        exponent = int(np.frexp(max(abs(low - center), abs(high - center)))[1])
    return center, exponent if abs(exponent) > 64 else 0


def _moments(values: npt.NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Min, max, mean, std and rms of finite float64 values; NaN if there are none."""
    if not values.size:
        return (float("nan"),) * 5
    low, high = float(values.min()), float(values.max())
    # The power of two keeps sums and squares of float64's largest and smallest numbers in range; it divides exactly.
    exponent = int(np.frexp(max(abs(low), abs(high)))[1])
    exponent = exponent if abs(exponent) > 400 else 0
    scaled = np.ldexp(values, -exponent) if exponent else values
    # Rounding may put the mean of equal values beside them.
    mean = min(max(float(np.ldexp(scaled.mean(), exponent)), low), high)
    deviations = scaled - np.ldexp(mean, -exponent)
    std, rms = (np.sqrt(np.dot(v, v) / values.size) for v in (deviations, scaled))
    return low, high, mean, float(np.ldexp(std, exponent)), float(np.ldexp(rms, exponent))


def _measure_units(values: npt.NDArray[np.floating]) -> Units:
    rows = values.reshape(-1, values.shape[-1])
    finite = np.isfinite(rows)
    if finite.all():
        count = np.full(rows.shape[1], float(rows.shape[0]))
    else:
        count = finite.sum(axis=0).astype(np.float64)
        rows = np.where(finite, rows, 0)
    zero = np.sum(rows == 0, axis=0, dtype=np.float64) - (rows.shape[0] - count)
    return units_from_sums(
        count,
        rows.sum(axis=0, dtype=np.float64),
        np.einsum("ru,ru->u", rows, rows, dtype=np.float64),
        zero,
        np.abs(rows).max(axis=0),
    )


def units_from_sums(
    count: npt.NDArray[np.floating],
    total: npt.NDArray[np.floating],
    squares: npt.NDArray[np.floating],
    zero: npt.NDArray[np.floating],
    peak: npt.NDArray[np.floating],
) -> Units:
    """Statistics per unit from sums over its finite elements, each [units]; NaN where a unit has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return Units(
            mean=total / count,
            rms=np.sqrt(squares / count),
            zero=zero / count,
            peak=np.where(count > 0, peak, np.nan),
        )
