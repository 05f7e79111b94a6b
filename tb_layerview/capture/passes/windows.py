"""The windows that layers slide over their inputs: what padding in words comes to in numbers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tb_layerview.format.model import Window

#: Before and behind the input along an axis; None where that is not known.
Pads = tuple[int, int] | None


def along(value: Any, axes: int) -> tuple[int, ...]:
    """A number for each axis, of one for all or of one each."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return tuple(int(number) for number in (numbers * axes if len(numbers) == 1 else numbers))


def extent(size: int, dilation: int) -> int:
    """How many places there are from the first to the last that a window reads."""
    return (size - 1) * dilation + 1


def same(places: int | None, size: int, stride: int, dilation: int) -> Pads:
    """The padding with which there are as many outputs as strides into the input, rounded up; the odd one behind it.

    Args:
      places: Of the input along this axis, if that is known.
      size: Of the window.
      stride: Its stride.
      dilation: Its dilation.
    """
    if stride == 1:
        total = extent(size, dilation) - 1
    elif places is None:
        return None
    else:
        total = max((-(-places // stride) - 1) * stride + extent(size, dilation) - places, 0)
    return total // 2, total - total // 2


def split(total: int) -> Pads:
    """Padding of a transposed convolution, as that of the convolution that it transposes: the odd one behind.

    Args:
      total: How many places it takes away from both sides together; negative: so many are added behind.
    """
    before = max(total, 0) // 2
    return before, total - before


def window(
    size: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    pads: Iterable[Pads],
    transposed: bool = False,
    padding_mode: str = "",
) -> Window:
    """The window; without padding where that of an axis is not known."""
    known = [pad for pad in pads if pad is not None]
    if len(known) < len(size):
        known = []
    before, after = tuple(pad[0] for pad in known), tuple(pad[1] for pad in known)
    return Window(tuple(size), tuple(strides), tuple(dilation), before, after, transposed, padding_mode)


def padding(pads: Sequence[tuple[int, int]], padding_mode: str = "") -> Window:
    """The window of a layer that adds places to its input, or, where they are negative, cuts some off."""
    ones = (1,) * len(pads)
    return window(ones, ones, ones, pads, padding_mode=padding_mode)


def repeating(factors: Sequence[int]) -> Window:
    """The window of a layer that repeats each place so many times."""
    return window(factors, factors, (1,) * len(factors), [(0, 0)] * len(factors), transposed=True)


def of_all(windows: Collection[Window | None]) -> Window | None:
    """That of all calls of a layer: without padding where it differs from call to call, None where more than that does.

    Args:
      windows: One of each call.
    """
    different = set(windows)
    if len(different) > 1:
        different = {one and dataclasses.replace(one, padding_before=(), padding_after=()) for one in different}
    return different.pop() if len(different) == 1 else None


def class_with(layer: Any, method: str) -> type:
    """The class of a layer's that has its own method of this name: what somebody's own does is not known."""
    return next((cls for cls in type(layer).__mro__ if method in vars(cls)), type(layer))


def axes_in(names: Iterable[str], pattern: str) -> int:
    """The number of axes of space in the first class name that fits, as `2` in `Conv2D`; 0 if there is none.

    Args:
      names: Of a layer's classes, the most special first.
      pattern: With one group, which holds that number.
    """
    found = (re.fullmatch(pattern, name) for name in names)
    return next((int(one[1]) for one in found if one), 0)
