"""What logging costs, and whether it can afford the ladder's next rung."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tb_layerview.options import CORE, age, interval, is_rung

#: The part of the share of time that may be spent, which what every step pays may take: the logged ones have the rest.
EVERY_STEP = 1 / 2
_RECENT = 9  # logged steps whose median is what the next one is expected to cost


class Budget:
    """Keeps account of the time that a training takes longer for logging.

    Attributes:
      set_up: Seconds of tracing and the first pass.
    """

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        """Opens an account.

        Args:
          share: The share of the training time, 0 to 1, that logging may take.
          clock: Seconds, from anywhere.
        """
        self.set_up = self._waited = 0.0
        self._logged = self._steady = 0.0  # seconds spent on the steps that are logged, and on any
        self._ahead = 0.0  # of these, spent already on the next step that is logged
        self._share, self._clock = share, clock
        self._began = clock()
        self._first_step = 0
        self._costs: list[float] = []

    def begin(self, step: int) -> None:
        """Says that the training begins, at this step. What was set up before counts as part of it."""
        self._began, self._first_step = self._clock() - self.set_up, step

    @property
    def logging(self) -> float:
        """Seconds beyond set-up: those that the training waits, its share of what the writing thread takes of the
        processors, and what steps take longer that are not logged.
        """
        return self._logged + self._steady

    @property
    def elapsed(self) -> float:
        """Seconds since the training began, logging and set-up included."""
        return self._clock() - self._began

    @property
    def training(self) -> float:
        """Seconds that the training itself has taken, slowed down by what ran beside it or not."""
        return self.elapsed - self.set_up - self._waited

    @property
    def per_step(self) -> float:
        """Seconds that a logged step takes, 0 while there was one only: the less of the last two."""
        return min(self._costs[-2:]) if len(self._costs) > 1 else 0.0

    def charge(self, seconds: float, beside: float = 0.0) -> None:
        """Counts one logged step.

        Args:
          seconds: How long the training waited.
          beside: What else ran meanwhile or since, on processors that the training may use.
        """
        self._waited += seconds
        self._logged += seconds + beside
        self._costs = [*self._costs[1 - _RECENT :], seconds + beside + self._ahead]
        self._ahead = 0.0

    def charge_ahead(self, seconds: float) -> None:
        """Counts what the training waits for what the next logged step needs before it, or for the end of the log."""
        self._waited += seconds
        self._logged += seconds
        self._ahead += seconds

    def charge_beside(self, seconds: float) -> None:
        """Counts what ran beside the training, on processors that it may use, and belongs to no step of its own."""
        self._logged += seconds

    def charge_any(self, seconds: float) -> None:
        """Counts what any step takes longer, logged or not: the logged ones have so much less, but for `EVERY_STEP`."""
        self._waited += seconds
        self._steady += seconds

    def charge_late(self, seconds: float, steps: int) -> None:
        """Counts what the last logged steps took longer each, where logging is part of the training's own step."""
        self._waited += seconds * steps
        self._logged += seconds * steps
        self._costs[-steps:] = [cost + seconds for cost in self._costs[-steps:]]

    @property
    def _share_of_logged(self) -> float:
        """The share of the training time, 0 to 1, that the logged steps may take: what every step pays comes first."""
        return self._share - min(self._steady / max(self.training, 1e-9), self._share * EVERY_STEP)

    @property
    def overdraft(self) -> float:
        """Seconds that the logged steps have taken beyond their share so far; 0 if they have not."""
        return max(0.0, self._logged - self._share_of_logged * self.training)

    def affords(self, step: int) -> bool:
        """Whether there is room for this rung of the ladder.

        There always is for the core, which is logged whatever it costs. Of the others there is room for none while the
        account is overdrawn; then they are dropped by halves, so that the rungs of two runs nest.
        """
        if is_rung(step, self._first_step, CORE):
            return True
        training, share, steps = self.training, self._share_of_logged, age(step, self._first_step)
        cost = statistics.median(self._costs) if self._costs else 0.0
        if self._logged + cost > share * training:
            return False
        per_step = training / steps
        rung = interval(steps)
        while cost > share * per_step * rung:
            rung *= 2
        return step % rung == 0
