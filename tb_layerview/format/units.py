"""Statistics per unit: one output channel, neuron or head of a layer."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tb_layerview.format import arrays


@dataclasses.dataclass(frozen=True)
class Units:
    """Statistics of the finite elements of each unit, the tensor's last axis, at one step.

    Attributes:
      mean: float [units], in the tensor's own unit, like rms and peak.
      rms: float [units].
      zero: float [units]: the share of elements that are zero, 0 to 1.
      peak: float [units]: the largest magnitude.
    """

    mean: npt.NDArray[np.floating]
    rms: npt.NDArray[np.floating]
    zero: npt.NDArray[np.floating]
    peak: npt.NDArray[np.floating]


#: The most units whose statistics are kept: a tensor's that has more of them are not.
MOST = 1 << 22
#: What there is of each unit, in the order in which it is stored.
UNIT_STATISTICS = tuple(field.name for field in dataclasses.fields(Units))


def encode(units: Units) -> bytes:
    """Four array blocks, in the order of the fields."""
    return b"".join(arrays.encode(getattr(units, name)) for name in UNIT_STATISTICS)


def decode(data: bytes) -> Units:
    """Decodes what `encode` made.

    Raises:
      ValueError: `data` is not four columns of equal length.
    """
    columns, offset = [], 0
    for _ in UNIT_STATISTICS:
        column, offset = _column(data, offset)
        columns.append(column)
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"statistics per unit are of {[len(column) for column in columns]} units")
    return Units(*columns)


def decode_one(data: bytes, statistic: str) -> npt.NDArray[np.floating]:
    """One of `UNIT_STATISTICS` of what `encode` made, without inflating the others.

    Raises:
      ValueError: `data` holds no such array block.
    """
    offset = 0
    for _ in range(UNIT_STATISTICS.index(statistic)):
        offset = arrays.end(data, offset)
    return _column(data, offset)[0]


def _column(data: bytes, offset: int) -> tuple[npt.NDArray[np.floating], int]:
    """One statistic of all units, and the offset after it."""
    column, _, offset = arrays.decode(data, offset, MOST)
    if column.ndim != 1:
        raise ValueError(f"statistics per unit have {column.ndim} axes instead of one")
    return column, offset
