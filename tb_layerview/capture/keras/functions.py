"""Which activation function made what a Keras layer puts out."""

from __future__ import annotations

from typing import Any

from tb_layerview.measure.activation_functions import FUNCTIONS


def activation_function(layer: Any, output: Any, is_opaque: bool) -> str:
    """Keras' name of the activation function whose output it is; empty if none is known.

    The operation that made the tensor tells most of them, of layers of a user's own too. Those that are several
    operations (`hard_sigmoid`, `gelu`) are told by the attribute `activation` of Keras' own layers; of recurrent ones
    only a `SimpleRNN` puts out what its activation function gives.

    Args:
      layer: The layer.
      output: What it puts out.
      is_opaque: Whether it is a recurrent one.
    """
    if output.op.type in FUNCTIONS:
        return FUNCTIONS[output.op.type]
    of_keras = type(layer).__module__.partition(".")[0] in ("keras", "tf_keras")
    if not of_keras or (is_opaque and type(layer).__name__ != "SimpleRNN"):
        return ""
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", "")
    return "" if name == "linear" else str(name)
