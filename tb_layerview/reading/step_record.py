"""One message of a step, checked and taken apart before it becomes a row of a shard."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format import histogram, units, wire
from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import messages as record
from tb_layerview.format.model import MOST_VALUES, Cost, Mode
from tb_layerview.format.statistics import DENSE, SECTIONS, SPARSE, STATISTICS, Section

# The most parts of a message, that is writes and scalars of one step, and the most bytes of a payload.
_MOST_PARTS = 1 << 16
_LONGEST: dict[Section, int] = {
    "histogram": histogram.MAX_BYTES,
    "units": 16 * units.MOST,
    "values": 8 * MOST_VALUES + (MOST_VALUES >> 10),
}
PIECES = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc32", "<u4")])


class Message(NamedTuple):
    """A step as it was logged.

    Attributes:
      step: The step.
      wall_time: When it was logged, in seconds since 1970.
      data: A serialised `StepRecord`.
    """

    step: int
    wall_time: float
    data: bytes


Entries = tuple["npt.NDArray[np.int64]", "npt.NDArray[np.float32]"]  # tensors, and their values


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One `StepRecord`: the columns are [names, entries], `index` the tensor of each entry; a later entry replaces."""

    step: int
    mode: Mode
    scalars: Mapping[str, float]
    cost: Cost | None
    index: npt.NDArray[np.int64]
    table: npt.NDArray[np.float64]
    dense: npt.NDArray[np.float32]
    sparse: Mapping[str, Sequence[Entries]]
    pieces: tuple[npt.NDArray[np.void] | None, ...]


def read_record(data: bytes, tensors: int) -> Record:
    """Reads a step of a model that has that many tensors.

    Raises:
      DecodeError: The bytes are no `StepRecord`.
      ValueError: Its columns do not fit together.
    """
    record.check(data)
    if len(data) > wire.LEAST * _MOST_PARTS:
        for number, content in wire.fields(data, _MOST_PARTS):
            if number == pb.StepRecord.COLUMNS_FIELD_NUMBER:
                wire.count(content, _MOST_PARTS)
    message = pb.StepRecord.FromString(data)
    if message.mode not in _MODES:
        raise ValueError(f"it has the unknown mode {message.mode}")
    for columns in message.columns:
        _check_lengths(columns)
    index = np.array([i for columns in message.columns for i in columns.tensor], np.int64)
    if len(index) and index.max() >= tensors:
        raise ValueError(f"it names tensor {index.max()}, but the model has {tensors}")
    table = np.empty((len(STATISTICS), len(index)))
    dense = np.full((len(DENSE), len(index)), np.nan, np.float32)
    sparse: dict[str, list[Entries]] = {}
    pieces: list[npt.NDArray[np.void] | None] = [None] * len(SECTIONS)
    start = 0
    for columns in message.columns:
        end = start + len(columns.tensor)
        for row, name in zip((*table, *dense), (*STATISTICS, *DENSE)):
            column = getattr(columns, name)
            if len(column):  # not those of an older writer
                row[start:end] = column
        for of_name in sparse.values():  # what this write has replaces what was there
            again = np.intersect1d(index[start:end], np.concatenate([before for before, _ in of_name]))
            of_name.append((again, np.full(len(again), np.nan, np.float32)))
        for entry in columns.sparse:
            if entry.name in SPARSE:
                sparse.setdefault(entry.name, []).append(_read_sparse(entry, tensors))
        for i, section in enumerate((columns.histograms, columns.units, columns.values)):
            found = _read_section(SECTIONS[i], section, end - start)
            if found is not None:
                of_all = np.zeros(tensors, PIECES) if (before := pieces[i]) is None else before
                of_all[index[start:end]] = found
                pieces[i] = of_all
            elif (before := pieces[i]) is not None:
                before[index[start:end]] = 0
        start = end
    cost = message.cost
    return Record(
        step=message.step,
        mode=_MODES[message.mode],
        scalars=dict(message.scalars),
        cost=Cost(cost.set_up_seconds, cost.logging_seconds, cost.training_seconds, cost.bytes, cost.skipped)
        if message.HasField("cost")
        else None,
        index=index,
        table=table,
        dense=dense,
        sparse=sparse,
        pieces=tuple(pieces),
    )


def _check_lengths(columns: pb.Columns) -> None:
    count = len(columns.tensor)
    for name in (*STATISTICS, *DENSE):
        column = getattr(columns, name)
        if len(column) != count and not (name in DENSE and not column):  # an older writer has none of these
            raise ValueError(f"it has {len(column)} entries of {name} for {count} tensors")


def _read_sparse(entry: pb.Sparse, tensors: int) -> Entries:
    index, value = np.array(entry.tensor, np.int64), np.array(entry.value, np.float32)
    if len(index) != len(value):
        raise ValueError(f"it has {len(value)} entries of {entry.name} for {len(index)} tensors")
    if len(index) and index.max() >= tensors:
        raise ValueError(f"it has {entry.name} of tensor {index.max()}, but the model has {tensors}")
    return index, value


def _read_section(name: Section, section: pb.Section, count: int) -> npt.NDArray[np.void] | None:
    """Where the pieces of one section lie, [count], of length 0 where there is none; None if there are none at all."""
    if not section.length and not section.crc32:
        return None
    if len(section.length) != count or len(section.crc32) != count:
        raise ValueError(f"it says where {len(section.length)} payloads of {count} tensors lie")
    lengths = np.array(section.length, np.uint32)
    if not lengths.any():
        return None
    if lengths.max() > _LONGEST[name]:
        raise ValueError(f"it has a payload ({name}) of {lengths.max():,} bytes, more than is ever written")
    pieces = np.zeros(count, PIECES)
    pieces["length"] = lengths
    pieces["crc32"] = section.crc32
    ends = np.cumsum(lengths, dtype=np.uint64)
    pieces["offset"] = ends - lengths + np.uint64(section.offset)
    return pieces


_MODES = {number: mode for mode, number in record.MODES.items()}
