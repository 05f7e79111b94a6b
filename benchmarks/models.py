"""The models of Keras that are trained."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np  # noqa: F401

try:
    from tensorflow import keras  # of tf_keras, if that is wanted
except ModuleNotFoundError:
    import keras

# For whoever trains one of them.
from benchmarks.images import BATCH, IMAGES, LABELS, RESNET_IMAGES, RESNET_LABELS  # noqa: F401


def _compiled(model: Any) -> Any:
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def cnn() -> Any:
    """Two 5 x 5 convolutions, dense 1024, dense 10: 3.3 million parameters."""
    layers = keras.layers
    return _compiled(
        keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(32, 5, padding="same", activation="relu", name="conv1"),
                layers.MaxPooling2D(name="pool1"),
                layers.Conv2D(64, 5, padding="same", activation="relu", name="conv2"),
                layers.MaxPooling2D(name="pool2"),
                layers.Flatten(name="flatten"),
                layers.Dense(1024, activation="relu", name="hidden"),
                layers.Dense(10, name="classes"),
            ]
        )
    )


def digits_cnn() -> Any:
    """A small network for digits of 8 x 8 pixels."""
    layers = keras.layers
    return _compiled(
        keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
                layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
                layers.MaxPooling2D(name="pool"),
                layers.Flatten(name="flatten"),
                layers.Dense(64, activation="relu", name="hidden"),
                layers.Dense(10, name="classes"),
            ]
        )
    )


def one_layer() -> Any:
    """A model whose training step takes some tenths of a millisecond."""
    layers = keras.layers
    return _compiled(keras.Sequential([keras.Input((16,)), layers.Dense(10, name="classes")]))


def resnet() -> Any:
    """Keras' ResNet-50 for images of 96 x 96 pixels and ten classes."""
    return _compiled(
        keras.applications.ResNet50(weights=None, input_shape=(96, 96, 3), classes=10, classifier_activation=None)
    )


def deep(count: int) -> Any:
    """So many layers of eight units, dense ones and ReLUs by turns."""
    layers = keras.layers
    sys.setrecursionlimit(20 * count)  # Keras walks a model by recursion
    given = x = keras.Input((8,))
    for _ in range(count // 2):
        x = layers.ReLU()(layers.Dense(8)(x))
    return _compiled(keras.Model(given, layers.Dense(10)(x)))


class Stopwatch(keras.callbacks.Callback):
    """Says when a training had done its first steps: what comes before is set-up, of TensorFlow's and of ours.

    Attributes:
      began: `time.perf_counter()` then.
    """

    def __init__(self, after: int = 5) -> None:
        super().__init__()
        self._left = after
        self.began = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._left == 0:
            self.began = time.perf_counter()
        self._left -= 1


def training_seconds(model: Any, callbacks: list[Any], *, after: int = 5, **arguments: Any) -> float:
    """How long `fit` takes from its first steps on until it returns."""
    stopwatch = Stopwatch(after)
    model.fit(**arguments, verbose=0, callbacks=[stopwatch, *callbacks])
    return time.perf_counter() - stopwatch.began
