"""Tensors on the processor, measured as they lie in memory.

Whoever prepares them hands on the tensors themselves. What measures them holds them until it has: TensorFlow gives a
variable memory of its own when it is assigned to while somebody holds its value, and uses no memory again that somebody
holds. So they can be measured on the thread that writes, while the training goes on. Memory that a program may write to
by itself is copied before.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview.measure.handed import Arrays, Handed
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.native import library
from tb_layerview.measure.tf.tap import Tap

#: The environment variable that, as `device`, has tensors digested by TensorFlow's operations wherever they lie.
VARIABLE = "TB_LAYERVIEW_DIGESTS"


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


def measure(taps: Mapping[int, Tap], arrays: Arrays) -> dict[int, Measurement]:
    """Measures what is on the host, with values: see `Handed`."""
    return Handed(taps, arrays, {}, with_values=True).measurements()
