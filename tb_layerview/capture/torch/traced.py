"""Passes of models that PyTorch computes: forward and backward, once to be analysed, and then again and again."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tb_layerview.capture.host.batch import Batch
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.nodes import Node
from tb_layerview.capture.torch.places import Place, Places
from tb_layerview.capture.torch.processes import asking_nobody
from tb_layerview.capture.torch.ran import Ran
from tb_layerview.capture.torch.recorder import Recorder, storage
from tb_layerview.capture.torch.tracing import EagerTracing, Seen
from tb_layerview.capture.torch.unchanged import Unchanged
from tb_layerview.capture.torch.values import copied, owned, to_host

Array = npt.NDArray[np.generic]


class TracedPass(abc.ABC):
    """A pass of a model, which is run eagerly each time; the methods are those of `host.engine.Traced`.

    Attributes:
      calls: The calls of its layers, whose tensors are nodes; nothing once it was chosen from them.
      x: The model's inputs, a nested structure of nodes.
      gradients: By the id of a variable; None if there is no loss.
      output_gradients: Of what layers put out, by the id of its node.
      loss: On the batch.
      loss_error: What kept it from being computed, in words.
      notes: What cannot be had of the pass and why.
      takes_batch: Whether the model is called on the batch's inputs.
    """

    calls: list[Call]
    x: Any
    gradients: Mapping[int, Node | None] | None
    output_gradients: Mapping[int, Node]
    loss: Node | None
    loss_error: str
    notes: Sequence[str]
    takes_batch: bool = True

    def __init__(
        self,
        model: Any,
        batch: Batch,
        training: bool,
        gradients: bool,
        unchanged: Unchanged,
        trained: Sequence[Any],
        tensor_of: Callable[[Any], torch.Tensor],
    ) -> None:
        """Runs the pass once.

        Args:
          model: The model, which is built.
          batch: What it is run on.
          training: In training mode, with the loss if there is one.
          gradients: Whether gradients of the loss are wanted, too.
          unchanged: Puts back what a pass changes.
          trained: The variables that the training changes.
          tensor_of: Gives the tensor of a variable.
        """
        self._model, self._training, self._wants_gradients = model, training, gradients
        self._batch = batch.mapped(copied)  # an array or a generator's buffer that it came from may be written to
        self._unchanged, self._tensor_of = unchanged, tensor_of
        self._trained = list(trained)
        self._overwritten: frozenset[tuple[int, int]] = frozenset()
        self._chosen: list[Place] = []
        self._shares: list[list[Place]] = []
        ran = self._first()
        self._wants_sources = False
        recorder = ran.recorder
        assert recorder is not None
        tracing = self._tracing(None)
        self._places = Places(ran, batch.tree, tracing.of)
        self.calls, self.x, self.loss, self.gradients = (
            self._places.calls,
            self._places.x,
            self._places.loss,
            self._places.gradients,
        )
        self.output_gradients = self._places.output_gradients
        self.loss_error, self.notes = ran.loss_error, tuple(ran.notes)
        recorder.forget()

    # What differs from one kind of model to another.

    @abc.abstractmethod
    def _tracing(self, recorder: Recorder | None) -> EagerTracing:
        """What tells of the tensors of one pass, with what records its operations, if they are wanted."""

    @abc.abstractmethod
    def _call(self, ran: Ran, batch: Batch, tracing: EagerTracing) -> None:
        """Calls the model, and computes the loss if it trains and that is wanted (`_needs_loss`).

        Args:
          ran: Gets the calls, the loss, and what else there is to say.
          batch: What the model is called on: in memory that a layer may write to.
          tracing: That of this pass.
        """

    def _first(self) -> Ran:
        """Runs the pass for the first time."""
        return self._run(self._recorder())

    def _run(self, recorder: Recorder | None) -> Ran:
        """Runs the pass, and puts everything back."""
        return self._pass(recorder)

    def _surroundings(self) -> Sequence[AbstractContextManager[Any]]:
        """Within what else the model is called."""
        return ()

    # What is the same.

    def _recorder(self) -> Recorder:
        return Recorder({id(tensor) for tensor in self._unchanged.tensors})

    def choose(self, wanted: Sequence[Node], shares: Sequence[Sequence[Node]]) -> None:
        """Says once what `run` is to give; see `host.engine.Traced`."""
        self._chosen = [self._places.of(node) for node in wanted]
        self._shares = [[self._places.of(node) for node in group] for group in shares]
        self._wants_gradients = any(place.kind in ("gradient", "output_gradient") for place in self._chosen)
        self._wants_of_outputs = any(place.kind == "output_gradient" for place in self._chosen)
        self._needs_loss = any(place.kind == "loss" for place in self._chosen) or self._wants_gradients
        self.calls, self.gradients, self.loss, self.x, self.output_gradients = [], None, None, None, {}
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
            ran = self._run(recorder)
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

    def _pass(self, recorder: Recorder | None, scale: float | None = None) -> Ran:
        """Runs the pass, and puts everything back.

        Args:
          recorder: What records its operations, if they are wanted.
          scale: What the loss is multiplied by to be differentiated, if it is.
        """
        tracing = self._tracing(recorder)
        batch = self._batch.mapped(copied)  # which a layer may write to
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._unchanged.put_back_after())
            stack.enter_context(_as_written())
            stack.enter_context(asking_nobody())
            stack.enter_context(torch.autograd.set_detect_anomaly(False))  # NaN is what a log is for
            stack.enter_context(torch.enable_grad() if self._training else torch.no_grad())
            stack.enter_context(_with_gradients(list(map(self._tensor_of, self._trained)) if self._training else ()))
            for one in self._surroundings():
                stack.enter_context(one)
            with recorder or contextlib.nullcontext():
                x = [*tracing.tensors(batch.x, tracing.level())]
                ran = Ran([], x, batch.x, recorder=recorder)
                self._call(ran, batch, tracing)
            if ran.loss is not None and self._wants_gradients and ran.gradients is None:
                self._differentiate(ran, scale)
        self._learns_overwritten(tracing.seen if recorder is not None else [])
        return ran

    _wants_sources = True  # of the first pass, and never of a logged step's
    _needs_loss = True  # until it is known what is wanted
    _wants_of_outputs = False

    def _differentiate(self, ran: Ran, scale: float | None) -> None:
        """Adds the gradients, without writing to any `.grad`."""
        loss, variables = ran.loss, self._trained
        assert loss is not None
        tensors = [self._tensor_of(variable) for variable in variables]
        chosen = [tensor for tensor in tensors if tensor.requires_grad]
        outputs = _outputs(ran.calls) if self._wants_of_outputs else {}
        found: Mapping[int, torch.Tensor | None] = {}
        if loss.requires_grad and (chosen or outputs):
            if _hides_weights(loss):
                ran.notes.append(
                    "a checkpoint of torch's with use_reentrant=True hides the weights within it, and only a backward "
                    "that writes to .grad finds them: gradients are left out"
                )
                return
            scaled = loss if scale is None else loss.to(torch.float32) * scale
            gradients = torch.autograd.grad(scaled, [*chosen, *outputs.values()], allow_unused=True)
            gradients, of_outputs = gradients[: len(chosen)], gradients[len(chosen) :]
            ran.output_gradients = {key: one.detach() for key, one in zip(outputs, of_outputs) if one is not None}
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
            self._fill_outputs(ran, loss.device)

    def _fill_outputs(self, ran: Ran, device: torch.device) -> None:
        """Adds zeros for those outputs that the loss depends on at other steps alone."""
        by_key = {(call.path, call.index, id(call.layer)): i for i, call in enumerate(ran.calls)}
        for place in self._chosen:
            if place.kind == "output_gradient" and place.key in by_key:
                key = by_key[place.key], place.number
                if key not in ran.output_gradients:
                    dtype = getattr(torch, place.dtype)
                    ran.output_gradients[key] = torch.zeros(place.shape, dtype=dtype, device=device)


def _outputs(calls: Sequence[Call]) -> dict[tuple[int, int], torch.Tensor]:
    """What the calls put out that a loss can be differentiated by, each once, by the call's place and its number."""
    found: dict[tuple[int, int], torch.Tensor] = {}
    seen = set[int]()
    for i, call in sorted(enumerate(calls), key=lambda one: one[1].finished):
        for number, one in enumerate(call.outputs):
            if id(one.node or one.source) not in seen and one.source is not None and one.source.requires_grad:
                found[i, number] = one.source
                seen.add(id(one.node or one.source))
    return found


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
def _with_gradients(tensors: Sequence[torch.Tensor]) -> Iterator[None]:
    """Has gradients taken of all of these: some may be frozen by now, of which they are logged all the same."""
    frozen = [tensor for tensor in tensors if not tensor.requires_grad and tensor.is_floating_point()]
    for tensor in frozen:
        tensor.requires_grad_(True)
    try:
        yield
    finally:
        for tensor in frozen:
            tensor.requires_grad_(False)


def unscaled(gradient: torch.Tensor, scale: float | None) -> torch.Tensor:
    """The gradient of the loss itself, in float32 if that is more than it had: float16 would not hold it."""
    if scale is None:
        return gradient
    return gradient.to(gradient.dtype if gradient.dtype == torch.float64 else torch.float32) / scale


@contextlib.contextmanager
def _as_written() -> Iterator[None]:
    """Has functions run that are compiled by `torch.compile`, as they are written: else they are compiled once more."""
    set_stance = getattr(torch.compiler, "set_stance", None)
    with contextlib.nullcontext() if set_stance is None else set_stance("force_eager"):
        yield


def _summed(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient; of a sparse one the rows that were looked up, each once."""
    return gradient.coalesce().values() if gradient.layout == torch.sparse_coo else gradient


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
