"""The log of one Keras model: what the callback and a training loop of one's own share."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tb_layerview.capture.choice import Choice
from tb_layerview.capture.given import Given
from tb_layerview.capture.held_weights import THE_WEIGHTS, HeldWeights
from tb_layerview.capture.octaves import Octaves
from tb_layerview.capture.probe import Backend, Replayer, State
from tb_layerview.capture.probing import Probing
from tb_layerview.format.model import Mode
from tb_layerview.writing.guard import Refused, in_this_process
from tb_layerview.writing.step import Step
from tb_layerview.writing.training_log import TrainingLog

Scalars = Callable[[], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class _Taken:
    """A step that was measured and is not handed over yet.

    Attributes:
      step: What was found of it.
      scalars: What else there was to log.
    """

    step: Step
    scalars: Mapping[str, float]


class Recording:
    """One model's log in one mode: the probe's pass, the updates, and what writes them.

    After `close` it holds neither model nor probe.

    Attributes:
      log: When to log, at what cost, and what happens when it fails.
    """

    def __init__(
        self,
        model: Any,
        logdir: str | os.PathLike[str],
        given: Given,
        backend: Backend,
        mode: Mode = "train",
    ) -> None:
        """Opens the log.

        Args:
          model: The Keras model.
          logdir: The run's folder.
          given: The options.
          backend: What computes the model.
          mode: What the model is doing.

        Raises:
          ValueError: The folder cannot be written to.
        """
        self._model: Any = model
        self._given = given
        self._backend: Any = backend
        self.log = TrainingLog(logdir, given.schedule, given.keep, mode, given.check)
        # Who never closes it, because the training ended on an error, has what was handed over all the same.
        self._finalizer = weakref.finalize(self, in_this_process(self.log.close))
        self._probing: Probing | None = None  # until it is traced
        self._wholes = Octaves()  # at which steps weights that are looked up are measured as wholes
        self._replayer: Replayer | None = None
        self._seen: int | None = None
        self._is_first = True
        self._taken: _Taken | None = None
        self._held: HeldWeights | None = None  # once some are
        self._closing_lines: str | None = None  # once it is closed

    @property
    def is_ready(self) -> bool:
        """Whether there is something to log: the pass is traced."""
        return self._probing is not None

    def set_up(self, choice: Choice, is_fatal: bool, notes: Sequence[str] = ()) -> None:
        """Traces the pass, and says what is logged.

        Args:
          choice: What to run the model on: the first that it can be run on.
          is_fatal: Whether a model that cannot be run on it is an error; else that is said, and its weights are logged.
          notes: What else is not logged and why, a sentence each.

        Raises:
          Refused: The model cannot be run on the probe, or a pattern matches no layer.
        """
        try:
            with self.log.set_up("the probe"):
                probing = Probing(self._model, self._backend, self._given, self.log, choice, notes)
                probing.trace(is_fatal)
                self._probing = probing
        except Refused as error:
            self.log.refused("the probe", error)
            self.close()
            raise

    @property
    def looked_up(self) -> frozenset[int]:
        """Ids of the framework's variables of which a step changes few rows."""
        return frozenset() if self._probing is None else self._probing.probe.looked_up

    @property
    def replayer(self) -> Replayer | None:
        """What keeps the last batches, once they are wanted."""
        return self._replayer

    def keep_batches(self) -> None:
        """Has the last batches kept from here on, to run again the one that breaks the training."""
        if self._replayer is not None or self._given.check.replay is False or self._probing is None:
            return
        probe = self._probing.probe
        if set(self._given.select.kinds) == {"optimizer"}:
            return  # a batch makes none of it
        if probe.examples is not None and self._backend.can_replay(self._model):
            with self.log.apart("what a replay needs"):
                self._replayer = self._backend.replayer(self._model, self.log, probe, self._given)

    def step(self, step: int, scalars: Scalars) -> None:
        """Logs a step if it is due, and keeps the weights if the next one is.

        Args:
          step: How many training steps are complete.
          scalars: What to log beside the layers; called only if the step is logged.
        """
        self.look(step)
        with self._reading_once():  # nothing is trained in between
            self.take(step, scalars)
            self.hand_over()
            self.before(step)

    def _reading_once(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext() if self._probing is None else self._probing.probe.reading_once()

    # The parts of a step, for whom the training's function is called in between.

    def before(self, step: int, steps: int = 1, is_last: bool = False, is_beyond: bool = False) -> None:
        """Keeps the weights, right before the training changes them, if the step that it makes is to be logged.

        Args:
          step: How many training steps are complete.
          steps: How many what comes now completes, at most.
          is_last: Whether that is known to be the last one, which is logged whatever the schedule says.
          is_beyond: Whether nothing more is expected to be trained.
        """
        if self._held is not None:
            self._held.let_go(but=step if is_beyond else None)
        if self._probing is None or not steps:
            return
        log, updates = self.log, self._probing.updates
        if updates.is_wanted and log.is_open and (log.due(step + steps) or is_last):
            self._probing.probe.wait()  # not counted, as in `_measure`
            with log.ahead("keeping the weights"):
                updates.keep(step, steps)
        else:
            updates.forget()

    def look(self, step: int, at_once: bool = False) -> None:
        """Does what is to be done about what was found; the weights are those of this step."""
        found = self.log.act_on_findings()
        if self._replayer is not None:
            self._replayer.look(step, found, at_once)

    def take(self, step: int, scalars: Scalars, is_last: bool = False) -> None:
        """Measures a step that is due, right after it; `hand_over` has it written.

        Args:
          step: How many training steps are complete.
          scalars: What to log beside the layers; called only if the step is logged.
          is_last: Whether it is the last one, which is logged with values whatever the schedule says.
        """
        log, probing = self.log, self._probing
        if probing is None or step == self._seen:
            return
        self._seen = step
        is_due = log.due(step)
        if is_due or (is_last and log.is_open):
            self._measure(probing, step, is_last or log.values_due(step), scalars, is_last)

    def hold(self, step: int, is_late: bool = False) -> None:
        """Holds the weights after a step that may turn out to be the last, until the next one begins.

        Args:
          step: How many training steps are complete.
          is_late: Whether others may have changed them since.
        """
        if not self.is_ready or not self.log.is_open:
            return
        if self._held is None:
            self._held = HeldWeights(self.log)
        self._held.hold(step, is_late, self._state)

    def _state(self) -> State:
        return self._backend.state(self._model) if self._replayer is None else self._replayer.state

    def last_step(self, step: int, scalars: Scalars) -> None:
        """Logs the last step, with values, if it was not logged: the weights are those that are held, if they are."""
        log, probing, weights = self.log, self._probing, self._held
        held = None if weights is None else weights.take(step)
        if probing is None or not log.is_open:
            self.look(step, at_once=True)
            return
        is_logged = log.is_last(step) or self._taken is not None
        is_changed = False
        if held is not None and weights is not None:
            with log.guard(THE_WEIGHTS):
                is_changed = weights.is_changed(held)
            if held.is_late and not is_logged:
                log.note(f"nothing told that step {step:,} would be the last: it is logged as it was found after it")
        as_held = contextlib.nullcontext() if weights is None else weights.as_held(held if is_changed else None)
        with log.guard("the last step"), as_held:
            self.look(step, at_once=True)
            if not is_logged:
                self._measure(probing, step, True, scalars, is_last=True)
            else:
                self._add_wholes(probing, step)
        if is_changed:
            log.note(
                f"the weights that the training left are not those of step {step:,}: they were changed after it, as "
                "EarlyStopping(restore_best_weights=True) does"
            )

    def hand_over(self, add: Callable[[Mapping[str, float]], Mapping[str, float]] = dict) -> None:
        """Has what was measured written, if something was.

        Args:
          add: Makes what to log beside the layers of what `scalars` gave when the step was measured.
        """
        taken, self._taken = self._taken, None
        if taken is not None:
            with self.log.finishing("a step"):
                self.log.write(taken.step.with_scalars(add(taken.scalars)))

    def close(self) -> str:
        """Closes the log, and returns what to tell the person; the same again, if it is closed already."""
        if self._closing_lines is not None:
            return self._closing_lines
        self.hand_over()  # of a training that ended on an error right after the step
        self._finalizer.detach()
        with self.log.ahead("the end of logging"):  # what was kept may be as large as several models
            self._model = self._backend = self._probing = self._replayer = self._taken = self._held = None
        self._closing_lines = self.log.close()
        return self._closing_lines

    def _measure(self, probing: Probing, step: int, with_values: bool, scalars: Scalars, is_last: bool = False) -> None:
        log = self.log
        is_first, self._is_first = self._is_first, False
        # Whatever the device still does for the training must not be counted as ours.
        probing.probe.wait()
        counted = log.set_up("the first pass") if is_first else log.logging("a step")
        with counted, probing.checks(), probing.probe.reading_once():
            changed = probing.updates.run(step, with_values)
            without = changed.few if not self._wholes.want(step, is_last) else frozenset[int]()
            found = probing.run(step, with_values, without, may_retrace=is_first)
            self._taken = _Taken(found.plus(*changed.parts), dict(scalars()))

    def _add_wholes(self, probing: Probing, step: int) -> None:
        """Adds to the step that was logged last, and turns out to be the last one, what it was logged without."""
        log, probe = self.log, probing.probe
        if not probe.wholes or not self._wholes.want(step, is_last=True):
            return
        with log.logging("the last step"):
            wholes, taken = probe.run_wholes(with_values=True), self._taken
            if taken is None:
                log.write(Step(step, (wholes,)))
            else:
                self._taken = dataclasses.replace(taken, step=taken.step.plus(wholes))
