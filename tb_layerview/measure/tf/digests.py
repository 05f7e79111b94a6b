"""Digests of tensors that TensorFlow computes: where they lie in memory that this process can read, else on the device.

`prepare` makes of tensors what can leave their graph, and `digest` a part of a step; for a session, `reduce` adds what
is to be fetched. What was prepared tells by itself how it is measured: see `in_memory` and `on_device`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from tb_layerview.measure.handed import Differences, Handed
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.tf import in_memory, on_device
from tb_layerview.measure.tf.on_device import Digested, Fetches
from tb_layerview.measure.tf.tap import Tap

#: A part of a step.
Digests = Handed | Differences | Digested


def make_ready(taps: Mapping[int, Tap]) -> None:
    """Has threads make ready what digests such tensors on the device, if that is where they are.

    Args:
      taps: By any index, with or without the tensors.
    """
    if not in_memory.is_possible():
        on_device.make_ready(taps)


def prepare(taps: Mapping[int, Tap]) -> Fetches:
    """Adds what makes of tensors what the digests take; to be given to `digested`, as tensors.

    Args:
      taps: By any index.
    """
    return in_memory.prepare(taps) if in_memory.is_possible() else on_device.prepare(taps)


def digested(taps: Mapping[int, Tap], prepared: Fetches, with_values: bool, is_pythons: bool = False) -> Digests:
    """Digests what is there, at once or when it is asked for its measurements.

    Args:
      taps: What was given to `prepare`, without the tensors.
      prepared: What it returned, as tensors.
      with_values: Whether what is kept of the tensors is wanted, too.
      is_pythons: Whether some of them may lie in memory of arrays which a program writes to.
    """
    if in_memory.are_prepared(prepared):
        return in_memory.handed(taps, prepared, with_values, is_pythons)
    return on_device.digested(taps, prepared, with_values)


def digest(taps: Mapping[int, Tap], with_values: bool) -> Digests:
    """Prepares and digests tensors that are there, in no graph.

    Args:
      taps: With the tensors.
      with_values: Whether what is kept of them is wanted, too.
    """
    return digested({index: tap.without_tensor() for index, tap in taps.items()}, prepare(taps), with_values)


# For a session.


def reduce(taps: Mapping[int, Tap], hand_over: bool) -> Fetches:
    """Adds what a session is to fetch: of it fetch what is `wanted`, and pass what comes back to `fetched`.

    Args:
      taps: By any index. What a run may be fed is not among the tensors: it is the array of whoever feeds it.
      hand_over: Whether to fetch the tensors themselves, which nobody writes to while somebody holds them.
    """
    if hand_over:
        return in_memory.prepare(taps)
    return on_device.reduce(taps, on_device.prepare(taps))


def wanted(fetches: Fetches, with_values: bool) -> Fetches:
    """What to fetch of `reduce`'s structure at a step with or without values."""
    return fetches if in_memory.are_prepared(fetches) else on_device.wanted(fetches, with_values)


def fetched(taps: Mapping[int, Tap], values: Mapping[str, Any], with_values: bool) -> Digests:
    """What a session has fetched.

    Args:
      taps: What was given to `reduce`, with or without the tensors.
      values: What was `wanted`, as numpy arrays.
      with_values: Whether what is kept of the tensors is wanted, too.
    """
    return in_memory.handed(taps, values, with_values) if in_memory.are_prepared(values) else Digested(taps, values)


def measure(taps: Mapping[int, Tap], arrays: Mapping[int, npt.NDArray[Any]]) -> dict[int, Measurement]:
    """Measures what is on the host already, with values.

    Args:
      taps: By any index; what tensors they hold does not matter.
      arrays: What to measure for each, of any shape that the tap's tensor may have.
    """
    return in_memory.measure(taps, arrays) if in_memory.is_possible() else on_device.measure(taps, arrays)
