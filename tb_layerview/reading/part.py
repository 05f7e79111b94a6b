"""Parts: the rows of one shard that are in a run."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tb_layerview.format.statistics import SECTIONS, Section
from tb_layerview.reading.payload_file import Piece
from tb_layerview.reading.shard import Shard


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The rows of one shard that are in a run.

    Attributes:
      writer: Id of its writer.
      shard: The shard.
      rows: int64 [n]: rows of the shard.
      positions: int64 [n], ascending: the place of each in `Run.steps`.
      own_index: int64 [tensors of the run]: the writer's own index of each tensor, -1 if it has none.
      is_rest: Whether another part has the same steps, and this one what that one has not.
    """

    writer: str
    shard: Shard
    rows: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    own_index: npt.NDArray[np.int64]
    is_rest: bool = False

    def kept(self, section: Section, tensor: int) -> npt.NDArray[np.bool_]:
        """Whether each row keeps that section of the tensor of the run, bool [n]."""
        own = int(self.own_index[tensor])
        kept = self.shard.kept[SECTIONS.index(section)]
        return kept[self.rows, own] if 0 <= own < kept.shape[1] else np.zeros(len(self.rows), bool)

    def keeps(self, section: Section, row: int, tensor: int) -> bool:
        """Whether a row of the shard keeps that section of the tensor of the run."""
        own, kept = int(self.own_index[tensor]), self.shard.kept[SECTIONS.index(section)]
        return bool(0 <= own < kept.shape[1] and kept[row, own])

    def has(self, row: int, tensor: int) -> bool:
        """Whether a row of the shard has that tensor of the run."""
        own, sizes = int(self.own_index[tensor]), self.shard.table[0]
        return 0 <= own < sizes.shape[1] and not np.isnan(sizes[row, own])

    def piece(self, section: Section, row: int, tensor: int) -> Piece:
        """Where a section that a row of the shard keeps lies."""
        return self.shard.piece(self.writer, section, row, int(self.own_index[tensor]))

    def column(self, name: str, tensors: npt.NDArray[np.int64], since: int = 0) -> npt.NDArray[np.float64]:
        """A stored column of some tensors of the run, at the rows from the place `since` in `Run.steps` on.

        Args:
          name: One of `STATISTICS` or `SUMMARIES`.
          tensors: int64 [t]: indices of tensors of the run; -1 for none.
          since: The first place.

        Returns:
          float64 [rows, t]; NaN where a tensor was not logged.
        """
        rows = self.rows[np.searchsorted(self.positions, since) :]
        stored = self.shard.column(name)[span(rows)]
        own = np.where(tensors >= 0, self.own_index[tensors], -1)
        is_there = (own >= 0) & (own < stored.shape[1])
        if is_there.all():
            return np.take(stored, own, axis=1).astype(np.float64, copy=False)
        found = np.full((len(rows), len(tensors)), np.nan)
        found[:, is_there] = np.take(stored, own[is_there], axis=1)
        return found


def span(indices: npt.NDArray[np.int64]) -> slice | npt.NDArray[np.int64]:
    """The same indices, as a slice where each follows the one before: numpy then copies nothing, or blocks."""
    if len(indices) and (np.diff(indices) == 1).all():
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices
