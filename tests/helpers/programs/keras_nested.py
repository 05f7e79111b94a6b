"""A functional Keras model with models within models, whose layers are had by going down into them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

keras = tf.keras
layers = keras.layers

random = np.random.default_rng(23)
X = random.normal(size=(64, 12)).astype(np.float32)
Y = random.normal(size=(64, 3)).astype(np.float32)


def make_model() -> Any:
    core = keras.Sequential(
        [keras.Input((8,)), layers.Dense(6, activation="relu", name="narrow"), layers.Dense(8, name="wide")],
        name="core",
    )
    block_input = keras.Input((8,))
    block = keras.Model(block_input, layers.Dense(8, activation="tanh", name="mixed")(core(block_input)), name="block")

    inputs = keras.Input((12,))
    x = layers.Dense(8, activation="relu", name="first")(inputs)
    outputs = layers.Dense(3, name="last")(block(x))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def layers_within(model: Any) -> list[tuple[str, Any]]:
    """The path and the layer of all layers of a model and of the models in it."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += [(f"{layer.name}/{path}", inner) for path, inner in layers_within(layer)]
        else:
            found.append((layer.name, layer))
    return found


def main() -> None:
    model = make_model()
    model.fit(X, Y, batch_size=16, verbose=0)
    for path, layer in layers_within(model):
        print(path, [tuple(weight.shape) for weight in layer.weights])


if __name__ == "__main__":
    main()
