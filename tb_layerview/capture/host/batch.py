"""What a model is trained on, as nested structures of arrays of its framework."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tb_layerview.capture.passes.fingerprint import fingerprint
from tb_layerview.writing.guard import Refused

AnyBatch = TypeVar("AnyBatch", bound="Batch")


class Tree(Protocol):
    """What a framework does with nested structures; `keras.tree` is one."""

    def map_structure(self, function: Callable[[Any], Any], structure: Any) -> Any:
        """The same structure of what a function makes of its leaves; None is a leaf."""
        ...

    def flatten(self, structure: Any) -> list[Any]:
        """The leaves of a structure."""
        ...


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a model is trained on: inputs, targets and sample weights, each a nested structure of tensors, or None.

    Attributes:
      tree: What knows the structures of this kind of batch: each has a class of its own.
      x: Inputs.
      y: Targets.
      sample_weight: Weights.
      parts: Of the tuple that it came as; 0 if x came alone.
      to_host: Makes a numpy array of a tensor.
    """

    tree: ClassVar[Tree]

    x: Any
    y: Any = None
    sample_weight: Any = None
    parts: int = 0
    to_host: Callable[[Any], Any] = np.asarray

    @classmethod
    def of(cls: type[AnyBatch], data: Any, to_host: Callable[[Any], Any] = np.asarray) -> AnyBatch:
        """From what `fit` takes: x, (x,), (x, y) or (x, y, sample_weight)."""
        if not isinstance(data, tuple):
            return cls(data, to_host=to_host)
        if not 1 <= len(data) <= 3:
            raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight), not a tuple of {len(data)}")
        x, y, sample_weight = (*data, None, None, None)[:3]
        return cls(x, y, sample_weight, len(data), to_host)

    def mapped(self: AnyBatch, function: Callable[[Any], Any]) -> AnyBatch:
        """The same, with each tensor replaced by what a function makes of it."""
        x, y, sample_weight = (
            self.tree.map_structure(lambda leaf: None if leaf is None else function(leaf), part)
            for part in (self.x, self.y, self.sample_weight)
        )
        return dataclasses.replace(self, x=x, y=y, sample_weight=sample_weight)

    @property
    def leaves(self) -> list[Any]:
        """Its tensors."""
        found = self.tree.flatten((self.x, self.y, self.sample_weight))
        return [leaf for leaf in found if leaf is not None]

    def first(self: AnyBatch, examples: int) -> AnyBatch:
        """Its first examples.

        Raises:
          Exception: It cannot be cut into examples.
        """
        rows = sorted({int(leaf.shape[0]) for leaf in self.leaves if len(leaf.shape)})
        if len(rows) > 1:
            numbers = ", ".join(f"{number:,}" for number in rows)
            raise ValueError(f"its parts have {numbers} rows, so a row is not an example")
        return self.mapped(lambda leaf: leaf[:examples] if len(leaf.shape) else leaf)

    @property
    def examples(self) -> int:
        """How many examples it has: rows of its first input."""
        return int(self.tree.flatten(self.x)[0].shape[0])

    @property
    def shapes(self) -> str:
        """The shapes of its inputs, in words."""
        return ", ".join(f"{tuple(leaf.shape)}" for leaf in self.tree.flatten(self.x))

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return sum(int(leaf.nbytes) for leaf in self.leaves)

    @property
    def targets(self) -> Any:
        """What the model is trained to give for it, in a nested structure; None where that is not known."""
        return self.y

    def target_array(self, leaf: Any) -> npt.NDArray[np.generic] | str:
        """One of the targets as an array; or why it is none, after its name."""
        if isinstance(leaf, (bool, int, float)):
            return np.asarray(leaf)
        if not hasattr(leaf, "shape"):
            return f"it is a {type(leaf).__name__}, no array of numbers"
        return np.asarray(self.to_host(leaf))

    def hash(self) -> str:
        """What tells it from other inputs: see `fingerprint`."""
        return fingerprint(np.asarray(self.to_host(leaf)) for leaf in self.leaves)


def given_batch(
    kind: type[AnyBatch], data: Any, as_tensor: Callable[[Any], Any], to_host: Callable[[Any], Any] = np.asarray
) -> AnyBatch:
    """The probe that somebody gave: x, (x, y) or (x, y, sample_weight), as tensors.

    Args:
      kind: What it is to be.
      data: What was given.
      as_tensor: Makes a tensor of a leaf.
      to_host: Makes a numpy array of a tensor.

    Raises:
      Refused: It is none.
    """
    try:
        batch = kind.of(data, to_host).mapped(as_tensor)
        if batch.examples < 1:
            raise ValueError("it has no examples")
        return batch
    except Exception as error:  # whatever else somebody gives than arrays
        raise Refused(f"the probe is no batch: {error}. Give x, (x, y) or (x, y, sample_weight) as arrays.") from error
