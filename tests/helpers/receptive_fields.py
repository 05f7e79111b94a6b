"""Which inputs a layer reads for each output: by the window that is logged, and by what it makes of impulses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format.model import Window

Mask = npt.NDArray[np.bool_]


def by_window(window: Window, sizes: Sequence[int]) -> Mask:
    """What the window says of an input of these sizes, bool [outputs, inputs]: both in C order.

    The formulas are those of `layerview.proto`.
    """
    whole = np.ones((1, 1), bool)
    for axis, n in enumerate(sizes):
        whole = np.kron(whole, _along(window, axis, n)).astype(bool)
    return whole


def _along(window: Window, axis: int, n: int) -> Mask:
    size, stride, dilation = window.size[axis], window.strides[axis], window.dilation[axis]
    before, after = window.padding_before[axis], window.padding_after[axis]
    extent = (size - 1) * dilation + 1
    if window.transposed:
        outputs = (n - 1) * stride + extent - before - after
    else:
        outputs = (n + before + after - extent) // stride + 1
    mask = np.zeros((outputs, n), bool)
    for k in range(size):
        for i in range(n if window.transposed else outputs):
            place = i * stride - before + k * dilation
            if window.transposed:
                if 0 <= place < outputs:
                    mask[place, i] = True
            elif (inside := _inside(place, n, window.padding_mode)) is not None:
                mask[i, inside] = True
    return mask


def _inside(place: int, n: int, mode: str) -> int | None:
    if 0 <= place < n:
        return place
    if mode == "circular":
        return place % n
    if mode == "replicate":
        return min(max(place, 0), n - 1)
    if mode == "reflect":
        return -place if place < 0 else 2 * (n - 1) - place
    return None


def by_changes(compute: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.generic]], sizes: Sequence[int]) -> Mask:
    """What changes of what something makes where one place changes, bool [outputs, inputs].

    Args:
      compute: Of a batch of two channels, float32 [examples, *sizes, 2]: [examples, *outputs, channels].
      sizes: Of the axes of space.
    """
    inputs = math.prod(sizes)
    one = np.random.default_rng(0).normal(size=(1, *sizes, 2)).astype(np.float32)
    changed = np.repeat(one, inputs, 0) + 2 * np.eye(inputs, dtype=np.float32).reshape(inputs, *sizes, 1)
    # One example of many may be computed by another kernel, and be rounded differently.
    outputs = np.asarray(compute(np.concatenate([changed, np.repeat(one, inputs, 0)])), np.float64)
    differs = np.abs(outputs[:inputs] - outputs[inputs:]) > 1e-5
    return differs.any(-1).reshape(inputs, -1).T


def keeps_places(compute: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.generic]], sizes: Sequence[int]) -> bool:
    """Whether a place that changes changes no other place of what something makes; see `by_changes`."""
    seen = by_changes(compute, sizes)
    return not (seen & ~np.eye(len(seen), dtype=bool)).any()


def by_impulses(layer: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.generic]], sizes: Sequence[int]) -> Mask:
    """What a layer with positive weights does, bool [outputs, inputs].

    Args:
      layer: Computes a batch of one channel, float32 [examples, *sizes], and sums over what channels it gives:
        [examples, *outputs].
      sizes: Of the axes of space.
    """
    inputs = math.prod(sizes)
    outputs = np.asarray(layer(np.eye(inputs, dtype=np.float32).reshape(inputs, *sizes)), np.float64)
    return (np.abs(outputs) > 1e-6).reshape(inputs, -1).T
