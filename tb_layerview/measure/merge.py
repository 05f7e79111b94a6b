"""Measurements of parts of a tensor to that of the whole."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from tb_layerview.format import histogram
from tb_layerview.format.histogram import Cells
from tb_layerview.format.statistics import COUNTS, STATISTICS, Digest
from tb_layerview.format.units import Units
from tb_layerview.measure.host import center_and_shift
from tb_layerview.measure.measurement import Measurement


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
    counts = {name: getattr(one, name) + getattr(other, name) for name in STATISTICS[:COUNTS]}
    digest = Digest(**counts, min=low, max=high, mean=mean, std=std, rms=rms)
    cells, center, shift = _merge_cells(first, second, digest)
    if first.units is not None and second.units is not None:
        units: Units | None = _merge_units(first.units, one.size, second.units, other.size)
    else:
        units = first.units if one.size else second.units  # what is empty has none
    return dataclasses.replace(
        first,
        digest=digest,
        cells=cells,
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


def _merge_cells(first: Measurement, second: Measurement, digest: Digest) -> tuple[Cells | None, float, int]:
    """Cells of both, and the centre and shift that they are counted from."""
    if first.cells is None or second.cells is None:
        return None, 0.0, 0
    if (first.center, first.shift) == (second.center, second.shift):
        return Cells.of(first.cells.code_counts() + second.cells.code_counts()), first.center, first.shift
    center, shift = first.center, max(first.shift, second.shift)
    if not math.isnan(digest.mean):
        single = not (first.shift or second.shift)
        center, shift = center_and_shift(digest.mean, digest.std, digest.min, digest.max, single)
    total = np.zeros(histogram.CODES, np.int64)
    for part, (codes, counts) in ((first, first.cells), (second, second.cells)):
        # The middle of each cell; the cells of zero hold just that.
        bits = codes.astype(np.uint32) << np.uint32(histogram.CODE_SHIFT)
        is_zero = (codes == 0) | (codes == histogram.CODES // 2)
        bits |= np.where(is_zero, 0, 1 << (histogram.CODE_SHIFT - 1)).astype(np.uint32)
        distances = bits.view(np.float32).astype(np.float64)
        is_finite = np.isfinite(distances)
        values = np.ldexp(distances[is_finite], part.shift) + part.center
        moved = np.ldexp(np.clip(values, digest.min, digest.max) - center, -shift).astype(np.float32)
        moved_codes = moved.view(np.uint32) >> np.uint32(histogram.CODE_SHIFT)
        np.add.at(total, moved_codes, counts[is_finite])
    return Cells.of(total), center, shift


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
