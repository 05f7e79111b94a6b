"""Training and evaluation of an Estimator: metrics come from `evaluate`, layers from nowhere."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

random = np.random.default_rng(18)
X = random.normal(size=(64, 5)).astype(np.float32)
Y = np.sin(X.sum(axis=1, keepdims=True)).astype(np.float32)


def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    dense = tf1.layers.dense(features, 10, activation=tf.nn.relu)
    output = tf1.layers.dense(dense, 1)

    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions={"output": output})

    loss = tf1.losses.mean_squared_error(labels, output)
    train_op = tf1.train.AdamOptimizer(params["learning_rate"]).minimize(loss, tf1.train.get_global_step())
    metrics = {"mse": tf1.metrics.mean_squared_error(labels, output)}
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, eval_metric_ops=metrics)


def input_fn(mode: str, batch_size: int) -> Any:
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    if mode == tf.estimator.ModeKeys.TRAIN:
        return dataset.shuffle(10, seed=1).batch(batch_size).repeat()
    return dataset.batch(batch_size)


def training_data() -> Any:
    return input_fn(tf.estimator.ModeKeys.TRAIN, 16)


def test_data() -> Any:
    return input_fn(tf.estimator.ModeKeys.EVAL, len(X))


def make_estimator(folder: str) -> Any:
    return tf.estimator.Estimator(model_fn, folder, params={"learning_rate": 0.01})


def main(folder: str) -> None:
    estimator = make_estimator(folder)
    estimator.train(training_data, steps=6)
    print("evaluation:", estimator.evaluate(test_data))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
