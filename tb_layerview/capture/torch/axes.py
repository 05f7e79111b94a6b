"""What the axes of PyTorch's tensors mean, and how to turn them so that examples come first and units last.

PyTorch's convolutions have channels before the picture, its linear layers outputs before inputs, and its recurrent and
attention layers, unless they are told `batch_first`, timesteps before examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tb_layerview.capture.passes.axes import inherited
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.layout import Layout
from tb_layerview.capture.passes.nodes import is_floating
from tb_layerview.capture.passes.nodes import rank as rank_of
from tb_layerview.format.model import default_axes

_SPATIAL = {1: ("timestep",), 2: ("row", "column"), 3: ("depth", "row", "column")}
# Classes of `torch.nn` that take and give channels before the picture, `Conv2d` and `LazyConv2d` alike.
_OF_PICTURES = re.compile(
    r"(Lazy)?(Conv|ConvTranspose|BatchNorm|InstanceNorm|MaxPool|AvgPool|MaxUnpool|LPPool|FractionalMaxPool|"
    r"AdaptiveMaxPool|AdaptiveAvgPool|Dropout|(Zero|Constant|Circular|Reflection|Replication)Pad)[123]d"
    r"|SyncBatchNorm|GroupNorm|Upsample(ing\w+)?|PixelShuffle|PixelUnshuffle|ChannelShuffle|LocalResponseNorm"
)
_RECURRENT = frozenset(("RNNBase",))
_CELLS = frozenset(("RNNCellBase",))
_ATTENDING = frozenset(
    (
        *("MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerDecoder"),
        *("TransformerEncoderLayer", "TransformerDecoderLayer"),
    )
)
_LINEAR = frozenset(("Linear",))
_EMBEDDING = frozenset(("Embedding", "EmbeddingBag"))
_TRANSPOSED = re.compile(r"(Lazy)?ConvTranspose[123]d")
_CONVOLUTION = re.compile(r"(Lazy)?Conv[123]d")


def activation_axes(calls: Sequence[Call], inputs: Iterable[Any]) -> dict[int, tuple[str, ...]]:
    """Names of the axes, in the tensor's own order, of a model's inputs and all layers' outputs, by the tensor's id.

    A layer that says what it takes and gives decides; what others give has the axes of what they take if it has its
    shape, but for channels or units; the rest has those that are usual for its rank.
    """
    names: dict[int, tuple[str, ...]] = {}
    in_order = sorted((call for call in calls if call.finished >= 0), key=lambda call: call.finished)
    fed = {id(tensor): tensor for tensor in inputs}
    for call in in_order:
        for number, tensor in enumerate(call.inputs):
            if id(tensor) in fed and id(tensor) not in names:
                stated = _stated(call.layer, tensor, number, is_taken=True)
                if stated:
                    names[id(tensor)] = stated
    for tensor in fed.values():
        names.setdefault(id(tensor), usual_axes(rank_of(tensor) or 0))
    for call in in_order:
        for number, tensor in enumerate(call.outputs):
            if id(tensor) not in names:
                stated = _stated(call.layer, tensor, number, is_taken=False)
                found = stated or inherited(call, tensor, names) or usual_axes(rank_of(tensor) or 0)
                names[id(tensor)] = found
    return names


def usual_axes(rank: int) -> tuple[str, ...]:
    """What the axes of an activation of this rank usually are: of a picture's, channels come first."""
    spatial = _SPATIAL.get(rank - 2) if rank > 3 else None
    return ("example", "channel", *spatial) if spatial else default_axes("activation", rank)


def weight_layout(layer: Any, name: str, shape: Sequence[int], output: tuple[str, ...]) -> Layout:
    """How to log a parameter or a buffer, or the gradient of one.

    Args:
      layer: The module that has it.
      name: Its name in the module: `weight`, `out_proj/weight`.
      shape: Its shape.
      output: Names of the axes of the module's output, if it has one.
    """
    rank, leaf = len(shape), name.rpartition("/")[2].partition(" ")[0]
    classes = class_names(layer)
    default = default_axes("weight", rank)
    if leaf.startswith(("bias", "b_")) or rank < 2:
        return Layout(default)
    if any(_TRANSPOSED.fullmatch(c) for c in classes):
        return Layout(default, order=(*range(2, rank), 0, 1))
    if any(_CONVOLUTION.fullmatch(c) for c in classes):
        return Layout(default, order=(*range(2, rank), 1, 0))
    if rank == 2 and classes & (_LINEAR | _RECURRENT | _CELLS | _ATTENDING):
        return Layout(default, order=(1, 0))
    if rank == 3 and "Bilinear" in classes:
        return Layout(("input 1", "input 2", "unit"), order=(1, 2, 0))
    if rank == 2 and classes & _EMBEDDING:
        return Layout(("token", "unit"))
    if len(output) > rank and "LayerNorm" in classes:
        return Layout(output[-rank:])
    return Layout(default)


def class_names(layer: Any) -> frozenset[str]:
    """The names of a module's class and of those that it descends from."""
    return frozenset(c.__name__ for c in type(layer).__mro__)


def _stated(layer: Any, tensor: Any, number: int, is_taken: bool) -> tuple[str, ...] | None:
    """The axes of what a module takes or gives, if it decides them.

    Args:
      layer: The module.
      tensor: What it takes or gives.
      number: The how manyeth of these it is.
      is_taken: Whether it takes it.
    """
    classes, rank = class_names(layer), rank_of(tensor) or 0
    if classes & _RECURRENT:
        if rank != 3:
            return None
        # First comes the sequence, then its states, which have an axis for the layers.
        return ("state", "example", "unit") if number else _first(layer.batch_first, ("timestep", "unit"))
    if "MultiheadAttention" in classes and number == 1 and not is_taken:
        return {3: ("example", "query", "key"), 4: ("example", "head", "query", "key")}.get(rank)
    if classes & _ATTENDING and rank == 3:
        return _first(_is_batch_first(layer), ("timestep", "unit"))
    if classes & _EMBEDDING and is_taken and rank == 2 and not is_floating(tensor):
        return ("example", "timestep")
    if any(_OF_PICTURES.fullmatch(c) for c in classes):
        spatial = _SPATIAL.get(rank - 2)
        # A normalisation of features takes them without a picture, and a group's of whatever rank.
        return ("example", "channel", *spatial) if spatial else None
    return None


def _is_batch_first(layer: Any) -> bool:
    """Whether examples come first in what an attending module takes."""
    for module in layer.modules():
        if "batch_first" in vars(module):
            return bool(module.batch_first)
    return False


def _first(is_batch_first: bool, others: tuple[str, ...]) -> tuple[str, ...]:
    return ("example", *others) if is_batch_first else (others[0], "example", *others[1:])
