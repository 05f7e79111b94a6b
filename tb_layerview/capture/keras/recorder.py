"""Logs a Keras model through a probe: the work that the callback and a training loop of one's own share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tb_layerview.capture.choice import Choice
from tb_layerview.capture.given import Given, floats
from tb_layerview.capture.keras.backends import backend_of
from tb_layerview.capture.keras.recording import Recording
from tb_layerview.capture.keras.versions import is_built
from tb_layerview.format.storage import local_folder
from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select


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
    loss is, the model must have been told: gradients are those of the loss that it is compiled with, or those that a
    `train_step` of its own gives to an optimizer. Without either, activations, weights and updates are logged.

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
          ValueError: An option is out of its range, the folder cannot be written to or is not on this machine,
            a framework that is not known computes the model, it cannot be run on the probe, or a pattern matches no
            layer.
        """
        given = Given.of(select, schedule, keep, check)
        select.refuse_tensors()
        logdir = local_folder(logdir)
        self._backend = backend = backend_of(model)
        self._probe: Choice | None = Choice.given(backend.given_batch(probe))
        self._told: tuple[int, Mapping[str, Any]] | None = None
        self._model: Any = model if backend.logs(model) else None
        if self._model is None:
            return
        self._recording = Recording(model, logdir, given, backend)
        if is_built(model):
            self._set_up(is_fatal=True)

    @property
    def should_stop(self) -> bool:
        """Whether something was found at which the training is to stop."""
        return self._model is not None and self._recording.log.should_stop

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
        if self._model is None or not self._recording.log.is_open:
            return
        recording, told = self._recording, self._told
        if told is not None and step <= told[0]:
            recording.log.report(
                "record",
                f"step {step} comes after step {told[0]} and is not logged. A new LayerRecorder replaces steps "
                "that are trained again",
            )
            return
        self._told = step, scalars or {}
        if self._probe is not None and is_built(self._model):
            self._set_up(is_fatal=False)
        if told is None:
            recording.log.begin(step)
        if batch is not None:
            self._keep(batch, scalars or {})
        recording.step(step, lambda: floats(scalars or {}))
        if recording.replayer is not None:
            recording.replayer.before_step(step)

    def _keep(self, batch: Any, scalars: Mapping[str, Any]) -> None:
        recording = self._recording
        recording.keep_batches()
        if recording.replayer is not None:
            with recording.log.guard("what a replay needs"):
                kept = self._backend.as_batch(batch)
                recording.replayer.after_step(kept, self._backend.losses_are_finite(scalars))

    def close(self) -> None:
        """Logs the step that was recorded last, if it was not, closes the log, and says what it holds."""
        self._close(with_last=True)

    def _close(self, with_last: bool) -> None:
        if self._model is None:
            return
        told, self._told = self._told, None
        if with_last and told is not None:
            self._recording.last_step(told[0], lambda: floats(told[1]))
            self._recording.hand_over()
        print(self._recording.close())
        self._model = self._probe = None

    def __enter__(self) -> LayerRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Where an error ended the loop, nobody knows how far the step had come.
        self._close(with_last=error is None)

    def _set_up(self, is_fatal: bool) -> None:
        probe, self._probe = self._probe, None
        assert probe is not None
        self._recording.set_up(probe, is_fatal)
