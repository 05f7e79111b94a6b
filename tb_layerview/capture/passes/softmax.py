"""Softmaxes that are attention, in whatever layer or function somebody wrote it.

Attention and a classifier of every position end in the same operation, and a classifier may well be sure. Told apart
are they by what stands around it: attention weighs. What it takes is a product of two tensors that both depend on the
model's inputs, queries and keys; and what it gives is multiplied with a third, the values, of which there are as many
as keys. A classifier takes a product with weights, and gives to the loss. So does a gate that chooses among experts
take a product with weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.nodes import rank, sizes
from tb_layerview.capture.passes.scores import Scores

_PRODUCTS = frozenset(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"))
# What scales, masks, drops, moves and casts scores: they are the same ones afterwards.
_SAME = frozenset(
    (
        *("Add", "AddV2", "BiasAdd", "Sub", "Mul", "RealDiv", "DivNoNan", "Minimum", "Maximum", "Tanh"),
        *("Select", "SelectV2", "Cast", "Identity", "StopGradient", "PreventGradient"),
        *("Reshape", "Transpose", "ConjugateTranspose", "Squeeze", "ExpandDims"),
    )
)


@dataclasses.dataclass(frozen=True)
class _Forward:
    """The operations of a pass, without its gradients.

    Attributes:
      consumers: By the id of a tensor what takes it.
      from_inputs: The operations that depend on the model's inputs.
      softmaxes: Those of three axes or more.
    """

    consumers: Mapping[int, Sequence[Any]]
    from_inputs: frozenset[Any]
    softmaxes: Sequence[Any]


def with_scores(calls: Sequence[Call]) -> tuple[list[Call], dict[int, Scores]]:
    """Finds the softmaxes that are attention and that no attention layer of Keras has told of.

    Args:
      calls: Of all layers, the model's own first.

    Returns:
      The calls, those within which a function makes such a softmax with its scores; and by the id of a tensor those
      that are what a layer puts out.
    """
    known = {id(tensor) for call in calls for tensor in call.outputs}
    found = _attention(calls)
    if not found:
        return list(calls), {}
    told = set[Any]().union(*(_operations(call) for call in calls if call.scores))
    of_layers: dict[int, Scores] = {}
    within: dict[int, list[Scores]] = {}
    pending = {}
    for op in found:
        scores = Scores(op.outputs[0], _axes(rank(op.outputs[0]) or 0))
        if op not in told:
            if id(scores.tensor) in known:
                of_layers[id(scores.tensor)] = scores
            else:
                pending[op] = scores
    for call in sorted(calls, key=lambda call: call.finished):  # those within end before those around them
        own = _operations(call) & pending.keys() if pending else ()
        within[id(call)] = [pending.pop(op) for op in list(pending) if op in own]
    added = [
        dataclasses.replace(call, scores=(*call.scores, *within[id(call)]), remarks=()) if within[id(call)] else call
        for call in calls
    ]
    return added, of_layers


def _attention(calls: Sequence[Call]) -> list[Any]:
    """The softmax operations that weigh values by queries and keys, in their order."""
    tensors = [tensor for call in calls for tensor in call.outputs]
    if not tensors or not any(op.type == "Softmax" for op in tensors[0].graph.get_operations()):
        return []
    forward = _forward(calls, tensors)

    def depends(tensor: Any) -> bool:
        return tensor.op in forward.from_inputs

    def is_of_queries_and_keys(softmax: Any) -> bool:
        makers = _reached(softmax.inputs[0].op, lambda op: [t.op for t in op.inputs])
        return any(len(op.inputs) == 2 and all(map(depends, op.inputs)) for op in makers)

    def weighs_values(softmax: Any) -> bool:
        weights = softmax.outputs[0]
        keys = (sizes(weights) or (None,))[-1]
        for user in forward.consumers.get(id(weights), ()):
            for op in _reached(user, lambda op: [c for t in op.outputs for c in forward.consumers.get(id(t), ())]):
                others = [t for t in op.inputs if depends(t) and not _comes_from(t, weights)]
                if any(keys is None or (of := sizes(t)) is None or keys in of for t in others):
                    return True
        return False

    return [op for op in forward.softmaxes if is_of_queries_and_keys(op) and weighs_values(op)]


def _forward(calls: Sequence[Call], outputs: Sequence[Any]) -> _Forward:
    reached = set[Any]()
    pending = [tensor.op for tensor in outputs]
    while pending:
        op = pending.pop()
        if op not in reached:
            reached.add(op)
            pending += [tensor.op for tensor in op.inputs]
    inputs = {tensor.op for tensor in calls[0].inputs}
    consumers: dict[int, list[Any]] = {}
    depending = set[Any]()
    ordered = [op for op in outputs[0].graph.get_operations() if op in reached]
    for op in ordered:
        if op in inputs or any(tensor.op in depending for tensor in op.inputs):
            depending.add(op)
        for tensor in op.inputs:
            consumers.setdefault(id(tensor), []).append(op)
    softmaxes = [op for op in ordered if op.type == "Softmax" and (rank(op.outputs[0]) or 0) >= 3]
    return _Forward(consumers, frozenset(depending), softmaxes)


def _reached(start: Any, further: Callable[[Any], Sequence[Any]]) -> Iterator[Any]:
    """The products that are reached from an operation through what leaves scores the same."""
    pending, seen = [start], set[Any]()
    while pending:
        op = pending.pop()
        if op in seen:
            continue
        seen.add(op)
        if op.type in _PRODUCTS:
            yield op
        elif op.type in _SAME:
            pending += further(op)


def _comes_from(tensor: Any, origin: Any) -> bool:
    """Whether a tensor is another one, but for what leaves scores the same."""
    pending, seen = [tensor], set[int]()
    while pending:
        one = pending.pop()
        if one is origin:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            pending += one.op.inputs if one.op.type in _SAME else ()
    return False


def _operations(call: Call) -> set[Any]:
    """The operations between what a call gives and what it takes."""
    inputs = {id(tensor) for tensor in call.inputs}
    pending, found = list(call.outputs), set[Any]()
    while pending:
        tensor = pending.pop()
        if id(tensor) not in inputs and tensor.op not in found:
            found.add(tensor.op)
            pending += tensor.op.inputs
    return found


def _axes(count: int) -> tuple[str, ...]:
    free = [f"axis {i}" for i in range(1, count - 3)]
    return ("example", *free, *(["head"] if count > 3 else []), "query", "key")
