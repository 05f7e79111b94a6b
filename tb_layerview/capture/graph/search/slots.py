"""What the optimizers in a TensorFlow graph keep of each variable: Adam's moments, and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.index import HOLDERS, GraphIndex
from tb_layerview.capture.graph.search.layer import shape_of
from tb_layerview.capture.slots import slot_name
from tb_layerview.format.model import unused_path

_OPTIMIZER = re.compile(r"(Resource)?(Sparse)?Apply(?P<name>\w+?)(WithAmsgrad|V2)?$")


def slots_of_inputs(index: GraphIndex, op_type: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The operations that hold what an optimizer's operation changes beside the variable, by what they are called.

    Args:
      index: The graph.
      op_type: The type of the optimizer's operation: `ResourceApplyAdam`.
      inputs: Its inputs by their names, as tensors of the graph.
    """
    match = _OPTIMIZER.match(op_type)
    optimizer = match["name"] if match else ""
    slots: dict[str, Any] = {}
    for name, tensor in inputs.items():
        # What is only read comes as a value.
        is_changed = tensor.dtype == tf.resource or tensor.op.type in HOLDERS or tensor.dtype.name.endswith("_ref")
        holder = index.holder_of(tensor) if name != "var" and is_changed else None
        if holder is not None:
            slots[slot_name(name, optimizer)] = holder
    return slots


def slots_by_name(index: GraphIndex, holder: Any, trigger: Any) -> dict[str, Any]:
    """The operations that hold what an optimizer keeps of a variable that it assigns to by itself.

    These are variables of its shape that have its name within their own, as `dense/kernel/Adam` or
    `Adam/m/dense/kernel`, and from which the update is computed.

    Args:
      index: The graph.
      holder: The operation that holds the variable.
      trigger: The operation that assigns to it.
    """
    shape, found = shape_of(holder), dict[str, Any]()
    for op in _read_by(index, trigger):
        before, is_part, after = f"/{op.name}/".partition(f"/{holder.name}/")
        if op is not holder and is_part and shape_of(op).is_compatible_with(shape):
            own = (after or before).strip("/").rpartition("/")[2]
            if own:
                found[own] = op
    own_names = sorted(found)
    if len(own_names) == 2 and own_names[1] == f"{own_names[0]}_1":
        # TensorFlow 1 numbers them. Of its optimizers Adam alone assigns by itself, where gradients are of some rows.
        called = ["momentum", "velocity"]
    else:
        optimizer = "adamax" if "adamax" in trigger.name.lower() else ""
        called = [slot_name(name, optimizer) for name in own_names]
    return {name: found[own] for name, own in zip(called, own_names)}


def _read_by(index: GraphIndex, trigger: Any) -> list[Any]:
    """The operations that hold the variables from which an update is computed, the gradient's own apart."""
    found: list[Any] = []
    seen: set[Any] = set()
    stack = [trigger]
    while stack:
        op = stack.pop()
        if op in seen or index.is_named_as_backward(op.name):
            continue
        seen.add(op)
        if op.type in HOLDERS:
            found.append(op)
        elif not (index.is_forward(op) and index.is_from_data(op)):
            stack += [*(t.op for t in op.inputs), *op.control_inputs]
    return found


def all_slots(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What two optimizers keep of one variable: `momentum` of the first, `momentum#2` of the second."""
    found = dict(one)
    taken = set(found)
    for name, holder in other.items():
        if holder not in found.values():
            found[unused_path(name, taken)[0]] = holder
    return found
