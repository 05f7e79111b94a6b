"""Passes of Keras models that PyTorch computes."""

from __future__ import annotations

import itertools
import types
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tb_layerview.about import logger
from tb_layerview.capture.host.engine import Array
from tb_layerview.capture.keras.anatomy import KERAS
from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.engine import KerasEngine
from tb_layerview.capture.keras.own_step import is_own
from tb_layerview.capture.keras.torch.loss import compiled_loss, loss_scale, smaller
from tb_layerview.capture.keras.torch.tracing import KerasTracing
from tb_layerview.capture.keras.torch.train_step import TrainStep
from tb_layerview.capture.keras.torch.unchanged import Unchanged, buffers_of, modules_of, state_of
from tb_layerview.capture.keras.torch.variables import as_tensor, tensor_of
from tb_layerview.capture.passes.calls import noting_calls
from tb_layerview.capture.torch import traced
from tb_layerview.capture.torch.ran import Ran
from tb_layerview.capture.torch.recorder import Recorder
from tb_layerview.capture.torch.tracing import EagerTracing
from tb_layerview.capture.torch.values import copied, read, synchronize, to_host, write
from tb_layerview.writing.guard import in_words


class TracedPass(traced.TracedPass):
    """A pass of a Keras model; a `train_step` of its own may call it on something else than the batch's inputs."""

    _unchanged: Unchanged

    def __init__(self, model: Any, batch: Batch, training: bool, gradients: bool) -> None:
        """Runs the pass once; the arguments are those of `Engine.trace`."""
        self._step: TrainStep | None = None  # the model's own, if it is what is run
        self._attempt = 0  # how often a smaller loss scale was tried
        unchanged = Unchanged(model, with_optimizer=training and gradients and is_own(model))
        super().__init__(model, batch, training, gradients, unchanged, model.trainable_variables, tensor_of)

    def _tracing(self, recorder: Recorder | None) -> EagerTracing:
        return KerasTracing(self._overwritten, recorder)

    def _first(self) -> Ran:
        ran, obstacle = self._run_step()
        if ran is None:
            ran = self._run(self._recorder())
        if obstacle is not None:
            ran.notes.insert(0, _whose_gradients(obstacle, ran.gradients is not None))
        return ran

    def _run_step(self) -> tuple[Ran | None, str | None]:
        """Runs the pass as the model's own `train_step` has it.

        Returns:
          None if it has none or it cannot be run, and then why it cannot, in words.
        """
        if not self._training or not self._wants_gradients or not is_own(self._model):
            return None, None
        self._step = TrainStep(self._model)
        try:
            ran, obstacle = self._step.learn(lambda: self._run(self._recorder()))
        except Exception as error:  # noqa: BLE001  # whatever a user's code raises; the compiled loss is left
            ran, obstacle = None, f"it could not be run on the probe: {in_words(error)}"
        if obstacle is not None:
            self._step, self.takes_batch = None, True
            return None, obstacle
        return ran, None

    def _run(self, recorder: Recorder | None) -> Ran:
        """Runs the pass under a loss scale with which the gradients are finite, if there is any.

        The optimizer's may be too large: then it skips the step and tries a smaller one. The gradients of the loss
        itself are the same under any.
        """
        optimizer, step = getattr(self._model, "optimizer", None), self._step
        scale = loss_scale(optimizer) if self._training and self._wants_gradients and step is None else None
        for self._attempt in itertools.count():
            ran = self._pass(recorder, scale)
            largest = (scale or 1.0) if step is None else step.largest_scale
            if not largest > 1 or ran.gradients is None or _all_finite(ran.gradients.values()):
                break
            scale = None if scale is None else smaller(scale)
            recorder = None if recorder is None else self._recorder()
        return ran

    def _call(self, ran: Ran, batch: Any, tracing: EagerTracing) -> None:
        if self._step is not None:
            self._call_step(self._step, ran, batch, tracing)
            return
        model = self._model
        with noting_calls(model, KERAS, tracing, self._wants_sources) as ran.calls:
            has_modes = getattr(model, "_call_has_training_arg", True)
            predictions = model(batch.x, training=self._training) if has_modes else model(batch.x)
        if self._training and self._needs_loss:
            loss = compiled_loss(model, batch, predictions)
            ran.loss, ran.loss_error = loss.value, loss.error
            ran.notes += [loss.note] if loss.note else []

    def _call_step(self, step: TrainStep, ran: Ran, batch: Batch, tracing: EagerTracing) -> None:
        """Calls the model's own `train_step`."""
        keep = self._unchanged.keep
        step.make_scales_smaller(self._attempt, keep)
        with noting_calls(self._model, KERAS, tracing, self._wants_sources) as ran.calls:
            step.run(batch, keep)
        gradients, notes = step.gradients()
        ran.gradients = gradients
        ran.loss, sentence = step.loss()
        ran.notes += [*notes, sentence]
        self.takes_batch = step.takes(ran.x, ran.calls)
        if not self.takes_batch:
            ran.notes.append("this model's train_step does not call the model on the batch's inputs: shift is left out")


class TorchEngine(KerasEngine):
    """PyTorch, behind the seam; the methods are those of `host.engine.Engine`.

    Attributes:
      framework: PyTorch's version.
    """

    framework: Mapping[str, str] = types.MappingProxyType({"PyTorch": str(torch.__version__)})

    def as_tensor(self, leaf: Any) -> Any:
        """A leaf of a batch as a tensor in memory of its own."""
        return copied(as_tensor(leaf))

    def to_host(self, tensor: Any) -> Array:
        """A tensor's values as an array; of a sparse one the values."""
        return to_host(tensor)

    def trace(self, model: Any, batch: Batch, training: bool, gradients: bool) -> TracedPass:
        """Runs a pass once, and records what it is made of."""
        return TracedPass(model, batch, training, gradients)

    def variables(self, model: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        """All variables, and the buffers of torch's modules within, which Keras lists nowhere; and those of metrics."""
        found, of_metrics = super().variables(model)
        return [*found, *buffers_of(model)], of_metrics

    def read(self, variables: Sequence[Any]) -> list[Array]:
        """Values of Keras variables, or of tensors, in memory of their own: optimizers change them in place."""
        return read(map(tensor_of, variables))

    def write(self, variables: Sequence[Any], values: Sequence[Array]) -> None:
        """Sets values of Keras variables, or of tensors, to the last bit."""
        write(map(tensor_of, variables), values)

    def wait(self, model: Any) -> None:
        """Returns when the device has done what it was given before."""
        synchronize(state_of(model, modules_of(model)))


def _all_finite(gradients: Any) -> bool:
    return all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


def _whose_gradients(obstacle: str, are_had: bool) -> str:
    if are_had:
        sentence = f"gradients of the compiled loss, not of this model's train_step: {obstacle}"
    else:
        sentence = f"the gradients of this model's train_step cannot be had: {obstacle}"
    logger.warning("tb_layerview: %s.", sentence)
    return sentence
