"""The gradients that optimizers are given: those of the training's own backward passes, clipped and unscaled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from tb_layerview.capture.torch.held import Held


@dataclasses.dataclass(eq=False)
class Applied:
    """The gradient that an optimizer was given for a parameter in the last step.

    Attributes:
      weight: The parameter.
      value: The gradient, in memory of its own; None if there was none.
      is_wanted: Whether it is logged.
    """

    weight: Held
    value: torch.Tensor | None = None
    is_wanted: bool = False

    def want(self) -> None:
        """Says that it is logged."""
        self.is_wanted = True

    @property
    def is_there(self) -> bool:
        """Whether there was one."""
        return self.value is not None

    @property
    def tensor(self) -> torch.Tensor:
        """The gradient.

        Raises:
          LookupError: There was none.
        """
        if self.value is None:
            raise LookupError(f"there was no gradient of {self.weight.path}")
        return self.value

    @property
    def shape(self) -> torch.Size:
        """Its sizes, which are the parameter's."""
        return self.weight.shape

    @property
    def dtype(self) -> str:
        """The name of its type."""
        return self.weight.dtype


class AppliedGradients:
    """Keeps what the optimizers are given, at steps that are logged."""

    def __init__(self, parameters: Sequence[Held]) -> None:
        """Keeps nothing yet.

        Args:
          parameters: Of which gradients are wanted.
        """
        self._applied = {id(held): Applied(held) for held in parameters}

    @property
    def all(self) -> Mapping[int, Applied]:
        """Where the gradients are, by the id of the parameter."""
        return self._applied

    def take(self, optimizer: torch.optim.Optimizer) -> None:
        """Takes what an optimizer is given now, of all until it is said which are wanted.

        Of a sparse one, it has zeros for the rows that it lacks.

        A `GradScaler` has an optimizer that computes in one kernel unscale the gradients itself.
        """
        scale = getattr(optimizer, "grad_scale", None)
        own = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
        wanted = [applied for applied in self._applied.values() if applied.is_wanted]
        for applied in wanted or self._applied.values():
            tensor = applied.weight.tensor
            if id(tensor) in own:
                found = tensor.grad
                if found is not None:
                    found = found.detach()
                    found = found.to_dense() if found.layout != torch.strided else found.clone()
                    found = found if scale is None else found / scale
                applied.value = found

    def forget(self) -> None:
        """Lets go of them."""
        for applied in self._applied.values():
            applied.value = None
