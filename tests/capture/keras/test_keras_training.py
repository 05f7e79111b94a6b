"""The callback with the ways in which people train Keras models: what is logged is true, the training is the same."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_keras import (
    FRAMEWORK,
    IS_TENSORFLOW,
    KERAS_3,
    array,
    batches,
    drawn,
    keras,
    kernel_of,
    layers,
    only_tensorflow,
    ops,
    several_steps,
    type_policies,
)
from forks import Forks
from places import HELPERS
from two_layers import assert_true, by_hand, logged

from tb_layerview import Keep, LayerReader, LayerViewCallback, Schedule
from tb_layerview.capture import recording
from tb_layerview.capture.keras.training import Training
from tb_layerview.options import CORE, is_rung
from tb_layerview.reading.run import Run
from tb_layerview.writing import cost_warning
from tb_layerview.writing.budget import Budget
from tb_layerview.writing.training_log import TrainingLog

if IS_TENSORFLOW:
    import tensorflow as tf

#: PyTorch's compiler takes minutes.
SLOW = [pytest.mark.long] if FRAMEWORK == "torch" else []
REPEATED = only_tensorflow("a data set that repeats itself")
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
EPOCHS, BATCH = 2, 8

rng = np.random.default_rng(9)
X = rng.normal(size=(64, 6)).astype(np.float32)
Y = rng.normal(size=(64, 3)).astype(np.float32)
EXAMPLE_WEIGHTS = np.linspace(0, 2, 64).astype(np.float32)


def two_layers(base: Any = None) -> Any:
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    return (base or keras.Model)(inputs, layers.Dense(3, name="scores")(hidden))


class Remember(keras.callbacks.Callback):
    """What `get_weights()` returns at each step that is complete."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: dict[int, np.ndarray] = {}
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.kernels[len(X) // BATCH * self.epoch + batch] = kernel_of(self.model.get_layer("hidden"))

    def on_train_end(self, logs: Any = None) -> None:
        self.kernels[len(X) // BATCH * EPOCHS] = kernel_of(self.model.get_layer("hidden"))


def train(make: Callable[[], Any], folder: Path, keep: Keep = EXACT, **data: Any) -> tuple[Run, dict[int, np.ndarray]]:
    """A training that is the same to the last bit with the callback; what it logged, and the kernels at each step."""
    data = data or {"x": X, "y": Y}
    results = []
    for is_logged in (False, True):
        keras.utils.set_random_seed(2)
        model, remember = make(), Remember()
        callbacks = [remember, LayerViewCallback(folder, schedule=1, keep=keep)] if is_logged else [remember]
        fit = model.fit(**data, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
        results.append((fit.history, model.get_weights(), drawn()))
    (bare, logged_too) = results
    assert (bare[0], bare[2]) == (logged_too[0], logged_too[2])
    assert all(np.array_equal(one, other) for one, other in zip(bare[1], logged_too[1]))
    return LayerReader(folder).run(), remember.kernels


@pytest.mark.parametrize(
    ("options", "every"),
    [
        pytest.param({"run_eagerly": True}, 1, marks=pytest.mark.covers("Keras: run_eagerly")),
        pytest.param({"jit_compile": True}, 1, marks=[pytest.mark.covers("Keras: jit_compile"), *SLOW]),
        pytest.param(
            {"steps_per_execution": 4}, 4, marks=[pytest.mark.covers("Keras: steps_per_execution"), several_steps]
        ),
    ],
    ids=["run_eagerly", "jit_compile", "steps_per_execution"],
)
def test_however_the_training_runs_each_step_is_logged_as_it_is(
    options: dict[str, Any], every: int, tmp_path: Path
) -> None:
    def make() -> Any:
        model = two_layers()
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **options)
        return model

    run, kernels = train(make, tmp_path)
    assert list(run.steps) == list(kernels) == list(range(0, 17, every))
    for step, kernel in kernels.items():
        np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), step), kernel)
        assert_true(run, step, X[:BATCH], Y[:BATCH])


@only_tensorflow("a step by a GradientTape")
@pytest.mark.covers("Keras: custom train_step")
def test_a_train_step_of_ones_own_that_computes_the_models_loss_is_logged_with_gradients(tmp_path: Path) -> None:
    class Clipping(keras.Model):  # type: ignore[misc,name-defined]
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            variables = [v if isinstance(v, tf.Variable) else v.value for v in self.trainable_variables]
            gradients, norm = tf.clip_by_global_norm(tape.gradient(loss, variables), 0.01)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
            # Random numbers of its own, which the probe's pass must not use up.
            variables[0].assign_add(tf.random.normal(tf.shape(variables[0]), stddev=0.01))
            return {"loss": loss, "norm": norm}

    def make() -> Any:
        model = two_layers(Clipping)
        model.compile(keras.optimizers.SGD(0.5), "mse")
        return model

    run, kernels = train(make, tmp_path)
    assert list(run.steps) == list(kernels) == list(range(17))
    for step, kernel in kernels.items():
        np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), step), kernel)
        truth = by_hand(run, step, X[:BATCH], Y[:BATCH])
        norm = np.sqrt(sum((one**2).sum() for (_, kind, _), one in truth.items() if kind == "gradient"))
        assert norm > 0.01
        for key, one in truth.items():
            applied = one * 0.01 / norm if key[1] == "gradient" else one
            np.testing.assert_allclose(logged(run, key, step), applied, rtol=1e-3, atol=2e-6, err_msg=f"{step} {key}")
    assert not np.array_equal(kernels[0], kernels[16])


@pytest.mark.covers("Keras: sample weights")
@pytest.mark.parametrize("as_dataset", [False, True], ids=["arrays", "a data set"])
def test_sample_weights_are_in_the_gradients_and_in_the_loss(as_dataset: bool, tmp_path: Path) -> None:
    def make() -> Any:
        model = two_layers()
        model.compile(keras.optimizers.SGD(0.1), "mse")
        return model

    arrays = {"x": X, "y": Y, "sample_weight": EXAMPLE_WEIGHTS}
    if as_dataset:
        results = []
        for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]):
            keras.utils.set_random_seed(2)
            data = batches(tuple(arrays.values()), BATCH)
            results.append(make().fit(data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks).history)
        assert results[0] == results[1]
        run = LayerReader(tmp_path).run()
    else:
        run, _ = train(make, tmp_path, **arrays)
    x, y, weight = X[:BATCH], Y[:BATCH], EXAMPLE_WEIGHTS[:BATCH]
    for step in (0, 7, 16):
        assert_true(run, step, x, y, weight)
        scores = logged(run, ("scores", "activation", "output"), step).astype(float)
        loss = (weight * ((scores - y) ** 2).mean(axis=1)).mean()
        assert run.scalars["probe_loss"][step] == pytest.approx(loss, rel=1e-4)


class Pair(keras.Model):  # type: ignore[misc,name-defined]
    """Takes a tuple and gives back another one."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = layers.Dense(3, name="one"), layers.Dense(2, name="two")

    def call(self, inputs: Any) -> Any:
        first, second = inputs
        return self.one(first), self.two(ops.concatenate([first, second], axis=1))


@pytest.mark.covers("Keras: inputs and outputs as tuples")
def test_a_model_that_takes_and_gives_tuples(tmp_path: Path) -> None:
    second = rng.normal(size=(64, 2)).astype(np.float32)
    targets = Y, rng.normal(size=(64, 2)).astype(np.float32)
    results = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]):
        keras.utils.set_random_seed(2)
        model = Pair()
        model.compile(keras.optimizers.SGD(0.1), ["mse", "mse"])
        data = batches(((X, second), targets), BATCH)
        history = model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks).history
        results.append((history, [array(w) for w in model.weights]))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(one, other) for one, other in zip(results[0][1], results[1][1]))
    run = LayerReader(tmp_path).run()
    joined = np.concatenate([X, second], axis=1)[:BATCH]
    np.testing.assert_array_equal(logged(run, ("input/1", "activation", "output"), 16), second[:BATCH])
    for layer, x, y in (("one", X[:BATCH], targets[0][:BATCH]), ("two", joined, targets[1][:BATCH])):
        kernel, bias = (logged(run, (layer, "weight", name), 16).astype(float) for name in ("kernel", "bias"))
        output = x.astype(float) @ kernel + bias
        np.testing.assert_allclose(logged(run, (layer, "activation", "output"), 16), output, rtol=1e-4, atol=1e-5)
        gradient = x.T.astype(float) @ (2 * (output - y) / y.size)
        np.testing.assert_allclose(logged(run, (layer, "gradient", "kernel"), 16), gradient, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(
            logged(run, (layer, "weight", "kernel"), 16), getattr(model, layer).get_weights()[0]
        )


class Shrink(layers.Layer):  # type: ignore[misc,name-defined]
    """Adds the mean square of what comes through to the model's losses."""

    def call(self, inputs: Any) -> Any:
        self.add_loss(ops.mean(inputs**2))
        return inputs


@pytest.mark.covers("Keras: models with no loss")
def test_a_model_with_no_loss_but_those_that_its_layers_add_is_logged_with_gradients(tmp_path: Path) -> None:
    def make() -> Any:
        inputs = keras.Input((6,))
        model = keras.Model(inputs, Shrink()(layers.Dense(5, activation="tanh", name="hidden")(inputs)))
        model.compile(keras.optimizers.SGD(0.1))
        return model

    run, kernels = train(make, tmp_path, x=X)
    for step, kernel in kernels.items():
        np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), step), kernel)
        bias = logged(run, ("hidden", "weight", "bias"), step).astype(float)
        hidden = np.tanh(X[:BATCH].astype(float) @ kernel + bias)
        truth = X[:BATCH].T.astype(float) @ (2 * hidden / hidden.size * (1 - hidden**2))
        gradient = logged(run, ("hidden", "gradient", "kernel"), step)
        np.testing.assert_allclose(gradient, truth, rtol=1e-3, atol=2e-6)
        assert run.scalars["probe_loss"][step] == pytest.approx(np.mean(hidden**2), rel=1e-4)


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("mixed_float16", marks=pytest.mark.covers("Keras: mixed_float16")),
        pytest.param("mixed_bfloat16", marks=pytest.mark.covers("Keras: mixed_bfloat16")),
        pytest.param("float64", marks=pytest.mark.covers("Keras: float64")),
    ],
)
@pytest.mark.core("float64", "mixed_float16")
def test_whatever_the_types_the_training_is_the_same_and_its_weights_are_logged_exactly(
    policy: str, tmp_path: Path
) -> None:
    def make() -> Any:
        model = two_layers()
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    with type_policies() as set_policy:
        set_policy(policy)
        run, kernels = train(make, tmp_path, keep=dataclasses.replace(EXACT, precision="float64"))
    assert list(run.steps) == list(kernels) == list(range(17))
    for step, kernel in kernels.items():
        assert kernel.dtype == (np.float64 if policy == "float64" else np.float32)
        np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), step), kernel)
        if step:
            update = logged(run, ("hidden", "update", "kernel"), step)
            np.testing.assert_array_equal(update, kernel - kernels[step - 1])


TEXT = np.array([["a b"], ["c"], ["b b a"], ["d"]] * 16)
LENGTHS = np.arange(64) % 4 + 1
WORDS = np.arange(LENGTHS.sum()) % 9


def of_strings() -> tuple[Any, Any]:
    tokens = layers.TextVectorization(vocabulary=["a", "b", "c"], output_sequence_length=3, name="tokens")
    inputs = keras.Input((1,), dtype="string")
    embedded = layers.Embedding(5, 4, name="embed")(tokens(inputs))
    model = keras.Model(inputs, layers.Dense(3, name="scores")(layers.GlobalAveragePooling1D()(embedded)))
    ids = {"a": 2, "b": 3, "c": 4}  # 1 is a word that is not in the vocabulary, and 0 is none
    rows = [[*(ids.get(word, 1) for word in text.split()), 0, 0][:3] for (text,) in TEXT]
    return model, (TEXT, np.array(rows)[:BATCH])


def of_ragged_rows() -> tuple[Any, Any]:
    inputs = keras.Input((None,), dtype="int64", ragged=True)
    embedded = layers.Embedding(9, 4, name="embed")(inputs)
    sums = layers.Lambda(lambda t: tf.reduce_sum(t, axis=1), output_shape=(4,), name="sums")(embedded)
    rows = tf.RaggedTensor.from_row_lengths(tf.constant(WORDS, tf.int64), LENGTHS)
    return keras.Model(inputs, layers.Dense(3, name="scores")(sums)), (rows, WORDS[: LENGTHS[:BATCH].sum()])


@only_tensorflow("tensors of strings, and ragged ones")
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(of_strings, marks=pytest.mark.covers("Keras: preprocessing layers with string input")),
        pytest.param(of_ragged_rows, marks=pytest.mark.covers("Keras: ragged input")),
    ],
)
def test_strings_and_ragged_rows_are_taken_from_the_first_batch_and_handed_on(
    build: Callable[[], Any], tmp_path: Path
) -> None:
    results = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]):
        keras.utils.set_random_seed(2)
        model, (x, tokens) = build()
        model.compile(keras.optimizers.SGD(0.1), "mse")
        data = tf.data.Dataset.from_tensor_slices((x, Y)).batch(BATCH)
        history = model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks).history
        results.append((history, model.get_weights()))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(one, other) for one, other in zip(results[0][1], results[1][1]))
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(17))
    table = logged(run, ("embed", "weight", "embeddings"), 16)
    np.testing.assert_array_equal(table, model.get_layer("embed").get_weights()[0])
    np.testing.assert_array_equal(logged(run, ("embed", "activation", "output"), 16), table[tokens])
    assert any(t.layer == "embed" and t.kind == "gradient" for t in run.tensors)


class Timed:
    """Takes the time that is spent around each call of the training's function, and what the account says of it.

    Both clocks are the processor time of the thread: what else runs on the machine takes none of it.

    Attributes:
      spent: Seconds, by call.
      granted: By step that it had room for: what it had by then for logging, for what every step pays of that and for
        the training, and seconds of the clock since the first call.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recording, "TrainingLog", functools.partial(TrainingLog, clock=time.thread_time))
        self.spent: list[float] = []
        self.granted: dict[int, tuple[float, float, float, float]] = {}
        first: list[float] = []
        of_ours, affords = Training._train, Budget.affords

        def train(training: Training, function: Any, iterator: Any) -> Any:
            trained = [0.0]

            def timed(iterator: Any) -> Any:
                began = time.thread_time()
                returned = function(iterator)
                trained.append(time.thread_time() - began)
                return returned

            began = time.thread_time()
            first.append(began)
            # The first call has to be given Keras' own function.
            returned = of_ours(training, timed if self.spent else function, iterator)
            self.spent.append(time.thread_time() - began - trained[-1])
            return returned

        def noted(budget: Budget, step: int) -> bool:
            if affords(budget, step):
                every = budget.logging - budget._logged
                self.granted[step] = budget.logging, every, budget.training, time.thread_time() - first[0]
            return step in self.granted

        monkeypatch.setattr(Training, "_train", train)
        monkeypatch.setattr(Budget, "affords", noted)


@REPEATED
@pytest.mark.covers("What and when: Schedule, the overhead budget")
def test_a_training_of_quick_steps_takes_no_longer_than_its_budget_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, budget = 8000, 0.5
    model = two_layers()
    model.compile("sgd", "mse")
    callback, timed = LayerViewCallback(tmp_path, schedule=Schedule(budget=budget)), Timed(monkeypatch)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(BATCH)
    model.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[callback])
    run = LayerReader(tmp_path).run()
    logged = run.steps[:-1].tolist()
    core = {step for step in range(steps) if is_rung(step, per_octave=CORE)}
    rungs = {step for step in range(steps) if Schedule().wants(step)}
    assert core <= set(logged) < rungs
    afforded = [step for step in logged if step not in core]
    assert len(afforded) > 3
    # The first step is set-up.
    spent = {step: timed.spent[step - 1] for step in logged[1:]}
    assert min(spent.values()) > 10 * statistics.median(timed.spent[32:]), "what is timed is the logging"
    for step in afforded:
        logging, every, training, elapsed = timed.granted[step]
        # What every step pays, as it does on a busy machine, may be more than its half: the logged ones keep theirs.
        assert logging - every <= budget * training - min(every, budget / 2 * training), step
        # Both are stopped at the same moments.
        assert training <= elapsed, step
        before = [seconds for other, seconds in spent.items() if 1 < other < step]
        assert logging > 0.8 * (sum(before) - before[-1]), step


@REPEATED
def test_a_short_training_keeps_steps_of_all_its_phases_whatever_they_cost_and_a_resumed_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_warning, "_NOTICED", 0.0)  # it takes less than anybody minds
    model = two_layers()
    model.compile("sgd", "mse")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(BATCH)
    for first, steps in ((0, 136), (136, 100)):
        callback = LayerViewCallback(tmp_path, schedule=Schedule(budget=1e-9))
        model.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[callback])
        run = LayerReader(tmp_path).run()
        last = first + steps
        core = [step for step in range(first, last) if is_rung(step, first, CORE)]
        assert [step for step in run.steps.tolist() if step >= first] == [*core, last]
        (note,) = [note for note in run.model.notes if "Schedule(budget=...)" in note]
        assert note.startswith(f"up to step {last} logging has taken ")
    kernel = run.tensor("hidden", kind="weight", name="kernel")
    assert [step for step in run.kept_steps("values", kernel) if step >= first] == [*core, last]


@REPEATED
def test_several_steps_per_execution_are_logged_as_often_as_single_ones(tmp_path: Path) -> None:
    model = two_layers()
    model.compile("sgd", "mse", steps_per_execution=10)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(BATCH)
    callback = LayerViewCallback(tmp_path, schedule=Schedule(budget=1e-9))
    model.fit(data, steps_per_epoch=500, shuffle=False, verbose=0, callbacks=[callback])
    core = [step for step in range(501) if is_rung(step, per_octave=CORE)]
    assert LayerReader(tmp_path).run().steps.tolist() == sorted({-(-step // 10) * 10 for step in core} | {500})


@only_tensorflow("a program that trains with it")
def test_steps_that_are_not_logged_find_their_memory_as_they_would_without(forks: Forks) -> None:
    """In processes of their own: how memory is given back is settled once for all in a process."""
    faults = {}
    for how in ("bare", "logged"):
        printed, _ = forks.run(HELPERS / "program_page_faults.py", how, seconds=900)
        faults[how] = float(printed.splitlines()[-1])
    assert faults["logged"] < faults["bare"] + 50  # 250 where the C library gives back what each step allocates


IDS = rng.integers(0, 50, (64, 4))


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 does not quantize")
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method implemented:UserWarning")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_int8_model_that_learns_by_lora_is_trained_the_same_to_the_last_bit(tmp_path: Path, optimizer: str) -> None:
    def train_one(callbacks: list[Any]) -> Any:
        keras.utils.set_random_seed(5)
        learning = [
            layers.Embedding(50, 8, name="table"),
            layers.EinsumDense("abc,cd->abd", (4, 8), name="mix"),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.Dense(3, name="scores"),
        ]
        dropout = layers.Dropout(0.3)
        parts = [*learning[:2], layers.Flatten(), learning[2], dropout, learning[3]]
        model = keras.Sequential([keras.Input((4,), dtype="int32"), *parts])
        model.quantize("int8")
        for layer in learning:
            layer.enable_lora(2)
        model.compile(optimizer, "mse", metrics=["mae"])
        assert {str(v.dtype) for v in model.non_trainable_weights} == {"int8", "float32"}
        assert {v.path.split("/")[-1] for v in model.trainable_weights} > {"lora_kernel_a", "lora_embeddings_b"}
        before = [array(v).copy() for v in model.trainable_weights]
        history = model.fit(IDS, Y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=callbacks).history
        assert any(not np.array_equal(array(v), was) for v, was in zip(model.trainable_weights, before))
        state = [array(v) for v in (*model.optimizer.variables, dropout.seed_generator.state)]
        numbers = [drawn(), np.random.random(), float(keras.random.uniform(()))]
        return history, [*model.get_weights(), *state, *numbers]

    bare, logged_too = train_one([]), train_one([LayerViewCallback(tmp_path, schedule=1, keep=EXACT)])
    assert bare[0] == logged_too[0]
    assert len(bare[1]) == len(logged_too[1])
    assert all(np.array_equal(one, other) for one, other in zip(bare[1], logged_too[1]))
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == list(range(EPOCHS * len(X) // BATCH + 1))
    assert {"lora_kernel_a", "lora_kernel_b"} <= {t.name for t in run.tensors if t.kind == "gradient"}
