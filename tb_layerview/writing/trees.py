"""Trees of arrays, as JAX's loops pass them around: what is in them, and by which names it is logged."""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tb_layerview.format.model import Kind

#: The layer of arrays that stand at the top of a tree, where no name tells one.
ROOT = "model"
#: The key under which flax.linen puts what a module's `__call__` gave, in a tuple with an element for each call.
_CALL = "__call__"

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One array of a tree.

    Attributes:
      path: The keys that lead to it, outermost first: keys of mappings, places in sequences, names of fields.
      value: The array, as it stands in the tree.
    """

    path: Path
    value: Any


@dataclasses.dataclass(frozen=True)
class Name:
    """By what an array is logged.

    Attributes:
      layer: The path of its layer, `params/Dense_0`.
      tensor: Which one of its kind: `kernel`.
      call: Which call of the layer made it.
    """

    layer: str
    tensor: str
    call: int = 0


def leaves(tree: Any) -> Iterator[Leaf]:
    """The arrays of a tree, in its order.

    Mappings, sequences, named tuples and dataclasses are walked here, and whatever else is registered with JAX as JAX
    has it, if it is loaded. None holds nothing.
    """
    yield from _leaves(tree, ())


def _leaves(node: Any, path: Path) -> Iterator[Leaf]:
    if node is None:
        return
    if hasattr(type(node), "unbox"):  # in which flax.linen puts what else it knows of an array
        yield from _leaves(node.unbox(), path)
        return
    children = None if _is_array(node) else _children(node)
    if children is None:
        yield Leaf(path, node)
        return
    for key, child in children:
        yield from _leaves(child, (*path, key))


def _is_array(node: Any) -> bool:
    """Whether somebody takes this for an array: a variable of Flax is one, though JAX also takes it apart."""
    kind = type(node)
    return hasattr(kind, "__array__") or hasattr(kind, "__jax_array__")


def _children(node: Any) -> list[tuple[str, Any]] | None:
    """What is directly within a node, by its keys; None if it is no node."""
    if isinstance(node, Mapping):
        return [(str(key), node[key]) for key in _in_order(list(node))]
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return list(zip(node._fields, node))
    if isinstance(node, (list, tuple)):
        return [(str(place), child) for place, child in enumerate(node)]
    known_to_jax = _children_by_jax(node)
    if known_to_jax is not None:
        return known_to_jax
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return [(field.name, getattr(node, field.name)) for field in dataclasses.fields(node)]
    return None


def _in_order(keys: list[Any]) -> list[Any]:
    """The keys of a mapping in its own order.

    JAX gives mappings back with their keys sorted: of such ones, `block_2` stands before `block_10` again.
    """
    if all(isinstance(key, str) for key in keys) and keys == sorted(keys):
        return sorted(keys, key=_with_numbers)
    return keys


def _with_numbers(key: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", key) if part]


def _children_by_jax(node: Any) -> list[tuple[str, Any]] | None:
    """What is directly within a node that is registered with JAX; None if it is not, or JAX is not loaded."""
    tree_util = getattr(sys.modules.get("jax"), "tree_util", None)
    if tree_util is None:
        return None
    found, structure = tree_util.tree_flatten_with_path(node, is_leaf=lambda one: one is not node)
    if tree_util.treedef_is_leaf(structure) and structure.num_leaves == 1:
        return None
    return [(_said(path[-1]), child) for path, child in found]


def _said(key: Any) -> str:
    """A key of JAX's in words: `DictKey('a')`, `SequenceKey(0)`, `GetAttrKey('a')`, `FlattenedIndexKey(0)`."""
    for attribute in ("name", "key", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def joined(path: Sequence[str]) -> str:
    """A path as one name."""
    return "/".join(path) or ROOT


def names(paths: Sequence[Path], kind: Kind, weights: Mapping[Path, Name]) -> list[Name]:
    """By what the arrays of one tree are logged, in their order.

    The last key is the tensor's name, and those before it are its layer's path. An activation's are all its layer's:
    what it puts out is called `output`. What an optimizer keeps of a weight is in the weight's layer, and called after
    both, `kernel/mu`, wherever the end of its path is a weight's.

    Args:
      paths: Of the arrays.
      kind: What they are.
      weights: By the path of each weight that was logged, what it is called.

    Raises:
      ValueError: Two arrays have one name.
    """
    if kind == "activation":
        found = [_of_activation(path) for path in paths]
    elif kind == "optimizer":
        found = _of_optimizer(paths, weights)
    else:
        found = [_of_weight(path) for path in paths]
    seen: dict[Name, Path] = {}
    for path, name in zip(paths, found):
        if name in seen:
            raise ValueError(
                f"two arrays of the tree are called {joined(path)!r}: their keys differ, but not as text. Rename one"
            )
        seen[name] = path
    return found


def _of_weight(path: Path) -> Name:
    return Name(joined(path[:-1]), path[-1] if path else "kernel")


def _of_activation(path: Path) -> Name:
    if len(path) > 1 and path[-2] == _CALL and path[-1].isdecimal():
        return Name(joined(path[:-2]), "output", int(path[-1]))
    return Name(joined(path), "output")


def _of_optimizer(paths: Sequence[Path], weights: Mapping[Path, Name]) -> list[Name]:
    split = [(path, _weight_within(path, weights)) for path in paths]
    short = [_slot(path, weight, weights, with_places=False) for path, weight in split]
    return [
        name if short.count(name) == 1 else _slot(path, weight, weights, with_places=True)
        for name, (path, weight) in zip(short, split)
    ]


def _weight_within(path: Path, weights: Mapping[Path, Name]) -> Path | None:
    """The longest end of a path that is a weight's, and leaves something before it."""
    ends = (path[start:] for start in range(1, len(path)))
    return next((end for end in ends if end in weights), None)


def _slot(path: Path, weight: Path | None, weights: Mapping[Path, Name], with_places: bool) -> Name:
    if weight is None:
        return _of_weight(path)
    before = path[: len(path) - len(weight)]
    # Where a transformation stands in a chain says nothing, unless another one keeps a thing of the same name.
    said = [key for key in before if with_places or not key.isdecimal()] or list(before)
    of = weights[weight]
    return Name(of.layer, "/".join(itertools.chain([of.tensor], said)))
