"""Trains an Estimator, bare or with the hook, in turn with another process: see `in_turn`.

`python -m benchmarks.hook_training MODEL HOW PACE`: MODEL is cnn or digits, HOW bare, default or silent.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.in_turn import Pace
from tb_layerview import LayerViewHook, Schedule
from tb_layerview.commands.demo_estimator import model_fn as digits_model_fn


class Paced(tf.compat.v1.train.SessionRunHook):
    """Trains when it is this process' turn, until it is told to end."""

    def __init__(self, pace: Pace, logging: LayerViewHook | None) -> None:
        self._pace, self._hook = pace, logging

    def before_run(self, run_context: Any) -> None:
        known = self._hook._recording if self._hook else None  # no public name for its budget
        if not self._pace.step(known._log.budget if known else None):
            run_context.request_stop()


def cnn_model_fn(features: Any, labels: Any, mode: str) -> Any:
    """The CNN of 3.3 million parameters that the callback is measured with, as a graph."""
    layers = tf.compat.v1.layers
    x = features["pixels"]
    for filters in (32, 64):
        x = layers.conv2d(x, filters, 5, padding="same", activation=tf.nn.relu, name=f"conv_{filters}")
        x = layers.max_pooling2d(x, 2, 2)
    x = layers.dense(tf.compat.v1.layers.flatten(x), 1024, tf.nn.relu, name="dense")
    logits = layers.dense(x, 10, name="logits")
    loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, logits)
    step = tf.compat.v1.train.get_global_step()
    train = tf.compat.v1.train.AdamOptimizer().minimize(loss, step)
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train)


MODELS = {"cnn": (cnn_model_fn, 28), "digits": (digits_model_fn, 8)}
SCHEDULES = {"default": Schedule(), "silent": Schedule(steps=(0,))}


def main() -> None:
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    warnings.filterwarnings("ignore", "`tf.layers")
    (model_fn, size), how, pace = MODELS[sys.argv[1]], sys.argv[2], Pace(sys.argv[3])
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1280, size, size, 1)).astype(np.float32)
    digits = rng.integers(0, 10, 1280).astype(np.int32)

    def data() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(({"pixels": images}, digits)).repeat().batch(64)

    with tempfile.TemporaryDirectory() as folder:
        config = tf.estimator.RunConfig(
            save_checkpoints_steps=None, save_checkpoints_secs=None, save_summary_steps=None
        )
        hook = None if how == "bare" else LayerViewHook(folder, schedule=SCHEDULES[how])
        hooks = [Paced(pace, hook), *([hook] if hook else [])]
        tf.estimator.Estimator(model_fn, folder, config=config).train(data, hooks=hooks)


if __name__ == "__main__":
    main()
