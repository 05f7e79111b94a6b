"""Activations of layers whose calls have a name scope: what leaves the scope, call by call.

Where data meets a variable, a call of its layer begins; the name scope of that operation is the call's, and what leaves
the scope is the activation. Where a call has no scope of its own, `chains` finds its activation. An activation function
right after a layer is part of the layer, wherever it stands.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from tb_layerview.capture.graph.search.activation_functions import with_activation_function
from tb_layerview.capture.graph.search.chains import chain_outputs, joined
from tb_layerview.capture.graph.search.index import GraphIndex, can_look, conditions, outputs
from tb_layerview.capture.graph.search.layer import FoundLayer, in_order, split_name


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


def by_scopes(index: GraphIndex, scoped: dict[str, list[Any]], entries: dict[Any, list[Any]]) -> list[FoundLayer]:
    """The layers whose variables have a scope of their own."""
    matched: dict[str, dict[str, _CallScope]] = {}  # by the variables' scope, then by the call's
    for scope, ops in scoped.items():
        matched[scope] = {}
        for entry in in_order(index, (e for op in ops for e in entries[op])):
            called_in, parts = match_scope(scope, entry.name)
            matched[scope].setdefault(called_in, _CallScope(parts, [])).entries.append(entry)
    found: dict[str, FoundLayer] = {}
    for scope, ops in scoped.items():
        path, calls = scope, _merge_nested(matched[scope])
        chained: list[Any] = []
        outputs_of: list[list[Any]] = []
        for called_in, call in calls.items():
            is_whole = call.parts == scope.count("/") + 1
            # In a condition the scope may be the condition's own: `tf.case` calls it `case`, and layers are called so.
            is_own = is_whole and not any(conditions(entry) for entry in call.entries)
            if not called_in or not (is_own or _is_alone(scope, called_in, call.entries, matched)):
                chained += call.entries
                continue
            if not is_whole:
                path = "/".join(scope.split("/")[: call.parts])
            outputs_of += _scope_outputs(index, called_in, call)
        outputs_of = [[with_activation_function(index, t) for t in call] for call in outputs_of]
        outputs_of += chain_outputs(index, joined(index, ops, chained, entries))
        layer = found.setdefault(path, FoundLayer(path))
        layer.weights.update({op.name[len(path) + 1 :]: op for op in ops})
        layer.entries = in_order(index, [*layer.entries, *(e for op in ops for e in entries[op])])
        known_outputs = {t.name for call in layer.calls for t in call}
        layer.calls += [call for call in outputs_of if call and call[0].name not in known_outputs]
        layer.calls.sort(key=lambda call: index.position[call[0].op])
    for layer in found.values():
        leaves = [split_name(op.name)[1] for op in layer.weights.values()]
        if len(set(leaves)) == len(leaves):
            layer.weights = dict(zip(leaves, layer.weights.values()))
    return list(found.values())


def _stem(part: str) -> str:
    """A part of a scope's name without the number that TensorFlow adds to make it unique."""
    return re.sub(r"_\d+$", "", part)


def match_scope(scope: str, name: str) -> tuple[str, int]:
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


def _is_alone(scope: str, called_in: str, own: list[Any], matched: dict[str, dict[str, _CallScope]]) -> bool:
    """Whether no other layer is called in a scope, unless by the same operations (a loop)."""
    prefix = called_in + "/"

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
        for op in in_order(index, inside)
        for tensor in outputs(op)
        if can_look(tensor.op) and any(not is_inside(consumer) for consumer in index.consumers(tensor))
    }

    def met(tensor: Any) -> set[Any]:
        """The entries that a tensor is computed from without another leaving tensor in between."""
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
    for op in reversed(in_order(index, reached)):
        for tensor in outputs(op):
            if index.is_assigned(tensor):
                return None  # what goes into a moving average
            if can_look(tensor.op):
                return tensor
    return None
