"""Where a module's variables are, and what an optimizer keeps of them: read anew at each step.

A step gives a variable another array, and uses the one before up where it is donated: the place is what stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from tb_layerview.capture.jax.arrays import here

Path = tuple[str, ...]


class Source:
    """A tree of variables, by their leaves.

    Attributes:
      places: One for each leaf, in their order.
      structure: What makes the tree of its leaves again.
    """

    def __init__(self, get: Callable[[], Any]) -> None:
        """Looks up the leaves.

        Args:
          get: Gives the tree as it is now.
        """
        self._get = get
        tree = get()
        self.structure: Any = jax.tree.structure(tree)
        self.places: list[Place] = []
        for path, one in variables(tree):
            kind = type(one)
            for leaf in jax.tree.leaves(one):
                shape, dtype = tuple(np.shape(leaf)), str(getattr(leaf, "dtype", type(leaf).__name__))
                self.places.append(Place(self, len(self.places), path, kind, shape, dtype, isinstance(leaf, jax.Array)))

    def leaves(self) -> list[Any]:
        """The leaves as they are now.

        Raises:
          RuntimeError: There are others than there were, or an array was deleted.
          NotSupported: An array is spread over several processes.
        """
        leaves = self._now()
        if len(leaves) != len(self.places):
            raise RuntimeError(
                f"there are {len(leaves)} arrays where there were {len(self.places)} when logging was set up: the "
                "model or its optimizer has got other variables"
            )
        for place, leaf in zip(self.places, leaves):
            if isinstance(leaf, jax.Array) and leaf.is_deleted():
                raise RuntimeError(
                    f"{'/'.join(place.path)} was deleted: it was donated to a step. Put what the step returned into "
                    "the model before it is recorded, by nnx.update(model, state)"
                )
        return [here(leaf, "/".join(place.path)) for place, leaf in zip(self.places, leaves)]

    def wait(self) -> None:
        """Returns when the device has computed them."""
        arrays = [leaf for leaf in self._now() if isinstance(leaf, jax.Array) and not leaf.is_deleted()]
        if arrays:  # of one computation all are there when one is
            min(arrays, key=lambda array: array.size).block_until_ready()

    def _now(self) -> list[Any]:
        return list(jax.tree.leaves(self._get()))


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """Where one array is.

    Attributes:
      source: The tree that it is in.
      index: Which of its leaves it is, from 0.
      path: The names that lead to its variable.
      kind: The class of that: `nnx.Param`, `nnx.BatchStat`, ...
      shape: Its sizes.
      dtype: The name of its type.
      is_array: Whether it is an array of JAX: else a number of Python's, or of numpy.
    """

    source: Source = dataclasses.field(repr=False)
    index: int
    path: Path
    kind: type
    shape: tuple[int, ...]
    dtype: str
    is_array: bool

    @property
    def is_weight(self) -> bool:
        """Whether it is logged: no state of a random generator, no single count, and nothing that a call leaves."""
        is_other = issubclass(self.kind, (nnx.RngState, nnx.Intermediate))
        return self.is_array and not is_other and bool(self.shape or "float" in self.dtype)


def variables(tree: Any) -> list[tuple[Path, Any]]:
    """The variables of a tree, and arrays that are of none, by their paths."""
    found, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda one: isinstance(one, nnx.Variable))
    return [(tuple(map(_said, keys)), one) for keys, one in found]


def read(places: Sequence[Place]) -> list[npt.NDArray[np.generic]]:
    """What is in places now, in memory of its own; of a key of a random generator its bits."""
    leaves: dict[int, list[Any]] = {}
    for place in places:
        if id(place.source) not in leaves:
            leaves[id(place.source)] = place.source.leaves()
    found = (leaves[id(place.source)][place.index] for place in places)
    return [np.array(jax.random.key_data(one) if is_key(one) else one) for one in found]


def replaced(source: Source, values: Mapping[int, npt.NDArray[np.generic]]) -> Any:
    """The tree of a source with other values at some places, by their index, spread over devices as those were."""
    leaves = source.leaves()
    for index, value in values.items():
        before = leaves[index]
        array = jnp.array(value)  # a copy: an array of numpy might be shared, and then be donated
        if is_key(before):
            array = jax.random.wrap_key_data(array, impl=jax.random.key_impl(before))
        leaves[index] = jax.device_put(array, before.sharding)
    return jax.tree.unflatten(source.structure, leaves)


def is_key(array: Any) -> bool:
    """Whether an array holds keys of random generators."""
    return isinstance(array, jax.Array) and bool(jnp.issubdtype(array.dtype, jax.dtypes.prng_key))


def _said(key: Any) -> str:
    found = (getattr(key, name) for name in ("name", "key", "idx") if hasattr(key, name))
    return str(next(found, key))
