"""Keeps the last batches and the weights before them, and runs the batch that broke a training once more."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tb_layerview.capture.ages import RECENT, CostTrial, RecentSteps, Room
from tb_layerview.capture.given import Given
from tb_layerview.capture.probe import Probe, State
from tb_layerview.health.finding import Finding
from tb_layerview.health.rules.non_finite import NonFinite
from tb_layerview.writing.cost_warning import two_digits
from tb_layerview.writing.step import Measured
from tb_layerview.writing.training_log import TrainingLog

Values = Sequence[Any]
# Weights are copied where reading them takes so many times what it took at first.
_COPIED = 10


class KeptState(State, Protocol):
    """The weights of a model, of which several sets are kept."""

    @property
    def bytes(self) -> int:
        """What one set of values takes."""
        ...

    @property
    def read_seconds(self) -> float:
        """What reading them took when `cost` measured it."""
        ...

    def is_finite(self, values: Values) -> bool:
        """Whether all of these values are finite."""
        ...

    def wait(self) -> None:
        """Returns when the last step has computed the weights, if reading them would wait for that."""
        ...

    def cost(self) -> float:
        """Seconds that keeping one set takes at each step, measured now."""
        ...


class Batches(Protocol):
    """What a framework does with the batches that are kept."""

    @property
    def spared_seconds(self) -> float:
        """What a step takes less than with Keras' own function, because batches are kept."""
        ...

    def size(self, batch: Any) -> int:
        """The bytes of a batch."""
        ...

    def is_known(self, flag: Any) -> bool:
        """Whether it is known without waiting for a device whether a loss was finite."""
        ...

    def probe(self, batch: Any, source: str) -> Probe:
        """The pass of the model on a whole batch, in training mode."""
        ...


@dataclasses.dataclass(frozen=True)
class KeptStep:
    """A training step that was taken.

    Attributes:
      step: Training steps that were complete after it.
      before: The weights before it.
      batch: What it was given, as `fit` gives it.
      is_finite: bool []: whether its loss was finite.
    """

    step: int
    before: Values
    batch: Any
    is_finite: Any


class Replayer:
    """Keeps what a replay needs, notices that one is needed, and runs it.

    There is one replay in a training for what is not finite, and one for the first other error that a rule finds: a
    broken training must not spend its time on replays.

    Attributes:
      state: The model's weights as values that can be kept and put back.
    """

    def __init__(self, log: TrainingLog, probe: Probe, given: Given, state: KeptState, batches: Batches) -> None:
        """Measures what keeping the weights costs; nothing is kept yet.

        Args:
          log: The training's.
          probe: The training's, which is run on the weights of the steps before.
          given: Whether to replay, and within how much memory.
          state: The model's weights.
          batches: What is done with the batches.
        """
        self._log, self._probe, self._batches = log, probe, batches
        self._given, check = given, given.check
        self.state = state
        self._cost = max(0.0, state.cost() - batches.spared_seconds)
        self._took = self._cost  # by the last step
        self._trial = CostTrial(log.share, self._cost) if check.replay is None else None
        self._room: Room | None = None  # once there was a batch
        self._ages: RecentSteps[Values] = RecentSteps()
        self._taken: collections.deque[KeptStep] = collections.deque(maxlen=RECENT)
        self._before: tuple[int, Values] | None = None
        self._seconds: float | None = None
        self._was_replayed = False
        self._is_keeping = check.replay is not False
        # Of a step that is over, an optimizer keeps nothing any more.
        self._of_now = frozenset(i for i, tensor in enumerate(probe.model.tensors) if tensor.kind == "optimizer")

    @property
    def is_keeping(self) -> bool:
        """Whether batches are kept at all, or it was given up."""
        return self._is_keeping and self._log.is_open

    def before_step(self, step: int) -> None:
        """Keeps the weights: the next training step begins, at so many complete ones."""
        self._before = None
        if self._is_keeping and self._log.is_open:
            with self._log.guard("what a replay needs"):
                self._try()
                if self._is_keeping:
                    self.state.wait()  # for the training's own step
                    began = time.perf_counter()
                    self._before = step, self.state.read()
                    self._took = self._cost + self._copied(time.perf_counter() - began)
                    self._log.budget.charge_any(self._took)

    def _copied(self, seconds: float) -> float:
        """What of the seconds that reading the weights took is copying them, which nothing before had shown.

        TensorFlow copies a weight whenever it is read, once an optimizer has scattered into it.
        """
        usual = self.state.read_seconds
        return seconds - usual if seconds > _COPIED * usual else 0.0

    def after_step(self, batch: Any, is_finite: Any) -> None:
        """Keeps what the step was given whose weights were kept."""
        before, self._before = self._before, None
        if before is None:
            return
        step, values = before
        with self._log.guard("what a replay needs"):
            if self._room is None:
                self._make_room(batch)
            if self._is_keeping:
                self._ages.push(step, values)
                self._taken.append(KeptStep(step + 1, values, batch, is_finite))

    def look(self, step: int, found: Sequence[Finding], at_once: bool = False) -> None:
        """Replays what has to be replayed.

        Args:
          step: How many training steps are complete.
          found: What the rules have found since the last call.
          at_once: Whether to wait for the device rather than to look at the last steps later.
        """
        log = self._log
        if not self._taken or not log.is_open:
            return
        errors = {finding.rule for finding in found if finding.severity == "error" and finding.replay is None}
        is_broken = self._is_not_finite(at_once)
        if NonFinite.name in errors and not is_broken:
            # Under a loss scale a gradient may overflow, whose step is skipped.
            is_broken = not self.state.is_finite(self.state.read())
        if not is_broken and (self._was_replayed or not errors - {NonFinite.name}):
            return
        self._was_replayed = True
        with log.apart("the replay"):
            self._replay(step, is_broken)
        log.log_closely(step)
        if is_broken:  # for good: nothing more can be learned
            self._stop()

    # What is kept.

    def _try(self) -> None:
        """Gives up what turns out to cost too much."""
        seconds, self._seconds = self._seconds, self._log.budget.training
        if self._trial is None or seconds is None or not self._taken:
            return
        share = self._trial.saw(self._seconds - seconds, self._took)
        if share is not None:
            self._give_up(
                f"to keep the weights before each step would take {two_digits(100 * share)} % of the training time. "
                "Check(replay=True) has them kept all the same"
            )

    def _make_room(self, batch: Any) -> None:
        size = self._batches.size(batch)
        self._room = room = Room.of(self._given.check.memory, self.state.bytes, size)
        if not room.sets:
            self._give_up(
                f"the weights and a batch take {(self.state.bytes + size) / 1e6:,.0f} MB. "
                "Check(memory=...) gives them more room"
            )
        self._ages = RecentSteps(room.sets)
        self._taken = collections.deque(maxlen=max(1, room.batches))

    def _give_up(self, why: str) -> None:
        self._stop()
        self._log.note(f"a batch that breaks the training cannot be run again: {why}")

    def _stop(self) -> None:
        self._is_keeping = False
        self._ages.forget()
        self._taken.clear()

    # What is noticed.

    def _is_not_finite(self, at_once: bool) -> bool:
        """Whether the loss of a step was not finite; looks only at what has been computed already."""
        is_known = self._batches.is_known(self._taken[-1].is_finite)
        lag = 0 if at_once or is_known else min(2, len(self._taken) - 1)
        return not bool(self._taken[-1 - lag].is_finite)

    def _culprit(self, now: Values) -> KeptStep | None:
        """The first step of those that are kept that made something that is not finite, from weights that were."""
        taken = list(self._taken)
        after = [*(step.before for step in taken[1:]), now]
        for step, values in zip(taken, after):
            if not bool(step.is_finite) or not self.state.is_finite(values):
                return step if self.state.is_finite(step.before) else None
        return None

    # What is run again.

    def _replay(self, step: int, is_broken: bool) -> None:
        log, state = self._log, self.state
        self._probe.wait()
        with self._put_back_after() as now:
            culprit = self._culprit(now) if is_broken else self._taken[-1]
            if culprit is None:
                log.report("the replay", f"what is not finite at step {step} began before the steps that are kept")
            else:
                state.assign(culprit.before)
                self._run_batch(culprit, is_broken)
            earlier = []
            for at, values in self._ages.kept:
                if log.is_logged(at) or not state.is_finite(values):
                    continue
                state.assign(values)
                found = self._probe.run(at, with_values=True)
                measured = {i: m for i, m in found.measurements().items() if i not in self._of_now}
                # At once: they may be several passes of the model, which nothing is to hold all together.
                earlier.append(dataclasses.replace(found, parts=(Measured(measured),)))
            log.write_earlier(earlier)

    @contextlib.contextmanager
    def _put_back_after(self) -> Iterator[Values]:
        now = self.state.read()
        try:
            yield now
        finally:
            self.state.assign(now)

    def _run_batch(self, taken: KeptStep, is_broken: bool) -> None:
        """Runs one batch forward and backward, and logs it into the run of the replays."""
        source = f"the batch of step {taken.step:,} on the weights of step {taken.step - 1:,}"
        probe = self._batches.probe(taken.batch, source)
        found = self._log.log_replay(probe.model, probe.run(taken.step, with_values=True))
        if is_broken and not any(finding.rule == NonFinite.name for finding in found):
            self._log.report(
                "the replay",
                f"{source} has only finite activations and gradients: what is not finite was made by the optimizer's "
                "step, or by other random numbers than those of the replay",
            )
