"""PyTorch's modules in a loop of one's own, behind the seam."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from tb_layerview.capture.given import Given, Ranks
from tb_layerview.capture.host.batch import given_batch
from tb_layerview.capture.torch.anatomy import unwrapped
from tb_layerview.capture.torch.batch import Batch, as_tensor, called
from tb_layerview.capture.torch.computed import Torch
from tb_layerview.capture.torch.modules import LossFunction, Modes, ModuleEngine, casts_now
from tb_layerview.capture.torch.processes import Process
from tb_layerview.capture.torch.values import to_host

# The networks that somebody asked to have logged.
_BY_HAND: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()


def log_by_hand(backend: Modules) -> None:
    """Notes that somebody asked to have a network logged."""
    _BY_HAND.add(backend.network)


def logged_by_hand(model: torch.nn.Module) -> bool:
    """Whether somebody asked to have a network or a part of it logged, as long as it lives."""
    return any(module in _BY_HAND for module in unwrapped(model).modules())


class Modules(Torch):
    """One network; the methods are those of `recorder.Backend`.

    Attributes:
      network: What is logged, without what `torch.compile` and the like have put around it.
      optimizers: What trains it.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss: LossFunction | None = None,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        has_applied: bool = False,
        call: Callable[[Any, Any], Any] = called,
        ranks: Ranks = "first",
    ) -> None:
        """Looks it up.

        Args:
          model: The network, or what `torch.compile` and the like have made of it.
          loss: Computes the loss, a tensor [], of what the model gives and of the rest of a batch.
          optimizer: What trains it, one or several.
          has_applied: Whether the gradients of weights that are logged are those that the optimizers are given.
          call: Calls the network on a batch's inputs.
          ranks: Which of several processes log.

        Raises:
          TypeError: The loss cannot be called, or there is another thing than an optimizer.
          ValueError: Its parameters are spread over several processes.
        """
        if loss is not None and not callable(loss):
            raise TypeError(
                f"loss must be a function that is given what the model makes of the probe, and the rest of the probe, "
                f"not {loss!r}"
            )
        self.network = unwrapped(model)
        _refuse_spread(model, self.network)
        self._loss, self.optimizers, self._has_applied = loss, optimizers_of(optimizer), has_applied
        self._engine: ModuleEngine | None = None
        self._call, self._ranks = call, ranks
        self._modes = Modes()
        self._casts: Mapping[str, torch.dtype] | None = None  # once they are fixed
        self._waited_for = ""

    @property
    def engine(self) -> ModuleEngine:
        """What computes it: made when it is built, as modules may be made or replaced before."""
        if self._engine is None:
            self._engine = ModuleEngine(self.network, self._loss, self.optimizers, self._has_applied, self._call)
            self._engine.modes = self._modes
            if self._casts is not None:
                self._engine.fix_casts(self._casts)
        return self._engine

    @property
    def _computing(self) -> ModuleEngine:
        return self.engine

    def logs(self, model: Any) -> bool:
        """Whether this process logs the model. If another one does, that is said."""
        return self._ranks == "all" or super().logs(model)

    def can_replay(self, model: Any) -> bool:
        """Always: what is run is the network without what joins it with those of other processes."""
        return True

    def see_training(self) -> None:
        """Has passes run as the network is run now: in the modes of its modules, and under these automatic casts."""
        self._casts = casts_now()
        self._modes.look(self.network)

    def is_ready(self, model: Any, given: Given, is_trained: bool) -> bool:
        """Whether a model has its parameters, and its optimizers what they keep of them, if that is wanted.

        Lazy modules make theirs when they are first called, and optimizers when they first step.
        """
        lazy = torch.nn.parameter.is_lazy
        if any(lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
            self._waited_for = "the model's first call makes its parameters"
            return False
        wants_state = "optimizer" in given.select.kinds and not is_trained
        if wants_state and not all(optimizer.state for optimizer in self.optimizers):
            self._waited_for = "the optimizer makes what it keeps in its first step"
            return False
        return True

    def is_other(self) -> bool:
        """Whether automatic casts are other ones by now than those that the pass was traced under."""
        return self._engine is not None and self._engine.casts != casts_now()

    def notes(self, model: Any) -> Sequence[str]:
        """What was waited for is not logged from the beginning."""
        return () if not self._waited_for else (f"{self._waited_for}: the state before it is not logged",)

    def scalars(self) -> Mapping[str, float]:
        """The learning rates, by the names to log them by."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        rates = [float(group["lr"]) for group in groups if "lr" in group]
        if len(set(rates)) == 1:
            return {"learning_rate": rates[0]}
        return {f"learning_rate {i}": rate for i, rate in enumerate(rates)}

    def given_batch(self, data: Any) -> Batch:
        """The probe that somebody gave, as tensors."""
        return given_batch(Batch, tuple(data) if isinstance(data, list) else data, as_tensor, to_host)

    def as_batch(self, data: Any) -> Any:
        """What a step was trained on, as tensors in memory of their own."""
        return Batch.tree.map_structure(as_tensor, tuple(data) if isinstance(data, list) else data)

    def losses_are_finite(self, logs: Any) -> Any:
        """Whether the losses are finite, bool: those called so, else all that is logged."""
        losses = {name: value for name, value in logs.items() if "loss" in name} or dict(logs)
        tensors = [torch.as_tensor(value) for value in losses.values() if not isinstance(value, (str, bool))]
        return all(bool(tensor.isfinite().all()) for tensor in tensors)


def optimizers_of(optimizer: Any) -> tuple[torch.optim.Optimizer, ...]:
    """The optimizers that were given, without what accelerate has put around them.

    Raises:
      TypeError: There is another thing among them.
    """
    given = () if optimizer is None else tuple(optimizer) if isinstance(optimizer, (list, tuple)) else (optimizer,)
    found = []
    for one in given:
        inner = one if hasattr(one, "_optimizer_step_pre_hooks") else getattr(one, "optimizer", one)
        if not isinstance(inner, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer or several, not {one!r}")
        found.append(inner)
    return tuple(found)


def _refuse_spread(model: torch.nn.Module, network: torch.nn.Module) -> None:
    """Says what cannot be logged of a model that several processes have parts of.

    Raises:
      ValueError: It is one.
    """
    modules = [model, *network.modules()]
    is_sharded = any("FullyShardedDataParallel" in type(one).__name__ or "FSDPModule" in _names(one) for one in modules)
    is_spread = any(type(tensor).__name__ == "DTensor" for tensor in network.parameters())
    if is_sharded or is_spread:
        raise ValueError(
            "this model's parameters are spread over several processes (FSDP, DTensor), and each has a part of them: "
            "that cannot be logged. LayerWriter logs arrays that you gather yourself."
        )
    is_synchronized = any(isinstance(one, torch.nn.SyncBatchNorm) for one in modules)
    if is_synchronized and Process.of_this().size > 1:
        raise ValueError(
            "a SyncBatchNorm of this model waits for all processes whenever it is called, and they do not run the "
            "probe together: that cannot be logged. BatchNorm2d can, or LayerWriter logs arrays of your own."
        )


def _names(module: torch.nn.Module) -> frozenset[str]:
    return frozenset(cls.__name__ for cls in type(module).__mro__)
