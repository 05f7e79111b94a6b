"""Finds the layers of a TensorFlow graph, and what can be logged of them, without a word from whoever built it.

Variables give the layers: `block/conv/kernel` belongs to a layer `block/conv`. `graph_outputs` finds their activations,
`graph_between` what stands between them, `graph_optimizers` their gradients.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search import between, optimizers
from tb_layerview.capture.graph.search import outputs as graph_outputs
from tb_layerview.capture.graph.search.branches import Branch, branches_with, condition_of
from tb_layerview.capture.graph.search.index import HOLDERS, GraphIndex, can_fetch
from tb_layerview.capture.graph.search.layer import (
    FoundLayer,
    class_name_of,
    in_order,
    shape_of,
    split_name,
    whole_name,
)
from tb_layerview.capture.graph.search.taps import GraphTap, GraphTaps, listed
from tb_layerview.format.model import Kind, Layer, Tensor, default_axes, unused_path
from tb_layerview.measure.activation_functions import FUNCTIONS
from tb_layerview.measure.measurement import can_measure
from tb_layerview.measure.tf.digests import difference_dtype

# Names that the layers of Keras and `tf.layers` give: a scope with these is one layer, however many there are.
_USUAL_LEAVES = re.compile(
    r"kernel|bias|gamma|beta|moving_\w+|(depthwise|pointwise|recurrent|input)_(kernel|bias)|embeddings|alpha|weights|biases"
    r"|w|b|W|scale|offset"
)


def find_layers(index: GraphIndex) -> GraphTaps:
    """Searches a graph for layers, their activations, weights and gradients, and for what trains them.

    Args:
      index: That of a graph whose model, and optimizer if it is to be trained, are complete.
    """
    trainable = _holders(index, (tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES,))
    notes: list[str] = []
    found = between.with_weightless(index, between.with_sums(index, _find(index, trainable, notes), notes))
    found.sort(key=lambda layer: layer.first(index))
    taken: set[str] = set()
    for layer in found:  # scopes have names of their own, but a bare variable may be called like a scope
        layer.path, _ = unused_path(layer.path, taken)
    notes += _without_layer(found, trainable)
    updates = optimizers.find_updates(index, frozenset(trainable.values()))
    by_holder: dict[Any, optimizers.Update] = {}
    for update in updates:
        if update.holder not in by_holder or by_holder[update.holder].gradient is None:
            by_holder[update.holder] = update
    taps: list[GraphTap] = []
    left_out: dict[str, list[str]] = {}
    for number, layer in enumerate(found):
        taps += _taps(index, number, layer, by_holder, bool(updates), notes, left_out)
    _order_activations(index, taps)
    for reason, weights in left_out.items():
        notes.append(f"no gradient is logged of {listed(weights)}: {reason}")
    return GraphTaps(
        layers=tuple(
            Layer(layer.path, layer.class_name, inputs) for layer, inputs in zip(found, _connections(index, found))
        ),
        taps=tuple(taps),
        triggers=frozenset(update.trigger for update in updates),
        trained=tuple(by_holder),
        gradients=tuple({u.gradient.name: u.gradient for u in updates if u.gradient is not None}.values()),
        losses={
            scope: op.outputs[0]
            for scope, op in index.gradient_scopes.items()
            if op.outputs and op.outputs[0].shape.rank == 0 and can_fetch(op.outputs[0])
        },
        learning_rates=_learning_rates(updates, found),
        notes=tuple(notes),
    )


def _order_activations(index: GraphIndex, taps: list[GraphTap]) -> None:
    """Puts activations in the order in which they are made: the second call of a layer may come after another layer."""
    places = [i for i, tap in enumerate(taps) if tap.tensor.kind == "activation"]
    ordered = sorted((taps[i] for i in places), key=lambda tap: index.position[tap.source.op])
    for i, tap in zip(places, ordered):
        taps[i] = tap


def _holders(index: GraphIndex, collections: Iterable[str]) -> dict[str, Any]:
    """The operations that hold the variables of some collections, by name, in the graph's order."""
    names = {v.name.rsplit(":", 1)[0] for key in collections for v in index.graph.get_collection(key)}
    found = [op for name, op in index.by_name.items() if name in names and op.type in HOLDERS]
    return {op.name: op for op in sorted(found, key=index.position.__getitem__)}


def _find(index: GraphIndex, trainable: dict[str, Any], notes: list[str]) -> list[FoundLayer]:
    """The layers that have variables."""
    keys = tf.compat.v1.GraphKeys
    holders = _holders(index, (keys.GLOBAL_VARIABLES, keys.TRAINABLE_VARIABLES, keys.MODEL_VARIABLES))
    replicas = [name for name in holders if _is_of_replica(name)]
    if replicas:
        notes.append(
            "the model is trained as several replicas: activations and gradients are those of the first replica"
        )
    holders = {name: op for name, op in holders.items() if name not in replicas}
    entries = {op: _entries(index, op) for op in holders.values()}
    scopes: dict[str, list[Any]] = {}
    for name, op in holders.items():
        is_layers = name in trainable or (op.get_attr("dtype").is_floating and entries[op])
        if is_layers:
            scopes.setdefault(split_name(name)[0], [])
    for name, op in holders.items():
        scope = split_name(name)[0]
        # At the root, and there only, stand the variables that belong to no layer: the global step, counters.
        if scope in scopes and (scope or name in trainable or (op.get_attr("dtype").is_floating and entries[op])):
            scopes[scope].append(op)
    found: list[FoundLayer] = []
    scoped: dict[str, list[Any]] = {}
    for scope, ops in scopes.items():
        if not scope or _is_shared(ops, entries):
            found += graph_outputs.by_chains(index, scope, ops, entries)
        else:
            scoped[scope] = ops
    found += graph_outputs.by_scopes(index, scoped, entries)
    for layer in found:
        # A functional Keras model is first built on placeholders, and then called on what is really its input.
        fed = [call for call in layer.calls if index.needs_feeding(call[0].op)]
        if 0 < len(fed) < len(layer.calls):
            layer.drafts = fed
            layer.calls = [call for call in layer.calls if not index.needs_feeding(call[0].op)]
    for layer in found:
        layer.trainable = frozenset(name for name, op in layer.weights.items() if op.name in trainable)
        layer.class_name = class_name_of(layer)
    return found


def _without_layer(found: list[FoundLayer], trainable: dict[str, Any]) -> list[str]:
    """Counts the weights of the layers against the variables to train; a sentence that names those of no layer."""
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
                # A scalar made of a matrix is a penalty on its size, on its way into the loss; a handle is none.
                stack += [t for t in op.outputs if t.shape.rank != 0 or not rank or t.dtype == tf.resource]
    return in_order(index, found)


def _is_shared(ops: list[Any], entries: dict[Any, list[Any]]) -> bool:
    """Whether a scope holds the bare variables of several layers: `model/w1`, `model/b1`, `model/w2`, ..."""
    matrices = {
        whole_name(op.name)  # the parts of a partitioned variable are one
        for op in ops
        if (shape_of(op).rank or 0) >= 2 and any(graph_outputs.CONTRACTIONS.search(entry.type) for entry in entries[op])
    }
    return len(matrices) > 1 and not all(_USUAL_LEAVES.fullmatch(split_name(name)[1]) for name in matrices)


def _connections(index: GraphIndex, found: list[FoundLayer]) -> list[tuple[int, ...]]:
    """For each layer the layers whose outputs it reads, going back from its own outputs to the nearest others."""
    owner: dict[tuple[Any, int], int] = {}
    for number, layer in enumerate(found):
        for tensor in layer.outputs():
            owner.setdefault((tensor.op, tensor.value_index), number)
    connections: list[tuple[int, ...]] = []
    for number, layer in enumerate(found):
        reads: set[int] = set()
        seen: set[Any] = set()
        stack = [t for tensor in layer.outputs() for t in tensor.op.inputs]
        while stack:
            tensor = stack.pop()
            before = owner.get((tensor.op, tensor.value_index))
            if before is not None and before != number:
                reads.add(before)
            elif tensor.op not in seen and index.is_from_data(tensor.op):
                seen.add(tensor.op)
                stack += tensor.op.inputs
        connections.append(tuple(sorted(reads)))
    return connections


def _taps(
    index: GraphIndex,
    number: int,
    layer: FoundLayer,
    updates: dict[Any, optimizers.Update],
    is_trained: bool,
    notes: list[str],
    left_out: dict[str, list[str]],
) -> list[GraphTap]:
    """All that can be logged of a layer; `left_out` gets the weights without a gradient, by the reason."""
    taps: list[GraphTap] = []

    def add(
        kind: Kind, name: str, source: Any, dtype: Any, shape: tf.TensorShape, when: Branch | None = None, **more: Any
    ) -> None:
        if not can_measure(dtype.base_dtype.name):
            notes.append(f"layer {layer.path!r}: {kind} {name} has dtype {dtype.base_dtype.name} and is left out")
        elif shape.rank is None:
            notes.append(f"layer {layer.path!r}: {kind} {name} has no known number of axes and is left out")
        else:
            sizes = tuple(-1 if size is None else size for size in shape)
            order = _channels_last(layer, shape.rank) if kind == "activation" else None
            if order:
                sizes = tuple(sizes[axis] for axis in order)
            axes = more.pop("axes", None) or _axes(layer, kind, name, len(sizes))
            taps.append(
                GraphTap(
                    Tensor(number, kind, name, sizes, dtype.base_dtype.name, axes=axes, **more), source, order, when
                )
            )

    for call, tensors in enumerate(layer.calls):
        for i, tensor in enumerate(tensors):
            branch = None
            within = condition_of(tensor)
            if within is not None:
                branch, is_known = branches_with(index, within, frozenset(layer.weights.values()))
                if not is_known:
                    notes.append(
                        f"layer {layer.path!r}: what it gives inside the condition {within.op.name!r} does not leave "
                        "it, so it has no activation"
                    )
                    continue
            add(
                "activation",
                f"output_{i}" if i else "output",
                tensor,
                tensor.dtype,
                tensor.shape,
                call=call,
                function=FUNCTIONS.get(tensor.op.type, ""),
                when=branch,
            )
    for name, holder in layer.weights.items():
        add("weight", name, holder, holder.get_attr("dtype"), shape_of(holder))
    trained: dict[str, optimizers.Update] = {}
    for name in layer.weights:
        if name not in layer.trainable or not is_trained:
            continue
        update = updates.get(layer.weights[name])
        if update is None:
            notes.append(
                f"layer {layer.path!r}: weight {name} is updated by no optimizer, so it has no gradient and no update"
            )
        else:
            trained[name] = update
    for name, update in trained.items():
        if update.gradient is None:
            left_out.setdefault(update.remark, []).append(f"{layer.path}/{name}")
            continue
        if update.remark:
            notes.append(f"layer {layer.path!r}, weight {name}: {update.remark}")
        shape = update.gradient.shape
        whole = shape_of(layer.weights[name])
        if not update.sparse and shape.is_compatible_with(whole):
            shape = shape.merge_with(whole)
        axes = ("slice", *default_axes("gradient", shape.rank or 0)[1:]) if update.sparse and shape.rank else None
        add("gradient", name, update.gradient, update.gradient.dtype, shape, axes=axes)
    for name in trained:
        holder = layer.weights[name]
        dtype = holder.get_attr("dtype")
        if can_measure(dtype.name):  # else that is said of the weight
            add("update", name, holder, difference_dtype(dtype), shape_of(holder))
    return taps


def _axes(layer: FoundLayer, kind: Kind, name: str, rank: int) -> tuple[str, ...]:
    axes = default_axes(kind, rank)
    if kind != "activation" and rank > 3 and name == "kernel" and layer.class_name.endswith("Transpose"):
        # A transposed convolution's kernel has the channels that it makes before those that it reads.
        return (*axes[:-2], axes[-1], axes[-2])
    return axes


def _channels_last(layer: FoundLayer, rank: int) -> tuple[int, ...] | None:
    """The order of axes that puts channels last, where the layer has them second."""
    for op in layer.entries:
        if rank >= 3 and "data_format" in op.node_def.attr:
            layout = op.get_attr("data_format")
            if layout in (b"NCHW", b"NCDHW", "NCHW", "NCDHW"):
                return (0, *range(2, rank), 1)
    return None


def _learning_rates(updates: Iterable[optimizers.Update], found: list[FoundLayer]) -> dict[str, Any]:
    """The learning rates by name; optimizers are told apart by the first layer that they train."""
    rates: dict[str, Any] = {}
    first: dict[str, str] = {}
    paths = {holder: layer.path for layer in found for holder in layer.weights.values()}
    for update in updates:
        rate = update.learning_rate
        if rate is not None and rate.shape.rank == 0 and can_fetch(rate):
            rates.setdefault(rate.name, rate)
            first.setdefault(rate.name, paths.get(update.holder, update.holder.name))
    if len(rates) == 1:
        return {"learning_rate": next(iter(rates.values()))}
    return {f"learning_rate of {first[name]}": rate for name, rate in rates.items()}
