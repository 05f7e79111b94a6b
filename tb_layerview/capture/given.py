"""What was given to whoever logs, checked before the first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from tb_layerview.format.model import Kind
from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select, as_schedule

#: Which of several processes that train one model log: the first one, or each into a folder of its own.
Ranks = Literal["first", "all"]
#: What each keeps of a tensor where all log, unless something else is asked for.
_STATISTICS_ALONE = Keep(activations=0, weights=0, gradients=0)


@dataclasses.dataclass(frozen=True)
class Given:
    """The options of one log.

    Attributes:
      select: Which layers and kinds to log.
      schedule: When to log.
      keep: How much to keep of each tensor.
      check: What to look for, and what to do about it.
      ranks: Which of several processes log.

    Raises:
      TypeError: One is not of its type.
      ValueError: `ranks` is another word.
    """

    select: Select = Select()
    schedule: Schedule = Schedule()
    keep: Keep = Keep()
    check: Check = Check()
    ranks: Ranks = "first"

    def __post_init__(self) -> None:
        for field, kind in (("select", Select), ("schedule", Schedule), ("keep", Keep), ("check", Check)):
            value = getattr(self, field)
            if not isinstance(value, kind):
                raise TypeError(f"{field} must be a {kind.__name__}(...), not {value!r}")
        if self.ranks not in get_args(Ranks):
            raise ValueError(
                f'ranks must be "first", which has one of several processes log, or "all", not {self.ranks!r}'
            )

    @classmethod
    def of(
        cls, select: Select, schedule: Schedule | int, keep: Keep | None, check: Check, ranks: Ranks = "first"
    ) -> Given:
        """The options as people give them; where all processes log, each keeps statistics alone by default.

        Raises:
          TypeError: One is not of its type.
          ValueError: The schedule's interval is not at least 1, or `ranks` is another word.
        """
        if keep is None:
            keep = _STATISTICS_ALONE if ranks == "all" else Keep()
        return cls(select, as_schedule(schedule), keep, check, ranks)

    def with_kinds(self, *kinds: Kind) -> Given:
        """The same, for these kinds alone."""
        return dataclasses.replace(self, select=dataclasses.replace(self.select, kinds=kinds))

    def without_kinds(self, *kinds: Kind) -> Given:
        """The same, without these kinds."""
        return self.with_kinds(*(kind for kind in self.select.kinds if kind not in kinds))

    def as_arguments(self) -> dict[str, Any]:
        """The options by name, as whoever was given them takes them."""
        return {name: getattr(self, name) for name in ("select", "schedule", "keep", "check")}


def floats(scalars: Mapping[str, Any]) -> dict[str, float]:
    """Those that are single numbers."""
    return {name: _float(value) for name, value in scalars.items() if np.ndim(value) == 0}


def _float(value: Any) -> float:
    # PyTorch's tensors are no arrays as long as gradients are taken of them, nor in types that numpy lacks.
    return float(value.detach()) if hasattr(value, "detach") else float(np.asarray(value))
