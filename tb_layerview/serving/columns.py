"""Columns: a statistic of some tensors over all steps of a run, or over groups of steps, as the browser gets it.

The first 1,024 logged steps are groups of their own; the next 1,024 form pairs, the next 2,048 fours, and so on: step
i ≥ 1024 is in a group of 2**(floor(log2 i) - 9) steps. So groups never move when steps are added, and each time a run
doubles its steps there are 512 more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tb_layerview.format.statistics import COUNTS, NAMES, STATISTICS
from tb_layerview.reading.part import Part, span
from tb_layerview.reading.run import Run

#: What there are columns of; the share of elements that are not finite is made of three counts.
COLUMNS = (*STATISTICS, "non_finite", *NAMES[len(STATISTICS) :])
#: The largest number that a column holds; what is larger and finite becomes it.
LARGEST = float(np.finfo(np.float32).max)

_ALONE = 1024  # so many first steps are groups of their own
_NON_FINITE = ("nan", "pos_inf", "neg_inf")
_SHARES = (*STATISTICS[1:COUNTS], "non_finite")


def by_step(run: Run, name: str, tensors: npt.NDArray[np.int64], since: int = 0) -> npt.NDArray[np.float32]:
    """A column, little-endian float32 [tensors, steps from index `since` on].

    Args:
      run: The run.
      name: One of `COLUMNS`; counts are given as shares of the tensor's elements.
      tensors: int64 [tensors]: indices of the run's tensors.
      since: Index of the first step.
    """
    found = np.full((len(tensors), max(0, len(run.steps) - since)), np.nan, "<f4")
    for part, positions, column in _by_part(run, name, tensors, since):
        if part.is_rest:
            before = found[:, positions - since].T
            column = np.where(np.isnan(before), column, before)
        found[:, span(positions - since)] = column.T
    return found


def at_step(run: Run, name: str, tensors: npt.NDArray[np.int64], place: int) -> npt.NDArray[np.float32]:
    """What `by_step` gives for one step, without looking at the others: float32 [tensors].

    Args:
      run: The run.
      name: One of `COLUMNS`.
      tensors: int64 [tensors]: indices of the run's tensors; -1 for none, which is NaN.
      place: Index of the step; -1 for none.
    """
    found = np.full(len(tensors), np.nan, "<f4")
    for part in run.parts if place >= 0 else ():
        rows = np.flatnonzero(part.positions == place)
        if len(rows):
            of_step = dataclasses.replace(part, rows=part.rows[rows], positions=part.positions[rows])
            column = float32(_of_part(run, of_step, name, tensors, place))[0]
            first, second = (found, column) if part.is_rest else (column, found)
            found = np.where(np.isnan(first), second, first)
    return found


def by_group(run: Run, name: str, tensors: npt.NDArray[np.int64], since: int = 0) -> npt.NDArray[np.float32]:
    """The smallest and the largest number of a column in each group, NaN passed over unless there is nothing else.

    Args:
      run: The run.
      name: One of `COLUMNS`.
      tensors: int64 [tensors]: indices of the run's tensors.
      since: Index of the first group.

    Returns:
      Little-endian float32 [tensors, lows and highs, groups from index `since` on].
    """
    groups = max(0, count_groups(len(run.steps)) - since)
    lows, highs = (np.full((groups, len(tensors)), np.nan, "<f4") for _ in range(2))
    first = _first_step(since) if groups else len(run.steps)
    for _, positions, column in _by_part(run, name, tensors, first):
        group = _group_of(positions) - since
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        here = group[starts]
        # A group may go on in the next part.
        lows[here] = np.fmin(lows[here], _reduce(np.fmin, column, starts))
        highs[here] = np.fmax(highs[here], _reduce(np.fmax, column, starts))
    found = np.empty((len(tensors), 2, groups), "<f4")
    for start in range(0, groups, 64):  # transposed in blocks that stay in the cache
        block = slice(start, start + 64)
        found[:, 0, block], found[:, 1, block] = lows[block].T, highs[block].T
    return found


def _reduce(ufunc: np.ufunc, column: npt.NDArray[np.float32], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """What `ufunc.reduceat(column, starts)` gives, row by row of all groups, in a quarter of its time."""
    sizes = np.diff(starts, append=len(column))
    found = column[starts]
    for i in range(1, sizes.max()):
        larger = np.flatnonzero(sizes > i)
        found[larger] = ufunc(found[larger], column[starts[larger] + i])
    return found


def count_groups(steps: int) -> int:
    """How many groups so many steps form."""
    return 1 + int(_group_of(np.array([steps - 1]))[0]) if steps else 0


def _group_of(position: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The group that each step is in, by the steps' places in `Run.steps`."""
    # frexp's exponent is floor(log2) + 1, and exact.
    doublings = np.maximum(np.frexp(position.astype(np.float64))[1] - 10, 0).astype(np.int64)
    return np.asarray((_ALONE // 2) * doublings + (position >> doublings))


def _first_step(group: int) -> int:
    """The place in `Run.steps` of a group's first step."""
    doublings = max(group // (_ALONE // 2) - 1, 0)
    return (group - (_ALONE // 2) * doublings) << doublings


def _by_part(
    run: Run, name: str, tensors: npt.NDArray[np.int64], since: int
) -> Iterator[tuple[Part, npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """The parts of a run that have any steps from `since` on: the steps' places, and the column [steps, tensors]."""
    for part in run.parts:
        positions = part.positions[part.positions >= since]
        if len(positions):
            yield part, positions, float32(_of_part(run, part, name, tensors, since))


def _of_part(run: Run, part: Part, name: str, tensors: npt.NDArray[np.int64], since: int) -> npt.NDArray[np.float64]:
    if name not in _SHARES:
        return run.part_column(part, name, tensors, since)
    counted = _NON_FINITE if name == "non_finite" else (name,)
    count = sum(run.part_column(part, one, tensors, since) for one in counted)
    with np.errstate(invalid="ignore"):  # an empty tensor has no shares: 0 / 0 is NaN
        return np.asarray(count / run.part_column(part, "size", tensors, since))


def float32(column: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Little-endian float32; what is finite stays finite, so that an infinity is never a matter of rounding."""
    with np.errstate(over="ignore"):
        narrow = column.astype("<f4")
    beyond = np.isinf(narrow)
    if beyond.any():
        narrow[beyond & np.isfinite(column)] = LARGEST
        narrow[beyond & np.isfinite(column) & (column < 0)] = -LARGEST
    return narrow
