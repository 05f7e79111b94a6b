"""What the optimizers in a TensorFlow graph do: what updates which variable, with which gradient and learning rate."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.index import HOLDERS, GraphIndex, can_fetch
from tb_layerview.capture.graph.search.slots import slots_by_name, slots_of_inputs

_APPLY = re.compile(r"(Resource)?(Sparse)?Apply[A-Z]")
_SCATTER = re.compile(r"(Resource)?Scatter(Nd)?(Add|Sub)")
_GRADIENT_INPUTS = ("grad", "gradient", "delta")
_RATE_INPUTS = ("lr", "alpha")

# Operations that hand their input on unchanged, or in another type.
_PASS = frozenset({"Identity", "IdentityN", "StopGradient", "Enter", "Switch", "RefSwitch", "RefIdentity", "Cast"})
# What a branch does to an accumulated gradient before it is applied: the same numbers in another scale.
_SCALE = frozenset({"Mul", "RealDiv", "Div", "DivNoNan", "Neg", "MulNoNan"})

# Operations that run functions: the attribute with the functions, and how many inputs come before the arguments.
_CALLS = {
    "If": (("then_branch", "else_branch"), 1),
    "StatelessIf": (("then_branch", "else_branch"), 1),
    "Case": (("branches",), 1),
    "StatelessCase": (("branches",), 1),
    "PartitionedCall": (("f",), 0),
    "StatefulPartitionedCall": (("f",), 0),
    "While": (("body",), 0),
    "StatelessWhile": (("body",), 0),
}


@dataclasses.dataclass(frozen=True)
class Update:
    """How one variable is trained.

    Attributes:
      holder: The operation that holds the variable.
      trigger: The operation of the graph that updates it, or whose function does: a run that reaches it trains.
      gradient: The gradient's `tf.Tensor` (of a sparse update the values of the rows that it changes), or None if it
        cannot be fetched.
      sparse: Whether the gradient is of some rows only.
      learning_rate: A scalar `tf.Tensor`, or None if it cannot be fetched.
      remark: What to know about the gradient, or why there is none; empty if there is nothing to know.
      slots: What the optimizer keeps of the variable, by what it is called: the operations that hold it.
    """

    holder: Any
    trigger: Any
    gradient: Any | None = None
    sparse: bool = False
    learning_rate: Any | None = None
    remark: str = ""
    slots: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def find_updates(index: GraphIndex, holders: frozenset[Any]) -> tuple[Update, ...]:
    """Finds how each variable is trained: by optimizers' apply operations, also in conditions and functions.

    Args:
      index: The graph.
      holders: The operations that hold trainable variables.

    Returns:
      One update per variable and place where it is updated, in the graph's order.
    """
    functions: dict[str, Any] | None = None
    found: list[Update] = []
    for op in index.ops:
        if _APPLY.match(op.type):
            update = _from_operation(index, op)
            if update is not None and update.holder in holders:
                found.append(update)
        elif op.type in _CALLS and any(t.op in holders for t in op.inputs):
            if functions is None:
                functions = {f.signature.name: f for f in index.graph.as_graph_def().library.function}
            found += [u for u in _from_call(index, functions, op) if u.holder in holders]
    updated = {update.holder for update in found}
    for holder in holders - updated:
        # Keras' newer optimizers, and TensorFlow's for sparse gradients, assign what they have computed themselves.
        for op in index.updates_of(holder):
            rows = _scattered(index, op)
            remark = "" if rows is not None else "its optimizer has no apply operation to take the gradient from"
            slots = slots_by_name(index, holder, op)
            found.append(Update(holder, op, gradient=rows, sparse=rows is not None, remark=remark, slots=slots))
    return tuple(sorted(found, key=lambda update: index.position[update.trigger]))


def _from_operation(index: GraphIndex, op: Any) -> Update | None:
    inputs = dict(zip((arg.name for arg in op.op_def.input_arg), op.inputs))
    holder = index.holder_of(inputs["var"]) if "var" in inputs else None
    if holder is None:
        return None
    gradient = next((inputs[name] for name in _GRADIENT_INPUTS if name in inputs), None)
    rate = next((inputs[name] for name in _RATE_INPUTS if name in inputs), None)
    outside, remark = (None, "") if gradient is None else _lead_outside(index, gradient)
    return Update(
        holder,
        op,
        gradient=outside,
        sparse="indices" in inputs,
        learning_rate=None if rate is None else _lead_outside(index, rate)[0],
        remark=remark,
        slots=slots_of_inputs(index, op.type, inputs),
    )


def _scattered(index: GraphIndex, trigger: Any) -> Any | None:
    """The gradient of some rows that an optimizer adds to the variable itself or, as Adam does, to its averages."""
    gradients: dict[str, Any] = {}
    seen: set[Any] = set()
    stack = [trigger]
    while stack:
        op = stack.pop()
        if op in seen or index.is_named_as_backward(op.name):
            continue
        seen.add(op)
        stack += [*(t.op for t in op.inputs), *op.control_inputs]
        if not _SCATTER.fullmatch(op.type):
            continue
        tensor = dict(zip((arg.name for arg in op.op_def.input_arg), op.inputs))["updates"]
        while tensor is not None and tensor.op.type in _SCALE and not index.is_named_as_backward(tensor.op.name):
            scaled = [t for t in tensor.op.inputs if t.shape.rank != 0]
            tensor = scaled[0] if len(scaled) == 1 else None  # else a product of two, as a squared gradient
        if tensor is not None and not index.is_forward(tensor.op) and can_fetch(tensor):
            gradients[tensor.name] = tensor
    return next(iter(gradients.values())) if len(gradients) == 1 else None


def _lead_outside(index: GraphIndex, tensor: Any) -> tuple[Any | None, str]:
    """The tensor outside of a condition of TensorFlow 1's form that one inside comes from, and a remark on it."""
    remark = ""
    while not can_fetch(tensor):
        op = tensor.op
        if op.type in _PASS and op.inputs:
            tensor = op.inputs[0]
        elif op.type == "ReadVariableOp":
            return _accumulated(index, op.inputs[0])
        elif op.type in _SCALE:
            scaled = [t for t in op.inputs if t.shape.rank != 0]
            if len(scaled) != 1:
                return None, "its gradient is computed inside a condition"
            tensor, remark = scaled[0], "its gradient is scaled inside a condition and shown as it was before"
        else:
            return None, "its gradient is computed inside a condition or a loop"
    if tensor.dtype == tf.resource or tensor.op.type in HOLDERS:
        return _accumulated(index, tensor)
    holder = index.holder_of(tensor) if remark else None
    return (tensor, remark) if holder is None else _accumulated(index, tensor)


def _accumulated(index: GraphIndex, tensor: Any) -> tuple[Any | None, str]:
    """What is added up in the variable from which a gradient is taken: the gradient of each batch."""
    holder = index.holder_of(tensor)
    if holder is not None:
        for op in index.assignments_to(holder):
            if not op.type.startswith("AssignAdd"):
                continue
            added = op.inputs[1]
            if not index.is_forward(added.op) and can_fetch(added):
                return added, "its gradient is that of each batch, before it is accumulated"
    return None, "its gradient is kept in a variable"


def _from_call(index: GraphIndex, functions: dict[str, Any], op: Any) -> list[Update]:
    attributes, skipped = _CALLS[op.type]
    names: list[str] = []
    for attribute in attributes:
        value = op.get_attr(attribute)
        names += [f.name for f in (value if isinstance(value, list) else [value])]
    arguments = list(op.inputs)[skipped:]
    updates: list[Update] = []
    for name in names:
        if name in functions:
            updates += _Body(functions, functions[name], arguments).updates(index, op)
    if op.type.endswith("While"):
        # Later iterations of a loop see other values than those that it is given.
        remark = "its gradient is computed inside a loop"
        return [Update(u.holder, op, remark=remark, slots=u.slots) for u in updates]
    return updates


class _Body:
    """The body of a function, with the outer tensors that it is called with; None for other arguments."""

    def __init__(self, functions: dict[str, Any], function: Any, arguments: list[Any]) -> None:
        self._functions = functions
        self._nodes = {node.name: node for node in function.node_def}
        self._arguments = dict(zip((arg.name for arg in function.signature.input_arg), arguments))

    def updates(self, index: GraphIndex, trigger: Any) -> list[Update]:
        found: list[Update] = []
        for node in self._nodes.values():
            if _APPLY.match(node.op):
                inputs = dict(zip(_input_names(node.op), _data_inputs(node)))
                holder = self._follow(inputs.get("var", ""))[0]
                if holder is None:
                    continue
                outside = {name: self._follow(of_input)[0] for name, of_input in inputs.items()}
                slots = {name: tensor for name, tensor in outside.items() if tensor is not None}
                gradient, remark = self._gradient(index, next((inputs[n] for n in _GRADIENT_INPUTS if n in inputs), ""))
                rate = self._follow(next((inputs[n] for n in _RATE_INPUTS if n in inputs), ""))[0]
                found.append(
                    Update(
                        index.holder_of(holder),
                        trigger,
                        gradient=gradient,
                        sparse="indices" in inputs,
                        learning_rate=rate if rate is not None and rate.dtype.is_floating else None,
                        remark=remark,
                        slots=slots_of_inputs(index, node.op, slots),
                    )
                )
            elif node.op in _CALLS:
                attributes, skipped = _CALLS[node.op]
                arguments = [self._follow(name)[0] for name in _data_inputs(node)[skipped:]]
                for attribute in attributes:
                    value = node.attr[attribute]
                    for function in [value.func, *value.list.func]:
                        if function.name in self._functions:
                            body = _Body(self._functions, self._functions[function.name], arguments)
                            found += body.updates(index, trigger)
        return found

    def _gradient(self, index: GraphIndex, name: str) -> tuple[Any | None, str]:
        tensor, changed = self._follow(name, through=_PASS | _SCALE | {"ReadVariableOp"})
        if tensor is None:
            return None, "its gradient is computed inside a condition or a function"
        if tensor.dtype == tf.resource or tensor.op.type in HOLDERS:
            return _accumulated(index, tensor)
        if changed:
            return tensor, "its gradient is scaled inside a condition or a function and shown as it was before"
        return tensor, ""

    def _follow(self, name: str, through: frozenset[str] = _PASS) -> tuple[Any | None, bool]:
        """The outer tensor that a name inside stands for, and whether it is scaled on its way in."""
        changed = False
        while name:
            node_name = name.split(":")[0]
            if node_name in self._arguments:
                return self._arguments[node_name], changed
            node = self._nodes.get(node_name)
            if node is None or node.op not in through:
                break
            inputs = _data_inputs(node)
            if node.op in _SCALE:
                changed = True
                # A constant is the scale; with two computed inputs there is no telling which one is the gradient.
                inputs = [i for i in inputs if self._is_scaled(i)]
                if len(inputs) != 1:
                    break
            name = inputs[0] if inputs else ""
        return None, changed

    def _is_scaled(self, name: str) -> bool:
        """Whether a factor is the gradient, not the scale: it leads to an outer tensor that is not a scalar."""
        tensor, _ = self._follow(name, through=_PASS | _SCALE | {"ReadVariableOp"})
        if tensor is None:
            return False
        if tensor.dtype != tf.resource:
            return bool(tensor.shape.rank != 0)
        return tensor.op.type not in HOLDERS or bool(tf.TensorShape(tensor.op.get_attr("shape")).rank != 0)


def _input_names(op_type: str) -> list[str]:
    """Names of an operation's inputs, in order; `tf.raw_ops` lists them first, then attributes that have defaults."""
    return list(inspect.signature(getattr(tf.raw_ops, op_type)).parameters)


def _data_inputs(node: Any) -> list[str]:
    return [name for name in node.input if not name.startswith("^")]
