"""The global step of a TensorFlow graph, read at any time or right after a run has raised it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.index import GraphIndex, can_run

#: After this many runs in a row that did not raise the global step, runs of that kind are expected not to.
NEVER = 64


class GlobalStep:
    """Reads of the global step.

    Attributes:
      raiser: The operation that raises it, if there is just one and it does not stand in a condition; else None.
      now: What to fetch to have it as it is; None if the graph has no global step.
      after: What to fetch with a run that reaches `raiser`, to have it as it is then; None without `raiser`.
    """

    def __init__(self, index: GraphIndex) -> None:
        """Adds the reads to the graph."""
        graph = index.graph
        self.raiser = self.now = self.after = None
        variable = tf.compat.v1.train.get_global_step(graph)
        if variable is None:
            return
        holder = index.by_name.get(variable.name.rsplit(":", 1)[0])
        assignments = [] if holder is None else index.assignments_to(holder)
        raisers = [op for op in assignments if op.type.startswith("AssignAdd")]
        with graph.control_dependencies(None), tf.name_scope("layerview"):
            self.now = _read(variable)
            if len(raisers) != 1 or not can_run(raisers[0]):
                return
            with graph.control_dependencies(raisers):
                self.after = _read(variable)
        self.raiser = raisers[0]

    def read(self, session: Any) -> int | None:
        """The step as it is; None if the graph has none."""
        return None if self.now is None else int(session.run(self.now))


def _read(variable: Any) -> Any:
    """A read of a variable of either kind, made here and now."""
    return variable.read_value() if hasattr(variable, "read_value") else tf.identity(variable)
