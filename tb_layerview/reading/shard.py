"""Shards: up to some hundred steps of one writer, as columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from tb_layerview.format import histogram, units, wire
from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import messages as record
from tb_layerview.format.model import MOST_VALUES, Cost, Mode
from tb_layerview.format.statistics import DENSE, SECTIONS, SPARSE, STATISTICS, Section
from tb_layerview.reading.payload_file import Piece

_Scalar = TypeVar("_Scalar", bound=np.generic)


#: How many places the tables of a run may have however few of them are filled, at 171 bytes each.
ROOM = 1 << 21
_SPARSEST = 32
# The most parts of a message, that is writes and scalars of one step, and the most bytes of a payload.
_MOST_PARTS = 1 << 16
_LONGEST: dict[Section, int] = {
    "histogram": histogram.MAX_BYTES,
    "units": 16 * units.MOST,
    "values": 8 * MOST_VALUES + (MOST_VALUES >> 10),
}

_PIECES = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc32", "<u4")])
_MODES = {number: mode for mode, number in record.MODES.items()}


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


class SparseColumn(NamedTuple):
    """A statistic that only some tensors have.

    Attributes:
      tensors: int64 [k], ascending: which ones.
      values: float32 [rows, k]: NaN where a tensor has none at that step.
    """

    tensors: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """The steps of one shard, in the order in which they were logged. Tensors are those of the writer's own model.

    Attributes:
      stamps: float64 [messages]: when each step was logged, those that could not be read included.
      steps: int64 [rows].
      wall_times: float64 [rows]: seconds since 1970.
      modes: One a row.
      scalars: One a row: loss, metrics and learning rate by name.
      costs: One a row; None where the writer measures none.
      table: For each of `STATISTICS` float32 or float64 [rows, tensors], whichever holds all of it exactly: NaN where a
        tensor was not logged, and for statistics of the finite elements where there are none. A count is exact, up to
        2**53.
      dense: For each of `DENSE` float32 [rows, tensors]: NaN where a tensor was not logged, has none, or comes from an
        older writer, which stores none.
      sparse: By name those of `SPARSE` that any tensor has.
      kept: For each of `SECTIONS` bool [rows, tensors]: whether it is kept.
      pieces: One a row: for each section where each tensor's piece lies, [tensors]; None if the row keeps none.
      problems: A sentence about each message that could not be read.
    """

    stamps: npt.NDArray[np.float64]
    steps: npt.NDArray[np.int64]
    wall_times: npt.NDArray[np.float64]
    modes: tuple[Mode, ...]
    scalars: tuple[Mapping[str, float], ...]
    costs: tuple[Cost | None, ...]
    table: tuple[npt.NDArray[np.floating], ...]
    dense: tuple[npt.NDArray[np.floating], ...]
    kept: tuple[npt.NDArray[np.bool_], ...]
    pieces: tuple[tuple[npt.NDArray[np.void] | None, ...], ...]
    problems: tuple[str, ...] = ()
    sparse: Mapping[str, SparseColumn] = dataclasses.field(default_factory=dict)

    @property
    def tensors(self) -> int:
        """How many tensors the writer's model had when this was read."""
        return int(self.table[0].shape[1])

    def count_filled(self, rows: int) -> int:
        """How many tensors are logged at the first rows, all together."""
        return int(np.count_nonzero(~np.isnan(self.table[0][:rows])))

    @property
    def room(self) -> int:
        """How much of the room of a run its tables take: see `read`."""
        rows = len(self.steps)
        return max(0, rows * self.tensors - _SPARSEST * self.count_filled(rows))

    def column(self, name: str) -> npt.NDArray[np.floating]:
        """One of `STATISTICS` or `SUMMARIES`: [rows, tensors]."""
        if name in STATISTICS:
            return self.table[STATISTICS.index(name)]
        if name in DENSE:
            return self.dense[DENSE.index(name)]
        found = np.full(self.table[0].shape, np.nan, np.float32)
        if name in self.sparse:
            found[:, self.sparse[name].tensors] = self.sparse[name].values
        return found

    def piece(self, writer: str, section: Section, row: int, tensor: int) -> Piece:
        """Where a payload that is kept lies."""
        pieces = self.pieces[row][SECTIONS.index(section)]
        assert pieces is not None, "only what is kept lies anywhere"
        found = pieces[tensor]
        return Piece(writer, int(found["offset"]), int(found["length"]), int(found["crc32"]))


def read(messages: Sequence[Message], tensors: int, known: Shard | None = None, room: int = ROOM) -> Shard:
    """Reads a shard.

    A table has a place for each tensor at each step, logged or not. So that few bytes cannot ask for much memory, steps
    that leave nearly all of them empty are left out once the run has too many empty places.

    Args:
      messages: In the order in which they were logged. Of a step that was added to, the last one is whole.
      tensors: How many tensors the writer's model has.
      known: The shard as it was read before; what it has in common with `messages` is not read again.
      room: How many places may be there however few of them are filled; beyond it one of `_SPARSEST` must be.
    """
    messages = [m for m, later in zip_longest(messages, messages[1:]) if later is None or later.step != m.step]
    stamps = np.array([message.wall_time for message in messages], np.float64)
    start = _common(known, stamps, tensors)
    rows, problems = [], []
    places, filled = start * tensors, known.count_filled(start) if known else 0
    for message in messages[start:]:
        try:
            found = _read_record(message.data, tensors)
            if places + tensors > room + _SPARSEST * (filled + len(found.index)):
                raise ValueError(f"too few of the {tensors:,} tensors are logged at this step and those before")
            places, filled = places + tensors, filled + len(found.index)
            rows.append((message.wall_time, found))
        except (DecodeError, ValueError) as error:
            problems.append(f"step {message.step} cannot be read and is left out: {error}")
    table = np.full((len(STATISTICS), start + len(rows), tensors), np.nan)
    dense = np.full((len(DENSE), start + len(rows), tensors), np.nan, np.float32)
    kept = np.zeros((len(SECTIONS), start + len(rows), tensors), bool)
    if known is not None and start:
        for whole, parts in ((table, known.table), (dense, known.dense), (kept, known.kept)):
            for column, part in zip(whole, parts):
                column[:start, : known.tensors] = part[:start]
    for row, (_, found) in enumerate(rows, start):
        table[:, row, found.index] = found.table
        dense[:, row, found.index] = found.dense
        for mask, pieces in zip(kept, found.pieces):
            if pieces is not None:
                mask[row] = pieces["length"] > 0
    added = tuple(found for _, found in rows)
    return Shard(
        stamps=stamps,
        steps=np.array([*(known.steps[:start] if known else ()), *(r.step for r in added)], np.int64),
        wall_times=np.array([*stamps[:start], *(stamp for stamp, _ in rows)], np.float64),
        modes=(*(known.modes[:start] if known else ()), *(r.mode for r in added)),
        scalars=(*(known.scalars[:start] if known else ()), *(r.scalars for r in added)),
        costs=(*(known.costs[:start] if known else ()), *(r.cost for r in added)),
        table=tuple(_narrow(column) for column in table),
        dense=tuple(_narrow(column) for column in dense),
        sparse=_sparse_columns(known.sparse if known else {}, start, added),
        kept=tuple(_once(column) for column in kept),
        pieces=(*(known.pieces[:start] if known else ()), *(r.pieces for r in added)),
        problems=tuple(problems),
    )


def _narrow(column: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The same numbers [rows, tensors] in less memory, where float32 holds all of them."""
    with np.errstate(over="ignore", invalid="ignore"):  # damage can make a NaN that signals
        single = column.astype(np.float32)
    return _once(single if np.array_equal(single, column, equal_nan=True) else column)


def _once(column: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """A column [rows, tensors] in its own memory: one row where all are the same, as sizes are."""
    if len(column) and np.array_equal(column, np.broadcast_to(column[0], column.shape), equal_nan=column.dtype != bool):
        return np.broadcast_to(column[0].copy(), column.shape)
    return column.copy()


def _common(known: Shard | None, stamps: npt.NDArray[np.float64], tensors: int) -> int:
    """How many rows of a shard that is known stay as they are."""
    if known is None or known.problems or known.tensors > tensors:
        return 0
    n = min(len(known.stamps), len(stamps))
    differs = np.flatnonzero(known.stamps[:n] != stamps[:n])
    return int(differs[0]) if len(differs) else n


_Entries = tuple["npt.NDArray[np.int64]", "npt.NDArray[np.float32]"]  # tensors, and their values


@dataclasses.dataclass(frozen=True, eq=False)
class _Record:
    """One `StepRecord`: the columns are [names, entries], `index` the tensor of each entry; a later entry replaces."""

    step: int
    mode: Mode
    scalars: Mapping[str, float]
    cost: Cost | None
    index: npt.NDArray[np.int64]
    table: npt.NDArray[np.float64]
    dense: npt.NDArray[np.float32]
    sparse: Mapping[str, Sequence[_Entries]]
    pieces: tuple[npt.NDArray[np.void] | None, ...]


def _sparse_columns(known: Mapping[str, SparseColumn], start: int, added: Sequence[_Record]) -> dict[str, SparseColumn]:
    """The columns of `start` rows that are known and of those that are added."""
    found: dict[str, SparseColumn] = {}
    for name in SPARSE:
        old = known.get(name) if start else None
        entries = [record.sparse.get(name, ()) for record in added]
        indices = [*([] if old is None else [old.tensors]), *(index for row in entries for index, _ in row)]
        if not indices:
            continue
        tensors = np.unique(np.concatenate(indices))
        values = np.full((start + len(added), len(tensors)), np.nan, np.float32)
        if old is not None:
            values[:start, np.searchsorted(tensors, old.tensors)] = old.values[:start]
        for row, of_row in enumerate(entries, start):
            for index, value in of_row:
                values[row, np.searchsorted(tensors, index)] = value
        found[name] = SparseColumn(tensors, values)
    return found


def _read_record(data: bytes, tensors: int) -> _Record:
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
    sparse: dict[str, list[_Entries]] = {}
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
                of_all = np.zeros(tensors, _PIECES) if (before := pieces[i]) is None else before
                of_all[index[start:end]] = found
                pieces[i] = of_all
            elif (before := pieces[i]) is not None:
                before[index[start:end]] = 0
        start = end
    cost = message.cost
    return _Record(
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


def _read_sparse(entry: pb.Sparse, tensors: int) -> _Entries:
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
    pieces = np.zeros(count, _PIECES)
    pieces["length"] = lengths
    pieces["crc32"] = section.crc32
    ends = np.cumsum(lengths, dtype=np.uint64)
    pieces["offset"] = ends - lengths + np.uint64(section.offset)
    return pieces
