"""What a pass of a Keras model changes beside its outputs, and how it is put back.

An eager pass runs the layers' own Python code: beside moving statistics and the states of random generators it may
change whatever a layer holds.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from keras.src.backend.common import global_state
from keras.src.backend.torch.core import Variable

from tb_layerview.capture.keras.torch.variables import tensor_of
from tb_layerview.capture.passes.calls import patched
from tb_layerview.capture.torch import unchanged
from tb_layerview.capture.torch.recorder import version
from tb_layerview.capture.torch.unchanged import Saved, Undo, attributes_of, tensors_of

# What Keras keeps for all models: by how many objects of a kind it has named, and from what it draws seeds.
_GLOBAL = ("object_name_uids", "global_seed_generator")
# Where a layer lists its variables once more, for torch.
_OF_VARIABLES = "_torch_params"


class Unchanged(unchanged.Unchanged):
    """The same for a Keras model; where a pass is about to write to a tensor by Keras' own `assign`, it is copied then.

    Its tensors are variables, metrics' too, and buffers.
    """

    def __init__(self, model: Any, with_optimizer: bool = False) -> None:
        """Has seen no pass yet.

        Args:
          model: A Keras model that is built.
          with_optimizer: Whether a pass may write to the variables of its optimizer, too.
        """
        self._with_optimizer = with_optimizer
        super().__init__(model)

    def keep(self, optimizer: Any, variables: Iterable[Any]) -> None:
        """Has what an optimizer is about to write put back, too: within `put_back_after`.

        Args:
          optimizer: The Keras optimizer, which may be built only now.
          variables: The model's, which it is about to change.
        """
        parts = [optimizer, getattr(optimizer, "inner_optimizer", None)]
        self._undo.append(attributes_of([part for part in parts if part is not None]))
        for tensor in map(tensor_of, (*optimizer.variables, *variables)):
            self._saved.setdefault(id(tensor), (tensor, version(tensor), tensor.detach().clone()))

    def modules(self) -> list[torch.nn.Module]:
        """The layers, and torch's own modules within them."""
        return modules_of(self._model)

    def state(self, modules: Sequence[torch.nn.Module]) -> list[torch.Tensor]:
        """All tensors that a pass may write to."""
        found = state_of(self._model, modules)
        optimizer = getattr(self._model, "optimizer", None) if self._with_optimizer else None
        return found if optimizer is None else [*found, *map(tensor_of, optimizer.variables)]

    def owners(self, modules: Sequence[torch.nn.Module]) -> list[Any]:
        """The modules, and what Keras makes of the compiled loss and metrics when they are first used."""
        compiled = (getattr(self._model, name, None) for name in ("_compile_loss", "_compile_metrics"))
        return [*modules, *(owner for owner in compiled if owner is not None)]

    def others(self) -> list[Undo]:
        """Keeps what Keras has for all models."""
        return [_global_state()]

    def watching(self, saved: dict[int, Saved]) -> AbstractContextManager[None]:
        """Copies what Keras is about to assign to."""
        return _copying_before_assign(saved)


def state_of(model: Any, modules: Sequence[torch.nn.Module]) -> list[torch.Tensor]:
    """All tensors of a model: variables, those of metrics and of Keras' own generator, and buffers of wrapped modules.

    Those buffers are in none of Keras' lists, nor in `model.buffers()`: Keras hides its layers from torch.

    Args:
      model: The Keras model.
      modules: What `modules_of` gives of it.
    """
    variables = [*model.variables, *(variable for metric in model.metrics for variable in metric.variables)]
    generator = global_state.get_global_attribute("global_seed_generator")
    variables += [] if generator is None else [generator.state]
    found = {id(tensor): tensor for tensor in map(tensor_of, variables)}
    found.update((id(tensor), tensor) for tensor in tensors_of(modules))
    return list(found.values())


def buffers_of(model: Any) -> list[torch.Tensor]:
    """The tensors of a model that Keras does not list: buffers of torch's own modules within it."""
    variables = {id(tensor_of(variable)) for variable in model.variables}
    found = {id(b): b for module in modules_of(model) for b in module._buffers.values() if b is not None}
    return [tensor for key, tensor in found.items() if key not in variables]


def modules_of(model: Any) -> list[torch.nn.Module]:
    """The layers of a model, and torch's own modules within them, which Keras does not list."""
    found: dict[int, torch.nn.Module] = {}
    for layer in model._flatten_layers():
        found[id(layer)] = layer
        own = {name: module for name, module in layer._modules.items() if name != _OF_VARIABLES}
        for value in (*own.values(), *vars(layer).values()):
            if isinstance(value, torch.nn.Module) and not hasattr(value, "_flatten_layers"):
                found.update((id(module), module) for module in value.modules())
    return list(found.values())


def _global_state() -> Undo:
    """Keeps Keras' own generator of seeds and its counts of names; the generator's state is among the variables."""
    attributes = global_state.GLOBAL_STATE_TRACKER.__dict__
    before = {name: _copied(attributes[name]) for name in _GLOBAL if name in attributes}

    def undo() -> None:
        for name in _GLOBAL:
            if name in before:
                attributes[name] = before[name]
            else:
                attributes.pop(name, None)

    return undo


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, dict) else value


class _PerThread(threading.local):
    """Where this thread's pass keeps copies of what it writes to."""

    saved: dict[int, Saved] | None = None


_this = _PerThread()


@contextlib.contextmanager
def _copying_before_assign(saved: dict[int, Saved]) -> Iterator[None]:
    """Copies whatever Keras' `assign` is about to write to on this thread: a `train_step` reaches beyond its model."""
    before = _this.saved
    with patched(Variable, "_direct_assign", _copying):
        _this.saved = saved
        try:
            yield
        finally:
            _this.saved = before


def _copying(original: Any) -> Any:
    @functools.wraps(original)
    def _direct_assign(self: Any, value: Any) -> None:
        tensor, saved = getattr(self, "_value", None), _this.saved
        if saved is not None and isinstance(tensor, torch.Tensor) and id(tensor) not in saved:
            saved[id(tensor)] = tensor, version(tensor), tensor.detach().clone()
        original(self, value)

    return _direct_assign
