"""The demo's training: a small convolutional network on the 1,797 handwritten digits that ship with scikit-learn."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from tb_layerview.capture.keras.callback import LayerViewCallback
from tb_layerview.options import Schedule


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The pictures, float32 [1797, 8, 8, 1] from 0 to 1, and their labels, int [1797]."""
    data = load_digits()
    return (data.images[..., np.newaxis] / 16).astype(np.float32), data.target


def model() -> tf.keras.Model:
    """Two blocks of convolutions and a classifier; 34,000 parameters."""
    layers = tf.keras.layers

    def block(name: str, filters: int) -> tf.keras.Model:
        return tf.keras.Sequential(
            [
                layers.Conv2D(filters, 3, padding="same", use_bias=False, name="conv"),
                layers.BatchNormalization(name="norm"),
                layers.ReLU(name="relu"),
            ],
            name=name,
        )

    inputs = tf.keras.Input((8, 8, 1), name="digit")
    x = block("block_1", 16)(inputs)
    x = block("block_2", 32)(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    return tf.keras.Model(inputs, layers.Dense(10, name="classes")(x), name="digits")


def train(logdir: str, epochs: int = 12) -> tf.keras.Model:
    """Trains for a quarter of a minute on two cores and logs each rung of the ladder.

    Args:
      logdir: The run's folder.
      epochs: How often to go through the digits.

    Returns:
      The trained model.
    """
    tf.keras.utils.set_random_seed(1)
    images, labels = digits()
    net = model()
    net.compile(
        tf.keras.optimizers.Adam(1e-3),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    # A demo is all about the log: let it take as long as the training itself.
    callback = LayerViewCallback(logdir, schedule=Schedule(budget=1.0))
    net.fit(images, labels, batch_size=32, epochs=epochs, validation_split=0.1, callbacks=[callback])
    return net
