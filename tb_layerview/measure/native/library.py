"""The native digest: found by its name beside this file, at the level that the processor has; None where there is none.

The library is digest.c and extra.c, compiled once a level, which give the same bits at each of them, on any number of
threads; and histogram.c and units.c, compiled once: what is made of a digest before it is written.
`TB_LAYERVIEW_NATIVE` says which level to take (`baseline`, `avx2`, `avx512`), or `none` for numpy alone.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_layerview.about import logger
from tb_layerview.format import histogram
from tb_layerview.format.histogram import Cells, Counted
from tb_layerview.format.statistics import Digest
from tb_layerview.format.units import UNIT_STATISTICS, Units
from tb_layerview.measure.measurement import SINGLE, Measurement

#: The environment variable that chooses.
VARIABLE = "TB_LAYERVIEW_NATIVE"
#: Lowest first, as levels.c counts them.
LEVELS = ("baseline", "avx2", "avx512")
LIBRARY = Path(__file__).with_name({"win32": "digest.dll", "darwin": "digest.dylib"}.get(sys.platform, "digest.so"))

# As in elements.h.
_TYPES = {
    "float32": 0,
    "float64": 1,
    "float16": 2,
    "bfloat16": 3,
    "bool": 4,
    "int8": 5,
    "uint8": 6,
    "int16": 7,
    "uint16": 8,
    "int32": 9,
    "uint32": 10,
    "int64": 11,
    "uint64": 12,
}
_COUNTS = histogram.CODES + 8
_SLOTS = 6
_TILE_ROWS, _TILE_COLUMNS, _PIECE_COLUMNS = 8, 256, 1024
_SCRATCH = 2 * 4 * histogram.CODES + 40 * _PIECE_COLUMNS  # bytes
# Which elements are added up in which order depends on these, and on the shape, alone.
_PIECE = 1 << 18  # elements
# Columns: where units lie in rows shorter than this, looking at each row costs more than copying the array.
_SHORTEST_ROW = 64
#: Elements that a thread takes at a time, in whole pieces; a tensor of fewer than twice as many is not split. Each time
#: it fills and adds up tables of codes of its own: of pieces that are few columns of one row, it takes thousands.
_SHARE = 4 * _PIECE

# As in extra.c.
_EXAMPLES = 32
_LANES = 4


# As in histogram.c, field by field.
_COUNTED = np.dtype([("cells", np.int64), ("center", np.float64), ("shift", np.int64)])
_LONGEST = 2048  # bytes of a histogram's place
# Bytes of an array block beside its elements, if none of them can be deflated, at most; and of each 32 KB of these.
_AROUND, _AROUND_PART, _PART = 24, 5, 1 << 15


class _Look(ctypes.Structure):
    """As in digest.c, field by field."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("type", "size", "rows", "width", "rest", "units")),
        *((name, ctypes.c_int64) for name in ("piece_rows", "row_pieces", "column_pieces")),
        *((name, ctypes.c_int64) for name in ("span", "piece_columns", "parts")),
        ("center", ctypes.c_double),
        *((name, ctypes.c_int64) for name in ("shift", "looks")),
        *((name, ctypes.c_int64) for name in ("nan", "pos_inf", "neg_inf", "zero", "negative")),
        *((name, ctypes.c_double) for name in ("low", "high", "mean", "std", "rms")),
    )


class Engine:
    """The native digest at one level."""

    def __init__(self, library: ctypes.CDLL, level: str) -> None:
        self.level = level
        self._look = getattr(library, f"tb_look_{level}")
        self._look.restype = None
        self._look.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, *[ctypes.c_void_p] * 3]
        self._cells = library.tb_cells
        self._cells.restype = ctypes.c_int64
        self._cells.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
        self._combine = getattr(library, f"tb_combine_{level}")
        self._combine.restype = ctypes.c_int
        self._combine.argtypes = [ctypes.c_void_p] * 4
        self._quantiles = _function(library.tb_quantiles, "pppnpnpp")
        self._histograms = _function(library.tb_histograms, "pppnppp")
        self._silent_and_alike = _function(library.tb_silent_and_alike, "pnpnppp")
        self._encode_units = _function(library.tb_encode_units, "pnpnppp")
        library.tb_filled_size.restype = library.tb_deflated_size.restype = ctypes.c_int64
        self._filled_size = library.tb_filled_size()
        self._deflated_size = library.tb_deflated_size
        self._deflated_size.argtypes = [ctypes.c_int64]
        self._examples = _function(getattr(library, f"tb_examples_{level}"), "pnnnnnp")
        self._bounded = _function(getattr(library, f"tb_bounded_{level}"), "pnnddp")
        self._scores = _function(getattr(library, f"tb_scores_{level}"), "pnpdpp")

    def look(self, array: npt.NDArray[np.generic], *, units: bool, threads: int | None = None) -> Measurement:
        """What one look gives at an array of a type for which `can_measure` holds.

        Args:
          array: Any shape but without elements; one with gaps or turned axes is copied.
          units: Whether to measure each unit; wants rank 1 or more.
          threads: The most that share it; None: as many as there are cores that this process may use.
        """
        job = _plan(array, units)
        slots = np.empty(job.row_pieces * job.parts * _SLOTS * job.units)
        job.slots = slots  # held as its array is: see `_plan`
        of_units = np.empty((4, job.units)) if units else None
        at, at_slots, to_units = ctypes.addressof(job), _at(slots), None if of_units is None else _at(of_units)
        room = self._look_at_pieces(job, at_slots, threads)
        while self._combine(at, at_slots, room.at_counts, to_units):
            room.counts.fill(0)
            room.let_go()
            room = self._look_at_pieces(job, at_slots, threads)
        number = self._cells(room.at_counts, _COUNTS - histogram.CODES, room.at_codes, room.at_of_codes)
        cells = Cells(room.codes[:number].copy(), room.of_codes[:number].copy())
        room.let_go()
        return Measurement(
            digest=Digest(
                size=array.size,
                nan=job.nan,
                pos_inf=job.pos_inf,
                neg_inf=job.neg_inf,
                zero=job.zero,
                negative=job.negative,
                min=job.low,
                max=job.high,
                mean=job.mean,
                std=job.std,
                rms=job.rms,
            ),
            cells=cells,
            center=job.center,
            shift=job.shift,
            units=None if of_units is None else _units(of_units, array.dtype.name in SINGLE),
        )

    def quantiles(self, counted: Sequence[Counted], q: Sequence[float]) -> npt.NDArray[np.float64]:
        """What `histogram.quantiles_of` gives, to the last bit: float64 [tensors, q]."""
        found = np.empty((len(counted), len(q)))
        fractions, scratch = np.asarray(q, np.float64), np.empty(self._filled_size, np.uint8)
        rows, codes, counts = _rows(counted)
        self._quantiles(
            *(_at(rows), _at(codes), _at(counts), len(counted)),
            *(_at(fractions), len(q), _at(scratch), _at(found)),
        )
        return found

    def histograms(self, counted: Sequence[Counted]) -> list[bytes]:
        """What `histogram.encode` gives for each, to the last byte."""
        encoded, lengths = np.empty((len(counted), _LONGEST), np.uint8), np.empty(len(counted), np.int64)
        scratch = np.empty(self._filled_size, np.uint8)
        rows, codes, counts = _rows(counted)
        self._histograms(
            *(_at(rows), _at(codes), _at(counts), len(counted)),
            *(_at(scratch), _at(encoded), _at(lengths)),
        )
        return [place[:length].tobytes() for place, length in zip(encoded, lengths.tolist())]

    def silent_and_alike(self, units: Sequence[Units]) -> npt.NDArray[np.float64]:
        """The shares of units of each tensor that are silent, and that are alike: see `extra.alike`.

        Args:
          units: One of a tensor at least.

        Returns:
          float64 [2, tensors]; NaN where there are no others that a unit could be like.
        """
        columns, sizes = _columns(units)
        found = np.empty((2, len(units)), np.int64)
        table = np.empty(3 * (1 + 4 * max(1, int(sizes.max()))), np.uint64)
        self._silent_and_alike(*(_at(columns), columns.shape[1], _at(sizes), len(units), _at(table)), *map(_at, found))
        shares: npt.NDArray[np.float64] = found / sizes
        shares[1, sizes < 2] = np.nan
        return shares

    def encode_units(self, units: Sequence[Units]) -> list[bytes]:
        """For each what `units.decode` reads as it reads what `units.encode` gives; how it is deflated differs."""
        columns, sizes = _columns(units)
        most = int(sizes.max())
        room = len(UNIT_STATISTICS) * (4 * sizes + _AROUND + _AROUND_PART * (1 + 4 * sizes // _PART))
        scratch = np.empty(self._deflated_size(most), np.uint8)
        encoded, lengths = np.empty(int(room.sum()), np.uint8), np.empty(len(units), np.int64)
        self._encode_units(
            *(_at(columns), columns.shape[1], _at(sizes), len(units), _at(scratch)), *(_at(encoded), _at(lengths))
        )
        ends = np.cumsum(lengths)
        return [encoded[begin:end].tobytes() for begin, end in zip((ends - lengths).tolist(), ends.tolist())]

    def examples(self, array: npt.NDArray[np.generic], every: int, features: int) -> tuple[float, float]:
        """`spread` and `rank` as `extra.measure` has them, NaN where there is none.

        Args:
          array: Any shape but without axes or elements, of a type for which `can_measure` holds.
          every: Stride between the examples looked at, which are 32 at most.
          features: Stride between the features looked at of each.

        Raises:
          ValueError: There are more examples.
        """
        examples, of_each = -(-len(array) // every), array.size // len(array)
        if examples > _EXAMPLES:
            raise ValueError(f"{examples} examples, and C has room for {_EXAMPLES}")
        if array.ndim > 1 and not array.flags.c_contiguous:  # it is large, and what is looked at is not
            places: tuple[Any, ...] = np.unravel_index(np.arange(0, of_each, features), array.shape[1:])
            array = array[::every][(slice(None), *places)]
            every, of_each, features = 1, array.shape[1], 1
        array, found = _plain(array), np.empty(2)
        self._examples(
            *(_at(array), _TYPES[array.dtype.name], examples, every * of_each),
            *(-(-of_each // features), features, _at(found)),
        )
        return float(found[0]), float(found[1])

    def bounded(self, array: npt.NDArray[np.generic], low: float, high: float) -> int:
        """How many elements are at `low` or below, or at `high` or above, as float64 has them."""
        array, found = _plain(_in_memory(array)), np.empty(1, np.int64)
        self._bounded(_at(array), _TYPES[array.dtype.name], array.size, low, high, _at(found))
        return int(found[0])

    def scores(
        self, array: npt.NDArray[np.generic], every: int, sizes: tuple[int, int, int, int], even: float
    ) -> tuple[float, float, float]:
        """`positions`, `evenness` and `heads_alike` as `extra.measure` has them, NaN where there is none.

        Args:
          array: Any shape but without axes or elements, of a type for which `can_measure` holds.
          every: Stride between the indices of its first axis that are looked at.
          sizes: What these are, as [examples, heads, queries, keys].
          even: No likeness of heads is told from this evenness on.

        Raises:
          ValueError: There are not so many elements.
        """
        examples, heads, queries, keys = sizes
        rows = -(-len(array) // every)
        if rows * (array.size // len(array)) != math.prod(sizes):
            raise ValueError(f"every {every} of {array.shape} are not {sizes}")
        if examples % rows:  # the first axis is none of examples
            array, rows, every = array[::every], 1, 1
        array, found = _plain(array), np.empty(3)
        shape = np.array([rows, every * (array.size // len(array)), examples // rows, heads, queries, keys], np.int64)
        width = -(-keys // _LANES) * _LANES
        scratch = np.empty((heads + 1) * width + 8 * heads)
        self._scores(*(_at(array), _TYPES[array.dtype.name]), _at(shape), even, _at(scratch), _at(found))
        return float(found[0]), float(found[1]), float(found[2])

    def _look_at_pieces(self, job: _Look, slots: int, threads: int | None) -> _Room:
        """Looks at all of them, and returns what was counted; slots: their address."""
        pieces = job.row_pieces * job.column_pieces
        share = max(4, math.ceil(_SHARE * pieces / max(1, job.size)))
        if pieces < 2 * share or threads == 1:
            room = _room()
            self._look_at(job, 0, pieces, slots, room)
            return room
        waiting = collections.deque(range(0, pieces, share))
        found: list[_Room] = []

        def work() -> None:
            room = _room()
            while waiting:
                try:
                    first = waiting.popleft()
                except IndexError:  # another thread took the last ones
                    break
                self._look_at(job, first, min(first + share, pieces), slots, room)
            found.append(room)

        def assist() -> None:
            began = time.thread_time()
            work()
            seconds.append(time.thread_time() - began)

        seconds: list[float] = []
        # Begun and ended here: a process that forks has none of them.
        helpers = [threading.Thread(target=assist) for _ in range(min(threads or _cores(), len(waiting)) - 1)]
        begun = []
        for helper in helpers:
            try:
                helper.start()
            except RuntimeError:  # the interpreter ends, or the system has no more
                break
            begun.append(helper)
        work()
        for helper in begun:
            helper.join()
        _helped.seconds = seconds_of_helpers() + sum(seconds)
        room, *others = found
        for other in others:
            room.counts += other.counts
            other.counts.fill(0)
            other.let_go()
        return room

    def _look_at(self, job: _Look, first: int, last: int, slots: int, room: _Room) -> None:
        self._look(ctypes.addressof(job), first, last, slots, room.at_scratch, room.at_counts)


def _function(function: Any, arguments: str) -> Any:
    """A function of the library that returns nothing; p: an address, n: a whole number, d: a float64."""
    function.restype = None
    function.argtypes = [
        {"p": ctypes.c_void_p, "n": ctypes.c_int64, "d": ctypes.c_double}[letter] for letter in arguments
    ]
    return function


def _at(array: npt.NDArray[Any]) -> int:
    address: int = array.ctypes.data
    return address


def _rows(counted: Sequence[Counted]) -> tuple[npt.NDArray[Any], ...]:
    """What C takes of them: a row of each, and the codes and counts of all, one after another."""
    rows = np.array([(len(one.cells.codes), one.center, one.shift) for one in counted], _COUNTED)
    return (rows, *(np.concatenate([one.cells[i] for one in counted]) for i in range(2)))


def _columns(units: Sequence[Units]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The statistics of all tensors' units, [UNIT_STATISTICS, units], and how many each tensor has."""
    sizes = np.array([len(one.mean) for one in units], np.int64)
    columns = np.empty((len(UNIT_STATISTICS), int(sizes.sum())))
    for name, column in zip(UNIT_STATISTICS, columns):
        np.concatenate([getattr(one, name) for one in units], out=column, casting="unsafe")
    return columns, sizes


def _plain(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """As C takes it: in one piece, in this processor's order of bytes."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array)


_helped = threading.local()


def seconds_of_helpers() -> float:
    """Seconds of processors that other threads have taken for what this one has looked at."""
    return getattr(_helped, "seconds", 0.0)


class _Room:
    """What a thread counts into, and what C needs meanwhile; all 0 before it is used.

    To allocate and clear it takes longer than to look at a small tensor, so it is used again.

    Attributes:
      counts: int64 [_COUNTS].
      codes: uint16 [histogram.CODES], for those of the codes that are not 0.
      of_codes: int64 [histogram.CODES], for how many they are.
      at_counts: Its address, as `at_codes` and `at_of_codes` are.
      at_scratch: The address of what is C's alone.
    """

    def __init__(self) -> None:
        self.counts, self._scratch = np.zeros(_COUNTS, np.int64), np.zeros(_SCRATCH, np.uint8)
        self.codes, self.of_codes = np.empty(histogram.CODES, np.uint16), np.empty(histogram.CODES, np.int64)
        self.at_counts, self.at_scratch = _at(self.counts), _at(self._scratch)
        self.at_codes, self.at_of_codes = _at(self.codes), _at(self.of_codes)

    def let_go(self) -> None:
        """Leaves it to whoever looks next; it is all 0 again. One that is not let go of, after an error, is lost."""
        _rooms.append(self)


# More threads at a time get new ones.
_rooms: collections.deque[_Room] = collections.deque(maxlen=8)


def _room() -> _Room:
    try:
        return _rooms.pop()
    except IndexError:
        return _Room()


def _in_memory(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """A view whose axes are in the order in which they lie in memory; the outermost has the largest stride."""
    strides = array.strides
    return array.transpose(sorted(range(array.ndim), key=lambda axis: -strides[axis]))


def _plan(array: npt.NDArray[np.generic], with_units: bool) -> _Look:
    """How an array is cut into pieces, as it lies in memory where it can be taken so."""
    units = array.shape[-1] if with_units else 1
    span, columns = 1, _PIECE_COLUMNS
    if not array.flags.c_contiguous:
        strides = array.strides
        inner = [n for n, stride in zip(array.shape[:-1], strides[:-1]) if stride < strides[-1]] if units > 1 else []
        laid_out, span = _in_memory(array), math.prod(inner)
        if laid_out.flags.c_contiguous and (span == 1 or span * units >= _SHORTEST_ROW):
            array = laid_out
        else:
            span = 1
    array = _plain(array)
    # A row of few units is drawn together with those after it.
    width = units * (max(1, _TILE_COLUMNS // units) if span == 1 else span)
    parts = math.ceil(span / _PIECE_COLUMNS)
    if 1 < span <= _PIECE_COLUMNS:
        columns = _PIECE_COLUMNS // span * span
    rows, rest = divmod(array.size, width)
    piece_rows = max(_TILE_ROWS, _PIECE // min(width, _PIECE_COLUMNS) // _TILE_ROWS * _TILE_ROWS)
    job = _Look(
        data=array.ctypes.data,
        type=_TYPES[array.dtype.name],
        size=array.size,
        rows=rows,
        width=width,
        rest=rest,
        units=units,
        piece_rows=piece_rows,
        row_pieces=max(1, math.ceil(rows / piece_rows)),
        column_pieces=units * parts if parts > 1 else math.ceil(width / columns),
        span=span,
        piece_columns=columns,
        parts=parts,
    )
    # Whose memory it is: as long as a thread looks, whatever interrupts the one that asked.
    job.array = array
    return job


def _units(found: npt.NDArray[np.float64], single: bool) -> Units:
    mean, rms, zero, peak = found
    return Units(mean=mean, rms=rms, zero=zero, peak=peak.view(np.float32)[: len(peak)] if single else peak)


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def engines(path: Path = LIBRARY) -> dict[str, Engine]:
    """The library at each level that this processor has, lowest first; empty where there is none.

    Raises:
      OSError: The file there is no library for this machine.
    """
    if not path.is_file():
        return {}
    library = ctypes.CDLL(str(path))
    return {level: Engine(library, level) for level in LEVELS[: library.tb_level() + 1]}


def choose(wish: str, path: Path = LIBRARY) -> Engine | None:
    """The engine that is wished for, else the best; says so where that is not what was wished, or none."""
    if wish == "none":
        return None
    try:
        found = engines(path)
    except (OSError, AttributeError) as error:
        logger.warning("The native digest cannot be loaded, numpy does the same, slower: %s", error)
        return None
    if not found:
        logger.warning("There is no native digest (%s): numpy does the same, slower.", path.name)
        return None
    best = list(found)[-1]
    if wish and wish not in found:
        known = ", ".join([*found, "none"])
        logger.warning("%s=%r is not among those that this processor has: %s. %s it is.", VARIABLE, wish, known, best)
    return found.get(wish, found[best])


@functools.cache
def engine() -> Engine | None:
    """The one that this process uses, chosen when it is first asked for; None: numpy measures."""
    return choose(os.environ.get(VARIABLE, ""))
