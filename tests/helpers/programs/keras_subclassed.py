"""A subclassed Keras model whose weights are had from its layers, by number and in a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

keras = tf.keras

random = np.random.default_rng(22)
X = random.normal(size=(64, 12)).astype(np.float32)
Y = random.integers(0, 10, 64)


class TwoLayers(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense1 = keras.layers.Dense(16, activation="relu", name="dense1")
        self.dense2 = keras.layers.Dense(10, name="dense2")

    def call(self, inputs: Any) -> Any:
        return self.dense2(self.dense1(inputs))


def make_model() -> Any:
    model = TwoLayers()
    model.build((None, 12))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def main() -> None:
    model = make_model()
    model.fit(X, Y, batch_size=16, verbose=0)
    print("first layer:", model.layers[0].get_weights()[0].mean())
    for layer in model.layers:
        print(layer.name, [tuple(weight.shape) for weight in layer.weights])


if __name__ == "__main__":
    main()
