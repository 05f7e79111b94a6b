"""What can be logged of each layer that was found: activations, weights, gradients, updates, state of optimizers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.branches import Branch, branches_with, condition_of
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.layer import FoundLayer, shape_of
from tb_layerview.capture.graph.search.optimizers import Update
from tb_layerview.capture.graph.search.taps import GraphTap, listed
from tb_layerview.format.model import Kind, Tensor, default_axes
from tb_layerview.measure.activation_functions import FUNCTIONS
from tb_layerview.measure.measurement import can_measure
from tb_layerview.measure.tf.tap import difference_dtype


def find_taps(
    index: GraphIndex, layers: list[FoundLayer], updates: Mapping[Any, Update]
) -> tuple[tuple[GraphTap, ...], list[str]]:
    """Finds what can be logged of layers.

    Args:
      index: The graph.
      layers: In the order in which they run.
      updates: How variables are trained, by the operations that hold them; empty if the graph is not trained.

    Returns:
      What there is to log, layer by layer; and what is left out and why, a sentence each.
    """
    taps: list[GraphTap] = []
    notes: list[str] = []
    without_gradient: dict[str, list[str]] = {}
    for number, layer in enumerate(layers):
        found = _LayerTaps(number, layer)
        found.add_activations(index)
        found.add_weights()
        found.add_trained(updates)
        taps += found.taps
        notes += found.notes
        for reason, weights in found.without_gradient.items():
            without_gradient.setdefault(reason, []).extend(weights)
    for reason, weights in without_gradient.items():
        notes.append(f"no gradient is logged for {listed(weights)}: {reason}")
    return tuple(_ordered(index, taps)), notes


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """A tensor of a layer, before it is known whether it can be logged.

    Attributes:
      kind: What it is.
      name: What it is called in the layer.
      source: See `GraphTap.source`.
      dtype: The type that it is logged as.
      shape: Its shape, as far as it is known.
      call: The number of the layer's call.
      function: See `Tensor.function`.
      when: See `GraphTap.when`.
      axes: The names of its axes; None if they are those that such a tensor always has.
    """

    kind: Kind
    name: str
    source: Any
    dtype: Any
    shape: tf.TensorShape
    call: int = 0
    function: str = ""
    when: Branch | None = None
    axes: tuple[str, ...] | None = None


class _LayerTaps:
    """Collects what can be logged of one layer.

    Attributes:
      taps: What can be logged.
      notes: What cannot and why, a sentence each.
      without_gradient: The paths of the weights that are trained but whose gradient cannot be had, by the reason.
    """

    def __init__(self, number: int, layer: FoundLayer) -> None:
        """Takes the layer, and its number in the model."""
        self._number, self._layer = number, layer
        self.taps: list[GraphTap] = []
        self.notes: list[str] = []
        self.without_gradient: dict[str, list[str]] = {}

    def add_activations(self, index: GraphIndex) -> None:
        """Adds the outputs of all calls."""
        for call, tensors in enumerate(self._layer.calls):
            for i, tensor in enumerate(tensors):
                branch = None
                within = condition_of(tensor)
                if within is not None:
                    branch, is_known = branches_with(index, within, frozenset(self._layer.weights.values()))
                    if not is_known:
                        self._note(
                            f"its output inside the condition {within.op.name!r} does not leave the condition, so it "
                            "has no activation"
                        )
                        continue
                name, function = f"output_{i}" if i else "output", FUNCTIONS.get(tensor.op.type, "")
                self._add(_Candidate("activation", name, tensor, tensor.dtype, tensor.shape, call, function, branch))

    def add_weights(self) -> None:
        """Adds the variables."""
        for name, holder in self._layer.weights.items():
            self._add(_Candidate("weight", name, holder, holder.get_attr("dtype"), shape_of(holder)))

    def add_trained(self, updates: Mapping[Any, Update]) -> None:
        """Adds gradients, updates and what optimizers keep, by the operations that hold the variables."""
        trained: dict[str, Update] = {}
        for name, holder in self._layer.weights.items():
            if name not in self._layer.trainable or not updates:
                continue
            if holder in updates:
                trained[name] = updates[holder]
            else:
                self._note(f"weight {name} is updated by no optimizer, so it has no gradient and no update")
        for name, update in trained.items():
            self._add_gradient(name, update)
        for name, update in trained.items():
            dtype = update.holder.get_attr("dtype")
            if can_measure(dtype.name):  # else the weight's note says so
                self._add(_Candidate("update", name, update.holder, difference_dtype(dtype), shape_of(update.holder)))
        for name, update in trained.items():
            for slot, holder in update.slots.items():
                self._add_slot(name, slot, update.holder, holder)

    def _add_slot(self, name: str, slot: str, weight: Any, holder: Any) -> None:
        """Adds what an optimizer keeps of a weight; a number in place of that says nothing of it."""
        shape, whole = shape_of(holder), shape_of(weight)
        if shape.rank or whole.rank == 0:
            axes = _axes(self._layer, "optimizer", name, whole.rank) if shape.is_compatible_with(whole) else None
            dtype = holder.get_attr("dtype")
            self._add(_Candidate("optimizer", f"{name}/{slot}", holder, dtype, shape, axes=axes))

    def _add_gradient(self, name: str, update: Update) -> None:
        gradient = update.gradient
        if gradient is None:
            self.without_gradient.setdefault(update.remark, []).append(f"{self._layer.path}/{name}")
            return
        if update.remark:
            self.notes.append(f"layer {self._layer.path!r}, weight {name}: {update.remark}")
        shape, axes = gradient.shape, None
        whole = shape_of(update.holder)
        if not update.sparse and shape.is_compatible_with(whole):
            shape = shape.merge_with(whole)
        if update.sparse and shape.rank:
            axes = ("slice", *default_axes("gradient", shape.rank)[1:])
        self._add(_Candidate("gradient", name, gradient, gradient.dtype, shape, axes=axes))

    def _add(self, candidate: _Candidate) -> None:
        """Adds a tensor, or a note if it cannot be logged."""
        kind, name, rank = candidate.kind, candidate.name, candidate.shape.rank
        dtype = candidate.dtype.base_dtype.name
        if not can_measure(dtype):
            self._note(f"{kind} {name} has dtype {dtype} and is left out")
            return
        if rank is None:
            self._note(f"{kind} {name} has no known number of axes and is left out")
            return
        sizes = tuple(-1 if size is None else size for size in candidate.shape)
        order = _channels_last(self._layer, rank) if kind == "activation" else None
        if order:
            sizes = tuple(sizes[axis] for axis in order)
        axes = candidate.axes or _axes(self._layer, kind, name, rank)
        tensor = Tensor(
            self._number, kind, name, sizes, dtype, axes=axes, call=candidate.call, function=candidate.function
        )
        self.taps.append(GraphTap(tensor, candidate.source, order, candidate.when))

    def _note(self, sentence: str) -> None:
        self.notes.append(f"layer {self._layer.path!r}: {sentence}")


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


def _ordered(index: GraphIndex, taps: list[GraphTap]) -> list[GraphTap]:
    """Puts activations in the order in which they are made: the second call of a layer may come after another layer."""
    places = [i for i, tap in enumerate(taps) if tap.tensor.kind == "activation"]
    activations = sorted((taps[i] for i in places), key=lambda tap: index.position[tap.source.op])
    ordered = list(taps)
    for i, tap in zip(places, activations):
        ordered[i] = tap
    return ordered
