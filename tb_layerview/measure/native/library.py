"""The native digest: found by its name beside this file, at the level that the processor has; None where there is none.

The library is digest.c, compiled once a level, and gives the same bits at each of them, on any number of threads.
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
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tb_layerview.about import logger
from tb_layerview.format import histogram
from tb_layerview.format.statistics import Digest
from tb_layerview.format.units import Units
from tb_layerview.measure.measurement import SINGLE, Measurement

#: The environment variable that chooses.
VARIABLE = "TB_LAYERVIEW_NATIVE"
#: Lowest first, as levels.c counts them.
LEVELS = ("baseline", "avx2", "avx512")
LIBRARY = Path(__file__).with_name({"win32": "digest.dll", "darwin": "digest.dylib"}.get(sys.platform, "digest.so"))

# As in digest.c.
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
#: Pieces that a thread takes at a time; a tensor of fewer than twice as many is not split.
_SHARE = 4


class _Look(ctypes.Structure):
    """As in digest.c, field by field."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("type", "size", "rows", "width", "rest", "units")),
        *((name, ctypes.c_int64) for name in ("piece_rows", "row_pieces", "column_pieces")),
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
        self._combine = getattr(library, f"tb_combine_{level}")
        self._combine.restype = ctypes.c_int
        self._combine.argtypes = [ctypes.c_void_p] * 4

    def look(self, array: npt.NDArray[np.generic], *, units: bool, threads: int | None = None) -> Measurement:
        """What one look gives at an array of a type for which `can_measure` holds.

        Args:
          array: Any shape but without elements; one that is not contiguous is copied.
          units: Whether to measure each unit; wants rank 1 or more.
          threads: The most that share it; None: as many as there are cores that this process may use.
        """
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        array = np.ascontiguousarray(array)
        job = _plan(array, array.shape[-1] if units else 1)
        slots = np.empty(job.row_pieces * _SLOTS * job.units)
        of_units = np.empty((4, job.units)) if units else None
        to_units = of_units.ctypes.data if of_units is not None else None
        is_wanted = True
        while is_wanted:
            counts = self._look_at_pieces(job, slots, threads)
            is_wanted = self._combine(ctypes.addressof(job), slots.ctypes.data, counts.ctypes.data, to_units)
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
            code_counts=counts[: histogram.CODES],
            center=job.center,
            shift=job.shift,
            units=None if of_units is None else _units(of_units, array.dtype.name in SINGLE),
        )

    def _look_at_pieces(self, job: _Look, slots: npt.NDArray[np.float64], threads: int | None) -> npt.NDArray[np.int64]:
        """Looks at all of them, and returns what was counted."""
        pieces = job.row_pieces * job.column_pieces
        if pieces < 2 * _SHARE or threads == 1:
            counts, scratch = _of_a_thread()
            self._look_at(job, 0, pieces, slots, scratch, counts)
            return counts
        waiting = collections.deque(range(0, pieces, _SHARE))
        found: list[npt.NDArray[np.int64]] = []

        def work() -> None:
            counts, scratch = _of_a_thread()
            while waiting:
                try:
                    first = waiting.popleft()
                except IndexError:  # another thread took the last ones
                    break
                self._look_at(job, first, min(first + _SHARE, pieces), slots, scratch, counts)
            found.append(counts)

        # Begun and ended here: a process that forks has none of them.
        helpers = [threading.Thread(target=work) for _ in range(min(threads or _cores(), len(waiting)) - 1)]
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
        return np.asarray(np.sum(found, axis=0))

    def _look_at(self, job: _Look, first: int, last: int, *to: npt.NDArray[np.generic]) -> None:
        self._look(ctypes.addressof(job), first, last, *(array.ctypes.data for array in to))


def _of_a_thread() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """What is counted, and what C needs meanwhile."""
    return np.zeros(_COUNTS, np.int64), np.empty(_SCRATCH, np.uint8)


def _plan(array: npt.NDArray[np.generic], units: int) -> _Look:
    """How an array is cut into pieces. A row of few units is drawn together with those after it."""
    width = units * max(1, _TILE_COLUMNS // units)
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
        column_pieces=math.ceil(width / _PIECE_COLUMNS),
    )
    job.array = array  # whose memory it is: as long as a thread looks, whatever interrupts the one that asked
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
