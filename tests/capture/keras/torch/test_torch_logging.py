"""Keras on PyTorch, logged: true values, and a training that does not notice, from `fit` to a loop of one's own."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402
from models_on_torch import CLASSES, MODELS, compiled, differing, left_by  # noqa: E402

from tb_layerview import Check, Keep, LayerReader, LayerRecorder, LayerViewCallback, Schedule, Select  # noqa: E402
from tb_layerview.health.of_run import diagnose_run  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

layers = keras.layers
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
rng = np.random.default_rng(5)
X = rng.normal(size=(64, 6)).astype(np.float32)
Y = rng.normal(size=(64, 3)).astype(np.float32)
Y_MANY = np.concatenate([CLASSES] * 3)


def plain(**options: Any) -> Any:
    """Without anything random, so that what a layer computes can be had again from outside."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    taken = keras.Input((6,), name="features")
    hidden = layers.Dense(5, activation="tanh", name="hidden")(taken)
    model = keras.Model(taken, layers.Dense(3, name="scores")(hidden))
    model.compile(keras.optimizers.SGD(0.1), "mse", **options)
    return model


def many(name: str) -> tuple[Any, Any, Any]:
    """A model, and three batches for it."""
    model, x = compiled(name)
    return model, np.concatenate([x] * 3), Y_MANY


def run_of(folder: Path, name: str = ".") -> Run:
    """What was logged."""
    return LayerReader(folder).run(name)


def fitted(name: str, folder: Path | None, data: str = "arrays", **options: Any) -> tuple[Any, dict[str, bytes]]:
    """What a training gives, and leaves, with the callback or without."""
    model, x, y = many(name)
    callbacks = [] if folder is None else [LayerViewCallback(folder, schedule=1, check=Check(replay=True))]

    def generated() -> Iterator[Any]:
        buffer = np.empty_like(x[:8])  # which is written to again and again
        while True:
            for i in range(3):
                buffer[:] = x[8 * i : 8 * i + 8]
                yield buffer, y[8 * i : 8 * i + 8]

    tensors = torch.as_tensor(x), torch.as_tensor(y)
    given: dict[str, Any] = {
        "arrays": {"x": x, "y": y, "batch_size": 8},
        "generator": {"x": generated(), "steps_per_epoch": 3},
        "loader": {"x": torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), 8, shuffle=True)},
    }[data]
    history = model.fit(
        **given, epochs=2, verbose=0, callbacks=callbacks, validation_data=(x[:8], y[:8]), **options
    ).history
    predicted = model.predict(x[:8], verbose=0, callbacks=callbacks[:1])
    evaluated = model.evaluate(x[:8], y[:8], verbose=0, callbacks=callbacks[:1])
    return (history, predicted.tolist(), evaluated), left_by(model)


@pytest.mark.parametrize("name", MODELS)
def test_training_with_the_callback_is_the_same(name: str, tmp_path: Path) -> None:
    """To the last bit: history, predictions, evaluation, and all that is left."""
    found, left = fitted(name, None)
    found_with, left_with = fitted(name, tmp_path)
    assert found == found_with
    assert differing(left, left_with) == []
    run = run_of(tmp_path)
    assert list(run.steps) == list(range(7))
    assert {tensor.kind for tensor in run.tensors} == {"activation", "weight", "gradient", "update"}
    assert not any("fail" in note for note in run.model.notes), run.model.notes
    assert sorted(LayerReader(tmp_path).names()) == [".", "evaluate", "predict"]


@pytest.mark.parametrize("data", ["generator", "loader"])
def test_batches_may_come_from_anywhere(data: str, tmp_path: Path) -> None:
    """From a generator that writes to the same array, from torch's own loader."""
    found, left = fitted("cnn", None, data)
    found_with, left_with = fitted("cnn", tmp_path, data)
    assert found == found_with
    assert differing(left, left_with) == []
    run = run_of(tmp_path)
    assert list(run.steps) == list(range(7))
    if data == "generator":
        _, x, _ = many("cnn")
        assert run.digest(run.tensor("input"), 6).mean == pytest.approx(x[:8].astype(float).mean(), abs=1e-7)


def test_weights_and_updates_are_those_of_each_step(tmp_path: Path) -> None:
    """What `get_weights` gives, and what they have changed by."""
    model, seen = plain(), {}

    class Remember(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            seen[batch] = [w.copy() for w in self.model.get_weights()]

    callbacks = [Remember(), LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=callbacks)
    seen[8] = [w.copy() for w in model.get_weights()]
    run = run_of(tmp_path)
    assert list(run.steps) == list(range(9))
    kernel, update = (run.tensor("hidden", kind=kind, name="kernel") for kind in ("weight", "update"))
    for step in range(9):
        np.testing.assert_array_equal(run.values(kernel, step).array, seen[step][0])
        assert run.digest(kernel, step).rms == pytest.approx(np.sqrt((seen[step][0].astype(float) ** 2).mean()))
    for step in range(1, 9):
        change = seen[step][0] - seen[step - 1][0]
        digest = run.digest(update, step)
        assert (digest.min, digest.max) == (change.min(), change.max())
        assert digest.mean == pytest.approx(change.astype(float).mean())
    assert run.scalars["learning_rate"][-1] == pytest.approx(0.1)
    assert run.scalars["loss"][-1] > 0


def test_activations_gradients_and_statistics_are_numpys(tmp_path: Path) -> None:
    """Of the probe, before the first step, in float64."""
    model = plain()
    (w1, b1, w2, b2) = (w.astype(np.float64) for w in model.get_weights())
    probe = X[:16], Y[:16]
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path, probe, schedule=1, keep=EXACT)])
    run = run_of(tmp_path)
    hidden = np.tanh(probe[0] @ w1 + b1)
    error = hidden @ w2 + b2 - probe[1]
    back = 2 * error / error.size
    expected = {
        ("activation", "hidden", "output"): hidden,
        ("activation", "scores", "output"): error + probe[1],
        ("gradient", "hidden", "kernel"): probe[0].T @ (back @ w2.T * (1 - hidden**2)),
        ("gradient", "scores", "kernel"): hidden.T @ back,
        ("gradient", "scores", "bias"): back.sum(0),
    }
    for (kind, layer, name), array in expected.items():
        tensor = run.tensor(layer, kind=kind, name=name)
        digest = run.digest(tensor, 0)
        assert digest.mean == pytest.approx(array.mean(), abs=1e-7)
        assert digest.std == pytest.approx(array.std(), rel=1e-5)
        assert digest.max == pytest.approx(array.max(), rel=1e-5)
        if array.ndim > 1:
            np.testing.assert_allclose(run.values(tensor, 0).array, array, atol=1e-6)
            np.testing.assert_allclose(run.units(tensor, 0).mean, array.mean(0), rtol=1e-3)  # they are rounded
    assert run.scalars["probe_loss"][0] == pytest.approx((error**2).mean(), rel=1e-5)


def test_what_is_logged_of_layers_is_what_they_are(tmp_path: Path) -> None:
    """Names of axes, activation functions, neighbours, scores, and what differs in inference mode."""
    for name in ("cnn", "transformer"):
        model, x, y = many(name)
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path / name, schedule=1, keep=EXACT)])
    run = run_of(tmp_path / "cnn")
    conv, norm, dropout = (
        run.tensor(layer, kind="activation") for layer in ("conv2d", "batch_normalization", "dropout")
    )
    described = {what: run.tensors[tensor] for what, tensor in (("conv", conv), ("norm", norm), ("dropout", dropout))}
    assert {tensor.axes for tensor in described.values()} == {("example", "row", "column", "channel")}
    assert [described[what].function for what in described] == ["relu", "", ""]
    paths = [layer.path for layer in run.layers]
    before = {layer.path: [paths[i] for i in layer.inputs] for layer in run.layers}
    assert before["batch_normalization"] == ["conv2d"]
    assert before["dense"] == ["flatten"]
    assert run.tensors[run.tensor("conv2d", kind="weight", name="kernel")].axes[-2:] == ("input channel", "channel")
    shift = run.statistics("shift")
    assert np.isnan(shift[conv]).all()
    assert np.isfinite(shift[norm]).all()
    assert np.isfinite(shift[dropout]).all()
    run = run_of(tmp_path / "transformer")
    scores = run.tensor("causal", kind="activation", name="scores")
    assert run.tensors[scores].axes == ("example", "head", "query", "key")
    found = run.values(scores, 0).array
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    assert not found[..., np.triu_indices(6, 1)[0], np.triu_indices(6, 1)[1]].any()


class Born(layers.Layer):
    """Of which a negative sum makes NaN."""

    def call(self, x: Any) -> Any:
        """Logarithm of the sum."""
        return keras.ops.log(keras.ops.sum(x, -1, keepdims=True))


def breaking() -> Any:
    """What the broken example breaks is `birth`, in the middle."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(4)
    taken = keras.Input((6,), name="features")
    hidden = layers.Dense(5, activation="tanh", name="hidden")(taken)
    hidden = layers.Dropout(0.3)(layers.BatchNormalization(name="norm")(hidden))
    joined = layers.Concatenate(name="joined")([hidden, Born(name="birth")(taken)])
    model = keras.Model(taken, layers.Dense(3, name="scores")(joined))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


BROKEN = rng.uniform(0.1, 1, size=(64, 6)).astype(np.float32)
BROKEN[8 * 5 + 3] = -1  # in the batch of step 6


def test_the_layer_that_a_bad_batch_breaks_is_named(tmp_path: Path) -> None:
    """By a replay of that batch on the weights before it; and the training is the same."""
    histories = []
    for folder in (None, tmp_path):
        model = breaking()
        callbacks = [] if folder is None else [LayerViewCallback(folder, schedule=4, check=Check(replay=True))]
        history = model.fit(BROKEN, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks).history
        histories.append((repr(history), left_by(model)))
    assert histories[0][0] == histories[1][0]
    assert differing(histories[0][1], histories[1][1]) == []
    finding = diagnose_run(run_of(tmp_path), run_of(tmp_path, "replay"))[0]
    assert finding.tensor is not None and finding.replay is not None, finding
    assert (finding.rule, finding.tensor.layer, finding.tensor.kind) == ("non_finite", "birth", "activation")
    assert (finding.first, finding.replay.step) == (6, 6)


def test_a_recorder_logs_a_loop_of_ones_own(tmp_path: Path) -> None:
    """With torch's own optimizer, and the batch that breaks it."""
    results = []
    for folder in (None, tmp_path):
        model = breaking()
        optimizer = torch.optim.Adam([v.value for v in model.trainable_variables], 0.01)
        recorder = None if folder is None else LayerRecorder(model, folder, (BROKEN[:8], Y[:8]), schedule=4)
        for step in range(8):
            if recorder is not None and step == 0:
                recorder.record(0)
            rows = slice(8 * step, 8 * step + 8)
            loss = ((model(torch.as_tensor(BROKEN[rows]), training=True) - torch.as_tensor(Y[rows])) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if recorder is not None:
                recorder.record(step + 1, {"loss": loss}, batch=(BROKEN[rows], Y[rows]))
        if recorder is not None:
            recorder.close()
        results.append(left_by(model))
    assert differing(*results) == []
    finding = diagnose_run(run_of(tmp_path), run_of(tmp_path, "replay"))[0]
    assert finding.tensor is not None and finding.replay is not None, finding
    assert (finding.rule, finding.tensor.layer, finding.tensor.kind) == ("non_finite", "birth", "activation")
    assert (finding.first, finding.replay.step) == (6, 6)


def test_evaluation_and_prediction_are_logged(tmp_path: Path) -> None:
    """One batch each, in inference mode, without gradients and updates."""
    model, x, y = many("cnn")
    model.evaluate(x, y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path, keep=EXACT)])
    model.predict(x, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path, keep=EXACT)])
    for name in ("evaluate", "predict"):
        run = run_of(tmp_path, name)
        assert {tensor.kind for tensor in run.tensors} == {"activation", "weight"}
        last = run.values(run.tensor("dense_1", kind="activation"), 0).array
        expected = model(torch.as_tensor(x[:8]), training=False).detach().numpy()
        np.testing.assert_allclose(last, expected, atol=1e-6)
    assert run_of(tmp_path, "evaluate").scalars["loss"][0] > 0


def test_an_error_in_a_step_leaves_keras_own_function(tmp_path: Path, lagging: list[int]) -> None:
    """It is raised, the log is there, and the model trains on."""

    class Breaks(keras.Model):
        def train_step(self, data: Any) -> Any:
            if int(self.optimizer.iterations.value) == 3:
                self.optimizer.iterations.assign(4)
                raise ValueError("enough")
            return super().train_step(data)

    keras.utils.set_random_seed(0)
    taken = keras.Input((6,))
    model = Breaks(taken, layers.Dense(3, name="scores")(taken))
    model.compile("sgd", "mse")
    model.make_train_function()
    own = model.train_function
    with pytest.raises(ValueError, match="enough"):
        model.fit(X, Y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1)])
    assert model.train_function is own
    gc.collect()  # a log that nobody ends is closed with its callback
    assert list(run_of(tmp_path).steps) == [0, 1, 2, 3]
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path / "again", schedule=1)])
    assert model.train_function is own


def test_train_on_batch_is_logged(tmp_path: Path) -> None:
    """In a loop that calls the hooks."""
    results = []
    for folder in (None, tmp_path):
        model = plain()
        hooks = [] if folder is None else [LayerViewCallback(folder, schedule=1)]
        callbacks = keras.callbacks.CallbackList(hooks, model=model)
        callbacks.on_train_begin()
        losses = [model.train_on_batch(X[i : i + 8], Y[i : i + 8]) for i in range(0, 32, 8)]
        callbacks.on_train_end()
        results.append((losses, left_by(model)))
    assert results[0][0] == results[1][0]
    assert differing(results[0][1], results[1][1]) == []
    assert list(run_of(tmp_path).steps) == [0, 1, 2, 3, 4]


def test_gradient_accumulation_counts_what_the_optimizer_applies(tmp_path: Path) -> None:
    """A step is two batches."""
    results = []
    for folder in (None, tmp_path):
        model = plain()
        model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), "mse")
        callbacks = [] if folder is None else [LayerViewCallback(folder, schedule=1)]
        history = model.fit(X, Y, batch_size=8, verbose=0, callbacks=callbacks).history
        results.append((history, left_by(model)))
    assert results[0][0] == results[1][0]
    assert differing(results[0][1], results[1][1]) == []
    assert list(run_of(tmp_path).steps) == [0, 1, 2, 3, 4]


def test_anomaly_detection_stops_no_logging(tmp_path: Path) -> None:
    """Torch raises where a gradient is NaN, if it is told to; then the pass is run without."""
    bad = X.copy()
    bad[:] = -1
    model = breaking()
    with torch.autograd.set_detect_anomaly(True):
        callback = LayerViewCallback(tmp_path, (bad[:8], Y[:8]), schedule=1)
        model.fit(np.abs(X) + 0.1, Y, batch_size=8, verbose=0, callbacks=[callback])
        assert torch.is_anomaly_enabled()
    run = run_of(tmp_path)
    assert run.digest(run.tensor("birth", kind="activation"), 1).nan == 8


def test_nothing_is_logged_of_what_is_not_selected(tmp_path: Path) -> None:
    """Weights alone need no pass."""
    model = plain()
    select = Select(include=("hid*",), kinds=("weight",))
    model.fit(
        X, Y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path, select=select, schedule=Schedule(4))]
    )
    run = run_of(tmp_path)
    assert [(t.layer, t.kind, t.name) for t in run.tensors] == [
        ("hidden", "weight", "kernel"),
        ("hidden", "weight", "bias"),
    ]


def test_models_of_several_inputs_and_outputs_are_logged(tmp_path: Path) -> None:
    """Given as dicts; each output has a loss, a metric and a weight."""
    results = []
    for folder in (None, tmp_path):
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        taken = {"left": keras.Input((6,), name="left"), "right": keras.Input((6,), name="right")}
        joined = layers.Dropout(0.1)(layers.Concatenate(name="joined")([taken["left"], taken["right"]]))
        given = {name: layers.Dense(3, name=f"of_{name}")(joined) for name in ("one", "other")}
        model = keras.Model(taken, given)
        model.compile(
            "adam", {"one": "mse", "other": "mae"}, metrics={"one": ["mae"]}, loss_weights={"one": 2.0, "other": 1}
        )
        x, y = {"left": X, "right": -X}, {"one": Y, "other": -Y}
        callbacks = [] if folder is None else [LayerViewCallback(folder, schedule=1, keep=EXACT)]
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, sample_weight=None, callbacks=callbacks).history
        results.append((history, left_by(model)))
    assert results[0][0] == results[1][0]
    assert differing(results[0][1], results[1][1]) == []
    run = run_of(tmp_path)
    assert {"input/left", "input/right", "joined", "of_one", "of_other"} <= set(run.layers_logged)
    assert np.isfinite(run.scalars["probe_loss"]).all()
    assert {"one_loss", "other_loss", "one_mae"} <= run.scalars.keys()


def test_attention_that_somebody_wrote_is_known(tmp_path: Path) -> None:
    """By what stands around its softmax, in torch's functions and in Keras'."""

    class Attends(layers.Layer):
        def __init__(self, softmax: Any, **options: Any) -> None:
            super().__init__(**options)
            self.softmax = softmax
            self.query, self.key, self.value = (layers.Dense(8, name=name) for name in ("query", "key", "value"))

        def build(self, shape: Any) -> None:
            for layer in (self.query, self.key, self.value):
                layer.build(shape)

        def call(self, x: Any) -> Any:
            return self.softmax(self.query(x), self.key(x)) @ self.value(x)

    def by_torch(query: Any, key: Any) -> Any:
        return torch.softmax(torch.bmm(query, key.transpose(1, 2)) / 8**0.5, dim=-1)

    def by_keras(query: Any, key: Any) -> Any:
        return keras.ops.softmax(keras.ops.einsum("bqd,bkd->bqk", query, key) / 8**0.5)

    x = rng.normal(size=(16, 5, 8)).astype(np.float32)
    keras.utils.set_random_seed(0)
    taken = keras.Input((5, 8))
    between = Attends(by_torch, name="torchs")(taken)
    between = Attends(by_keras, name="kerass")(between)
    model = keras.Model(taken, layers.Dense(3, activation="softmax", name="classes")(between))
    model.compile("sgd", "mse")
    y = np.zeros((16, 5, 3), np.float32)
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path, (x, y), schedule=1, keep=EXACT)])
    run = run_of(tmp_path)
    scores = {(t.layer, t.axes) for t in run.tensors if t.name.startswith("scores")}
    assert scores == {("torchs", ("example", "query", "key")), ("kerass", ("example", "query", "key"))}
    query, key = (run.values(run.tensor(f"torchs/{n}", kind="activation"), 0).array for n in ("query", "key"))
    weights = np.exp(np.einsum("bqd,bkd->bqk", query, key) / 8**0.5)
    found = run.values(run.tensor("torchs", kind="activation", name="scores"), 0).array
    np.testing.assert_allclose(found, weights / weights.sum(-1, keepdims=True), rtol=1e-4)


@pytest.mark.long
def test_a_compiled_training_is_the_same(tmp_path: Path) -> None:
    """With `jit_compile`: what trains is compiled as often as without, and the pass is not."""
    results = []
    for folder in (None, None, tmp_path):  # what was compiled in other tests counts for the first one
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        model = plain(jit_compile=True)
        callbacks = [] if folder is None else [LayerViewCallback(folder, schedule=1)]
        history = model.fit(X, Y, batch_size=8, verbose=0, callbacks=callbacks).history
        results.append((history, left_by(model), torch._dynamo.utils.counters["frames"]["total"]))
    assert results[-2][0] == results[-1][0]
    assert differing(results[-2][1], results[-1][1]) == []
    assert results[-2][2] == results[-1][2] > 0
    assert list(run_of(tmp_path).steps) == list(range(9))
