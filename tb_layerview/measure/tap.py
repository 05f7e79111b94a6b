"""How a tensor is measured, whatever holds it."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from tb_layerview.format.values import Axis
from tb_layerview.measure.extra import Extra


class How(Protocol):
    """How a tensor is measured."""

    @property
    def units(self) -> bool:
        """Whether to measure each unit (index of the last axis) too; wants rank 2 or more."""
        ...

    @property
    def keep(self) -> tuple[Axis, ...] | None:
        """What of each axis to keep, or None. Counts beyond an axis' real size keep what is there."""
        ...

    @property
    def sparse(self) -> Extra | None:
        """What to measure beside what all tensors have, or None."""
        ...


@dataclasses.dataclass(frozen=True)
class HostTap:
    """How an array is measured: see `How`."""

    units: bool = False
    keep: tuple[Axis, ...] | None = None
    sparse: Extra | None = None


def difference_dtype(dtype: str) -> str:
    """The type in which a weight's change is computed: half precision would round what is left of a difference."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype
