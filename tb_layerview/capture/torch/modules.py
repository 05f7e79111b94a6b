"""Passes of PyTorch's modules."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from tb_layerview.about import software
from tb_layerview.capture.host.engine import Array
from tb_layerview.capture.passes.calls import noting_calls
from tb_layerview.capture.torch.anatomy import ModuleAnatomy
from tb_layerview.capture.torch.applied import Applied, AppliedGradients
from tb_layerview.capture.torch.attention import noting_attention
from tb_layerview.capture.torch.batch import Batch, as_tensor, called
from tb_layerview.capture.torch.held import tensor_of
from tb_layerview.capture.torch.ran import Ran
from tb_layerview.capture.torch.recorder import Recorder
from tb_layerview.capture.torch.traced import TracedPass
from tb_layerview.capture.torch.tracing import EagerTracing
from tb_layerview.capture.torch.unchanged import Unchanged, tensors_of
from tb_layerview.capture.torch.values import owned, synchronize, to_host, write
from tb_layerview.writing.guard import in_words

#: What a loss is computed by: of what the model gives and what else there is of a batch, a tensor [].
LossFunction = Callable[..., torch.Tensor]
# Devices that may cast automatically.
_CASTING = ("cpu", "cuda", "xpu", "mps")
WITHOUT_LOSS = "no loss is given, loss=...: gradients are left out"


class Modes:
    """In which modes the modules of a model train: some may be kept in inference mode, as frozen normalisations are."""

    def __init__(self) -> None:
        """Has seen no training yet."""
        self._training: dict[int, bool] = {}

    def look(self, model: torch.nn.Module) -> None:
        """Remembers them, if the model trains now."""
        if model.training:
            self._training = {id(module): module.training for module in model.modules()}

    @contextlib.contextmanager
    def set_to(self, model: torch.nn.Module, training: bool) -> Iterator[None]:
        """Sets them; who has them put back afterwards, is another one.

        Args:
          model: The model.
          training: Whether as it trains; as it was seen to do, or else as its own `train` says.
        """
        self.look(model)
        if not training:
            model.eval()
        elif not model.training:
            model.train()
            for module in model.modules():
                module.training = self._training.get(id(module), module.training)
        yield


class ModulePass(TracedPass):
    """A pass of a module, with the loss that is given for it."""

    def __init__(self, model: Any, batch: Batch, training: bool, gradients: bool, engine: ModuleEngine) -> None:
        """Runs the pass once; the arguments are those of `Engine.trace`, and who traces it."""
        self._engine = engine
        self._wants_of_outputs = training and gradients
        # The optimizer is given other gradients of the weights than the probe has.
        trained = [] if engine.has_applied else engine.trained(model)
        super().__init__(model, batch, training, gradients, Unchanged(model), trained, tensor_of)

    def _tracing(self, recorder: Recorder | None) -> EagerTracing:
        return EagerTracing(self._overwritten, recorder, gives_copies=self._wants_of_outputs)

    def _surroundings(self) -> Sequence[AbstractContextManager[Any]]:
        return (
            self._engine.modes.set_to(self._model, self._training),
            _without_fast_path(),
            noting_attention(),
            _under(self._engine.casts),
        )

    def _call(self, ran: Ran, batch: Any, tracing: EagerTracing) -> None:
        loss = self._engine.loss
        with noting_calls(self._model, self._engine.anatomy, tracing, self._wants_sources) as ran.calls:
            outputs = self._engine.call(self._model, batch.x)
        if not self._training or not self._needs_loss:
            return
        if loss is None:
            ran.notes += [WITHOUT_LOSS] if self._wants_gradients else []
            return
        try:
            rest = (batch.y, batch.sample_weight)[: max(0, batch.parts - 1)]
            ran.loss = _as_number(loss(outputs, *rest))
        except Exception as error:  # noqa: BLE001  # whatever a user's loss raises; the rest is logged all the same
            ran.loss_error = in_words(error)
            ran.notes.append(f"the loss could not be computed on the probe ({ran.loss_error}): gradients are left out")


class ModuleEngine:
    """PyTorch's modules, behind the seam; the methods are those of `host.engine.Engine`.

    Attributes:
      anatomy: What is known of the modules of the one model that it serves.
      batch: What its batches are.
      call: Calls a model on a batch's inputs.
      loss: What computes the loss, if it is given.
      modes: In which modes the modules train.
      has_applied: Whether the gradients that are logged are those that the optimizers are given.
      gradients: Those.
      casts: The automatic casts that its passes are run under, by device; none where the others are off.
    """

    batch: type[Batch] = Batch

    def __init__(
        self,
        model: torch.nn.Module,
        loss: LossFunction | None = None,
        optimizers: Sequence[torch.optim.Optimizer] = (),
        has_applied: bool = False,
        call: Callable[[Any, Any], Any] = called,
    ) -> None:
        """Looks up the modules.

        Args:
          model: The network itself, see `unwrapped`.
          loss: What computes the loss.
          optimizers: What trains the model, as far as it is known.
          has_applied: Whether the gradients of weights that are logged are those that the optimizers are given.
          call: Calls a model on a batch's inputs.
        """
        self.call = call
        self.anatomy = ModuleAnatomy(model, optimizers)
        self.loss, self.modes, self.has_applied = loss, Modes(), has_applied
        self.gradients = AppliedGradients(self.trained(model) if has_applied else ())
        self.casts = casts_now()
        self._casts: Mapping[str, torch.dtype] | None = None  # once they are fixed

    def fix_casts(self, casts: Mapping[str, torch.dtype]) -> None:
        """Has all passes run under these automatic casts."""
        self._casts = casts

    def software_of(self, model: Any) -> str:
        """What a log is made with, in words."""
        return software(PyTorch=str(torch.__version__))

    def trained(self, model: Any) -> Sequence[Any]:
        """The parameters of which gradients are taken."""
        return [held for held in self.anatomy.places.parameters() if held.tensor.requires_grad]

    def applied(self) -> Mapping[int, Any]:
        """Where the gradients are that the optimizers are given, by the parameter; none where the pass makes them."""
        return self.gradients.all

    def variables(self, model: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        """All parameters and buffers; none of them counts for no difference."""
        return tensors_of(model.modules()), ()

    def as_tensor(self, leaf: Any) -> Any:
        """A leaf of a batch as a tensor in memory of its own; what is no array stays what it is."""
        return as_tensor(leaf)

    def to_host(self, tensor: Any) -> Array:
        """A tensor's values as an array; of a sparse one the values."""
        return to_host(tensor)

    def trace(self, model: Any, batch: Batch, training: bool, gradients: bool) -> ModulePass:
        """Runs a pass once, under the automatic casts that there are now, and records what it is made of."""
        self.casts = casts_now() if self._casts is None else self._casts
        has_loss = self.loss is not None or not self.has_applied
        return ModulePass(model, batch, training, gradients and has_loss, self)

    def read(self, variables: Sequence[Any]) -> list[Array]:
        """Values of what is held or of tensors, in memory of their own: optimizers change them in place."""
        found = []
        for variable in variables:
            is_own = isinstance(variable, Applied)  # it was copied when the optimizer was given it
            found.append(to_host(variable.tensor) if is_own else owned(_tensor(variable)))
        return found

    def write(self, variables: Sequence[Any], values: Sequence[Array]) -> None:
        """Sets values, to the last bit."""
        write(map(_tensor, variables), values)

    def wait(self, model: Any) -> None:
        """Returns when the device has done what it was given before."""
        synchronize(tensors_of(model.modules()))


def _tensor(variable: Any) -> torch.Tensor:
    return variable if isinstance(variable, torch.Tensor) else tensor_of(variable)


def casts_now() -> Mapping[str, torch.dtype]:
    """The automatic casts that there are on this thread, by device: to which type."""
    devices = [device for device in _CASTING if torch.is_autocast_enabled(device)]
    return {device: torch.get_autocast_dtype(device) for device in devices}


@contextlib.contextmanager
def _under(casts: Mapping[str, torch.dtype]) -> Iterator[None]:
    """Has just these automatic casts done; of what they keep of weights the training has its own."""
    with contextlib.ExitStack() as stack:
        for device in {*casts, *casts_now()}:
            stack.enter_context(torch.autocast(device, casts.get(device), enabled=device in casts, cache_enabled=False))
        yield


def _as_number(loss: Any) -> torch.Tensor:
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"it is a {type(loss).__name__}, not a tensor of one number")
    if loss.numel() != 1:
        raise ValueError(f"it is a tensor of shape {tuple(loss.shape)}, not of one number: reduce it, as by mean()")
    return loss.reshape(())


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """Has encoder layers call what is within them in inference mode, too."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
