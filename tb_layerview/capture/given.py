"""What was given to whoever logs, checked before the first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tb_layerview.format.model import Kind
from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select, as_schedule


@dataclasses.dataclass(frozen=True)
class Given:
    """The options of one log.

    Attributes:
      select: Which layers and kinds to log.
      schedule: When to log.
      keep: How much to keep of each tensor.
      check: What to look for, and what to do about it.

    Raises:
      TypeError: One is not of its type.
    """

    select: Select = Select()
    schedule: Schedule = Schedule()
    keep: Keep = Keep()
    check: Check = Check()

    def __post_init__(self) -> None:
        for field, kind in (("select", Select), ("schedule", Schedule), ("keep", Keep), ("check", Check)):
            value = getattr(self, field)
            if not isinstance(value, kind):
                raise TypeError(f"{field} must be a {kind.__name__}(...), not {value!r}")

    @classmethod
    def of(cls, select: Select, schedule: Schedule | int, keep: Keep, check: Check) -> Given:
        """The options as people give them.

        Raises:
          TypeError: One is not of its type.
          ValueError: The schedule's interval is not at least 1.
        """
        return cls(select, as_schedule(schedule), keep, check)

    def with_kinds(self, *kinds: Kind) -> Given:
        """The same, for these kinds alone."""
        return dataclasses.replace(self, select=dataclasses.replace(self.select, kinds=kinds))

    def without_kinds(self, *kinds: Kind) -> Given:
        """The same, without these kinds."""
        return self.with_kinds(*(kind for kind in self.select.kinds if kind not in kinds))

    def as_arguments(self) -> dict[str, Any]:
        """The options by name, as whoever was given them takes them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def floats(scalars: Mapping[str, Any]) -> dict[str, float]:
    """Those that are single numbers."""
    # PyTorch's tensors are no arrays as long as gradients are taken of them.
    found = {name: value.detach().cpu() if hasattr(value, "detach") else value for name, value in scalars.items()}
    return {name: float(np.asarray(value)) for name, value in found.items() if np.ndim(value) == 0}
