"""Event files: the messages that a folder holds, read without TensorFlow.

TensorBoard's own reader imports TensorFlow wherever it is installed, so this module reads the files itself: a record is
uint64 length, uint32 masked CRC-32C of the length, that many bytes, uint32 masked CRC-32C of those.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2

from tb_layerview.crc32c import masked_crc32c
from tb_layerview.record import PLUGIN_NAME
from tb_layerview.shard import Message

_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")


def is_event_file(name: str) -> bool:
    """Whether a file of this name is an event file, by TensorBoard's own rule."""
    return "tfevents" in name


def read(path: str | os.PathLike[str]) -> tuple[dict[str, list[Message]], list[str]]:
    """Reads all whole messages of an event file that is perhaps still being written.

    Returns:
      By tag the messages in the order in which they were logged, and a sentence about each place that cannot be read.
    """
    messages: dict[str, list[Message]] = {}
    problems: list[str] = []
    for record in _records(Path(path), problems):
        event = event_pb2.Event()
        try:
            event.ParseFromString(record)
        except DecodeError:
            problems.append(f"{path} holds a record of {len(record)} bytes that is no event; it is left out")
            continue
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == PLUGIN_NAME and len(value.tensor.string_val) == 1:
                message = Message(event.step, event.wall_time, value.tensor.string_val[0])
                messages.setdefault(value.tag, []).append(message)
    return messages, problems


def _records(path: Path, problems: list[str]) -> Iterator[bytes]:
    """Yields the records of a file; a last one that is not wholly written yet is none."""
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size
        while left >= _HEAD.size + _TAIL.size:
            head = file.read(_HEAD.size)
            length, length_crc = _HEAD.unpack(head)
            if masked_crc32c(head[:8]) != length_crc:
                at = file.tell() - _HEAD.size
                problems.append(f"{path} is damaged at byte {at}; the {left} bytes from there on are not read")
                return
            left -= _HEAD.size + length + _TAIL.size
            if left < 0:
                return
            data = file.read(length)
            (data_crc,) = _TAIL.unpack(file.read(_TAIL.size))
            if masked_crc32c(data) == data_crc:
                yield data
            else:
                at = file.tell() - length - _TAIL.size
                problems.append(f"{path} is damaged in the {length} bytes from byte {at} on; they are left out")
