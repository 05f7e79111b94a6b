"""What one look at a tensor gives, and which tensors can be looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format.histogram import Cells, Counted
from tb_layerview.format.statistics import Digest
from tb_layerview.format.units import Units
from tb_layerview.format.values import Axis


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one look at a tensor gives.

    Attributes:
      digest: Exact statistics of the whole tensor.
      cells: How many elements have each code (see `histogram.encode`), or None.
      center: What was subtracted before counting.
      shift: The power of two by which the distances were divided before counting.
      units: Statistics per unit, or None.
      kept: The elements at the indices `kept_axes`, or None.
      kept_axes: What is kept of each axis.
      sparse: Statistics that only some tensors have, by name (`record.SPARSE`).
    """

    digest: Digest
    cells: Cells | None = None
    center: float = 0.0
    shift: int = 0
    units: Units | None = None
    kept: npt.NDArray[np.generic] | None = None
    kept_axes: tuple[Axis, ...] = ()
    sparse: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def counted(self) -> Counted | None:
        """What its histogram is made of, or None."""
        return None if self.cells is None else Counted(self.cells, self.center, self.shift)


def with_kept(
    measured: Measurement, kept: npt.NDArray[np.generic], axes: Sequence[Axis], shape: Sequence[int]
) -> Measurement:
    """With what is kept of a tensor; a batch may be smaller than what was planned for, and sizes only known by now.

    Args:
      measured: Of the tensor.
      kept: The elements.
      axes: Which they were to be.
      shape: The tensor's own.
    """
    sizes = zip(axes, kept.shape, shape)
    return dataclasses.replace(
        measured,
        kept=kept,
        kept_axes=tuple(dataclasses.replace(axis, count=n, size=int(size)) for axis, n, size in sizes),
    )


def can_measure(dtype: str) -> bool:
    """Whether tensors of this numpy or ml_dtypes type are logged: real numbers of 8 to 64 bits, and booleans."""
    return dtype in _MEASURABLE


SINGLE = ("float16", "bfloat16", "float32", "bool", "int8", "uint8", "int16", "uint16")
_MEASURABLE = (*SINGLE, "float64", "int32", "uint32", "int64", "uint64")
