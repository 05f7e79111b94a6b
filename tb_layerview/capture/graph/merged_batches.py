"""The batches of an evaluation or prediction that are logged: the first ones, merged into one record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.merge import merge
from tb_layerview.options import Schedule
from tb_layerview.writing.step import Part, measure_all
from tb_layerview.writing.training_log import TrainingLog

#: How many batches are one record.
MERGED = 10


@dataclasses.dataclass(frozen=True)
class MergedBatch:
    """A batch, and those before it: a part of a step.

    Attributes:
      batch: What was fetched of the batch.
      merged: The measurements of those before it, by the tensor's index in the model: the batch is merged with them
        when it is measured, which happens once, in the order of the batches.
    """

    batch: tuple[Part, ...]
    merged: dict[int, Measurement]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the batch holds."""
        return sum(part.nbytes for part in self.batch)

    def measurements(self) -> dict[int, Measurement]:
        """Makes measurements of all batches so far, by the tensor's index in the model."""
        for i, measurement in measure_all(self.batch).items():
            self.merged[i] = merge(self.merged[i], measurement) if i in self.merged else measurement
        return dict(self.merged)


class MergedBatches:
    """The batches of one evaluation or prediction, as one record.

    Attributes:
      count: How many batches there were.
    """

    def __init__(self, log: TrainingLog, schedule: Schedule) -> None:
        """Takes the log, and when to log."""
        # There is one record, at whatever step: the ladder is for trainings.
        self._log, self._always = log, schedule.is_ladder
        self.count = 0
        self._sums: dict[str, tuple[float, int]] = {}
        self._merged: dict[int, Measurement] = {}

    def due(self, step: int) -> bool:
        """Whether the next batch, at this global step, is to be logged."""
        return self.count < MERGED if self.count else self._always or self._log.due(step)

    def values_due(self, step: int) -> bool:
        """Whether values of it are to be kept."""
        return self._always or self._log.values_due(step)

    def add(self, batch: Sequence[Part], scalars: Mapping[str, float]) -> tuple[MergedBatch, dict[str, float]]:
        """Adds a batch.

        Args:
          batch: What was fetched of it.
          scalars: What there is of single numbers, by name.

        Returns:
          All batches so far, and the means of the scalars over them.
        """
        self.count += 1
        for name, value in scalars.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, count + 1
        means = {name: total / count for name, (total, count) in self._sums.items()}
        return MergedBatch(tuple(batch), self._merged), means
