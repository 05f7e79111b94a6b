"""What modules are called on, as nested structures of arrays."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from tb_layerview.capture.host import batch
from tb_layerview.capture.host.tree import NestedTree

# How modules call it that they train, and that they do not.
_TRAINING = ("train", "training", "is_training")
_INFERENCE = ("deterministic", "use_running_average")


class Batch(batch.Batch):
    """What a module is called on, and what its loss is given beside what it makes of that."""

    tree: ClassVar[batch.Tree] = NestedTree()

    @property
    def leaves(self) -> list[Any]:
        """Its arrays."""
        return [leaf for leaf in super().leaves if hasattr(leaf, "shape")]

    @property
    def examples(self) -> int:
        """How many examples it has: rows of its first input."""
        arrays = [leaf for leaf in self.tree.flatten(self.x) if len(getattr(leaf, "shape", ()))]
        if not arrays:
            raise ValueError("it has no array with an axis")
        return int(arrays[0].shape[0])

    @property
    def shapes(self) -> str:
        """The shapes of its inputs, in words."""
        return ", ".join(f"{tuple(leaf.shape)}" for leaf in self.tree.flatten(self.x) if hasattr(leaf, "shape"))


def as_tensor(leaf: Any) -> Any:
    """A leaf of a batch in memory of its own, which nobody writes to or donates; what is no array stays what it is."""
    return jnp.array(leaf, copy=True) if hasattr(leaf, "__array__") else leaf


def kept(leaf: Any) -> Any:
    """A leaf of a batch that was trained on: arrays of JAX do not change."""
    return leaf if isinstance(leaf, jax.Array) else as_tensor(leaf)


def called(model: Any, x: Any, training: bool) -> Any:
    """What a module makes of its inputs: a tuple are several, a dict are several by name, anything else is one.

    A module that takes `train` or the like when it is called is told it, unless the inputs say it.
    """
    args = x if isinstance(x, tuple) else () if isinstance(x, dict) else (x,)
    kwargs = x if isinstance(x, dict) else {}
    return model(*args, **{**_modes(model, len(args), training), **kwargs})


def _modes(model: Any, given: int, training: bool) -> dict[str, bool]:
    parameters = list(inspect.signature(model.__call__).parameters.values())[given:]
    free = [one.name for one in parameters if one.default is inspect.Parameter.empty or isinstance(one.default, bool)]
    return {name: training if name in _TRAINING else not training for name in free if name in _TRAINING + _INFERENCE}
