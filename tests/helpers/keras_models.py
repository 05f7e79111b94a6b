"""Small Keras 3 models of each kind that people train, for whatever backend computes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

BACKEND = keras.backend.backend()
#: Batches of BATCH examples; an epoch has EPOCH of them, and a training two epochs.
BATCH, EPOCH = 8, 6

rng = np.random.default_rng(11)
IMAGES = rng.normal(size=(BATCH * EPOCH, 8, 8, 1)).astype(np.float32)
TOKENS = rng.integers(0, 20, (BATCH * EPOCH, 6)).astype(np.int32)
FEATURES = rng.normal(size=(BATCH * EPOCH, 6)).astype(np.float32)
TARGETS = rng.normal(size=(BATCH * EPOCH, 3)).astype(np.float32)
CLASSES = rng.integers(0, 3, BATCH * EPOCH).astype(np.int32)


def compiled(model: Any, optimizer: Any = None, loss: str = "mse", **options: Any) -> Any:
    """A model, made ready to train: with Adam and the mean squared error unless others are given."""
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss, **options)
    return model


def classifier(inputs: Any, outputs: Any, **options: Any) -> Any:
    """Three classes, told apart by the logits that come last."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = keras.Model(inputs, layers.Dense(3, name="classes")(outputs))
    return compiled(model, loss=loss, metrics=["accuracy"], **options)


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Layers that are made within have this policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def two_layers(base: Any = None, **options: Any) -> Any:
    """What `two_layers.by_hand` works out."""
    inputs = keras.Input((6,), name="features")
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    return compiled((base or keras.Model)(inputs, layers.Dense(3, name="scores")(hidden)), **options)


def one_layer(**options: Any) -> Any:
    """The smallest there is: PyTorch's compiler takes long."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, name="scores")])
    return compiled(model, keras.optimizers.SGD(0.01), **options)


def unbuilt(**options: Any) -> Any:
    """Whose weights the first batch creates."""
    parts = [layers.Dense(5, activation="relu", name="hidden"), layers.Dropout(0.2), layers.Dense(3, name="scores")]
    return compiled(keras.Sequential(parts), **options)


def normalised(**options: Any) -> Any:
    """Which does something else when it trains."""
    inputs = keras.Input((6,), name="features")
    x = layers.BatchNormalization(name="norm")(layers.Dense(5, activation="tanh", name="hidden")(inputs))
    return compiled(keras.Model(inputs, layers.Dense(3, name="scores")(layers.Dropout(0.2)(x))), **options)


def cnn(**options: Any) -> Any:
    inputs = keras.Input((8, 8, 1), name="images")
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(name="pool")(x))
    return classifier(inputs, layers.Dropout(0.3, name="dropout")(x), **options)


def transformer(**options: Any) -> Any:
    """Two blocks of which the second looks back only, and what people put between them."""
    inputs = keras.Input((6,), dtype="int32", name="tokens")
    x = layers.Embedding(20, 8, name="embed")(inputs)
    for name, is_causal in (("attend", False), ("attend_back", True)):
        y = layers.LayerNormalization(name=f"{name}_norm")(x)
        y = layers.MultiHeadAttention(2, 4, dropout=0.1, name=name)(y, y, use_causal_mask=is_causal)
        x = x + layers.Dropout(0.1, name=f"{name}_dropout")(y)
    x = x + layers.Dense(8, activation="gelu", name="feed")(x)
    return classifier(inputs, layers.GlobalAveragePooling1D(name="pool")(x), **options)


class Scale(layers.Layer):
    """A layer of one's own: a weight that is punished for its size, and a count of its calls in training."""

    def build(self, shape: Any) -> None:
        regulariser = keras.regularizers.L2(0.01)
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", regularizer=regulariser, name="factor")
        self.times = self.add_weight(shape=(), initializer="zeros", trainable=False, name="times")

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.times.assign(self.times + 1)
        return inputs * self.factor


def nested(**options: Any) -> Any:
    """A model in a model, called twice like one of its layers."""
    part_inputs = keras.Input((5,))
    shared = layers.Dense(5, activation="tanh", kernel_regularizer="l2", name="shared")
    part = keras.Model(part_inputs, Scale(name="scale")(shared(shared(part_inputs))), name="part")
    inputs = keras.Input((6,), name="features")
    x = part(part(layers.Dense(5, name="first")(inputs)))
    return compiled(keras.Model(inputs, layers.Dense(3, name="scores")(layers.Dropout(0.2)(x))), **options)


def recurrent(**options: Any) -> Any:
    inputs = keras.Input((6,), dtype="int32", name="tokens")
    x = layers.Embedding(20, 8, name="embed")(inputs)
    x = layers.LSTM(5, return_sequences=True, dropout=0.1, name="lstm")(x)
    return classifier(inputs, layers.LSTM(4, name="last")(x), **options)


def spectral(**options: Any) -> Any:
    """Whose kernel is written while it is called, and with noise of a seed of its own."""
    inputs = keras.Input((6,), name="features")
    x = layers.SpectralNormalization(layers.Dense(5, name="inner"), name="spectral")(inputs)
    x = layers.Dropout(0.2, seed=3, name="dropout")(layers.GaussianNoise(0.1, name="noise")(x))
    return compiled(keras.Model(inputs, layers.Dense(3, name="scores")(x)), **options)


def rematerialized(**options: Any) -> Any:
    """Of which two layers are computed once more for their gradients.

    The one between them is not: on JAX, Keras 3.15.1 cannot do that with layers that are told whether they train.
    """
    inputs = keras.Input((6,), name="features")
    with keras.RematScope(mode="full"):
        hidden = layers.Dense(5, activation="tanh", name="hidden")
        scores = layers.Dense(3, name="scores")
    outputs = scores(layers.BatchNormalization(name="norm")(hidden(inputs)))
    return compiled(keras.Model(inputs, outputs), **options)


def wrapped(**options: Any) -> Any:
    """A module of PyTorch, whose buffers are in none of Keras' lists and which draws from PyTorch's own numbers."""
    import torch

    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Flatten()
    )
    inputs = keras.Input((8, 8, 1), name="images")
    x = layers.Permute((3, 1, 2), name="permute")(inputs)
    return classifier(inputs, layers.TorchModuleWrapper(module, name="wrapped", output_shape=(None, 144))(x), **options)


def in_policy(policy: str, make: Callable[..., Any], **options: Any) -> Any:
    """A model whose layers compute in another precision."""
    with dtype_policy(policy):
        return make(**options)
