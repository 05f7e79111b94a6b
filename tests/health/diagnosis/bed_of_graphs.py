"""How the bed trains TensorFlow 1 graphs: by hand, in a monitored session, with the hook."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from bed import BATCH

import tb_layerview as lv

tf1 = tf.compat.v1


def weighted(x: Any, units: int, name: str, scale: float = 1.0, bias: float = 0.0) -> Any:
    """A dense layer by hand, in a scope, with weights of its own on both stacks; `scale` is relative to Glorot's."""
    size = int(x.shape[-1])
    random = np.random.default_rng(sum(map(ord, name)))
    kernel = (scale * random.normal(0, np.sqrt(2 / (size + units)), (size, units))).astype(np.float32)
    with tf1.variable_scope(name):
        made = tf1.get_variable("kernel", initializer=kernel, use_resource=True)
        start = np.full(units, bias, np.float32)
        return tf.nn.bias_add(tf.matmul(x, made), tf1.get_variable("bias", initializer=start, use_resource=True))


@contextmanager
def graph_of(x: np.ndarray, y: np.ndarray) -> Any:
    """A graph, as the default, with its step and the batches of a data set: yields (step, x, y)."""
    with tf1.Graph().as_default():
        tf1.set_random_seed(1)
        step = tf1.train.get_or_create_global_step()
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, drop_remainder=True)
        yield (step, *tf1.data.make_one_shot_iterator(data).get_next())


def run_graph(folder: Path, train_op: Any, hooks: Sequence[Any] = ()) -> None:
    """Trains in a monitored session, with the hook, until there are no data left."""
    with tf1.train.MonitoredTrainingSession(hooks=[*hooks, lv.LayerViewHook(folder, schedule=1)]) as session:
        while not session.should_stop():
            session.run(train_op)
