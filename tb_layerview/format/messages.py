"""The log format's messages, made from values and into values."""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import model, wire

_Value = TypeVar("_Value", model.Source, model.Tensor, model.Window, model.Target)

#: Version of the format; a reader refuses a newer one by name.
FORMAT = 2
# The kinds that each version since the first has added: a log says the least that has all of its own.
_ADDED_KINDS: dict[int, frozenset[model.Kind]] = {2: frozenset({"optimizer"})}
#: The number of each mode.
MODES: dict[model.Mode, pb.Mode] = {
    "train": pb.TRAIN,
    "evaluate": pb.EVALUATE,
    "predict": pb.PREDICT,
    "replay": pb.REPLAY,
}

# Layers, tensors and notes; and inputs of layers, all together.
_MOST_PARTS = 4 * model.MOST_TENSORS
_MOST_CONNECTIONS = 1 << 20
# What layers consist of, all together: path, class, inputs, places in somebody's code, windows and the like; what the
# probe consists of, its targets among it; and the numbers of their fields.
_MOST_IN_LAYERS = 8 * model.MOST_TENSORS
_MOST_IN_PROBE = 16 * model.MOST_TARGETS
_LAYERS, _PROBE = 3, 5
# The most axes of space of a window, and the largest number in one.
_MOST_WINDOW_AXES, _LARGEST_IN_WINDOW = 8, (1 << 31) - 1
# The field `crc32` as protobuf has it: its number and that it takes four bytes, then the bytes.
_CHECKSUM = struct.Struct("<BI")
_CHECKSUM_KEY = 15 << 3 | 5


def model_to_proto(value: model.Model) -> pb.Model:
    """The message that says what a writer logs."""
    return pb.Model(
        format=_least_format(value),
        software=value.software,
        schedule=value.schedule,
        notes=value.notes,
        layers=[_layer_to_proto(layer) for layer in value.layers],
        tensors=[pb.Tensor(**vars(tensor)) for tensor in value.tensors],
        probe=None if value.probe is None else _probe_to_proto(value.probe),
    )


def _least_format(value: model.Model) -> int:
    """The least version of the format that has all that is logged: older readers go on reading what they know."""
    kinds = {tensor.kind for tensor in value.tensors}
    return max((version for version, added in _ADDED_KINDS.items() if kinds & added), default=1)


def _layer_to_proto(value: model.Layer) -> pb.Layer:
    sources = [pb.Source(**vars(source)) for source in value.sources]
    window = None if value.window is None else pb.Window(**vars(value.window))
    return pb.Layer(**{**vars(value), "sources": sources, "window": window})


def _layer_from_proto(message: pb.Layer) -> model.Layer:
    sources = tuple(_as_value(model.Source, source) for source in message.sources[: model.MOST_SOURCES])
    window = _window_from_proto(message) if message.HasField("window") else None
    inputs, places = tuple(message.inputs), (message.direct, message.in_place)
    return model.Layer(message.path, message.class_name, inputs, sources, window, *places)


def _window_from_proto(layer: pb.Layer) -> model.Window:
    """The window of a layer.

    Raises:
      ValueError: It does not fit together.
    """
    found = layer.window
    axes = len(found.size)
    lengths = {len(found.strides), len(found.dilation)}, {len(found.padding_before), len(found.padding_after)}
    if not 1 <= axes <= _MOST_WINDOW_AXES or lengths[0] != {axes} or lengths[1] not in ({0}, {axes}):
        raise ValueError(
            f"the log's model has a layer {layer.path!r} with a window of {axes} axes, with {len(found.strides)} "
            f"strides, {len(found.dilation)} dilations and {len(found.padding_before)} and {len(found.padding_after)} "
            "paddings"
        )
    positive, paddings = (*found.size, *found.strides, *found.dilation), (*found.padding_before, *found.padding_after)
    if min(positive) < 1 or max(map(abs, (*positive, *paddings))) > _LARGEST_IN_WINDOW:
        raise ValueError(
            f"the log's model has a layer {layer.path!r} with a window of {tuple(found.size)}, strides "
            f"{tuple(found.strides)}, dilation {tuple(found.dilation)} and padding {paddings}"
        )
    return _as_value(model.Window, found)


def _probe_to_proto(value: model.Probe) -> pb.Probe:
    return pb.Probe(**{**vars(value), "targets": [pb.Target(**vars(target)) for target in value.targets]})


def _probe_from_proto(message: pb.Probe) -> model.Probe:
    """The probe.

    Raises:
      ValueError: There are more targets than any writer logs, or one is not as large as it says.
    """
    nbytes = sum(len(target.values) for target in message.targets)
    if len(message.targets) > model.MOST_TARGETS or nbytes > model.MOST_TARGET_BYTES:
        raise ValueError(
            f"the log's probe has {len(message.targets):,} targets of {nbytes:,} bytes; {model.MOST_TARGETS:,} of "
            f"{model.MOST_TARGET_BYTES:,} bytes are the most that is read"
        )
    for target in message.targets:
        if target.dtype not in model.TARGET_DTYPES:
            raise ValueError(f"the log's probe has a target {target.name!r} of the type {target.dtype!r}")
        if len(target.shape) > model.MOST_AXES or any(size < 0 for size in target.shape):
            raise ValueError(f"the log's probe has a target {target.name!r} of the shape {_brief(target.shape)}")
        if math.prod(target.shape) * model.bytes_of(target.dtype) != len(target.values):
            raise ValueError(
                f"the log's probe has a target {target.name!r} of {len(target.values):,} bytes and the shape "
                f"{tuple(target.shape)} of {target.dtype}"
            )
    targets = tuple(_as_value(model.Target, target) for target in message.targets)
    return model.Probe(message.hash, message.examples, message.training, message.source, targets)


def _brief(shape: Sequence[int]) -> str:
    return str(tuple(shape)) if len(shape) <= model.MOST_AXES else f"{len(shape):,} axes"


def _as_value(cls: type[_Value], message: Message) -> _Value:
    """The value that has, field by field, what a message has by the same names."""
    found: dict[str, Any] = {field.name: getattr(message, field.name) for field in dataclasses.fields(cls)}
    for name, value in found.items():
        found[name] = value if isinstance(value, (bool, int, str, bytes)) else tuple(value)
    return cls(**found)


def with_checksum(message: pb.Model | pb.StepRecord) -> bytes:
    """The message's bytes, its checksum at their end."""
    data = message.SerializeToString()
    return data + _CHECKSUM.pack(_CHECKSUM_KEY, zlib.crc32(data))


def check(data: bytes) -> None:
    """Checks the bytes of a message that `with_checksum` made; those of older writers have no checksum.

    Raises:
      ValueError: They are others than were logged.
    """
    if len(data) >= _CHECKSUM.size:
        key, crc32 = _CHECKSUM.unpack_from(data, len(data) - _CHECKSUM.size)
        if key == _CHECKSUM_KEY and zlib.crc32(data[: -_CHECKSUM.size]) != crc32:
            raise ValueError("its bytes are damaged: they do not have the checksum that was logged")


def read_model(data: bytes) -> model.Model:
    """What a writer logs, from the bytes of the message.

    Raises:
      DecodeError: The bytes are no `Model`.
      ValueError: The message is of a newer format, is larger than any model, or does not fit together.
    """
    check(data)
    wire.count(data, _MOST_PARTS)
    _count_within(data)
    return model_from_proto(pb.Model.FromString(data))


def _count_within(data: bytes) -> None:
    """Makes sure that the layers have no more parts than those of a model, and the probe no more than any.

    An empty place in somebody's code takes two bytes, and so does an empty target.

    Raises:
      ValueError: They have more.
    """
    left = {_LAYERS: _MOST_IN_LAYERS, _PROBE: _MOST_IN_PROBE}
    if len(data) > wire.LEAST * min(left.values()):
        for number, content in wire.fields(data, _MOST_PARTS):
            if number in left:
                try:
                    left[number] -= wire.count(content, left[number])
                except ValueError as error:
                    what = "a layer" if number == _LAYERS else "the probe"
                    raise ValueError(f"{what} of the log's model: {error}") from error


def model_from_proto(message: pb.Model) -> model.Model:
    """What a writer logs.

    Raises:
      ValueError: The message is of a newer format, or its indices and kinds do not fit together.
    """
    if message.format > FORMAT:
        raise ValueError(
            f"the log has format {message.format} and this tb_layerview reads up to {FORMAT}: "
            f"it was written by {message.software or 'a newer version'}. Upgrade tb_layerview to see it."
        )
    layers = len(message.layers)
    if max(layers, len(message.tensors)) > model.MOST_TENSORS:
        raise ValueError(
            f"the log's model has {layers:,} layers and {len(message.tensors):,} tensors; "
            f"{model.MOST_TENSORS:,} are the most that is read"
        )
    connections = sum(len(layer.inputs) for layer in message.layers)
    if connections > _MOST_CONNECTIONS:
        raise ValueError(
            f"the log's model has {connections:,} connections of layers; "
            f"{_MOST_CONNECTIONS:,} are the most that is read"
        )
    if any(i >= layers for layer in message.layers for i in layer.inputs):
        raise ValueError("the log's model names a layer that it does not have")
    for tensor in message.tensors:
        if tensor.layer >= layers or tensor.kind not in model.KINDS:
            raise ValueError(
                f"the log's model has a tensor {tensor.name!r} of the kind {tensor.kind!r} "
                f"in layer {tensor.layer} of {layers}"
            )
        if len(tensor.shape) > model.MOST_AXES or len(tensor.axes) not in (0, len(tensor.shape)):
            raise ValueError(
                f"the log's model has a tensor {tensor.name!r} of {len(tensor.shape)} axes "
                f"with {len(tensor.axes)} names"
            )
        if any(size < -1 for size in tensor.shape):
            raise ValueError(f"the log's model has a tensor {tensor.name!r} with an axis of {min(tensor.shape)}")
    return model.Model(
        layers=tuple(_layer_from_proto(layer) for layer in message.layers),
        tensors=tuple(_as_value(model.Tensor, tensor) for tensor in message.tensors),
        probe=_probe_from_proto(message.probe) if message.HasField("probe") else None,
        notes=tuple(message.notes),
        schedule=message.schedule,
        software=message.software,
    )
