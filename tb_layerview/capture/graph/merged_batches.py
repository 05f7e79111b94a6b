"""What is merged of the batches of an evaluation or prediction in a session."""

from __future__ import annotations

from collections.abc import Mapping

from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.merge import merge

#: How many batches are one record.
MERGED = 10


class Batches:
    """The batches of one evaluation or prediction, as one record.

    Attributes:
      count: How many batches there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, tuple[float, int]] = {}
        self._merged: dict[int, Measurement] = {}

    def add_scalars(self, scalars: Mapping[str, float]) -> dict[str, float]:
        """Counts a batch, and returns the means of the scalars over all."""
        self.count += 1
        for name, value in scalars.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, count + 1
        return {name: total / count for name, (total, count) in self._sums.items()}

    def add(self, measured: Mapping[int, Measurement]) -> dict[int, Measurement]:
        """Merges the measurements of a batch, by the tensor's index, with those before; called on one thread only."""
        for i, measurement in measured.items():
            self._merged[i] = merge(self._merged[i], measurement) if i in self._merged else measurement
        return dict(self._merged)
