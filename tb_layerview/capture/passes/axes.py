"""What the axes of tensors mean that say nothing of it themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.nodes import known_axes, sizes


def inherited(call: Call, tensor: Any, names: Mapping[int, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The axes of what the module takes, if what it gives looks the same, but for the number of channels or units."""
    given = sizes(tensor) or ()
    for one in call.inputs:
        taken = sizes(one)
        if taken is None or len(taken) != len(given) or len(taken) < 2:
            continue
        axes = known_axes(one, names)
        if axes is None:
            continue
        own = axes.index("channel") if "channel" in axes else len(axes) - 1
        if all(a == b for i, (a, b) in enumerate(zip(taken, given)) if i != own):
            return axes
    return None
