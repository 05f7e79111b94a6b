"""Tensors on the processor, measured as they lie in memory.

Whoever prepares them hands on the tensors themselves. What measures them holds them until it has: TensorFlow gives a
variable memory of its own when it is assigned to while somebody holds its value, and uses no memory again that somebody
holds. So they can be measured on the thread that writes, while the training goes on. Memory that a program may write to
by itself is copied before.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview.measure import host
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.native import library
from tb_layerview.measure.tf.extra import TAKEN
from tb_layerview.measure.tf.tap import Tap

#: The environment variable that, as `device`, has tensors digested by TensorFlow's operations wherever they lie.
VARIABLE = "TB_LAYERVIEW_DIGESTS"

_Arrays = Mapping[int, npt.NDArray[np.generic]]


@functools.cache
def is_possible() -> bool:
    """Whether what this process computes lies in memory that it can read: it has no accelerator, and a native digest.

    Without one, numpy would take longer for a tensor than TensorFlow's operations do.
    """
    if os.environ.get(VARIABLE, "") == "device" or library.engine() is None:
        return False
    return all(device.device_type == "CPU" for device in tf.config.list_physical_devices())


def prepare(taps: Mapping[int, Tap]) -> dict[str, Any]:
    """The tensors, as a nested structure, for `handed`."""
    taken = {str(i): tap.taken for i, tap in taps.items() if tap.taken is not None}
    return {"tensors": {str(i): tap.tensor for i, tap in taps.items()}, "taken": taken}


def are_prepared(prepared: Mapping[str, Any]) -> bool:
    """Whether this is what `prepare` returned, or what that has evaluated to."""
    return "tensors" in prepared


@dataclasses.dataclass(frozen=True)
class Handed:
    """Tensors that wait to be measured.

    Attributes:
      taps: How they are measured, without the tensors, by index.
      arrays: The tensors, by the same; they hold TensorFlow's memory.
      taken: `taken_non_finite`, for those that have it.
      with_values: Whether what is kept of them is wanted, too.
    """

    taps: Mapping[int, Tap]
    arrays: _Arrays
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

    taps: Mapping[int, Tap]
    before: _Arrays
    after: _Arrays
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
    """What a weight has changed by, in the type of `tap.difference_dtype`."""
    wide = np.dtype(np.float32) if after.dtype.name in ("float16", "bfloat16") else after.dtype
    with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite
        found: npt.NDArray[np.generic] = np.subtract(after.astype(wide, copy=False), before.astype(wide, copy=False))
    return found


def handed(taps: Mapping[int, Tap], prepared: Mapping[str, Any], with_values: bool, is_pythons: bool = False) -> Handed:
    """What is there, to be measured later.

    Args:
      taps: What was given to `prepare`, without the tensors.
      prepared: What it returned, as tensors or as numpy arrays.
      with_values: Whether what is kept of the tensors is wanted, too.
      is_pythons: Whether some of the memory may be that of arrays which a program writes to: it is copied at once.
    """
    # Of an eager tensor in this process' memory this is a view, whatever its type; `.numpy()` copies.
    look: Any = np.array if is_pythons else np.asarray
    arrays = {int(i): look(tensor) for i, tensor in prepared["tensors"].items()}
    return Handed(taps, arrays, {int(i): float(share) for i, share in prepared["taken"].items()}, with_values)


def measure(taps: Mapping[int, Tap], arrays: _Arrays) -> dict[int, Measurement]:
    """Measures what is on the host, with values: see `Handed`."""
    return Handed(taps, arrays, {}, with_values=True).measurements()


def _measured(tap: Tap, array: npt.NDArray[np.generic], taken: float, with_values: bool) -> Measurement:
    measured = host.measure(array, units=tap.units, keep=tap.keep if with_values else None, sparse=tap.sparse)
    return dataclasses.replace(measured, sparse={**measured.sparse, TAKEN: taken}) if taken else measured
