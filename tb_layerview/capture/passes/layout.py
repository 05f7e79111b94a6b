"""How a tensor is logged: with which axes, and turned so that the units come last."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a tensor is logged.

    Attributes:
      axes: One name for each axis of what is logged.
      order: The order in which to put the tensor's axes first; None leaves them.
      shape: What to reshape it to then; None leaves it.
      packed: How many numbers of four bits lie along its last axis, two in each byte; 0 where they do not.
    """

    axes: tuple[str, ...]
    order: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None
    packed: int = 0

    def view(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The array as it is logged, of the same memory where that can be."""
        array = unpacked(array, self.packed) if self.packed else array
        array = array if self.order is None else array.transpose(self.order)
        return array if self.shape is None else array.reshape(self.shape)

    def sizes(self, tensor: Sequence[int | None]) -> tuple[int | None, ...]:
        """The sizes of what is logged of a tensor of these sizes."""
        if self.shape is not None:
            return self.shape
        given = (*tensor[:-1], self.packed) if self.packed else tuple(tensor)
        return given if self.order is None else tuple(given[i] for i in self.order)


def activation_layout(axes: tuple[str, ...]) -> Layout:
    """How to log an activation whose axes are these: examples first, channels last."""
    first = [i for i, name in enumerate(axes) if name == "example"]
    last = [i for i, name in enumerate(axes) if name == "channel"]
    order = (*first, *(i for i in range(len(axes)) if i not in (*first, *last)), *last)
    return Layout(axes) if order == tuple(range(len(axes))) else Layout(tuple(axes[i] for i in order), order)


def sparse_layout(layout: Layout) -> Layout:
    """How to log some slices along the first axis of what is logged so."""
    if layout.order is not None or layout.shape is not None:
        return Layout(("slice", *(f"axis {i}" for i in range(1, len(layout.axes)))))
    return Layout(("slice", *layout.axes[1:]))


def unpacked(packed: npt.NDArray[np.generic], size: int) -> npt.NDArray[np.int8]:
    """The int4 numbers, as int8, of an array that holds two of them in each byte along its last axis.

    Args:
      packed: int8 [..., half of the size, rounded up]: the first of two is in the lower four bits.
      size: How many there are along the last axis.
    """
    bits = packed.view(np.int8)
    pairs = np.stack([(bits << 4) >> 4, bits >> 4], axis=-1)  # with their signs
    return pairs.reshape(*packed.shape[:-1], 2 * packed.shape[-1])[..., :size]
