"""Logs a Keras model through a probe: the work that the callback and a training loop of one's own share."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import debug_switches
from tb_layerview.cluster import has_other_processes, logs_model
from tb_layerview.digest import Measure
from tb_layerview.keras_batches import Choice, Examples, as_tensor
from tb_layerview.keras_last_batch import losses_are_finite
from tb_layerview.keras_probe import ProbePass
from tb_layerview.keras_replay import Replayer
from tb_layerview.keras_updates import WeightUpdates
from tb_layerview.keras_versions import require_tensorflow
from tb_layerview.keras_weights import WeightsAlone
from tb_layerview.model import Mode
from tb_layerview.options import Check, Keep, Schedule, Select, as_schedule
from tb_layerview.session import NotSupported, Refused, Session, in_words

Scalars = Callable[[], Mapping[str, float]]

_WORDS = 300  # letters of an error that a note quotes


class LayerRecorder:
    """Logs a Keras model's layers from a training loop of one's own.

    ```python
    with lv.LayerRecorder(model, "logs/run1", probe=(x[:32], y[:32])) as recorder:
        recorder.record(0)
        for step, (batch, labels) in enumerate(data, start=1):
            with tf.GradientTape() as tape:
                loss = loss_of(labels, model(batch, training=True))
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
            recorder.record(step, {"loss": loss})
    ```

    At each logged step the model is run on the probe in training mode, and everything is afterwards as it was. What the
    loss is, the model must have been told: gradients are those of the loss that it is compiled with. Without one,
    activations, weights and updates are logged.

    Where several processes train one model, the chief alone logs; each may have a recorder.
    """

    def __init__(
        self,
        model: Any,
        logdir: str | os.PathLike[str],
        probe: Any,
        select: Select = Select(),
        schedule: Schedule | int = Schedule(),
        keep: Keep = Keep(),
        check: Check = Check(),
    ) -> None:
        """Opens the log and traces the probe's pass.

        If the model is not built yet, this waits for the first `record` after it was: only the training may create its
        weights.

        Args:
          model: The Keras model.
          logdir: The run's folder; the log goes into its folder `layers`.
          probe: The batch whose activations and gradients are logged: x, (x, y) or (x, y, sample_weight), arrays or
            nested structures of them.
          select: Which layers and kinds to log.
          schedule: When to log: a `Schedule`, or N for every N steps.
          keep: How much to keep of each tensor.
          check: What to look for, and what to do about it: `should_stop` tells what `Check(stop_on=...)` asks for.

        Raises:
          TypeError: An option is not of its type.
          ValueError: An option is out of its range, the folder cannot be written to, TensorFlow does not compute the
            model, it cannot be run on the probe, or a pattern matches no layer.
        """
        check_options(select, keep, check)
        require_tensorflow(model)
        schedule = as_schedule(schedule)
        self._given: Choice | None = Choice.given(probe)
        self._told: tuple[int, Mapping[str, Any]] | None = None
        self._model: Any = model if logs_model(model) else None
        if self._model is None:
            return
        self._recording = Recording(model, logdir, select, schedule, keep, check)
        if model.built:
            self._set_up(is_fatal=True)

    @property
    def should_stop(self) -> bool:
        """Whether something was found at which the training is to stop."""
        return self._model is not None and self._recording.session.should_stop

    def record(self, step: int, scalars: Mapping[str, Any] | None = None, batch: Any = None) -> None:
        """Logs the model as it is now, if the schedule wants this step. Call it after every training step.

        Args:
          step: How many training steps are complete; larger than at the call before. 0 is the state before the first.
          scalars: Loss, metrics, learning rate by name; single numbers, of which tensors are read only if logged.
          batch: What this step was trained on, in the form of the probe: it is kept, and run again if it broke the
            training, as the scalars tell whose names hold `loss`.

        Raises:
          ValueError: The step is negative.
        """
        step = int(step)
        if step < 0:
            raise ValueError(f"the step must be at least 0, not {step}: it counts the training steps that are complete")
        if self._model is None or not self._recording.session.is_open:
            return
        recording, told = self._recording, self._told
        if told is not None and step <= told[0]:
            recording.session.report(
                "record",
                f"step {step} comes after step {told[0]} and is not logged. A new LayerRecorder replaces steps "
                "that are trained again",
            )
            return
        self._told = step, scalars or {}
        if self._given is not None and self._model.built:
            self._set_up(is_fatal=False)
        if told is None:
            recording.session.begin(step)
        if batch is not None:
            self._keep(batch, scalars or {})
        recording.step(step, lambda: floats(scalars or {}))
        if recording.replayer is not None:
            recording.replayer.before_step(step)

    def _keep(self, batch: Any, scalars: Mapping[str, Any]) -> None:
        recording = self._recording
        recording.keep_batches()
        if recording.replayer is not None:
            with recording.session.guard("what a replay needs"):
                kept = tf.nest.map_structure(as_tensor, batch)
                recording.replayer.after_step(kept, losses_are_finite(scalars))

    def close(self) -> None:
        """Logs the step that was recorded last, if it was not, closes the log, and says what it holds."""
        self._close(with_last=True)

    def _close(self, with_last: bool) -> None:
        if self._model is None:
            return
        told, self._told = self._told, None
        if with_last and told is not None:
            self._recording.last_step(told[0], lambda: floats(told[1]))
        print(self._recording.close())
        self._model = self._given = None

    def __enter__(self) -> LayerRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Where an error ended the loop, nobody knows how far the step had come.
        self._close(with_last=error is None)

    def _set_up(self, is_fatal: bool) -> None:
        given, self._given = self._given, None
        assert given is not None
        self._recording.set_up(given, is_fatal)


class Recording:
    """One model's log in one mode: the probe's pass, the updates, and the session that writes them.

    After `close` it holds neither model nor probe.

    Attributes:
      session: When to log, at what cost, and what happens when it fails.
    """

    def __init__(
        self,
        model: Any,
        logdir: str | os.PathLike[str],
        select: Select,
        schedule: Schedule,
        keep: Keep,
        check: Check,
        mode: Mode = "train",
    ) -> None:
        """Opens the log.

        Raises:
          ValueError: The folder cannot be written to.
        """
        self._model: Any = model
        self._select, self._schedule, self._keep, self._check = select, schedule, keep, check
        self.session = Session(logdir, schedule, keep, mode, check)
        # Who never closes it, because the training ended on an error, has what was handed over all the same.
        self._finalizer = weakref.finalize(self, self.session.close)
        self._probe: ProbePass | WeightsAlone | None = None
        self._untried: list[Examples] = []
        self._obstacles: list[str] = []
        self._otherwise = ""
        self._notes: tuple[str, ...] = ()
        self._updates: WeightUpdates | None = None
        self._replayer: Replayer | None = None
        self._seen: int | None = None
        self._has_failed = self._is_unchecked = False
        self._is_first = True

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
            with self.session.set_up("the probe"):
                self._trace(is_fatal)
        except Refused:
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
        updates = WeightUpdates(parts.updates)
        if not parts.layers:  # which no pattern is to blame for
            raise RuntimeError("no layer of the model was found")
        try:
            self._select.check(parts.layers)
        except ValueError as error:
            raise Refused(str(error)) from error
        model, notes = parts.model, (*((note,) if note else ()), *parts.model.notes, *self._notes)
        self.session.describe(dataclasses.replace(model, schedule=self._schedule.in_words(), notes=notes))
        self._probe, self._updates = parts, updates

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
                    self._select,
                    self._keep,
                    training=self.session.mode == "train",
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
        parts = WeightsAlone(self._model, self._select, self._keep, training=self.session.mode == "train")
        wanted = [kind for kind in ("activation", "gradient") if kind in self._select.kinds]
        if not wanted:
            return parts, ""
        left_out = f"{' and '.join(self._obstacles)}: {' and '.join(f'{kind}s' for kind in wanted)} are left out"
        self.session.report("the probe", ". ".join(part for part in (left_out, self._otherwise) if part))
        return parts, left_out

    @property
    def replayer(self) -> Replayer | None:
        """What keeps the last batches, once they are wanted."""
        return self._replayer

    def keep_batches(self) -> None:
        """Has the last batches kept from here on, to run again the one that breaks the training."""
        # Several processes would have to run it together; and a variable that one of them makes breaks the others.
        is_alone = not has_other_processes(self._model.distribute_strategy)
        probe = self._probe
        if is_alone and isinstance(probe, ProbePass) and self._check.replay is not False and self._replayer is None:
            with self.session.apart("what a replay needs"):
                self._replayer = Replayer(self._model, self.session, probe, self._select, self._keep, self._check)

    def step(self, step: int, scalars: Scalars, next_is_last: bool = False) -> None:
        """Logs a step if it is due, and keeps the weights if the next one is.

        Args:
          step: How many training steps are complete.
          scalars: What to log beside the layers; called only if the step is logged.
          next_is_last: Whether the next step is known to be the last, which is logged whatever the schedule says.
        """
        session, updates = self.session, self._updates
        if updates is None or step == self._seen:
            return
        self._seen = step
        found = session.heed()
        if self._replayer is not None:
            self._replayer.look(step, found)
        if session.due(step):
            self._log(step, session.values_due(step), scalars)
        if updates.is_wanted and session.is_open and (session.due(step + 1) or next_is_last):
            with session.guard("keeping the weights"):
                updates.keep(step)
        else:
            updates.forget()

    def last_step(self, step: int, scalars: Scalars) -> None:
        """Logs the last step, with values, if it was not logged."""
        if self._replayer is not None:
            self._replayer.look(step, self.session.heed(), at_once=True)
        if self.is_ready and self.session.is_open and not self.session.is_last(step):
            self._log(step, True, scalars)

    def close(self) -> str:
        """Closes the log, and returns what to tell the person."""
        self._finalizer.detach()
        message = self.session.close()
        self._model = self._probe = self._updates = self._replayer = None
        return message

    def _log(self, step: int, with_values: bool, scalars: Scalars) -> None:
        session, probe, updates = self.session, self._probe, self._updates
        assert probe is not None and updates is not None
        is_first, self._is_first = self._is_first, False
        # Whatever the device still does for the training must not be counted as ours.
        probe.wait()
        counted = session.set_up("the first pass") if is_first else session.logging("a step")
        with counted, debug_switches.off() if self._is_unchecked else contextlib.nullcontext():
            changed = updates.run(step, with_values)
            measure, found = self._run(with_values, may_retrace=is_first)
            session.write(step, lambda: {**measure(), **(changed() if changed else {})}, {**found, **scalars()})

    def _run(self, with_values: bool, may_retrace: bool) -> tuple[Measure, dict[str, float]]:
        """Runs the pass; where it fails, reads the weights alone, and tries again at the next step that is logged."""
        probe = self._probe
        assert probe is not None
        try:
            found = probe.run(with_values)
            self._untried.clear()  # whole batches
            return found
        except Exception as error:
            if not isinstance(probe, ProbePass):
                raise
            words = in_words(error)[:_WORDS]
            if debug_switches.are_on():
                # What the model traces within functions of its own is traced by now, and keeps what looks at it.
                return self._run_unchecked(probe, with_values, may_retrace)
            if may_retrace and self._untried:
                self._obstacles.append(f"the model cannot be run on {probe.source} ({words})")
                self._trace()
                return self._run(with_values, may_retrace)
            left_out = "activations and gradients are left out wherever the pass fails; weights and updates are logged"
            self.session.report("the probe's pass", f"{words}: {left_out}. The training goes on", error)
            if not self._has_failed:
                self._has_failed = True
                self.session.note(f"the probe's pass has failed ({words}): {left_out}")
            return probe.weights.run(with_values), {}

    def _run_unchecked(
        self, probe: ProbePass, with_values: bool, may_retrace: bool
    ) -> tuple[Measure, dict[str, float]]:
        """Runs the pass without TensorFlow's debugging switches: values that are not finite are what a log is for."""
        self._is_unchecked = True
        with debug_switches.off():
            self._untried.insert(0, Examples(probe.batch, probe.source))
            self._trace()
            return self._run(with_values, may_retrace)


def _not_on(examples: Examples, error: Exception) -> str:
    shapes = ", ".join(f"{tuple(leaf.shape)}" for leaf in tf.nest.flatten(examples.batch.x))
    return (
        f"the model cannot be run on the given probe, whose inputs are {shapes}: {in_words(error)}. "
        "Give a probe as `fit` takes its batches."
    )


def check_options(select: Any, keep: Any, check: Any) -> None:
    """Makes sure that the options are of their types.

    Raises:
      TypeError: One is not.
      ValueError: `select` names tensors of a graph.
    """
    for name, value, kind in (("select", select, Select), ("keep", keep, Keep), ("check", check, Check)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}(...), not {value!r}")
    select.refuse_tensors()


def floats(scalars: Mapping[str, Any]) -> dict[str, float]:
    """Those that are single numbers."""
    return {name: float(np.asarray(value)) for name, value in scalars.items() if np.ndim(value) == 0}
