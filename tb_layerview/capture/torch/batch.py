"""What modules are called on, as nested structures of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from tb_layerview.capture.host import batch
from tb_layerview.capture.host.tree import NestedTree
from tb_layerview.capture.torch.values import copied


class Arguments(NamedTuple):
    """What a module is called with, where that is arguments by place and by name.

    Attributes:
      args: By place.
      kwargs: By name.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Batch(batch.Batch):
    """What a module is called on, and what its loss is given beside what it makes of that."""

    tree: ClassVar[batch.Tree] = NestedTree()

    @property
    def leaves(self) -> list[Any]:
        """Its tensors."""
        return [leaf for leaf in super().leaves if isinstance(leaf, torch.Tensor)]

    @property
    def examples(self) -> int:
        """How many examples it has: rows of its first input."""
        tensors = [leaf for leaf in self.tree.flatten(self.x) if isinstance(leaf, torch.Tensor) and leaf.dim()]
        if not tensors:
            raise ValueError("it has no tensor with an axis")
        return int(tensors[0].shape[0])

    @property
    def shapes(self) -> str:
        """The shapes of its inputs, in words."""
        found = (leaf for leaf in self.tree.flatten(self.x) if isinstance(leaf, torch.Tensor))
        return ", ".join(f"{tuple(leaf.shape)}" for leaf in found)

    @property
    def targets(self) -> Any:
        """What the module is trained to give; where it is given that with its inputs, what it takes by `labels`."""
        x = self.x.kwargs if isinstance(self.x, Arguments) else self.x
        return x.get("labels") if self.y is None and isinstance(x, Mapping) else self.y

    def target_array(self, leaf: Any) -> npt.NDArray[np.generic] | str:
        """One of the targets as an array; or why it is none, after its name."""
        if isinstance(leaf, torch.Tensor) and (leaf.layout != torch.strided or leaf.is_nested):
            return "it is a sparse or nested tensor"
        return super().target_array(leaf)

    def first(self, examples: int) -> Batch:
        """Its first examples.

        Raises:
          ValueError: It cannot be cut into examples.
        """
        rows = sorted({int(leaf.shape[0]) for leaf in self.leaves if leaf.dim()})
        if len(rows) > 1:
            numbers = ", ".join(f"{number:,}" for number in rows)
            raise ValueError(f"its parts have {numbers} rows, so a row is not an example")
        return self.mapped(lambda leaf: leaf[:examples] if isinstance(leaf, torch.Tensor) and leaf.dim() else leaf)


def as_tensor(leaf: Any) -> Any:
    """A leaf of a batch as a tensor in memory of its own; what is no array stays what it is."""
    if isinstance(leaf, torch.Tensor):
        return copied(leaf)
    return torch.tensor(leaf) if hasattr(leaf, "__array__") else leaf


def called(model: Callable[..., Any], x: Any) -> Any:
    """What a module makes of its inputs: a tuple are several, a dict are several by name, anything else is one."""
    if isinstance(x, Arguments):
        return model(*x.args, **x.kwargs)
    if isinstance(x, dict):
        return model(**x)
    return model(*x) if isinstance(x, tuple) else model(x)
