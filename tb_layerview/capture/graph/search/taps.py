"""What there is to log of a graph: its layers, and the tensors that are looked at."""

from __future__ import annotations

import dataclasses
from typing import Any

from tb_layerview.capture.graph.search.branches import Branch
from tb_layerview.format.model import Layer, Tensor


@dataclasses.dataclass(frozen=True)
class GraphTap:
    """A tensor of the graph that can be logged.

    Attributes:
      tensor: What it is.
      source: The `tf.Tensor`; for a weight the `tf.Operation` that holds the variable, or a `tf.Tensor` that is
        computed from variables alone; for an update, and for what an optimizer keeps, the `tf.Operation` that holds the
        variable.
      transpose: The order in which to put the source's axes to have those of `tensor`; None if they are in order.
      when: The branch of a condition of TensorFlow 2's form that alone makes the source what it is logged as; None if
        every run does.
    """

    tensor: Tensor
    source: Any
    transpose: tuple[int, ...] | None = None
    when: Branch | None = None


@dataclasses.dataclass(frozen=True)
class GraphTaps:
    """What was found in a graph.

    Attributes:
      layers: In the order in which they run.
      taps: Everything that can be logged of them, layer by layer.
      triggers: The operations that update trainable variables: a run that reaches one trains.
      trained: The operations that hold the variables that they update.
      gradients: The gradients' `tf.Tensor`s, whether or not they are to be logged.
      losses: Scalar `tf.Tensor`s that were differentiated, by the scope of their gradients' operations.
      learning_rates: Scalar `tf.Tensor`s by name: `learning_rate`, or one per optimizer with the first layer's path.
      notes: What is not there to be logged and why, a sentence each.
    """

    layers: tuple[Layer, ...]
    taps: tuple[GraphTap, ...]
    triggers: frozenset[Any]
    trained: tuple[Any, ...]
    gradients: tuple[Any, ...]
    losses: dict[str, Any]
    learning_rates: dict[str, Any]
    notes: tuple[str, ...]


def listed(names: list[str], most: int = 8) -> str:
    """Names in a sentence: the first ones, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
