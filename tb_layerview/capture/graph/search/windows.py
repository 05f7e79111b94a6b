"""The windows of a TensorFlow graph's convolutions and poolings, by the attributes of their operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.layer import FoundLayer
from tb_layerview.capture.passes import windows
from tb_layerview.capture.passes.between import ELEMENT_WISE
from tb_layerview.capture.passes.windows import Pads, extent
from tb_layerview.format.model import Window

_POOLING = frozenset(("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D"))
_TRANSPOSED = frozenset(("Conv2DBackpropInput", "Conv3DBackpropInputV2"))
_CONVOLUTIONS = frozenset(("Conv2D", "Conv3D", "DepthwiseConv2dNative"))
_SLIDING = _POOLING | _TRANSPOSED | _CONVOLUTIONS
# What gives for each place what it takes there, as far as the axes of space go.
_IN_PLACE = ELEMENT_WISE | frozenset(
    ("Softmax", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "Squeeze", "ExpandDims")
)


def window_of(index: GraphIndex, layer: FoundLayer) -> Window | None:
    """What of its input a layer reads for one place of its output; None where its own operations do more than that."""
    sliding = {op for op in layer.entries if op.type in _SLIDING}
    reached: set[Any] = set()
    found: list[Window | None] = []
    for call in (*layer.calls, *layer.drafts):
        op = _slides_last(index, call[0], sliding)
        if op is None:
            return None
        reached.add(op)
        if layer.class_name.startswith("Separable") and _is_of_one_place(_window(op)):
            first = _slides_last(index, op.inputs[0], sliding)
            if first is None:
                return None
            reached.add(first)
            op = first
        found.append(_without_added_axis(op, _window(op)) if "1D" in layer.class_name else _window(op))
    # Two in a row, of which the second one alone gives what the layer gives, are no single window.
    return windows.of_all(found) if found and reached == sliding else None


def _slides_last(index: GraphIndex, tensor: Any, sliding: set[Any]) -> Any | None:
    """The one of some operations that a tensor is made of, place by place; None where there is another one between."""
    found: set[Any] = set()
    seen: set[Any] = set()
    pending = [tensor.op]
    while pending:
        op = pending.pop()
        if op in seen or not index.is_from_data(op):
            continue
        seen.add(op)
        if op in sliding:
            found.add(op)
        elif op.type in _IN_PLACE:
            pending += [t.op for t in op.inputs]
        else:
            return None
    return found.pop() if len(found) == 1 else None


def _is_of_one_place(window: Window | None) -> bool:
    return window is not None and {*window.size, *window.strides} == {1}


def _window(op: Any) -> Window | None:
    """The window of one operation; None where its size is not known, or its input lies in blocks (dilated by hand)."""
    data = op.inputs[2] if op.type in _TRANSPOSED else op.inputs[0]
    if data.op.type == "SpaceToBatchND":
        return None
    space = _space(op)
    axes = len(space)
    size = _attribute(op, "ksize", space) if op.type in _POOLING else op.inputs[1].shape.as_list()[:axes]
    if None in size:
        return None
    strides = _attribute(op, "strides", space)
    dilation = [1] * axes if op.type in _POOLING else _attribute(op, "dilations", space)
    taken, given = _sizes(data, space), _sizes(op.outputs[0], space)
    pads = [_padding(op, space[i], (taken[i], size[i], strides[i], dilation[i]), given[i]) for i in range(axes)]
    return windows.window(size, strides, dilation, pads, transposed=op.type in _TRANSPOSED)


def _space(op: Any) -> list[int]:
    """The places of the axes of space among all."""
    order = op.get_attr("data_format").decode()
    return [i for i, name in enumerate(order) if name not in "NC"]


def _attribute(op: Any, name: str, space: Sequence[int]) -> list[int]:
    values = op.get_attr(name)
    return [int(values[i]) for i in space]


def _sizes(tensor: Any, space: Sequence[int]) -> list[int | None]:
    return [None] * len(space) if tensor.shape.rank is None else [tensor.shape[i] for i in space]


def _padding(op: Any, axis: int, sliding: tuple[int | None, int, int, int], outputs: int | None) -> Pads:
    """The padding along an axis.

    Args:
      op: The operation.
      axis: The place of the axis among all.
      sliding: What `windows.same` is given.
      outputs: Places of what the operation gives along this axis.
    """
    n, size, stride, dilation = sliding
    word = op.get_attr("padding").decode()
    before = 0
    if word == "EXPLICIT":
        before, after = (int(pad) for pad in op.get_attr("explicit_paddings")[2 * axis : 2 * axis + 2])
    if op.type in _TRANSPOSED:
        if n is None or outputs is None:
            return None
        total = (n - 1) * stride + extent(size, dilation) - outputs
        return windows.split(total) if word == "SAME" else (before, total - before)
    if word == "SAME":
        return windows.same(*sliding)
    return (before, after) if word == "EXPLICIT" else (0, 0)


def _without_added_axis(op: Any, window: Window | None) -> Window | None:
    """That of a layer of one axis, which TensorFlow computes with two: the other one has one place."""
    if window is None:
        return None
    sizes = _sizes(op.inputs[2] if op.type in _TRANSPOSED else op.inputs[0], _space(op))
    added = [i for i, (n, size) in enumerate(zip(sizes, window.size)) if n == size == 1]
    if len(added) != 1 or len(sizes) != 2:
        return None
    kept = slice(1, 2) if added[0] == 0 else slice(0, 1)
    return Window(
        window.size[kept],
        window.strides[kept],
        window.dilation[kept],
        window.padding_before[kept],
        window.padding_after[kept],
        window.transposed,
    )
