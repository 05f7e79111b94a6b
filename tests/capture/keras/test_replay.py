"""One bad example in one batch that the probe does not contain: which layer and step, and the training is the same."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from two_layers import logged  # noqa: E402

from tb_layerview import Check, Finding, Keep, LayerReader, LayerRecorder, LayerViewCallback, Schedule, Select  # noqa: E402
from tb_layerview.capture.keras.tf.last_batch import kerass  # noqa: E402
from tb_layerview.capture.keras.tf.replay import _whole  # noqa: E402
from tb_layerview.capture.keras.tf.snapshot import ModelState  # noqa: E402
from tb_layerview.commands.check import check as check_logs  # noqa: E402
from tb_layerview.format.logged import LoggedTensor  # noqa: E402
from tb_layerview.health.finding import Replay  # noqa: E402
from tb_layerview.health.of_run import diagnose_run  # noqa: E402
from tb_layerview.health.replay import with_replay  # noqa: E402
from tb_layerview.options import CORE, is_rung  # noqa: E402
from tb_layerview.writing.training_log import TrainingLog  # noqa: E402

keras = tf.keras
layers = keras.layers
KERAS_3 = keras.version() >= "3" if hasattr(keras, "version") else False
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
BATCH, BATCHES = 8, 32
BAD = 21  # the batch that holds the bad example, which makes step BAD + 1

rng = np.random.default_rng(3)
X = rng.uniform(0.1, 1, size=(BATCH * BATCHES, 6)).astype(np.float32)
Y = rng.normal(size=(len(X), 3)).astype(np.float32)
BROKEN = X.copy()
BROKEN[BATCH * BAD + 3] = -1  # of which there is no logarithm and no root


def model(operation: Callable[[Any], Any] = tf.math.log, base: Any = None, rate: float = 0.3, **options: Any) -> Any:
    """What the broken example breaks is `birth`, in the middle."""
    inputs = keras.Input((6,), name="features")
    sums = layers.Lambda(lambda t: tf.reduce_sum(t, -1, keepdims=True), name="sums", output_shape=(1,))(inputs)
    born = layers.Lambda(operation, name="birth", output_shape=(1,))(sums)
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    hidden = layers.Dropout(rate, name="dropout")(layers.BatchNormalization(name="norm")(hidden))
    joined = layers.Concatenate(name="joined")([hidden, born])
    made = (base or keras.Model)(inputs, layers.Dense(3, name="scores")(joined))
    made.compile(keras.optimizers.Adam(0.01), "mse", **options)
    return made


class Weights(keras.callbacks.Callback):
    """What `get_weights()` returns before each batch, at the step that is complete then."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, list[np.ndarray]] = {}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.at[batch] = [np.asarray(w) for w in self.model.get_weights()]


def train(make: Callable[[], Any], folder: Path, data: Any = None, x: Any = BROKEN, **options: Any) -> Weights:
    """Trains without and with the callback, to the same last bit; returns the weights at each step."""
    options = {"check": Check(replay=True), "keep": EXACT, **options}
    results = []
    for is_logged in (False, True):
        keras.utils.set_random_seed(4)
        made, weights = make(), Weights()
        callbacks = [weights, LayerViewCallback(folder, **options)] if is_logged else [weights]
        if data is None:
            fit = made.fit(x, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
        else:
            fit = made.fit(data(), steps_per_epoch=BATCHES, verbose=0, callbacks=callbacks)
        state = float(tf.random.uniform([]))
        results.append((fit.history, [*made.get_weights(), *map(np.asarray, made.optimizer_state())], state, weights))
    bare, too = results
    assert bare[2] == too[2]
    np.testing.assert_equal(too[0], bare[0])
    assert len(bare[1]) == len(too[1])
    for one, other in zip(bare[1], too[1]):
        np.testing.assert_array_equal(one, other)
    for step, values in bare[3].at.items():
        for one, other in zip(values, too[3].at[step]):
            np.testing.assert_array_equal(one, other, err_msg=str(step))
    return too[3]


def optimizer_state(self: Any) -> list[Any]:
    variables = self.optimizer.variables
    return list(variables() if callable(variables) else variables)


keras.Model.optimizer_state = optimizer_state


def lead(folder: Path) -> Finding:
    """The first cause of what `tb-layerview check` and the tab say of a training."""
    reader = LayerReader(folder)
    names = reader.names()
    return diagnose_run(reader.run(), reader.run("replay") if "replay" in names else None)[0]


def assert_found(folder: Path, layer: str = "birth", step: int = BAD + 1) -> None:
    found = lead(folder)
    assert found.tensor is not None and found.replay is not None, found
    assert (found.rule, found.severity, found.tensor.layer, found.tensor.kind) == (
        "non_finite",
        "error",
        layer,
        "activation",
    )
    assert (found.first, found.before) == (step, step - 1)
    assert (found.replay.run, found.replay.step) == ("replay", step)


def generator() -> Any:
    while True:
        for start in range(0, len(BROKEN), BATCH):
            yield BROKEN[start : start + BATCH], Y[start : start + BATCH]


def dataset() -> Any:
    return tf.data.Dataset.from_tensor_slices((BROKEN, Y)).batch(BATCH).repeat()


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        (tf.math.log, None),
        (tf.math.sqrt, dataset),
        (lambda t: 1 / (t + 6), generator),
    ],
    ids=["log, arrays", "sqrt, a data set", "1 / 0, a generator"],
)
@pytest.mark.arithmetic
def test_the_layer_and_the_step_at_which_a_batch_broke_the_training_are_named(
    operation: Any, data: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tb_layerview"):
        train(lambda: model(operation), tmp_path, data)
    assert_found(tmp_path)
    told = [record.getMessage() for record in caplog.records if record.name == "tb_layerview"]
    assert f"since step {BAD + 1}, replayed: activation 'output' of layer 'birth'" in told[0]
    assert "what it takes, from 'sums', is finite" in told[0]
    assert len(told) == 1, told  # everything else follows from it


class Custom(keras.Model):  # type: ignore[misc,name-defined]
    """Trains by hand, with random numbers of its own."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        variables = [v if isinstance(v, tf.Variable) else v.value for v in self.trainable_variables]
        gradients = tape.gradient(loss, variables)
        gradients[0] += tf.random.normal(tf.shape(gradients[0]), stddev=0.01)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return {"mine": loss}


@pytest.mark.parametrize(
    "options",
    [{"jit_compile": True, "rate": 0.3 if KERAS_3 else 0}, {"run_eagerly": True}, {"base": Custom}],
    ids=["jit_compile", "run_eagerly", "custom train_step"],
)
@pytest.mark.arithmetic
def test_however_the_training_runs(options: dict[str, Any], tmp_path: Path) -> None:
    # In Keras 2, compiled random numbers differ from training to training whatever seeds are set, logged or not.
    train(lambda: model(**options), tmp_path)
    assert_found(tmp_path)


def without_nan(x: Any) -> Any:
    return tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)


# Of a NaN a ReLU makes 0 only where oneDNN computes it in one kernel with the product and the bias.
@pytest.mark.parametrize("function", [without_nan, "relu"])
@pytest.mark.arithmetic
def test_a_nan_that_an_activation_function_hides_from_the_loss(function: Any, tmp_path: Path) -> None:
    def hiding() -> Any:
        inputs = keras.Input((6,), name="features")
        sums = layers.Lambda(lambda t: tf.reduce_sum(t, -1, keepdims=True), name="sums", output_shape=(1,))(inputs)
        born = layers.Lambda(tf.math.log, name="birth", output_shape=(1,))(sums)
        joined = layers.Concatenate(name="joined")([inputs, born])
        made = keras.Model(inputs, layers.Dense(3, name="scores")(layers.Dense(5, function, name="hidden")(joined)))
        made.compile(keras.optimizers.SGD(0.01), "mse")
        return made

    train(hiding, tmp_path)
    assert_found(tmp_path)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.arithmetic
def test_whatever_the_types(policy: str, tmp_path: Path) -> None:
    keras.mixed_precision.set_global_policy(policy)
    try:
        # Under the first loss scale the gradients of this model overflow, and the step is skipped.
        train(model, tmp_path, select=Select(kinds=("activation", "weight")))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert_found(tmp_path)


@pytest.mark.arithmetic
def test_what_is_replayed_is_the_batch_on_the_weights_right_before_it(tmp_path: Path) -> None:
    weights = train(model, tmp_path)
    run = LayerReader(tmp_path).run("replay")
    assert (list(run.steps), run.modes) == ([BAD + 1], ("replay",))
    assert run.model.probe is not None
    assert run.model.probe.source == f"the batch of step {BAD + 1} on the weights of step {BAD}"
    x = BROKEN[BATCH * BAD : BATCH * (BAD + 1)]
    np.testing.assert_array_equal(logged(run, (run.layers[0].path, "activation", "output"), BAD + 1), x)
    made = model()
    made.set_weights(weights.at[BAD])
    for name in ("hidden", "scores"):
        for logged_name, truth in zip(("kernel", "bias"), made.get_layer(name).get_weights()):
            np.testing.assert_array_equal(logged(run, (name, "weight", logged_name), BAD + 1), truth)
    hidden = made.get_layer("hidden")(x)
    np.testing.assert_allclose(logged(run, ("hidden", "activation", "output"), BAD + 1), hidden, rtol=1e-5, atol=1e-6)
    normalised = made.get_layer("norm")(hidden, training=True)
    np.testing.assert_allclose(logged(run, ("norm", "activation", "output"), BAD + 1), normalised, rtol=1e-4, atol=1e-5)
    dropped = logged(run, ("dropout", "activation", "output"), BAD + 1)
    np.testing.assert_allclose(dropped, np.where(dropped == 0, 0, normalised / np.float32(0.7)), rtol=1e-4, atol=1e-5)
    assert 0 < (dropped == 0).mean() < 1
    born = logged(run, ("birth", "activation", "output"), BAD + 1)
    assert np.isnan(born).ravel().tolist() == [False, False, False, True, False, False, False, False]


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 keeps the state of its random numbers where nobody can read it")
@pytest.mark.arithmetic
def test_the_replay_drops_the_same_units_as_the_training_did(tmp_path: Path) -> None:
    class Watching(layers.Layer):  # type: ignore[misc,name-defined]
        """Keeps what came through last."""

        def build(self, shape: Any) -> None:
            self.last = self.add_weight(shape=(BATCH, 5), initializer="zeros", trainable=False, name="last")

        def call(self, inputs: Any) -> Any:
            self.last.assign(inputs)
            return inputs

    def make() -> Any:
        inputs = keras.Input((6,))
        hidden = layers.Dropout(0.5, name="dropout")(layers.Dense(5, name="hidden")(inputs))
        scores = layers.Dense(3, name="scores")(Watching(name="watching")(hidden))
        summed = layers.Lambda(lambda t: tf.math.log(tf.reduce_sum(t, -1, keepdims=True)), name="birth")(inputs)
        made = keras.Model(inputs, layers.Add()([scores, summed]))
        made.compile("sgd", "mse")
        return made

    weights = train(make, tmp_path)
    seen = weights.at[BAD + 1][2]
    assert seen.shape == (BATCH, 5)
    replayed = logged(LayerReader(tmp_path).run("replay"), ("dropout", "activation", "output"), BAD + 1)
    np.testing.assert_array_equal(replayed == 0, seen == 0)
    np.testing.assert_allclose(replayed, seen, rtol=1e-5)


def test_the_probe_is_run_on_the_weights_of_the_steps_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, held = TrainingLog.write_earlier, list[int]()

    def watched(self: TrainingLog, steps: Any) -> None:
        held.extend(step.nbytes for step in steps)
        write(self, steps)

    monkeypatch.setattr(TrainingLog, "write_earlier", watched)
    weights = train(model, tmp_path, schedule=Schedule(steps=(0, 20, 30)))
    run = LayerReader(tmp_path).run()
    # Of ages 0 to 3 before the broken step each, then one of 4 to 7, of 8 to 15, and of 16 to 31; step 20 was logged.
    assert list(run.steps) == [0, 8, 16, 18, 19, 20, 21, 30, BATCHES]
    for step in (8, 16, 18, 19, 21):
        kernel = logged(run, ("hidden", "weight", "kernel"), step)
        np.testing.assert_array_equal(kernel, weights.at[step][0])
        hidden = np.tanh(X[:BATCH] @ kernel + weights.at[step][1])
        np.testing.assert_allclose(logged(run, ("hidden", "activation", "output"), step), hidden, rtol=1e-4, atol=1e-5)
    assert held == [0] * 5, "several passes would wait together"
    assert_found(tmp_path)


def test_what_the_probe_has_shown_before_is_the_cause_and_has_the_replay() -> None:
    tensors = [
        LoggedTensor(i, layer, 0, "activation", "output", (2, 3), "float32", (), "")
        for i, layer in enumerate(("log", "scores"))
    ]
    born, follower, later = (
        Finding("non_finite", "error", tensor, first, first - 1, 50, {}, "words", "words", follows)
        for tensor, first, follows in ((tensors[0], 29, None), (tensors[1], 30, 0), (tensors[1], 40, None))
    )
    replayed = dataclasses.replace(born, first=32, before=31, replay=Replay("replay", 32))
    found = with_replay((born, follower, later), replayed)
    assert [(f.first, f.follows, f.replay) for f in found] == [
        (29, None, Replay("replay", 32)),
        (30, 0, None),
        (40, 0, None),
    ]
    elsewhere = dataclasses.replace(replayed, tensor=tensors[1], first=35)
    assert [f.first for f in with_replay((born, later), elsewhere)] == [29, 35, 40]


def test_without_a_replay_no_layer_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(model, tmp_path, check=Check(replay=False))
    assert LayerReader(tmp_path).names() == ["."]
    found = lead(tmp_path)
    assert (found.tensor, found.replay) == (None, None)
    assert "which layer did it first cannot be seen" in found.words


def test_batches_that_cannot_be_had_are_said_to_be_missing(tmp_path: Path) -> None:
    train(lambda: model(steps_per_execution=4), tmp_path)
    run = LayerReader(tmp_path).run()
    assert any("steps_per_execution=4" in note and "run again" in note for note in run.model.notes)
    assert LayerReader(tmp_path).names() == ["."]


def test_a_training_function_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    class Own(keras.Model):  # type: ignore[misc,name-defined]
        def make_train_function(self, force: bool = False) -> Any:
            if self.train_function is None or force:

                @tf.function
                def own(iterator: Any) -> Any:
                    return self.train_step(next(iterator))

                self.train_function = own
            return self.train_function

    train(lambda: model(base=Own), tmp_path)
    notes = LayerReader(tmp_path).run().model.notes
    assert any("not Keras' own" in note for note in notes), notes


def test_a_training_that_does_not_break_is_not_replayed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tb_layerview"):
        train(model, tmp_path, x=X)
    assert LayerReader(tmp_path).names() == ["."]
    assert not [record for record in caplog.records if record.name == "tb_layerview"]


def test_what_a_rule_finds_is_replayed_too(tmp_path: Path) -> None:
    def dead() -> Any:
        inputs = keras.Input((6,))
        silent = layers.Dense(5, "relu", bias_initializer=keras.initializers.Constant(-50.0), name="silent")(inputs)
        made = keras.Model(inputs, layers.Dense(3, name="scores")(layers.Concatenate()([inputs, silent])))
        made.compile(keras.optimizers.SGD(0.01), "mse")
        return made

    weights = train(dead, tmp_path, x=X)
    replay = LayerReader(tmp_path).run("replay")
    (step,) = replay.steps.tolist()
    assert replay.modes == ("replay",)
    batch = X[BATCH * (step - 1) : BATCH * step]
    kernel, bias = weights.at[step - 1][2:]  # of `scores`, on the weights before that step
    if kernel.shape != (11, 3):
        kernel, bias = weights.at[step - 1][:2]
    scores = np.concatenate([batch, np.zeros((BATCH, 5))], 1) @ kernel + bias
    tensor = replay.tensor("scores", kind="activation")
    np.testing.assert_allclose(replay.values(tensor, step).array, scores, rtol=1e-5, atol=1e-5)
    assert lead(tmp_path).rule == "silent_layer"


def test_what_cannot_be_traced_is_left_to_keras_own_function(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(logs: Any) -> Any:
        raise NotImplementedError("no such logs")

    monkeypatch.setattr("tb_layerview.capture.keras.tf.last_batch.losses_are_finite", fails)
    train(model, tmp_path, x=X)
    assert [r.getMessage() for r in caplog.records if "no such logs" in r.getMessage()]
    assert int(LayerReader(tmp_path).run().steps[-1]) == BATCHES


@pytest.mark.arithmetic
def test_what_the_optimizer_made_is_not_blamed_on_a_layer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def make() -> Any:
        made = model()
        made.compile(keras.optimizers.SGD(3e38), "mse")
        return made

    with caplog.at_level(logging.WARNING, "tb_layerview"):
        train(make, tmp_path, x=X)
    told = [record.getMessage() for record in caplog.records if record.name == "tb_layerview"]
    assert any("made by the optimizer's step" in message for message in told), told


def test_weights_that_fit_into_no_memory_are_not_kept(tmp_path: Path) -> None:
    train(model, tmp_path, check=Check(replay=True, memory=100))
    notes = LayerReader(tmp_path).run().model.notes
    assert any("Check(memory=...)" in note for note in notes), notes
    assert LayerReader(tmp_path).names() == ["."]


def test_what_keeping_takes_is_part_of_what_logging_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelState, "cost", lambda _: 1000.0)  # all else together takes less
    train(model, tmp_path, x=X, schedule=Schedule(steps=(0,)))
    cost = LayerReader(tmp_path).run().cost
    assert cost is not None
    assert round(cost.logging_seconds / 1000) == BATCHES


def test_a_function_that_hears_of_findings_hears_of_the_replay(tmp_path: Path) -> None:
    heard: list[Finding] = []
    made = model()
    callback = LayerViewCallback(tmp_path, check=Check(replay=True, on_finding=heard.append, stop_on="error"))
    made.fit(BROKEN, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[callback])
    assert [finding.replay is not None for finding in heard] == [True]
    assert LayerReader(tmp_path).run().steps[-1] < BATCHES, "it was not stopped"


def test_the_shell_tells_the_first_cause_and_lists_the_replay_with_its_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(model, tmp_path / "run1")
    capsys.readouterr()
    assert check_logs(str(tmp_path), as_json=False, with_all=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("run1: ")
    assert f"since step {BAD + 1}: replayed: activation 'output' of layer 'birth' holds 1 NaN" in lines[1]


def test_a_training_that_replaces_another_does_not_get_its_replay(tmp_path: Path) -> None:
    train(model, tmp_path)
    train(model, tmp_path, x=X)
    reader = LayerReader(tmp_path)
    assert reader.names() == [".", "replay"]
    assert diagnose_run(reader.run(), reader.run("replay")) == ()


def test_nothing_is_left_behind_and_a_second_fit_traces_nothing_more(tmp_path: Path) -> None:
    traced = []

    class Counting(layers.Layer):  # type: ignore[misc,name-defined]
        def call(self, inputs: Any) -> Any:
            traced.append(1)
            return inputs

    inputs = keras.Input((6,))
    made = keras.Model(inputs, layers.Dense(3)(Counting()(inputs)))
    made.compile("sgd", "mse")
    made.make_train_function()
    function = made.train_function
    counts = []
    for i in range(3):
        traced.clear()
        callback = LayerViewCallback(tmp_path / str(i), check=Check(replay=True))
        made.fit(X, Y, batch_size=BATCH, verbose=0, callbacks=[callback])
        assert made.train_function is function
        counts.append(len(traced))
    assert counts[1] == counts[2] == 2  # the probe, in both modes
    gone = weakref.ref(made)
    del made, function, inputs
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None


def test_two_callbacks_leave_nothing_behind(tmp_path: Path) -> None:
    made = model()
    made.make_train_function()
    function = made.train_function
    callbacks = [LayerViewCallback(tmp_path / name, check=Check(replay=True)) for name in ("one", "two")]
    made.fit(BROKEN, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
    assert kerass(made.train_function) is function  # by which the random numbers of a Dropout go on
    held = [weakref.ref(callback) for callback in callbacks]
    del callbacks
    gc.collect()
    assert [of() for of in held] == [None, None]
    steps = LayerReader(tmp_path / "two").run().steps.tolist()
    assert {step for step in range(BATCHES + 1) if is_rung(step, per_octave=CORE)} <= {*steps}


class Pair(tf.experimental.ExtensionType):  # type: ignore[misc,name-defined]
    """What a data set may be made of beside tensors."""

    x: tf.Tensor


@pytest.mark.arithmetic
def test_a_batch_is_run_again_as_the_training_had_it_whatever_it_is_made_of() -> None:
    sparse = tf.sparse.from_dense([[0.0, 1.0]])
    for x in (Pair(tf.ones((2, 3))), sparse, tf.ragged.constant([[1.0], [1.0, 2.0]])):
        assert _whole((x, None), tf.distribute.get_strategy()).x is x
    assert _whole((np.ones(2), np.ones(1)), tf.distribute.get_strategy()).x.dtype == tf.float64


def test_a_loop_of_ones_own_hands_over_its_batches(tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    made = model()
    with LayerRecorder(made, tmp_path, (X[:8], Y[:8]), keep=EXACT, check=Check(replay=True)) as recorder:
        recorder.record(0)
        for batch in range(BATCHES):
            x, y = (part[BATCH * batch : BATCH * (batch + 1)] for part in (BROKEN, Y))
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((made(x, training=True) - y) ** 2)
            variables = made.trainable_variables
            gradients = tape.gradient(loss, [v if isinstance(v, tf.Variable) else v.value for v in variables])
            made.optimizer.apply_gradients(zip(gradients, variables))
            recorder.record(batch + 1, {"loss": loss}, batch=(x, y))
    assert_found(tmp_path)


@pytest.mark.parametrize("loader", ["--load_fast=true", "--load_fast=false"])
@pytest.mark.once
def test_a_tensorboard_serves_all_steps_and_the_replay(
    loader: str, tmp_path: Path, tensorboard_server: Callable[..., Any]
) -> None:
    made = model()
    callback = LayerViewCallback(tmp_path / "run1", schedule=Schedule(steps=(0, 20, 30)), check=Check(replay=True))
    made.fit(BROKEN, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[callback])
    server = tensorboard_server(tmp_path, loader)

    def ask(route: str, run: str) -> Any:
        reply = server.get(f"/data/plugin/layerview/{route}?run={run}")
        return json.loads(reply.body) if reply.status == 200 else {}

    end = time.monotonic() + 600
    steps: list[int] = []
    while len(steps) < 9 or not ask("steps", "run1%2Freplay"):
        assert time.monotonic() < end, steps
        time.sleep(0.2)
        steps = ask("steps", "run1").get("steps", [])
    assert steps == [0, 8, 16, 18, 19, 20, 21, 30, BATCHES]
    found = ask("findings", "run1")["findings"][0]
    assert found["replay"] == {"run": "run1/replay", "step": BAD + 1}
    assert found["words"].startswith("replayed: activation 'output' of layer 'birth'")
