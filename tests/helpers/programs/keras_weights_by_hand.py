"""A Keras model whose weights are changed by hand between two trainings."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

keras = tf.keras

random = np.random.default_rng(24)
X = random.normal(size=(64, 6)).astype(np.float32)
Y = random.normal(size=(64, 10)).astype(np.float32)


class OneLayer(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(10, name="dense")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def make_model() -> Any:
    model = OneLayer()
    model.build((None, 6))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def disturb(model: Any) -> np.ndarray:
    """Adds noise to the kernel, and returns what it is then."""
    kernel = model.layers[0].weights[0]
    changed = kernel.numpy() + np.random.default_rng(25).normal(scale=0.1, size=kernel.shape).astype(np.float32)
    kernel.assign(changed)
    return changed


def main() -> None:
    model = make_model()
    model.fit(X, Y, batch_size=16, verbose=0)
    before = model.layers[0].weights[0].numpy()
    print("changed by", np.abs(disturb(model) - before).max())
    model.fit(X, Y, batch_size=16, verbose=0)


if __name__ == "__main__":
    main()
