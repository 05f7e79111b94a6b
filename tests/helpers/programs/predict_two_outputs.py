"""A dense layer's activations, had through `predict`, of a model with two outputs that follow it."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

random = np.random.default_rng(15)
POINTS = random.normal(size=(64, 6)).astype(np.float32)
QUADRANT = (2 * (POINTS[:, 0] > 0) + (POINTS[:, 1] > 0)).astype(np.int32)
DISTANCE = np.linalg.norm(POINTS, axis=1, keepdims=True).astype(np.float32)


def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    layers = tf.keras.layers
    shared = layers.Dense(16, activation="relu")(features)
    dense_activations = tf.identity(shared, name="shared_output")
    quadrant = layers.Dense(4, activation="softmax")(shared)
    distance = layers.Dense(1)(shared)

    if mode == tf.estimator.ModeKeys.PREDICT:
        predictions = {"dense_activations": dense_activations, "quadrant": quadrant, "distance": distance}
        return tf.estimator.EstimatorSpec(mode, predictions=predictions)

    wrong_quadrant = tf.reduce_mean(tf.keras.losses.sparse_categorical_crossentropy(labels["quadrant"], quadrant))
    loss = wrong_quadrant + tf1.losses.mean_squared_error(labels["distance"], distance)
    if mode == tf.estimator.ModeKeys.TRAIN:
        optimizer = tf1.train.AdamOptimizer(params["learning_rate"])
        return tf.estimator.EstimatorSpec(
            mode, loss=loss, train_op=optimizer.minimize(loss, tf1.train.get_global_step())
        )
    return tf.estimator.EstimatorSpec(mode, loss=loss)


def training_data() -> Any:
    labels = {"quadrant": QUADRANT, "distance": DISTANCE}
    return tf.data.Dataset.from_tensor_slices((POINTS, labels)).repeat().batch(16)


def prediction_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(POINTS).batch(16)


def make_estimator(folder: str) -> Any:
    return tf.estimator.Estimator(model_fn, folder, params={"learning_rate": 0.01})


def main(folder: str) -> None:
    estimator = make_estimator(folder)
    estimator.train(training_data, steps=6)
    for point, prediction in enumerate(estimator.predict(prediction_data)):
        silent = np.sum(prediction["dense_activations"] == 0)
        print(f"point {point}: quadrant {prediction['quadrant'].argmax()}, {silent} silent units")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
