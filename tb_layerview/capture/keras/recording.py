"""The log of one Keras model: what the callback and a training loop of one's own share."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.capture.cluster import has_other_processes
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.tf import debug_switches
from tb_layerview.capture.keras.tf.first_batch import Choice, Examples
from tb_layerview.capture.keras.tf.probe import ProbePass
from tb_layerview.capture.keras.tf.replay import Replayer
from tb_layerview.capture.keras.tf.rows import Octaves, TouchedRows
from tb_layerview.capture.keras.tf.snapshot import ModelState, Values
from tb_layerview.capture.keras.tf.updates import WeightUpdates
from tb_layerview.capture.keras.tf.weights import WeightsAlone
from tb_layerview.format.model import Mode
from tb_layerview.writing.guard import NotSupported, Refused, in_words
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


@dataclasses.dataclass(frozen=True)
class _Held:
    """The weights after a step that may turn out to be the last.

    Attributes:
      step: Training steps that were complete.
      values: The weights.
      is_late: Whether others may have changed them since.
    """

    step: int
    values: Values
    is_late: bool


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
        mode: Mode = "train",
    ) -> None:
        """Opens the log.

        Args:
          model: The Keras model.
          logdir: The run's folder.
          given: The options.
          mode: What the model is doing.

        Raises:
          ValueError: The folder cannot be written to.
        """
        self._model: Any = model
        self._given = given
        self.log = TrainingLog(logdir, given.schedule, given.keep, mode, given.check)
        # Who never closes it, because the training ended on an error, has what was handed over all the same.
        self._finalizer = weakref.finalize(self, self.log.close)
        self._probe: ProbePass | WeightsAlone | None = None
        self._untried: list[Examples] = []
        self._obstacles: list[str] = []
        self._otherwise = ""
        self._notes: tuple[str, ...] = ()
        self._updates: WeightUpdates | None = None
        self._rows: TouchedRows | None = None
        self._wholes = Octaves()  # at which steps weights that are looked up are measured as wholes
        self._replayer: Replayer | None = None
        self._seen: int | None = None
        self._has_failed = self._is_unchecked = False
        self._is_first = True
        self._taken: _Taken | None = None
        self._held: _Held | None = None
        self._state: ModelState | None = None
        self._closing_lines: str | None = None  # once it is closed

    @property
    def is_ready(self) -> bool:
        """Whether there is something to log: the pass is traced."""
        return self._probe is not None

    def set_up(self, choice: Choice, is_fatal: bool, notes: Sequence[str] = ()) -> None:
        """Traces the pass, and says what is logged.

        Args:
          choice: What to run the model on: the first that it can be run on.
          is_fatal: Whether a model that cannot be run on it is an error; else that is said, and its weights are logged.
          notes: What else is not logged and why, a sentence each.

        Raises:
          Refused: The model cannot be run on the probe, or a pattern matches no layer.
        """
        self._untried, self._obstacles = list(choice.examples), list(choice.obstacles)
        self._otherwise, self._notes = choice.otherwise, tuple(notes)
        try:
            with self.log.set_up("the probe"):
                self._trace(is_fatal)
        except Refused as error:
            self.log.refused("the probe", error)
            self.close()
            raise

    def _trace(self, is_fatal: bool = False) -> None:
        """Traces the pass on the first examples that it can be run on; if there are none, finds the weights alone."""
        found = self._pass(is_fatal)
        parts: ProbePass | WeightsAlone
        if found is None:
            parts, note = self._weights_alone()
        elif self._obstacles:
            parts, note = found, f"the probe is {found.source}: {' and '.join(self._obstacles)}"
        else:
            parts, note = found, ""
        updates, rows = WeightUpdates(parts.updates), TouchedRows(parts.looked_up)
        if not parts.layers:  # which no pattern is to blame for
            raise RuntimeError("no layer of the model was found")
        try:
            self._given.select.check(parts.layers)
        except ValueError as error:
            raise Refused(str(error)) from error
        model, notes = parts.model, (*((note,) if note else ()), *parts.model.notes, *self._notes)
        self.log.describe(dataclasses.replace(model, schedule=self._given.schedule.in_words(), notes=notes))
        self._probe, self._updates, self._rows = parts, updates, rows

    def _pass(self, is_fatal: bool) -> ProbePass | None:
        """The pass on what is left to try; None if it cannot be had."""
        without_loss: ProbePass | None = None
        while self._untried:
            examples = self._untried.pop(0)
            try:
                found = ProbePass(
                    self._model,
                    examples.batch,
                    examples.source,
                    self._given,
                    training=self.log.mode == "train",
                )
            except NotImplementedError as error:  # as Keras' own `call` does
                self._untried, self._otherwise = [], ""
                self._obstacles = [f"the model has no `call` of its own ({in_words(error)[:_WORDS]})"]
                continue
            except NotSupported:
                raise
            except Exception as error:
                if is_fatal:
                    raise Refused(_not_on(examples, error)) from error
                self._obstacles.append(f"the model cannot be run on {examples.source} ({in_words(error)[:_WORDS]})")
                continue
            if not found.loss_error:
                return found
            without_loss = without_loss or found
            if self._untried:
                self._obstacles.append(
                    f"the loss cannot be computed on {examples.source} ({found.loss_error[:_WORDS]})"
                )
        return without_loss

    def _weights_alone(self) -> tuple[WeightsAlone, str]:
        """What there is without a pass, and a sentence on what there is not."""
        parts = WeightsAlone(self._model, self._given, training=self.log.mode == "train")
        wanted = [kind for kind in ("activation", "gradient") if kind in self._given.select.kinds]
        if not wanted:
            return parts, ""
        left_out = f"{' and '.join(self._obstacles)}: {' and '.join(f'{kind}s' for kind in wanted)} are left out"
        self.log.report("the probe", ". ".join(part for part in (left_out, self._otherwise) if part))
        return parts, left_out

    @property
    def looked_up(self) -> frozenset[int]:
        """Ids of TensorFlow's variables of which a step changes few rows."""
        return frozenset(id(weight.variable) for weight in self._probe.looked_up) if self._probe else frozenset()

    @property
    def replayer(self) -> Replayer | None:
        """What keeps the last batches, once they are wanted."""
        return self._replayer

    def keep_batches(self) -> None:
        """Has the last batches kept from here on, to run again the one that breaks the training."""
        # Several processes would have to run it together; and a variable that one of them makes breaks the others.
        is_alone = not has_other_processes(self._model.distribute_strategy)
        probe = self._probe
        if (
            is_alone
            and isinstance(probe, ProbePass)
            and self._given.check.replay is not False
            and self._replayer is None
        ):
            with self.log.apart("what a replay needs"):
                self._replayer = Replayer(self._model, self.log, probe, self._given)

    def step(self, step: int, scalars: Scalars) -> None:
        """Logs a step if it is due, and keeps the weights if the next one is.

        Args:
          step: How many training steps are complete.
          scalars: What to log beside the layers; called only if the step is logged.
        """
        self.look(step)
        self.take(step, scalars)
        self.hand_over()
        self.before(step)

    # The parts of a step, for whom the training's function is called in between.

    def before(self, step: int, steps: int = 1, is_last: bool = False, is_beyond: bool = False) -> None:
        """Keeps the weights, right before the training changes them, if the step that it makes is to be logged.

        Args:
          step: How many training steps are complete.
          steps: How many what comes now completes, at most.
          is_last: Whether that is known to be the last one, which is logged whatever the schedule says.
          is_beyond: Whether nothing more is expected to be trained.
        """
        log, updates, rows = self.log, self._updates, self._rows
        if not is_beyond or (self._held is not None and self._held.step != step):
            self._held = None  # from here on, who holds values has TensorFlow copy them
        if updates is None or rows is None or not steps:
            return
        is_wanted = updates.is_wanted or rows.is_wanted
        if is_wanted and log.is_open and (log.due(step + steps) or is_last):
            with log.ahead("keeping the weights"):
                updates.keep(step)
                rows.keep(
                    step, steps
                )  # what it has just compared, if this step was logged: nothing has changed it since
        else:
            updates.forget()
            rows.forget()

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
        log = self.log
        if not self.is_ready or step == self._seen:
            return
        self._seen = step
        is_due = log.due(step)
        if is_due or (is_last and log.is_open):
            self._measure(step, is_last or log.values_due(step), scalars, is_last)

    def hold(self, step: int, is_late: bool = False) -> None:
        """Holds the weights after a step that may turn out to be the last, until the next one begins.

        Nothing is copied, unless somebody changes the weights meanwhile.

        Args:
          step: How many training steps are complete.
          is_late: Whether others may have changed them since.
        """
        if not self.is_ready or not self.log.is_open or (self._held is not None and self._held.step == step):
            return
        with self.log.guard("the weights at the end of an epoch"):
            if self._state is None:
                with self.log.apart("the weights at the end of an epoch"):
                    self._state = self._replayer.state if self._replayer is not None else ModelState(self._model)
            if self._state is not None:
                self._held = _Held(step, self._state.read(), is_late)

    def last_step(self, step: int, scalars: Scalars) -> None:
        """Logs the last step, with values, if it was not logged: the weights are those that are held, if they are."""
        log, held = self.log, self._held
        self._held = None
        if not self.is_ready or not log.is_open:
            self.look(step, at_once=True)
            return
        is_logged = log.is_last(step) or self._taken is not None
        is_changed = False
        if held is not None and held.step == step and self._state is not None:
            with log.guard("the weights at the end of an epoch"):
                is_changed = self._state.differ(held.values, self._state.read())
            if held.is_late and not is_logged:
                log.note(f"nothing told that step {step:,} would be the last: it is logged as it was found after it")
        with log.guard("the last step"), self._as_held(held if is_changed else None):
            self.look(step, at_once=True)
            if not is_logged:
                self._measure(step, True, scalars, is_last=True)
            else:
                self._add_wholes(step)
        if is_changed:
            log.note(
                f"the weights that the training left are not those of step {step:,}: they were changed after it, as "
                "EarlyStopping(restore_best_weights=True) does"
            )

    @contextlib.contextmanager
    def _as_held(self, held: _Held | None) -> Iterator[None]:
        """Has the weights be those that are held, if they are, and puts the others back."""
        if held is None or self._state is None:
            yield
            return
        now = self._state.read()
        try:
            self._state.assign(held.values)
            yield
        finally:
            self._state.assign(now)

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
            self._model = self._probe = self._updates = self._rows = self._replayer = None
            self._taken = self._held = self._state = None
        self._closing_lines = self.log.close()
        return self._closing_lines

    def _measure(self, step: int, with_values: bool, scalars: Scalars, is_last: bool = False) -> None:
        log, probe, updates, rows = self.log, self._probe, self._updates, self._rows
        assert probe is not None and updates is not None and rows is not None
        is_first, self._is_first = self._is_first, False
        # Whatever the device still does for the training must not be counted as ours.
        probe.wait()
        counted = log.set_up("the first pass") if is_first else log.logging("a step")
        with counted, debug_switches.off() if self._is_unchecked else contextlib.nullcontext():
            changed = updates.run(step, with_values)
            touched = rows.run(step, with_values)
            without = touched.few if not self._wholes.want(step, is_last) else frozenset[int]()
            found = self._run(step, with_values, without, may_retrace=is_first).plus(*touched.parts)
            self._taken = _Taken(found.plus(changed) if changed else found, dict(scalars()))

    def _add_wholes(self, step: int) -> None:
        """Adds to the step that was logged last, and turns out to be the last one, what it was logged without."""
        log, probe = self.log, self._probe
        assert probe is not None
        if not probe.wholes or not self._wholes.want(step, is_last=True):
            return
        with log.logging("the last step"):
            wholes, taken = probe.run_wholes(with_values=True), self._taken
            if taken is None:
                log.write(Step(step, (wholes,)))
            else:
                self._taken = dataclasses.replace(taken, step=taken.step.plus(wholes))

    def _run(self, step: int, with_values: bool, without: frozenset[int], may_retrace: bool) -> Step:
        """Runs the pass; where it fails, reads the weights alone, and tries again at the next step that is logged."""
        probe = self._probe
        assert probe is not None
        try:
            found = probe.run(step, with_values, without)
            self._untried.clear()  # whole batches
            return found
        except Exception as error:
            if not isinstance(probe, ProbePass):
                raise
            words = in_words(error)[:_WORDS]
            if debug_switches.are_on():
                # What the model traces within functions of its own is traced by now, and keeps what looks at it.
                return self._run_unchecked(probe, step, with_values, without, may_retrace)
            if may_retrace and self._untried:
                self._obstacles.append(f"the model cannot be run on {probe.source} ({words})")
                self._trace()
                return self._run(step, with_values, without, may_retrace)
            left_out = "activations and gradients are left out wherever the pass fails; weights and updates are logged"
            self.log.report("the probe's pass", f"{words}: {left_out}. The training goes on", error)
            if not self._has_failed:
                self._has_failed = True
                self.log.note(f"the probe's pass has failed ({words}): {left_out}")
            return Step(step, (probe.weights.run(with_values),))

    def _run_unchecked(
        self, probe: ProbePass, step: int, with_values: bool, without: frozenset[int], may_retrace: bool
    ) -> Step:
        """Runs the pass without TensorFlow's debugging switches: values that are not finite are what a log is for."""
        self._is_unchecked = True
        with debug_switches.off():
            self._untried.insert(0, Examples(probe.batch, probe.source))
            self._trace()
            return self._run(step, with_values, without, may_retrace)


_WORDS = 300  # letters of an error that a note quotes


def _not_on(examples: Examples, error: Exception) -> str:
    shapes = ", ".join(f"{tuple(leaf.shape)}" for leaf in tf.nest.flatten(examples.batch.x))
    return (
        f"the model cannot be run on the given probe, whose inputs are {shapes}: {in_words(error)}. "
        "Give a probe as `fit` takes its batches."
    )
