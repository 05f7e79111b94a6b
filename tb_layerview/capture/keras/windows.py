"""The windows of Keras' layers, on every backend: of convolutions, poolings, padding, cropping and upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tb_layerview.capture.passes import windows
from tb_layerview.capture.passes.windows import Pads, along, extent
from tb_layerview.format.model import Window

# Activation functions that are element-wise, and those that look at the whole last axis.
_ELEMENT_WISE = frozenset(
    (
        *("linear", "identity", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish"),
        *("tanh", "hard_tanh", "sigmoid", "hard_sigmoid", "log_sigmoid", "hard_silu", "hard_swish", "exponential"),
        *("softplus", "softsign", "squareplus", "sparse_plus", "sparse_sigmoid", "threshold"),
        *("hard_shrink", "soft_shrink", "tanh_shrink"),
    )
)
_OF_LAST_AXIS = frozenset(("softmax", "log_softmax", "sparsemax"))
_FRAMEWORKS = frozenset(("keras", "tf_keras", "tensorflow", "jax", "torch"))


def window_of(layer: Any, size: Sequence[int | None] | None) -> Window | None:
    """What of its input a layer reads for one place of its output; None of other layers, and of somebody's own.

    Args:
      layer: The layer.
      size: Sizes of what it takes, as far as they are known.
    """
    if windows.class_with(layer, "call").__module__.partition(".")[0] not in ("keras", "tf_keras"):
        return None
    if not _keeps_places(getattr(layer, "activation", None), getattr(layer, "data_format", "")):
        return None
    names = [cls.__name__ for cls in type(layer).__mro__]
    if axes := windows.axes_in(names, r"Conv(\d)DTranspose"):
        return _transposed(layer, axes)
    if axes := windows.axes_in(names, r"(?:Separable|Depthwise)?Conv(\d)D"):
        return _sliding(layer, layer.kernel_size, layer.dilation_rate, axes, size)
    if axes := windows.axes_in(names, r"(?:Max|Average)Pooling(\d)D"):
        return _sliding(layer, layer.pool_size, 1, axes, size)
    if axes := windows.axes_in(names, r"ZeroPadding(\d)D"):
        return windows.padding(_pairs(layer.padding, axes))
    if axes := windows.axes_in(names, r"Cropping(\d)D"):
        return windows.padding([(-before, -after) for before, after in _pairs(layer.cropping, axes)])
    axes = windows.axes_in(names, r"UpSampling(\d)D")
    if axes and getattr(layer, "interpolation", "nearest") == "nearest":
        return windows.repeating(along(layer.size, axes))
    return None


def _keeps_places(function: Any, data_format: str) -> bool:
    """Whether an activation function keeps the places of space: what somebody's own does is not known."""
    name, module = getattr(function, "__name__", ""), str(getattr(function, "__module__", ""))
    if function is not None and module.partition(".")[0] not in _FRAMEWORKS:
        return False
    return function is None or name in _ELEMENT_WISE or (name in _OF_LAST_AXIS and data_format != "channels_first")


def _pairs(given: Any, axes: int) -> list[tuple[int, int]]:
    """Before and behind of each axis; of a single axis Keras may keep the pair alone."""
    pairs = [given] if axes == 1 and not isinstance(given[0], (tuple, list)) else given
    return [(int(before), int(after)) for before, after in pairs]


def _sliding(layer: Any, size: Any, dilation: Any, axes: int, given: Sequence[int | None] | None) -> Window:
    sizes, dilations = along(size, axes), along(dilation, axes)
    strides = sizes if layer.strides is None else along(layer.strides, axes)
    places = _places(layer, given, axes)
    pads: list[Pads] = []
    for one in zip(places, sizes, strides, dilations):
        if layer.padding == "same":
            pads.append(windows.same(*one))
        elif layer.padding == "causal":
            pads.append((extent(one[1], one[3]) - 1, 0))
        else:
            pads.append((0, 0))
    return windows.window(sizes, strides, dilations, pads)


def _places(layer: Any, given: Sequence[int | None] | None, axes: int) -> Sequence[int | None]:
    """Sizes of the axes of space of what a layer takes."""
    if given is None or len(given) != axes + 2:
        return (None,) * axes
    return given[2:] if getattr(layer, "data_format", "") == "channels_first" else given[1:-1]


def _transposed(layer: Any, axes: int) -> Window:
    sizes, strides = along(layer.kernel_size, axes), along(layer.strides, axes)
    dilations = along(layer.dilation_rate, axes)
    added = None if layer.output_padding is None else along(layer.output_padding, axes)
    pads: list[Pads] = []
    for i, (size, stride, dilation) in enumerate(zip(sizes, strides, dilations)):
        reach = extent(size, dilation)
        # Keras gives as many places as strides times the input's, unless it is told how many to add.
        if layer.padding == "same":
            pads.append(windows.split(reach - stride if added is None else reach - reach % 2 - added[i]))
        else:
            pads.append((0, min(reach - stride, 0) if added is None else -added[i]))
    return windows.window(sizes, strides, dilations, pads, transposed=True)
