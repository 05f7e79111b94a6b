"""What is known of Keras' layers by what they are: of Keras 3 on every backend, Keras 2 and tf_keras.

A layer is whatever class named `Layer` the model's class descends from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tb_layerview.capture.keras import slots
from tb_layerview.capture.keras.attention import method_of
from tb_layerview.capture.keras.axes import activation_axes, weight_layout
from tb_layerview.capture.keras.functions import activation_function
from tb_layerview.capture.keras.quantized import is_own_gradient, is_packed, unpacked_size
from tb_layerview.capture.keras.windows import window_of
from tb_layerview.capture.passes.anatomy import LaidOut, Slot
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.layout import Layout
from tb_layerview.capture.passes.nodes import first_sizes
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.format.model import Window, default_axes

# Their cells run in loops, in graphs of their own or once per timestep: what the whole layer puts out says it all.
_OPAQUE = frozenset(("RNN", "TimeDistributed"))


class KerasAnatomy:
    """Keras' models; the methods are those of `passes.anatomy.Anatomy`."""

    def calling(self, model: Any) -> Sequence[tuple[type, str]]:
        """The last class of that name: a user's own base class may be called Layer too."""
        return [(c, "__call__") for c in type(model).__mro__ if c.__name__ == "Layer" and "__call__" in vars(c)][-1:]

    def root_name(self, model: Any) -> str:
        """What the model is called."""
        return str(model.name)

    def name(self, layer: Any) -> str:
        """What the layer is called."""
        return str(layer.name)

    def above(self, layer: Any, above: str) -> str:
        """A layer is named within the one that calls it."""
        return above

    def within(self, layer: Any) -> Iterable[Any]:
        """The layers directly within a layer; inputs of functional models are none."""
        return [inner for inner in _flat(layer, recursive=False) if type(inner).__name__ != "InputLayer"]

    def all_within(self, model: Any) -> Iterable[Any]:
        """All layers of a model, but itself."""
        return _flat(model, recursive=True)

    def is_opaque(self, layer: Any) -> bool:
        """Whether nothing below this layer is recorded."""
        return is_opaque(layer)

    def is_hidden(self, layer: Any) -> bool:
        """Whether this is no layer that anybody knows of: all are known."""
        return False

    def attention(self, layer: Any) -> tuple[type, str] | None:
        """The class that defines the method in which a layer computes its attention, and the method, if it has one."""
        return method_of(layer)

    def activation_function(self, layer: Any, output: Any) -> str:
        """Keras' name of the activation function whose output this is; empty if none is known."""
        return activation_function(layer, output, is_opaque(layer))

    def may_differ(self, layer: Any) -> bool:
        """Whether a layer may do something else when it trains.

        One of Keras' own does only if its call takes `training`; a container does what its layers do. What a layer of
        somebody else's does, its code alone tells.
        """
        owner = next((cls for cls in type(layer).__mro__ if "call" in vars(cls)), type(layer))
        if owner.__module__.partition(".")[0] not in ("keras", "tf_keras"):
            return True
        if owner.__name__ in ("Functional", "Sequential"):
            return False
        if owner.__name__ in ("Dense", "EinsumDense") and getattr(layer, "quantization_mode", None) is None:
            return False  # Keras 3 hands it to what multiplies integers
        return bool(getattr(layer, "_call_has_training_arg", getattr(layer, "_expects_training_arg", True)))

    def window(self, call: Call) -> Window | None:
        """What of its input a layer reads for one place of its output, if it is one of Keras' own."""
        return window_of(call.layer, first_sizes(call.inputs))

    def activation_axes(self, calls: Sequence[Call], inputs: Iterable[Any]) -> dict[int, tuple[str, ...]]:
        """Names of the axes of a model's inputs and all layers' outputs, by their ids."""
        return activation_axes(calls, inputs)

    def laid_out(self, layer: Any, name: str, variable: Any, shape: Sequence[int], output: tuple[str, ...]) -> LaidOut:
        """How a weight is logged; see `passes.anatomy.Anatomy`."""
        if not is_packed(layer, variable):
            return LaidOut(
                weight_layout(layer, name, shape, "weight", output),
                weight_layout(layer, name, shape, "gradient", output),
            )
        size = unpacked_size(layer, variable)
        if size is None:
            layout = Layout(default_axes("weight", len(shape)))
            return LaidOut(layout, layout, "holds two numbers of four bits in each byte: what is logged are the bytes")
        layout = weight_layout(layer, name, (*shape[:-1], size), "weight")
        layout = Layout(layout.axes, layout.order, layout.shape, packed=size)
        said = "is of int4 numbers, -8 to 7, without their scale: two lie in each byte of Keras' variable"
        return LaidOut(layout, layout, said)

    def scores_layout(self, layer: Any, scores: Scores) -> Layout:
        """As they are."""
        return Layout(scores.axes)

    def weights(self, layer: Any) -> Sequence[tuple[Sequence[str], Any]]:
        """The weights of a layer and of those within it, with the parts of their paths."""
        return [(self.path(v).split(":")[0].split("/"), v) for v in layer.weights if is_number(v)]

    def path(self, variable: Any) -> str:
        """What a weight is called by Keras."""
        return str(getattr(variable, "path", variable.name))

    def is_own_gradient(self, variable: Any) -> bool:
        """Whether what stands for a variable's gradient is its next value."""
        return is_own_gradient(variable)

    def slots(self, model: Any) -> Mapping[int, tuple[Slot, ...]]:
        """What optimizers keep of each weight that a model trains."""
        return slots.slots_of(model)

    def why_no_slots(self, model: Any, slots_: Mapping[int, tuple[Slot, ...]]) -> str:
        """Why there is nothing, or not all, that optimizers keep of the weights; empty if all is."""
        return slots.why_none(model, slots_)


#: There is nothing that one would know and another not.
KERAS = KerasAnatomy()


def is_opaque(layer: Any) -> bool:
    """Whether nothing below this layer is recorded."""
    return any(c.__name__ in _OPAQUE for c in type(layer).__mro__)


def is_number(variable: Any) -> bool:
    """Whether a variable holds a tensor that can be read: Keras 2 lists look-up tables among the weights."""
    return hasattr(variable, "dtype") and hasattr(variable, "shape")


def _flat(layer: Any, recursive: bool) -> list[Any]:
    flatten = getattr(layer, "_flatten_layers", None)
    return [] if flatten is None else list(flatten(include_self=False, recursive=recursive))
