"""A TensorFlow 1 graph with nothing wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from bed import healthy, problem
from bed_of_graphs import graph_of, run_graph, tf1, weighted
from healthy_trainings import STEPS, Losses


@healthy
def graph_in_a_monitored_session(folder: Path) -> Losses:
    """A TensorFlow 1 graph of two dense layers in a monitored session, with the hook, momentum."""
    x, y = problem(8, STEPS)
    losses: list[float] = []

    class Loss(tf1.train.SessionRunHook):  # type: ignore[misc]
        """Reads the loss of each step."""

        def before_run(self, run_context: Any) -> Any:
            return tf1.train.SessionRunArgs(loss)

        def after_run(self, run_context: Any, run_values: Any) -> None:
            losses.append(float(run_values.results))

    with graph_of(x, y) as (step, inputs, wanted):
        hidden = tf.nn.relu(weighted(inputs, 32, "hidden"))
        loss = tf.reduce_mean((weighted(hidden, 1, "score") - wanted) ** 2)
        train_op = tf1.train.MomentumOptimizer(0.03, 0.9).minimize(loss, step)
        run_graph(folder, train_op, hooks=[Loss()])
    return float(np.mean(losses[:5])), float(np.mean(losses[-5:]))
