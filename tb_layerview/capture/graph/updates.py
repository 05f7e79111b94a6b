"""The change of each weight of a TensorFlow graph over exactly one training step."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.digests import DigestGroup, Fetched, make_group, own_scope, read_weight
from tb_layerview.capture.graph.global_step import NEVER
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.taps import GraphTap
from tb_layerview.measure.tf.tap import as_difference
from tb_layerview.options import Keep


class GraphUpdates:
    """Keeps a copy of the weights of one step on their devices, and digests there how the next step has changed them.

    The copies are resources that only operations of our own name: no collection holds them, so no saver saves or
    restores them, nobody initialises them, and nobody counts them. A copy of a resource variable shares the variable's
    memory until the training assigns to the variable, which TensorFlow then gives memory of its own. That costs a copy,
    in time and in memory, of each trained weight, and changes nothing in what is trained.

    Attributes:
      is_wanted: Whether there is anything to keep.
    """

    def __init__(self, index: GraphIndex, taps: Mapping[int, GraphTap], keep: Keep) -> None:
        """Adds the copies and the digests to the graph.

        Args:
          index: The graph.
          taps: By the tensor's index in the model, of kind `update`.
          keep: How much to keep.
        """
        self.is_wanted = bool(taps)
        self._kept: int | None = None  # the step that the copies are of
        self._tried: int | None = None  # the last step that copies were asked for
        self._waited = 0
        keeping, dropping, changes = [], [], {}
        # Several processes may share the devices of a parameter server.
        name = f"layerview/{secrets.token_hex(8)}"
        with own_scope(index.graph), tf.device(None):
            for number, tap in taps.items():
                with tf.device(tap.source.device):
                    copy = tf.raw_ops.VarHandleOp(
                        dtype=tap.source.get_attr("dtype"),
                        shape=tf.TensorShape(tap.source.get_attr("shape")),
                        shared_name=f"{name}/{number}",
                    )
                    keeping.append(tf.raw_ops.AssignVariableOp(resource=copy, value=_to_keep(tap)))
                    dropping.append(tf.raw_ops.DestroyResourceOp(resource=copy, ignore_lookup_error=True))
                    before = tf.raw_ops.ReadVariableOp(resource=copy, dtype=tap.source.get_attr("dtype"))
                    before.set_shape(tap.tensor.shape)
                    changes[number] = as_difference(read_weight(tap)) - as_difference(before)
            self._group: DigestGroup = make_group(index, taps, changes, keep)
            self._keep, self._drop = tf.group(*keeping), tf.group(*dropping)

    def start(self, session: Any) -> None:
        """Begins with a session, in which nothing is kept. Keeps once, as the first time is slow."""
        self._kept = self._tried = None
        if self.is_wanted:
            session.run(self._keep)
            session.run(self._drop)

    def keep(self, session: Any, step: int) -> None:
        """Keeps the weights as they are at this step, unless that was done before."""
        if step != self._tried:
            self._tried, self._waited = step, 0
            session.run(self._keep)
            self._kept = step

    def wanted(self, with_values: bool) -> dict[str, Any]:
        """What to fetch after a run: nothing if nothing is kept."""
        return {} if self._kept is None else self._group.wanted(with_values)

    def follow(self, session: Any, step: int) -> bool:
        """Drops the copies if the step has changed since.

        Args:
          session: The one that runs.
          step: The step that is complete.

        Returns:
          Whether it is the step right after that of the copies, so that what was fetched is the change over one step.
        """
        kept = self._kept
        if kept is None:
            return False
        self._waited += 1
        if step == kept and self._waited < NEVER:
            return False
        self._kept = None
        session.run(self._drop)
        return step == kept + 1

    def fetched(self, values: Mapping[str, Any], with_values: bool) -> tuple[Fetched, ...]:
        """What `wanted` evaluated to, as a part of a step; nothing if nothing was kept."""
        return (Fetched.of(self._group, values, with_values),) if values else ()


def _to_keep(tap: GraphTap) -> Any:
    """A weight's value that stays what it is when the weight is assigned to."""
    value = read_weight(tap)
    # Reading a reference variable gives its memory itself.
    return value if tap.source.type == "VarHandleOp" else tf.raw_ops.DeepCopy(x=value)
