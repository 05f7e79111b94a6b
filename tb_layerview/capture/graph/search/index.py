"""A TensorFlow graph, indexed once: who consumes what, what depends on data, what belongs to the backward pass."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tb_layerview.capture import cluster

# The operations that hold a variable: their output is its handle or reference.
HOLDERS = frozenset({"VarHandleOp", "VariableV2", "Variable"})

# The operations by which a condition of TensorFlow 1's form takes tensors from outside.
SWITCHES = frozenset({"Switch", "RefSwitch"})

# These update, save, restore, check or report what they consume, which does not make a tensor an output.
_SINKS = re.compile(
    r"Assign|(Resource)?Scatter|(Resource)?(Sparse)?Apply[A-Z]|Save|Restore|VarIsInitialized|IsVariableInitialized"
    r"|Print|Assert$|NoOp|(Write)?\w*Summary(V2)?$"
)
_ASSIGNMENTS = ("Assign", "Scatter", "ResourceScatter")
_BACKWARD = re.compile(r"_grad(_\d+)?$")


class GraphIndex:
    """What a search through a graph asks for again and again, computed once.

    Operations of the bodies of functions, loops and conditions in TensorFlow 2's form are not part of it: those have
    graphs of their own. Operations are compared by identity; tensors cannot be hashed, so `(operation, output index)`
    stands for one.

    Attributes:
      graph: The `tf.Graph`.
      ops: Its operations in the order of their creation, which is a forward order but in loops and conditions of
        TensorFlow 1's form.
      position: Index in `ops` of each operation.
      by_name: Operations by name.
      gradient_scopes: The scopes that `tf.gradients` has made, each with the last operation that it has a gradient for,
        which made what was differentiated: the loss.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.ops: list[Any] = list(graph.get_operations())
        self.position: dict[Any, int] = {op: i for i, op in enumerate(self.ops)}
        self.by_name: dict[str, Any] = {op.name: op for op in self.ops}
        self._consumers: dict[tuple[Any, int], list[Any]] = {}
        self._data: set[Any] = set()
        self._backward: set[Any] = set()
        self._fed: set[Any] = set()
        self.gradient_scopes: dict[str, Any] = {}
        for op in self.ops:
            self._note_gradient_scope(op.name)
        is_out_of_order = False
        for op in self.ops:
            inputs = list(op.inputs)
            for tensor in inputs:
                self._consumers.setdefault((tensor.op, tensor.value_index), []).append(op)
            if self.is_named_as_backward(op.name):
                self._backward.add(op)
            if _is_data_source(op, inputs):
                self._data.add(op)
            if op.type == "Placeholder":
                self._fed.add(op)
            is_out_of_order = is_out_of_order or op.type in ("Switch", "RefSwitch", "NextIteration")
            self._inherit(op, inputs)
        while is_out_of_order:
            # In loops and conditions of TensorFlow 1's form operations read from some that were made after them.
            before = len(self._backward), len(self._data), len(self._fed)
            for op in self.ops:
                self._inherit(op, op.inputs)
            is_out_of_order = before != (len(self._backward), len(self._data), len(self._fed))

    def _inherit(self, op: Any, inputs: Iterable[Any]) -> None:
        """Adds an operation to each set that one of its inputs is in."""
        for members in (self._backward, self._data, self._fed):
            if op not in members and any(t.op in members for t in inputs):
                # A variable does not come from the data that decide which branch of a condition takes it.
                if members is self._data and op.type in SWITCHES and op.inputs[0].op not in members:
                    continue
                members.add(op)

    @functools.cached_property
    def is_here(self) -> bool:
        """Whether this process alone computes it, and writes to no memory that somebody holds.

        A reference variable is written to where it lies, whoever holds what was read of it.
        """
        has_references = any(op.type in ("VariableV2", "Variable", "TemporaryVariable") for op in self.ops)
        return not has_references and cluster.is_in_one_process(self.graph)

    def is_forward(self, op: Any) -> bool:
        """Whether the operation is neither part of a gradient's computation nor depends on one."""
        return op not in self._backward

    def is_from_data(self, op: Any) -> bool:
        """Whether the operation depends on anything but variables and small constants."""
        return op in self._data

    def needs_feeding(self, op: Any) -> bool:
        """Whether the operation runs only if a placeholder is fed."""
        return op in self._fed

    def consumers(self, tensor: Any) -> list[Any]:
        """The forward operations that compute something from a tensor."""
        return [
            op
            for op in self._consumers.get((tensor.op, tensor.value_index), ())
            if op not in self._backward and not _SINKS.match(op.type)
        ]

    @functools.cached_property
    def functions(self) -> dict[str, Any]:
        """The definitions of the graph's functions, by name, without those that are made later."""
        return {f.signature.name: f for f in self.graph.as_graph_def().library.function}

    def users(self, tensor: Any) -> list[Any]:
        """All operations that take a tensor, whatever they do with it."""
        return list(self._consumers.get((tensor.op, tensor.value_index), ()))

    def is_assigned(self, tensor: Any) -> bool:
        """Whether a tensor goes straight into a variable."""
        return any(op.type.startswith(_ASSIGNMENTS) for op in self._consumers.get((tensor.op, tensor.value_index), ()))

    def ways_out(self, op: Any) -> list[Any]:
        """The operations by which a result leaves the loops of TensorFlow 1's form that an operation is in.

        Returns:
          The operation itself if it is in no loop; else the forward exits that it leads to, in the graph's order.
        """
        if can_look(op):
            return [op]
        found: set[Any] = set()
        seen = {op}
        stack = [op]
        while stack:
            for tensor in stack.pop().outputs:
                for consumer in self.consumers(tensor):
                    if consumer in seen:
                        continue
                    seen.add(consumer)
                    if can_look(consumer):
                        found.add(consumer)
                    else:
                        stack.append(consumer)
        return sorted(found, key=self.position.__getitem__)

    def updates_of(self, holder: Any) -> list[Any]:
        """The operations that assign to a variable what depends on a gradient, perhaps by way of other variables."""
        assignments = [op for op in self._consumers.get((holder, 0), ()) if op.type.startswith(_ASSIGNMENTS)]
        return [op for op in assignments if not self._backward.isdisjoint(self.ancestors([op]))]

    def assignments_to(self, holder: Any) -> list[Any]:
        """The operations that assign anything to a variable."""
        return [op for op in self._consumers.get((holder, 0), ()) if op.type.startswith(("Assign", "CountUpTo"))]

    def ancestors(self, ops: Iterable[Any], fed: frozenset[tuple[Any, int]] = frozenset()) -> frozenset[Any]:
        """All operations that run when `ops` do, these included; those that only `fed` tensors need do not run."""
        reached: set[Any] = set()
        stack = list(ops)
        while stack:
            op = stack.pop()
            if op in reached:
                continue
            reached.add(op)
            stack += [t.op for t in op.inputs if (t.op, t.value_index) not in fed]
            stack += op.control_inputs
        return frozenset(reached)

    def holder_of(self, tensor: Any) -> Any | None:
        """The operation that holds the variable of a handle, reference or value read from it; None if there is none."""
        op = tensor.op
        while op.type in ("Identity", "ReadVariableOp", "Enter", "Switch", "RefSwitch") and op.inputs:
            op = op.inputs[0].op
        return op if op.type in HOLDERS else None

    def _note_gradient_scope(self, name: str) -> None:
        """Finds the scope of a gradient in the name of one of its operations.

        `tf.gradients` puts what it makes for an operation `a/b` into a scope `gradients/a/b_grad`, whatever the user
        calls the outer scope: that the part before `_grad` names an operation tells it from a layer called `my_grad`.
        """
        if "_grad" not in name:
            return
        parts = name.split("/")
        for end, part in enumerate(parts):
            if not _BACKWARD.search(part):
                continue
            last = _BACKWARD.sub("", part)
            for start in range(1, end + 1):
                of = self.by_name.get("/".join([*parts[start:end], last]))
                if of is not None:
                    scope = "/".join(parts[:start])
                    known = self.gradient_scopes.get(scope)
                    if known is None or self.position[known] < self.position[of]:
                        self.gradient_scopes[scope] = of
                    return

    def is_named_as_backward(self, name: str) -> bool:
        """Whether `tf.gradients` or `tf.GradientTape` has made the operation, by its scope."""
        if "gradient_tape/" in name:
            return True
        end = name.find("/")
        while end >= 0:
            if name[:end] in self.gradient_scopes:
                return True
            end = name.find("/", end + 1)
        return False


def _context(op: Any) -> Any | None:
    """The innermost condition or loop of TensorFlow 1's form that an operation is in."""
    # There is no public way to ask; the method has been there since TensorFlow 0.8 and is in 2.21.
    context = op._get_control_flow_context()
    if context is not None and op.type in ("Exit", "RefExit"):
        context = context.outer_context  # it is counted as part of the loop whose result it hands out
    return context


def can_run(op: Any) -> bool:
    """Whether a session can run the operation: it is not inside a condition or a loop of TensorFlow 1's form."""
    return _context(op) is None


def can_look(op: Any) -> bool:
    """Whether what the operation computes can be looked at: it is in no loop, though it may be in conditions."""
    context = _context(op)
    while context is not None and context.IsCondContext():
        context = context.outer_context
    return context is None


def conditions(op: Any) -> list[Any]:
    """The conditions of TensorFlow 1's form that an operation is in, from within; each has a `pred` and a `branch`."""
    found, context = [], _context(op)
    while context is not None:
        found.append(context)
        context = context.outer_context
    return found


def loop_of(op: Any) -> Any | None:
    """The innermost loop of TensorFlow 1's form that an operation is in."""
    context = op._get_control_flow_context()
    while context is not None and context.IsCondContext():
        context = context.outer_context
    return context


def can_fetch(tensor: Any) -> bool:
    """Whether a session can fetch the tensor."""
    return can_run(tensor.op)


def outputs(op: Any) -> Iterator[Any]:
    """The outputs of an operation that may be activations: numbers that are not integers."""
    for tensor in op.outputs:
        if tensor.dtype.is_floating or tensor.dtype.is_complex:
            yield tensor


def _is_data_source(op: Any, inputs: list[Any]) -> bool:
    """Whether something other than variables and constants enters the graph here: batches, placeholders, noise.

    A constant matrix counts as data, so that a model is found that is trained on constants.
    """
    if op.type in HOLDERS or op.type in ("NoOp", "ReadVariableOp"):
        return False
    if op.type == "Const":
        tensor = op.outputs[0]
        return tensor.shape.rank is not None and tensor.shape.rank >= 2
    if not inputs:
        return True
    return bool(op.op_def.is_stateful) and not any(t.op.type in HOLDERS for t in inputs)
