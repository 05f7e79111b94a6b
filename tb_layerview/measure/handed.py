"""Tensors in this process' memory that wait to be measured, on the thread that writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tb_layerview.measure import host
from tb_layerview.measure.extra import TAKEN
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.tap import How, difference_dtype

Arrays = Mapping[int, npt.NDArray[np.generic]]


@dataclasses.dataclass(frozen=True)
class Handed:
    """Tensors that wait to be measured.

    Attributes:
      taps: How they are measured, without the tensors, by index.
      arrays: The tensors, by the same; they hold the framework's memory.
      taken: `taken_non_finite`, for those that have it.
      with_values: Whether what is kept of them is wanted, too.
    """

    taps: Mapping[int, How]
    arrays: Arrays
    taken: Mapping[int, float]
    with_values: bool

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return sum(array.nbytes for array in self.arrays.values())

    def measurements(self) -> dict[int, Measurement]:
        """Measures the tensors, by index."""
        return {
            index: _measured(self.taps[index], array, self.taken.get(index, 0.0), self.with_values)
            for index, array in self.arrays.items()
        }


@dataclasses.dataclass(frozen=True)
class Differences:
    """Weights before and after a step, of which the differences wait to be taken and measured.

    Attributes:
      taps: How the differences are measured, without tensors, by index.
      before: The weights before the step, by the same, as they are logged.
      after: The weights after it.
      with_values: Whether what is kept of the differences is wanted, too.
    """

    taps: Mapping[int, How]
    before: Arrays
    after: Arrays
    with_values: bool

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return sum(array.nbytes for arrays in (self.before, self.after) for array in arrays.values())

    def measurements(self) -> dict[int, Measurement]:
        """Measures the differences, by index."""
        return {
            index: _measured(self.taps[index], difference(self.before[index], after), 0.0, self.with_values)
            for index, after in self.after.items()
        }


def difference(before: npt.NDArray[np.generic], after: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """What a weight has changed by, in the type of `difference_dtype`."""
    name = after.dtype.name
    wide = after.dtype if difference_dtype(name) == name else np.dtype(difference_dtype(name))
    with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite
        found: npt.NDArray[np.generic] = np.subtract(after.astype(wide, copy=False), before.astype(wide, copy=False))
    return found


def _measured(tap: How, array: npt.NDArray[np.generic], taken: float, with_values: bool) -> Measurement:
    measured = host.measure(array, units=tap.units, keep=tap.keep if with_values else None, sparse=tap.sparse)
    return dataclasses.replace(measured, sparse={**measured.sparse, TAKEN: taken}) if taken else measured
