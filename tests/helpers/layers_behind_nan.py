"""Common layers, and what a NaN looks like behind each of them.

Of two examples the second is NaN: a quarter of it, or all.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

keras, layers = tf.keras, tf.keras.layers

FLAT, WIDE, PICTURE, SEQUENCE = (4,), (64,), (4, 4, 3), (4, 3)
LOWEST = np.finfo(np.float32).min


@dataclasses.dataclass(frozen=True)
class Behind:
    """A layer that takes what may be NaN.

    Attributes:
      name: What it is called in the table.
      takes: The shape of an example.
      apply: Makes it with a name, and calls it.
      is_random: Whether it puts out other numbers each time.
    """

    name: str
    takes: tuple[int, ...]
    apply: Callable[[Any, str], Any]
    is_random: bool = False


def _of(class_name: str, takes: tuple[int, ...], /, *words: str, **options: Any) -> Behind:
    name = ", ".join((class_name, *words, *(value for value in options.values() if isinstance(value, str))))
    return Behind(name, takes, lambda x, n: getattr(layers, class_name)(name=n, **options)(x))


def _merging(class_name: str) -> Behind:
    """With what is finite, made of the same input."""
    return Behind(class_name, FLAT, lambda x, n: getattr(layers, class_name)(name=n)([x, _finite(x)]))


def _finite(x: Any) -> Any:
    def without_nan(x: Any) -> Any:
        return tf.atan(tf.where(tf.math.is_nan(x), 0.95 * tf.ones_like(x), x))

    return layers.Lambda(without_nan, output_shape=tuple(x.shape[1:]))(x)


def _attending(class_name: str, *sizes: int) -> Behind:
    """Of a sequence to itself."""

    def apply(x: Any, name: str) -> Any:
        layer = getattr(layers, class_name)(*sizes, name=name)
        return layer(x, x) if sizes else layer([x, x])

    return Behind(class_name, SEQUENCE, apply)


_FUNCTIONS = ("relu", "relu6", "elu", "selu", "gelu", "swish", "sigmoid", "tanh", "softplus", "softmax")
BEHIND: tuple[Behind, ...] = (
    _of("Dense", FLAT, units=4),
    *(_of("Dense", FLAT, units=4, activation=f) for f in _FUNCTIONS),
    _of("Conv2D", PICTURE, filters=4, kernel_size=3),
    *(_of("Conv2D", PICTURE, filters=4, kernel_size=3, activation=f) for f in ("relu", "elu", "sigmoid", "tanh")),
    _of("Conv1D", SEQUENCE, filters=4, kernel_size=2),
    _of("Conv2DTranspose", PICTURE, filters=4, kernel_size=3),
    _of("DepthwiseConv2D", PICTURE, kernel_size=3),
    _of("SeparableConv2D", PICTURE, filters=4, kernel_size=3),
    _of("ReLU", FLAT),
    *(_of("Activation", FLAT, activation=f) for f in ("relu", "sigmoid", "tanh")),
    _of("LeakyReLU", FLAT),
    _of("PReLU", FLAT),
    _of("Softmax", FLAT),
    _of("MaxPooling1D", SEQUENCE),
    _of("MaxPooling2D", PICTURE),
    _of("AveragePooling2D", PICTURE, pool_size=2),
    _of("GlobalMaxPooling2D", PICTURE),
    _of("GlobalAveragePooling2D", PICTURE),
    _of("BatchNormalization", FLAT),
    Behind("BatchNormalization of pictures", PICTURE, lambda x, n: layers.BatchNormalization(name=n)(x)),
    _of("LayerNormalization", FLAT),
    _of("UnitNormalization", FLAT),
    _of("Normalization", FLAT, mean=0.5, variance=2.0),
    _of("Rescaling", FLAT, scale=0.5),
    Behind("Dropout", WIDE, lambda x, n: layers.Dropout(0.5, name=n)(x), is_random=True),
    Behind("GaussianNoise", WIDE, lambda x, n: layers.GaussianNoise(0.1, name=n)(x), is_random=True),
    *map(_merging, ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")),
    Behind("Dot", FLAT, lambda x, n: layers.Dot(1, name=n)([x, x])),
    _of("Flatten", PICTURE),
    _of("Reshape", PICTURE, target_shape=(16, 3)),
    _of("ZeroPadding2D", PICTURE),
    _of("UpSampling2D", PICTURE),
    _of("Embedding", FLAT, input_dim=5, output_dim=3),
    _of("SimpleRNN", SEQUENCE, units=4),
    _of("SimpleRNN", SEQUENCE, units=4, activation="relu"),
    _of("LSTM", SEQUENCE, units=4),
    _of("GRU", SEQUENCE, units=4),
    Behind("Bidirectional LSTM", SEQUENCE, lambda x, n: layers.Bidirectional(layers.LSTM(2), name=n)(x)),
    Behind("TimeDistributed Dense", SEQUENCE, lambda x, n: layers.TimeDistributed(layers.Dense(4), name=n)(x)),
    _attending("Attention"),
    _attending("AdditiveAttention"),
    _attending("MultiHeadAttention", 2, 2),
)


def has_onednn() -> bool:
    """Whether TensorFlow computes with oneDNN: as the environment says, or as it decides by the processor itself."""
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


def model_of(behind: Behind) -> Any:
    inputs = keras.Input(behind.takes)
    return keras.Model(inputs, behind.apply(inputs, "behind"))


def looks(behind: Behind) -> dict[str, str]:
    """What comes out, in words: of a quarter of an example and of all of it, in eager mode and in a function."""
    keras.utils.set_random_seed(1)
    model = model_of(behind)
    for weight in model.weights:
        if weight.name.split("/")[-1].startswith("bias"):
            weight.assign(tf.fill(weight.shape, 3.0))  # so that a ReLU gives more than 0
    compiled = tf.function(lambda x: model(x, training=True))
    found = {}
    for what, share in (("a quarter", 4), ("all", 1)):
        x = np.random.RandomState(0).uniform(0.1, 0.9, (2, *behind.takes)).astype(np.float32)
        broken = np.zeros(x.shape, bool)
        broken[1].flat[: x[1].size // share] = True
        x[broken] = 0.95  # the largest, so that it is seen behind what takes the largest
        for mode, call in (("eager", lambda x: model(x, training=True)), ("function", compiled)):
            try:
                healthy, outputs = (call(tf.constant(given)).numpy() for given in (x, np.where(broken, np.nan, x)))
            except tf.errors.OpError as error:
                found[f"{what}, {mode}"] = f"ends with {type(error).__name__}"
                continue
            is_touched = broken if behind.is_random else outputs != healthy
            words = in_words(outputs[1][is_touched[1]])
            found[f"{what}, {mode}"] = words if np.isfinite(outputs[0]).all() else f"{words}, of all examples"
    return found


def in_words(touched: np.ndarray) -> str:
    """All that there is among these numbers."""
    parts = {"NaN": np.isnan(touched), "±inf": np.isinf(touched), "-3.4e38": touched == LOWEST, "0": touched == 0}
    found = [name for name, is_so in parts.items() if is_so.any()]
    found += ["a finite number"] if not np.logical_or.reduce(list(parts.values())).all() else []
    return " and ".join(found) or "nothing"


if __name__ == "__main__":
    print(tf.__version__, "oneDNN", has_onednn(), os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
    for one in BEHIND:
        print(f"{one.name:32}", looks(one), flush=True)
