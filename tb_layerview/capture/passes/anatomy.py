"""What is known of layers by what they are: all in which Keras' layers and PyTorch's modules differ for a log."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from tb_layerview.capture.passes.layout import Layout
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.format.model import Window


@dataclasses.dataclass(frozen=True)
class Slot:
    """What an optimizer keeps of one weight.

    Attributes:
      name: What it is: `momentum`, `velocity`, `accumulator`, ...
      variable: The framework's variable.
    """

    name: str
    variable: Any


@dataclasses.dataclass(frozen=True)
class LaidOut:
    """How a weight is logged.

    Attributes:
      layout: The weight's own.
      gradient: Its gradient's.
      packed: What is to be said of it if it holds two numbers in each byte; empty if it does not.
    """

    layout: Layout
    gradient: Layout
    packed: str = ""


class Anatomy(Protocol):
    """One kind of models, and of the layers within.

    A variable is whatever the framework has for a weight that can be read at every step; its id tells it from others.
    """

    # Layers.

    def calling(self, model: Any) -> Sequence[tuple[type, str]]:
        """The classes that have a method by which layers of a model are called, and its name."""
        ...

    def root_name(self, model: Any) -> str:
        """What a model itself is called, which has no path."""
        ...

    def name(self, layer: Any) -> str:
        """What a layer is called within the one that calls it."""
        ...

    def above(self, layer: Any, above: str) -> str:
        """The path below which a layer's name is: that of the layer that calls it, or none if the name says it all."""
        ...

    def within(self, layer: Any) -> Iterable[Any]:
        """The layers directly within a layer, in the order in which they were made."""
        ...

    def all_within(self, model: Any) -> Iterable[Any]:
        """All layers of a model, but itself."""
        ...

    def is_opaque(self, layer: Any) -> bool:
        """Whether nothing below this layer is recorded."""
        ...

    def is_hidden(self, layer: Any) -> bool:
        """Whether this is no layer that anybody knows of, and what it calls is called by the one that calls it."""
        ...

    def attention(self, layer: Any) -> tuple[type, str] | None:
        """The class that defines the method in which a layer computes its attention, and the method, if it has one."""
        ...

    def activation_function(self, layer: Any, output: Any) -> str:
        """The name of the activation function whose output this is; empty if none is known."""
        ...

    def may_differ(self, layer: Any) -> bool:
        """Whether a layer may do something else when it trains."""
        ...

    def window(self, call: Any) -> Window | None:
        """What of its input a layer reads for one place of its output; None where it has none, or none is known.

        Args:
          call: A `calls.Call` of it, which has no tensors where the model is not called.
        """
        ...

    # Axes.

    def activation_axes(self, calls: Sequence[Any], inputs: Iterable[Any]) -> dict[int, tuple[str, ...]]:
        """Names of the axes, in the tensor's own order, of a model's inputs and all layers' outputs, by their ids.

        Args:
          calls: `calls.Call`s.
          inputs: The model's.
        """
        ...

    def laid_out(self, layer: Any, name: str, variable: Any, shape: Sequence[int], output: tuple[str, ...]) -> LaidOut:
        """How a weight is logged.

        Args:
          layer: The layer that has it.
          name: Its name in the layer.
          variable: The framework's.
          shape: Its sizes.
          output: Names of the axes of the layer's output, if it has one.
        """
        ...

    def scores_layout(self, layer: Any, scores: Scores) -> Layout:
        """How what attention looks at within a layer is logged."""
        ...

    # Weights.

    def weights(self, layer: Any) -> Sequence[tuple[Sequence[str], Any]]:
        """The weights of a layer and of those within it, each with the parts of its name, of which the last tell most.

        What cannot be read as a tensor is not among them.
        """
        ...

    def path(self, variable: Any) -> str:
        """What a weight is called by the framework."""
        ...

    def is_own_gradient(self, variable: Any) -> bool:
        """Whether what stands for a variable's gradient is its next value: float8 learns its scales so."""
        ...

    def slots(self, model: Any) -> Mapping[int, tuple[Slot, ...]]:
        """What optimizers keep of each weight that a model trains, by the id of the variable, in their own order."""
        ...

    def why_no_slots(self, model: Any, slots_: Mapping[int, tuple[Slot, ...]]) -> str:
        """Why there is nothing, or not all, that optimizers keep of the weights; empty if all is."""
        ...
