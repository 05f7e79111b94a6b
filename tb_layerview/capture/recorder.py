"""Logs a Keras model through a probe: the work that the callback and a training loop of one's own share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

from tb_layerview.capture import probe as seam
from tb_layerview.capture.choice import Batch, Choice
from tb_layerview.capture.given import Given, Ranks, floats
from tb_layerview.capture.keras.versions import is_keras
from tb_layerview.capture.recording import Recording
from tb_layerview.format.addresses import checked
from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select


class Backend(seam.Backend, Protocol):
    """What computes a model, as a loop of one's own wants it."""

    def logs(self, model: Any) -> bool:
        """Whether this process logs a model. If another one does, or if nobody can, that is said."""
        ...

    def is_ready(self, model: Any, given: Given, is_trained: bool) -> bool:
        """Whether a model has all that is to be logged of it.

        Args:
          model: The model.
          given: What is to be logged.
          is_trained: Whether it has had a step, in which an optimizer makes what it keeps.
        """
        ...

    def is_other(self) -> bool:
        """Whether a pass that is traced now would be another one than that which was traced last."""
        ...

    def notes(self, model: Any) -> Sequence[str]:
        """What is not logged of a model and why, a sentence each, where that is known by the loop alone."""
        ...

    def scalars(self) -> Mapping[str, float]:
        """What else is to be logged at a step, by name."""
        ...

    def given_batch(self, data: Any) -> Batch:
        """The probe that somebody gave, as tensors.

        Raises:
          Refused: It is none.
        """
        ...

    def as_batch(self, data: Any) -> Any:
        """What a step was trained on, for `Replayer.after_step`."""
        ...

    def losses_are_finite(self, logs: Any) -> Any:
        """Whether the losses are finite, bool []: those called so, else all that is logged."""
        ...


class LayerRecorder:
    """Logs the layers of a Keras model or of a module of PyTorch or Flax NNX from a training loop of one's own.

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

    A module of PyTorch, or of Flax NNX, which nobody has told its loss, comes with it:

    ```python
    recorder = lv.LayerRecorder(model, "logs/run1", probe=(x[:32], y[:32]), loss=F.cross_entropy, optimizer=optimizer)
    recorder.record(0)
    for step, (batch, labels) in enumerate(data, start=1):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch), labels)
        loss.backward()
        optimizer.step()
        recorder.record(step, {"loss": loss})
    recorder.close()
    ```

    At each logged step the model is run on the probe in training mode, and everything is afterwards as it was. A Keras
    model's gradients are those of the loss that it is compiled with, or those that a `train_step` of its own gives to
    an optimizer. Without a loss activations, weights and updates are logged.

    Where several processes train one model, the chief alone logs, unless all are to; each may have a recorder.
    """

    def __init__(
        self,
        model: Any,
        logdir: str | os.PathLike[str],
        probe: Any,
        select: Select = Select(),
        schedule: Schedule | int = Schedule(),
        keep: Keep | None = None,
        check: Check = Check(),
        loss: Callable[..., Any] | None = None,
        optimizer: Any = None,
        ranks: Ranks = "first",
    ) -> None:
        """Opens the log and traces the probe's pass.

        If the model is not built yet, this waits for the first `record` after it was: only the training may create its
        weights.

        Args:
          model: The Keras model, the PyTorch module or the `flax.nnx.Module`; what `torch.compile` has made of a module
            is run as it is written.
          logdir: The run's folder, or its address: `s3://bucket/run`; the log goes into its folder `layers`.
          probe: The batch whose activations and gradients are logged: x, (x, y) or (x, y, sample_weight), arrays or
            nested structures of them. A module that takes several inputs is given a tuple of them, or by name a dict.
          select: Which layers and kinds to log.
          schedule: When to log: a `Schedule`, or N for every N steps.
          keep: How much to keep of each tensor; by default `Keep()`, and statistics alone where all ranks log.
          check: What to look for, and what to do about it: `should_stop` tells what `Check(stop_on=...)` asks for.
          loss: Of a module of PyTorch or Flax: a function that is given what the module makes of x, and y and the
            weights as far as the probe has them, and returns a tensor of one number.
          optimizer: Of a module of PyTorch or Flax: what trains it, a `torch.optim.Optimizer` or an `nnx.Optimizer`, or
            several. Its learning rate is logged, and what it keeps of the weights if that is selected.
          ranks: Of a PyTorch module that several processes train: the first one logs, or "all", each on a probe of its
            own into its `<logdir>/rank-N`.

        Raises:
          TypeError: An option is not of its type, or the model is neither a Keras model nor a module of
            PyTorch or Flax NNX.
          ValueError: An option is out of its range, the folder cannot be written to or opened by what is installed,
            a framework that is not known computes the model, its weights are spread over several processes, it cannot
            be run on the probe, or a pattern matches no layer.
        """
        given = Given.of(select, schedule, keep, check, ranks)
        select.refuse_tensors()
        logdir = checked(logdir)
        backend: Backend
        if ranks != "first" and (is_keras(model) or _is_flax(model)):
            raise ValueError(
                'ranks="all" is for PyTorch modules: of the processes that train another one the chief logs'
            )
        if is_keras(model):
            backend = _of_keras(model, loss, optimizer)
        elif _is_flax(model):
            from tb_layerview.capture.jax.nnx.backend import Modules as FlaxModules

            backend = FlaxModules(model, loss, optimizer)
        else:
            backend, model, logdir, given = _of_modules(model, loss, optimizer, logdir, given)
        self._given = given
        self._backend: Any = backend  # until it is closed, as all that leads to the model
        self._told: tuple[int, Mapping[str, Any]] | None = None
        self._traced: Choice | None = None  # what the pass is of, until something was recorded
        self._model: Any = model if backend.logs(model) else None
        self._probe: Choice | None = Choice.given(backend.given_batch(probe))
        if self._model is None:
            return
        self._recording = Recording(model, logdir, given, backend)
        if backend.is_ready(model, given, is_trained=False):
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
        if told is None and self._traced is not None and self._backend.is_other():
            self._probe = self._traced
        self._traced = None
        if self._probe is not None and self._backend.is_ready(self._model, self._given, told is not None):
            self._set_up(is_fatal=False)
        if told is None:
            recording.log.begin(step)
        if batch is not None:
            self._keep(batch, scalars or {})
        recording.step(step, lambda: self._scalars(scalars or {}))
        if recording.replayer is not None:
            recording.replayer.before_step(step)

    def _scalars(self, told: Mapping[str, Any]) -> dict[str, float]:
        return {**self._backend.scalars(), **floats(told)}

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
            self._recording.last_step(told[0], lambda: self._scalars(told[1]))
            self._recording.hand_over()
        lines, ranks = self._recording.close(), sys.modules.get("tb_layerview.capture.torch.processes")
        if ranks is not None and self._given.ranks == "all":
            ranks.tell(lines)
        else:
            print(lines)
        self._model = self._probe = self._backend = self._traced = None

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
        self._traced = probe
        self._recording.set_up(probe, is_fatal, self._backend.notes(self._model))


def _of_keras(model: Any, loss: Any, optimizer: Any) -> Backend:
    """What computes a Keras model.

    Raises:
      ValueError: It is given what is for modules, or cannot be logged.
    """
    from tb_layerview.capture.keras.backends import backend_of

    if loss is not None or optimizer is not None:
        raise ValueError(
            "loss= and optimizer= are for modules of PyTorch and Flax; compile the Keras model with its own"
        )
    return backend_of(model)


def _of_modules(model: Any, loss: Any, optimizer: Any, logdir: str, given: Given) -> tuple[Backend, Any, str, Given]:
    """What computes a PyTorch module, the module itself, where this process logs it, and what.

    Raises:
      TypeError: It is none.
      ValueError: It cannot be logged.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a Keras model, a torch.nn.Module or a flax.nnx.Module, not {model!r}")
    from tb_layerview.capture.torch.backend import Modules, log_by_hand
    from tb_layerview.capture.torch.processes import Process

    backend = Modules(model, loss, optimizer, ranks=given.ranks)
    log_by_hand(backend)
    return backend, backend.network, *Process.of_this().place(logdir, given)


def _is_flax(model: Any) -> bool:
    """Whether this is a module of Flax NNX, as far as can be told without importing it."""
    flax = sys.modules.get("flax.nnx")
    return flax is not None and isinstance(model, flax.Module)
