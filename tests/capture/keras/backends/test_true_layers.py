"""What is logged of layers of each kind is what they give when they are called by hand, on the right paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_models as models
import numpy as np
import pytest
from keras import layers
from keras_by_hand import softmax
from keras_models import BACKEND, CLASSES, FEATURES, IMAGES, TARGETS, TOKENS, compiled
from keras_trainings import numpy_of
from two_layers import logged

from tb_layerview import Keep, LayerReader, LayerViewCallback, Select
from tb_layerview.reading.run import Run

EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
BATCH = 16


def train(made: Any, folder: Path, x: Any, y: Any, **options: Any) -> Run:
    """Logs the model as it is before its first step, and two steps."""
    options = {"schedule": 1, "keep": EXACT, **options}
    made.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[LayerViewCallback(folder, **options)])
    return LayerReader(folder).run()


def output(run: Run, layer: str, step: int, call: int = 0) -> np.ndarray:
    return run.values(run.tensor(layer, kind="activation", name="output", call=call), step).array


def close(found: np.ndarray, truth: Any, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(found, numpy_of(truth), rtol=rtol, atol=atol)


def sources(run: Run, path: str) -> list[str]:
    layer = next(layer for layer in run.layers if layer.path == path)
    return [run.layers[number].path for number in layer.inputs]


def attention(**call: Any) -> Any:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((5, 6), name="sequence")
    attended = layers.MultiHeadAttention(2, 4, name="attend")(inputs, inputs, **call)
    return compiled(keras.Model(inputs, layers.Dense(1, name="score")(attended)))


@pytest.mark.covers("Keras: MultiHeadAttention, output", "Keras: MultiHeadAttention, scores per head")
@pytest.mark.core("True")
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_scores_are_the_softmax_of_products_worked_out_in_numpy(is_causal: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(2 * BATCH, 5, 6)).astype(np.float32)
    run = train(attention(use_causal_mask=is_causal), tmp_path, x, x[..., :1])
    of_query, of_key = (
        [run.values(run.tensor(f"attend/{part}", kind="weight", name=name), 2).array for name in ("kernel", "bias")]
        for part in ("query", "key")
    )
    query = np.einsum("btf,fhd->bthd", x[:BATCH].astype(float), of_query[0]) + of_query[1]
    key = np.einsum("btf,fhd->bthd", x[:BATCH].astype(float), of_key[0]) + of_key[1]
    logits = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(4)
    if is_causal:
        logits = np.where(np.tril(np.ones((5, 5), bool)), logits, -1e9)
    tensor = run.tensor("attend", name="scores")
    assert (tensor.shape, tensor.axes) == ((BATCH, 2, 5, 5), ("example", "head", "query", "key"))
    close(run.values(tensor, 2).array, softmax(logits))
    assert tensor.kind == "activation"


@pytest.mark.long
@pytest.mark.covers("Keras: MultiHeadAttention, masks respected", "Keras: masked input")
def test_a_mask_of_the_input_is_in_the_scores(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,), dtype="int32", name="tokens")
    embedded = layers.Embedding(20, 6, mask_zero=True, name="embed")(inputs)
    attended = layers.MultiHeadAttention(2, 4, name="attend")(embedded, embedded)
    made = compiled(keras.Model(inputs, layers.Dense(1, name="score")(attended)))
    tokens = TOKENS % 19 + 1
    tokens[:, 4:] = 0
    run = train(made, tmp_path, tokens, np.zeros((*TOKENS.shape, 1), np.float32))
    scores = run.values(run.tensor("attend", name="scores"), 0).array
    looked = scores[:, :, :4]
    np.testing.assert_allclose(looked[..., :4].sum(-1), 1, rtol=1e-5)
    assert (looked[..., 4:] == 0).all() and (looked[..., :4] > 0).all()


@pytest.mark.covers("Keras: models nested three deep", "Keras: layers shared or called in a loop")
def test_nested_models_and_shared_layers_are_on_their_paths_with_what_each_call_gave(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    shared, inner_inputs = layers.Dense(4, activation="tanh", name="shared"), keras.Input((4,))
    inner = keras.Model(inner_inputs, shared(shared(inner_inputs)), name="inner")
    middle_inputs = keras.Input((4,))
    middle = keras.Model(middle_inputs, models.Scale(name="scale")(inner(middle_inputs)), name="middle")
    inputs = keras.Input((6,), name="features")
    first = layers.Dense(4, name="first")
    summed = layers.Add(name="sum")([middle(first(inputs)), shared(first(inputs) * 2.0)])
    made = compiled(keras.Model(inputs, layers.Dense(3, name="scores")(summed)))
    weights = made.get_weights()
    run = train(made, tmp_path, FEATURES, TARGETS)
    paths = [layer.path for layer in run.layers]
    assert {"input", "first", "middle/inner/shared", "middle/scale", "sum", "scores"} <= set(paths)
    made.set_weights(weights)
    x = keras.ops.convert_to_tensor(FEATURES[:BATCH])
    one = first(x)
    truths = [shared(one), shared(shared(one)), shared(one * 2.0)]
    for (path, call), truth in zip([("middle/inner/shared", 0), ("middle/inner/shared", 1), ("shared", 0)], truths):
        close(output(run, path, 0, call), truth)
    weights = [t.layer for t in run.tensors if (t.kind, t.name) == ("weight", "kernel")]
    assert weights == ["first", "middle/inner/shared", "scores"], "a weight is logged once"
    close(output(run, "sum", 0), truths[1] + truths[2])  # a scale of ones
    assert sources(run, "first") == ["input"]
    assert sources(run, "middle/scale") == ["middle/inner/shared"]
    assert sources(run, "sum") == ["middle/scale", "shared"]
    assert sources(run, "scores") == ["sum"]


@pytest.mark.covers("Keras: LSTM, per timestep", "Keras: GRU, per timestep")
@pytest.mark.core("LSTM")
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "Bidirectional"])
def test_recurrent_layers_are_what_they_give_at_each_time_step(kind: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    inputs, class_of = keras.Input((6, 2), name="sequence"), layers.LSTM if kind == "LSTM" else layers.GRU
    layer = class_of(4, return_sequences=True, name="recurrent")
    if kind == "Bidirectional":
        layer = layers.Bidirectional(layer, name="both")
    made = compiled(keras.Model(inputs, layers.Dense(1, name="score")(layer(inputs))))
    sequences = np.random.default_rng(2).normal(size=(2 * BATCH, 6, 2)).astype(np.float32)
    truth = numpy_of(layer(keras.ops.convert_to_tensor(sequences[:BATCH]), training=True))
    run = train(made, tmp_path, sequences, sequences[..., :1])
    close(output(run, layer.name, 0), truth)
    assert run.tensor(layer.name, kind="activation", name="output").axes == ("example", "timestep", "unit")
    assert sources(run, "score") == [layer.name]
    if kind == "Bidirectional":
        ways = ["both/forward_recurrent", "both/backward_recurrent"]
        assert sources(run, "both") == ways and [sources(run, way) for way in ways] == [["input"]] * 2


@pytest.mark.covers("Keras: Dropout")
def test_dropout_gives_zeros_and_the_rest_scaled_and_nothing_of_it_when_evaluated(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,), name="features")
    dropped = layers.Dropout(0.3, name="dropout")(layers.Dense(40, name="wide")(inputs))
    made = compiled(keras.Model(inputs, layers.Dense(3, name="scores")(dropped)))
    callback = LayerViewCallback(tmp_path, schedule=1, keep=EXACT)
    made.fit(FEATURES, TARGETS, batch_size=BATCH, verbose=0, callbacks=[callback])
    made.evaluate(FEATURES, TARGETS, batch_size=BATCH, verbose=0, callbacks=[callback])
    run, evaluated = LayerReader(tmp_path).run(), LayerReader(tmp_path).run("evaluate")
    for step in run.steps:
        before, after = output(run, "wide", step), output(run, "dropout", step)
        close(after, np.where(after == 0, 0, before / np.float32(0.7)))
        assert 0.2 < (after == 0).mean() < 0.4
    # There the layer gives back what it takes, and there is nothing of its own to log.
    assert "dropout" not in evaluated.layers_logged
    kernel, bias = (evaluated.values(evaluated.tensor("scores", name=name), 3).array for name in ("kernel", "bias"))
    close(output(evaluated, "scores", 3), output(evaluated, "wide", 3) @ kernel + bias)


@pytest.mark.covers("Keras: Embedding, gradient not densified", "Keras: integer and boolean outputs")
def test_embeddings_and_integers(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,), dtype="int32", name="tokens")
    embedded = layers.Embedding(20, 4, name="embed")(inputs)
    made = compiled(keras.Model(inputs, layers.Dense(1, name="score")(layers.Flatten(name="flat")(embedded))))
    table, kernel, bias = made.get_weights()
    y = CLASSES[:, None].astype(np.float32)
    run = train(made, tmp_path, TOKENS, y)
    np.testing.assert_array_equal(logged(run, ("input", "activation", "output"), 0), TOKENS[:BATCH])
    np.testing.assert_array_equal(output(run, "embed", 0), table[TOKENS[:BATCH]])
    error = 2 * (table[TOKENS[:BATCH]].reshape(BATCH, -1) @ kernel + bias - y[:BATCH]) / BATCH
    truth = np.zeros_like(table)
    np.add.at(truth, TOKENS[:BATCH], (error @ kernel.T).reshape(BATCH, 6, 4))
    close(logged(run, ("embed", "gradient", "embeddings"), 0), truth, rtol=1e-3)


@pytest.mark.core("mixed_bfloat16", "float64")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_types_are_logged_as_they_are(policy: str, tmp_path: Path) -> None:
    if (policy, BACKEND) == ("float64", "jax"):
        pytest.skip("JAX has no float64 unless it is asked for before all else")
    keras.utils.set_random_seed(3)
    made = models.in_policy(policy, models.two_layers, optimizer=keras.optimizers.SGD(0.1))
    kernel, bias = made.get_weights()[:2]
    run = train(made, tmp_path, FEATURES, TARGETS)
    kind = policy.removeprefix("mixed_")
    tensor = run.tensor("hidden", kind="activation", name="output")
    assert tensor.dtype == kind
    assert run.tensor("hidden", kind="weight", name="kernel").dtype == ("float64" if kind == "float64" else "float32")
    array, digest = run.values(tensor, 0).array.astype(np.float64), run.digest(tensor, 0)
    rough = {"bfloat16": 3e-2, "float16": 3e-3, "float64": 1e-5}[kind]
    close(array, np.tanh(FEATURES[:BATCH].astype(float) @ kernel + bias), rtol=rough, atol=rough)
    # numpy's own mean and deviation of a bfloat16 saturate.
    truth = array.mean(), array.std(), np.sqrt((array**2).mean()), array.min(), array.max()
    assert (digest.mean, digest.std, digest.rms, digest.min, digest.max) == pytest.approx(truth, rel=1e-5)
    assert digest.size == 5 * BATCH and digest.negative == (array < 0).sum()


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch alone has modules")
def test_a_wrapped_module_gives_what_it_gives_by_hand(tmp_path: Path) -> None:
    import torch

    keras.utils.set_random_seed(3)
    made = models.wrapped()
    module = made.get_layer("wrapped").module
    module[3].p = 0.0
    pictures = torch.from_numpy(IMAGES[:BATCH]).permute(0, 3, 1, 2)
    convolved = torch.nn.functional.conv2d(pictures, module[0].weight.detach(), module[0].bias.detach())
    mean, variance = convolved.mean((0, 2, 3), keepdim=True), convolved.var((0, 2, 3), keepdim=True, unbiased=False)
    truth = torch.relu((convolved - mean) / torch.sqrt(variance + 1e-5)).flatten(1).numpy()
    run = train(made, tmp_path, IMAGES, CLASSES)
    close(output(run, "wrapped", 0), truth, rtol=1e-3)
    assert sources(run, "classes") == ["wrapped"]


@pytest.mark.covers("What and when: Select, layer paths", "What and when: Select, kinds")
def test_only_what_is_selected_is_logged(tmp_path: Path) -> None:
    select = Select(include=("Dense",), exclude=("scores",), kinds=("weight", "gradient"))
    run = train(models.normalised(), tmp_path, FEATURES, TARGETS, select=select)
    found = sorted((t.layer, t.kind, t.name) for t in run.tensors)
    assert found == [("hidden", kind, name) for kind in ("gradient", "weight") for name in ("bias", "kernel")]
