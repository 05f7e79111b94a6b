"""How a statistic changed over the steps, and what is known of the steps before those that are looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_APART = 17 / 16


@dataclasses.dataclass(frozen=True)
class History:
    """A statistic that is not measured at every logged step, from the first one on.

    Attributes:
      steps: int64 [measured]: at which steps any tensor has it; where they are many, those whose distance from the
        first has grown by a sixteenth since the one before.
      values: float64 [tensors, measured].
    """

    steps: npt.NDArray[np.int64]
    values: Floats

    @classmethod
    def of(cls, tensors: int) -> History:
        """An empty one."""
        return cls(np.zeros(0, np.int64), np.zeros((tensors, 0)))

    def and_then(self, steps: npt.NDArray[np.int64], values: Floats) -> History:
        """With later steps, int64 [steps], and the statistic there, float64 [tensors, steps]."""
        chosen: list[int] = []
        taken = self.steps.tolist()
        for i in np.flatnonzero(~np.isnan(values).all(axis=0)).tolist():
            if not taken or steps[i] - taken[0] > (taken[-1] - taken[0]) * _APART:
                taken.append(int(steps[i]))
                chosen.append(i)
        if not chosen:
            return self
        return History(np.append(self.steps, steps[chosen]), np.column_stack([self.values, values[:, chosen]]))

    def at_half(self) -> Floats:
        """For each column the latest of half as many steps or fewer; both are counted from the first."""
        since = self.since_first
        return np.asarray(self.values[:, np.searchsorted(since, since // 2, side="right") - 1])

    @property
    def since_first(self) -> npt.NDArray[np.int64]:
        """How many training steps each comes after the first, int64 [measured]."""
        return self.steps - self.steps[:1]


@dataclasses.dataclass(frozen=True)
class Past:
    """What the steps before those that are looked at leave behind.

    Attributes:
      count: How many logged steps they are.
      largest: Gives the largest of a statistic at those, by its name, float64 [tensors], NaN where there is none.
      start: The largest rms at the first `START` logged steps, whether they are looked at or not, float64 [tensors].
      history: Gives a statistic that is not measured at every step, by its name.
    """

    count: int
    largest: Callable[[str], Floats]
    start: Floats
    history: Callable[[str], History]
