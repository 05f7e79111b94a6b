"""An LSTM's activations at every timestep, had through `predict` and a function that names them."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

random = np.random.default_rng(16)
SEQUENCES = random.normal(size=(32, 7, 3)).astype(np.float32).cumsum(axis=1)
TREND = (SEQUENCES[:, -1, 0] > 0).astype(np.int32)


def extracted(layer_output: Any) -> Any:
    """Gives a layer's output a name of its own."""
    return tf.identity(layer_output, name="extracted")


def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    layers = tf.keras.layers
    sequence = layers.LSTM(10, return_sequences=True)(features)
    activations = extracted(sequence)
    scores = layers.Dense(2)(sequence[:, -1])

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
    return tf.data.Dataset.from_tensor_slices((SEQUENCES, TREND)).repeat().batch(8)


def prediction_data() -> Any:
    return tf.data.Dataset.from_tensor_slices(SEQUENCES).batch(8)


def make_estimator(folder: str) -> Any:
    return tf.estimator.Estimator(model_fn, folder, params={"learning_rate": 0.01})


def main(folder: str) -> None:
    estimator = make_estimator(folder)
    estimator.train(training_data, steps=6)
    for number, prediction in enumerate(estimator.predict(prediction_data)):
        print(f"sequence {number}:", np.abs(prediction["activations"]).mean(axis=1).round(3))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
