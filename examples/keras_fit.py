"""Logs a Keras model with one line in `fit`.

    python examples/keras_fit.py [LOGDIR]    # logs/keras_fit if none is given
    tensorboard --logdir logs                # then open the Layers tab

With KERAS_BACKEND=jax or torch it runs on JAX or PyTorch, and logs the same. Needs Keras on one of these or on
TensorFlow, and scikit-learn for its 1,797 handwritten digits.
"""

from __future__ import annotations

import sys

import keras
from sklearn.datasets import load_digits

import tb_layerview as lv


def digits_model() -> keras.Model:
    """A small convolutional network for pictures of 8 x 8 pixels."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(32, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def main(logdir: str = "logs/keras_fit") -> None:
    """Trains for two epochs and logs every layer.

    Eight steps an octave are always logged, and as many more as fit into 2 % of the training time.
    """
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype("float32")
    digits_model().fit(
        images,
        digits.target,
        epochs=2,
        validation_split=0.2,  # logged too, into the run LOGDIR/evaluate
        verbose=2,
        callbacks=[lv.LayerViewCallback(logdir)],
    )


if __name__ == "__main__":
    main(*sys.argv[1:2])
