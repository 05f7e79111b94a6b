"""One training's logging: when, at what cost, and never at the training's expense."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt

from tb_layerview.about import logger, software
from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import names
from tb_layerview.format.addresses import checked, scheme_of
from tb_layerview.format.model import Cost, Mode, Model
from tb_layerview.format.names import REPLAY_FOLDER, replay_name
from tb_layerview.format.places import within
from tb_layerview.health.check import Check
from tb_layerview.health.finding import Finding
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.summary import summarise
from tb_layerview.options import Keep, Schedule, roundest
from tb_layerview.writing.alarms import Alarms
from tb_layerview.writing.budget import EVERY_STEP, Budget
from tb_layerview.writing.cost_warning import CostWarning, OverdraftNote
from tb_layerview.writing.guard import Guard, Refused
from tb_layerview.writing.log_files import NOUNS, LogFiles
from tb_layerview.writing.plan import Plan
from tb_layerview.writing.step import Step
from tb_layerview.writing.thread import WritingThread, seconds_of_processors

_RAISE_THE_CAP = "no more steps are logged. Keep(max_bytes=...) raises the cap"
_CLOSELY = 32  # steps after something was found
_REMEMBERED = 256  # logged steps: a replay asks for some of the last 64


class TrainingLog:
    """Decides when to log, measures what logging costs, and writes in a thread of its own.

    What goes wrong after the training has begun is reported once, and the training goes on: see `Guard`, whose methods
    this has too.

    Attributes:
      mode: What the model is doing.
      budget: What logging has cost.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        schedule: Schedule,
        keep: Keep,
        mode: Mode = "train",
        check: Check = Check(),
        clock: Callable[[], float] = time.perf_counter,
        thread_clock: Callable[[], float] = seconds_of_processors,
    ) -> None:
        """Opens the log.

        Args:
          logdir: The run's folder.
          schedule: When to log.
          keep: How much to keep.
          mode: What the model is doing.
          check: What to look for, and what to do about it.
          clock: Seconds, from anywhere.
          thread_clock: Seconds of processors that the thread which asks has taken.

        Raises:
          ValueError: The folder cannot be written to, or nothing that is installed opens it.
        """
        began = clock()
        self.mode: Mode = mode
        self._logdir = checked(logdir)
        self._schedule, self._keep, self._check, self._clock = schedule, keep, check, clock
        self.budget = Budget(schedule.budget, clock)
        self._files = LogFiles(logdir)
        self._thread = WritingThread(lambda: thread_clock() + self._files.seconds_beside)
        goes_on = f"the {NOUNS[mode] if mode != 'replay' else 'training'} goes on"
        self._guard = Guard(goes_on, self.budget, clock, self._thread.busy_since_asked)
        self._cost_warning = CostWarning(self.budget, self._guard.report)
        self._overdraft = OverdraftNote(self.budget, schedule.budget)
        self._logged = self._skipped = 0
        self._plan = Plan(schedule, keep)
        self._alarms = Alarms(check, mode, self._guard.guard)
        self._is_full = False
        self._last: int | None = None
        self._steps: collections.deque[int] = collections.deque(maxlen=_REMEMBERED)  # that were handed over last
        self._since = self._closely_until = 0
        self._asked = -1, -1  # the step that was asked for last, and the one before
        self._described: Model | None = None
        self._decided: tuple[int, bool] | None = None
        self._left_out: int | None = None  # the last step for which the budget had no room
        self.budget.set_up += clock() - began

    @property
    def is_open(self) -> bool:
        """Whether logging still works."""
        return self._guard.is_open

    # When.

    def begin(self, step: int) -> None:
        """Says that the training begins, at this step. What was set up before counts as part of it."""
        self.budget.begin(step)
        self._since, self._decided = step, None
        self._asked = step, step - 1
        self._plan = dataclasses.replace(self._plan, since=step)

    def is_scheduled(self, step: int) -> bool:
        """Whether the schedule, its budget and the byte cap apart, logs this step."""
        return self._schedule.wants(step, self._since)

    def due(self, step: int) -> bool:
        """Whether this step is to be logged. It may be asked ahead: the answer for a step, once given, stands.

        Where not every step is asked for, as with several of them per execution, one stands on the ladder for those
        since the one before.
        """
        if not self.is_open or self._is_full or self.is_last(step):
            return False
        last, before = self._asked
        self._asked = step, last if step > last else min(before, step - 1)
        if self._decided is None or self._decided[0] != step:
            self._decided = step, self._decide(step)
        return self._decided[1]

    def log_closely(self, after: int) -> None:
        """Logs every one of the next 32 steps on the ladder, whatever that costs; given steps stay as they are."""
        if self._schedule.is_ladder:
            self._closely_until, self._decided = after + _CLOSELY, None

    def _standing_for(self, step: int) -> int:
        """The step whose place on the ladder this one has: of those since the one before, that of the largest power."""
        asked, before = self._asked
        return roundest(before, step) if self._schedule.is_ladder and step == asked else step

    def _decide(self, step: int) -> bool:
        if step <= self._closely_until:
            return True
        asked, step = step, self._standing_for(step)
        if not self._plan.wants(step):
            return False
        if not self._schedule.is_ladder or self.budget.affords(step):
            return True
        self._skipped += 1
        self._left_out = asked
        return False

    def is_logged(self, step: int) -> bool:
        """Whether this step was logged."""
        return step in self._steps

    def is_last(self, step: int) -> bool:
        """Whether this step was the last to be logged."""
        return step == self._last

    def values_due(self, step: int) -> bool:
        """Whether values are to be kept at this step, which is due."""
        return self._plan.wants_values(self._standing_for(step), self._files.bytes_written)

    # What it costs, and what goes wrong.

    def set_up(self, what: str, is_fatal: bool = False) -> AbstractContextManager[None]:
        """See `Guard.set_up`."""
        return self._guard.set_up(what, is_fatal)

    def before_step_0(self, what: str) -> AbstractContextManager[None]:
        """See `Guard.before_step_0`."""
        return self._guard.before_step_0(what)

    @contextlib.contextmanager
    def logging(self, what: str) -> Iterator[None]:
        """See `Guard.logging`; says where a logged step takes far longer than the training's own, or all too long."""
        try:
            with self._guard.logging(what):
                yield
        finally:
            self._cost_warning.look(self._last, self._described)
            self._note_overdraft()

    def _note_overdraft(self, is_over: bool = False) -> None:
        if self._schedule.is_ladder and self.mode == "train" and self._described is not None:
            sentence = self._overdraft.look(self._last, is_over)
            if sentence is not None:
                self.note(sentence)

    def ahead(self, what: str) -> AbstractContextManager[None]:
        """See `Guard.ahead`."""
        return self._guard.ahead(what)

    def finishing(self, what: str) -> AbstractContextManager[None]:
        """See `Guard.finishing`."""
        return self._guard.finishing(what)

    def apart(self, what: str) -> AbstractContextManager[None]:
        """See `Guard.apart`."""
        return self._guard.apart(what)

    def guard(self, what: str) -> AbstractContextManager[None]:
        """See `Guard.guard`."""
        return self._guard.guard(what)

    def report(self, what: str, message: str, error: BaseException | None = None) -> None:
        """See `Guard.report`."""
        self._guard.report(what, message, error)

    def refused(self, what: str, error: Refused) -> None:
        """See `Guard.refused`."""
        self._guard.refused(what, error)

    # Writing.

    @property
    def replay(self) -> bool | None:
        """Whether replays are wanted: see `Check`."""
        return self._check.replay

    @property
    def share(self) -> float:
        """The share of the training time, 0 to 1, that what is done at each step may take."""
        return self._schedule.budget * EVERY_STEP

    def note(self, sentence: str) -> None:
        """Adds to the notes what is not logged and why, after `describe`, as long as there is room for them."""
        assert self._described is not None
        described = self._described = dataclasses.replace(self._described, notes=(*self._described.notes, sentence))
        logger.info("tb_layerview: %s.", sentence)
        self._put("the log", lambda: self._files.describe(described, self._keep.max_bytes))

    def describe(self, model: Model) -> None:
        """Says what is logged, and plans how much of it is kept; before the first `write`."""
        if self.mode == "train":  # the other modes log a few steps, of no ladder
            self._plan = dataclasses.replace(Plan.of(model.tensors, self._schedule, self._keep), since=self._since)
        layers = model.layers
        if not self._keep.source:
            layers = tuple(dataclasses.replace(layer, sources=()) for layer in layers)
        notes = (*model.notes, *self._plan.in_words())
        described = self._described = dataclasses.replace(model, layers=layers, notes=notes)
        for sentence in self._plan.in_words():
            logger.info("tb_layerview: %s.", sentence)

        def begin() -> None:
            self._files.describe(described)
            self._alarms.describe(described)

        self._put("the log", begin)

    def write(self, step: Step) -> None:
        """Hands a step to the writing thread.

        Args:
          step: Its number is not smaller than any before; what is measured at the last one is added to it.
        """
        if self._last is None:
            self._files.warn_of_hidden(step.step, self.mode)
        is_new, self._last = step.step != self._last, step.step
        if is_new and step.step == self._left_out:  # it is logged after all, as the last one
            self._skipped -= 1
        self._steps.append(step.step)
        cost = pb.Cost(
            set_up_seconds=self.budget.set_up,
            logging_seconds=self.budget.logging,
            training_seconds=self.budget.elapsed,
            skipped=self._skipped,
        )

        rung = self._standing_for(step.step)

        def append() -> None:
            measured = step.measurements()
            summaries = self._append(step, measured, cost, is_new, rung)
            if summaries is not None:
                with self.guard("the rules of health"):
                    self._alarms.see(step.step, measured, step.scalars, summaries)

        self._put("the log", append, step.nbytes)

    def write_earlier(self, steps: Iterable[Step]) -> None:
        """Hands over steps that come before the last one and were not logged. The rules do not look at them."""
        in_order = sorted(steps, key=lambda step: step.step)
        self._steps.extend(step.step for step in in_order)

        def append() -> None:
            for step in in_order:
                self._append(step, step.measurements(), None, True, step.step)

        nbytes = sum(step.nbytes for step in in_order)
        self._put("the log", lambda: self._files.write_earlier(append), nbytes)

    def _append(
        self, step: Step, measured: dict[int, Measurement], cost: pb.Cost | None, is_new: bool, rung: int
    ) -> npt.NDArray[np.float32] | None:
        """Writes a step, as that of a rung is kept, and returns its summaries; None if there is no room for it."""
        written = self._files.bytes_written
        summaries = summarise(measured)  # of all that was measured, whatever of it is kept
        measurements = self._plan.fit(rung, measured, written, self._keep.precision)
        if measurements is None:
            self._is_full = True
            self.report("the byte cap", f"{written:,} bytes are written; {_RAISE_THE_CAP}")
            return None
        self._files.write(
            step.step,
            measurements,
            mode=self.mode,
            scalars=step.scalars,
            cost=cost,
            precision=self._keep.precision,
            summaries=summaries,
        )
        self._logged += is_new
        return summaries

    def log_replay(self, model: Model, step: Step) -> list[Finding]:
        """Logs a step that was kept or run again into a run below the training's, and says what it shows.

        Args:
          model: What is logged of it.
          step: What there is to log of it.

        Returns:
          What the rules find in it.
        """
        folder = within(self._logdir, REPLAY_FOLDER)
        log = TrainingLog(folder, Schedule(every=1), self._keep, "replay", Check(thresholds=self._check.thresholds))
        try:
            log.describe(model)
            log.write(step)
        finally:
            log.close()
        found = log._alarms.found
        logger.info("tb_layerview: step %s is logged in %s.", f"{step.step:,}", folder)
        name = replay_name(os.path.basename(os.path.normpath(self._logdir)))
        self._put("the replay", lambda: self._alarms.explain(found, name))
        return found

    def act_on_findings(self) -> list[Finding]:
        """Does what is to be done about what was found since the last call; on the thread that trains.

        Returns:
          What was found since then and does not follow from anything else.
        """
        return self._alarms.act_on_findings(can_stop=self.is_open)

    @property
    def should_stop(self) -> bool:
        """Whether something was found at which the training is to stop."""
        return self._alarms.should_stop

    def _put(self, what: str, action: Callable[[], None], nbytes: int = 0) -> None:
        def guarded() -> None:
            if self.is_open:
                with self._guard.writing(what):
                    action()

        self._thread.put(guarded, nbytes)

    def flush(self) -> None:
        """Returns when all that was handed over is written."""
        self._thread.flush()

    def _end(self) -> None:
        """Says that the last step is the last; not where the training went on without being logged, nor of a replay."""
        if self._is_full or self.mode == "replay" or not self._logged:
            return
        with self.guard("the rules of health"):
            self._alarms.end()
        with self.guard("the log"):
            self._files.end()

    def close(self) -> str:
        """Ends the logging, and returns what to tell the person: steps, bytes, cost, and where to look, or why not."""
        beside = self._thread.busy_since_asked()
        with self.ahead("the log"):  # by the name under which it has perhaps failed already
            self._thread.flush()
        self.budget.charge_beside(beside)
        with self.guard("what logging costs"):
            self._note_overdraft(is_over=True)
        self._put("the log", self._end)
        with self.ahead("the log"):
            self._thread.stop()
        with self.guard("the log"):
            self._say_why_nothing_is_logged()
        with self.ahead("the log"):
            self._files.close(waits=self.mode != "replay")  # the training waits for its replay, and goes on
        was_open, self._guard.is_open = self.is_open, False
        self.act_on_findings()
        cost = Cost(self.budget.set_up, self.budget.logging, self.budget.elapsed)
        folder = within(self._logdir, names.FOLDER)
        early = "" if was_open else "\ntb_layerview: logging stopped early, see the warning above"
        if not self._logged:
            return (
                self._alarms.in_words()
                + f"tb_layerview: 0 steps logged in {folder}: {self._why_nothing}\n"
                + f"tb_layerview: set-up took {cost.set_up_seconds:.1f} s{early}"
            )
        own = cost.own_seconds
        share = f", {100 * cost.share:.1f} % of the training's {own:.1f} s" if own else ""
        skipped = f", {self._skipped:,} left out to stay within the budget" if self._skipped else ""
        return (
            self._alarms.in_words() + f"tb_layerview: {self._logged:,} steps logged{skipped}; "
            f"{self._files.bytes_written / 1e6:,.1f} MB in {folder}\n"
            f"tb_layerview: logging took {cost.logging_seconds:.1f} s{share}; "
            f"set-up took {cost.set_up_seconds:.1f} s{early}"
            f"\ntb_layerview: look at them with  {self._look}"
        )

    @property
    def _look(self) -> str:
        """The command that shows the log. Of what stores there are TensorFlow keeps TensorBoard from opening most."""
        scheme = scheme_of(self._logdir)
        if scheme in ("memory", "ram"):
            return f"LayerReader({self._logdir!r})  in this process"
        return f"{'tb-layerview view' if scheme else 'tensorboard --logdir'} {self._logdir}  in the tab Layers"

    @property
    def _why_nothing(self) -> str:
        return self._guard.reported or "it ended before a step was logged"

    def _say_why_nothing_is_logged(self) -> None:
        """Leaves the reason in a log without steps: whoever opens it later has not seen what was printed."""
        if not self._logged:
            nothing = Model((), (), schedule=self._schedule.in_words(), software=software())
            model = self._described or nothing
            self._files.describe(
                dataclasses.replace(model, notes=(*model.notes, f"0 steps logged: {self._why_nothing}"))
            )
