"""A layer while it is being found in a TensorFlow graph."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.passes.sources import source_of_operation
from tb_layerview.format.model import MOST_SOURCES, Source


@dataclasses.dataclass
class FoundLayer:
    """A layer while it is being found.

    Attributes:
      path: Its path.
      class_name: Keras' name for what it seems to be; empty if it is not clear.
      weights: Operations that hold its variables, by name below the path.
      entries: Operations where data meets its variables.
      calls: Its outputs, call by call.
      drafts: Outputs of calls on placeholders, beside calls on real input.
      hidden: Outputs that cannot be looked at; they still connect layers.
      trainable: Which of its weights, by name, are trained.
    """

    path: str
    weights: dict[str, Any] = dataclasses.field(default_factory=dict)
    entries: list[Any] = dataclasses.field(default_factory=list)
    calls: list[list[Any]] = dataclasses.field(default_factory=list)
    drafts: list[list[Any]] = dataclasses.field(default_factory=list)
    hidden: list[Any] = dataclasses.field(default_factory=list)
    trainable: frozenset[str] = frozenset()
    class_name: str = ""

    def outputs(self) -> list[Any]:
        """All its outputs."""
        return [*(tensor for call in self.calls for tensor in call), *self.hidden]

    def sources(self) -> tuple[Source, ...]:
        """Where its calls were made in somebody's code; none where that of one is not known."""
        calls = [call[0].op for call in self.calls if call] or self.entries[:1]
        found = [source_of_operation(op) for op in calls[:MOST_SOURCES]]
        return tuple(source for source in found if source is not None) if all(found) else ()

    def first(self, index: GraphIndex) -> int:
        """Where in the graph's order it first has an output; for a layer without one, where it is used or made."""
        ops = [t.op for t in self.outputs()] or self.entries or list(self.weights.values())
        return min(index.position[op] for op in ops)


def split_name(name: str) -> tuple[str, str]:
    """Scope and leaf of a variable's name; the parts of a partitioned variable are leaves together."""
    scope, _, leaf = name.rpartition("/")
    if re.fullmatch(r"part_\d+", leaf) and scope:
        scope, _, whole = scope.rpartition("/")
        leaf = f"{whole}/{leaf}"
    return scope, leaf


def whole_name(name: str) -> str:
    """A variable's name; for a part of a partitioned one that of the whole."""
    return re.sub(r"/part_\d+$", "", name)


def shape_of(holder: Any) -> tf.TensorShape:
    """The shape of the variable that an operation holds."""
    return tf.TensorShape(holder.get_attr("shape"))


def in_order(index: GraphIndex, ops: Iterable[Any]) -> list[Any]:
    """Operations without repetitions in the graph's order."""
    return sorted(set(ops), key=index.position.__getitem__)


def class_name_of(layer: FoundLayer) -> str:
    """Keras' name for the class of a layer, from the operations that use its variables; empty if it is not clear."""
    names = {name.rpartition("/")[2] for name in layer.weights}
    types = {op.type for op in layer.entries}
    ranks = [shape_of(op).rank or 0 for op in layer.weights.values()]
    rank = max(ranks, default=0)
    recurrent = next((op for name, op in layer.weights.items() if name.endswith("recurrent_kernel")), None)
    if recurrent is not None:
        units, width = shape_of(recurrent)[-2:]
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
