"""Trains an Estimator bare, with the hook, and bare again, where tf.estimator is.

`python -m benchmarks.hook_training MODEL SCHEDULE SECONDS` prints the seconds of a step as JSON: with the hook, before,
and after. MODEL is cnn or digits, SCHEDULE default or silent.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import LayerViewHook, Schedule
from tb_layerview.demo_estimator import model_fn as digits_model_fn

SET_UP = 5  # steps that are not counted


class Until(tf.compat.v1.train.SessionRunHook):
    """Ends a training after a time.

    Attributes:
      per_step: Seconds of a step after the first ones.
    """

    def __init__(self, duration: float) -> None:
        self._duration, self._steps, self._began, self.per_step = duration, 0, 0.0, 0.0

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self._steps += 1
        now = time.perf_counter()
        if self._steps == SET_UP:
            self._began = now
        elif self._steps > SET_UP:
            self.per_step = (now - self._began) / (self._steps - SET_UP)
            if now - self._began > self._duration:
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
    (model_fn, size), schedule, duration = MODELS[sys.argv[1]], SCHEDULES[sys.argv[2]], float(sys.argv[3])
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1280, size, size, 1)).astype(np.float32)
    digits = rng.integers(0, 10, 1280).astype(np.int32)

    def data() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(({"pixels": images}, digits)).repeat().batch(64)

    def train(share: float, logs: bool = False) -> float:
        with tempfile.TemporaryDirectory() as folder:
            config = tf.estimator.RunConfig(
                save_checkpoints_steps=None, save_checkpoints_secs=None, save_summary_steps=None
            )
            until = Until(share * duration)
            hooks = [LayerViewHook(folder, schedule=schedule), until] if logs else [until]
            tf.estimator.Estimator(model_fn, folder, config=config).train(data, hooks=hooks)
            return until.per_step

    train(0.02)
    before = train(0.5)
    logged = train(1.0, logs=True)
    print(json.dumps([logged, before, train(0.5)]))


if __name__ == "__main__":
    main()
