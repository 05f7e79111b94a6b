"""The tensors of a traced pass, as the analysis of it sees them, whatever framework made them.

TensorFlow's symbolic tensors have these attributes by themselves. Backends whose tensors do not remember how they came
about give nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# So many operations between two layers are looked through for where the axes stay what they are.
_LOOK_THROUGH = 64


@dataclasses.dataclass(eq=False)
class Operation:
    """What makes tensors of other ones.

    Attributes:
      type: TensorFlow's name of such an operation (`MatMul`, `Relu`, `Softmax`, `Reshape`) where it has one, else the
        framework's own; of one that draws random numbers it contains `Random`.
      inputs: What it takes; constants and weights may be missing.
      outputs: What it gives.
      is_partly_unseen: Whether it also takes something that may depend on the model's inputs, and was not seen made.
    """

    type: str
    inputs: Sequence[Node] = dataclasses.field(default=(), repr=False)  # each would show all before it, again and again
    outputs: list[Node] = dataclasses.field(default_factory=list, repr=False)
    is_partly_unseen: bool = False


@dataclasses.dataclass(eq=False)
class Graph:
    """The operations of one pass, in the order in which they run."""

    operations: list[Operation] = dataclasses.field(default_factory=list, repr=False)

    def get_operations(self) -> list[Operation]:
        """The operations, in their order."""
        return self.operations


@dataclasses.dataclass(eq=False)
class Node:
    """A tensor of a traced pass.

    Attributes:
      shape: Its sizes.
      dtype: The name of its type, as `float32`.
      op: What made it.
      graph: The pass.
    """

    shape: tuple[int, ...]
    dtype: str
    op: Operation
    graph: Graph


def sizes(tensor: Any) -> tuple[int | None, ...] | None:
    """The sizes of a tensor's axes, None where one is not known; None if not even their number is known."""
    shape = tensor.shape
    if getattr(shape, "rank", 0) is None:
        return None
    return tuple(None if size is None else int(size) for size in shape)


def rank(tensor: Any) -> int | None:
    """How many axes a tensor has, if that is known."""
    found = sizes(tensor)
    return None if found is None else len(found)


def first_sizes(tensors: Sequence[Any]) -> tuple[int | None, ...] | None:
    """The sizes of the first of some tensors; None if there is none, or not even the number of its axes is known."""
    return sizes(tensors[0]) if tensors else None


def fits(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Whether two tensors of these sizes may be of the same shape."""
    return len(one) == len(other) and all(a is None or b is None or a == b for a, b in zip(one, other))


def known_axes(tensor: Any, names: Mapping[int, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The axes of a tensor, or of one of the same shape that it is computed from."""
    shape = sizes(tensor)
    pending, seen = [tensor], 0
    while pending and seen < _LOOK_THROUGH:
        current = pending.pop()
        seen += 1
        if id(current) in names:
            return names[id(current)]
        if current.op.type not in ("Transpose", "Reshape"):
            for one in current.op.inputs:
                taken = sizes(one)
                if taken is not None and shape is not None and fits(taken, shape):
                    pending.append(one)
    return None


def dtype_name(tensor: Any) -> str:
    """The name of a tensor's or a variable's type, as `float32`."""
    dtype = getattr(tensor.dtype, "base_dtype", tensor.dtype)
    return dtype if isinstance(dtype, str) else str(getattr(dtype, "name", dtype))


def is_floating(tensor: Any) -> bool:
    """Whether a tensor's elements are floating-point numbers."""
    return "float" in dtype_name(tensor)


def size_in_bytes(dtype: str) -> int:
    """What one element of a type takes."""
    if dtype == "bfloat16":
        return 2
    if dtype.startswith("float8"):
        return 1
    return int(np.dtype(dtype).itemsize)
