"""Finds the layers of a TensorFlow graph, and what can be logged of them, without a word from whoever built it.

Variables give the layers: `block/conv/kernel` belongs to a layer `block/conv`. Where data meets a variable, a call of its
layer begins; the name scope of that operation is the call's, and what leaves the scope is the activation. Where there
is no scope of its own, the activation is what follows the variable. An activation function right behind a layer is part
of the layer, wherever it stands.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tb_layerview import graph_optimizers
from tb_layerview.digest import can_measure
from tb_layerview.graph_index import HOLDERS, GraphIndex, can_fetch, outputs
from tb_layerview.model import Kind, Layer, Tensor, default_axes


@dataclasses.dataclass(frozen=True)
class GraphTap:
    """A tensor of the graph that can be logged.

    Attributes:
      tensor: What it is.
      source: The `tf.Tensor`; for a weight the `tf.Operation` that holds the variable.
      transpose: The order in which to put the source's axes to have those of `tensor`; None if they are in order.
    """

    tensor: Tensor
    source: Any
    transpose: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class GraphTaps:
    """What was found in a graph.

    Attributes:
      layers: In the order in which they run.
      taps: Everything that can be logged of them, layer by layer.
      triggers: The operations that update trainable variables: a run that reaches one trains.
      losses: Scalar `tf.Tensor`s that were differentiated.
      learning_rates: Scalar `tf.Tensor`s by name: `learning_rate`, or one per optimizer with the first layer's path.
      notes: What is not there to be logged and why, a sentence each.
    """

    layers: tuple[Layer, ...]
    taps: tuple[GraphTap, ...]
    triggers: frozenset[Any]
    losses: tuple[Any, ...]
    learning_rates: dict[str, Any]
    notes: tuple[str, ...]


def find_layers(index: GraphIndex) -> GraphTaps:
    """Searches a graph for layers, their activations, weights and gradients, and for what trains them.

    Args:
      index: That of a graph whose model, and optimizer if it is to be trained, are complete.
    """
    trainable = _holders(index, (tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES,))
    notes: list[str] = []
    found = _with_weightless(index, _with_sums(index, _find(index, trainable, notes), notes))
    found.sort(key=lambda layer: layer.first(index))
    updates = graph_optimizers.find_updates(index, frozenset(trainable.values()))
    by_holder: dict[Any, graph_optimizers.Update] = {}
    for update in updates:
        if update.holder not in by_holder or by_holder[update.holder].gradient is None:
            by_holder[update.holder] = update
    taps: list[GraphTap] = []
    for number, layer in enumerate(found):
        taps += _taps(number, layer, by_holder, bool(updates), notes)
    return GraphTaps(
        layers=tuple(
            Layer(layer.path, layer.class_name, inputs) for layer, inputs in zip(found, _connections(index, found))
        ),
        taps=tuple(taps),
        triggers=frozenset(update.trigger for update in updates),
        losses=tuple(
            op.outputs[0]
            for op in index.gradient_scopes.values()
            if op.outputs and op.outputs[0].shape.rank == 0 and can_fetch(op.outputs[0])
        ),
        learning_rates=_learning_rates(updates, found),
        notes=tuple(notes),
    )


@dataclasses.dataclass
class _Found:
    """A layer while it is being found.

    Attributes:
      path: Its path.
      class_name: Keras' name for what it seems to be; empty if it is not clear.
      weights: Operations that hold its variables, by name below the path.
      entries: Operations where data meets its variables.
      calls: Its outputs, call by call.
      hidden: Outputs that cannot be looked at; they still connect layers.
      trainable: Which of its weights, by name, are trained.
    """

    path: str
    weights: dict[str, Any] = dataclasses.field(default_factory=dict)
    entries: list[Any] = dataclasses.field(default_factory=list)
    calls: list[list[Any]] = dataclasses.field(default_factory=list)
    hidden: list[Any] = dataclasses.field(default_factory=list)
    trainable: frozenset[str] = frozenset()
    class_name: str = ""

    def outputs(self) -> list[Any]:
        """All its outputs."""
        return [*(tensor for call in self.calls for tensor in call), *self.hidden]

    def first(self, index: GraphIndex) -> int:
        """Where in the graph's order it first has an output; for a layer without one, where it is used or made."""
        ops = [t.op for t in self.outputs()] or self.entries or list(self.weights.values())
        return min(index.position[op] for op in ops)


# ---- variables ----

# Names that the layers of Keras and `tf.layers` give: a scope with these is one layer, however many there are.
_USUAL_LEAVES = re.compile(
    r"kernel|bias|gamma|beta|moving_\w+|(depthwise|pointwise|recurrent|input)_(kernel|bias)|embeddings|alpha|weights|biases"
    r"|w|b|W|scale|offset"
)
_CONTRACTIONS = re.compile(r"MatMul$|BatchMatMul|SparseMatMul|Einsum$|Conv\dD|DepthwiseConv2d|(Resource)?Gather")


def _holders(index: GraphIndex, collections: Iterable[str]) -> dict[str, Any]:
    """The operations that hold the variables of some collections, by name, in the graph's order."""
    names = {v.name.rsplit(":", 1)[0] for key in collections for v in index.graph.get_collection(key)}
    found = [op for name, op in index.by_name.items() if name in names and op.type in HOLDERS]
    return {op.name: op for op in sorted(found, key=index.position.__getitem__)}


def _find(index: GraphIndex, trainable: dict[str, Any], notes: list[str]) -> list[_Found]:
    """The layers that have variables."""
    keys = tf.compat.v1.GraphKeys
    holders = _holders(index, (keys.GLOBAL_VARIABLES, keys.TRAINABLE_VARIABLES, keys.MODEL_VARIABLES))
    replicas = [name for name in holders if re.search(r"/replica_\d+(/|$)", name)]
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
            scopes.setdefault(_split(name)[0], [])
    for name, op in holders.items():
        scope = _split(name)[0]
        # At the root, and there only, stand the variables that belong to no layer: the global step, counters.
        if scope in scopes and (scope or name in trainable or (op.get_attr("dtype").is_floating and entries[op])):
            scopes[scope].append(op)
    found: list[_Found] = []
    scoped: dict[str, list[Any]] = {}
    for scope, ops in scopes.items():
        if not scope or _is_shared(scope, ops, entries):
            found += _by_chains(index, scope, ops, entries)
        else:
            scoped[scope] = ops
    found += _by_scopes(index, scoped, entries)
    for layer in found:
        layer.trainable = frozenset(name for name, op in layer.weights.items() if op.name in trainable)
        layer.class_name = _class_name(layer)
    return found


def _split(name: str) -> tuple[str, str]:
    """Scope and leaf of a variable's name; the parts of a partitioned variable are leaves together."""
    scope, _, leaf = name.rpartition("/")
    if re.fullmatch(r"part_\d+", leaf) and scope:
        scope, _, whole = scope.rpartition("/")
        leaf = f"{whole}/{leaf}"
    return scope, leaf


def _entries(index: GraphIndex, holder: Any) -> list[Any]:
    """The forward operations where data meets a variable, or what is computed from variables alone."""
    found: list[Any] = []
    seen: set[Any] = set()
    rank = _shape(holder).rank
    stack = [tensor for tensor in holder.outputs]
    while stack:
        tensor = stack.pop()
        for op in index.consumers(tensor):
            if op in seen:
                continue
            seen.add(op)
            if index.is_from_data(op):
                found.append(op)
            else:
                # A scalar made of a matrix is a penalty on its size, on its way into the loss.
                stack += [t for t in op.outputs if t.shape.rank != 0 or not rank]
    return sorted(found, key=index.position.__getitem__)


def _is_shared(scope: str, ops: list[Any], entries: dict[Any, list[Any]]) -> bool:
    """Whether a scope holds the bare variables of several layers: `model/w1`, `model/b1`, `model/w2`, ..."""
    matrices = [
        op
        for op in ops
        if (_shape(op).rank or 0) >= 2 and any(_CONTRACTIONS.search(entry.type) for entry in entries[op])
    ]
    return len(matrices) > 1 and not all(_USUAL_LEAVES.fullmatch(_split(op.name)[1]) for op in matrices)


def _shape(holder: Any) -> tf.TensorShape:
    return tf.TensorShape(holder.get_attr("shape"))


# ---- activations by scope ----


@dataclasses.dataclass
class _CallScope:
    """The name scope of a call of a layer.

    Attributes:
      parts: How many parts of the scope of the layer's variables it matches, from that scope's start.
      entries: Operations in it where data meets the layer's variables.
      nested: Those in a scope of the layer inside it: what a loop does at its first turn, to learn its shapes.
    """

    parts: int
    entries: list[Any]
    nested: list[Any] = dataclasses.field(default_factory=list)


def _by_scopes(index: GraphIndex, scoped: dict[str, list[Any]], entries: dict[Any, list[Any]]) -> list[_Found]:
    """The layers whose variables have a scope of their own."""
    matched: dict[str, dict[str, _CallScope]] = {}  # by the variables' scope, then by the call's
    for scope, ops in scoped.items():
        matched[scope] = {}
        for entry in _in_order(index, (e for op in ops for e in entries[op])):
            call_scope, parts = _match(scope, entry.name)
            matched[scope].setdefault(call_scope, _CallScope(parts, [])).entries.append(entry)
    found: dict[str, _Found] = {}
    for scope, ops in scoped.items():
        path, calls = scope, _merge_nested(matched[scope])
        chained: list[Any] = []
        outputs_of: list[list[Any]] = []
        for call_scope, call in calls.items():
            is_whole = call.parts == scope.count("/") + 1
            if not call_scope or not (is_whole or _is_alone(scope, call_scope, call.entries, matched)):
                chained += call.entries
                continue
            if not is_whole:
                path = "/".join(scope.split("/")[: call.parts])
            outputs_of += _scope_outputs(index, call_scope, call)
        outputs_of = [[_with_activation_function(index, t) for t in call] for call in outputs_of]
        outputs_of += _chain_outputs(index, chained)
        layer = found.setdefault(path, _Found(path))
        layer.weights.update({op.name[len(path) + 1 :]: op for op in ops})
        layer.entries = _in_order(index, [*layer.entries, *(e for op in ops for e in entries[op])])
        known_outputs = {t.name for call in layer.calls for t in call}
        layer.calls += [call for call in outputs_of if call and call[0].name not in known_outputs]
        layer.calls.sort(key=lambda call: index.position[call[0].op])
    for layer in found.values():
        leaves = [_split(op.name)[1] for op in layer.weights.values()]
        if len(set(leaves)) == len(leaves):
            layer.weights = dict(zip(leaves, layer.weights.values()))
    return list(found.values())


def _stem(part: str) -> str:
    """A part of a scope's name without the number that TensorFlow adds to make it unique."""
    return re.sub(r"_\d+$", "", part)


def _match(scope: str, name: str) -> tuple[str, int]:
    """The part of an operation's name that is the scope of a call of the layer with this variable scope.

    `dense` is called in `dense`, `dense_1` and `sequential/dense`; `lstm/lstm_cell` in `lstm`, where its loop is.

    Returns:
      The call's scope, empty if there is none, and how many parts of the variables' scope it matches from its start.
    """
    wanted = [_stem(part) for part in scope.split("/")]
    parts = name.split("/")[:-1] or [name]
    stems = [_stem(part) for part in parts]
    for length in range(len(wanted), 0, -1):
        for end in range(len(stems), length - 1, -1):
            if stems[end - length : end] == wanted[:length]:
                return "/".join(parts[:end]), length
    return "", 0


def _merge_nested(calls: dict[str, _CallScope]) -> dict[str, _CallScope]:
    """Joins the calls whose scope lies in another call's: a loop's body and the loop are one call."""
    merged: dict[str, _CallScope] = {}
    for scope in sorted(calls, key=len):
        outer = next((s for s in merged if s and scope.startswith(s + "/")), None)
        if outer is None:
            merged[scope] = calls[scope]
        else:
            merged[outer].nested += calls[scope].entries
    return merged


def _is_alone(
    scope: str, call_scope: str, own: list[Any], matched: dict[str, dict[str, _CallScope]]
) -> bool:
    """Whether no other layer's data meets its variables in a scope, but in the same operations (a loop)."""
    prefix = call_scope + "/"

    def is_elsewhere(calls: dict[str, _CallScope]) -> bool:
        entries = [entry for call in calls.values() for entry in call.entries]
        return any(entry in own for entry in entries) or not any(entry.name.startswith(prefix) for entry in entries)

    return all(other == scope or is_elsewhere(calls) for other, calls in matched.items())


def _scope_outputs(index: GraphIndex, scope: str, call: _CallScope) -> list[list[Any]]:
    """What leaves a scope, call by call: several calls of a layer may share a scope (`dense/Relu`, `dense/Relu_1`)."""
    prefix = scope + "/"
    entries = [*call.entries, *call.nested]

    def is_inside(op: Any) -> bool:
        return bool(op.name.startswith(prefix)) or op.name == scope

    inside: set[Any] = set()
    stack = list(entries)
    while stack:
        op = stack.pop()
        if op in inside or not is_inside(op):
            continue
        inside.add(op)
        stack += [consumer for tensor in op.outputs for consumer in index.consumers(tensor)]
    leaving = {
        (op, tensor.value_index): tensor
        for op in _in_order(index, inside)
        for tensor in outputs(op)
        if can_fetch(tensor) and any(not is_inside(consumer) for consumer in index.consumers(tensor))
    }

    def met(tensor: Any) -> set[Any]:
        """The entries that a tensor comes from without another of those that leave in between."""
        reached: set[Any] = set()
        pending = [tensor.op]
        while pending:
            op = pending.pop()
            if op in reached or op not in inside:
                continue
            reached.add(op)
            pending += [t.op for t in op.inputs if (t.op, t.value_index) not in leaving]
        return reached & set(entries)

    calls: list[tuple[set[Any], list[Any]]] = []
    for tensor in leaving.values():
        of = met(tensor)
        if not of:
            continue  # made of an output alone: a penalty on it, a statistic
        same = next((known for known in calls if of & known[0] or not _repeats(index, of, known[0])), None)
        if same is None:
            calls.append((of, [tensor]))
        else:
            same[0].update(of)
            same[1].append(tensor)
    rest = [entry for entry in call.entries if entry in inside and not any(entry in known[0] for known in calls)]
    last = _last_output(index, rest, inside)
    if last is not None and (not calls or _repeats(index, set(rest), set().union(*(known[0] for known in calls)))):
        calls.append((set(rest), [last]))
    return [tensors for _, tensors in calls]


def _repeats(index: GraphIndex, entries: set[Any], before: set[Any]) -> bool:
    """Whether entries use a variable again that was used before: that is another call, not another output."""

    def used(ops: set[Any]) -> set[Any]:
        return {index.holder_of(t) for op in ops for t in op.inputs} - {None}

    return bool(used(entries) & used(before))


def _last_output(index: GraphIndex, entries: list[Any], inside: set[Any]) -> Any | None:
    """The last output inside that comes from entries, where nothing outside consumes it: the model's own output."""
    reached: set[Any] = set()
    stack = list(entries)
    while stack:
        op = stack.pop()
        if op in reached or op not in inside:
            continue
        reached.add(op)
        stack += [consumer for tensor in op.outputs for consumer in index.consumers(tensor)]
    for op in reversed(_in_order(index, reached)):
        for tensor in outputs(op):
            if index.is_assigned(tensor):
                return None  # what goes into a moving average
            if can_fetch(tensor):
                return tensor
    return None


# ---- activations by chain ----

_NONLINEAR = {
    "Relu": "ReLU",
    "Relu6": "ReLU",
    "LeakyRelu": "LeakyReLU",
    "Elu": "ELU",
    "Selu": "Activation",
    "Sigmoid": "Activation",
    "Tanh": "Activation",
    "Softplus": "Activation",
    "Softsign": "Activation",
    "Softmax": "Softmax",
}
_FUSED = frozenset(_NONLINEAR) - {"Softmax"}
_POOLING = {
    "MaxPool": "MaxPooling2D",
    "MaxPoolV2": "MaxPooling2D",
    "AvgPool": "AveragePooling2D",
    "MaxPool3D": "MaxPooling3D",
    "AvgPool3D": "AveragePooling3D",
}
_ADDITIONS = frozenset({"BiasAdd", "BiasAddV1", "Add", "AddV2"})


def _by_chains(index: GraphIndex, scope: str, ops: list[Any], entries: dict[Any, list[Any]]) -> list[_Found]:
    """The layers of variables that share a scope, or have none: one for each that is not another one's bias."""
    found: list[_Found] = []
    taken: dict[Any, _Found] = {}  # operations of chains

    def first(op: Any) -> tuple[int, int]:
        return (index.position[entries[op][0]] if entries[op] else len(index.ops), index.position[op])

    for op in sorted(ops, key=first):
        leaf = _split(op.name)[1] if scope else op.name
        owner = next((taken[entry] for entry in entries[op] if entry in taken), None)
        if owner is None:
            owner = _Found(op.name, entries=list(entries[op]))
            found.append(owner)
            for entry in entries[op]:
                tensor, chain = _chain(index, entry)
                taken.update(dict.fromkeys([entry, *chain], owner))
                if tensor is not None:
                    owner.calls.append([tensor])
        owner.weights[leaf] = op
    return found


def _chain_outputs(index: GraphIndex, entries: list[Any]) -> list[list[Any]]:
    """Outputs of calls without a scope, one a chain; entries that lie in an earlier one's chain are part of it."""
    calls: list[list[Any]] = []
    taken: set[Any] = set()
    for entry in entries:
        if entry in taken:
            continue
        tensor, chain = _chain(index, entry)
        taken.update(chain)
        if tensor is not None:
            calls.append([tensor])
    return calls


def _chain(index: GraphIndex, entry: Any) -> tuple[Any | None, list[Any]]:
    """The output after an operation's bias and activation function, and the operations up to there."""
    tensor = next(outputs(entry), None)
    chain = [entry]
    while tensor is not None:
        consumers = index.consumers(tensor)
        if len(consumers) != 1:
            break
        op = consumers[0]
        others = [t for t in op.inputs if t.op is not tensor.op]
        is_bias = op.type in _ADDITIONS and len(others) == 1 and not index.is_from_data(others[0].op)
        if not is_bias and op.type not in _FUSED:
            break
        tensor = op.outputs[0]
        chain.append(op)
        if not is_bias:
            break
    return (tensor if tensor is not None and can_fetch(tensor) else None), chain


def _with_activation_function(index: GraphIndex, tensor: Any) -> Any:
    """The output of the activation function that alone consumes a layer's output; without one, the output itself.

    TensorFlow computes such a pair in one kernel, unless somebody looks at what is between: the training would then no
    longer be the same to the last bit (tried: batch normalisation and ReLU, dense and tanh, convolution and ELU).
    """
    consumers = index.consumers(tensor)
    if len(consumers) == 1 and consumers[0].type in _FUSED and can_fetch(consumers[0].outputs[0]):
        return consumers[0].outputs[0]
    return tensor


_SUMS = frozenset({"Add", "AddV2", "AddN"})


def _sum_of(index: GraphIndex, tensor: Any) -> Any | None:
    """The sum (or product) that alone consumes a tensor which is a sum (or product) itself; None if there is none.

    TensorFlow reorders and joins such terms, unless somebody looks at what is between: (x + bias) + residual is then
    rounded otherwise, and the training no longer the same to the last bit (tried: the projection of an attention, a
    residual block of dense layers).
    """
    consumers = index.consumers(tensor)
    if len(consumers) != 1:
        return None
    made_by, used_by = tensor.op.type, consumers[0].type
    is_sum = used_by in _SUMS and (made_by in _SUMS or made_by.startswith("BiasAdd"))
    return consumers[0] if is_sum or made_by == used_by == "Mul" else None


def _with_sums(index: GraphIndex, found: list[_Found], notes: list[str]) -> list[_Found]:
    """Takes away the outputs that cannot be looked at, and adds layers for the sums that they are terms of."""
    sums: dict[Any, _Found] = {}
    known = {(t.op, t.value_index) for layer in found for t in layer.outputs()}
    for layer in found:
        readable: list[list[Any]] = []
        for call in layer.calls:
            kept = []
            for tensor in call:
                total = _sum_of(index, tensor)
                if total is None:
                    kept.append(tensor)
                    continue
                further = _sum_of(index, total.outputs[0])
                while further is not None:
                    total, further = further, _sum_of(index, further.outputs[0])
                layer.hidden.append(tensor)
                output = _with_activation_function(index, total.outputs[0])
                if can_fetch(output) and (output.op, output.value_index) not in known:
                    class_name = "Multiply" if total.type == "Mul" else "Add"
                    sums.setdefault(total, _Found(total.name, entries=[total], calls=[[output]], class_name=class_name))
                notes.append(
                    f"layer {layer.path!r}: its output is a term of {total.name!r}, which TensorFlow computes at once; to "
                    "look at it would change the training's rounding, so the whole is logged instead"
                )
            if kept:
                readable.append(kept)
        if not layer.calls:
            notes.append(f"layer {layer.path!r}: no output was found that can be read, so it has no activation")
        layer.calls = readable
    return found + list(sums.values())


def _is_gate_of_itself(index: GraphIndex, op: Any) -> bool:
    """Whether this is the sigmoid of x * sigmoid(b * x), which TensorFlow too computes in one kernel."""
    if op.type != "Sigmoid":
        return False
    gated = {op.inputs[0].op}
    if op.inputs[0].op.type == "Mul":
        gated.update(t.op for t in op.inputs[0].op.inputs)
    return any(
        consumer.type == "Mul" and any(t.op in gated for t in consumer.inputs)
        for consumer in index.consumers(op.outputs[0])
    )


def _with_weightless(index: GraphIndex, found: list[_Found]) -> list[_Found]:
    """Adds pooling and activation functions that stand outside the layers: where a unit dies is seen behind them."""
    known = {t.op for layer in found for t in layer.outputs()}
    if not known:
        return found
    scopes = {_outer_scope(op, layer) for layer in found for op in layer.entries} - {""}
    paths = {layer.path for layer in found}
    added: list[_Found] = []
    for op in index.ops:
        class_name = _NONLINEAR.get(op.type) or _POOLING.get(op.type)
        if not class_name or op in known or _is_gate_of_itself(index, op) or not index.is_forward(op) or not index.is_from_data(op):
            continue
        if any(op.name.startswith(scope + "/") for scope in scopes) or not can_fetch(op.outputs[0]):
            continue
        if re.search(r"(^|/)replica_\d+/", op.name):
            continue
        scope = op.name.rpartition("/")[0]
        own_scope = scope and op.type in _POOLING and not any(path.startswith(scope + "/") for path in paths)
        path = scope if own_scope and scope not in paths else op.name
        if path in paths:
            continue
        paths.add(path)
        added.append(_Found(path, entries=[op], calls=[[op.outputs[0]]], class_name=class_name))
    return found + added


def _outer_scope(op: Any, layer: _Found) -> str:
    """The scope of a layer's call that an entry lies in; empty if the layer has none of its own."""
    return _match(layer.path, op.name)[0]


# ---- what layers are and how they are connected ----


def _class_name(layer: _Found) -> str:
    """Keras' name for the class of a layer, from the operations that use its variables; empty if it is not clear."""
    names = {name.rpartition("/")[2] for name in layer.weights}
    types = {op.type for op in layer.entries}
    ranks = [_shape(op).rank or 0 for op in layer.weights.values()]
    rank = max(ranks, default=0)
    recurrent = next((op for name, op in layer.weights.items() if name.endswith("recurrent_kernel")), None)
    if recurrent is not None:
        units, width = _shape(recurrent)[-2:]
        return {1: "SimpleRNN", 3: "GRU", 4: "LSTM"}.get(width // units if units and width else 0, "RNN")
    holders = " ".join(op.name for op in layer.weights.values())
    for cell, class_name in (("lstm_cell", "LSTM"), ("gru_cell", "GRU"), ("basic_rnn_cell", "SimpleRNN")):
        if cell in holders:
            return class_name
    if {"depthwise_kernel", "pointwise_kernel"} <= names:
        return "SeparableConv1D" if rank == 3 else "SeparableConv2D"
    if any(t.startswith("FusedBatchNorm") for t in types) or "moving_mean" in names:
        return "BatchNormalization"
    if names and names <= {"gamma", "beta"}:
        return "LayerNormalization"
    for pattern, class_name in (
        (r"DepthwiseConv2d", "DepthwiseConv2D"),
        (r"Conv2DBackpropInput", "Conv2DTranspose"),
        (r"Conv3DBackpropInput", "Conv3DTranspose"),
        (r"Conv2D$", "Conv1D" if rank == 3 else "Conv2D"),
        (r"Conv3D$", "Conv3D"),
        (r"(Resource)?Gather", "Embedding"),
        (r"MatMul$|BatchMatMul|Einsum", "Dense"),
    ):
        if rank >= 2 and any(re.match(pattern, t) for t in types):
            return class_name
    return ""


def _connections(index: GraphIndex, found: list[_Found]) -> list[tuple[int, ...]]:
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
    number: int,
    layer: _Found,
    updates: dict[Any, graph_optimizers.Update],
    is_trained: bool,
    notes: list[str],
) -> list[GraphTap]:
    """All that can be logged of a layer."""
    taps: list[GraphTap] = []

    def add(kind: Kind, name: str, source: Any, dtype: Any, shape: tf.TensorShape, **more: Any) -> None:
        if not can_measure(dtype.base_dtype.name):
            notes.append(f"layer {layer.path!r}: {kind} {name} has dtype {dtype.base_dtype.name} and is left out")
        elif shape.rank is None:
            notes.append(f"layer {layer.path!r}: {kind} {name} has no known number of axes and is left out")
        else:
            sizes = tuple(-1 if size is None else size for size in shape)
            order = _channels_last(layer, shape.rank) if kind == "activation" else None
            if order:
                sizes = tuple(sizes[axis] for axis in order)
            axes = more.pop("axes", None) or default_axes(kind, len(sizes))
            taps.append(
                GraphTap(Tensor(number, kind, name, sizes, dtype.base_dtype.name, axes=axes, **more), source, order)
            )

    for call, tensors in enumerate(layer.calls):
        for i, tensor in enumerate(tensors):
            add("activation", f"output_{i}" if i else "output", tensor, tensor.dtype, tensor.shape, call=call)
    for name, holder in layer.weights.items():
        add("weight", name, holder, holder.get_attr("dtype"), _shape(holder))
    for name in layer.weights:
        if name not in layer.trainable or not is_trained:
            continue
        update = updates.get(layer.weights[name])
        if update is None:
            notes.append(f"layer {layer.path!r}: weight {name} is updated by no optimizer, so it has no gradient")
            continue
        if update.remark:
            missing = "" if update.gradient is not None else ", so it is left out"
            notes.append(f"layer {layer.path!r}, weight {name}: {update.remark}{missing}")
        if update.gradient is None:
            continue
        shape = update.gradient.shape
        if not update.sparse:
            shape = shape.merge_with(_shape(layer.weights[name])) if shape.is_compatible_with(
                _shape(layer.weights[name])
            ) else shape
        axes = ("slice", *default_axes("gradient", shape.rank or 0)[1:]) if update.sparse and shape.rank else None
        add("gradient", name, update.gradient, update.gradient.dtype, shape, axes=axes)
    return taps


def _channels_last(layer: _Found, rank: int) -> tuple[int, ...] | None:
    """The order of axes that puts channels last, where the layer has them second."""
    for op in layer.entries:
        if rank >= 3 and "data_format" in op.node_def.attr:
            layout = op.get_attr("data_format")
            if layout in (b"NCHW", b"NCDHW", "NCHW", "NCDHW"):
                return (0, *range(2, rank), 1)
    return None


def _learning_rates(updates: Iterable[graph_optimizers.Update], found: list[_Found]) -> dict[str, Any]:
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


def _in_order(index: GraphIndex, ops: Iterable[Any]) -> list[Any]:
    """Operations without repetitions in the graph's order."""
    return sorted(set(ops), key=index.position.__getitem__)
