"""Small pictures of kept values: which axes lie where, means over blocks, and levels of one byte."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format import arrays, values
from tb_layerview.format.model import Kind, default_axes
from tb_layerview.serving.past import Scale

#: The highest level of a finite value; those after it say what has none.
TOP = 250
EMPTY, NEGATIVE_INFINITY, POSITIVE_INFINITY, NAN = 251, 252, 253, 255
#: The most rows and columns of a tile, and of a strip.
TILE, STRIP = (32, 32), (32, 288)
#: How many tiles of one tensor are shown, and how many examples beside each other.
TILES, EXAMPLES = 9, 64

_ROWS = ("row", "height")
_COLUMNS = ("column", "width")
_TIMES = ("timestep", "time", "position")
_SHORT = 16  # so many units stand in one row
_WIDE = 8  # and more of them in rows so many times as long as there are rows
_SMALLEST = float(np.finfo(np.float64).tiny)
_HEADROOM = 32  # sums of 2**32 of the largest floats are floats


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which axis of a tensor lies where in its picture.

    Attributes:
      example: The axis of examples, or None.
      tile: The axis of which each index is a picture of its own, or None.
      row: The axis that runs down, or None.
      column: The axis that runs across, or None for a scalar.
      middle: Of these axes the middle index is shown: depth, and time of pictures.
      first: Of these the first index.
      is_tiles: Whether pictures have a shape of their own (`tiles`), or are a row of what comes one by one (`strip`).
    """

    example: int | None = None
    tile: int | None = None
    row: int | None = None
    column: int | None = None
    middle: tuple[int, ...] = ()
    first: tuple[int, ...] = ()
    is_tiles: bool = False

    @property
    def wraps(self) -> bool:
        """Whether the elements have one axis, whose order alone is kept when they are wrapped over rows."""
        return self.row is None

    @property
    def counted(self) -> int | None:
        """The axis whose size says how many channels, heads or units the whole tensor has; None for a scalar."""
        if self.is_tiles:
            return self.tile
        return self.column if self.row is None or self.example is None else self.row


def names_of(kind: Kind, axes: Sequence[str], rank: int) -> tuple[str, ...]:
    """The names of a tensor's axes; those of Keras where it has none."""
    return tuple(axes) if len(axes) == rank else default_axes(kind, rank)


@functools.lru_cache(maxsize=1024)
def plan(names: tuple[str, ...]) -> Plan:
    """Which of the axes of these names lies where."""
    example = names.index("example") if "example" in names else None
    rest = [axis for axis in range(len(names)) if axis != example]

    def find(wanted: Sequence[str]) -> int | None:
        return next((axis for axis in rest if names[axis] in wanted), None)

    def tiles(row: int, column: int, tile: int | None) -> Plan:
        others = [axis for axis in rest if axis not in (row, column, tile)]
        middle = tuple(axis for axis in others if names[axis] in ("depth", *_TIMES))
        first = tuple(axis for axis in others if axis not in middle)
        return Plan(example, tile, row, column, middle, first, is_tiles=True)

    row, column = find(_ROWS), find(_COLUMNS)
    if row is not None and column is not None:
        channels = [axis for axis in rest if axis not in (row, column) and names[axis] not in ("depth", *_TIMES)]
        return tiles(row, column, channels[-1] if channels else None)
    row, column = find(("query",)), find(("key",))
    if row is not None and column is not None:
        others = [axis for axis in rest if axis not in (row, column)]
        return tiles(row, column, find(("head",)) if "head" in names else others[-1] if others else None)
    if len(rest) <= 1:
        return Plan(example, column=rest[0] if rest else None)
    if len(rest) == 2:
        time = find(_TIMES) if example is not None else None
        across = rest[1] if time is None else time
        return Plan(example, row=rest[0] if across == rest[1] else rest[1], column=across)
    head = find(("head",))
    *before, upper, lower = [axis for axis in rest if axis != head]
    return tiles(upper, lower, before[-1] if head is None else head)


class Cut(NamedTuple):
    """Pictures of means.

    Attributes:
      array: float32 or float64 [pictures, rows, columns]; the elements of what wraps are in one row.
      block: How many rows and columns of elements each of them is the mean of; those at the end may be of fewer.
      size: How many rows and columns of elements there were.
      wraps: Whether the elements are to be wrapped over rows.
      most: The most rows and columns of a picture.
      layout: `tiles`, `strip` or `rgb`.
      of: How many channels, heads or units the whole tensor has; of all examples' pictures how many examples.
      non_finite: How many kept elements of what is shown are not finite, those included that are in no picture.
    """

    array: npt.NDArray[np.floating]
    block: tuple[int, int]
    size: tuple[int, int]
    wraps: bool
    most: tuple[int, int]
    layout: str
    of: int
    non_finite: int

    def shape(self, factor: int = 1) -> tuple[int, int, int]:
        """How many pictures there are, their rows and their columns, each side so many times smaller."""
        count, rows, columns = self.array.shape
        if self.wraps:
            return (count, *wrapped(-(-columns // factor**2), self.most))
        return count, -(-rows // factor), -(-columns // factor)


def non_finite(stored: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Which elements are not finite. Of float16 their bits say it, which is quicker than numpy's own way."""
    if stored.dtype.itemsize == 2:
        return np.asarray((stored.view("<u2") & 0x7FFF) >= 0x7C00)
    return np.asarray(~np.isfinite(stored))


def bad_examples(bad: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.int64]:
    """int64: the indices of an axis at which any element is marked."""
    if not bad.any():
        return np.zeros(0, np.int64)
    return np.flatnonzero(bad.any(axis=tuple(i for i in range(bad.ndim) if i != axis)))


def cut(
    block: arrays.Block,
    axes: Sequence[values.Axis],
    how: Plan,
    bad: npt.NDArray[np.bool_] | None,
    example: int | None,
    rgb: bool,
) -> Cut:
    """Cuts the pictures of one example, or of all, out of kept values.

    Args:
      block: The kept elements, [the axes' counts], of which none is 0; examples after the shown one may be left out.
      axes: What is kept of each axis.
      how: The plan of the tensor's axes.
      bad: Which elements are not finite, as `non_finite` says; None if all are.
      example: The index of the example among the kept ones; None for a picture each of all of them, or where the tensor
        has no axis of examples.
      rgb: Whether the channels are those of a picture in colours, if there are three.
    """
    every = how.example is not None and example is None
    rgb = rgb and how.is_tiles and how.tile is not None and axes[how.tile].size == axes[how.tile].count == 3
    taken = [slice(None)] * len(axes)
    if how.example is not None:
        taken[how.example] = slice(None) if example is None else slice(example, example + 1)
    of_example = 0 if bad is None else int(np.count_nonzero(bad[tuple(taken)]))
    if every and how.example is not None:
        taken[how.example] = slice(EXAMPLES)
    if how.tile is not None:
        taken[how.tile] = slice(3 if rgb else 1 if every else TILES)
    for axis in how.first:
        taken[axis] = slice(1)
    for axis in how.middle:
        taken[axis] = slice(axes[axis].count // 2, axes[axis].count // 2 + 1)
    part = block.stored[tuple(taken)]
    inner = [axis for axis in (how.row, how.column) if axis is not None]
    outer = [axis for axis in range(len(axes)) if axis not in (*inner, how.example, how.tile)]
    outer += [axis for axis in (how.example, how.tile) if axis is not None]
    rows, columns = (1 if axis is None else part.shape[axis] for axis in (how.row, how.column))
    pictures = arrays.widen(part.transpose(*outer, *inner), block.shift).reshape(-1, rows, columns)
    most = TILE if every or how.is_tiles else STRIP
    counted = how.example if every else how.counted
    return Cut(
        array=block_means(pictures, *(blocks := _blocks((rows, columns), most, how))),
        block=blocks,
        size=(rows, columns),
        wraps=how.wraps,
        most=most,
        layout="rgb" if rgb else "tiles" if every or how.is_tiles else "strip",
        of=1 if counted is None else axes[counted].size,
        non_finite=of_example,
    )


def _blocks(size: tuple[int, int], most: tuple[int, int], how: Plan) -> tuple[int, int]:
    """Of how many rows and columns a mean is, so that a picture is no larger than it may be."""
    if how.wraps:
        return 1, max(1, -(-size[1] // (most[0] * most[1])))
    down, across = (max(1, -(-n // limit)) for n, limit in zip(size, most))
    # A picture keeps its shape; along a strip and across it are different things.
    return (max(down, across),) * 2 if how.is_tiles else (down, across)


def block_means(
    pictures: npt.NDArray[np.floating],
    rows: int,
    columns: int,
    weights: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
) -> npt.NDArray[np.floating]:
    """Means over blocks of so many rows and columns; of fewer at the end.

    What is not finite is never averaged away: a block with a NaN is NaN, else one with +inf is that, else with -inf.

    Args:
      pictures: [pictures, rows, columns], none of which is 0.
      rows: Of a block.
      columns: Of a block.
      weights: For each row and for each column what it counts for; 1 if not given.

    Returns:
      [pictures, blocks down, blocks across], of the same type.
    """
    if rows == columns == 1:
        return pictures
    held = np.ones(pictures.shape[1:]) if weights is None else weights[0][:, None] * weights[1]
    marks = pictures[~np.isfinite(pictures)]
    wide = np.ldexp(pictures.astype(np.float64), -_HEADROOM)
    if len(marks):
        wide[~np.isfinite(pictures)] = 0.0
    sums = _sums(wide if weights is None else wide * held, rows, columns)
    count = _sums(held[None], rows, columns)
    with np.errstate(under="ignore"):
        means = np.ldexp(sums / count, _HEADROOM).astype(pictures.dtype)
    if len(marks):
        for is_one, value in ((np.isneginf, -np.inf), (np.isposinf, np.inf), (np.isnan, np.nan)):
            if is_one(marks).any():
                means[_sums(is_one(pictures).astype(np.float64), rows, columns) > 0] = value
    return means


def _sums(array: npt.NDArray[np.float64], rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Sums over blocks, [pictures, blocks down, blocks across]."""
    down = np.add.reduceat(array, np.arange(0, array.shape[1], rows), axis=1)
    return np.asarray(np.add.reduceat(down, np.arange(0, array.shape[2], columns), axis=2))


def smaller(one: Cut, factor: int) -> Cut:
    """The same pictures with each side so many times smaller: what the means are of stays a block of elements."""
    if factor == 1:
        return one
    rows, columns = (1, factor**2) if one.wraps else (factor, factor)
    held = tuple(
        np.minimum(block, size - np.arange(0, size, block)).astype(np.float64)
        for block, size in zip(one.block, one.size)
    )
    array = block_means(one.array, rows, columns, (held[0], held[1]))
    return one._replace(array=array, block=(one.block[0] * rows, one.block[1] * columns))


def wrapped(count: int, most: tuple[int, int]) -> tuple[int, int]:
    """Over how many rows and columns so many units are wrapped: one row of a few, else about one to eight.

    Of the numbers of rows near that the one leaves fewest places empty.

    Args:
      count: How many units there are, at most as many as there are places.
      most: The most rows and columns.
    """
    if count <= _SHORT:
        return 1, max(1, count)
    fewest = -(-count // most[1])
    ideal = min(max(math.sqrt(count / _WIDE), fewest), most[0])

    def emptiness(rows: int) -> tuple[int, float]:
        return -(-count // rows) * rows - count, abs(math.log(rows / ideal))

    first, last = max(fewest, math.ceil(ideal / 1.5), 1), min(most[0], max(math.floor(ideal * 1.5), fewest))
    rows = min(range(first, last + 1), key=emptiness)
    return rows, -(-count // rows)


def levels(one: Cut, scale: Scale) -> npt.NDArray[np.uint8]:
    """Levels, uint8 [pictures, height, width]: 0 to `TOP` from low to high, or one that says what is there instead."""
    array = one.array
    low, high = scale.low / 2, scale.high / 2  # their difference is a float
    with np.errstate(all="ignore"):
        unit = (array.astype(np.float64) / 2 - low) / max(high - low, _SMALLEST)
        found = np.floor(TOP * np.clip(unit, 0, 1) + 0.5)
    finite = np.isfinite(array)
    if not finite.all():
        found[np.isnan(array)] = NAN
        found[np.isposinf(array)] = POSITIVE_INFINITY
        found[np.isneginf(array)] = NEGATIVE_INFINITY
    if not one.wraps:
        return found.astype(np.uint8)
    count, height, width = one.shape()
    padded = np.full((count, height * width), EMPTY, np.uint8)
    padded[:, : array.shape[2]] = found[:, 0]
    return padded.reshape(count, height, width)
