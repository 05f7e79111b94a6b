"""Histograms over the float's own bits: true to any scale, mergeable, at most 1 KB.

A float32's upper 13 bits (sign, exponent, four bits of mantissa) number a cell of the real line whose relative width is
at most 1/16. Counting them takes one pass whatever the range of the data. Where values crowd far from zero (std <
|mean| / 4) cells of fixed relative width are too coarse, so what is counted there is the distance from the mean.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format.wire import decode_varints, encode_varints

#: How many different cell codes a float32 has: the sign and 12 bits of exponent and mantissa.
CODES = 8192
#: Bits of a float32 below its code.
CODE_SHIFT = 19
#: The most bytes that an encoded histogram takes.
MAX_BYTES = 1000
#: A tensor is centred on its mean where its std is less than |mean| / CENTER_RATIO.
CENTER_RATIO = 4.0

_NON_FINITE = 4080  # the first code whose exponent says infinity or NaN
_HALF = CODES // 2
_LARGEST = float(np.finfo(np.float64).max)
_MOST_COUNTED = 1 << 53  # elements that float64 tells apart, more than any tensor has
_FIRST = -_NON_FINITE  # where the first bin's gap is counted from
_HEADER = struct.Struct("<dhH")

# Ways to draw cells together, finest first: (mantissa bits in the core, bits near the centre, bits in the tails); -1
# makes one bin of all cells near the centre, -2 bins of four octaves. "Near the centre" is below 1/32 of the
# distribution's own scale, so that the error there is at most 3 % of it; tails are what lies outside the 0.4th and
# 99.6th percentile. Only distributions that fill hundreds of cells get past the first row.
_COARSENINGS = ((4, 4, 4), (4, 1, 1), (4, 0, 0), (4, -1, 0), (3, -1, 0), (2, -1, 0), (0, -1, 0), (-2, -2, -2))


@dataclasses.dataclass(frozen=True)
class Histogram:
    """The distribution of the finite elements of one tensor at one step.

    Attributes:
      lower: float64 [bins]: each bin's lower edge, ascending, in the tensor's own unit.
      upper: float64 [bins]: each bin's upper edge. Both edges equal the value where a bin holds a single one.
      counts: int64 [bins]: elements in the bin; bins without any are left out.
    """

    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    def quantiles(self, q: Sequence[float]) -> npt.NDArray[np.float64]:
        """Quantiles as numpy defines them: `q` (0 to 1) interpolates between the elements in order.

        The error is at most the larger of 5 % of the standard deviation and 7 % of the value; NaN without elements.
        """
        found = _quantiles(self.counts, [len(self.counts)], q, lambda i: (self.lower[i], self.upper[i]))
        return np.asarray(found[0])


class Cells(NamedTuple):
    """The codes that elements of a tensor have, ascending, and how many have each: some hundred of `CODES`.

    Attributes:
      codes: uint16 [cells].
      counts: int64 [cells], none of them 0.
    """

    codes: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, code_counts: npt.NDArray[np.integer]) -> Cells:
        """Those of a count for each code, integer [CODES]."""
        codes = np.flatnonzero(code_counts != 0)  # six times as fast as on the counts themselves
        return cls(codes.astype(np.uint16), code_counts[codes].astype(np.int64))

    def code_counts(self) -> npt.NDArray[np.int64]:
        """A count for each code, int64 [CODES]."""
        found = np.zeros(CODES, np.int64)
        found[self.codes] = self.counts
        return found


class Counted(NamedTuple):
    """The elements of a tensor, counted by their code: see `encode`."""

    cells: Cells
    center: float
    shift: int


def quantiles_of(counted: Sequence[Counted], q: Sequence[float]) -> npt.NDArray[np.float64]:
    """What `Histogram.quantiles` gives, for one or more tensors at once, from all their cells: float64 [tensors, q]."""
    filled = [_signed_cells(one.cells) for one in counted]
    bins = [len(cells) for cells, _ in filled]
    cells, counts = (np.concatenate([np.zeros(0, np.int64), *columns]) for columns in zip(*filled))
    owner = np.repeat(np.arange(len(counted)), bins)
    center = np.array([one.center for one in counted], np.float64)
    shift = np.array([one.shift for one in counted], np.int64)

    def edges(i: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return _in_own_unit(cells[i], cells[i] + 1, center[owner[i]], shift[owner[i]])

    return _quantiles(counts, bins, q, edges)


def _quantiles(
    counts: npt.NDArray[np.int64],
    bins: Sequence[int],
    q: Sequence[float],
    edges: Callable[[npt.NDArray[np.int64]], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
) -> npt.NDArray[np.float64]:
    """Quantiles of histograms that lie one after another.

    Args:
      counts: int64: elements in each bin of all histograms, none of them 0.
      bins: How many bins each histogram has.
      q: Fractions, 0 to 1.
      edges: Gives the lower and upper edges of bins, by their index in `counts`.

    Returns:
      float64 [histograms, q]; NaN for a histogram without bins.
    """
    found = np.full((len(bins), len(q)), np.nan)
    ends = np.cumsum(counts)
    last = np.cumsum(bins)
    counted = np.concatenate([[0], ends])
    before, total = counted[last - bins][:, None], np.diff(counted[np.concatenate([[0], last])])[:, None]
    filled = np.flatnonzero(total)
    before, total = before[filled], total[filled]
    position = np.asarray(q, np.float64) * (total - 1)
    below = np.floor(position).astype(np.int64)

    def element(k: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The k-th smallest element, as if those of a bin stood evenly within it."""
        i = np.searchsorted(ends, before + k, side="right")
        within = (before + k - (ends[i] - counts[i]) + 0.5) / counts[i]
        lower, upper = edges(i)
        return np.asarray((1 - within) * lower + within * upper)  # their difference may be no float

    low, high = element(below), element(np.minimum(below + 1, total - 1))
    found[filled] = low + (position - below) * (high - low)
    return found


def encode(cells: Cells, center: float = 0.0, shift: int = 0) -> bytes:
    """Encodes counted codes as `docs/http_api.md` says, at most `MAX_BYTES` long.

    Args:
      cells: How many elements y = (x - center) / 2**shift have each code, that is `bits(y) >> CODE_SHIFT`, unsigned.
        Those of NaN and infinities are passed over.
      center: What was subtracted before counting.
      shift: The power of two by which the distances were divided.
    """
    signed, counts = _signed_cells(cells)
    scale = _scale(signed, counts)
    for coarsening in _COARSENINGS:
        starts, widths, sums = _merge(signed, counts, scale, coarsening)
        encoded = _encode_bins(starts, widths, sums)
        if _HEADER.size + len(encoded) <= MAX_BYTES:
            break
    return _HEADER.pack(center, shift, len(starts)) + encoded


def decode(data: bytes) -> Histogram:
    """Decodes what `encode` made.

    Raises:
      ValueError: `data` is not a histogram.
    """
    if len(data) < _HEADER.size:
        raise ValueError(f"a histogram of {len(data)} bytes is shorter than its header of {_HEADER.size}")
    center, shift, bins = _HEADER.unpack_from(data)
    if not math.isfinite(center):
        raise ValueError(f"a histogram is centred on {center}")
    if len(data) > MAX_BYTES:
        raise ValueError(f"a histogram of {len(data)} bytes is longer than the longest, {MAX_BYTES}")
    numbers = decode_varints(data[_HEADER.size :]).tolist()  # whole numbers of Python, which do not overflow
    starts, ends, counts = [], [], []
    end, i = _FIRST, 0
    try:
        for _ in range(bins):
            gap = numbers[i]
            wide = gap & 1
            start = end + (gap >> 1)
            end = start + (numbers[i + 1] if wide else 1)
            starts.append(start)
            ends.append(end)
            counts.append(numbers[i + 1 + wide])
            i += 2 + wide
    except IndexError:
        raise ValueError(f"a histogram that says {bins} bins ends after {len(counts)}") from None
    # Gaps and widths are not negative, so what holds of the first start and the last end holds of those between them.
    is_beyond = bool(starts) and (starts[0] <= _FIRST or end > _NON_FINITE)
    if i != len(numbers) or is_beyond or any(map(operator.eq, starts, ends)):
        raise ValueError("a histogram's bins do not fill its bytes, are empty, or lie beyond the largest float")
    if 0 in counts or sum(counts) > _MOST_COUNTED:
        raise ValueError(f"a histogram's bins hold {sum(counts)} elements, or one of them none")
    lower, upper = _in_own_unit(np.array(starts, np.int64), np.array(ends, np.int64), center, shift)
    return Histogram(lower, upper, np.array(counts, np.int64))


def _in_own_unit(
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    center: float | npt.NDArray[np.float64],
    shift: int | npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The edges of bins of signed cells, in the tensor's own unit; those of cell 0 are both its value."""
    zero = (starts == 0) & (ends == 1)
    with np.errstate(over="ignore"):
        lower = center + np.ldexp(np.where(zero, 0.0, _edge(starts)), shift)
        upper = center + np.ldexp(np.where(zero, 0.0, _edge(ends)), shift)
    # A cell may reach beyond the largest float.
    return np.clip(lower, -_LARGEST, _LARGEST), np.clip(upper, -_LARGEST, _LARGEST)


def _edge(cell: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The lower edge of signed cells, as float64."""
    code = np.where(cell >= 1, cell, 1 - cell)
    # The end of the last cell is the code of infinity: there, the edge is the largest finite float.
    magnitude = (code.astype(np.uint32) << np.uint32(CODE_SHIFT)).view(np.float32).astype(np.float64)
    magnitude = np.minimum(magnitude, float(np.finfo(np.float32).max))
    return np.where(cell >= 1, magnitude, -magnitude)


def _signed_cells(cells: Cells) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cells that hold elements, ascending in value, as signed numbers, and how many each holds."""
    codes, counts = cells.codes.astype(np.int64), cells.counts
    ends = np.searchsorted(codes, [1, _NON_FINITE, _HALF, _HALF + 1, _HALF + _NON_FINITE])
    negative = slice(ends[3], ends[4])
    zero = np.append(counts[: ends[0]], counts[ends[2] : ends[3]]).sum(keepdims=True)
    zero = zero[zero > 0]
    signed = (_HALF - codes[negative][::-1], np.zeros_like(zero), codes[ends[0] : ends[1]])
    return np.concatenate(signed), np.concatenate((counts[negative][::-1], zero, counts[ends[0] : ends[1]]))


def _scale(cells: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> float:
    """How wide the distribution is: half of what lies between its 16th and 84th percentile, or its rms if smaller.

    A few outliers make the rms alone useless (Cauchy), and a half of zeros the percentiles (ReLU).
    """
    if not len(cells):
        return 0.0
    middle = (_edge(cells) + _edge(cells + 1)) / 2
    middle[cells == 0] = 0.0
    ends = np.cumsum(counts)
    low, high = middle[np.searchsorted(ends, [0.16 * ends[-1], 0.84 * ends[-1]])]
    largest = float(np.abs(middle).max())
    if largest == 0.0:
        return 0.0
    rms = largest * float(np.sqrt(np.sum(counts * (middle / largest) ** 2) / ends[-1]))
    return min(rms, (high - low) / 2) if high > low else rms


def _merge(
    cells: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], scale: float, bits: tuple[int, int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draws cells together; returns each bin's first cell, its width in cells, and its count."""
    core, near_centre, tail = bits
    if min(bits) == 4 or not len(cells):
        return cells, np.ones_like(cells), counts
    code = np.abs(cells)
    near_end = max(int(np.float32(scale / 32).view(np.uint32)) >> CODE_SHIFT, 2)
    middle = np.cumsum(counts) - counts / 2
    in_tail = (middle < 0.004 * counts.sum()) | (middle > 0.996 * counts.sum())
    keep = np.where(code < near_end, near_centre, np.where(in_tail, tail, core))
    # A bin is an aligned run of cells: four octaves (-2), 2**(4 - bits) cells, or all near ones on a side (-1).
    width = np.where(keep == -2, 64, 16 >> np.maximum(keep, 0))
    first = np.where(keep == -1, 1, np.maximum(code // width * width, 1))
    last = np.where(keep == -1, near_end - 1, np.minimum(code // width * width + width, _NON_FINITE) - 1)
    start = np.where(cells > 0, first, np.where(cells < 0, -last, 0))
    stop = np.where(cells > 0, last, np.where(cells < 0, -first, 0)) + 1
    # Where runs of different widths meet, none may reach over its neighbour's cells.
    border = np.flatnonzero(np.diff(keep) | np.diff(np.sign(cells))) + 1
    run = np.zeros(len(cells), np.int64)
    run[border] = 1
    run = np.cumsum(run)
    stop = np.minimum(stop, np.append(cells[border], _NON_FINITE)[run])
    start = np.maximum(start, np.concatenate([[_FIRST], cells[border - 1] + 1])[run])
    index = np.flatnonzero(np.concatenate([[True], start[1:] >= stop[:-1]]))
    return start[index], stop[index] - start[index], np.add.reduceat(counts, index)


def _encode_bins(starts: npt.NDArray[np.int64], widths: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> bytes:
    if not len(starts):
        return b""
    gaps = starts - np.concatenate([[_FIRST], (starts + widths)[:-1]])
    wide = widths > 1
    numbers = np.stack([2 * gaps + wide, widths, counts], axis=1)
    present = np.ones(numbers.shape, bool)
    present[:, 1] = wide
    return encode_varints(numbers[present])
