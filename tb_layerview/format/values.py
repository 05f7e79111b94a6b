"""The part of a tensor that is kept for looking at."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format import arrays

_AXIS = struct.Struct("<III")
# How many are assumed along an axis whose size is not known before the model runs, when it is decided what to keep.
_ASSUMED = {"example": 64}
_ASSUMED_ELSE = 128
# Axes of which every second, third, ... index is kept so that a picture stays whole.
_POSITIONS = frozenset(("depth", "row", "column", "timestep", "position", "query", "key"))


@dataclasses.dataclass(frozen=True)
class Axis:
    """What is kept of one axis: indices start, start + step, ..., `count` of them.

    Attributes:
      start: The first index that is kept.
      step: The distance between kept indices.
      count: How many are kept.
      size: How many the whole tensor has.
    """

    start: int
    step: int
    count: int
    size: int

    def indices(self) -> npt.NDArray[np.int64]:
        """int64 [count]: the kept indices in the whole tensor."""
        return self.start + self.step * np.arange(self.count)

    def as_slice(self) -> slice:
        """The slice that takes the kept part out of the whole axis."""
        return slice(self.start, self.start + self.step * (self.count - 1) + 1 if self.count else self.start, self.step)


@dataclasses.dataclass(frozen=True)
class Values:
    """True values at known indices of one tensor at one step.

    Attributes:
      array: The kept elements: array[i, j, ...] is the tensor's [axes[0].indices()[i], axes[1].indices()[j], ...].
      axes: What is kept of each axis.
      precision: `float16` (relative error at most 2**-11 for what is above 2**-29 of the largest), or an exact type;
        `float32` in place of `float16` where the largest is beyond `arrays.WIDE`.
    """

    array: npt.NDArray[np.floating]
    axes: tuple[Axis, ...]
    precision: arrays.Precision


def assume(shape: Sequence[int], axes: Sequence[str]) -> tuple[int, ...]:
    """A tensor's shape, with sizes in place of those that are not known (-1); `axes` may be empty: no names."""
    names = axes or [""] * len(shape)
    return tuple(_ASSUMED.get(axis, _ASSUMED_ELSE) if size < 0 else size for size, axis in zip(shape, names))


def choose(shape: Sequence[int], axes: Sequence[str], budget: int, examples: int) -> tuple[Axis, ...]:
    """Chooses what to keep of a tensor: at most `budget` elements.

    First goes what shows least when it is missing: examples down to `examples`, units beyond 64, then positions (rows,
    columns, timesteps), of which every second, third, ... is kept so that a picture stays whole; last the rest.

    Args:
      shape: The whole tensor's.
      axes: One name an axis, as in `model.Tensor.axes`.
      budget: The most elements to keep, at least 1.
      examples: Down to how many examples before anything else is left out, at least 1.
    """
    counts, steps = list(shape), [1] * len(shape)

    def shrink(index: int, floor: int) -> None:
        others = max(1, int(np.prod([c for i, c in enumerate(counts) if i != index], dtype=np.int64)))
        counts[index] = min(counts[index], max(floor, budget // others, 1))

    positions = [i for i, name in enumerate(axes) if name in _POSITIONS]
    is_activation = "example" in axes
    for i, name in enumerate(axes):
        if name == "example":
            shrink(i, examples)
    if is_activation:
        for i in range(len(axes)):
            if i not in positions and axes[i] != "example":
                shrink(i, 64)
        while positions and np.prod(counts, dtype=np.int64) > budget:
            i = max(positions, key=lambda p: counts[p])
            if counts[i] == 1:
                break
            steps[i] += 1
            counts[i] = -(-shape[i] // steps[i])
    # Whatever is still too large gives way evenly, largest axis first.
    while np.prod(counts, dtype=np.int64) > budget:
        i = int(np.argmax(counts))
        counts[i] = max(1, counts[i] // 2)
    for i in sorted(range(len(shape)), key=lambda j: counts[j]):
        if steps[i] == 1 and counts[i] < shape[i]:
            # Halving may have gone too far: take back what still fits.
            others = max(1, int(np.prod(counts, dtype=np.int64)) // max(1, counts[i]))
            counts[i] = max(counts[i], min(shape[i], budget // others))
    return tuple(Axis(0, step, count, size) for step, count, size in zip(steps, counts, shape))


def encode(array: npt.NDArray[np.generic], axes: Sequence[Axis], precision: arrays.Precision) -> bytes:
    """Encodes the kept elements (shape: the axes' counts) and where they come from."""
    head = bytes([len(axes)]) + b"".join(_AXIS.pack(axis.start, axis.step, axis.size) for axis in axes)
    return head + arrays.encode(array, precision)


def decode(data: bytes) -> Values:
    """Decodes what `encode` made.

    Raises:
      ValueError: `data` is not that.
    """
    axes, offset = read_axes(data)
    array, precision, _ = arrays.decode(data, offset)
    return Values(array, axes, precision)


def read_axes(data: bytes) -> tuple[tuple[Axis, ...], int]:
    """What is kept of each axis, and the offset of the block that holds it.

    Raises:
      ValueError: `data` is not what `encode` makes.
    """
    if not data:
        raise ValueError("values of 0 bytes")
    rank = data[0]
    offset = 1 + rank * _AXIS.size
    if len(data) < offset:
        raise ValueError(f"values of rank {rank} are cut off after {len(data)} bytes")
    shape = arrays.shape_of(data, offset)
    if len(shape) != rank:
        raise ValueError(f"values say rank {rank} but hold an array of rank {len(shape)}")
    heads = [_AXIS.unpack_from(data, 1 + i * _AXIS.size) for i in range(rank)]
    axes = tuple(Axis(start, step, n, size) for (start, step, size), n in zip(heads, shape))
    for axis in axes:
        if axis.step < 1 or axis.start + axis.step * (axis.count - 1) >= max(axis.size, 1):
            raise ValueError(
                f"values say that {axis.count} indices from {axis.start} on, every {axis.step}th, are kept of "
                f"{axis.size}"
            )
    return axes, offset
