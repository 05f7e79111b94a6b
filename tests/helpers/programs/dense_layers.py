"""Dense layers in a model_fn: nothing outside of it has a handle on them."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

random = np.random.default_rng(11)
POINTS = random.normal(size=(96, 12)).astype(np.float32)
SECTORS = (np.arctan2(POINTS[:, 1], POINTS[:, 0]) // (np.pi / 5) % 10).astype(np.int32)


def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    hidden = tf1.layers.dense(features["x"], 32, activation=tf.nn.relu)
    scores = tf1.layers.dense(hidden, 10)

    if mode == tf.estimator.ModeKeys.PREDICT:
        predictions = {"sector": tf.argmax(scores, axis=1), "probabilities": tf.nn.softmax(scores)}
        return tf.estimator.EstimatorSpec(mode, predictions=predictions)

    loss = tf1.losses.sparse_softmax_cross_entropy(labels, scores)
    if mode == tf.estimator.ModeKeys.TRAIN:
        optimizer = tf1.train.AdamOptimizer(params["learning_rate"])
        return tf.estimator.EstimatorSpec(
            mode, loss=loss, train_op=optimizer.minimize(loss, tf1.train.get_global_step())
        )

    accuracy = tf1.metrics.accuracy(labels, tf.argmax(scores, axis=1))
    return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops={"accuracy": accuracy})


def training_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(({"x": POINTS}, SECTORS)).repeat().batch(16)


def test_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(({"x": POINTS}, SECTORS)).batch(16)


def make_estimator(folder: str) -> Any:
    return tf.estimator.Estimator(model_fn, folder, params={"learning_rate": 0.01})


def main(folder: str) -> None:
    estimator = make_estimator(folder)
    estimator.train(training_data, steps=6)
    print("accuracy:", estimator.evaluate(test_data)["accuracy"])
    print("first sector:", next(estimator.predict(test_data))["sector"])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
