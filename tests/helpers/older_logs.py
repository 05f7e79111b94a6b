"""Logs as writers before the columns of quantiles and silent units have made them, and before checksums of messages."""

from __future__ import annotations

import struct
from pathlib import Path

from tensorboard.compat.proto import event_pb2

from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import statistics
from tb_layerview.format.framing import masked_crc32c
from tb_layerview.reading import event_file


def without_summaries(run: Path) -> None:
    """Takes the columns that are not of the digest out of a run's event files."""
    for path in (run / "layers").iterdir():
        if event_file.is_event_file(path.name):
            data, kept = path.read_bytes(), []
            while data:
                (length,) = struct.unpack_from("<Q", data)
                kept.append(_framed(_without_summaries(data[12 : 12 + length])))
                data = data[16 + length :]
            path.write_bytes(b"".join(kept))


def _without_summaries(data: bytes) -> bytes:
    event = event_pb2.Event.FromString(data)
    for value in event.summary.value:
        if not value.tag.endswith("/model"):
            step = pb.StepRecord.FromString(value.tensor.string_val[0])
            for columns in step.columns:
                for name in (*statistics.DENSE, "sparse"):
                    columns.ClearField(name)
            step.ClearField("crc32")
            value.tensor.string_val[0] = step.SerializeToString()
    return event.SerializeToString()


def _framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))
