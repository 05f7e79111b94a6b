"""The guide's trainings: small, each with a fault that is planted where nobody can dispute it.

They know nothing of what is logged but the callback that each of them is given; what is true of them is worked out with
numpy, `get_weights` and `GradientTape` in `tests/e2e/test_guide.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview import Check, Keep, LayerViewCallback, Schedule
from tb_layerview.commands import demo

layers = tf.keras.layers

BATCH = 32
#: Before which step the biases of `hidden_2` fall far below zero, and how far.
SILENCED_AT, FAR_BELOW = 40, -20.0
#: Which picture of `one_batch_breaks_it` is empty; that of batch 36, which makes step 37.
EMPTY = 36 * BATCH + 5
TOKENS, LENGTH = 120, 12
Weights = list[npt.NDArray[np.float32]]


class _Weights(tf.keras.callbacks.Callback):
    """Keeps a layer's weights as they are before each step."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.layer = layer
        self.by_step: list[Weights] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.by_step.append([weight.copy() for weight in self.model.get_layer(self.layer).get_weights()])


class _FarBelowZero(tf.keras.callbacks.Callback):
    """Sets the biases of a layer right before this step is made, as a wrong line in somebody's training does."""

    def __init__(self, layer: str, step: int, bias: float) -> None:
        super().__init__()
        self.layer, self.step, self.bias = layer, step, bias
        self.seen = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.seen + 1 == self.step:
            layer = self.model.get_layer(self.layer)
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, np.full_like(bias, self.bias)])
        self.seen += 1


@tf.keras.utils.register_keras_serializable("guide")
class Log(layers.Layer):
    """The natural logarithm."""

    def call(self, inputs: Any) -> Any:
        return tf.math.log(inputs)


def _logging(folder: Path, **options: Any) -> LayerViewCallback:
    """Logs every step of a training that is too short for a budget."""
    return LayerViewCallback(str(folder), schedule=Schedule(every=1), **options)


def _digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    pictures, labels = demo.digits()
    return pictures.reshape(len(pictures), -1), labels


def _compile(model: tf.keras.Model, rate: float) -> None:
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.SGD(rate), loss, metrics=["accuracy"])


def loss_is_nan(folder: Path) -> tuple[npt.NDArray[np.float32], list[Weights]]:
    """A logarithm of what a ReLU gives: sooner or later that is 0.

    Returns:
      The first batch, float32 [BATCH, 64], and the kernel and biases of the layer `features` before each step.
    """
    tf.keras.utils.set_random_seed(4)
    x, y = _digits()
    kept = _Weights("features")
    model = tf.keras.Sequential(
        [
            tf.keras.Input((64,), name="pixels"),
            layers.Dense(10, activation="relu", bias_initializer=tf.keras.initializers.Constant(4.0), name="features"),
            Log(name="log"),
            layers.Dense(10, name="classes"),
        ]
    )
    _compile(model, 0.5)
    model.fit(x[:1600], y[:1600], batch_size=BATCH, shuffle=False, verbose=0, callbacks=[kept, _logging(folder)])
    return x[:BATCH], kept.by_step


def accuracy_is_stuck(folder: Path) -> tuple[npt.NDArray[np.float32], tf.keras.Model]:
    """The biases of `hidden_2` fall far below zero before step `SILENCED_AT`.

    Returns:
      The first batch, float32 [BATCH, 64], and the model as it is after the training.
    """
    tf.keras.utils.set_random_seed(5)
    x, y = _digits()
    model = tf.keras.Sequential(
        [
            tf.keras.Input((64,), name="pixels"),
            layers.Dense(32, activation="relu", name="hidden_1"),
            layers.Dense(24, activation="relu", name="hidden_2"),
            layers.Dense(16, activation="relu", name="hidden_3"),
            layers.Dense(10, name="classes"),
        ]
    )
    _compile(model, 0.1)
    fall = _FarBelowZero("hidden_2", SILENCED_AT, FAR_BELOW)
    model.fit(
        x[:1600], y[:1600], batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[fall, _logging(folder)]
    )
    return x[:BATCH], model


def run_b_is_worse(folder: Path) -> dict[str, dict[str, Weights]]:
    """The runs `he` and `normal`: the same model but for the initialiser of `hidden_3`.

    Returns:
      By run, and by layer in the model's order, the weights before the first step.
    """
    x, y = _digits()
    initialisers = {
        "he": tf.keras.initializers.HeNormal(seed=13),
        "normal": tf.keras.initializers.RandomNormal(stddev=0.01, seed=13),
    }
    started: dict[str, dict[str, Weights]] = {}
    for name, initialiser in initialisers.items():
        hidden = [
            layers.Dense(
                32,
                activation="relu",
                kernel_initializer=initialiser if i == 3 else tf.keras.initializers.HeNormal(seed=10 + i),
                name=f"hidden_{i}",
            )
            for i in range(1, 5)
        ]
        last = layers.Dense(10, kernel_initializer=tf.keras.initializers.GlorotNormal(seed=20), name="classes")
        model = tf.keras.Sequential([tf.keras.Input((64,), name="pixels"), *hidden, last])
        started[name] = {layer.name: layer.get_weights() for layer in model.layers}
        _compile(model, 0.05)
        model.fit(
            x[:1600],
            y[:1600],
            batch_size=BATCH,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=[_logging(folder / name)],
        )
    return started


def transformer(folder: Path) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], dict[int, float]]:
    """A transformer of two blocks; the queries of the second block's attention start 1,000 times too large.

    Its sequences hold no token twice, and rare tokens seldom.

    Returns:
      The first batch of tokens, int32 [BATCH, LENGTH]; the gradient of the embeddings on it before the first step,
      float32 [TOKENS, units], by a tape of its own; and by block how many positions its attention looks at.
    """
    tf.keras.utils.set_random_seed(7)
    rng = np.random.default_rng(0)
    frequency = 1 / np.arange(1, TOKENS + 1)
    frequency /= frequency.sum()
    x = np.stack([rng.choice(TOKENS, LENGTH, replace=False, p=frequency) for _ in range(1280)]).astype(np.int32)
    y = np.isin(x, range(8, 12)).any(1).astype(np.int64)
    tokens = tf.keras.Input((LENGTH,), dtype="int32", name="tokens")
    hidden = layers.Embedding(TOKENS, 16, name="embedding")(tokens)
    taken: dict[int, Any] = {}
    attentions = {block: layers.MultiHeadAttention(4, 4, name=f"block_{block}_attention") for block in (1, 2)}
    for block, attention in attentions.items():
        taken[block] = hidden
        hidden = layers.Add(name=f"block_{block}_add_1")([hidden, attention(hidden, hidden)])
        hidden = layers.LayerNormalization(name=f"block_{block}_norm_1")(hidden)
        wide = layers.Dense(32, activation="relu", name=f"block_{block}_dense_1")(hidden)
        narrow = layers.Dense(16, name=f"block_{block}_dense_2")(wide)
        hidden = layers.Add(name=f"block_{block}_add_2")([hidden, narrow])
        hidden = layers.LayerNormalization(name=f"block_{block}_norm_2")(hidden)
    pooled = layers.GlobalAveragePooling1D(name="pool")(hidden)
    model = tf.keras.Model(tokens, layers.Dense(2, name="classes")(pooled))
    weights = attentions[2].get_weights()
    attentions[2].set_weights([1000 * weights[0], *weights[1:]])
    _compile(model, 0.05)
    batch = x[:BATCH]
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=tf.constant(y[:BATCH]), y_pred=model(batch, training=True))
    (embeddings,) = model.get_layer("embedding").trainable_variables
    gradient = tf.convert_to_tensor(tape.gradient(loss, embeddings)).numpy()
    reach = {
        block: _positions(tf.keras.Model(tokens, taken[block])(batch).numpy(), *attention.get_weights()[:4])
        for block, attention in attentions.items()
    }
    model.reset_metrics()
    keep = Keep(gradients=16_384)
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[_logging(folder, keep=keep)])
    return batch, gradient, reach


def _positions(inputs: Any, query: Any, query_bias: Any, key: Any, key_bias: Any) -> float:
    """How many positions attention looks at, all heads together: 1 / (T · mean of the squared scores), by numpy.

    Args:
      inputs: [examples, positions, units].
      query: Kernel [units, heads, size].
      query_bias: [heads, size].
      key: Kernel [units, heads, size].
      key_bias: [heads, size].
    """
    inputs, query, key = (np.asarray(array, np.float64) for array in (inputs, query, key))
    queries = np.einsum("etu,uhs->eths", inputs, query) + query_bias
    keys = np.einsum("etu,uhs->eths", inputs, key) + key_bias
    logits = np.einsum("eqhs,ekhs->ehqk", queries, keys) / np.sqrt(query.shape[-1])
    scores = np.exp(logits - logits.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    return float(1 / (scores.shape[-1] * np.mean(scores**2)))


class Share(layers.Layer):
    """Each pixel's share of its picture's sum."""

    def call(self, inputs: Any) -> Any:
        return inputs / tf.reduce_sum(inputs, -1, keepdims=True)


def one_batch_breaks_it(folder: Path) -> npt.NDArray[np.float32]:
    """The picture `EMPTY` is empty, so its sum is 0. Every tenth step is logged, and the probe does not hold it.

    Returns:
      The batch that holds it, float32 [BATCH, 64].
    """
    tf.keras.utils.set_random_seed(7)
    x, y = _digits()
    x[EMPTY] = 0
    model = tf.keras.Sequential(
        [
            tf.keras.Input((64,), name="pixels"),
            Share(name="share"),
            layers.Dense(32, activation="tanh", name="hidden"),
            layers.Dense(10, name="classes"),
        ]
    )
    _compile(model, 0.5)
    logging = LayerViewCallback(str(folder), schedule=Schedule(every=10), check=Check(replay=True))
    model.fit(x[:1600], y[:1600], batch_size=BATCH, shuffle=False, verbose=0, callbacks=[logging])
    first = EMPTY // BATCH * BATCH
    return x[first : first + BATCH]
