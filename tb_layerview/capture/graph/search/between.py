"""What stands between the layers with variables: pooling, activation functions, and sums."""

from __future__ import annotations

import collections
import re
from typing import Any

from tb_layerview.capture.graph.search.activation_functions import NONLINEAR, with_activation_function
from tb_layerview.capture.graph.search.index import GraphIndex, can_look
from tb_layerview.capture.graph.search.layer import FoundLayer
from tb_layerview.capture.graph.search.outputs import match_scope

_POOLING = {
    "MaxPool": "MaxPooling2D",
    "MaxPoolV2": "MaxPooling2D",
    "AvgPool": "AveragePooling2D",
    "MaxPool3D": "MaxPooling3D",
    "AvgPool3D": "AveragePooling3D",
}
_SUMS = frozenset({"Add", "AddV2", "AddN"})


def with_sums(index: GraphIndex, found: list[FoundLayer]) -> tuple[list[FoundLayer], list[str]]:
    """Takes away the outputs that cannot be looked at, and adds layers for the sums that they are terms of.

    Returns:
      The layers; and what has no activation and why, a sentence each.
    """
    notes: list[str] = []
    sums: dict[Any, FoundLayer] = {}
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
                output = with_activation_function(index, total.outputs[0])
                if can_look(output.op) and (output.op, output.value_index) not in known:
                    class_name = "Multiply" if total.type == "Mul" else "Add"
                    sums.setdefault(
                        total, FoundLayer(total.name, entries=[total], calls=[[output]], class_name=class_name)
                    )
                notes.append(
                    f"layer {layer.path!r}: its output is a term of {total.name!r}, and TensorFlow computes both at "
                    "once; looking at it would change the training's rounding, so the whole is logged instead"
                )
            if kept:
                readable.append(kept)
        if not layer.calls:
            notes.append(f"layer {layer.path!r}: no output was found that can be read, so it has no activation")
        layer.calls = readable
    return found + list(sums.values()), notes


def _sum_of(index: GraphIndex, tensor: Any) -> Any | None:
    """The sum (or product) that is the only user of a tensor that is one itself; None if there is none."""
    consumers = index.consumers(tensor)
    return consumers[0] if len(consumers) == 1 and _is_reordered(tensor.op, consumers[0]) else None


def _is_reordered(maker: Any, user: Any) -> bool:
    """Whether TensorFlow may compute a sum or product and the one that alone takes it in another order, or at once.

    What is between must then not be looked at: (x + bias) + residual would be rounded differently, and the training
    would not be the same to the last bit (tried: the projection of an attention, a residual block of dense layers).
    """
    is_sum = user.type in _SUMS and (maker.type in _SUMS or maker.type.startswith("BiasAdd"))
    return is_sum or maker.type == user.type == "Mul"


def with_weightless(index: GraphIndex, found: list[FoundLayer]) -> list[FoundLayer]:
    """Adds pooling and activation functions that stand outside the layers: where a unit dies is seen after them."""
    known = {t.op for layer in found for t in layer.outputs()}
    if not known:
        return found
    has_drafts = any(layer.drafts for layer in found)
    scopes = {_outer_scope(op, layer) for layer in found for op in layer.entries} - {""}
    paths = {layer.path for layer in found}
    inhabitants = _inhabitants(index)
    added: list[FoundLayer] = []
    for op in index.ops:
        class_name = NONLINEAR.get(op.type) or _POOLING.get(op.type)
        if not class_name or op in known or not index.is_forward(op) or not index.is_from_data(op):
            continue
        if _is_gate_of_itself(index, op) or (has_drafts and index.needs_feeding(op)):
            continue
        if any(op.name.startswith(scope + "/") for scope in scopes) or not can_look(op):
            continue
        if re.search(r"(^|/)replica_\d+/", op.name):
            continue
        output, own = op.outputs[0], 1
        squeezed = _squeezed(index, op)
        if squeezed is not None:
            output, own, class_name = squeezed, 3, class_name.replace("2D", "1D")
        scope = op.name.rpartition("/")[0]
        path = scope if scope and inhabitants[scope] == own and scope not in paths else op.name
        if path in paths:
            continue
        paths.add(path)
        added.append(FoundLayer(path, entries=[op], calls=[[output]], class_name=class_name))
    return found + added


def _squeezed(index: GraphIndex, op: Any) -> Any | None:
    """The output of pooling in one dimension: pooling in two with an axis added before and taken away after."""
    consumers = index.consumers(op.outputs[0])
    if op.type not in _POOLING or op.inputs[0].op.type != "ExpandDims" or [c.type for c in consumers] != ["Squeeze"]:
        return None
    output = consumers[0].outputs[0]
    return output if can_look(output.op) else None


def _inhabitants(index: GraphIndex) -> collections.Counter[str]:
    """How many operations on data each scope holds, its inner scopes included."""
    counts: collections.Counter[str] = collections.Counter()
    for op in index.ops:
        if index.is_forward(op) and index.is_from_data(op):
            end = op.name.rfind("/")
            while end >= 0:
                counts[op.name[:end]] += 1
                end = op.name.rfind("/", 0, end)
    return counts


def _outer_scope(op: Any, layer: FoundLayer) -> str:
    """The scope of a layer's call that an entry lies in; empty if the layer has none of its own."""
    scope, parts = match_scope(layer.path, op.name)
    return scope if parts == layer.path.count("/") + 1 else ""


def _is_gate_of_itself(index: GraphIndex, op: Any) -> bool:
    """Whether this is the sigmoid of x * sigmoid(b * x), which TensorFlow also computes in one kernel."""
    if op.type != "Sigmoid":
        return False
    gated = {op.inputs[0].op}
    if op.inputs[0].op.type == "Mul":
        gated.update(t.op for t in op.inputs[0].op.inputs)
    return any(
        consumer.type == "Mul" and any(t.op in gated for t in consumer.inputs)
        for consumer in index.consumers(op.outputs[0])
    )
