"""Models of every kind that Keras computes with JAX, with data to train them on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

ROWS = 40


@dataclasses.dataclass(frozen=True)
class Case:
    """A model that is compiled, and what it is trained on."""

    model: Any
    x: Any
    y: np.ndarray
    fit: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _classes(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, count, (ROWS,))


def _pictures() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, 8, 8, 3)).astype("float32")


def _tokens() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 20, (ROWS, 6))


def _compiled(model: Any, optimizer: Any = "adam", **more: Any) -> Any:
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **more)
    return model


def _cnn_layers() -> list[Any]:
    return [
        keras.Input((8, 8, 3)),
        layers.Conv2D(4, 3, name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="relu"),
        layers.Dropout(0.3, name="dropout"),
        layers.Conv2D(5, 3, activation="relu", name="conv_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(7, activation="tanh", name="dense"),
        layers.Dense(3, activation="softmax", name="classes"),
    ]


def cnn(**more: Any) -> Case:
    """Convolutions, BatchNormalization and Dropout."""
    return Case(_compiled(keras.Sequential(_cnn_layers(), name="cnn"), **more), _pictures(), _classes(3))


class Block(layers.Layer):
    """Attention and a feed-forward part, of a user's own class."""

    def __init__(self, is_causal: bool, **more: Any) -> None:
        super().__init__(**more)
        self.attention = layers.MultiHeadAttention(2, 4, dropout=0.1 if is_causal else 0.0, name="attention")
        self.norm = layers.LayerNormalization(name="norm")
        self.feed = layers.Dense(8, activation="gelu", name="feed")
        self.is_causal = is_causal

    def call(self, x: Any, training: bool = False) -> Any:
        attended = self.attention(x, x, use_causal_mask=self.is_causal, training=training)
        return self.norm(x + self.feed(x + attended))


def transformer() -> Case:
    """Two blocks, one of them causal, on tokens some of which are masked."""
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, name="embed")(tokens)
    x = Block(False, name="block")(x)
    x = Block(True, name="causal")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    model = keras.Model(tokens, layers.Dense(3, activation="softmax", name="classes")(x), name="transformer")
    return Case(_compiled(model), _tokens(), _classes(3))


def lstm() -> Case:
    """A recurrent layer, which runs in a loop, on masked tokens."""
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(20, 8, mask_zero=True, name="embed"),
            layers.LSTM(5, name="lstm"),
            layers.Dense(3, activation="softmax", name="classes"),
        ],
        name="lstm_model",
    )
    return Case(_compiled(model), _tokens(), _classes(3))


class Scale(layers.Layer):
    """A user's own layer, with a loss of its own."""

    def build(self, shape: Any) -> None:
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, x: Any) -> Any:
        self.add_loss(0.01 * ops.mean(ops.square(x)))
        return x * self.factor


def nested() -> Case:
    """A model within a model, called twice, with a penalty on its weights."""
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, activation="relu", kernel_regularizer="l2", name="deep"),
            Scale(name="scale"),
        ],
        name="inner",
    )
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = layers.Concatenate(name="both")([inner(a), inner(b)])
    model = keras.Model({"a": a, "b": b}, layers.Dense(3, activation="softmax", name="classes")(x), name="nested")
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(ROWS, 4)).astype("float32") for name in ("a", "b")}
    return Case(_compiled(model, "sgd"), x, _classes(3))


def spectral() -> Case:
    """A layer that writes its own kernel when it is called."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.SpectralNormalization(layers.Conv2D(4, 3), name="spectral"),
            layers.GaussianNoise(0.1, name="noise"),
            layers.Flatten(name="flatten"),
            layers.Dense(3, activation="softmax", name="classes"),
        ],
        name="spectral_model",
    )
    return Case(_compiled(model), _pictures(), _classes(3))


class Own(keras.Model):
    """A user's own model, which computes with a weight of its own and calls its layers itself."""

    def __init__(self) -> None:
        super().__init__(name="own")
        self.hidden = layers.Dense(6, activation="relu", name="hidden")
        self.dropout = layers.Dropout(0.2, name="dropout")
        self.classes = layers.Dense(3, activation="softmax", name="classes")

    def build(self, shape: Any) -> None:
        self.gain = self.add_weight(shape=(6,), initializer="ones", name="gain")
        self.hidden.build(shape)
        self.classes.build((None, 6))
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        return self.classes(self.dropout(self.hidden(x), training=training) * self.gain)


def own() -> Case:
    """A subclass of Model."""
    x = np.random.default_rng(0).normal(size=(ROWS, 5)).astype("float32")
    model = Own()
    model.build((None, 5))
    return Case(_compiled(model, "rmsprop"), x, _classes(3))


def with_policy(policy: str, make: Callable[[], Case]) -> Case:
    """A model of a policy of types of its own."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return make()
    finally:
        keras.config.set_dtype_policy(before)


def remat() -> Case:
    """Layers that compute their outputs a second time for the gradients."""
    with keras.RematScope(mode="full"):
        inputs = keras.Input((8, 8, 3))
        x = layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
        x = layers.Flatten(name="flatten")(x)
        model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(x), name="remat")
    return Case(_compiled(model), _pictures(), _classes(3))


CASES: dict[str, Callable[[], Case]] = {
    "cnn": cnn,
    "transformer": transformer,
    "lstm": lstm,
    "nested": nested,
    "spectral": spectral,
    "own": own,
    "bfloat16": lambda: with_policy("mixed_bfloat16", cnn),
    "float16": lambda: with_policy("mixed_float16", cnn),
    "remat": remat,
    "several_steps": lambda: cnn(steps_per_execution=4),
    "eager": lambda: cnn(run_eagerly=True),
    "accumulation": lambda: cnn(optimizer=keras.optimizers.Adam(gradient_accumulation_steps=2)),
}


def make(name: str) -> Case:
    """A case, made from the same seed every time."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    return CASES[name]()


def variables(model: Any) -> list[np.ndarray]:
    """All that a model, its optimizer and its metrics hold."""
    found = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(variable.value) for variable in found]


def weights(model: Any) -> list[np.ndarray]:
    """What a model itself holds."""
    found = [*model.trainable_variables, *model.non_trainable_variables]
    return [np.array(variable.value) for variable in found]


def assert_equal(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    """Two lists of arrays are the same to the last bit."""
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"variable {i}")
