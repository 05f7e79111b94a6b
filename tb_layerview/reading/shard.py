"""Shards: up to some hundred steps of one writer, as columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from tb_layerview.format.model import Cost, Mode
from tb_layerview.format.statistics import DENSE, SECTIONS, SPARSE, STATISTICS, Section
from tb_layerview.reading.payload_file import Piece
from tb_layerview.reading.step_record import Message, Record, read_record

_Scalar = TypeVar("_Scalar", bound=np.generic)


#: How many places the tables of a run may have however few of them are filled, at 171 bytes each.
ROOM = 1 << 21
_SPARSEST = 32


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
            found = read_record(message.data, tensors)
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


def _sparse_columns(known: Mapping[str, SparseColumn], start: int, added: Sequence[Record]) -> dict[str, SparseColumn]:
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
