"""The losses of a TensorFlow graph: which of them a run minimises, and whether they may be fetched with it."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.fusions import Fusions
from tb_layerview.capture.graph.search.index import HOLDERS, GraphIndex, can_fetch
from tb_layerview.capture.graph.search.layer import in_order


@dataclasses.dataclass(frozen=True)
class RunLosses:
    """The losses that may be fetched with one kind of run.

    Attributes:
      minimised: Those whose gradients it computes, by name.
      known: All, by name.
      remark: Why those that it minimises are not among them; empty if there is nothing to say.
    """

    minimised: dict[str, Any]
    known: dict[str, Any]
    remark: str = ""


class Losses:
    """The losses of a graph: what was differentiated, and what stands in the collection of losses."""

    def __init__(self, index: GraphIndex, differentiated: dict[str, Any], is_training: bool) -> None:
        """Takes what was differentiated.

        Args:
          index: The graph.
          differentiated: Scalar `tf.Tensor`s, by the scope of their gradients' operations.
          is_training: Whether a loss may be computed for us alone; otherwise only what a run computes is fetched.
        """
        self._index, self._differentiated, self._is_training = index, differentiated, is_training
        self._fusions = Fusions(index, {})
        collected = index.graph.get_collection(tf.compat.v1.GraphKeys.LOSSES)
        self._all = {
            tensor.name: tensor
            for tensor in (*differentiated.values(), *collected)
            if tensor.shape.rank == 0 and can_fetch(tensor)
        }

    def of(self, reached: frozenset[Any], fed: frozenset[tuple[Any, int]]) -> RunLosses:
        """The losses of a run.

        A training computes gradients without the loss itself, unless the run fetches it. What remains to be computed
        for the loss is little, but must change nothing.

        Args:
          reached: The operations that it runs.
          fed: The tensors, as (operation, output index), that it feeds.
        """
        known = {name: tensor for name, tensor in self._all.items() if tensor.op in reached}
        minimised = self._minimised(reached)
        remark = ""
        if self._is_training:
            for name, tensor in (minimised or self._all).items():
                reason = self._cannot_add(tensor.op, reached, fed)
                if not reason:
                    known[name] = tensor
                elif not known:
                    remark = f"the loss {name!r} is not logged for runs that do not fetch it: {reason}"
        return RunLosses({n: t for n, t in minimised.items() if n in known}, known, "" if known else remark)

    def _minimised(self, reached: frozenset[Any]) -> dict[str, Any]:
        found = {scope: t for scope, t in self._differentiated.items() if _has_scope(reached, scope)}
        needed = [self._index.ancestors([tensor.op]) for tensor in found.values()]
        # What was differentiated on the way to a loss, as for a penalty on gradients, is not a loss itself.
        return {
            tensor.name: tensor for scope, tensor in found.items() if not any(_has_scope(ops, scope) for ops in needed)
        }

    def _cannot_add(self, op: Any, reached: frozenset[Any], fed: frozenset[tuple[Any, int]]) -> str:
        """Why a run may not compute an operation in addition; empty if it may, or computes it anyway."""
        for added in in_order(self._index, self._index.ancestors([op], fed) - reached):
            if added.type == "Placeholder":
                return f"it depends on the placeholder {added.name!r}, which they do not feed"
            variable = next((t.op for t in added.inputs if t.op.type in HOLDERS), None)
            if variable is not None:
                return f"the variable {variable.name!r} would be read while it is trained"
            if added.op_def.is_stateful:
                return f"the operation {added.name!r} would run for it alone"
            for tensor in added.inputs:
                if tensor.op in reached and self._fusions.may_part(tensor, reached):
                    return f"looking at {tensor.name!r} would change the training's rounding"
        return ""


def _has_scope(ops: frozenset[Any], scope: str) -> bool:
    return any(op.name.startswith(f"{scope}/") for op in ops)
