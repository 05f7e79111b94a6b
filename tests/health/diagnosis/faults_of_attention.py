"""Faults of attention: on one position, on all evenly, all heads alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from any_keras import keras, layers, ops
from bed import BATCH, STEPS, Planted, fault, fit

TOKENS, WIDTH, HEADS = 8, 16, 4


def _train(folder: Path, spoil: Callable[[list[np.ndarray]], None], optimizer: Any = None, steps: int = STEPS) -> None:
    """An encoder of one block that has to find where a token is; `spoil` changes the attention's weights.

      They are the query's kernel [units, heads, size] and bias, the key's, the value's, and the output's kernel
    [heads, size, units] and bias.
    """
    keras.utils.set_random_seed(3)
    # No token twice in an example: what is equal, attention cannot choose from.
    tokens = np.random.default_rng(0).permuted(np.tile(np.arange(20), (steps * BATCH, 1)), axis=1)[:, :TOKENS]
    inputs = keras.Input((TOKENS,), dtype="int32", name="tokens")
    hidden = layers.LayerNormalization(name="norm")(layers.Embedding(20, WIDTH, name="embedding")(inputs))
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="attention")
    hidden = layers.Add(name="add")([hidden, attention(hidden, hidden)])
    hidden = layers.GlobalAveragePooling1D(name="pool")(hidden)
    model = keras.Model(inputs, layers.Dense(1, name="score")(hidden))
    weights: list[Any] = attention.get_weights()
    spoil(weights)
    attention.set_weights(weights)
    fit(
        folder,
        model,
        tokens.astype(np.int32),
        (tokens == 3).any(axis=1, keepdims=True).astype(np.float32),
        optimizer or keras.optimizers.Adam(1e-3),
    )


@fault()
def attention_on_one_position(folder: Path) -> Planted:
    """The queries' kernel starts 1,000 times too large: every query looks at one position."""

    def spoil(weights: list[np.ndarray]) -> None:
        weights[0] *= 1000

    _train(folder, spoil)
    return Planted(("collapsed_attention",), ("attention*",), ("activation",), first=0)


def _by_hand(folder: Path, attend: Callable[[Any], Any]) -> None:
    """The same task with attention of dense layers, whose queries start 1,000 times too large, for sixty steps."""
    keras.utils.set_random_seed(3)
    tokens = np.random.default_rng(0).permuted(np.tile(np.arange(20), (60 * BATCH, 1)), axis=1)[:, :TOKENS]
    inputs = keras.Input((TOKENS,), dtype="int32", name="tokens")
    hidden = layers.LayerNormalization(name="norm")(layers.Embedding(20, WIDTH, name="embedding")(inputs))
    query, key, value = (layers.Dense(WIDTH, name=name)(hidden) for name in ("query", "key", "value"))
    mixed = layers.Dot(axes=(2, 1), name="mix")([attend(layers.Dot(axes=(2, 2), name="products")([query, key])), value])
    pooled = layers.GlobalAveragePooling1D(name="pool")(layers.Add(name="add")([hidden, mixed]))
    model = keras.Model(inputs, layers.Dense(1, name="score")(pooled), name="encoder")
    kernel, bias = model.get_layer("query").get_weights()
    model.get_layer("query").set_weights([1000 * kernel, bias])
    wanted = (tokens == 3).any(axis=1, keepdims=True).astype(np.float32)
    fit(folder, model, tokens.astype(np.int32), wanted, keras.optimizers.Adam(1e-4))


@fault()
def attention_by_hand_on_one_position(folder: Path) -> Planted:
    """Attention of dense layers and a Softmax, whose queries' kernel starts 1,000 times too large."""
    _by_hand(folder, layers.Softmax(name="attend"))
    return Planted(("collapsed_attention",), ("attend",), ("activation",), first=0)


@fault()
def attention_by_a_function_on_one_position(folder: Path) -> Planted:
    """The same, with a function in place of the layer: it is told of the model, which calls it."""
    _by_hand(folder, keras.ops.softmax if hasattr(keras, "ops") else ops.softmax)
    return Planted(("collapsed_attention",), ("encoder", "*softmax*"), ("activation",), first=0)


@fault()
def attention_on_all_positions(folder: Path) -> Planted:
    """The kernels of queries and keys start at zero: every query looks at all positions evenly, and it stays so."""

    def spoil(weights: list[np.ndarray]) -> None:
        weights[0] *= 0
        weights[2] *= 0

    _train(folder, spoil)
    return Planted(("uniform_attention", "silent_layer", "zero_gradient"), ("attention*",), first=0, causes=2)


@fault()
def attention_that_stays_even(folder: Path) -> Planted:
    """The kernels of queries and keys start thirty times too small, and plain gradient descent leaves them so."""

    def spoil(weights: list[np.ndarray]) -> None:
        weights[0] *= 0.03
        weights[2] *= 0.03

    _train(folder, spoil, keras.optimizers.SGD(0.01), steps=115)
    return Planted(("uniform_attention",), ("attention*",), ("activation",), first=100)


@fault()
def attention_whose_heads_are_alike(folder: Path) -> Planted:
    """All heads start from the same numbers, and so they stay alike."""

    def spoil(weights: list[np.ndarray]) -> None:
        for i in (0, 2, 4):
            weights[i][:] = 2 * weights[i][:, :1]
        weights[6][:] = weights[6][:1]

    _train(folder, spoil)
    return Planted(("alike_heads",), ("attention*",), ("activation",), first=0)
