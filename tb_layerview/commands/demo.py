"""The demo's training: a small convolutional network on the 1,797 handwritten digits that ship with scikit-learn."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits

from tb_layerview.capture.keras.callback import LayerViewCallback


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The pictures, float32 [1797, 8, 8, 1] from 0 to 1, and their labels, int [1797]."""
    data = load_digits()
    return (data.images[..., np.newaxis] / 16).astype(np.float32), data.target


def moved(images: np.ndarray) -> np.ndarray:
    """Pictures, and each of them moved by one pixel in all directions, float32 [9 * pictures, 8, 8, 1]."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = images.shape[1:3]
    return np.concatenate([padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)])


def model() -> Any:
    """Two blocks of convolutions and a classifier; 43,000 parameters."""
    layers = keras.layers

    def block(name: str, filters: int) -> Any:
        return keras.Sequential(
            [
                layers.Conv2D(filters, 3, padding="same", use_bias=False, name="conv"),
                layers.BatchNormalization(name="norm"),
                layers.ReLU(name="relu"),
            ],
            name=name,
        )

    inputs = keras.Input((8, 8, 1), name="digit")
    x = block("block_1", 32)(inputs)
    x = block("block_2", 32)(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(10, name="classes")(x), name="digits")


def train(logdir: str, epochs: int = 24) -> Any:
    """Trains for some 20 seconds on two cores, and logs that on the default schedule.

    Large batches make that cost little: of the 1,368 steps 67 and the last are logged, whatever it takes.

    Args:
      logdir: The run's folder.
      epochs: How often to go through the digits.

    Returns:
      The trained model.
    """
    keras.utils.set_random_seed(1)
    images, labels = digits()
    held_out = 180
    pictures, targets = moved(images[:-held_out]), np.tile(labels[:-held_out], 9)
    net = model()
    net.compile(
        keras.optimizers.Adam(5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    unseen = images[-held_out:], labels[-held_out:]
    callbacks = [LayerViewCallback(logdir)]
    net.fit(pictures, targets, batch_size=256, epochs=epochs, validation_data=unseen, callbacks=callbacks)
    return net
