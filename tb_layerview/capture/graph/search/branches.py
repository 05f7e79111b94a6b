"""Conditions of TensorFlow 2's form (`If`, `Case`): which of their branches make an output a layer's activation.

Their branches are functions, and what is inside cannot be fetched; what leaves the condition can. It is a layer's
activation if, in the branch that a run takes, that layer's variables are the last ones that go into it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.index import GraphIndex

_BRANCHES = {
    "If": ("then_branch", "else_branch"),
    "StatelessIf": ("then_branch", "else_branch"),
    "Case": ("branches",),
    "StatelessCase": ("branches",),
}
_SAME = frozenset({"Identity", "ReadVariableOp", "Cast", "StopGradient"})


@dataclasses.dataclass(frozen=True)
class Branch:
    """Branches of a condition of TensorFlow 2's form.

    Attributes:
      op: The operation that runs one of its branches.
      numbers: Which of them these are, in the order of its attributes.
    """

    op: Any
    numbers: tuple[int, ...]

    def is_taken(self) -> Any:
        """Adds a bool to the graph: whether a run takes one of them."""
        chosen = self.op.inputs[0]
        if self.op.type in ("If", "StatelessIf"):
            chosen = tf.where(tf.cast(chosen, tf.bool), 0, 1)
        else:
            last = len(self.op.get_attr("branches")) - 1
            chosen = tf.where((chosen < 0) | (chosen > last), last, chosen)  # as TensorFlow does with other numbers
        return tf.reduce_any([tf.equal(chosen, number) for number in self.numbers])


def condition_of(tensor: Any) -> Any | None:
    """The output of a condition that a tensor hands on; None if it is not one."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor if tensor.op.type in _BRANCHES else None


def branches_with(index: GraphIndex, output: Any, holders: frozenset[Any]) -> tuple[Branch | None, bool]:
    """Which branches of a condition make one of its outputs with variables of one layer.

    Args:
      index: The graph.
      output: The condition's output.
      holders: The operations that hold the layer's variables.

    Returns:
      The branches, None if all do; and whether there are any that are known to.
    """
    op = output.op
    functions = index.functions
    given = [index.holder_of(t) for t in list(op.inputs)[1:]]
    made = [
        _last_variables(functions, function, output.value_index, dict(enumerate(given)))
        for function in _names(op.node_def)
    ]
    numbers = tuple(number for number, found in enumerate(made) if found and found <= holders)
    if len(numbers) == len(made):
        return None, True
    return Branch(op, numbers), bool(numbers)


def _names(node: Any) -> list[str]:
    """The names of a condition's functions, branch by branch."""
    values = [node.attr[attribute] for attribute in _BRANCHES[node.op]]
    return [function.name for value in values for function in (value.list.func or [value.func])]


def _last_variables(
    functions: Mapping[str, Any], name: str, number: int, given: Mapping[int, Any]
) -> frozenset[Any] | None:
    """The operations that hold the variables that go last into an output of a function.

    Args:
      functions: By name.
      name: The function's.
      number: Which output.
      given: What holds the variable that an argument is, by the argument's number; None for data.

    Returns:
      The holders; None if they are not the same in each run.
    """
    function = functions[name]
    arguments = {arg.name: given.get(i) for i, arg in enumerate(function.signature.input_arg)}
    nodes = {node.name: node for node in function.node_def}

    def variable(value: str) -> Any | None:
        """What holds the variable that a value inside is, or is read of."""
        while value.split(":")[0] in nodes and nodes[value.split(":")[0]].op in _SAME:
            value = nodes[value.split(":")[0]].input[0]
        return arguments.get(value)

    found: set[Any] = set()
    seen: set[str] = set()
    stack = [function.ret[function.signature.output_arg[number].name]]
    while stack:
        value = stack.pop()
        node = nodes.get(value.split(":")[0])
        if node is None or value in seen:
            continue
        seen.add(value)
        inputs = [i for i in node.input if not i.startswith("^")]
        if node.op in _BRANCHES:
            inner = {i: variable(each) for i, each in enumerate(inputs[1:])}
            made = [_last_variables(functions, each, int(value.split(":")[-1]), inner) for each in _names(node)]
            if made[0] is None or any(each != made[0] for each in made):
                return None
            found |= made[0]
        else:
            read = {holder for holder in map(variable, inputs) if holder is not None}
            found |= read
            stack += [] if read else inputs
    return frozenset(found)
