"""Which of the steps before are kept: the last few, and one of each octave of ages."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Generic, TypeVar

#: Of so many of the last steps each is kept: what broke at one may be noticed only two steps later.
RECENT = 4
#: The oldest step that is kept is between half of this and this many steps back.
OLDEST = 64
#: The most steps that are kept at a time: the recent ones, and one of each octave of ages from there on.
MOST = RECENT + (OLDEST // RECENT).bit_length() - 1
# Steps after which at most every fourth is logged, if logging is dear.
_SETTLED = 32

T = TypeVar("T")


class RecentSteps(Generic[T]):
    """Keeps something of each of the last steps, and of ever fewer of those before.

    Of ages 1 to 3 every one is kept, then one of 4 to 7, one of 8 to 15, one of 16 to 31, one of 32 to 63: of each
    octave the step that is a multiple of its first age. There always is just one, and it was kept before.
    """

    def __init__(self, most: int = MOST) -> None:
        """Keeps nothing yet.

        Args:
          most: How many at most; fewer leave out the oldest.
        """
        self._most = most
        self._kept: list[tuple[int, T]] = []

    def push(self, step: int, value: T) -> None:
        """Keeps what belongs to a step that is larger than any before."""
        kept = [(s, v) for s, v in self._kept if _is_kept(s, step - s)]
        self._kept = [*kept, (step, value)][-self._most :] if self._most else []

    def forget(self) -> None:
        """Lets go of everything."""
        self._kept = []

    @property
    def kept(self) -> Sequence[tuple[int, T]]:
        """Steps and what belongs to them, the oldest first."""
        return tuple(self._kept)


def _is_kept(step: int, age: int) -> bool:
    return age < RECENT or (age < OLDEST and step % (1 << (age.bit_length() - 1)) == 0)


@dataclasses.dataclass(frozen=True)
class Room:
    """How much fits into the memory that is given for it.

    Attributes:
      sets: Of how many steps the weights are kept.
      batches: Of how many of them the batch too.
    """

    sets: int
    batches: int

    @classmethod
    def of(cls, memory: int, weights: int, batch: int) -> Room:
        """Shares out the memory: the last step first, then the steps right before, then the older ones.

        Args:
          memory: Bytes that may be taken.
          weights: Bytes of one step's weights.
          batch: Bytes of one batch.
        """
        batches = min(RECENT, memory // max(1, weights + batch))
        sets = min(MOST, (memory - batches * batch) // max(1, weights)) if batches else 0
        return cls(int(sets), int(batches))


class CostTrial:
    """Tells from early steps whether keeping the weights costs nothing to speak of.

    It looks twice: at the first steps, to spare the training what is far too dear, and again once those are over of
    which most are logged whatever it costs, which may be several times as slow as all that follow.
    """

    def __init__(self, share: float, cost: float, steps: int = 8) -> None:
        """Begins.

        Args:
          share: The share of a step's time, 0 to 1, that may be spent.
          cost: Seconds that keeping the weights takes at each step, as measured before.
          steps: How many steps to look at each time.
        """
        self._share = share
        self._looks, self._seen = (steps, _SETTLED + steps), 0
        self._times: collections.deque[float] = collections.deque(maxlen=steps)
        self._costs = collections.deque([cost], maxlen=steps)

    def saw(self, seconds: float, cost: float | None = None) -> float | None:
        """Is told how long a training step took; the share that was found, if it is too large, else None.

        Args:
          seconds: How long.
          cost: What keeping took at it, if that is known.
        """
        self._seen += 1
        self._times.append(seconds)
        self._costs.append(self._costs[0] if cost is None else cost)
        if self._seen not in self._looks:
            return None
        share = _median(self._costs) / max(_median(self._times), 1e-9)
        return share if share > self._share else None


def _median(values: collections.deque[float]) -> float:
    return sorted(values)[len(values) // 2]
