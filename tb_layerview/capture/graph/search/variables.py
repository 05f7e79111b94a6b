"""The layers of a TensorFlow graph that have variables, told apart by the names of these."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.chains import by_chains
from tb_layerview.capture.graph.search.index import HOLDERS, GraphIndex
from tb_layerview.capture.graph.search.layer import (
    FoundLayer,
    class_name_of,
    in_order,
    shape_of,
    split_name,
    whole_name,
)
from tb_layerview.capture.graph.search.outputs import by_scopes
from tb_layerview.capture.graph.search.taps import listed

# Names that the layers of Keras and `tf.layers` give: a scope with these is one layer, however many there are.
_USUAL_LEAVES = re.compile(
    r"kernel|bias|gamma|beta|moving_\w+|(depthwise|pointwise|recurrent|input)_(kernel|bias)|embeddings|alpha|weights|biases"
    r"|w|b|W|scale|offset"
)
# Operations that multiply matrices, or look up in one.
_CONTRACTIONS = re.compile(r"MatMul$|BatchMatMul|SparseMatMul|Einsum$|Conv\dD|DepthwiseConv2d|(Resource)?Gather")


def holders_in(index: GraphIndex, collections: Iterable[str]) -> dict[str, Any]:
    """The operations that hold the variables of some collections, by name, in the graph's order."""
    names = {v.name.rsplit(":", 1)[0] for key in collections for v in index.graph.get_collection(key)}
    found = [op for name, op in index.by_name.items() if name in names and op.type in HOLDERS]
    return {op.name: op for op in sorted(found, key=index.position.__getitem__)}


def find_with_variables(index: GraphIndex, trainable: dict[str, Any]) -> tuple[list[FoundLayer], list[str]]:
    """Finds the layers that have variables, and their calls.

    Args:
      index: The graph.
      trainable: The operations that hold the variables to train, by name.

    Returns:
      The layers; and what is not looked at, a sentence each.
    """
    keys = tf.compat.v1.GraphKeys
    holders = holders_in(index, (keys.GLOBAL_VARIABLES, keys.TRAINABLE_VARIABLES, keys.MODEL_VARIABLES))
    notes: list[str] = []
    if any(map(_is_of_replica, holders)):
        notes.append(
            "the model is trained as several replicas: activations and gradients are those of the first replica"
        )
    holders = {name: op for name, op in holders.items() if not _is_of_replica(name)}
    entries = {op: _entries(index, op) for op in holders.values()}
    found: list[FoundLayer] = []
    scoped: dict[str, list[Any]] = {}
    for scope, ops in _scopes(holders, trainable, entries).items():
        if not scope or _is_shared(ops, entries):
            found += by_chains(index, scope, ops, entries)
        else:
            scoped[scope] = ops
    found += by_scopes(index, scoped, entries)
    for layer in found:
        # A functional Keras model is first built on placeholders, and then called on what is really its input.
        fed = [call for call in layer.calls if index.needs_feeding(call[0].op)]
        if 0 < len(fed) < len(layer.calls):
            layer.drafts = fed
            layer.calls = [call for call in layer.calls if not index.needs_feeding(call[0].op)]
        layer.trainable = frozenset(name for name, op in layer.weights.items() if op.name in trainable)
        layer.class_name = class_name_of(layer)
    return found, notes


def _scopes(holders: dict[str, Any], trainable: dict[str, Any], entries: dict[Any, list[Any]]) -> dict[str, list[Any]]:
    """The operations that hold the variables of layers, by the variables' scope."""
    own = {n for n, op in holders.items() if n in trainable or (op.get_attr("dtype").is_floating and entries[op])}
    scopes: dict[str, list[Any]] = {split_name(name)[0]: [] for name in holders if name in own}
    for name, op in holders.items():
        scope = split_name(name)[0]
        # At the root, and there only, stand the variables that belong to no layer: the global step, counters.
        if scope in scopes and (scope or name in own):
            scopes[scope].append(op)
    return scopes


def without_layer(found: list[FoundLayer], trainable: dict[str, Any]) -> list[str]:
    """Names the variables to train that belong to no layer, in one sentence if there are any."""
    logged = {holder for layer in found for holder in layer.weights.values()}
    lost = [name for name, op in trainable.items() if op not in logged and not _is_of_replica(name)]
    return (
        [f"{len(lost)} of the {len(trainable)} variables to train belong to no layer: {listed(lost)}"] if lost else []
    )


def _is_of_replica(name: str) -> bool:
    """Whether this is a variable of another replica than the first."""
    return re.search(r"/replica_\d+(/|$)", name) is not None


def _entries(index: GraphIndex, holder: Any) -> list[Any]:
    """The forward operations where data meets a variable, or what is computed from variables alone."""
    found: list[Any] = []
    seen: set[Any] = set()
    rank = shape_of(holder).rank
    stack = list(holder.outputs)
    while stack:
        tensor = stack.pop()
        for op in index.consumers(tensor):
            if op in seen:
                continue
            seen.add(op)
            if index.is_from_data(op):
                found += index.ways_out(op)
            else:
                # A scalar made of a matrix is a penalty on its size, on its way into the loss; a handle is not.
                stack += [t for t in op.outputs if t.shape.rank != 0 or not rank or t.dtype == tf.resource]
    return in_order(index, found)


def _is_shared(ops: list[Any], entries: dict[Any, list[Any]]) -> bool:
    """Whether a scope holds the bare variables of several layers: `model/w1`, `model/b1`, `model/w2`, ..."""
    matrices = {
        whole_name(op.name)  # the parts of a partitioned variable are one
        for op in ops
        if (shape_of(op).rank or 0) >= 2 and any(_CONTRACTIONS.search(entry.type) for entry in entries[op])
    }
    return len(matrices) > 1 and not all(_USUAL_LEAVES.fullmatch(split_name(name)[1]) for name in matrices)
