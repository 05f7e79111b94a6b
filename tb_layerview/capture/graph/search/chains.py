"""Activations of layers whose calls have no name scope of their own: what follows the variable.

A chain begins where data meets a variable, and goes over the bias up to the activation function, as long as nothing
else takes what is between.
"""

from __future__ import annotations

from typing import Any

from tb_layerview.capture.graph.search.activation_functions import FUSED
from tb_layerview.capture.graph.search.index import GraphIndex, can_look, loop_of, outputs
from tb_layerview.capture.graph.search.layer import FoundLayer, in_order, split_name, whole_name

_ADDITIONS = frozenset({"BiasAdd", "BiasAddV1", "Add", "AddV2"})


def by_chains(index: GraphIndex, scope: str, ops: list[Any], entries: dict[Any, list[Any]]) -> list[FoundLayer]:
    """The layers of variables that share a scope, or have none: one for each that is not another one's bias."""
    found: list[FoundLayer] = []
    taken: dict[Any, FoundLayer] = {}  # operations of chains

    def first(op: Any) -> tuple[int, int]:
        return (index.position[entries[op][0]] if entries[op] else len(index.ops), index.position[op])

    for op in sorted(ops, key=first):
        leaf = split_name(op.name)[1] if scope else op.name
        owner = next((taken[entry] for entry in entries[op] if entry in taken), None)
        if owner is None:
            owner = FoundLayer(op.name, entries=list(entries[op]))
            found.append(owner)
            for entry in _one_a_loop(entries[op]):
                tensor, chain = _chain(index, entry)
                taken.update(dict.fromkeys([entry, *chain], owner))
                if tensor is not None:
                    owner.calls.append([tensor])
        owner.weights[leaf] = op
    return found


def chain_outputs(index: GraphIndex, entries: list[Any]) -> list[list[Any]]:
    """Outputs of calls without a scope, one a chain; entries that lie in an earlier one's chain are part of it."""
    calls: list[list[Any]] = []
    taken: set[Any] = set()
    for entry in _one_a_loop(entries):
        if entry in taken:
            continue
        tensor, chain = _chain(index, entry)
        taken.update(chain)
        if tensor is not None:
            calls.append([tensor])
    return calls


def joined(index: GraphIndex, ops: list[Any], chained: list[Any], entries: dict[Any, list[Any]]) -> list[Any]:
    """Entries, with those of a partitioned variable's parts replaced by the operation where the parts meet again."""
    parts: dict[str, list[Any]] = {}
    for op in ops:
        if whole_name(op.name) != op.name:
            parts.setdefault(whole_name(op.name), []).append(op)
    replaced: dict[Any, Any] = {}
    for members in parts.values():
        for call in zip(*([entry for entry in entries[op] if entry in chained] for op in members)):
            if len(set(call)) < 2:
                continue
            meeting = set.intersection(*(_after(index, entry) for entry in call))
            if meeting:
                first = in_order(index, meeting)[0]
                # A look-up flattens its indices first, and gives the result their shape again.
                scope = call[0].name.rpartition("/")[0] + "/"
                reshaped = [op for t in first.outputs for op in index.consumers(t) if op.type == "Reshape"]
                first = next((op for op in reshaped if op.name.startswith(scope)), first)
                replaced.update(dict.fromkeys(call, first))
    return in_order(index, [replaced.get(entry, entry) for entry in chained])


def _after(index: GraphIndex, entry: Any) -> set[Any]:
    """All forward operations that an operation leads to."""
    found: set[Any] = set()
    stack = [entry]
    while stack:
        for tensor in stack.pop().outputs:
            more = [op for op in index.consumers(tensor) if op not in found]
            found.update(more)
            stack += more
    return found


def _one_a_loop(entries: list[Any]) -> list[Any]:
    """Of the entries that hand out the results of one loop, the first that is not a single number."""
    kept: list[Any] = []
    known: set[Any] = set()
    for entry in sorted(entries, key=lambda op: not any(t.shape.rank != 0 for t in outputs(op))):
        loop = loop_of(entry)
        if loop is None or loop not in known:
            kept.append(entry)
        known.add(loop)
    return [entry for entry in entries if entry in kept]


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
        if not is_bias and op.type not in FUSED:
            break
        tensor = op.outputs[0]
        chain.append(op)
        if not is_bias:
            break
    return (tensor if tensor is not None and can_look(tensor.op) else None), chain
