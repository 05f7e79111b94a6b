"""Exact statistics of whole tensors, and what else one look at a tensor gives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format import histogram
from tb_layerview.format.units import Units
from tb_layerview.format.values import Axis
from tb_layerview.measure import extra
from tb_layerview.measure.extra import Sparse


@dataclasses.dataclass(frozen=True)
class Digest:
    """Exact statistics of one tensor at one step.

    Attributes:
      size: How many elements the tensor has.
      nan: How many of them are NaN; like the infinities they enter no other statistic.
      pos_inf: How many are +inf.
      neg_inf: How many are -inf.
      zero: How many are zero, of either sign.
      negative: How many finite ones are below zero.
      min: The smallest finite element, in the tensor's own unit, like all below; NaN if none is finite.
      max: The largest finite element.
      mean: Mean of the finite elements.
      std: Standard deviation of the finite elements (population, divided by their number).
      rms: Root mean square of the finite elements.
    """

    size: int
    nan: int
    pos_inf: int
    neg_inf: int
    zero: int
    negative: int
    min: float
    max: float
    mean: float
    std: float
    rms: float


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one look at a tensor gives.

    Attributes:
      digest: Exact statistics of the whole tensor.
      code_counts: integer [histogram.CODES]: how many elements have each code (see `histogram.encode`), or None.
      center: What was subtracted before counting.
      shift: The power of two by which the distances were divided before counting.
      units: Statistics per unit, or None.
      kept: The elements at the indices `kept_axes`, or None.
      kept_axes: What is kept of each axis.
      sparse: Statistics that only some tensors have, by name (`record.SPARSE`).
    """

    digest: Digest
    code_counts: npt.NDArray[np.integer] | None = None
    center: float = 0.0
    shift: int = 0
    units: Units | None = None
    kept: npt.NDArray[np.generic] | None = None
    kept_axes: tuple[Axis, ...] = ()
    sparse: Mapping[str, float] = dataclasses.field(default_factory=dict)


#: Makes the measurements of tensors, by any index, of what has left the device: on the writing thread.
Measure = Callable[[], dict[int, Measurement]]


def can_measure(dtype: str) -> bool:
    """Whether tensors of this numpy or ml_dtypes type are logged: real numbers of 8 to 64 bits, and booleans."""
    return dtype in _MEASURABLE


_SINGLE = ("float16", "bfloat16", "float32", "bool", "int8", "uint8", "int16", "uint16")
_MEASURABLE = (*_SINGLE, "float64", "int32", "uint32", "int64", "uint64")


def measure(
    array: npt.NDArray[np.generic],
    *,
    units: bool = False,
    keep: Sequence[Axis] | None = None,
    sparse: Sparse | None = None,
) -> Measurement:
    """Measures an array on the host, all statistics in float64.

    Args:
      array: Of a type for which `can_measure` holds, any shape.
      units: Whether to measure each unit (index of the last axis) too; wants rank 2 or more.
      keep: Which elements to keep; None keeps none.
      sparse: What to measure beside what all tensors have.

    Raises:
      TypeError: The array's type is not one that is logged.
    """
    if not can_measure(array.dtype.name):
        raise TypeError(
            f"an array of type {array.dtype.name} cannot be logged: it holds no real numbers. "
            "Convert it to float32 first, or leave it out."
        )
    kept = None if keep is None else array[tuple(axis.as_slice() for axis in keep)]
    single = array.dtype.name in _SINGLE
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
        code_counts=np.bincount(codes, minlength=histogram.CODES),
        center=center,
        shift=shift,
        units=_measure_units(values) if units and array.ndim > 1 and array.size else None,
        kept=kept,
        kept_axes=tuple(keep or ()),
        sparse={} if sparse is None else extra.measure(array, sparse),
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


def merge(first: Measurement, second: Measurement) -> Measurement:
    """What one look at the elements of both would have given: two batches of the same tensor.

    Counts add up, and moments are those of all elements. Histograms add up; where they were counted from different
    centres, an element moves by at most the width of the cell that it was counted in. Units are weighted by their
    elements, which is exact where all are finite. Values are those of the first. What only some tensors have is the
    mean of both, weighted by their elements: `spread` and `rank` are then those of examples of one batch.

    Args:
      first: Of a tensor.
      second: Of another part of it, with as many units.
    """
    one, other = first.digest, second.digest
    finite = [d.size - d.nan - d.pos_inf - d.neg_inf for d in (one, other)]
    if not finite[1]:
        low, high, mean, std, rms = one.min, one.max, one.mean, one.std, one.rms
    elif not finite[0]:
        low, high, mean, std, rms = other.min, other.max, other.mean, other.std, other.rms
    else:
        share = finite[1] / sum(finite)
        low, high = min(one.min, other.min), max(one.max, other.max)
        # Not by the difference of the means, which may be out of float64's range.
        mean = min(max(one.mean * (1 - share) + other.mean * share, low), high)
        roots = math.sqrt(1 - share), math.sqrt(share)
        spread = roots[0] * roots[1] * other.mean - roots[0] * roots[1] * one.mean
        std = math.hypot(roots[0] * one.std, roots[1] * other.std, spread)
        rms = math.hypot(roots[0] * one.rms, roots[1] * other.rms)
    counts = {name: getattr(one, name) + getattr(other, name) for name in _COUNTS}
    digest = Digest(**counts, min=low, max=high, mean=mean, std=std, rms=rms)
    codes, center, shift = _merge_codes(first, second, digest)
    if first.units is not None and second.units is not None:
        units: Units | None = _merge_units(first.units, one.size, second.units, other.size)
    else:
        units = first.units if one.size else second.units  # what is empty has none
    return dataclasses.replace(
        first,
        digest=digest,
        code_counts=codes,
        center=center,
        shift=shift,
        units=units,
        sparse=_merge_sparse(first, second),
    )


def _merge_sparse(first: Measurement, second: Measurement) -> dict[str, float]:
    sizes = first.digest.size, second.digest.size
    merged = {**second.sparse, **first.sparse}
    for name in first.sparse.keys() & second.sparse.keys():
        weighted = first.sparse[name] * sizes[0] + second.sparse[name] * sizes[1]
        merged[name] = weighted / sum(sizes) if sum(sizes) else math.nan
    return merged


_COUNTS = ("size", "nan", "pos_inf", "neg_inf", "zero", "negative")


def _merge_codes(
    first: Measurement, second: Measurement, digest: Digest
) -> tuple[npt.NDArray[np.integer] | None, float, int]:
    """Code counts of both, and the centre and shift that they are counted from."""
    if first.code_counts is None or second.code_counts is None:
        return None, 0.0, 0
    if (first.center, first.shift) == (second.center, second.shift):
        return first.code_counts + second.code_counts, first.center, first.shift
    center, shift = first.center, max(first.shift, second.shift)
    if not math.isnan(digest.mean):
        single = not (first.shift or second.shift)
        center, shift = center_and_shift(digest.mean, digest.std, digest.min, digest.max, single)
    total = np.zeros(histogram.CODES, np.int64)
    for part in (first, second):
        assert part.code_counts is not None
        codes = np.flatnonzero(part.code_counts)
        # The middle of each cell; the cells of zero hold just that.
        bits = codes.astype(np.uint32) << np.uint32(histogram.CODE_SHIFT)
        is_zero = (codes == 0) | (codes == histogram.CODES // 2)
        bits |= np.where(is_zero, 0, 1 << (histogram.CODE_SHIFT - 1)).astype(np.uint32)
        distances = bits.view(np.float32).astype(np.float64)
        is_finite = np.isfinite(distances)
        values = np.ldexp(distances[is_finite], part.shift) + part.center
        moved = np.ldexp(np.clip(values, digest.min, digest.max) - center, -shift).astype(np.float32)
        moved_codes = moved.view(np.uint32) >> np.uint32(histogram.CODE_SHIFT)
        np.add.at(total, moved_codes, part.code_counts[codes[is_finite]])
    return total, center, shift


def _merge_units(one: Units, one_size: int, other: Units, other_size: int) -> Units:
    """Units of both, each weighted by how many elements its tensor has; a unit without any finite ones weighs none."""
    total = one_size + other_size
    shares = [
        np.where(np.isnan(units.mean), 0.0, size / total) for units, size in ((one, one_size), (other, other_size))
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = [share / (shares[0] + shares[1]) for share in shares]

        def known(name: str) -> list[npt.NDArray[np.floating]]:
            return [np.where(np.isnan(units.mean), 0.0, getattr(units, name)) for units in (one, other)]

        mean, rms, zero = known("mean"), known("rms"), known("zero")
        return Units(
            mean=weights[0] * mean[0] + weights[1] * mean[1],
            rms=np.hypot(np.sqrt(weights[0]) * rms[0], np.sqrt(weights[1]) * rms[1]),
            zero=weights[0] * zero[0] + weights[1] * zero[1],
            peak=np.fmax(one.peak, other.peak),
        )


def _moments(values: npt.NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Min, max, mean, std and rms of finite float64 values; NaN if there are none."""
    if not values.size:
        return (float("nan"),) * 5
    low, high = float(values.min()), float(values.max())
    with np.errstate(over="ignore"):
        mean = float(values.mean())
    # Rounding may put the mean of equal values beside them.
    mean = min(max(mean, low), high)
    # The power of two keeps the squares of float64's largest and smallest numbers in range; dividing by it is exact.
    exponent = int(np.frexp(max(abs(low), abs(high)))[1])
    exponent = exponent if abs(exponent) > 400 else 0
    scaled = np.ldexp(values, -exponent) if exponent else values
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
