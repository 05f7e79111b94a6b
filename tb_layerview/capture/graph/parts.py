"""The parts of a step that have left the devices: each makes its measurements on the writing thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tb_layerview.measure.measurement import Measurement


class Part(Protocol):
    """What has left the devices together."""

    def measurements(self) -> dict[int, Measurement]:
        """Makes measurements of it, by the tensor's index in the model."""
        ...


def measure_all(parts: Sequence[Part]) -> dict[int, Measurement]:
    """The measurements of all parts, by the tensor's index in the model."""
    measured: dict[int, Measurement] = {}
    for part in parts:
        measured.update(part.measurements())
    return measured
