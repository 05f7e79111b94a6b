"""What logging costs the runs of a session themselves."""

from __future__ import annotations

import statistics
from typing import Any

from tb_layerview.writing.training_log import TrainingLog

_ENOUGH = 3  # runs, for a median to be compared with


class RunTimes:
    """How much longer runs take because digests are fetched with them.

    A run's digests cannot be timed by themselves, so runs with them are compared with runs without.
    """

    def __init__(self) -> None:
        self._seconds: dict[bool, list[float]] = {True: [], False: []}
        self._first: dict[Any, float] = {}  # by kind of run
        self._set_up = 0.0
        self._uncharged = 0

    def add(self, kind: Any, is_logged: bool, seconds: float) -> None:
        """Notes how long a run took.

        Args:
          kind: What the run fetches: equal things for equal fetches.
          is_logged: Whether digests are among them.
          seconds: How long it took.
        """
        key = kind, is_logged
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

    def charge(self, session: TrainingLog) -> None:
        """Counts the difference as the cost of the logged runs, as soon as there is something to compare."""
        session.budget.set_up += self._set_up
        self._set_up = 0.0
        if min(map(len, self._seconds.values())) >= _ENOUGH:
            extra = statistics.median(self._seconds[True]) - statistics.median(self._seconds[False])
            session.budget.charge_late(max(0.0, extra), self._uncharged)
            self._uncharged = 0
