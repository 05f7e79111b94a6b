"""What a model is trained to give for the probe, taken once for the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_layerview.capture.passes.calls import leaves
from tb_layerview.format.model import MOST_TARGET_BYTES, MOST_TARGETS, TARGET_DTYPES, Model, Target, unused_path
from tb_layerview.format.values import Axis

Array = npt.NDArray[np.generic]
# What numpy lacks, and what holds it exactly.
_WIDER = (
    *((name, "float32") for name in ("bfloat16", "float8", "float6", "float4")),
    *((name, "int8") for name in ("int4", "int2")),
    *((name, "uint8") for name in ("uint4", "uint2")),
)


def kept_examples(model: Model, kept: Mapping[int, Sequence[Axis] | None]) -> int:
    """Of how many examples values are kept of the activation of which most are; 0 where none are kept.

    Args:
      model: What is logged.
      kept: What of each axis is kept, by index of the tensor.
    """
    counts = [0]
    for index, axes in kept.items():
        tensor = model.tensors[index]
        if axes and tensor.kind == "activation" and "example" in tensor.axes:
            counts.append(axes[tensor.axes.index("example")].count)
    return max(counts)


def targets_of(
    given: Any, model: Any, rows: int, kept: int, to_array: Callable[[Any], Array | str]
) -> tuple[tuple[Target, ...], list[str]]:
    """The targets of the probe's first examples.

    Args:
      given: The targets, in a nested structure; None where there are none.
      model: The model, whose `output_names` are those of a list of targets, if it has such.
      rows: How many examples the probe has.
      kept: Of how many of them targets are kept.
      to_array: Makes an array of one; or says why it is none, after its name.

    Returns:
      The targets; and what is left out and why, a sentence each.
    """
    found: list[Target] = []
    notes: list[str] = []
    room = MOST_TARGET_BYTES
    for name, leaf in _named(given, model) if kept else ():
        of = f"target {name!r}" if name else "target"
        array = to_array(leaf)
        target = array if isinstance(array, str) else _target(name, array, rows, kept)
        if isinstance(target, str):
            notes.append(f"the probe's {of} is left out: {target}")
            continue
        if len(target.values) > room or len(found) == MOST_TARGETS:
            notes.append(
                f"the probe's {of} is left out: of {kept} examples it takes {len(target.values):,} bytes, and all "
                f"targets together have room for {MOST_TARGET_BYTES:,}"
            )
            continue
        room -= len(target.values)
        found.append(target)
    return tuple(found), notes


def _named(given: Any, model: Any) -> list[tuple[str, Any]]:
    """The targets there are, with the names of their outputs."""
    names = getattr(model, "output_names", None)
    if isinstance(given, (list, tuple)) and names is not None and len(names) == len(given):
        found = [("/".join((str(name), *path)), leaf) for name, one in zip(names, given) for path, leaf in leaves(one)]
        found = [("", leaf) for _, leaf in found] if len(found) == 1 else found
    else:
        found = [("/".join(path), leaf) for path, leaf in leaves(given)]
        if len(found) == 1 and not isinstance(given, Mapping):
            found = [("", found[0][1])]
    taken: set[str] = set()
    return [(unused_path(name, taken)[0], leaf) for name, leaf in found if leaf is not None]


def _target(name: str, array: Array, rows: int, kept: int) -> Target | str:
    """One target, as it lies in the log; or why it does not: it has no numbers, or no row for each example."""
    if array.ndim:
        if array.shape[0] != rows:
            return f"it has {array.shape[0]:,} rows, and the probe {rows:,} examples"
        array = array[:kept]
    dtype = array.dtype.name
    if dtype not in TARGET_DTYPES:
        wider = next((wide for narrow, wide in _WIDER if dtype.startswith(narrow)), None)
        if wider is None:
            return f"it is of dtype {dtype}"
        array, dtype = array.astype(wider), wider
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return Target(name, dtype, tuple(array.shape), little.tobytes())
