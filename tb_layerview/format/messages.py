"""The log format's messages, made from values and into values."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from typing import Any, TypeVar

from google.protobuf.message import Message

from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import model, wire

_Value = TypeVar("_Value", model.Source, model.Tensor, model.Probe)

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
# What layers consist of, all together: path, class, inputs, places in somebody's code; and the number of their field.
_MOST_IN_LAYERS = 8 * model.MOST_TENSORS
_LAYERS = 3
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
        probe=None if value.probe is None else pb.Probe(**vars(value.probe)),
    )


def _least_format(value: model.Model) -> int:
    """The least version of the format that has all that is logged: older readers go on reading what they know."""
    kinds = {tensor.kind for tensor in value.tensors}
    return max((version for version, added in _ADDED_KINDS.items() if kinds & added), default=1)


def _layer_to_proto(value: model.Layer) -> pb.Layer:
    return pb.Layer(**{**vars(value), "sources": [pb.Source(**vars(source)) for source in value.sources]})


def _layer_from_proto(message: pb.Layer) -> model.Layer:
    sources = tuple(_as_value(model.Source, source) for source in message.sources[: model.MOST_SOURCES])
    return model.Layer(message.path, message.class_name, tuple(message.inputs), sources)


def _as_value(cls: type[_Value], message: Message) -> _Value:
    """The value that has, field by field, what a message has by the same names."""
    found: dict[str, Any] = {field.name: getattr(message, field.name) for field in dataclasses.fields(cls)}
    for name, value in found.items():
        found[name] = value if isinstance(value, (bool, int, str)) else tuple(value)
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
    _count_in_layers(data)
    return model_from_proto(pb.Model.FromString(data))


def _count_in_layers(data: bytes) -> None:
    """Makes sure that the layers have no more parts than those of a model: an empty place takes two bytes.

    Raises:
      ValueError: They have more.
    """
    left = _MOST_IN_LAYERS
    if len(data) > wire.LEAST * left:
        for number, layer in wire.fields(data, _MOST_PARTS):
            try:
                left -= wire.count(layer, left) if number == _LAYERS else 0
            except ValueError as error:
                raise ValueError(f"a layer of the log's model: {error}") from error


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
        probe=_as_value(model.Probe, message.probe) if message.HasField("probe") else None,
        notes=tuple(message.notes),
        schedule=message.schedule,
        software=message.software,
    )
