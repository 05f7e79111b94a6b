"""The windows of the convolutions of Flax NNX; its poolings are functions, and no modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tb_layerview.capture.passes import windows
from tb_layerview.capture.passes.windows import Pads, along, extent
from tb_layerview.format.model import Window


def window_of(module: Any, size: Sequence[int | None] | None) -> Window | None:
    """What of its input a module reads for one place of its output; None of other modules, and of somebody's own.

    Args:
      module: The module.
      size: Sizes of what it takes, as far as they are known.
    """
    owner = windows.class_with(module, "__call__")
    if not owner.__module__.startswith("flax.") or owner.__name__ not in ("Conv", "ConvTranspose"):
        return None
    sizes = along(module.kernel_size, 1)
    axes = len(sizes)
    strides, dilations = (
        along(1 if given is None else given, axes) for given in (module.strides, module.kernel_dilation)
    )
    padding = module.padding
    if owner.__name__ == "ConvTranspose":
        reaches = [extent(one, dilation) for one, dilation in zip(sizes, dilations)]
        pads = [_transposed(padding, i, stride, reach) for i, (stride, reach) in enumerate(zip(strides, reaches))]
        mode = "circular" if padding == "CIRCULAR" else ""
        return windows.window(sizes, strides, dilations, pads, transposed=True, padding_mode=mode)
    if set(along(1 if module.input_dilation is None else module.input_dilation, axes)) != {1}:
        return None  # it has strides of both kinds
    places = (None,) * axes if size is None or len(size) < axes + 1 else size[-axes - 1 : -1]
    pads = [_padding(padding, i, one) for i, one in enumerate(zip(places, sizes, strides, dilations))]
    mode = {"CIRCULAR": "circular", "REFLECT": "reflect"}.get(padding, "") if isinstance(padding, str) else ""
    return windows.window(sizes, strides, dilations, pads, padding_mode=mode)


def _padding(given: Any, axis: int, sliding: tuple[int | None, int, int, int]) -> Pads:
    """The padding along an axis, of what `windows.same` is given."""
    _, size, _, dilation = sliding
    reach = extent(size, dilation)
    if not isinstance(given, str):
        return _explicit(given, axis)
    if given in ("CIRCULAR", "REFLECT"):
        return (reach - 1) // 2, reach // 2
    if given == "CAUSAL":
        return reach - 1, 0
    if given == "VALID":
        return 0, 0
    pads = windows.same(*sliding)
    return pads[::-1] if pads is not None and given == "SAME_LOWER" else pads


def _transposed(given: Any, axis: int, stride: int, reach: int) -> Pads:
    """The padding along an axis of a transposed convolution."""
    if not isinstance(given, str):
        # JAX pads the input with it, between whose places there are gaps.
        before, after = _explicit(given, axis)
        return reach - 1 - before, reach - 1 - after
    if given == "SAME":
        return windows.split(reach - stride)
    return (0, min(reach - stride, 0)) if given == "VALID" else None


def _explicit(given: Any, axis: int) -> tuple[int, int]:
    """One number for all, one for each axis, or two for each."""
    one = given if isinstance(given, int) else given[axis if len(given) > 1 else 0]
    before, after = along(one, 2)
    return before, after
