"""What the axes of Keras' activations and weights are, and how to turn them so that the units come last.

Units are the last axis of what is logged. Where Keras has them elsewhere (`channels_first`, transposed and depthwise
kernels), the tensor is turned before it is measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.layout import Layout
from tb_layerview.capture.passes.nodes import fits, is_floating, known_axes, sizes
from tb_layerview.capture.passes.nodes import rank as rank_of
from tb_layerview.format.model import Kind, default_axes

_SPATIAL = {1: ("timestep",), 2: ("row", "column"), 3: ("depth", "row", "column")}
# Weights with an axis for each of some axes of the activation, when they have more than one.
_LIKE_ACTIVATION = frozenset(("gamma", "beta", "alpha", "moving_mean", "moving_variance", "mean", "variance"))


def activation_axes(calls: Sequence[Call], inputs: Iterable[Any]) -> dict[int, tuple[str, ...]]:
    """Names of the axes, in the tensor's own order, of the model's inputs and all layers' outputs, by the tensor's id.

    A layer that says what it takes and gives (by `data_format`, by being recurrent, ...) decides; what others give has
    the axes of what they take if it has its shape; the rest has those that are usual for its rank.
    """
    names: dict[int, tuple[str, ...]] = {}
    in_order = sorted((call for call in calls if call.finished >= 0), key=lambda call: call.finished)
    fed = {id(tensor) for tensor in inputs}
    for call in in_order:
        for tensor in call.inputs:
            if id(tensor) in fed and id(tensor) not in names:
                stated = _taken(call.layer, rank_of(tensor), is_floating(tensor))
                if stated:
                    names[id(tensor)] = stated
    for call in in_order:
        for tensor in call.outputs:
            count = rank_of(tensor)
            if id(tensor) not in names and count is not None:
                found = _given(call.layer, count) or _einsum_output(call, tensor, names)
                found = found or _inherited(call, tensor, names)
                names[id(tensor)] = found or default_axes("activation", count)
        if any(c.__name__ == "Embedding" for c in type(call.layer).__mro__):
            names.update(
                {id(t): ("example", "timestep") for t in call.inputs if _is_list_of_numbers(rank_of(t), is_floating(t))}
            )
    return names


def weight_layout(layer: Any, name: str, shape: Sequence[int], kind: Kind, output: tuple[str, ...] = ()) -> Layout:
    """How to log a weight or its gradient.

    Args:
      layer: The layer that has it.
      name: Its name in the layer: `kernel`, `forward_lstm/kernel`.
      shape: Its shape.
      kind: `weight` or `gradient`.
      output: Names of the axes of the layer's output, if it has one.
    """
    rank, leaf = len(shape), name.rpartition("/")[2]
    classes = _classes(layer)
    if "TimeDistributed" in classes:
        return weight_layout(layer.layer, name, shape, kind, (output[0], *output[2:]) if len(output) > 2 else ())
    default = default_axes(kind, rank)
    if rank >= 3 and leaf.endswith("kernel"):
        is_depthwise = any(c.startswith(("DepthwiseConv", "BaseDepthwiseConv")) for c in classes)
        if leaf == "depthwise_kernel" or (is_depthwise and leaf == "kernel"):
            # Each output channel looks at one input channel; those of the first input channel come first.
            return Layout(default, shape=(*shape[:-2], 1, math.prod(shape[-2:])))
        if any(c.startswith("Conv") and c.endswith("Transpose") for c in classes):
            return Layout(default, order=(*range(rank - 2), rank - 1, rank - 2))
    if "EinsumDense" in classes and leaf == "kernel":
        return _einsum_kernel(layer, rank) or Layout(default)
    if "Embedding" in classes and leaf == "embeddings" and rank == 2:
        return Layout(("token", "unit"))
    if leaf == "bias" and rank == 2:
        # GRU has one for the input and one for the state; attention one for each head.
        return Layout(("head" if "EinsumDense" in classes else "source", "unit"))
    if rank >= 2 and leaf in _LIKE_ACTIVATION and len(output) > rank:
        return Layout(output[-rank:])
    return Layout(default)


def _classes(layer: Any) -> frozenset[str]:
    return frozenset(c.__name__ for c in type(layer).__mro__)


def _given(layer: Any, rank: int) -> tuple[str, ...] | None:
    """The axes of what a layer gives, if it decides them."""
    classes = _classes(layer)
    if "TimeDistributed" in classes:
        inner = _given(layer.layer, rank - 1) or default_axes("activation", rank - 1)
        return ("example", "timestep", *inner[1:]) if rank >= 3 else None
    if "Bidirectional" in classes:
        return _given(layer.forward_layer, rank)
    if _recurrent_over(classes):
        # Its states have no timesteps, whatever it returns beside them.
        has_time = rank == _recurrent_over(classes) + 3
        return _spatial(layer, rank, ("example", "timestep") if has_time else ("example",))
    return _taken_or_given(layer, classes, rank)


def _taken(layer: Any, count: int | None, is_float: bool) -> tuple[str, ...] | None:
    """The axes of what a layer takes, if it decides them.

    Args:
      layer: The layer.
      count: How many axes what it takes has.
      is_float: Whether that is of floating-point numbers.
    """
    classes = _classes(layer)
    if count is None:
        return None
    if "TimeDistributed" in classes and count >= 3:
        inner = _taken(layer.layer, count - 1, is_float) or default_axes("activation", count - 1)
        return ("example", "timestep", *inner[1:])
    if "Bidirectional" in classes:
        return _taken(layer.forward_layer, count, is_float)
    if _recurrent_over(classes):
        return _spatial(layer, count, ("example", "timestep")) if count == _recurrent_over(classes) + 3 else None
    if "Embedding" in classes and _is_list_of_numbers(count, is_float):
        return ("example", "timestep")
    return _taken_or_given(layer, classes, count)


def _taken_or_given(layer: Any, classes: frozenset[str], rank: int) -> tuple[str, ...] | None:
    if getattr(layer, "data_format", None) in ("channels_first", "channels_last") and "Flatten" not in classes:
        return _spatial(layer, rank, ("example",))
    axis = getattr(layer, "axis", None)
    if "BatchNormalization" in classes and rank >= 3 and axis in (1, [1], (1,)):
        spatial = _SPATIAL.get(rank - 2)
        return ("example", "channel", *spatial) if spatial else None
    return None


def _spatial(layer: Any, rank: int, before: tuple[str, ...]) -> tuple[str, ...] | None:
    spatial = _SPATIAL.get(rank - len(before) - 1)
    if spatial is None:
        return None
    if getattr(layer, "data_format", None) == "channels_first":
        return (*before, "channel", *spatial)
    return (*before, *spatial, "unit" if spatial == ("timestep",) else "channel")


def _recurrent_over(classes: Iterable[str]) -> int:
    """How many dimensions a convolutional recurrent layer's pictures have; 0 for other layers."""
    return next((int(c[8]) for c in classes if re.fullmatch(r"ConvLSTM\dD", c)), 0)


def _is_list_of_numbers(count: int | None, is_float: bool) -> bool:
    return count == 2 and not is_float


def _inherited(call: Call, tensor: Any, names: Mapping[int, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The axes of what the layer takes, if what it gives looks the same, but for the number of channels."""
    if _classes(call.layer) & {"Reshape", "Permute"}:
        return None
    given = sizes(tensor) or ()
    for one in call.inputs:
        taken = sizes(one)
        if taken is None or len(taken) != len(given) or len(taken) < 2:
            continue
        axes = known_axes(one, names)
        if axes is None or not fits(taken[:-1], given[:-1]):
            continue
        if axes[-1] in ("channel", "unit") or fits(taken, given):
            return axes
    return None


def _einsum_kernel(layer: Any, rank: int) -> Layout | None:
    """The kernel of an `EinsumDense`: what is summed over first, what it gives last."""
    _, letters, result = _einsum_letters(layer)
    if len(letters) != rank or not result:
        return None
    inner = [i for i, letter in enumerate(letters) if letter not in result]
    outer = [i for i, letter in enumerate(letters) if letter in result]
    if not inner or not outer:
        return None
    # Attention's projections have an axis for its heads, on the side of query, key and value.
    names = (
        ["input", "head", "unit"]
        if (len(inner), len(outer)) == (1, 2)
        else ["head", "input", "unit"]
        if (len(inner), len(outer)) == (2, 1)
        else [*_numbered("input", len(inner)), *_numbered("unit", len(outer))]
    )
    order = (*inner, *outer)
    return Layout(tuple(names), None if order == tuple(range(rank)) else order)


def _einsum_output(call: Call, tensor: Any, names: Mapping[int, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The axes of what an `EinsumDense` gives: those that it keeps of what it takes, and its own.

    Of two of its own the first is an attention's heads, as in its kernel.
    """
    if "EinsumDense" not in _classes(call.layer) or len(call.inputs) != 1:
        return None
    letters, _, result = _einsum_letters(call.layer)
    (taken,) = call.inputs
    if len(result) != rank_of(tensor) or len(letters) != rank_of(taken):
        return None
    kept = dict(zip(letters, known_axes(taken, names) or _einsum_taken(letters, result), strict=True))
    added = [letter for letter in result if letter not in kept]
    summed = [axis for letter, axis in kept.items() if letter not in result]
    one = "channel" if summed == ["channel"] else "unit"
    own = {1: [one], 2: ["head", "unit"]}.get(len(added)) or _numbered("unit", len(added))
    axes = {**kept, **dict(zip(added, own, strict=True))}
    found = tuple(axes[letter] for letter in result)
    return found if len(set(found)) == len(found) else None


def _einsum_taken(letters: str, result: str) -> tuple[str, ...]:
    """The axes of what an `EinsumDense` takes, where nothing says it: what it sums over are heads and their units."""
    summed = [i for i, letter in enumerate(letters) if letter not in result]
    if len(summed) != 2:
        return default_axes("activation", len(letters))
    others = list(default_axes("activation", len(letters) - 1)[:-1])
    for i, name in zip(summed, ("head", "unit")):
        others.insert(i, name)
    return tuple(others)


def _einsum_letters(layer: Any) -> tuple[str, str, str]:
    """The axes' letters of what an `EinsumDense` takes, of its kernel, and of what it gives; "..." is left out."""
    left, _, result = str(getattr(layer, "equation", "")).replace(" ", "").replace("...", "").partition("->")
    taken, _, kernel = left.partition(",")
    return taken, kernel, result


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name} {i}" for i in range(1, count + 1)]
