"""What is found while a training goes on: said once, and acted on."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt

from tb_layerview.about import logger
from tb_layerview.format.model import Mode, Model
from tb_layerview.health.check import Check
from tb_layerview.health.finding import Finding, counted, led_to, since, with_place
from tb_layerview.health.replay import cause
from tb_layerview.health.watch import Watch
from tb_layerview.measure.measurement import Measurement


class Alarms:
    """Looks at what is logged on the writing thread, and acts on what it finds on the thread that trains.

    Attributes:
      found: All that was found so far.
      should_stop: Whether something was found at which the training is to stop.
    """

    def __init__(self, check: Check, mode: Mode, guard: Callable[[str], AbstractContextManager[None]]) -> None:
        """Has found nothing yet.

        Args:
          check: What to look for, and what to do about it.
          mode: What the model is doing: only a training can be stopped, and what a replay shows the training tells.
          guard: Reports an error within by this name.
        """
        self.found: list[Finding] = []
        self.should_stop = False
        self._check, self._mode, self._guard = check, mode, guard
        self._watch: Watch | None = None  # once it is known what is logged
        self._not_acted_on: collections.deque[Finding] = collections.deque()

    # On the writing thread.

    def describe(self, model: Model) -> None:
        """Says what is logged from here on."""
        if self._watch is None:
            self._watch = Watch(model, self._check.rules())
        else:
            self._watch.describe(model)

    def see(
        self,
        step: int,
        measured: Mapping[int, Measurement],
        scalars: Mapping[str, float],
        summaries: npt.NDArray[np.float32],
    ) -> None:
        """Looks at a step; see `Watch.see`."""
        if self._watch is not None:
            digests = {index: measurement.digest for index, measurement in measured.items()}
            self._tell(self._watch.see(step, digests, scalars, summaries))

    def end(self) -> None:
        """Takes note that the step seen last is the run's last: what can be said by that is said now."""
        if self._watch is not None:
            self._tell(self._watch.end())

    def explain(self, found: Sequence[Finding], run: str) -> None:
        """Says what a replay has shown.

        Args:
          found: What the rules found in it.
          run: The name of its run.
        """
        shown = None if self._watch is None else cause(found, self._watch.tensors, run)
        if self._watch is not None and shown is not None:
            self._watch.explain(shown)
            self._tell([shown])

    def _tell(self, found: list[Finding]) -> None:
        """Says once what is wrong, and of what follows from it only how much there is, and what a warning led to."""
        count = len(self.found)
        self.found += found
        if self._mode == "replay":
            return
        led = set(led_to(self.found).values())
        for i, finding in enumerate(found, count):
            cause = finding.follows
            if cause is not None and i not in led:
                continue
            following = sum(other.follows == i for other in found)
            more = f" ({following:,} more follow from it)" if following else ""
            why = (
                ""
                if cause is None
                else f", which follows from this: {since(self.found[cause])}, {with_place(self.found[cause])}"
            )
            logger.warning("tb_layerview: %s.", f"{since(finding)}, {with_place(finding)}{more}{why}")
            self._not_acted_on.append(finding)

    # On the thread that trains.

    def act_on_findings(self, can_stop: bool) -> list[Finding]:
        """Does what is to be done about what was found since the last call.

        Args:
          can_stop: Whether the training goes on, so that it can be stopped.

        Returns:
          What was found since then and does not follow from anything else, and the first error that a warning led to.
        """
        found = []
        while self._not_acted_on:
            finding = self._not_acted_on.popleft()
            found.append(finding)
            if self._check.on_finding is not None:
                with self._guard("Check(on_finding=...)"):
                    self._check.on_finding(finding)
            if self._check.stops(finding) and self._mode == "train" and can_stop and not self.should_stop:
                self.should_stop = True
                logger.warning(
                    "tb_layerview: Check(stop_on=%r) stops the training: %s.", self._check.stop_on, finding.words
                )
        return found

    def in_words(self) -> str:
        """How much was found, as a line to print; empty if nothing."""
        return f"tb_layerview: {counted(self.found)}, see above\n" if self.found else ""
