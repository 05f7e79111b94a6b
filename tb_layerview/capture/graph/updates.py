"""The change of each weight of a TensorFlow graph over exactly one training step."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview.capture.graph.digests import (
    DigestGroup,
    Fetched,
    hands_over,
    make_group,
    own_scope,
    read_weight,
    tap_of,
)
from tb_layerview.capture.graph.global_step import NEVER
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.taps import GraphTap
from tb_layerview.measure.handed import Differences
from tb_layerview.measure.tf.tap import as_difference
from tb_layerview.options import Keep
from tb_layerview.writing.step import Part


class GraphUpdates:
    """Keeps the weights of one step, and measures how the next step has changed them.

    Attributes:
      is_wanted: Whether there is anything to keep.
    """

    def __init__(self, index: GraphIndex, taps: Mapping[int, GraphTap], keep: Keep, reads: Mapping[Any, Any]) -> None:
        """Adds to the graph what it takes.

        Args:
          index: The graph.
          taps: By the tensor's index in the model, of kind `update`.
          keep: How much to keep.
          reads: Reads of weights that there are already, by what they read: a session copies what each of them gives.
        """
        self.is_wanted = bool(taps)
        self._kept: int | None = None  # the step that is kept
        self._tried: int | None = None  # the last step that was to be kept
        self._waited = 0
        self._copies = _Here(index, taps, keep, reads) if hands_over(index) else _OnDevice(index, taps, keep)

    def start(self, session: Any) -> None:
        """Begins with a session, in which nothing is kept. Keeps once, as the first time is slow."""
        self._kept = self._tried = None
        if self.is_wanted:
            self._copies.keep(session)
            self._copies.drop(session)

    def keep(self, session: Any, step: int) -> None:
        """Keeps the weights as they are at this step, unless that was done before."""
        if step != self._tried:
            self._tried, self._waited = step, 0
            self._copies.keep(session)
            self._kept = step

    def wanted(self, with_values: bool) -> dict[str, Any]:
        """What to fetch after a run: nothing if nothing is kept."""
        return {} if self._kept is None else self._copies.wanted(with_values)

    def fetched(self, values: Mapping[str, Any], with_values: bool) -> tuple[Part, ...]:
        """What `wanted` evaluated to, as a part of a step; nothing if nothing was kept. Before `follow`."""
        return (self._copies.fetched(values, with_values),) if values else ()

    def follow(self, session: Any, step: int) -> bool:
        """Drops what is kept if the step has changed since.

        Args:
          session: The one that runs.
          step: The step that is complete.

        Returns:
          Whether it is the step right after the one that was kept, so that the change is that over one step.
        """
        kept = self._kept
        if kept is None:
            return False
        self._waited += 1
        if step == kept and self._waited < NEVER:
            return False
        self._kept = None
        self._copies.drop(session)
        return step == kept + 1


class _Here:
    """The weights before a step as arrays of this process, to be compared on the thread that writes."""

    def __init__(self, index: GraphIndex, taps: Mapping[int, GraphTap], keep: Keep, reads: Mapping[Any, Any]) -> None:
        with own_scope(index.graph):
            found = {number: reads.get(tap.source) for number, tap in taps.items()}
            self._reads = {str(n): read_weight(taps[n]) if read is None else read for n, read in found.items()}
        self._turned = {number: tap.transpose for number, tap in taps.items()}
        self._taps = {number: tap_of(tap, self._reads[str(number)], keep) for number, tap in taps.items()}
        self._before: dict[int, npt.NDArray[Any]] = {}

    def keep(self, session: Any) -> None:
        self._before = self._as_logged(session.run(self._reads))

    def drop(self, session: Any) -> None:
        self._before = {}

    def wanted(self, with_values: bool) -> dict[str, Any]:
        return self._reads

    def fetched(self, values: Mapping[str, Any], with_values: bool) -> Differences:
        return Differences(self._taps, self._before, self._as_logged(values), with_values)

    def _as_logged(self, values: Mapping[str, Any]) -> dict[int, npt.NDArray[Any]]:
        arrays = {int(number): np.asarray(value) for number, value in values.items()}
        return {
            i: array if (order := self._turned[i]) is None else array.transpose(order) for i, array in arrays.items()
        }


class _OnDevice:
    """A copy of the weights before a step on their devices, to be compared there.

    The copies are resources that only operations of our own name: no collection holds them, so no saver saves or
    restores them, nobody initialises them, and nobody counts them. A copy of a resource variable shares the variable's
    memory until the training assigns to the variable, which TensorFlow then gives memory of its own. That costs a copy,
    in time and in memory, of each trained weight, and changes nothing in what is trained.
    """

    def __init__(self, index: GraphIndex, taps: Mapping[int, GraphTap], keep: Keep) -> None:
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

    def keep(self, session: Any) -> None:
        session.run(self._keep)

    def drop(self, session: Any) -> None:
        session.run(self._drop)

    def wanted(self, with_values: bool) -> dict[str, Any]:
        return self._group.wanted(with_values)

    def fetched(self, values: Mapping[str, Any], with_values: bool) -> Fetched:
        return Fetched.of(self._group, values, with_values)


def _to_keep(tap: GraphTap) -> Any:
    """A weight's value that stays what it is when the weight is assigned to."""
    value = read_weight(tap)
    # Reading a reference variable gives its memory itself.
    return value if tap.source.type == "VarHandleOp" else tf.raw_ops.DeepCopy(x=value)
