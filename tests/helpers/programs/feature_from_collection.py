"""A hook of the program's own that reads a feature, which the model_fn has put into a graph collection."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

random = np.random.default_rng(19)
X = random.normal(size=(64, 4)).astype(np.float32)
Y = (X**2).sum(axis=1, keepdims=True).astype(np.float32)


def model_fn(features: Any, labels: Any, mode: str) -> Any:
    feature = features["x"]
    tf1.add_to_collection("my_features", feature)
    hidden = tf1.layers.dense(feature, 8, activation=tf.nn.tanh, name="hidden")
    output = tf1.layers.dense(hidden, 1, name="output")

    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions={"output": output})
    loss = tf1.losses.mean_squared_error(labels, output)
    train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, tf1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


class FeatureHook(tf1.train.SessionRunHook):
    """Reads the feature at every run."""

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []

    def before_run(self, run_context: Any) -> Any:
        collected = tf1.get_collection("my_features")
        if not collected:
            raise ValueError("the model_fn has put nothing into the collection 'my_features'")
        return tf1.train.SessionRunArgs(collected[0])

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.values.append(run_values.results)


def training_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(({"x": X}, Y)).repeat().batch(16)


def test_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(({"x": X}, Y)).batch(16)


def make_estimator(folder: str) -> Any:
    return tf.estimator.Estimator(model_fn, folder)


def main(folder: str) -> None:
    hook = FeatureHook()
    make_estimator(folder).train(training_data, hooks=[hook], steps=6)
    for step, value in enumerate(hook.values, 1):
        print(f"step {step}: feature of shape {value.shape}, mean {value.mean():.4f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
