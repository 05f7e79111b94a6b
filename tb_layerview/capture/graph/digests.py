"""The digests that the hook adds to a graph, in groups that a run fetches as a whole."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.apart import Apart
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.taps import GraphTap
from tb_layerview.format import values
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.tf import digests, in_memory
from tb_layerview.measure.tf.digests import Digests
from tb_layerview.measure.tf.tap import Tap
from tb_layerview.options import Keep


@dataclasses.dataclass(frozen=True)
class DigestGroup:
    """Digests that are fetched together or not at all.

    Attributes:
      sources: The tensors, as (operation, output index), that a run must compute anyway to fetch the digests.
      taps: What is digested, by the tensor's index in the model.
      fetches: What there is to fetch.
      borders: What copies of the sources are computed from, which such a run must compute too.
      present: For each tensor that a condition leaves out of some runs, a bool: whether a run has computed it.
    """

    sources: frozenset[tuple[Any, int]]
    taps: dict[int, Tap]
    fetches: dict[str, Any]
    borders: frozenset[tuple[Any, int]] = frozenset()
    present: dict[int, Any] = dataclasses.field(default_factory=dict)

    def wanted(self, with_values: bool) -> dict[str, Any]:
        """What to fetch at a step with or without values."""
        fetches = digests.wanted(self.fetches, with_values)
        return {**fetches, "present": {str(i): t for i, t in self.present.items()}} if self.present else fetches


@dataclasses.dataclass(frozen=True)
class Fetched:
    """What was fetched of a group of digests: a part of a step.

    Attributes:
      found: What `group.wanted` evaluated to.
      absent: The tensors that the run has not computed, by index in the model.
    """

    found: Digests
    absent: frozenset[int]

    @classmethod
    def of(cls, group: DigestGroup, values: Mapping[str, Any], with_values: bool) -> Fetched:
        """What was fetched of a group.

        Args:
          group: The digests.
          values: What `group.wanted` evaluated to.
          with_values: Whether that was with values.
        """
        absent = frozenset(int(i) for i, is_there in values.get("present", {}).items() if not is_there)
        return cls(digests.fetched(group.taps, values, with_values), absent)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return self.found.nbytes

    def measurements(self) -> dict[int, Measurement]:
        """Makes measurements of it, by the tensor's index in the model."""
        return {i: measured for i, measured in self.found.measurements().items() if i not in self.absent}


def add_digests(
    index: GraphIndex,
    taps: Mapping[int, GraphTap],
    keep: Keep,
    needed_by: Mapping[Any, frozenset[Any]],
    apart: Apart,
) -> tuple[DigestGroup, ...]:
    """Adds digests of activations and gradients to the graph.

    Small tensors are joined before they are fetched, so a group holds what the same runs compute: with two optimizers
    that take turns there are two groups of gradients, and one for each set of optimizers that an activation reaches.

    Args:
      index: The graph.
      taps: By the tensor's index in the model.
      keep: How much to keep.
      needed_by: What `find_needs` has found; empty if the graph is not trained.
      apart: What looks at the tensors.
    """
    grouped: dict[Any, dict[int, GraphTap]] = {}
    for number, tap in taps.items():
        # Where nothing is trained, what a run computes depends on what it fetches, and so does each tensor.
        key = needed_by.get(tap.source.op) or tap.source.op
        grouped.setdefault(key, {})[number] = tap
    groups = []
    with own_scope(index.graph):
        for members in grouped.values():
            sources = frozenset((tap.source.op, tap.source.value_index) for tap in members.values())
            borders = frozenset().union(*(apart.borders(tap.source) for tap in members.values()))
            looks = {number: apart.look(tap.source, when=tap.when) for number, tap in members.items()}
            tensors = {number: _own(index, look.tensor) for number, look in looks.items()}
            group = make_group(index, members, tensors, keep, sources)
            present = {number: look.present for number, look in looks.items() if look.present is not None}
            groups.append(dataclasses.replace(group, borders=borders, present=present))
    return tuple(groups)


def add_weight_digests(
    index: GraphIndex, taps: Mapping[int, GraphTap], keep: Keep
) -> tuple[DigestGroup, dict[Any, Any]]:
    """Adds digests of weights, each of which reads its variable anew; they depend on nothing else.

    Returns:
      The digests, and the reads by the operation that holds the variable.
    """
    with own_scope(index.graph):
        reads = {number: read_weight(tap) for number, tap in taps.items()}
        held = {tap.source: reads[number] for number, tap in taps.items() if not isinstance(tap.source, tf.Tensor)}
        return make_group(index, taps, reads, keep), held


def hands_over(index: GraphIndex) -> bool:
    """Whether a session's tensors are handed over as they lie in memory; else they are digested on their devices."""
    return index.is_here and in_memory.is_possible()


def _own(index: GraphIndex, tensor: Any) -> Any:
    """A tensor as it can be fetched and held.

    A session gives what it is fed as the very array that it was given, which whoever feeds it may write to; and outputs
    of a condition it does not give.
    """
    return tf.identity(tensor) if hands_over(index) else tensor


def read_weight(tap: GraphTap) -> Any:
    """A new read of a weight, made in the scope that is open."""
    tensor = tf.identity(tap.source) if isinstance(tap.source, tf.Tensor) else read_variable(tap.source)
    tensor.set_shape(tap.tensor.shape)
    return tensor


def read_variable(holder: Any) -> Any:
    """A new read of the variable that an operation holds, made in the scope that is open."""
    if holder.type == "VarHandleOp":
        return tf.raw_ops.ReadVariableOp(resource=holder.outputs[0], dtype=holder.get_attr("dtype"))
    return tf.identity(holder.outputs[0])


def make_group(
    index: GraphIndex,
    taps: Mapping[int, GraphTap],
    tensors: Mapping[int, Any],
    keep: Keep,
    sources: frozenset[tuple[Any, int]] = frozenset(),
) -> DigestGroup:
    """Adds digests that are fetched together; in `own_scope`.

    Args:
      index: The graph.
      taps: By the tensor's index in the model.
      tensors: What to digest for each.
      keep: How much to keep.
      sources: The tensors, as (operation, output index), that a run must compute anyway to fetch the digests.
    """
    digested: dict[int, Tap] = {}
    for number, tap in taps.items():
        tensor = tensors[number] if tap.transpose is None else tf.transpose(tensors[number], tap.transpose)
        digested[number] = tap_of(tap, tensor, keep)
    return DigestGroup(sources, digested, digests.reduce(digested, hands_over(index)))


def tap_of(tap: GraphTap, tensor: Any, keep: Keep) -> Tap:
    """How a tensor is measured.

    Args:
      tap: What it is.
      tensor: What is looked at.
      keep: How much to keep.
    """
    units = keep.units and len(tap.tensor.shape) > 1
    return Tap(tensor, units=units, keep=_plan(tap, keep), sparse=Extra.of(tap.tensor))


def _plan(tap: GraphTap, keep: Keep) -> tuple[values.Axis, ...] | None:
    """Which of a tensor's values to keep; unknown sizes are assumed."""
    tensor = tap.tensor
    budget = keep.budget(tensor.kind)
    if not budget or not tensor.shape:
        return None
    return values.choose(values.assume(tensor.shape, tensor.axes), tensor.axes, budget, keep.examples)


@contextlib.contextmanager
def own_scope(graph: Any) -> Iterator[None]:
    """The scope of the hook's own operations: their names stay apart from the user's, and they wait for nothing."""
    with graph.as_default(), graph.control_dependencies(None), tf.name_scope("layerview"):
        yield


def find_needs(index: GraphIndex, triggers: frozenset[Any]) -> dict[Any, frozenset[Any]]:
    """For each operation the optimizers that need it, an optimizer being one of the operations that train together.

    Args:
      index: The graph.
      triggers: The operations that train.
    """
    together: dict[Any, Any] = {trigger: trigger for trigger in triggers}

    def root(trigger: Any) -> Any:
        while together[trigger] is not trigger:
            trigger = together[trigger]
        return trigger

    after: dict[Any, Any] = {}  # an operation: a trigger that it waits for
    for op in index.ops:
        before = [after[t.op] for t in op.inputs if t.op in after] + [after[c] for c in op.control_inputs if c in after]
        if op in triggers:
            before.append(op)
        for trigger in before[1:]:
            together[root(trigger)] = root(before[0])
        if before:
            after[op] = before[0]
    needed: dict[Any, frozenset[Any]] = {trigger: frozenset({root(trigger)}) for trigger in triggers}
    is_changed = True
    while is_changed:  # a second time at most, but where operations read from some that were made after them
        is_changed = False
        for op in reversed(index.ops):
            own = needed.get(op)
            if not own:
                continue
            for before_op in [*(t.op for t in op.inputs), *op.control_inputs]:
                known = needed.get(before_op, frozenset())
                if not own <= known:
                    needed[before_op] = known | own
                    is_changed = True
    return needed
