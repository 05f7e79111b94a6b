"""The clock of a session's runs: what logging costs each of them."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from tb_layerview.writing.budget import Budget

_ENOUGH = 3  # runs, for a median to be compared with


class RunTimes:
    """Counts what is done before and after runs, and how much longer they take because digests are fetched with them.

    A run's digests cannot be timed by themselves, so runs with them are compared with runs without.

    Attributes:
      seconds: How long the last run took.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.perf_counter) -> None:
        """Takes what is charged, and what tells the time in seconds, from anywhere."""
        self._budget, self._clock = budget, clock
        self.seconds = 0.0
        self._began = clock()
        self._around = 0.0  # seconds before and after the last run
        self._kept = 0.0  # seconds, for the next logged run
        self._seconds: dict[bool, list[float]] = {True: [], False: []}
        self._first: dict[Any, float] = {}  # by kind of run
        self._set_up = 0.0
        self._uncharged = 0

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """For what is done before a run, which begins after it."""
        began, elsewhere = self._clock(), self._elsewhere
        yield
        self._began = self._clock()
        self._around = self._began - began - (self._elsewhere - elsewhere)

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """For what is done after a run, whether or not it is logged."""
        began, elsewhere = self._clock(), self._elsewhere
        self.seconds = began - self._began
        yield
        self._around += self._clock() - began - (self._elsewhere - elsewhere)

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """For what is done around a run for the next logged one, whose cost it is."""
        began = self._clock()
        yield
        self._kept += self._clock() - began

    @property
    def _elsewhere(self) -> float:
        """Seconds that are counted already, as set-up or as the next logged run's."""
        return self._budget.set_up + self._kept

    def add(self, kind: Any, is_logged: bool) -> None:
        """Notes how long the last run took.

        Args:
          kind: What the run fetches: equal things for equal fetches.
          is_logged: Whether digests are among them.
        """
        key, seconds = (kind, is_logged), self.seconds
        self._uncharged += is_logged
        if key not in self._first:
            # The session optimises the graph for each set of fetches anew; once it would do so without us.
            self._first[key] = seconds if self._first else 0.0
            if len(self._seconds[is_logged]) >= _ENOUGH:
                self._end_first(key, statistics.median(self._seconds[is_logged]))  # its second may be long in coming
            return
        self._end_first(key, seconds)
        self._seconds[is_logged] = [*self._seconds[is_logged][-30:], seconds]

    def _end_first(self, key: Any, seconds: float) -> None:
        """Counts what the first run of a kind took longer than others do."""
        first, self._first[key] = self._first[key], 0.0
        self._set_up += max(0.0, first - seconds)

    def charge_other(self) -> None:
        """Counts what was done around the last run, which was not logged."""
        self._budget.charge_any(self._around)

    def charge_logged(self) -> None:
        """Counts what was done for the last run, which was logged, and what logged runs take longer than others.

        The latter, as soon as there is something to compare.
        """
        self._budget.charge_late(self._kept, 1)
        self._kept = 0.0
        self._budget.set_up += self._set_up
        self._set_up = 0.0
        if min(map(len, self._seconds.values())) >= _ENOUGH:
            extra = statistics.median(self._seconds[True]) - statistics.median(self._seconds[False])
            self._budget.charge_late(max(0.0, extra), self._uncharged)
            self._uncharged = 0
