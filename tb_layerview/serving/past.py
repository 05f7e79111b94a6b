"""The healthy past of a run, and the ranges that its tensors have in it: the same whatever step is looked at."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format.arrays import WIDE
from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import is_attention
from tb_layerview.reading.part import Part, span
from tb_layerview.reading.run import Run

_LARGEST = float(np.finfo(np.float32).max)
_WILD = 0.02  # this share of the steps, those that reach furthest, does not count
_EVEN = 3.0  # attention to so many times what each key gets where all get the same has a colour of its own
_AT_ONCE = 64  # so many tensors' columns of a long run are in memory

Reach = tuple[float, float]


class Scale(NamedTuple):
    """What the levels of a picture reach over.

    Attributes:
      low: The value of the lowest level.
      high: That of the highest, larger.
      diverging: Whether it is around 0.
    """

    low: float
    high: float
    diverging: bool


class Past:
    """Knows of each run how many of its first steps are healthy, and over what its tensors reach in these.

    May be used from many threads.
    """

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._lock = threading.Lock()
        self._healthy: weakref.WeakKeyDictionary[Run, int] = weakref.WeakKeyDictionary()
        self._reaches: weakref.WeakKeyDictionary[Run, dict[tuple[int, bool], Reach | None]] = (
            weakref.WeakKeyDictionary()
        )

    def reaches(self, run: Run, tensors: Sequence[int], quantiles: bool = True) -> list[Reach | None]:
        """Over what tensors reach in the healthy past, or None for those that never had a finite element.

        Of a tensor that has nothing in the healthy past: over all steps at which it is plausible, else finite.

        Args:
          run: The run.
          tensors: Indices of its tensors.
          quantiles: Whether it is from the 1st to the 99th percentile, without the wildest steps; else, and where
            that is nothing, from the smallest element to the largest.
        """
        with self._lock:
            known = self._reaches.setdefault(run, {})
            healthy = self._healthy.get(run)
        missing = list(dict.fromkeys(tensor for tensor in tensors if (tensor, quantiles) not in known))
        if missing:
            healthy = count_healthy(run) if healthy is None else healthy
            groups = [missing[start : start + _AT_ONCE] for start in range(0, len(missing), _AT_ONCE)]
            found = [reach for group in groups for reach in _reaches(run, group, healthy, quantiles)]
            with self._lock:
                self._healthy[run] = healthy
                known.update(((tensor, quantiles), reach) for tensor, reach in zip(missing, found))
        return [known[tensor, quantiles] for tensor in tensors]


def count_healthy(run: Run) -> int:
    """How many steps come before the first at which any tensor is not finite, or not plausible (see `WIDE`)."""
    first = len(run.steps)
    for part in run.parts:
        positions = part.positions[part.positions < first]
        sick = _sick(part)[: len(positions)]
        if sick.any():
            first = int(positions[np.argmax(sick)])
    return first


def _sick(part: Part) -> npt.NDArray[np.bool_]:
    """Whether each row, bool [rows], has a tensor that is not finite or not plausible."""
    rows = span(part.rows)
    found = np.zeros(len(part.rows), bool)
    for name in ("nan", "pos_inf", "neg_inf"):
        found |= (part.shard.column(name)[rows] > 0).any(axis=1)
    found |= (part.shard.column("min")[rows] < -WIDE).any(axis=1)
    found |= (part.shard.column("max")[rows] > WIDE).any(axis=1)
    return found


def _reaches(run: Run, tensors: Sequence[int], healthy: int, quantiles: bool) -> list[Reach | None]:
    """As `Past.reaches`, which knows how many steps are healthy."""
    lows, highs = (run.columns(name, tensors) for name in ("min", "max"))
    whole = [(low, high) for low, high in zip(lows, highs)]
    if not quantiles:
        return [_extremes(low, high, healthy) for low, high in whole]
    columns = zip(*(run.columns(name, tensors) for name in ("p1", "p99")))
    return [
        _quantiles(p1, p99, low, high, healthy) or _extremes(low, high, healthy)
        for (p1, p99), (low, high) in zip(columns, whole)
    ]


def _counting(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], healthy: int) -> npt.NDArray[np.bool_]:
    """Which steps count for a tensor: the healthy ones, else the plausible, else all at which anything is finite."""
    finite = np.isfinite(low) & np.isfinite(high)
    plausible = finite & (low >= -WIDE) & (high <= WIDE)
    past = np.arange(len(low)) < healthy
    return next((one for one in (plausible & past, plausible) if one.any()), finite)


def _extremes(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], healthy: int) -> Reach | None:
    counting = _counting(low, high, healthy)
    return (float(low[counting].min()), float(high[counting].max())) if counting.any() else None


def _quantiles(
    p1: npt.NDArray[np.float64],
    p99: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    healthy: int,
) -> Reach | None:
    """None where older writers did not store any, float32 does not hold them, or there is nothing between them."""
    counting = _counting(low, high, healthy) & (np.abs(p1) < _LARGEST) & (np.abs(p99) < _LARGEST)
    if not counting.any():
        return None
    wild = int(_WILD * np.count_nonzero(counting))
    reach = float(np.sort(p1[counting])[wild]), float(np.sort(p99[counting])[-1 - wild])
    return reach if reach[0] < reach[1] else None


def picture_scale(reach: Reach | None) -> Scale:
    """The scale of a picture, as the tab has it: around 0 if anything is negative."""
    if reach is None:
        return Scale(0.0, 1.0, False)
    low, high = reach
    if low < 0:
        most = max(-low, high)
        return Scale(-most, most, True)
    if low == high:
        return Scale(0.0, high or 1.0, False)
    # A tensor that lies far from 0 shows its differences, one that comes near it keeps 0 as its ground.
    return Scale(0.0 if low < 0.5 * high else low, high, False)


def colour_scale(reach: Reach | None) -> Scale:
    """The scale of a picture in colours, in which 0 is nothing special unless it is black."""
    if reach is None or reach[0] >= 0 or reach[0] == reach[1]:
        return picture_scale(reach)
    return Scale(*reach, False)


def attention_scale(reach: Reach | None, keys: int) -> Scale:
    """The scale of attention scores: from none to three times what each of so many keys gets where all get the same."""
    if reach is not None and reach[0] < 0:  # what is negative are no shares
        return picture_scale(reach)
    return Scale(0.0, max(_EVEN / max(keys, 1), 0.0 if reach is None else reach[1]), False)


def is_scores(tensor: LoggedTensor, axes: tuple[str, ...]) -> bool:
    """Whether a tensor is what attention looks at."""
    return is_attention(tensor.kind, tensor.name, axes)
