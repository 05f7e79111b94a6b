"""Statistics per unit: one output channel, neuron or head of a layer."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tb_layerview import arrays


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


def encode(units: Units) -> bytes:
    """Four array blocks, in the order of the fields."""
    return b"".join(arrays.encode(getattr(units, field.name)) for field in dataclasses.fields(Units))


def decode(data: bytes) -> Units:
    """Decodes what `encode` made.

    Raises:
      ValueError: `data` is not four array blocks.
    """
    columns, offset = [], 0
    for _ in dataclasses.fields(Units):
        column, _, offset = arrays.decode(data, offset)
        columns.append(column)
    return Units(*columns)
