"""Where a module has its parameters and buffers, and an optimizer what it keeps of them: read anew at each step.

Tensors are replaced: a buffer by the module that assigns it, a parameter by `load_state_dict(assign=True)`, an
optimizer's moment by a step. The place is what stays.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from tb_layerview.capture.torch.recorder import dtype_of


class Place(abc.ABC):
    """Where a tensor is."""

    @property
    @abc.abstractmethod
    def tensor(self) -> torch.Tensor:
        """What is there now.

        Raises:
          LookupError: There is none any more.
        """

    @property
    def shape(self) -> torch.Size:
        """Its sizes."""
        return self.tensor.shape

    @property
    def dtype(self) -> str:
        """The name of its type, as numpy or `ml_dtypes` have it."""
        return dtype_of(self.tensor)


@dataclasses.dataclass(eq=False)
class Held(Place):
    """A parameter or a buffer.

    Attributes:
      module: Who has it.
      name: By which name.
      path: By which name the model has it: `encoder.layers.0.weight`.
      is_parameter: Whether it is a parameter.
    """

    module: torch.nn.Module
    name: str
    path: str
    is_parameter: bool = True

    @property
    def tensor(self) -> torch.Tensor:
        """What is there now."""
        found = getattr(self.module, self.name, None)
        if not isinstance(found, torch.Tensor):
            raise LookupError(f"the model has no {self.path} any more")
        return found


@dataclasses.dataclass(eq=False)
class Kept(Place):
    """What an optimizer keeps of a parameter.

    Attributes:
      optimizer: Who keeps it.
      weight: Of which.
      key: By which name.
    """

    optimizer: torch.optim.Optimizer
    weight: Held
    key: str

    @property
    def tensor(self) -> torch.Tensor:
        """What is there now."""
        found = self.optimizer.state.get(self.weight.tensor, {}).get(self.key)
        if not isinstance(found, torch.Tensor):
            raise LookupError(f"{type(self.optimizer).__name__} keeps no {self.key} of {self.weight.path} any more")
        return found


class Places:
    """All parameters and buffers of a model, each by one place: of those that modules share, the first one's."""

    def __init__(self, model: torch.nn.Module) -> None:
        """Looks them up.

        Args:
          model: The model, without what `torch.compile` and the like have put around it.
        """
        self._found: dict[int, Held] = {}
        self._model = model
        for path, module in model.named_modules():
            for name, tensor, is_parameter in _own(module):
                held = Held(module, name, f"{path}.{name}" if path else name, is_parameter)
                self._found.setdefault(id(tensor), held)

    def of(self, module: torch.nn.Module) -> list[tuple[tuple[str, ...], Held]]:
        """Those of a module and of the modules within, each once, with the parts of their names in it."""
        found: dict[int, tuple[tuple[str, ...], Held]] = {}
        for path, inner in module.named_modules():
            for name, tensor, is_parameter in _own(inner):
                held = self._found.get(id(tensor))
                if held is None or held.tensor is not tensor:  # it has replaced another one, or was made since
                    known = (one for one in self._found.values() if one.module is inner and one.name == name)
                    held = next(known, None) or Held(inner, name, f"{path}.{name}" if path else name, is_parameter)
                    self._found[id(tensor)] = held
                found.setdefault(id(held), ((*filter(None, path.split(".")), name), held))
        return list(found.values())

    def parameters(self) -> list[Held]:
        """The parameters of the model."""
        return [held for _, held in self.of(self._model) if held.is_parameter]

    def all(self) -> list[Held]:
        """All of the model."""
        return [held for _, held in self.of(self._model)]


def _own(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """What a module has itself, and whether that is a parameter: else a buffer that is saved, and no single count.

    What a lazy module has not made yet is not there.
    """
    lazy = torch.nn.parameter.is_lazy
    for name, tensor in module.named_parameters(recurse=False, remove_duplicate=False):
        if not lazy(tensor):
            yield name, tensor, True
    for name, tensor in module.named_buffers(recurse=False, remove_duplicate=False):
        is_saved = name not in module._non_persistent_buffers_set
        if is_saved and not lazy(tensor) and (tensor.dim() or tensor.is_floating_point()):
            yield name, tensor, False


def tensor_of(variable: Any) -> torch.Tensor:
    """The tensor that is in a place now."""
    found: torch.Tensor = variable.tensor
    return found
