"""Trainings with nothing wrong: they learn, and the rules have nothing to say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from any_keras import array, keras, layers
from bed import BATCH, dense, healthy, problem, stack

import tb_layerview as lv
from tb_layerview.commands.demo import digits

STEPS = 56
Losses = tuple[float, float]


def _losses(
    folder: Path, model: Any, x: Any, y: Any, optimizer: Any, loss: Any, epochs: int = 1, schedule: int = 1
) -> Losses:
    """Trains, and returns the loss on 256 of the examples before and after, by hand, in training mode."""
    model.compile(optimizer, loss)
    function = keras.losses.get(loss)

    def now() -> float:
        given = array(model(x[:256], training=True)).astype(np.float32)
        return float(np.mean(array(function(y[:256], given))))

    before = now()
    logging = lv.LayerViewCallback(folder, schedule=schedule)
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[logging])
    return before, now()


def _on_digits(folder: Path, model: Any, optimizer: Any, epochs: int = 1, schedule: int = 1) -> Losses:
    """Trains a classifier of the real digits, a batch of 32 at a time: 56 steps an epoch."""
    images, labels = digits()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _losses(folder, model, images[: STEPS * BATCH], labels[: STEPS * BATCH], optimizer, loss, epochs, schedule)


def _dense_digits(folder: Path, activation: str, optimizer: Any) -> Losses:
    hidden = (dense(32, f"hidden_{i}", activation) for i in range(3))
    model = stack((8, 8, 1), layers.Flatten(name="flatten"), *hidden, dense(10, "classes", None))
    return _on_digits(folder, model, optimizer, epochs=2)


@healthy
def dense_relu_sgd(folder: Path) -> Losses:
    """Digits, three dense ReLU layers, plain gradient descent."""
    return _dense_digits(folder, "relu", keras.optimizers.SGD(0.1))


@healthy
def dense_tanh_momentum(folder: Path) -> Losses:
    """Digits, three dense tanh layers, momentum."""
    return _dense_digits(folder, "tanh", keras.optimizers.SGD(0.03, momentum=0.9))


@healthy
def dense_gelu_adam(folder: Path) -> Losses:
    """Digits, three dense GELU layers, Adam."""
    return _dense_digits(folder, "gelu", keras.optimizers.Adam(0.002))


@healthy
def dense_swish_rmsprop(folder: Path) -> Losses:
    """Digits, three dense swish layers, RMSprop."""
    return _dense_digits(folder, "swish", keras.optimizers.RMSprop(0.002))


@healthy
def dense_selu_adamw(folder: Path) -> Losses:
    """Digits, three dense SELU layers, AdamW."""
    return _dense_digits(folder, "selu", keras.optimizers.AdamW(0.002))


@healthy
def dense_elu_adagrad(folder: Path) -> Losses:
    """Digits, three dense ELU layers, Adagrad."""
    return _dense_digits(folder, "elu", keras.optimizers.Adagrad(0.03))


@healthy
def dense_sigmoid_nadam(folder: Path) -> Losses:
    """Digits, one dense sigmoid layer, Nadam."""
    model = stack((8, 8, 1), layers.Flatten(name="flatten"), dense(32, "hidden", "sigmoid"), dense(10, "classes", None))
    return _on_digits(folder, model, keras.optimizers.Nadam(0.01))


def _convolution(filters: int, name: str, **options: Any) -> Callable[[], Any]:
    return lambda: layers.Conv2D(filters, 3, padding="same", name=name, **options)


@healthy
def convolutional(folder: Path) -> Losses:
    """Digits, two convolutions, pooling, Dropout, Adam; three epochs."""
    model = stack(
        (8, 8, 1),
        _convolution(8, "conv_1", activation="relu"),
        _convolution(16, "conv_2", activation="relu"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(name="flatten"),
        layers.Dropout(0.3, name="dropout"),
        dense(10, "classes", None),
    )
    return _on_digits(folder, model, keras.optimizers.Adam(0.003), epochs=3, schedule=3)


@healthy
def convolutional_with_batch_normalisation(folder: Path) -> Losses:
    """Digits, two convolutions with BatchNormalization, momentum."""
    model = stack(
        (8, 8, 1),
        _convolution(8, "conv_1", use_bias=False),
        layers.BatchNormalization(name="norm_1"),
        layers.ReLU(name="relu_1"),
        _convolution(16, "conv_2", use_bias=False),
        layers.BatchNormalization(name="norm_2"),
        layers.ReLU(name="relu_2"),
        layers.GlobalAveragePooling2D(name="pool"),
        dense(10, "classes", None),
    )
    return _on_digits(folder, model, keras.optimizers.SGD(0.1, momentum=0.9), schedule=2)


@healthy
def residual(folder: Path) -> Losses:
    """Digits, three residual blocks with BatchNormalization, Adam."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    for i in range(3):
        branch = layers.ReLU(name=f"relu_{i}")(layers.BatchNormalization(name=f"norm_{i}")(hidden))
        branch = layers.Conv2D(8, 3, padding="same", name=f"conv_{i}")(branch)
        hidden = layers.Add(name=f"add_{i}")([hidden, branch])
    hidden = layers.GlobalAveragePooling2D(name="pool")(hidden)
    model = keras.Model(inputs, layers.Dense(10, name="classes")(hidden))
    return _on_digits(folder, model, keras.optimizers.Adam(0.01), epochs=2, schedule=2)


@healthy
def residual_without_normalisation(folder: Path) -> Losses:
    """Six residual dense blocks that nothing normalises: what they add up to grows, as it may."""
    x, y = problem(16, STEPS)
    keras.utils.set_random_seed(3)
    inputs = hidden = keras.Input((16,))
    for i in range(6):
        branch = layers.Dense(16, activation="relu", name=f"block_{i}")(hidden)
        hidden = layers.Add(name=f"add_{i}")([hidden, branch])
    model = keras.Model(inputs, layers.Dense(1, name="score")(hidden))
    return _losses(folder, model, x, y, keras.optimizers.Adam(0.003), "mse")


@healthy
def mixed_float16(folder: Path) -> Losses:
    """Digits in mixed_float16, whose loss scale starts so high that the optimizer skips its first steps."""
    keras.utils.set_random_seed(3)
    policy = keras.mixed_precision.Policy("mixed_float16")
    model = stack(
        (8, 8, 1),
        layers.Flatten(name="flatten"),
        dense(32, "hidden", dtype=policy),
        dense(32, "hidden_2", dtype=policy),
        dense(10, "classes", None, dtype="float32"),
    )
    inner = keras.optimizers.Adam(0.003)
    optimizer = keras.mixed_precision.LossScaleOptimizer(inner, initial_scale=2.0**22)
    images, labels = digits()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = _losses(folder, model, images[: STEPS * BATCH], labels[: STEPS * BATCH], optimizer, loss, epochs=2)
    run = lv.LayerReader(folder).run()
    moved = run.statistics("rms")[run.tensor("hidden", kind="update", name="kernel")]
    assert 1 <= np.count_nonzero(moved == 0) < 20  # some steps were skipped
    return losses


def _sequences() -> tuple[np.ndarray, np.ndarray]:
    """Ten timesteps of two features; what is wanted is the mean of one of them over the last five."""
    x = np.random.default_rng(0).normal(size=(STEPS * BATCH, 10, 2)).astype(np.float32)
    return x, x[:, 5:, 0].mean(axis=1, keepdims=True)


def _recurrent(folder: Path, layer: Callable[[], Any], optimizer: Any) -> Losses:
    x, y = _sequences()
    return _losses(folder, stack((10, 2), layer, dense(1, "score", None)), x, y, optimizer, "mse")


@healthy
def recurrent_lstm(folder: Path) -> Losses:
    """Sequences, an LSTM, Adam."""
    return _recurrent(folder, lambda: layers.LSTM(12, name="lstm"), keras.optimizers.Adam(0.02))


@healthy
def recurrent_gru(folder: Path) -> Losses:
    """Sequences, a GRU, RMSprop."""
    return _recurrent(folder, lambda: layers.GRU(12, name="gru"), keras.optimizers.RMSprop(0.01))


def _words() -> tuple[np.ndarray, np.ndarray]:
    """Eight words of twenty, and the share of the odd ones among them."""
    words = np.random.default_rng(0).integers(0, 20, (STEPS * BATCH, 8)).astype(np.int32)
    return words, (words % 2).mean(axis=1, keepdims=True).astype(np.float32)


@healthy
def transformer(folder: Path) -> Losses:
    """Words, an encoder of two blocks of attention with LayerNormalization, Adam."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8,), dtype="int32", name="words")
    hidden = layers.Embedding(20, 16, name="embedding")(inputs)
    for i in range(2):
        normed = layers.LayerNormalization(name=f"norm_{i}_1")(hidden)
        attended = layers.MultiHeadAttention(2, 8, name=f"attention_{i}")(normed, normed)
        hidden = layers.Add(name=f"add_{i}_1")([hidden, attended])
        normed = layers.LayerNormalization(name=f"norm_{i}_2")(hidden)
        wide = layers.Dense(32, activation="gelu", name=f"wide_{i}")(normed)
        hidden = layers.Add(name=f"add_{i}_2")([hidden, layers.Dense(16, name=f"narrow_{i}")(wide)])
    hidden = layers.GlobalAveragePooling1D(name="pool")(hidden)
    model = keras.Model(inputs, layers.Dense(1, name="score")(hidden))
    return _losses(folder, model, *_words(), keras.optimizers.Adam(0.003), "mse", schedule=2)


@healthy
def transformer_by_hand(folder: Path) -> Losses:
    """Words, attention of dense layers and a Softmax, a sum and a dense layer, Adam."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8,), dtype="int32", name="words")
    hidden = layers.Embedding(20, 16, name="embedding")(inputs)
    query, key, value = (layers.Dense(16, name=name)(hidden) for name in ("query", "key", "value"))
    looked_at = layers.Softmax(name="attend")(layers.Dot(axes=(2, 2), name="products")([query, key]))
    hidden = layers.Add(name="add")([hidden, layers.Dot(axes=(2, 1), name="mix")([looked_at, value])])
    hidden = layers.GlobalAveragePooling1D(name="pool")(layers.Dense(32, activation="gelu", name="wide")(hidden))
    model = keras.Model(inputs, layers.Dense(1, name="score")(hidden))
    return _losses(folder, model, *_words(), keras.optimizers.Adam(0.003), "mse")


@healthy
def tagger(folder: Path) -> Losses:
    """Words, each told from the others by a softmax that ends up sure of every one, Adam."""
    words = np.random.default_rng(0).integers(0, 8, (STEPS * BATCH, 8)).astype(np.int32)
    model = stack(
        8,
        lambda: layers.Embedding(8, 16, name="embedding"),
        dense(32, "hidden"),
        lambda: layers.Dense(8, activation="softmax", name="tags"),
    )
    loss = keras.losses.SparseCategoricalCrossentropy()
    return _losses(folder, model, words, words, keras.optimizers.Adam(0.03), loss)


@healthy
def embedding_classifier(folder: Path) -> Losses:
    """Words, the mean of their embeddings, a dense layer, Adam."""
    model = stack(
        8,
        lambda: layers.Embedding(20, 8, name="embedding"),
        layers.GlobalAveragePooling1D(name="pool"),
        dense(16, "hidden"),
        dense(1, "score", None),
    )
    return _losses(folder, model, *_words(), keras.optimizers.Adam(0.01), "mse")


@healthy
def autoencoder(folder: Path) -> Losses:
    """Digits, through eight numbers and back, Adam."""
    images = digits()[0][: STEPS * BATCH].reshape(STEPS * BATCH, 64)
    model = stack(
        64, dense(32, "encoder"), dense(8, "code", None), dense(32, "decoder"), dense(64, "pixels", "sigmoid")
    )
    return _losses(folder, model, images, images, keras.optimizers.Adam(0.003), "mse", epochs=2)
