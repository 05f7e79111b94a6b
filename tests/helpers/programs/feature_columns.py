"""Feature columns that feed two dense layers in a model_fn: a number, and a word of a vocabulary."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

VOCABULARY = ["oak", "birch", "pine"]
random = np.random.default_rng(13)
HEIGHT = random.normal(size=(96, 1)).astype(np.float32)
TREE = random.choice([*VOCABULARY, "yew"], size=(96, 1))
CLASS = random.integers(0, 10, 96).astype(np.int32)


def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    columns = tf.feature_column
    height = columns.numeric_column("height", dtype=tf.float32)
    # A layer takes a vocabulary's column only as an indicator or an embedding.
    tree = columns.indicator_column(columns.categorical_column_with_vocabulary_list("tree", VOCABULARY, tf.string))

    numbers = tf1.feature_column.input_layer(features, [height])
    words = tf1.feature_column.input_layer(features, [tree])
    of_numbers = tf1.layers.dense(numbers, 12, activation=tf.nn.relu)
    of_words = tf1.layers.dense(words, 8, activation=tf.nn.relu)
    scores = tf1.layers.dense(tf.concat([of_numbers, of_words], axis=1), 10)

    predictions = {"class": tf.argmax(scores, axis=1), "probabilities": tf.nn.softmax(scores)}
    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions=predictions)

    loss = tf1.losses.sparse_softmax_cross_entropy(labels, scores)
    if mode == tf.estimator.ModeKeys.TRAIN:
        optimizer = tf1.train.AdamOptimizer(params["learning_rate"])
        return tf.estimator.EstimatorSpec(
            mode, loss=loss, train_op=optimizer.minimize(loss, tf1.train.get_global_step())
        )

    accuracy = tf1.metrics.accuracy(labels, predictions["class"])
    return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops={"accuracy": accuracy})


def training_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(({"height": HEIGHT, "tree": TREE}, CLASS)).repeat().batch(16)


def test_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(({"height": HEIGHT, "tree": TREE}, CLASS)).batch(16)


def make_estimator(folder: str) -> Any:
    return tf.estimator.Estimator(model_fn, folder, params={"learning_rate": 0.01})


def main(folder: str) -> None:
    estimator = make_estimator(folder)
    estimator.train(training_data, steps=6)
    print("accuracy:", estimator.evaluate(test_data)["accuracy"])
    print("first class:", next(estimator.predict(test_data))["class"])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
