"""Looks at tensors of a TensorFlow graph without parting what TensorFlow computes at once, and within conditions.

Where a look would part two operations (see `search.fusions`), the hook looks at a copy of them instead. The copy takes
what the runtime has to compute anyway, and the training's own operations keep the users that they had.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.branches import Branch
from tb_layerview.capture.graph.search.fusions import Fusions
from tb_layerview.capture.graph.search.index import GraphIndex, conditions

# How far back a copy reaches: chains that are computed at once are short, and sums of sums without end are left alone.
_DEPTH = 40
# The most elements of a variable that a copy in each run may hold until the run is over: an optimizer copies a variable
# that is held before it writes to it.
_HELD = 1 << 12

_IN_ONE = "TensorFlow may compute it at once with what takes it"

Source = tuple[Any, int]  # an operation and the index of one of its outputs


@dataclasses.dataclass(frozen=True)
class Look:
    """What is fetched instead of a tensor.

    Attributes:
      tensor: It has the numbers of the tensor; zeros where a condition leaves that out of a run.
      present: A bool, whether the run has computed the tensor; None if each run that can be looked at does.
    """

    tensor: Any
    present: Any | None


class Apart:
    """Makes looks at tensors; each operation is copied once at most."""

    def __init__(self, index: GraphIndex, needed_by: Mapping[Any, frozenset[Any]]) -> None:
        """Takes the graph.

        Args:
          index: The graph.
          needed_by: For each operation the optimizers that need it; empty if the graph is not trained.
        """
        self._index, self._is_trained = index, bool(needed_by)
        self._fusions = Fusions(index, needed_by)
        self._may_part: dict[Source, bool] = {}
        self._borders: dict[Source, dict[Source, Any] | str] = {}
        self._copies: dict[Any, Any] = {}  # operations
        self._entrances: dict[Source, Any] = {}

    def borders(self, tensor: Any) -> frozenset[Source]:
        """The tensors that a copy of a tensor is computed from, as (operation, output index); none without a copy."""
        border = self._border(tensor)
        return frozenset() if isinstance(border, str) else frozenset(border)

    def cannot(self, tensor: Any, is_for_each_run: bool = False) -> str:
        """Why a tensor cannot be looked at; empty if it can.

        Args:
          tensor: The tensor.
          is_for_each_run: Whether every run would look at it, and so would hold what a copy takes until it is over.
        """
        border = self._border(tensor)
        if isinstance(border, str):
            return border
        held = (t for t in border.values() if is_for_each_run and self._index.holder_of(t) is not None)
        if any((t.shape.num_elements() or _HELD + 1) > _HELD for t in held):
            return _IN_ONE
        return ""

    def look(self, tensor: Any, admit: Callable[[Any], Any] | None = None, when: Branch | None = None) -> Look:
        """Makes a look at a tensor; in `digests.own_scope`.

        Args:
          tensor: One that can be looked at.
          admit: Makes what a copy takes of each tensor that it is computed from, so that not every run computes the
            copy; such a copy shares nothing with other looks.
          when: The branch of a condition in which the tensor is what it is logged as; None if it always is.
        """
        border = self._border(tensor)
        assert not isinstance(border, str)
        if border:
            if admit is None:
                seen = self._copy(tensor, self._copies, self._entrances, _let_in)
            else:
                seen = self._copy(tensor, {}, {}, admit)
        else:
            seen = tensor
        look = _with_absence(tensor, seen)
        return look if when is None else Look(look.tensor, when.is_taken())

    def _parts(self, tensor: Any) -> bool:
        key = (tensor.op, tensor.value_index)
        if key not in self._may_part:
            self._may_part[key] = self._fusions.may_part(tensor)
        return self._may_part[key]

    def _border(self, tensor: Any) -> dict[Source, Any] | str:
        """The tensors that a copy of a tensor is computed from, none if it needs no copy; or why there can be none."""
        key = (tensor.op, tensor.value_index)
        if key not in self._borders:
            self._borders[key] = self._find_border(tensor)
        return self._borders[key]

    def _find_border(self, tensor: Any) -> dict[Source, Any] | str:
        found: dict[Source, Any] = {}
        seen: set[Any] = set()
        stack = [(tensor, 0)] if self._parts(tensor) else []
        while stack:
            current, depth = stack.pop()
            op = current.op
            if op in seen:
                continue
            seen.add(op)
            if op.op_def.is_stateful:
                return _IN_ONE
            if depth > _DEPTH:
                return _IN_ONE
            for taken in op.inputs:
                if self._parts(taken):
                    stack.append((taken, depth + 1))
                    continue
                holder = self._index.holder_of(taken)
                if self._is_trained and holder is not None and holder.type != "VarHandleOp":
                    # What is read of such a variable is its memory, which the optimizer may write to meanwhile.
                    return _IN_ONE
                found[taken.op, taken.value_index] = taken
        return found

    def _copy(
        self, tensor: Any, copies: dict[Any, Any], entrances: dict[Source, Any], admit: Callable[[Any], Any]
    ) -> Any:
        op = tensor.op
        if op not in copies:
            inputs = []
            for taken in op.inputs:
                key = (taken.op, taken.value_index)
                if self._parts(taken):
                    inputs.append(self._copy(taken, copies, entrances, admit))
                    continue
                # A constant is taken as it is, since sizes may be known by it; unless nothing else tells copies apart.
                is_constant = taken.op.type == "Const" and any(t.op.type != "Const" for t in op.inputs)
                if not is_constant and key not in entrances:
                    entrances[key] = admit(taken)
                inputs.append(taken if is_constant else entrances[key])
            attributes = {name: value for name, value in op.node_def.attr.items() if not name.startswith("_")}
            with tf.device(op.device):
                copies[op] = self._index.graph.create_op(
                    op.type, inputs, [t.dtype for t in op.outputs], name=op.type, attrs=attributes, op_def=op.op_def
                )
        return copies[op].outputs[tensor.value_index]


def _let_in(tensor: Any) -> Any:
    """The same tensor, handed on by an operation that TensorFlow does not remove.

    So the copies take other inputs than the originals; with the same inputs TensorFlow would make them one again.
    """
    # Not every device type has a kernel for it; the process is the tensor's.
    process = tf.DeviceSpec.from_string(tensor.device).replace(device_type=None, device_index=None)
    with tf.device(process.to_string()):
        return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tensor.shape)


def _with_absence(original: Any, seen: Any) -> Look:
    """A tensor of a condition's branch, with zeros for the runs that take the other one."""
    around = conditions(original.op)
    present = None
    for condition in around:  # from within

        def otherwise(value: Any, condition: Any = condition) -> Any:
            switch = tf.raw_ops.Switch(data=value, pred=condition.pred)
            return switch.output_false if condition.branch else switch.output_true

        if present is None:
            switch = tf.raw_ops.Switch(data=tf.constant(True), pred=condition.pred)
            present = switch.output_true if condition.branch else switch.output_false
        sizes = [1 if size is None else size for size in original.shape]
        with tf.device(original.device):
            zeros = tf.raw_ops.Fill(dims=tf.constant(sizes, tf.int32), value=otherwise(tf.zeros([], original.dtype)))
            seen = tf.raw_ops.Merge(inputs=[seen, zeros]).output
        present = tf.raw_ops.Merge(inputs=[present, otherwise(tf.constant(False))]).output
    if around:
        seen.set_shape(original.shape)
    return Look(seen, present)
