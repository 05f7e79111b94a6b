"""A convolution's activations, had through `predict`: the model_fn puts them among its predictions."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

random = np.random.default_rng(14)
IMAGES = random.random((32, 8, 8, 1)).astype(np.float32)
CLASS = random.integers(0, 4, 32).astype(np.int32)


def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    layers = tf.keras.layers
    convolved = layers.Conv2D(8, (3, 3), activation="relu")(features)
    activations = tf.identity(convolved, name="convolved")
    scores = layers.Dense(4)(layers.Flatten()(convolved))

    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions={"activations": activations, "scores": scores})

    loss = tf1.losses.sparse_softmax_cross_entropy(labels, scores)
    if mode == tf.estimator.ModeKeys.TRAIN:
        optimizer = tf1.train.AdamOptimizer(params["learning_rate"])
        return tf.estimator.EstimatorSpec(
            mode, loss=loss, train_op=optimizer.minimize(loss, tf1.train.get_global_step())
        )
    return tf.estimator.EstimatorSpec(mode, loss=loss)


def training_data() -> Any:
    return tf.data.Dataset.from_tensor_slices((IMAGES, CLASS)).repeat().batch(8)


def prediction_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(IMAGES).batch(8)


def make_estimator(folder: str) -> Any:
    return tf.estimator.Estimator(model_fn, folder, params={"learning_rate": 0.01})


def main(folder: str) -> None:
    estimator = make_estimator(folder)
    estimator.train(training_data, steps=6)
    for image, prediction in enumerate(estimator.predict(prediction_data)):
        print(f"image {image}: mean activation {prediction['activations'].mean():.4f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
