"""Convolutions, pooling and dropout in a model_fn: nothing outside of it has a handle on them."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

SIZE = 16
random = np.random.default_rng(12)
IMAGES = random.random((48, SIZE * SIZE)).astype(np.float32)
BRIGHTEST_ROW = (IMAGES.reshape(-1, SIZE, SIZE).sum(axis=2).argmax(axis=1) % 10).astype(np.int32)


def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    layers = tf1.layers
    is_training = mode == tf.estimator.ModeKeys.TRAIN
    x = tf.reshape(features["x"], [-1, SIZE, SIZE, 1])

    conv1 = layers.conv2d(x, filters=6, kernel_size=[5, 5], padding="same", activation=tf.nn.relu)
    pool1 = layers.max_pooling2d(conv1, pool_size=[2, 2], strides=2)
    conv2 = layers.conv2d(pool1, filters=8, kernel_size=[5, 5], padding="same", activation=tf.nn.relu)
    pool2 = layers.max_pooling2d(conv2, pool_size=[2, 2], strides=2)

    flat = tf.reshape(pool2, [-1, (SIZE // 4) ** 2 * 8])
    hidden = layers.dense(flat, 24, activation=tf.nn.relu)
    hidden = layers.dropout(hidden, rate=0.4, training=is_training)
    scores = layers.dense(hidden, 10)

    predictions = {"row": tf.argmax(scores, axis=1), "probabilities": tf.nn.softmax(scores, name="probabilities")}
    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions=predictions)

    loss = tf1.losses.sparse_softmax_cross_entropy(labels, scores)
    if is_training:
        optimizer = tf1.train.AdamOptimizer(params["learning_rate"])
        return tf.estimator.EstimatorSpec(
            mode, loss=loss, train_op=optimizer.minimize(loss, tf1.train.get_global_step())
        )

    accuracy = tf1.metrics.accuracy(labels, predictions["row"])
    return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops={"accuracy": accuracy})


def training_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(({"x": IMAGES}, BRIGHTEST_ROW)).repeat().batch(8)


def test_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(({"x": IMAGES}, BRIGHTEST_ROW)).batch(8)


def make_estimator(folder: str) -> Any:
    config = tf.estimator.RunConfig(tf_random_seed=5)
    return tf.estimator.Estimator(model_fn, folder, config, params={"learning_rate": 0.01})


def main(folder: str) -> None:
    estimator = make_estimator(folder)
    estimator.train(training_data, steps=6)
    print("accuracy:", estimator.evaluate(test_data)["accuracy"])
    print("first row:", next(estimator.predict(test_data))["row"])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
