"""What the axes of Flax's tensors mean: examples come first, channels and units last, as in Keras."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tb_layerview.capture.passes.axes import inherited
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.nodes import is_floating
from tb_layerview.capture.passes.nodes import rank as rank_of
from tb_layerview.format.model import default_axes

_PICTURES = frozenset(("Conv", "ConvTranspose"))
_VECTORS = frozenset(("bias", "scale", "mean", "var"))


def activation_axes(calls: Sequence[Call], inputs: Iterable[Any]) -> dict[int, tuple[str, ...]]:
    """Names of the axes of a model's inputs and all modules' outputs, by the tensor's id.

    What a module gives has the axes of what it takes if it has its shape, but for units; a projection to heads has
    heads; the rest has what is usual for its rank.
    """
    names: dict[int, tuple[str, ...]] = {}
    for tensor in inputs:
        is_tokens = rank_of(tensor) == 2 and not is_floating(tensor)
        names[id(tensor)] = ("example", "timestep") if is_tokens else default_axes("activation", rank_of(tensor) or 0)
    for call in sorted((call for call in calls if call.finished >= 0), key=lambda call: call.finished):
        for tensor in call.outputs:
            if id(tensor) not in names:
                rank = rank_of(tensor) or 0
                found = _heads(call.layer, rank) or inherited(call, tensor, names)
                names[id(tensor)] = found or default_axes("activation", rank)
    return names


def weight_axes(layer: Any, name: str, shape: Sequence[int]) -> tuple[str, ...]:
    """Names of the axes of a weight.

    Args:
      layer: The module that has it.
      name: Its name in the module.
      shape: Its sizes. Before the weight's own there is one axis more for each stack of layers that it is of.
    """
    own = _own_axes(layer, name, len(shape))
    stacked = len(shape) - len(own)
    return (*(("layer",) if stacked == 1 else tuple(f"stack {i}" for i in range(1, stacked + 1))), *own)


def _own_axes(layer: Any, name: str, rank: int) -> tuple[str, ...]:
    classes = {c.__name__ for c in type(layer).__mro__}
    if "LinearGeneral" in classes:
        taken, given = (_sizes(layer, f"{side}_features") for side in ("in", "out"))
        units = ("head", "unit") if given == 2 else ("unit",)
        of_input = ("head", "input") if taken == 2 else ("input",)
        own = units if name == "bias" else (*of_input, *units)
        return own if len(own) <= rank and taken <= 2 and given <= 2 else tuple(f"axis {i}" for i in range(rank))
    if name in _VECTORS and classes & {"Linear", "BatchNorm", "LayerNorm", "RMSNorm", "GroupNorm", *_PICTURES}:
        return default_axes("weight", min(rank, 1))
    if "Embed" in classes:
        return ("token", "unit")[-rank:]
    if "Linear" in classes:
        return default_axes("weight", min(rank, 2))
    if classes & _PICTURES:
        return default_axes("weight", min(rank, _sizes(layer, "kernel_size") + 2))
    return default_axes("weight", rank)


def _sizes(layer: Any, name: str) -> int:
    found = getattr(layer, name, ())
    return len(found) if isinstance(found, (tuple, list)) else 1


def _heads(layer: Any, rank: int) -> tuple[str, ...] | None:
    """The axes of what a projection to heads gives."""
    is_general = any(c.__name__ == "LinearGeneral" for c in type(layer).__mro__)
    if not is_general or _sizes(layer, "out_features") != 2 or not 3 <= rank <= 4:
        return None
    return ("example", *(("timestep",) if rank == 4 else ()), "head", "unit")
