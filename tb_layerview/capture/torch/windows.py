"""The windows of PyTorch's modules: of convolutions, poolings, padding, and upsampling that repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tb_layerview.capture.passes import windows
from tb_layerview.capture.passes.windows import Pads, along, extent
from tb_layerview.format.model import Window

Sizes = Sequence[int | None] | None
_MODES = {"Zero": "", "Constant": "", "Reflection": "reflect", "Replication": "replicate", "Circular": "circular"}


def window_of(module: Any, taken: Sizes, given: Sizes) -> Window | None:
    """What of its input a module reads for one place of its output; None of other modules, and of somebody's own.

    Args:
      module: The module.
      taken: Sizes of what it takes, as far as they are known.
      given: Sizes of what it gives.
    """
    if not windows.class_with(module, "forward").__module__.startswith("torch.nn.modules."):
        return None
    names = [cls.__name__ for cls in type(module).__mro__]
    if axes := windows.axes_in(names, r"ConvTranspose(\d)d"):
        return _transposed(module, axes, taken, given)
    if axes := windows.axes_in(names, r"Conv(\d)d"):
        return _convolution(module, axes)
    if axes := windows.axes_in(names, r"(?:Max|Avg)Pool(\d)d"):
        return _pooling(module, axes, taken, given)
    for name, mode in _MODES.items():
        if axes := windows.axes_in(names, rf"{name}Pad(\d)d"):
            of_axes = along(module.padding, 2 * axes)  # those of the last axis come first
            return windows.padding(list(zip(of_axes[::2], of_axes[1::2]))[::-1], mode)
    if "Upsample" in names and module.mode == "nearest" and taken is not None and given is not None:
        return _repeating(taken[2:], given[2:])
    return None


def _convolution(module: Any, axes: int) -> Window:
    sizes, dilations = along(module.kernel_size, axes), along(module.dilation, axes)
    pads: list[Pads]
    if module.padding == "same":  # which has no strides
        pads = [windows.same(None, size, 1, dilation) for size, dilation in zip(sizes, dilations)]
    else:
        pads = [(pad, pad) for pad in along(0 if module.padding == "valid" else module.padding, axes)]
    mode = "" if module.padding_mode == "zeros" else str(module.padding_mode)
    return windows.window(sizes, along(module.stride, axes), dilations, pads, padding_mode=mode)


def _transposed(module: Any, axes: int, taken: Sizes, given: Sizes) -> Window:
    sizes, strides = along(module.kernel_size, axes), along(module.stride, axes)
    dilations, padding = along(module.dilation, axes), along(module.padding, axes)
    added = along(module.output_padding, axes)
    pads: list[Pads] = []
    for i, (before, n, outputs) in enumerate(zip(padding, _space(taken, axes), _space(given, axes))):
        if n is None or outputs is None:
            pads.append((before, before - added[i]))
        else:  # its call may have been given the size of what it gives
            pads.append((before, (n - 1) * strides[i] + extent(sizes[i], dilations[i]) - before - outputs))
    return windows.window(sizes, strides, dilations, pads, transposed=True)


def _pooling(module: Any, axes: int, taken: Sizes, given: Sizes) -> Window:
    sizes, padding = along(module.kernel_size, axes), along(module.padding, axes)
    strides = along(module.kernel_size if module.stride is None else module.stride, axes)
    dilations = along(getattr(module, "dilation", 1), axes)
    pads: list[Pads] = []
    for i, (pad, n, outputs) in enumerate(zip(padding, _space(taken, axes), _space(given, axes))):
        if not module.ceil_mode:
            pads.append((pad, pad))
        elif n is None or outputs is None:
            pads.append(None)
        else:  # the last window may reach beyond the input
            reach = (outputs - 1) * strides[i] + extent(sizes[i], dilations[i])
            pads.append((pad, max(pad, reach - n - pad)))
    return windows.window(sizes, strides, dilations, pads)


def _space(size: Sizes, axes: int) -> Sequence[int | None]:
    """Of a batch or a single example, the axes of space, which are the last ones."""
    return (None,) * axes if size is None or len(size) < axes + 1 else size[-axes:]


def _repeating(taken: Sequence[int | None], given: Sequence[int | None]) -> Window | None:
    """Of upsampling by whole numbers."""
    factors = [b // a for a, b in zip(taken, given) if a and b and not b % a]
    return windows.repeating(factors) if factors and len(factors) == len(taken) == len(given) else None
