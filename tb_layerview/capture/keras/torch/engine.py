"""Passes of Keras models that PyTorch computes: forward and backward, once to be analysed, and then again and again."""

from __future__ import annotations

import contextlib
import itertools
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tb_layerview.about import logger
from tb_layerview.capture.keras.calls import Call, noting_calls
from tb_layerview.capture.keras.host.batch import Batch
from tb_layerview.capture.keras.nodes import Node
from tb_layerview.capture.keras.own_step import is_own
from tb_layerview.capture.keras.torch.loss import compiled_loss, loss_scale, smaller, unscaled
from tb_layerview.capture.keras.torch.places import Place, Places
from tb_layerview.capture.keras.torch.ran import Ran
from tb_layerview.capture.keras.torch.recorder import Recorder, storage
from tb_layerview.capture.keras.torch.tracing import EagerTracing, Seen
from tb_layerview.capture.keras.torch.train_step import TrainStep
from tb_layerview.capture.keras.torch.unchanged import Unchanged, modules_of, state_of
from tb_layerview.capture.keras.torch.values import as_tensor, from_host, owned, tensor_of, to_host
from tb_layerview.writing.guard import in_words

Array = npt.NDArray[np.generic]


class TracedPass:
    """A pass of a model, which is run eagerly each time; the methods are those of `host.engine.Traced`.

    Attributes:
      calls: The calls of its layers, whose tensors are nodes; nothing once it was chosen from them.
      x: The model's inputs, a nested structure of nodes.
      gradients: By the id of a Keras variable; None if there is no loss.
      loss: On the batch.
      loss_error: What kept it from being computed, in words.
      notes: What cannot be had of the pass and why.
      takes_batch: Whether the model is called on the batch's inputs; a `train_step` of its own may do otherwise.
    """

    calls: list[Call]
    x: Any
    gradients: Mapping[int, Node | None] | None
    loss: Node | None
    loss_error: str
    notes: Sequence[str]

    def __init__(self, model: Any, batch: Batch, training: bool, gradients: bool) -> None:
        """Runs the pass once; the arguments are those of `Engine.trace`."""
        self._model, self._training, self._wants_gradients = model, training, gradients
        self._batch = batch.mapped(_copied)  # an array or a generator's buffer that it came from may be written to
        self._unchanged = Unchanged(model, with_optimizer=training and gradients and is_own(model))
        self._trained = list(model.trainable_variables)
        self._overwritten: frozenset[tuple[int, int]] = frozenset()
        self._chosen: list[Place] = []
        self._shares: list[list[Place]] = []
        self._step: TrainStep | None = None  # the model's own, if it is what is run
        self.takes_batch = True
        ran, obstacle = self._run_step()
        if ran is None:
            ran = self._run_finite(self._recorder())
        if obstacle is not None:
            ran.notes.insert(0, _whose_gradients(obstacle, ran.gradients is not None))
        recorder = ran.recorder
        assert recorder is not None
        self._places = Places(ran)
        self.calls, self.x, self.loss, self.gradients = (
            self._places.calls,
            self._places.x,
            self._places.loss,
            self._places.gradients,
        )
        self.loss_error, self.notes = ran.loss_error, tuple(ran.notes)
        recorder.forget()

    def _recorder(self) -> Recorder:
        return Recorder({id(tensor) for tensor in self._unchanged.tensors})

    def _run_step(self) -> tuple[Ran | None, str | None]:
        """Runs the pass as the model's own `train_step` has it.

        Returns:
          None if it has none or it cannot be run, and then why it cannot, in words.
        """
        if not self._training or not self._wants_gradients or not is_own(self._model):
            return None, None
        self._step = TrainStep(self._model)
        try:
            ran, obstacle = self._step.learn(lambda: self._run_finite(self._recorder()))
        except Exception as error:  # noqa: BLE001  # whatever a user's code raises; the compiled loss is left
            ran, obstacle = None, f"it could not be run on the probe: {in_words(error)}"
        if obstacle is not None:
            self._step, self.takes_batch = None, True
            return None, obstacle
        return ran, None

    def choose(self, wanted: Sequence[Node], shares: Sequence[Sequence[Node]]) -> None:
        """Says once what `run` is to give; see `host.engine.Traced`."""
        self._chosen = [self._places.of(node) for node in wanted]
        self._shares = [[self._places.of(node) for node in group] for group in shares]
        self._wants_gradients = any(place.kind == "gradient" for place in self._chosen)
        self._needs_loss = any(place.kind == "loss" for place in self._chosen) or self._wants_gradients
        self.calls, self.gradients, self.loss, self.x = [], None, None, None
        self._places.forget()

    def run(self) -> tuple[list[Array], list[float]]:
        """Runs the pass with the model's weights as they are now; everything is afterwards as it was.

        Raises:
          RuntimeError: It is another pass than that which was traced.
          Exception: Whatever the model raises.
        """
        every = [*self._chosen, *(place for group in self._shares for place in group)]
        needs_graph = any(place.kind == "operation" for place in every)
        while True:
            recorder = self._recorder() if needs_graph else None
            ran = self._run_finite(recorder)
            found = [self._places.find(place, ran) for place in self._chosen]
            shared = [[self._places.find(place, ran) for place in group] for group in self._shares]
            if not self._learns_overwritten([one for one in (*found, *(s for g in shared for s in g)) if one]):
                break
        return self._arrays([one.tensor for one in found]), [_largest_share([s.tensor for s in g]) for g in shared]

    def _arrays(self, tensors: list[torch.Tensor]) -> list[Array]:
        """Arrays that nobody else writes to: of whatever is the memory of a weight, copies."""
        weights = {_memory(tensor) for tensor in self._unchanged.tensors} - {None}
        return [owned(t) if t.device.type == "cpu" and _memory(t) in weights else to_host(t) for t in tensors]

    def _learns_overwritten(self, seen: list[Seen]) -> bool:
        """Whether any of these was written to after it was seen; from here on it is copied at once."""
        found = {one.place for one in seen if one.is_overwritten and one.place not in self._overwritten}
        self._overwritten |= found
        return bool(found)

    def _run_finite(self, recorder: Recorder | None) -> Ran:
        """Runs the pass under a loss scale with which the gradients are finite, if there is any.

        The optimizer's may be too large: then it skips the step and tries a smaller one. The gradients of the loss
        itself are the same under any.
        """
        optimizer, step = getattr(self._model, "optimizer", None), self._step
        scale = loss_scale(optimizer) if self._training and self._wants_gradients and step is None else None
        for attempt in itertools.count():
            ran = self._pass(recorder, scale, attempt)
            largest = (scale or 1.0) if step is None else step.largest_scale
            if not largest > 1 or ran.gradients is None or _all_finite(ran.gradients.values()):
                break
            scale = None if scale is None else smaller(scale)
            recorder = None if recorder is None else self._recorder()
        return ran

    def _pass(self, recorder: Recorder | None, scale: float | None, attempt: int) -> Ran:
        """Runs the pass, and puts everything back.

        Args:
          recorder: What records its operations, if they are wanted.
          scale: What the compiled loss is multiplied by, if it is.
          attempt: How often a smaller scale was tried: a `train_step` reads its optimizer's itself.
        """
        tracing = EagerTracing(self._overwritten, recorder)
        batch = self._batch.mapped(_copied)  # which a layer may write to
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._unchanged.put_back_after())
            stack.enter_context(_as_written())
            stack.enter_context(torch.autograd.set_detect_anomaly(False))  # NaN is what a log is for
            stack.enter_context(torch.enable_grad() if self._training else torch.no_grad())
            stack.enter_context(_with_gradients(self._trained if self._training else ()))
            with recorder or contextlib.nullcontext():
                x = [*tracing.tensors(batch.x, tracing.level())]
                ran = Ran([], x, batch.x, recorder=recorder)
                if self._step is None:
                    self._call(ran, batch, tracing)
                else:
                    self._call_step(self._step, ran, batch, tracing, attempt)
            if ran.loss is not None and self._wants_gradients and self._step is None:
                self._differentiate(ran, scale)
        self._learns_overwritten(tracing.seen if recorder is not None else [])
        return ran

    def _call(self, ran: Ran, batch: Batch, tracing: EagerTracing) -> None:
        """Calls the model, and computes the compiled loss."""
        model = self._model
        with noting_calls(model, tracing) as ran.calls:
            has_modes = getattr(model, "_call_has_training_arg", True)
            predictions = model(batch.x, training=self._training) if has_modes else model(batch.x)
        if self._training and self._needs_loss:
            loss = compiled_loss(model, batch, predictions)
            ran.loss, ran.loss_error = loss.value, loss.error
            ran.notes += [loss.note] if loss.note else []

    def _call_step(self, step: TrainStep, ran: Ran, batch: Batch, tracing: EagerTracing, attempt: int) -> None:
        """Calls the model's own `train_step`."""
        keep = self._unchanged.keep
        step.make_scales_smaller(attempt, keep)
        with noting_calls(self._model, tracing) as ran.calls:
            step.run(batch, keep)
        gradients, notes = step.gradients()
        ran.gradients = gradients
        ran.loss, sentence = step.loss()
        ran.notes += [*notes, sentence]
        self.takes_batch = step.takes(ran.x, ran.calls)
        if not self.takes_batch:
            ran.notes.append("this model's train_step does not call the model on the batch's inputs: shift is left out")

    _needs_loss = True  # until it is known what is wanted

    def _differentiate(self, ran: Ran, scale: float | None) -> None:
        """Adds the gradients, without writing to any `.grad`."""
        loss, variables = ran.loss, self._trained
        assert loss is not None
        tensors = [tensor_of(variable) for variable in variables]
        chosen = [tensor for tensor in tensors if tensor.requires_grad]
        found: Mapping[int, torch.Tensor | None] = {}
        if loss.requires_grad and chosen:
            scaled = loss if scale is None else loss.to(torch.float32) * scale
            gradients = torch.autograd.grad(scaled, chosen, allow_unused=True)
            if any(one is None for one in gradients) and _hides_weights(loss):
                ran.notes.append(
                    "a checkpoint of torch's with use_reentrant=True hides the weights within it, and only a backward "
                    "that writes to .grad finds them: gradients are left out"
                )
                return
            found = {id(tensor): gradient for tensor, gradient in zip(chosen, gradients)}
        with torch.no_grad():
            ran.gradients = {
                id(variable): None if (one := found.get(id(tensor))) is None else unscaled(_summed(one), scale)
                for variable, tensor in zip(variables, tensors)
            }
            for place in self._chosen:
                if place.kind == "gradient" and ran.gradients.get(place.key) is None:
                    # Of what the loss depends on at other steps alone, as an expert that was not chosen.
                    dtype = getattr(torch, place.dtype)
                    ran.gradients[place.key] = torch.zeros(place.shape, dtype=dtype, device=loss.device)


def _hides_weights(loss: torch.Tensor) -> bool:
    """Whether a loss depends on weights by what torch does not show: a part that runs a backward of its own."""
    pending, seen = [loss.grad_fn], set[Any]()
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if node.name() == "CheckpointFunctionBackward":
                return True
            pending += [before for before, _ in node.next_functions]
    return False


@contextlib.contextmanager
def _with_gradients(variables: Sequence[Any]) -> Iterator[None]:
    """Has gradients taken of all of these: some may be frozen by now, of which they are logged all the same."""
    frozen = [tensor for tensor in map(tensor_of, variables) if not tensor.requires_grad and tensor.is_floating_point()]
    for tensor in frozen:
        tensor.requires_grad_(True)
    try:
        yield
    finally:
        for tensor in frozen:
            tensor.requires_grad_(False)


class TorchEngine:
    """PyTorch, behind the seam; the methods are those of `host.engine.Engine`.

    Attributes:
      software: PyTorch's version.
    """

    software: Mapping[str, str] = types.MappingProxyType({"PyTorch": str(torch.__version__)})

    def as_tensor(self, leaf: Any) -> Any:
        """A leaf of a batch as a tensor in memory of its own."""
        return _copied(as_tensor(leaf))

    def to_host(self, tensor: Any) -> Array:
        """A tensor's values as an array; of a sparse one the values."""
        return to_host(tensor)

    def trace(self, model: Any, batch: Batch, training: bool, gradients: bool) -> TracedPass:
        """Runs a pass once, and records what it is made of."""
        return TracedPass(model, batch, training, gradients)

    def read(self, variables: Sequence[Any]) -> list[Array]:
        """Values of Keras variables, or of tensors, in memory of their own: optimizers change them in place."""
        return [owned(tensor_of(variable)) for variable in variables]

    def write(self, variables: Sequence[Any], values: Sequence[Array]) -> None:
        """Sets values of Keras variables, or of tensors, to the last bit."""
        with torch.no_grad():
            for variable, value in zip(variables, values, strict=True):
                tensor_of(variable).copy_(from_host(value))

    def wait(self, model: Any) -> None:
        """Returns when the device has done what it was given before."""
        for device in {tensor.device for tensor in state_of(model, modules_of(model))}:
            if device.type not in ("cpu", "meta"):
                torch.get_device_module(device).synchronize(device)


def _whose_gradients(obstacle: str, are_had: bool) -> str:
    if are_had:
        sentence = f"gradients of the compiled loss, not of this model's train_step: {obstacle}"
    else:
        sentence = f"the gradients of this model's train_step cannot be had: {obstacle}"
    logger.warning("tb_layerview: %s.", sentence)
    return sentence


@contextlib.contextmanager
def _as_written() -> Iterator[None]:
    """Has functions run that are compiled by `torch.compile`, as they are written: else they are compiled once more."""
    set_stance = getattr(torch.compiler, "set_stance", None)
    with contextlib.nullcontext() if set_stance is None else set_stance("force_eager"):
        yield


def _copied(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf


def _summed(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient; of a sparse one the rows that were looked up, each once."""
    return gradient.coalesce().values() if gradient.layout == torch.sparse_coo else gradient


def _all_finite(gradients: Any) -> bool:
    return all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


def _largest_share(tensors: list[torch.Tensor]) -> float:
    """The largest share of elements that are not finite."""
    shares = [
        1.0 - float(tensor.isfinite().sum()) / tensor.numel()
        for tensor in tensors
        if tensor.is_floating_point() and tensor.numel()
    ]
    return max(shares, default=0.0)


def _memory(tensor: torch.Tensor) -> int | None:
    try:
        return storage(tensor)
    except (RuntimeError, NotImplementedError):  # of a sparse one
        return None
