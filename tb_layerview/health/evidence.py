"""What the rules look at: every statistic of every tensor at every logged step, and how the tensors are connected."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import Probe
from tb_layerview.health.connections import Connections
from tb_layerview.health.history import Floats, History, Mask, Past

#: So many logged steps are the start of a training.
START = 10
#: The one statistic that is of updates alone and is not logged: see `changes`.
CHANGE = "change"


@np.errstate(invalid="ignore")  # of what is not finite there is no difference
def changes(steps: npt.NDArray[np.int64], updates: Floats, weights: Callable[[str], Floats]) -> Floats:
    """By how much weights changed in one training step, at least: the update, or what shows in the weight itself.

    Who writes a weight between two steps leaves it out of the update. From one logged step to the next it has changed
    by no less than sqrt((mean - mean before)^2 + (std - std before)^2), whatever its elements did.

    Args:
      steps: int64 [steps], ascending.
      updates: Their rms, float64 [tensors, steps].
      weights: Gives a statistic, by name, of the weight of each, float64 [tensors, steps].

    Returns:
      float64 [tensors, steps]; NaN where there is no update and nothing before.
    """
    apart = np.full(updates.shape, np.nan)
    apart[:, 1:] = np.hypot(*(np.diff(weights(name), axis=1) for name in ("mean", "std"))) / np.diff(steps)
    return np.asarray(np.fmax(updates, apart))


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """Statistics over steps.

    Attributes:
      connections: What the rows of all statistics are, and how they belong together.
      steps: int64 [steps], ascending: what their columns are.
      measured: Gives a statistic by its name, `CHANGE` among them, float64 [tensors, steps], NaN where a tensor has
        none. It is asked for each once.
      scalars: Loss and metrics by name, for each step.
      probe: What activations and gradients are of; None where they are of the batch that was run.
      weights_come_after: Whether the weights of a step are those that it made, as a hook logs them, and its activations
        come from those of the step before. A probe's come from the weights that are logged with them.
      ended: Whether it is known that no step comes after the last of these.
      past: What came before these steps; None where they are the first ones.
    """

    connections: Connections
    steps: npt.NDArray[np.int64]
    measured: Callable[[str], Floats]
    scalars: Sequence[Mapping[str, float]]
    probe: Probe | None = None
    weights_come_after: bool = False
    ended: bool = False
    past: Past | None = None

    @classmethod
    def whole(
        cls,
        connections: Connections,
        steps: npt.NDArray[np.int64],
        statistic: Callable[[str], Floats],
        scalars: Sequence[Mapping[str, float]],
        probe: Probe | None = None,
        weights_come_after: bool = False,
        ended: bool = False,
    ) -> Evidence:
        """Of all that was logged: `CHANGE` is worked out of what `statistic` gives. For the rest see the attributes."""

        def measured(name: str) -> Floats:
            if name != CHANGE:
                return statistic(name)
            updates, weights = connections.updated
            found = np.full((len(connections.tensors), len(steps)), np.nan)
            found[updates] = changes(steps, statistic("rms")[updates], lambda name: statistic(name)[weights])
            return found

        return cls(connections, steps, measured, scalars, probe, weights_come_after, ended)

    def windows(self, length: int, positions: Sequence[int]) -> Iterator[Evidence]:
        """The last `length` steps up to each of these, as they were known then: fewer where fewer had been logged."""
        for position in positions:
            some = slice(max(0, position + 1 - length), position + 1)
            is_whole = self.past is not None or some.stop > START
            start = self.largest_at_start if is_whole else self._largest_at_start(some.stop)
            past = Past(
                self.steps_before + some.start,
                lambda name, some=some: self.largest_before(name)[:, some.start],  # type: ignore[misc]
                start,
                lambda name, some=some: self._history_before(name, some.start),  # type: ignore[misc]
            )
            yield dataclasses.replace(
                self,
                steps=self.steps[some],
                measured=lambda name, some=some: self.statistic(name)[:, some],  # type: ignore[misc]
                scalars=self.scalars[some],
                ended=False,
                past=past,
            )

    @property
    def tensors(self) -> tuple[LoggedTensor, ...]:
        """What the rows of all statistics are."""
        return self.connections.tensors

    @property
    def steps_before(self) -> int:
        """How many logged steps came before these."""
        return self.past.count if self.past else 0

    @property
    def is_past_start(self) -> Mask:
        """Which steps come after the first `START` logged ones, bool [steps]."""
        return np.asarray(self.steps_before + np.arange(len(self.steps)) >= START)

    @property
    def of_what(self) -> str:
        """What activations and gradients are of, for a sentence."""
        return "on this batch" if self.probe is None else "on the probe"

    def statistic(self, name: str) -> Floats:
        """One of `format.statistics.NAMES` or `CHANGE`, float64 [tensors, steps]."""
        return self._statistic(name)

    @functools.cached_property
    def _statistic(self) -> Callable[[str], Floats]:
        return functools.cache(self.measured)

    def share(self, *counts: str) -> Floats:
        """The share of elements that are counted, 0 to 1, float64 [tensors, steps]; NaN where there are no elements."""
        size = self.statistic("size")
        total = np.sum([self.statistic(name) for name in counts], axis=0)
        return np.asarray(np.divide(total, size, out=np.full(size.shape, np.nan), where=size > 0))

    def largest_before(self, name: str) -> Floats:
        """The largest of a statistic at all logged steps before each, float64 [tensors, steps]; NaN if none has it."""
        return self._largest_before(name)

    @functools.cached_property
    def _largest_before(self) -> Callable[[str], Floats]:
        @functools.cache
        def largest(name: str) -> Floats:
            values = self.statistic(name)
            earlier = self.past.largest(name) if self.past else np.full(len(values), np.nan)
            return np.asarray(np.fmax.accumulate(np.column_stack([earlier, values])[:, :-1], axis=1))

        return largest

    @functools.cached_property
    def largest_at_start(self) -> Floats:
        """The largest rms at the first `START` logged steps, float64 [tensors]; NaN if there is none."""
        return self.past.start if self.past else self._largest_at_start(START)

    def _largest_at_start(self, steps: int) -> Floats:
        return np.asarray(np.fmax.reduce(self.statistic("rms")[:, :steps], axis=1))

    def history(self, name: str) -> History:
        """A statistic that is not measured at every step, up to the last of these steps."""
        return self._history(name)

    @functools.cached_property
    def _history(self) -> Callable[[str], History]:
        @functools.cache
        def history(name: str) -> History:
            before = self.past.history(name) if self.past else History.of(len(self.tensors))
            return before.and_then(self.steps, self.statistic(name))

        return history

    def _history_before(self, name: str, position: int) -> History:
        whole = self.history(name)
        count = int(np.searchsorted(whole.steps, self.steps[position]))
        return History(whole.steps[:count], whole.values[:, :count])
