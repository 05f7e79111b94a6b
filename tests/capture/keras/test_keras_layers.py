"""The probe's pass on the layers and models that people have, on Keras 3, Keras 2 and tf_keras, whatever computes them.

Truth comes from Keras models of the same layers, from numpy, and from gradients by the framework's own means.
"""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_keras import (
    ERRORS,
    FRAMEWORK,
    IS_TENSORFLOW,
    KERAS_3,
    array,
    gradients,
    gradients_of,
    keras,
    layers,
    only_tensorflow,
    ops,
    tensor,
    type_policies,
)

from tb_layerview import Keep, LayerReader, LayerViewCallback, Select
from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.backends import backend_of
from tb_layerview.format.model import Tensor
from tb_layerview.measure.measurement import Measurement

if IS_TENSORFLOW:
    import tensorflow as tf

EXACT = Keep(precision="float32", activations=10**7, weights=10**7, gradients=10**7, examples=1000)

STRINGS = only_tensorflow("tensors of strings")

rng = np.random.default_rng(5)


def _normal(*shape: int) -> Any:
    return rng.normal(size=shape).astype(np.float32)


@pytest.fixture(autouse=True)
def _names_begin_anew() -> Iterator[None]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    yield
    keras.backend.clear_session()


def _probe(model: Any, data: tuple[Any, ...], given: Given) -> Any:
    """The pass of a model, in training mode."""
    backend = backend_of(model)
    return backend.probe(model, Examples(backend.given_batch(data), "a test"), given, True)


class Logged:
    """What one pass measured, by layer, kind, name and call."""

    def __init__(self, model: Any, x: Any, y: Any = None, select: Select = Select(), keep: Keep = EXACT) -> None:  # noqa: B008
        self.probe = _probe(model, (x, y) if y is not None else (x,), Given(select, keep=keep))
        self.model = self.probe.model
        step = self.probe.run(0, with_values=True)
        self._measured, self.scalars = step.measurements(), step.scalars
        self.paths = [layer.path for layer in self.model.layers]

    def _index(self, path: str, kind: str = "activation", name: str = "output", call: int = 0) -> int:
        wanted = (path, kind, name, call)
        known = [(self.paths[t.layer], t.kind, t.name, t.call) for t in self.model.tensors]
        assert wanted in known, f"{wanted} is not among {known}; {self.model.notes}"
        assert known.count(wanted) == 1
        return known.index(wanted)

    def tensor(self, path: str, *which: Any, **more: Any) -> Tensor:
        return self.model.tensors[self._index(path, *which, **more)]

    def measured(self, path: str, *which: Any, **more: Any) -> Measurement:
        return self._measured[self._index(path, *which, **more)]

    def __call__(self, path: str, *which: Any, **more: Any) -> Any:
        kept = self.measured(path, *which, **more).kept
        assert kept is not None
        return kept

    def has(self, path: str, kind: str = "activation") -> bool:
        return any(self.paths[t.layer] == path and t.kind == kind for t in self.model.tensors)

    def sources(self, path: str) -> list[str]:
        return [self.paths[i] for i in self.model.layers[self.paths.index(path)].inputs]


def _close(found: Any, truth: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    truth = array(truth)
    assert found.shape == truth.shape
    np.testing.assert_allclose(np.asarray(found, np.float64), truth.astype(np.float64), rtol=rtol, atol=atol)


def _until(model: Any, name: str) -> Any:
    """The model that ends with this layer."""
    inputs = model.inputs
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, model.get_layer(name).output)


def _agrees(logged: Logged, model: Any, x: Any, *names: str) -> None:
    """The activations of these layers are those of a model that ends with them."""
    for name in names:
        _close(logged(name), _until(model, name)(x, training=True))


# Kinds of models.


@pytest.mark.covers("Keras: Sequential")
def test_a_sequential_model() -> None:
    x = _normal(4, 6)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, "tanh", name="a"), layers.Dense(2, name="b")])
    logged = Logged(model, x)
    _agrees(logged, model, x, "a", "b")
    assert logged.sources("a") == ["input"] and logged.sources("b") == ["a"]
    assert logged.model.notes == ("the model is not compiled with a loss: gradients are left out",)


@pytest.mark.parametrize(
    "as_dict", [pytest.param(True, marks=pytest.mark.covers("Keras: inputs and outputs as dicts")), False]
)
@pytest.mark.covers("Keras: functional, several inputs and outputs")
def test_several_inputs_and_outputs(as_dict: bool) -> None:
    words, size = keras.Input((5,), name="words"), keras.Input((3,), name="size")
    both = layers.Concatenate(name="both")([words, size])
    one, two = layers.Dense(2, name="one")(both), layers.Dense(1, name="two")(size)
    model = (
        keras.Model({"words": words, "size": size}, {"one": one, "two": two})
        if as_dict
        else keras.Model([words, size], [one, two])
    )
    arrays = {"words": _normal(4, 5), "size": _normal(4, 3)}
    targets = {"one": _normal(4, 2), "two": _normal(4, 1)}
    model.compile("sgd", {"one": "mse", "two": "mae"} if as_dict else ["mse", "mae"])
    x, y = (arrays, targets) if as_dict else (list(arrays.values()), list(targets.values()))
    logged = Logged(model, x, tuple(y) if isinstance(y, list) else y)
    prefix = {"words": "input/words", "size": "input/size"} if as_dict else {"words": "input/0", "size": "input/1"}
    for name, path in prefix.items():
        _close(logged(path), arrays[name])
    w1, b1 = model.get_layer("one").get_weights()
    joined = np.concatenate([arrays["words"], arrays["size"]], axis=1)
    _close(logged("one"), joined @ w1 + b1)
    error = 2 * (joined @ w1 + b1 - targets["one"]) / 8
    _close(logged("one", "gradient", "kernel"), joined.T @ error)
    assert logged.sources("both") == sorted(prefix.values(), key=logged.paths.index)
    assert logged.sources("two") == [prefix["size"]]


class _Block(layers.Layer):  # type: ignore[misc]
    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.inner = layers.Dense(units, "tanh", name="inner")

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs) + inputs


@pytest.mark.covers(
    "Keras: subclassed",
    "Keras: layers shared or called in a loop",
    "Keras: layers created in call",
    "Keras: plain operations between layers",
)
def test_a_subclassed_model_with_a_layer_in_a_loop_and_one_made_in_call() -> None:
    class Looping(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__(name="looping")
            self.block = _Block(6, name="block")

        def call(self, inputs: Any) -> Any:
            for _ in range(3):
                inputs = self.block(inputs)
            inputs = ops.sin(inputs)
            return layers.Activation("relu", name="made_in_call")(inputs)

    x, model = _normal(4, 6), Looping()
    model(x)
    logged = Logged(model, x)
    kernel, bias = model.block.inner.get_weights()
    for call in range(3):
        inner = np.tanh(x @ kernel + bias)
        _close(logged("block/inner", call=call), inner)
        x = inner + x
        _close(logged("block", call=call), x)
    _close(logged("made_in_call"), np.maximum(np.sin(x), 0))
    assert logged.sources("made_in_call") == ["block"]
    assert len([t for t in logged.model.tensors if t.kind == "weight"]) == 2


@pytest.mark.covers("Keras: models nested three deep")
def test_models_nested_three_deep() -> None:
    innermost = keras.Sequential([keras.Input((6,)), layers.Dense(6, "tanh", name="core")], name="innermost")
    inputs = keras.Input((6,))
    middle = keras.Model(inputs, innermost(layers.Dense(6, name="before")(inputs)), name="middle")
    inputs = keras.Input((6,))
    outer = keras.Model(inputs, layers.Dense(2, name="head")(middle(inputs)), name="outer")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, outer(inputs), name="whole")
    x = _normal(4, 6)
    logged = Logged(model, x)
    assert logged.paths == ["input", "outer/middle/before", "outer/middle/innermost/core", "outer/head"]
    _close(logged("outer/middle/innermost/core"), middle(x))
    _close(logged("outer/head"), model(x))
    _close(logged("outer/middle/innermost/core", "weight", "kernel"), innermost.get_weights()[0])


@pytest.mark.covers("Keras: TimeDistributed", "Keras: Bidirectional", "Keras: Lambda")
def test_time_distributed_and_bidirectional_and_lambda_layers() -> None:
    inputs = keras.Input((5, 6))
    x = layers.TimeDistributed(layers.Dense(4, "tanh"), name="each")(inputs)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="lstm"), name="both")(x)
    model = keras.Model(inputs, layers.Lambda(lambda t: t * t, name="square")(x))
    data = _normal(4, 5, 6)
    logged = Logged(model, data)
    _agrees(logged, model, data, "each", "both", "square")
    kernel, bias = model.get_layer("each").get_weights()
    _close(logged("each", "weight", "kernel"), kernel)
    _close(logged("each"), np.tanh(data @ kernel + bias))
    assert logged.tensor("each").axes == logged.tensor("both").axes == ("example", "timestep", "unit")
    forward = logged("both/forward_lstm")
    _close(logged("both")[..., :3], forward)
    assert logged.has("both/forward_lstm", "weight") and logged.has("both/backward_lstm", "weight")


@only_tensorflow("a function within a model that is traced by itself")
def test_layers_inside_a_traced_function_are_named_and_their_weights_logged() -> None:
    class Hiding(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__(name="hiding")
            self.hidden = layers.Dense(4, name="hidden")
            self.seen = layers.Dense(2, name="seen")
            self.idle = layers.Dense(2, name="idle")
            self.traced = tf.function(lambda x: self.hidden(x))

        def call(self, inputs: Any) -> Any:
            return self.seen(self.traced(inputs))

    x, model = _normal(4, 6), Hiding()
    model(x)
    model.compile("sgd", "mse")
    y = _normal(4, 2)
    logged = Logged(model, x, y)
    (note,) = [note for note in logged.model.notes if "not seen being called" in note]
    assert note.endswith((": hidden, idle", ": idle, hidden"))
    _close(logged("seen"), model(x))
    _close(logged("hiding", "weight", "kernel"), model.hidden.get_weights()[0])
    (truth,) = gradients(model, x, lambda out: ops.mean((out - y) ** 2), [model.hidden.kernel])
    if truth is None:  # Keras 3 trains nothing in there, and that is said
        assert "hiding: the loss does not depend on kernel: it has no gradient" in logged.model.notes
    else:
        _close(logged("hiding", "gradient", "kernel"), truth)


# Recurrent layers.


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("LSTM", marks=pytest.mark.covers("Keras: LSTM, per timestep")),
        pytest.param("GRU", marks=pytest.mark.covers("Keras: GRU, per timestep")),
        "SimpleRNN",
    ],
)
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.core("True-GRU", "False-LSTM", "True-SimpleRNN")
def test_recurrent_layers_give_each_timestep(cell: str, unroll: bool) -> None:
    inputs = keras.Input((5, 6))
    sequence = getattr(layers, cell)(4, return_sequences=True, unroll=unroll, name="sequence")(inputs)
    last, *states = getattr(layers, cell)(3, return_state=True, unroll=unroll, name="last")(sequence)
    model = keras.Model(inputs, [last, *states])
    model.compile("sgd", ["mse"] * (1 + len(states)))
    x = _normal(4, 5, 6)
    logged = Logged(model, x, tuple(_normal(4, 3) for _ in range(1 + len(states))))
    _agrees(logged, model, x, "sequence")
    truth = model(x)
    _close(logged("last", name="output 0"), truth[0])
    _close(logged("last", name=f"output {len(states)}"), truth[-1])
    assert logged.tensor("sequence").axes == ("example", "timestep", "unit")
    assert logged.tensor("last", name="output 0").axes == ("example", "unit")
    for name in ("kernel", "recurrent_kernel"):
        assert logged.tensor("sequence", "gradient", name).axes == ("input", "unit")
    if cell == "GRU":
        assert logged.tensor("sequence", "weight", "bias").axes == ("source", "unit")
    assert not [note for note in logged.model.notes if "not seen" in note], "cells are not said to be missing"
    weights = model.get_layer("sequence").get_weights()
    _close(logged("sequence", "weight", "recurrent_kernel"), weights[1])


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.covers("Keras: ConvLSTM, per timestep")
def test_convolutional_recurrent_layers(sequences: bool) -> None:
    inputs = keras.Input((3, 6, 6, 2))
    x = layers.ConvLSTM2D(4, 3, return_sequences=sequences, name="lstm")(inputs)
    model = keras.Model(inputs, layers.BatchNormalization(name="norm")(x))
    data = _normal(2, 3, 6, 6, 2)
    logged = Logged(model, data)
    _agrees(logged, model, data, "lstm")
    time = ("timestep",) if sequences else ()
    assert logged.tensor("input").axes == ("example", "timestep", "row", "column", "channel")
    assert logged.tensor("lstm").axes == logged.tensor("norm").axes == ("example", *time, "row", "column", "channel")
    assert logged.tensor("lstm", "weight", "kernel").axes == ("row", "column", "input channel", "channel")


# Attention.


def _attention(**options: Any) -> tuple[Any, Any]:
    """A model with self attention, and a function that returns the scores as the layer itself gives them."""
    call, masked = options.pop("call", {}), options.pop("masked", False)
    make = options.pop("make", lambda **o: layers.MultiHeadAttention(3, 4, **o))
    inputs = keras.Input((5, 6))
    attend = make(name="attend", **options)
    # Keras 3's causal kernel is for input without a mask.
    mask = layers.Masking(0.0, name="mask") if masked else layers.Rescaling(1.0, name="mask")
    embedded = mask(inputs)
    model = keras.Model(inputs, attend(embedded, embedded, **call))

    def told(x: Any) -> Any:
        seen = model.get_layer("mask")(tensor(x))
        return attend(seen, seen, return_attention_scores=True, **call)[1]

    return model, told


@pytest.mark.parametrize("name", ["plain", "causal", "padded", "causal and padded", "given mask", "dropout"])
@pytest.mark.covers(
    "Keras: MultiHeadAttention, output",
    "Keras: MultiHeadAttention, scores per head",
    "Keras: MultiHeadAttention, masks respected",
)
@pytest.mark.core("plain", "causal and padded", "dropout")
def test_attention_scores_are_those_that_the_layer_returns_when_asked(name: str) -> None:
    x = _normal(2, 5, 6)
    if "padded" in name:
        x[0, 3:] = 0.0
    call: dict[str, Any] = {"use_causal_mask": True} if "causal" in name else {}
    if name == "given mask":
        call["attention_mask"] = tensor((rng.random((1, 5, 5)) < 0.6) | np.eye(5, dtype=bool))
    model, told = _attention(call=call, masked="padded" in name, **({"dropout": 0.5} if name == "dropout" else {}))
    logged = Logged(model, x)
    truth = array(told(x))
    found = logged.tensor("attend", name="scores")
    assert (found.kind, found.axes, found.shape) == ("activation", ("example", "head", "query", "key"), (2, 3, 5, 5))
    scores = logged("attend", name="scores")
    _close(scores, truth)
    # What a padded query looks at differs from Keras to Keras: nothing, or all evenly.
    assert scores[:, :, :3].sum(axis=-1) == pytest.approx(1.0, rel=1e-5)
    if name != "dropout":
        _close(logged("attend"), model(x))
    if "causal" in name:
        assert not np.triu(scores, 1)[:, :, :3].any()
    if "padded" in name:
        assert not scores[0, :, :3, 3:].any()
    assert not [note for note in logged.model.notes if "attend" in note]
    for part, axes in (("query", ("input", "head", "unit")), ("attention_output", ("head", "input", "unit"))):
        assert logged.tensor(f"attend/{part}", "weight", "kernel").axes == axes


def test_axes_of_what_attentions_projections_give() -> None:
    model, _ = _attention()
    x = _normal(2, 5, 6)
    logged = Logged(model, x)
    attend = model.get_layer("attend")
    weights = [np.asarray(w, np.float64) for w in attend.get_weights()]
    for i, part in enumerate(("query", "key", "value")):
        tensor = logged.tensor(f"attend/{part}")
        assert (tensor.axes, tensor.shape) == (("example", "timestep", "head", "unit"), (2, 5, 3, 4))
        kernel, bias = weights[2 * i : 2 * i + 2]
        _close(logged(f"attend/{part}"), np.einsum("btf,fhd->bthd", x, kernel) + bias)
    assert logged.tensor("attend").axes == ("example", "timestep", "unit")


@pytest.mark.parametrize(
    ("equation", "output_shape", "shape", "axes"),
    [
        ("abc,cd->abd", (None, 7), (5, 6), ("example", "timestep", "unit")),
        ("abc,cd->adb", (7, None), (5, 6), ("example", "unit", "timestep")),
        ("abcd,de->abce", (None, None, 7), (3, 4, 6), ("example", "row", "column", "channel")),
        ("abcd,def->abcef", (None, None, 2, 7), (3, 4, 6), ("example", "row", "column", "head", "unit")),
        ("...x,xy->...y", (7,), (5, 6), ("example", "timestep", "unit")),
    ],
)
def test_axes_of_einsum_dense(equation: str, output_shape: Any, shape: Any, axes: tuple[str, ...]) -> None:
    inputs = keras.Input(shape)
    dense_type = layers.EinsumDense if hasattr(layers, "EinsumDense") else layers.experimental.EinsumDense
    dense = dense_type(equation, output_shape, name="dense")
    logged = Logged(keras.Model(inputs, dense(inputs)), _normal(2, *shape))
    assert logged.tensor("dense").axes == axes


@pytest.mark.covers("Keras: MultiHeadAttention, scores per head")
def test_attention_scores_by_hand() -> None:
    x = _normal(2, 5, 6)
    model, _ = _attention()
    logged = Logged(model, x)
    attend = model.get_layer("attend")
    wq, bq, wk, bk = (np.asarray(w, np.float64) for w in attend.get_weights()[:4])
    query = np.einsum("btf,fhd->bthd", x, wq) + bq
    key = np.einsum("btf,fhd->bthd", x, wk) + bk
    logits = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(4)
    truth = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    _close(logged("attend", name="scores"), truth)


def test_attention_over_pictures_and_several_calls() -> None:
    inputs = keras.Input((3, 4, 6))
    attend = layers.MultiHeadAttention(2, 4, attention_axes=(1, 2), name="attend")
    model = keras.Model(inputs, attend(attend(inputs, inputs), inputs))
    x = _normal(2, 3, 4, 6)
    logged = Logged(model, x)
    output, truth = attend(x, x, return_attention_scores=True)
    _close(logged("attend", name="scores"), truth)
    _close(logged("attend", name="scores", call=1), attend(output, x, return_attention_scores=True)[1])
    assert logged.tensor("attend", name="scores").axes == ("example", "head", "query 1", "query 2", "key 1", "key 2")


@pytest.mark.skipif(not hasattr(layers, "GroupQueryAttention"), reason="Keras 3 only")
@pytest.mark.parametrize("causal", [False, True])
def test_grouped_query_attention(causal: bool) -> None:
    make = lambda **options: layers.GroupQueryAttention(4, 6, 2, **options)  # noqa: E731
    model, told = _attention(make=make, call={"use_causal_mask": causal})
    x = _normal(2, 5, 6)
    logged = Logged(model, x)
    _close(logged("attend", name="scores"), told(x))
    assert logged.tensor("attend", name="scores").shape == (2, 6, 5, 5)


@pytest.mark.parametrize("cls", ["Attention", "AdditiveAttention"])
def test_attention_without_heads(cls: str) -> None:
    inputs = keras.Input((5, 6))
    attend = getattr(layers, cls)(name="attend")
    model = keras.Model(inputs, attend([inputs, inputs]))
    x = _normal(2, 5, 6)
    logged = Logged(model, x)
    _close(logged("attend", name="scores"), attend([tensor(x)] * 2, return_attention_scores=True)[1])
    assert logged.tensor("attend", name="scores").axes == ("example", "query", "key")


def test_attention_of_a_users_own_is_logged_as_returned_or_said_to_be_missing() -> None:
    class Own(layers.MultiHeadAttention):  # type: ignore[misc,name-defined]
        tells = True

        def _compute_attention(self, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
            weights = ops.sigmoid(ops.einsum("bqhd,bkhd->bhqk", query, key))
            # For autograph to convert, which Keras 2 does not here.
            if KERAS_3 and IS_TENSORFLOW and ops.sum(weights) < 0:
                weights = weights * 0.0
            return ops.einsum("bhqk,bkhd->bqhd", weights, value), weights if self.tells else None

    for tells in (True, False):
        inputs = keras.Input((5, 6))
        attend = Own(3, 4, name="attend")
        attend.tells = tells
        model = keras.Model(inputs, attend(inputs, inputs))
        x = _normal(2, 5, 6)
        logged = Logged(model, x)
        notes = [note for note in logged.model.notes if note.startswith("attend: ")]
        if tells:
            wq, bq, wk, bk = attend.get_weights()[:4]
            query, key = np.einsum("btf,fhd->bthd", x, wq) + bq, np.einsum("btf,fhd->bthd", x, wk) + bk
            logits = np.einsum("bqhd,bkhd->bhqk", query, key)
            _close(logged("attend", name="scores"), 1 / (1 + np.exp(-logits)))
            assert not notes
        else:
            assert notes == ["attend: Own computes its attention in a way of its own: its scores are left out"]


# Embeddings, normalisation, text, ragged and masked input.


@pytest.mark.skipif(not IS_TENSORFLOW, reason="Keras' embeddings have dense gradients on JAX and PyTorch")
@pytest.mark.covers("Keras: Embedding, gradient not densified")
def test_an_embeddings_gradient_has_the_touched_rows_each_once() -> None:
    inputs = keras.Input((4,), dtype="int32")
    embed = layers.Embedding(1000, 3, name="embed", mask_zero=True)
    model = keras.Model(inputs, layers.Dense(1, name="dense")(layers.GlobalAveragePooling1D()(embed(inputs))))
    model.compile("sgd", "mse")
    x, y = np.array([[7, 7, 900, 3], [3, 0, 0, 5]], np.int32), _normal(2, 1)
    logged = Logged(model, x, y)
    (slices,) = gradients(model, x, lambda out: ops.mean((out - y) ** 2), [embed.embeddings])
    dense = np.asarray(tf.convert_to_tensor(slices))
    touched = [7, 900, 3, 0, 5]
    _close(logged("embed", "gradient", "embeddings"), dense[touched])
    measured = logged.measured("embed", "gradient", "embeddings")
    assert measured.digest.size == 15
    assert measured.digest.rms == pytest.approx(np.sqrt(np.mean(dense[touched].astype(float) ** 2)), rel=1e-5)
    assert [axis.size for axis in measured.kept_axes] == [5, 3]
    tensor = logged.tensor("embed", "gradient", "embeddings")
    assert (tensor.shape, tensor.axes) == ((-1, 3), ("slice", "unit"))
    assert any(
        n.startswith("embed: gradient embeddings has the rows that the probe looks up") for n in logged.model.notes
    )
    assert logged.tensor("embed", "weight", "embeddings").axes == ("token", "unit")
    assert logged.tensor("input").axes == ("example", "timestep")
    _close(logged("embed"), embed(x))


@pytest.mark.covers("Keras: BatchNormalization, moving statistics", "Keras: Dropout")
def test_moving_statistics_are_those_before_the_pass() -> None:
    inputs = keras.Input((6,))
    norm = layers.BatchNormalization(name="norm")
    model = keras.Model(inputs, layers.Dropout(0.5, name="drop")(norm(inputs)))
    norm.set_weights([_normal(6), _normal(6), _normal(6), _normal(6) ** 2])
    x = _normal(8, 6)
    logged = Logged(model, x)
    gamma, beta, mean, variance = norm.get_weights()
    names = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    for name, truth in names.items():
        assert logged.measured("norm", "weight", name).digest.mean == pytest.approx(truth.mean(), rel=1e-5)
        _close(logged("norm", "weight", name), truth)
    truth = (x - x.mean(0)) / np.sqrt(x.var(0) + norm.epsilon) * gamma + beta
    _close(logged("norm"), truth, rtol=1e-4, atol=1e-5)
    dropped = logged("drop")
    assert 0 < (dropped == 0).mean() < 1
    _close(dropped[dropped != 0], 2 * logged("norm")[dropped != 0])


@STRINGS
@pytest.mark.covers("Keras: preprocessing layers with string input")
def test_string_input_is_said_and_the_rest_is_logged() -> None:
    words = keras.Input((), dtype="string", name="words")
    numbers = keras.Input((3,), name="numbers")
    ids = layers.StringLookup(vocabulary=["a", "b", "c"], name="lookup")(words)
    embedded = layers.Embedding(4, 3, name="embed")(ids)
    model = keras.Model({"words": words, "numbers": numbers}, layers.Add(name="add")([embedded, numbers]))
    model.compile("sgd", "mse")
    x = {"words": np.array(["b", "?", "a", "c"]), "numbers": _normal(4, 3)}
    logged = Logged(model, x, _normal(4, 3))
    assert "input/words: activation output has dtype string and is left out" in logged.model.notes
    _close(logged("lookup"), [2, 0, 1, 3])
    _close(logged("add"), model.get_layer("embed").get_weights()[0][[2, 0, 1, 3]] + x["numbers"])
    assert logged.has("embed", "gradient") and logged.has("input/numbers")


@STRINGS
@pytest.mark.covers("Keras: preprocessing layers with string input")
def test_text_vectorization_in_the_model() -> None:
    text = keras.Input((1,), dtype="string")
    vectorize = layers.TextVectorization(vocabulary=["cat", "dog"], output_sequence_length=3, name="tokens")
    model = keras.Sequential([text, vectorize, layers.Embedding(5, 2, name="embed")])
    logged = Logged(model, np.array([["cat dog"], ["dog bird cat"]]))
    _close(logged("tokens"), [[2, 3, 0], [3, 1, 2]])
    assert logged.tensor("tokens").axes == ("example", "timestep")
    _close(logged("embed"), model.get_layer("embed").get_weights()[0][logged("tokens")])


@only_tensorflow("ragged tensors")
@pytest.mark.covers("Keras: ragged input")
def test_ragged_input_is_logged_by_its_values() -> None:
    data = tf.ragged.constant([[1, 2, 3], [4], [5, 6]], dtype=tf.int64)
    inputs = keras.Input((None,), dtype="int64", ragged=True)
    embed = layers.Embedding(10, 4, name="embed")
    sums = layers.Lambda(lambda t: tf.reduce_sum(t, axis=1), output_shape=(4,), name="sums")
    model = keras.Model(inputs, layers.Dense(2, name="dense")(sums(embed(inputs))))
    logged = Logged(model, data)
    table = embed.get_weights()[0]
    assert np.array_equal(logged("input"), [1, 2, 3, 4, 5, 6])
    _close(logged("embed"), table[1:7])
    _close(logged("sums"), [table[1:4].sum(0), table[4], table[5:7].sum(0)])
    assert logged.sources("sums") == ["embed"]


@pytest.mark.covers("Keras: masked input")
def test_masked_input_reaches_recurrent_layers_masked() -> None:
    inputs = keras.Input((5, 6))
    masked = layers.Masking(0.0, name="mask")(inputs)
    model = keras.Model(inputs, layers.GRU(3, return_sequences=True, name="gru")(masked))
    x = _normal(2, 5, 6)
    x[0, 3:] = 0.0
    logged = Logged(model, x)
    _agrees(logged, model, x, "gru")
    # Where there is nothing to read, the state stays as it is.
    _close(logged("gru")[0, 4], logged("gru")[0, 2], rtol=0, atol=0)


def test_a_layer_in_a_branch_is_named_and_its_cells_and_containers_are_not() -> None:
    class Branching(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__(name="branching")
            self.seldom = layers.Dense(6, name="seldom")
            self.both = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")
            self.each = layers.TimeDistributed(layers.Dense(3), name="each")
            self.attend = layers.MultiHeadAttention(2, 3, name="attend")
            self.chain = keras.Sequential([layers.Dense(6, name="link")], name="chain")

        def call(self, inputs: Any) -> Any:
            x = ops.cond(ops.sum(inputs) > 1e6, lambda: self.seldom(inputs), lambda: inputs)
            return self.each(self.both(self.chain(self.attend(x, x))))

    x, model = _normal(2, 5, 6), Branching()
    model.seldom(x)
    model(x)
    logged = Logged(model, x)
    (note,) = [note for note in logged.model.notes if "not seen being called" in note]
    assert note.endswith(": seldom")
    assert logged.has("chain/link") and logged.has("both") and logged.has("each")
    unselected = Logged(model, x, select=Select(exclude=("seldom",)))
    assert not [note for note in unselected.model.notes if "seldom" in note]


def test_normalisation_over_several_axes_is_named_after_what_it_normalises() -> None:
    inputs = keras.Input((4, 5, 3))
    norm = layers.LayerNormalization(axis=(1, 2, 3), name="norm")
    model = keras.Model(inputs, layers.PReLU(name="prelu")(norm(inputs)))
    logged = Logged(model, _normal(2, 4, 5, 3))
    assert logged.tensor("norm", "weight", "gamma").axes == ("row", "column", "channel")
    assert logged.tensor("prelu", "weight", "alpha").axes == ("row", "column", "channel")


# Convolutions: axes and units.


def _units(logged: Logged, *which: Any) -> Any:
    units = logged.measured(*which).units
    assert units is not None
    return units


@pytest.mark.parametrize("kind", ["weight", "gradient"])
def test_kernels_have_their_output_channels_last(kind: str) -> None:
    inputs = keras.Input((8, 8, 2))
    x = layers.DepthwiseConv2D(3, depth_multiplier=3, name="depthwise")(inputs)
    x = layers.SeparableConv2D(4, 3, depth_multiplier=2, name="separable")(x)
    x = layers.Conv2DTranspose(5, 3, name="transpose")(x)
    model = keras.Model(inputs, layers.Conv2D(3, 1, name="plain")(x))
    model.compile("sgd", "mse")
    x, y = _normal(2, 8, 8, 2), _normal(2, 6, 6, 3)
    logged = Logged(model, x, y)
    values = {v.path if hasattr(v, "path") else v.name: v for v in model.trainable_variables}
    found = gradients(model, x, lambda out: ops.mean((out - tensor(y)) ** 2), list(values.values()))
    arrays = {name: array(v if kind == "weight" else g) for (name, v), g in zip(values.items(), found)}

    def truth(layer: str, name: str) -> Any:
        return next(a for n, a in arrays.items() if n.startswith(f"{layer}/") and name in n)

    axes = ("row", "column", "input channel", "channel")
    name = next(
        t.name
        for t in logged.model.tensors
        if logged.paths[t.layer] == "depthwise" and t.name != "bias" and t.kind == "weight"
    )
    depthwise = truth("depthwise", name)
    assert depthwise.shape == (3, 3, 2, 3)
    kernel = logged("depthwise", kind, name)
    assert kernel.shape == (3, 3, 1, 6) and logged.tensor("depthwise", kind, name).axes == axes
    for channel in range(2):
        for multiple in range(3):
            _close(kernel[:, :, 0, 3 * channel + multiple], depthwise[:, :, channel, multiple])
    _close(_units(logged, "depthwise", kind, name).mean, depthwise.mean(axis=(0, 1)).ravel())
    assert logged("separable", kind, "depthwise_kernel").shape == (3, 3, 1, 12)
    _close(logged("separable", kind, "pointwise_kernel"), truth("separable", "pointwise_kernel"))
    transposed = truth("transpose", "kernel")
    assert transposed.shape == (3, 3, 5, 4)
    _close(logged("transpose", kind, "kernel"), transposed.transpose(0, 1, 3, 2))
    assert logged.tensor("transpose", kind, "kernel").axes == axes
    _close(_units(logged, "transpose", kind, "kernel").peak, np.abs(transposed).max(axis=(0, 1, 3)))
    _close(logged("plain", kind, "kernel"), truth("plain", "kernel"))


def test_depthwise_units_are_the_output_channels() -> None:
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, layers.DepthwiseConv2D(3, depth_multiplier=3, use_bias=False, name="conv")(inputs))
    logged = Logged(model, _normal(2, 8, 8, 2))
    name = next(t.name for t in logged.model.tensors if t.kind == "weight")
    output = logged("conv")
    kernel, x = logged("conv", "weight", name), logged("input")
    for channel in range(6):
        by_hand = sum(
            kernel[i, j, 0, channel] * x[:, i : i + 6, j : j + 6, channel // 3] for i in range(3) for j in range(3)
        )
        _close(output[..., channel], by_hand, rtol=1e-4, atol=1e-5)


def test_convolutions_over_one_and_three_dimensions() -> None:
    line, cube = keras.Input((8, 2)), keras.Input((4, 4, 4, 2))
    model = keras.Model(
        [line, cube],
        [
            layers.Conv1DTranspose(3, 3, name="back")(layers.Conv1D(4, 3, name="line")(line)),
            layers.MaxPooling3D(name="pool")(layers.Conv3D(5, 1, name="cube")(cube)),
        ],
    )
    x = [_normal(2, 8, 2), _normal(2, 4, 4, 4, 2)]
    logged = Logged(model, x)
    _agrees(logged, model, x, "line", "back", "cube", "pool")
    assert logged.tensor("line").axes == ("example", "timestep", "unit")
    assert logged.tensor("pool").axes == ("example", "depth", "row", "column", "channel")
    assert logged.tensor("line", "weight", "kernel").axes == ("position", "input channel", "channel")
    _close(logged("back", "weight", "kernel"), model.get_layer("back").get_weights()[0].transpose(0, 2, 1))
    assert logged.tensor("cube", "weight", "kernel").axes[0] == "depth"


def test_channels_first_is_turned_so_that_units_are_channels() -> None:
    inputs = keras.Input((3, 8, 6))
    x = layers.ZeroPadding2D(1, data_format="channels_first", name="pad")(inputs)
    x = layers.BatchNormalization(axis=1, name="norm")(x)
    x = layers.ReLU(name="relu")(x * 2.0)
    x = layers.GlobalAveragePooling2D(data_format="channels_first", name="pool")(x)
    model = keras.Model(inputs, layers.Dense(2, name="dense")(x))
    x = _normal(2, 3, 8, 6)
    logged = Logged(model, x)
    for name in ("pad", "norm", "relu"):
        truth = array(_until(model, name)(x, training=True))
        _close(logged(name), np.transpose(truth, (0, 2, 3, 1)))
        assert logged.tensor(name).axes == ("example", "row", "column", "channel")
        _close(_units(logged, name).mean, np.mean(truth, axis=(0, 2, 3)))
    _close(logged("input"), np.transpose(x, (0, 2, 3, 1)))
    assert logged.tensor("pool").axes == ("example", "unit")
    assert logged.sources("norm") == ["pad"], "turning a tensor leaves what it is made of"


def test_normalising_the_second_axis_says_that_it_holds_the_channels() -> None:
    inputs = keras.Input((3, 8, 6))
    model = keras.Model(inputs, layers.BatchNormalization(axis=1, name="norm")(inputs))
    x = _normal(2, 3, 8, 6)
    logged = Logged(model, x)
    _close(logged("norm"), np.transpose(array(model(x, training=True)), (0, 2, 3, 1)))
    _close(_units(logged, "input").mean, x.mean(axis=(0, 2, 3)))


def _channels_first() -> tuple[Any, Any]:
    inputs = keras.Input((3, 8, 6))
    conv = layers.Conv2D(4, 3, data_format="channels_first", name="conv")
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean")(conv(inputs))), _normal(2, 3, 8, 6)


def _can_compute(model: Any, x: Any) -> bool:
    """Whether there are the model's operations: with channels first TensorFlow has oneDNN's alone."""
    try:
        model(x)
    except ERRORS as error:
        if "NHWC" not in str(error):
            raise
        return False
    return True


def test_a_channels_first_convolution() -> None:
    model, x = _channels_first()
    probe = _probe(model, (x,), Given(keep=EXACT))
    (conv,) = [t for t in probe.model.tensors if (probe.model.layers[t.layer].path, t.kind) == ("conv", "activation")]
    assert conv.shape == (2, 6, 4, 4) and conv.axes == ("example", "row", "column", "channel")
    if _can_compute(model, x):
        truth = array(_until(model, "conv")(x))
        _close(Logged(model, x)("conv"), np.transpose(truth, (0, 2, 3, 1)))
    else:
        with pytest.raises(ERRORS, match="NHWC"):
            probe.run(0, with_values=True)


def test_a_training_that_only_some_processors_have_kernels_for_is_as_without_logging(tmp_path: Path) -> None:
    def train(callbacks: list[Any]) -> Any:
        keras.utils.set_random_seed(1)
        model, x = _channels_first()
        model.compile("sgd", "mse")
        try:
            return model.fit(x, _normal(2, 4) * 0, epochs=2, verbose=0, callbacks=callbacks).history["loss"]
        except ERRORS as error:
            if "NHWC" not in str(error):
                raise
            return type(error)

    state = rng.bit_generator.state
    plain = train([])
    rng.bit_generator.state = state
    assert train([LayerViewCallback(tmp_path, schedule=1)]) == plain


def test_layers_with_channels_first_that_all_processors_compute() -> None:
    inputs = keras.Input((3, 4, 6))
    x = layers.ZeroPadding2D(1, data_format="channels_first", name="padded")(inputs)
    x = layers.BatchNormalization(axis=1, name="norm")(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D(data_format="channels_first", name="mean")(x))
    x = _normal(2, 3, 4, 6)
    logged = Logged(model, x)
    for name in ("input", "padded", "norm"):
        assert logged.tensor(name).axes == ("example", "row", "column", "channel")
    _close(logged("padded"), np.transpose(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (0, 2, 3, 1)))
    _close(logged("mean"), _until(model, "mean")(x, training=True), rtol=1e-4)


# Types.


@pytest.fixture
def policy() -> Iterator[Callable[[str], None]]:
    """Sets the type policy for one test."""
    with type_policies() as set_policy:
        yield set_policy


def _small_gradients(**options: Any) -> tuple[Any, Any, Any]:
    inputs = keras.Input((6,))
    x = layers.Dense(5, "tanh", name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="scores", **options)(x))
    return model, _normal(16, 6), _normal(16, 3)


@pytest.mark.covers("Keras: mixed_float16")
def test_mixed_float16_gradients_do_not_vanish(policy: Callable[[str], None]) -> None:
    policy("mixed_float16")
    model, x, y = _small_gradients(dtype="float32")
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.MeanSquaredError(), loss_weights=[1e-6])
    assert "LossScale" in type(model.optimizer).__name__
    logged = Logged(model, x, y)
    weights = model.get_weights()
    policy("float32")
    exact, _, _ = _small_gradients()
    exact.set_weights(weights)
    truth = gradients(exact, x, lambda out: 1e-6 * ops.mean((out - tensor(y)) ** 2), exact.trainable_variables)
    hidden = logged("hidden", "gradient", "kernel")
    assert logged.tensor("hidden", "gradient", "kernel").dtype == "float32"
    assert np.abs(hidden).max() < 6e-7, "small enough to vanish in float16, which the test is about"
    _close(hidden, truth[0], rtol=0.02, atol=2e-9)
    unscaled = logged.measured("hidden", "gradient", "kernel").digest.zero
    assert unscaled == 0
    assert logged.tensor("hidden").dtype == "float16" and logged.tensor("hidden", "weight", "kernel").dtype == "float32"
    assert logged.scalars["probe_loss"] == pytest.approx(1e-6 * float(np.mean((array(exact(x)) - y) ** 2)), rel=0.01)


@pytest.mark.covers("Keras: mixed_float16")
def test_a_mixed_float16_training_is_bit_identical(policy: Callable[[str], None], tmp_path: Path) -> None:
    policy("mixed_float16")
    results = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1)]):
        keras.utils.set_random_seed(7)
        model, _, _ = _small_gradients(dtype="float32")
        model.compile("adam", "mse", metrics=["mae"])
        x, y = np.linspace(-1, 1, 96, dtype=np.float32).reshape(16, 6), np.ones((16, 3), np.float32)
        history = model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=callbacks).history
        optimizer = model.optimizer.variables
        state = [*model.weights, *(optimizer() if callable(optimizer) else optimizer)]
        results.append((history, [array(v).copy() for v in state]))
    (bare, before), (logged, after) = results
    assert bare == logged
    assert len(before) == len(after) and all(np.array_equal(a, b) for a, b in zip(before, after))
    run = LayerReader(tmp_path).run()
    assert len(run.steps) == 13
    assert not run.digest(run.tensor("hidden", kind="gradient", name="kernel"), 5).zero


def test_a_pure_float16_model_under_a_loss_scale(policy: Callable[[str], None]) -> None:
    policy("float16")
    model, x, y = _small_gradients()
    wrap = keras.mixed_precision.LossScaleOptimizer
    model.compile(wrap(keras.optimizers.SGD(0.1), initial_scale=2.0**10), "mse")
    logged = Logged(model, x.astype(np.float16), (y * 1.0).astype(np.float16))
    kernel = logged("scores", "gradient", "kernel")
    assert logged.tensor("scores", "gradient", "kernel").dtype == "float32"
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    hidden = np.tanh(x @ w1 + b1)
    _close(kernel, hidden.T @ (2 * (hidden @ w2 + b2 - y) / y.size), rtol=0.05, atol=0.01)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mixed_bfloat16", marks=pytest.mark.covers("Keras: mixed_bfloat16")),
        pytest.param("float64", marks=pytest.mark.covers("Keras: float64")),
    ],
)
def test_other_types(name: str, policy: Callable[[str], None]) -> None:
    policy(name)
    model, x, y = _small_gradients()
    model.compile("sgd", "mse")
    logged = Logged(model, x, y)
    policy("float32")
    weights = [np.asarray(w, np.float64) for w in model.get_weights()]
    w1, b1, w2, b2 = weights
    hidden = np.tanh(x @ w1 + b1)
    rough = 0.03 if name == "mixed_bfloat16" else 1e-6
    _close(logged("hidden"), hidden, rtol=rough, atol=rough)
    gradient = hidden.T @ (2 * (hidden @ w2 + b2 - y) / y.size)
    _close(logged("scores", "gradient", "kernel"), gradient, rtol=rough, atol=rough)
    # Keras 3.15 computes tanh in float32 on JAX, whatever it is given.
    made = "float32" if (keras.backend.backend(), name) == ("jax", "float64") else name.replace("mixed_", "")
    assert logged.tensor("hidden").dtype == made
    assert logged.tensor("scores", "gradient", "kernel").dtype == ("float64" if name == "float64" else "float32")


@pytest.mark.covers("Keras: integer and boolean outputs")
def test_integer_and_boolean_outputs() -> None:
    inputs = keras.Input((6,))
    positive = layers.Lambda(lambda t: t > 0, name="positive", output_shape=(6,))(inputs)
    count = layers.Lambda(lambda t: ops.sum(ops.cast(t, "int32"), -1), name="count", output_shape=())(positive)
    model = keras.Model(inputs, count)
    x = _normal(4, 6)
    logged = Logged(model, x)
    assert (logged.tensor("positive").dtype, logged.tensor("count").dtype) == ("bool", "int32")
    assert np.array_equal(logged("positive"), x > 0)
    assert logged.measured("positive").digest.mean == pytest.approx((x > 0).mean())
    assert np.array_equal(logged("count"), (x > 0).sum(axis=-1))


# Losses and what is trained.


def test_gradients_are_only_where_something_is_trained() -> None:
    inputs = keras.Input((6,))
    frozen, shared = layers.Dense(6, name="frozen", trainable=False), layers.Dense(6, name="shared")
    x = shared(frozen(shared(inputs)))
    model = keras.Model(inputs, [x, layers.Dense(2, name="idle")(x)])
    model.compile("sgd", ["mse", None])
    data, y = _normal(4, 6), _normal(4, 6)
    logged = Logged(model, data, (y, _normal(4, 2)) if KERAS_3 else (y, None))
    assert logged.has("frozen", "weight") and not logged.has("frozen", "gradient")
    assert "idle: the loss does not depend on kernel: it has no gradient" in logged.model.notes
    assert not logged.has("idle", "gradient")
    truth = gradients(model, data, lambda out: ops.mean((out[0] - tensor(y)) ** 2), [shared.kernel])
    _close(logged("shared", "gradient", "kernel"), truth[0])


def test_a_weight_shared_by_two_layers_is_logged_once() -> None:
    class Tied(keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__(name="tied")
            self.embed = layers.Embedding(20, 4, name="embed")
            self.hidden = layers.Dense(4, name="hidden")

        def call(self, inputs: Any) -> Any:
            x = self.hidden(self.embed(inputs))
            return ops.matmul(x, ops.transpose(ops.convert_to_tensor(self.embed.embeddings)))

    model, x = Tied(), np.array([[1, 2], [3, 3]])
    model(x)
    model.compile("sgd", "mse")
    y = _normal(2, 2, 20)
    logged = Logged(model, x, y)
    (truth,) = gradients(model, x, lambda out: ops.mean((out - tensor(y)) ** 2), [model.embed.embeddings])
    truth = array(tensor(truth))
    kept = logged("embed", "gradient", "embeddings")
    assert kept.shape == truth.shape
    _close(np.sort(kept, axis=0), np.sort(truth, axis=0))
    names = [(logged.paths[t.layer], t.name) for t in logged.model.tensors if t.kind == "weight"]
    assert names == [("embed", "embeddings"), ("hidden", "kernel"), ("hidden", "bias")]


class _Penalty(layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        self.add_loss(0.1 * ops.mean(ops.abs(inputs)))
        return inputs * 1.0


def test_losses_that_layers_add_are_in_the_gradient_and_are_left_as_they_were() -> None:
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, "tanh", name="hidden", activity_regularizer="l2", kernel_regularizer="l1")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="scores")(_Penalty(name="penalty")(hidden)))
    model.compile("sgd", "mse")
    x, y = _normal(4, 6), _normal(4, 3)
    model(x)
    before = [float(loss) for loss in model.losses]
    logged = Logged(model, x, y)
    kernel = model.get_layer("hidden").get_weights()[0]
    w2, b2 = (tensor(weight) for weight in model.get_layer("scores").get_weights())

    def by_hand(kernel: Any) -> Any:
        inner = ops.tanh(ops.matmul(tensor(x), kernel))
        loss = ops.mean((ops.matmul(inner, w2) + b2 - tensor(y)) ** 2) + 0.1 * ops.mean(ops.abs(inner))
        # Keras divides the penalty on activities by the size of the batch.
        return loss + 0.01 * ops.sum(inner**2) / 4 + 0.01 * ops.sum(ops.abs(kernel))

    loss = by_hand(tensor(kernel))
    _close(logged("hidden", "gradient", "kernel"), gradients_of(by_hand, [kernel])[0])
    assert logged.scalars["probe_loss"] == pytest.approx(float(loss), rel=1e-5)
    assert [float(loss) for loss in model.losses] == before


# The model does not notice.


class _Counter(layers.Layer):  # type: ignore[misc]
    """Writes in each call; in TensorFlow in those ways, too, that Keras has no part in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.count = self.add_weight(name="count", shape=(), initializer="zeros", trainable=False)
        self.unseen: list[Any] = []
        if IS_TENSORFLOW:
            self.log: Any = tf.Variable([1, 2, 3], trainable=False)
            self.unread: Any = tf.Variable(1.0, trainable=False)
            self.unseen = [self.log, self.unread]

    def call(self, inputs: Any) -> Any:
        self.count.assign(self.count + 1.0)
        if IS_TENSORFLOW:
            self.unread.assign_add(1.0, read_value=False)
            self.log.scatter_update(tf.IndexedSlices(tf.constant([9]), tf.constant([1])))
        return inputs * self.count


class _Normed(layers.Dense):  # type: ignore[misc,name-defined]
    def call(self, inputs: Any) -> Any:
        kernel = ops.convert_to_tensor(self.kernel)
        self.kernel.assign(kernel / ops.norm(kernel))
        return super().call(inputs)


def test_all_variables_are_bit_identical_after_a_pass() -> None:
    inputs = keras.Input((6, 6, 2))
    # Keras 2.15's own spectral norm cannot be traced at all.
    conv = layers.Conv2D(4, 3, name="inner")
    x = layers.SpectralNormalization(conv, name="spectral")(inputs) if KERAS_3 else conv(inputs)
    x = _Normed(5, name="normed")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GaussianNoise(0.5, name="noise")(layers.Dropout(0.5, name="drop")(x))
    x = _Counter(name="counter")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(3, name="dense")(x))
    model.compile("adam", "mse", metrics=["mae", keras.metrics.RootMeanSquaredError()])
    data, y = _normal(8, 6, 6, 2), _normal(8, 3)
    model.fit(data, y, verbose=0)

    counter = model.get_layer("counter")

    def variables() -> list[Any]:
        metrics = [v for m in model.metrics for v in m.variables]
        seeds = [v for layer in model._flatten_layers() for v in getattr(layer, "variables", ())]
        own = [*model.variables, *metrics, *seeds, *counter.unseen]
        optimizer = model.optimizer.variables
        return [*own, *(optimizer() if callable(optimizer) else optimizer)]

    before = [array(v).copy() for v in variables()]
    randoms = random.getstate(), np.random.get_state()[1].tolist()
    logged = Logged(model, data, y)
    if IS_TENSORFLOW:
        written = len(logged.probe._written)
        assert written >= 5, "the pass writes: moving statistics, the norm's vector and kernel, the counter"
    for _ in range(2):
        logged.probe.run(0, with_values=False)
    after = [array(v).copy() for v in variables()]
    assert all(np.array_equal(one, other) for one, other in zip(before, after))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == randoms
    _close(logged("normed", "weight", "kernel"), model.get_layer("normed").get_weights()[0], rtol=0, atol=0)
    if KERAS_3:
        _close(logged("spectral/inner", "weight", "kernel"), conv.get_weights()[0], rtol=0, atol=0)


@pytest.mark.skipif(FRAMEWORK == "jax", reason="Keras refuses unseeded random numbers where JAX traces")
def test_names_and_unseeded_random_numbers_go_on_as_if_nothing_had_been() -> None:
    class Random(keras.Model):  # type: ignore[misc,name-defined]
        def call(self, inputs: Any) -> Any:
            shape = ops.shape(inputs)
            noise = keras.random.normal(shape) if KERAS_3 else tf.random.normal(shape)
            return layers.Activation("relu")(inputs + noise)

    def after(with_probe: bool) -> tuple[str, float, Any]:
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        layers.Activation("relu")
        model, x = Random(), _normal(4, 6) * 0
        model.build((4, 6))
        if with_probe:
            Logged(model, x)
        call: Any = lambda: model(tensor(x))  # noqa: E731
        predicted = array(tf.function(call)() if IS_TENSORFLOW else call())
        return layers.Activation("relu").name, random.random(), predicted.tolist()

    assert after(True) == after(False)


@pytest.mark.covers("Keras: no reference that keeps the model or the probe alive")
def test_nothing_keeps_the_model_or_the_probe_alive() -> None:
    inputs = keras.Input((5, 6))
    x = layers.Dense(6, name="hidden", activity_regularizer="l2")(inputs)
    x = layers.MultiHeadAttention(2, 3, name="attend")(x, x)
    model = keras.Model(inputs, _Penalty(name="penalty")(x))
    model.compile("sgd", "mse")
    logged = Logged(model, _normal(2, 5, 6), _normal(2, 5, 6))
    watched = [weakref.ref(logged.probe)]
    if IS_TENSORFLOW:
        watched.append(weakref.ref(logged.probe._function.graph))
    del logged
    gc.collect()
    assert [ref() for ref in watched] == [None] * len(watched), "the pass is kept alive by something"
    logged = Logged(model, _normal(2, 5, 6), _normal(2, 5, 6))
    dropped = weakref.ref(model)
    del logged, model, inputs, x
    keras.backend.clear_session()
    gc.collect()
    assert dropped() is None, "the model is kept alive by something"


def test_two_threads_trace_two_models_at_the_same_time() -> None:
    base = [c for c in layers.Dense.__mro__ if c.__name__ == "Layer" and "__call__" in vars(c)][-1]
    before = vars(base)["__call__"], layers.MultiHeadAttention._compute_attention
    meeting = threading.Barrier(2, timeout=600)

    class Meeting(layers.Layer):  # type: ignore[misc,name-defined]
        armed = False

        def call(self, inputs: Any) -> Any:
            if self.armed:
                meeting.wait()  # both are in the middle of their recording now
            return inputs * 2.0

    def build(prefix: str) -> Any:
        inputs = keras.Input((5, 6))
        x = Meeting(name=f"{prefix}_first")(layers.Dense(6, name=f"{prefix}_dense")(inputs))
        x = layers.MultiHeadAttention(2, 3, name=f"{prefix}_attend")(x, x)
        return keras.Model(inputs, Meeting(name=f"{prefix}_last")(x), name=prefix)

    models = {prefix: build(prefix) for prefix in ("one", "other")}
    Meeting.armed = True
    data = _normal(2, 5, 6)
    found: dict[str, Logged] = {}

    def trace(prefix: str) -> None:
        found[prefix] = Logged(models[prefix], data)

    threads = [threading.Thread(target=trace, args=(prefix,)) for prefix in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=900)
    Meeting.armed = False
    for prefix, model in models.items():
        logged = found[prefix]
        assert all(path == "input" or path.startswith(prefix) for path in logged.paths)
        assert logged.has(f"{prefix}_dense") and logged.has(f"{prefix}_last")
        _agrees(logged, model, data, f"{prefix}_dense", f"{prefix}_last")
        assert logged.tensor(f"{prefix}_attend", name="scores").shape == (2, 2, 5, 5)
    assert (vars(base)["__call__"], layers.MultiHeadAttention._compute_attention) == before


def test_a_base_class_of_a_users_own_may_be_called_layer() -> None:
    class Layer(layers.Layer):  # type: ignore[misc,name-defined]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

    class Model(Layer, keras.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__(name="mine")
            self.dense = layers.Dense(3, name="dense")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    x, model = _normal(4, 6), Model()
    model(x)
    _close(Logged(model, x)("dense"), model(x))
