"""Attention that somebody wrote by hand is known by what stands around its softmax, and so is what is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
import tb_layerview as lv  # noqa: E402
from tb_layerview.health.diagnosis import diagnose  # noqa: E402
from tb_layerview.health.of_run import evidence_of  # noqa: E402

keras, layers = tf.keras, tf.keras.layers
TOKENS, WIDTH = 6, 8
X = np.random.default_rng(0).normal(size=(16, TOKENS, WIDTH)).astype(np.float32)
SHARP = 1000.0
softmax = keras.ops.softmax if hasattr(keras, "ops") else tf.nn.softmax


def projected(x: Any, scale: float) -> tuple[Any, Any, Any]:
    """Queries, keys and values, of which `scale` makes the queries so large that attention is on one position."""
    query, key, value = (layers.Dense(WIDTH, name=name)(x) for name in ("query", "key", "value"))
    return layers.Rescaling(scale, name="scale")(query), key, value


def by_layer(x: Any, scale: float) -> Any:
    """A layer each, as the issue has it, with a Dropout of what is looked at."""
    query, key, value = projected(x, scale)
    attended = layers.Softmax(name="attend")(layers.Dot(axes=(2, 2), name="scores")([query, key]))
    return layers.Dot(axes=(2, 1), name="mix")([layers.Dropout(0.0, name="drop")(attended), value])


def by_masked_layer(x: Any, scale: float) -> Any:
    """Each token looks at itself and those before it."""
    query, key, value = projected(x, scale)
    scores = layers.Dot(axes=(2, 2), name="scores")([query, key])
    mask = np.tril(np.ones((1, TOKENS, TOKENS), np.float32)) * 1e9 - 1e9
    masked = layers.Lambda(lambda s: s + mask, name="masked")(scores)
    return layers.Dot(axes=(2, 1), name="mix")([layers.Activation("softmax", name="attend")(masked), value])


def by_function(x: Any, scale: float) -> Any:
    """A function between two layers."""
    query, key, value = projected(x, scale)
    return layers.Dot(axes=(2, 1), name="mix")([softmax(layers.Dot(axes=(2, 2), name="scores")([query, key])), value])


class Heads(layers.Layer):
    """Attention of two heads, in a layer of one's own."""

    def __init__(self, scale: float, contract: Callable[[str, Any, Any], Any] | None = None) -> None:
        super().__init__(name="heads")
        self._scale, self._contract = scale, contract
        self.query, self.key, self.value = (layers.Dense(WIDTH, name=name) for name in ("query", "key", "value"))
        self.out = layers.Dense(WIDTH, name="out")

    def call(self, x: Any) -> Any:
        query, key, value = (
            tf.transpose(tf.reshape(t, (-1, TOKENS, 2, WIDTH // 2)), (0, 2, 1, 3))
            for t in (self.query(x), self.key(x), self.value(x))
        )
        query = query * self._scale / (WIDTH // 2) ** 0.5
        if self._contract is None:
            mixed = tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True)), value)
        else:
            attended = tf.nn.softmax(self._contract("bhqd,bhkd->bhqk", query, key))
            mixed = self._contract("bhqk,bhkd->bhqd", tf.nn.dropout(attended, 0.0), value)
        return self.out(tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (-1, TOKENS, WIDTH)))


def by_heads(x: Any, scale: float) -> Any:
    """A layer of one's own that multiplies matrices."""
    return Heads(scale)(x)


def by_einsum(x: Any, scale: float) -> Any:
    """A layer of one's own that sums products by their indices."""
    return Heads(scale, tf.einsum)(x)


def of_positions(x: Any, scale: float) -> Any:
    """A classifier of each position, whose classes go on."""
    return layers.Dense(TOKENS, activation="softmax", name="classes")(layers.Rescaling(scale)(x))


def of_experts(x: Any, scale: float) -> Any:
    """A gate that chooses one of as many experts as there are positions."""
    gate = layers.Softmax(name="gate")(layers.Rescaling(scale)(layers.Dense(TOKENS, name="logits")(x)))
    experts = layers.Reshape((TOKENS, TOKENS, WIDTH))(layers.Dense(TOKENS * WIDTH, name="experts")(x))
    mix = layers.Lambda(lambda t: tf.einsum("bte,bted->btd", t[0], t[1]), name="mix")
    return mix([gate, experts])


def of_prototypes(x: Any, scale: float) -> Any:
    """Which of the positions of another sequence each is most like: products of data, that nothing weighs with."""
    one, other, _ = projected(x, scale)
    return layers.Softmax(name="likeness")(layers.Dot(axes=(2, 2), name="products")([one, other]))


ATTENTION = [by_layer, by_masked_layer, by_function, by_heads, by_einsum]
OTHERS = [of_positions, of_experts, of_prototypes]


def logged(folder: Path, make: Callable[[Any, float], Any], scale: float) -> tuple[lv.Run, Any]:
    """Logs twelve steps of a model that does not change, and returns the run and the model."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((TOKENS, WIDTH))
    pooled = layers.GlobalAveragePooling1D(name="pool")(make(inputs, scale))
    model = keras.Model(inputs, layers.Dense(1, name="score")(pooled))
    model.compile("sgd", "mse")
    with lv.LayerRecorder(model, folder, (X, X[:, 0, :1]), schedule=1) as recorder:
        for step in range(12):
            recorder.record(step)
    return lv.LayerReader(folder).run(), model


def attended_to(model: Any, scale: float, make: Any) -> np.ndarray:
    """[examples, heads, queries, keys] by numpy, from the model's weights."""
    weights = {w.path if hasattr(w, "path") else w.name: np.asarray(w) for w in model.weights}

    def project(name: str) -> np.ndarray:
        kernel = next(v for k, v in weights.items() if f"{name}/kernel" in k)
        bias = next(v for k, v in weights.items() if f"{name}/bias" in k)
        return X @ kernel + bias

    heads = 2 if make in (by_heads, by_einsum) else 1
    query, key = (project(n).reshape(16, TOKENS, heads, -1).transpose(0, 2, 1, 3) for n in ("query", "key"))
    logits = scale * query @ key.transpose(0, 1, 3, 2)
    if heads > 1:
        logits = logits / (WIDTH // 2) ** 0.5
    if make is by_masked_layer:
        logits = np.where(np.tril(np.ones((TOKENS, TOKENS))) > 0, logits, -1e9)
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("make", ATTENTION)
@pytest.mark.parametrize("scale", [1.0, SHARP])
@pytest.mark.core("1000.0-*", "1.0-by_function")
def test_attention_by_hand_is_measured_as_attention_and_named_where_it_is_on_one_position(
    make: Any, scale: float, tmp_path: Path
) -> None:
    run, model = logged(tmp_path, make, scale)
    (tensor,) = [t for t in run.tensors if t.axes[-1:] == ("key",)]
    truth = attended_to(model, scale, make)
    assert tensor.axes == ("example", *(["head"] if truth.shape[1] > 1 else []), "query", "key")
    at = (1 / (truth**2).sum(axis=-1)).mean(axis=(0, 2)).min()  # of shares that sum to 1
    np.testing.assert_allclose(run.statistics("positions")[tensor], at, rtol=1e-4)
    found = [f for f in diagnose(evidence_of(run)) if f.rule == "collapsed_attention"]
    assert [(f.tensor, f.first) for f in found] == ([(tensor, 0)] if scale == SHARP else [])
    if make in (by_layer, by_masked_layer):
        assert (tensor.layer, tensor.name, tensor.function) == ("attend", "output", "softmax")


@pytest.mark.parametrize("make", OTHERS)
def test_a_classifier_of_positions_and_a_gate_may_be_sure(make: Any, tmp_path: Path) -> None:
    run, _ = logged(tmp_path, make, SHARP)
    (tensor,) = [t for t in run.tensors if t.function == "softmax"]
    shown = run.values(tensor, 0).array
    assert (shown.max(axis=-1) > 0.99).mean() > 0.9  # it is sure
    assert tensor.axes[-1:] != ("key",) and np.isnan(run.statistics("positions")).all()
    assert not {f.rule for f in diagnose(evidence_of(run))} & {"collapsed_attention", "uniform_attention"}


def test_attention_of_keras_is_logged_once_as_before(tmp_path: Path) -> None:
    def make(x: Any, scale: float) -> Any:
        return layers.MultiHeadAttention(2, 4, name="attention")(x, x)

    run, _ = logged(tmp_path, make, 1.0)
    assert [(t.layer, t.name) for t in run.tensors if t.axes[-1:] == ("key",)] == [("attention", "scores")]
    (attention,) = [layer for layer in run.layers if layer.path == "attention"]
    within = [f"attention/{part}" for part in ("query", "key", "value")]
    inputs = {run.layers[i].path for i in attention.inputs}
    assert inputs - {"attention/dropout"} == set(within)  # Keras 2 has a layer for that, too
