"""One step of a training as it is logged: what every way to train gives to the log."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Protocol

from tb_layerview.measure.measurement import Measurement


class Part(Protocol):
    """What was found of some of a step's tensors. It has left the device, and changes no more."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds until it is measured."""
        ...

    def measurements(self) -> Mapping[int, Measurement]:
        """Makes the measurements, by index of the tensor in the log's model; on the writing thread."""
        ...


def measure_all(parts: Iterable[Part]) -> dict[int, Measurement]:
    """The measurements of all parts, by index of the tensor; of what several have found the last one's count."""
    return {index: measured for part in parts for index, measured in part.measurements().items()}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What is measured already.

    Attributes:
      found: By index of the tensor in the log's model.
    """

    found: Mapping[int, Measurement]
    nbytes = 0

    def measurements(self) -> Mapping[int, Measurement]:
        """What is measured."""
        return self.found


@dataclasses.dataclass(frozen=True)
class Step:
    """What there is to log of one step.

    Attributes:
      step: How many training steps are complete.
      parts: What was found of its tensors. Of what several parts have found the last one's counts.
      scalars: Loss, metrics, learning rate by name.
    """

    step: int
    parts: tuple[Part, ...]
    scalars: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that its parts hold until they are measured."""
        return sum(part.nbytes for part in self.parts)

    def measurements(self) -> dict[int, Measurement]:
        """Makes the measurements of all parts, by index of the tensor; on the writing thread."""
        return measure_all(self.parts)

    def plus(self, *parts: Part) -> Step:
        """The same step with more parts."""
        return dataclasses.replace(self, parts=(*self.parts, *parts))

    def with_scalars(self, scalars: Mapping[str, float]) -> Step:
        """The same step with more scalars; of two of a name that one counts which is added."""
        return dataclasses.replace(self, scalars={**self.scalars, **scalars})
