"""Columns: a statistic of some tensors over all steps of a run, as the browser gets it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tb_layerview.run import NAMES, Run
from tb_layerview.shard import COUNTS, STATISTICS

#: What there are columns of; the share of elements that are not finite is made of three counts.
COLUMNS = (*STATISTICS, "non_finite", *NAMES[len(STATISTICS) :])
#: The largest number that a column holds; what is larger and finite becomes it.
LARGEST = float(np.finfo(np.float32).max)

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
    return float32(_column(lambda stored: run.columns(stored, tensors.tolist(), since), name))


def _column(stored: Callable[[str], npt.NDArray[np.float64]], name: str) -> npt.NDArray[np.float64]:
    """One of `COLUMNS`, from a function that gives those of the run's own statistics that it is made of."""
    if name not in _SHARES:
        return stored(name)
    count = sum(stored(counted) for counted in (_NON_FINITE if name == "non_finite" else (name,)))
    with np.errstate(invalid="ignore"):  # an empty tensor has no shares: 0 / 0 is NaN
        return np.asarray(count / stored("size"))


def float32(column: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Little-endian float32; what is finite stays finite, so that an infinity is never a matter of rounding."""
    return np.where(np.isinf(column), column, np.clip(column, -LARGEST, LARGEST)).astype("<f4")
