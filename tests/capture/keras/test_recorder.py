"""Loops of one's own, weight updates, evaluation and prediction, and what is left behind: nothing."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
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
    keras,
    kernel_of,
    layers,
    only_tensorflow,
    ops,
    several_steps,
    tensor,
    train_step,
)

from tb_layerview import Keep, LayerReader, LayerRecorder, LayerViewCallback, Select
from tb_layerview.reading.run import Run

if IS_TENSORFLOW:
    import tensorflow as tf

DATA_SETS = pytest.mark.skipif(FRAMEWORK == "jax", reason="JAX has no data sets of its own")
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)

rng = np.random.default_rng(5)
X = rng.normal(size=(64, 6)).astype(np.float32)
Y = rng.normal(size=(64, 3)).astype(np.float32)
WIDE = 100  # hidden units: with 6 x 100 weights small for the digests; the kernel of `wide` is a large one


def _model(optimizer: Any = None, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), name="features")
    x = layers.Dense(WIDE, activation="tanh", name="hidden")(inputs)
    x = layers.Dropout(0.2, name="dropout")(layers.BatchNormalization(name="norm")(x))
    x = layers.Dense(80, name="wide")(x)
    model = keras.Model(inputs, layers.Dense(3, name="scores")(x))
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **options)
    return model


def _run(folder: Path, name: str = ".") -> Run:
    return LayerReader(folder).run(name)


def _loop(model: Any, record: Any, steps: int) -> list[list[np.ndarray]]:
    """A loop without `fit`; returns the kernels of `hidden` and `wide` at each step."""
    kernels = []

    def remember() -> None:
        kernels.append([kernel_of(model.get_layer(name)) for name in ("hidden", "wide")])

    def train(x: Any, y: Any) -> Any:
        return train_step(model, lambda out: ops.mean((out - tensor(y)) ** 2), x)

    if IS_TENSORFLOW:
        train = tf.function(train)
    record(0, None)
    remember()
    for step in range(1, steps + 1):
        batch = slice(8 * (step % 8), 8 * (step % 8) + 8)
        loss = train(X[batch], Y[batch])
        record(step, {"loss": loss, "vector": np.ones(3)})
        remember()
    return kernels


# A loop of one's own.


@pytest.mark.covers("Keras: LayerRecorder in a custom loop")
def test_a_loop_with_a_gradient_tape_is_logged_and_does_not_notice(tmp_path: Path) -> None:
    model = _model()
    bare = _loop(model, lambda *_: None, 6)
    model = _model()
    losses = []
    with LayerRecorder(model, tmp_path, probe=(X[:16], Y[:16]), schedule=1, keep=EXACT) as recorder:

        def record(step: int, scalars: Any) -> None:
            losses.append(float(scalars["loss"]) if scalars else np.nan)
            recorder.record(step, scalars)

        kernels = _loop(model, record, 6)
    for one, other in zip(bare, kernels):
        assert all(np.array_equal(a, b) for a, b in zip(one, other))
    run = _run(tmp_path)
    assert list(run.steps) == list(range(7))
    np.testing.assert_allclose(run.scalars["loss"], losses, rtol=1e-6)
    assert "vector" not in run.scalars
    assert {t.kind for t in run.tensors} == {"activation", "weight", "gradient", "update"}
    for i, name in enumerate(("hidden", "wide")):
        kernel = run.tensor(name, kind="weight", name="kernel")
        for step in range(7):
            assert np.array_equal(run.values(kernel, step).array, kernels[step][i])


@pytest.mark.covers("Keras: LayerRecorder in a custom loop")
def test_the_last_step_of_a_loop_is_logged_when_it_is_closed(tmp_path: Path) -> None:
    model = _model()
    recorder = LayerRecorder(model, tmp_path, (X, Y), schedule=4, keep=EXACT)
    kernels = _loop(model, recorder.record, 6)
    recorder.close()
    recorder.close()
    run = _run(tmp_path)
    assert list(run.steps) == [0, 4, 6]
    assert np.array_equal(run.values(run.tensor("wide", kind="weight", name="kernel"), 6).array, kernels[6][1])


def test_a_loop_that_ends_on_an_error_keeps_what_was_recorded(tmp_path: Path) -> None:
    def loop() -> None:
        with LayerRecorder(_model(), tmp_path, (X, Y), schedule=2) as recorder:
            for step in range(4):
                recorder.record(step)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop()
    assert list(_run(tmp_path).steps) == [0, 2]


def test_a_model_that_is_not_built_is_logged_once_the_loop_has_built_it(tmp_path: Path) -> None:
    model = keras.Sequential([layers.Dense(4, name="hidden"), layers.Dense(3, name="scores")])
    with LayerRecorder(model, tmp_path, X, schedule=1, keep=EXACT) as recorder:
        recorder.record(0)
        model(X)
        recorder.record(1)
    run = _run(tmp_path)
    assert list(run.steps) == [1]
    truth = model.get_layer("scores").get_weights()[0]
    assert np.array_equal(run.values(run.tensor("scores", kind="weight", name="kernel"), 1).array, truth)


def test_a_step_that_goes_back_is_said_once_and_not_logged(tmp_path: Path, caplog: Any) -> None:
    with LayerRecorder(_model(), tmp_path, X, schedule=1) as recorder:
        for step in (3, 2, 1, 4):
            recorder.record(step)
    assert list(_run(tmp_path).steps) == [3, 4]
    (message,) = [r.getMessage() for r in caplog.records]
    assert "step 2 comes after step 3 and is not logged" in message


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"probe": X[:, :5]}, ValueError, r"whose inputs are \(64, 5\)"),
        ({"probe": X[:0]}, ValueError, "it has no examples"),
        ({"probe": X, "select": Select(include=("dnese",))}, ValueError, "'dnese' matches none of the"),
        ({"probe": X, "select": ["dense"]}, TypeError, r"select must be a Select"),
        ({"probe": X, "schedule": 0}, ValueError, "at least 1, not 0"),
    ],
)
def test_bad_options_are_refused_before_the_first_step(
    arguments: dict[str, Any], error: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        LayerRecorder(_model(), tmp_path, **arguments)


def test_a_negative_step_is_refused(tmp_path: Path) -> None:
    with (
        LayerRecorder(_model(), tmp_path, X) as recorder,
        pytest.raises(ValueError, match="at least 0, not -1"),
    ):
        recorder.record(-1)


@pytest.mark.covers("Keras: two models trained by turns")
def test_two_models_trained_by_turns_are_logged_apart(tmp_path: Path) -> None:
    models = {name: _model() for name in ("generator", "critic")}
    recorders = {
        name: LayerRecorder(model, tmp_path / name, (X, Y), schedule=1, keep=EXACT) for name, model in models.items()
    }
    truth: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for step in range(4):
        for name, model in models.items():
            recorders[name].record(step)
            truth[name].append(kernel_of(model.get_layer("wide")))
            model.train_on_batch(X[:8] * (2 if name == "critic" else 1), Y[:8])
    for recorder in recorders.values():
        recorder.close()
    assert not np.array_equal(truth["generator"][3], truth["critic"][3])
    for name in models:
        run = _run(tmp_path, name)
        kernel, update = (run.tensor("wide", kind=kind, name="kernel") for kind in ("weight", "update"))
        for step in range(4):
            assert np.array_equal(run.values(kernel, step).array, truth[name][step])
        assert np.array_equal(run.values(update, 3).array, truth[name][3] - truth[name][2])


# Updates.


class Remember(keras.callbacks.Callback):
    """What `layer.get_weights()` returns at each step that is complete."""

    def __init__(self, layer: str = "wide") -> None:
        super().__init__()
        self.layer = layer
        self.kernels: list[np.ndarray] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.kernels.append(kernel_of(self.model.get_layer(self.layer)))

    def on_train_end(self, logs: Any = None) -> None:
        self.kernels.append(kernel_of(self.model.get_layer(self.layer)))


@pytest.mark.parametrize("layer", ["hidden", "wide"])  # a small and a large tensor of the digests
@pytest.mark.parametrize("schedule", [1, 3])
@pytest.mark.covers("What and when: kind update, callback")
@pytest.mark.core("1-wide", "3-hidden")
def test_an_update_is_the_change_over_exactly_one_step(layer: str, schedule: int, tmp_path: Path) -> None:
    model, remember = _model(), Remember(layer)
    callback = LayerViewCallback(tmp_path, schedule=schedule, keep=EXACT)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[remember, callback])
    run = _run(tmp_path)
    update = run.tensor(layer, kind="update", name="kernel")
    assert list(run.steps) == sorted({*range(0, 17, schedule), 16})
    assert np.isnan(run.statistics("rms")[update][0]), "step 0 has no update"
    for step in run.steps[1:]:
        truth = remember.kernels[step] - remember.kernels[step - 1]
        assert np.abs(truth).max() > 0
        assert np.array_equal(run.values(update, step).array, truth)
        digest = run.digest(update, step)
        assert digest.rms == pytest.approx(np.sqrt(np.mean(truth.astype(np.float64) ** 2)), rel=1e-5)
        assert (digest.min, digest.max) == (pytest.approx(truth.min()), pytest.approx(truth.max()))


def test_updates_keep_statistics_and_no_values_unless_asked_to(tmp_path: Path) -> None:
    _model().fit(X, Y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1)])
    run = _run(tmp_path)
    update = run.tensor("wide", kind="update", name="kernel")
    assert len(run.kept_steps("histogram", update)) == len(run.kept_steps("units", update)) == 8
    assert len(run.kept_steps("values", update)) == 0


def test_moving_statistics_and_frozen_layers_have_no_update(tmp_path: Path) -> None:
    model = _model()
    model.get_layer("wide").trainable = False
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1)])
    updates = {(t.layer, t.name) for t in _run(tmp_path).tensors if t.kind == "update"}
    assert updates == {
        ("hidden", "kernel"),
        ("hidden", "bias"),
        ("norm", "gamma"),
        ("norm", "beta"),
        ("scores", "kernel"),
        ("scores", "bias"),
    }


@several_steps
def test_several_steps_per_execution_leave_updates_out_with_a_note(tmp_path: Path) -> None:
    callback = LayerViewCallback(tmp_path, schedule=1)
    _model(steps_per_execution=4).fit(X, Y, batch_size=8, verbose=0, callbacks=[callback])
    run = _run(tmp_path)
    assert {t.kind for t in run.tensors} == {"activation", "weight", "gradient"}
    assert any("steps_per_execution=4" in note and "updates are left out" in note for note in run.model.notes)
    only = LayerViewCallback(tmp_path / "only", select=Select(kinds=("update",)))
    with pytest.raises(ValueError, match="steps_per_execution=4 the change over exactly one step cannot be had"):
        _model(steps_per_execution=4).fit(X, Y, verbose=0, callbacks=[only])


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 has no gradient accumulation")
@pytest.mark.covers("Keras: gradient accumulation", "What and when: kind update, callback")
def test_with_gradient_accumulation_a_step_is_what_the_optimizer_counts(tmp_path: Path) -> None:
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    model, remember = _model(optimizer), Remember()
    callback = LayerViewCallback(tmp_path, schedule=1, keep=EXACT)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[remember, callback])
    assert int(optimizer.iterations) == 5  # 16 batches
    run = _run(tmp_path)
    assert list(run.steps) == list(range(6))
    weight, update = (run.tensor("wide", kind=kind, name="kernel") for kind in ("weight", "update"))
    for step in range(1, 6):
        assert np.array_equal(run.values(weight, step).array, remember.kernels[3 * step])
        truth = remember.kernels[3 * step] - remember.kernels[3 * step - 3]
        assert np.array_equal(run.values(update, step).array, truth)


# Evaluation and prediction.


def _inference_truth(model: Any, layer: str, x: np.ndarray) -> np.ndarray:
    return array(keras.Model(model.inputs, model.get_layer(layer).output)(x, training=False))


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("evaluate", marks=pytest.mark.covers("Keras: model.evaluate")),
        pytest.param("predict", marks=pytest.mark.covers("Keras: model.predict")),
    ],
)
@pytest.mark.covers("What and when: modes told apart")
def test_evaluate_and_predict_log_one_step_in_inference_mode(mode: str, tmp_path: Path) -> None:
    model = _model()
    model.fit(X, Y, batch_size=8, verbose=0)

    def call(callbacks: list[Any]) -> Any:
        if mode == "evaluate":
            return model.evaluate(X, Y, batch_size=20, verbose=0, callbacks=callbacks)
        return model.predict(X, batch_size=20, verbose=0, callbacks=callbacks)

    bare = call([])
    attributes, functions = set(vars(model)), (model.train_function, model.test_function, model.predict_function)
    callback = LayerViewCallback(tmp_path, keep=EXACT)
    assert np.array_equal(bare, call([callback]))
    assert set(vars(model)) == attributes
    assert (model.train_function, model.test_function, model.predict_function) == functions
    assert LayerReader(tmp_path).names() == [mode]
    run = _run(tmp_path, mode)
    assert list(run.steps) == [8] and list(run.modes) == [mode]
    assert {t.kind for t in run.tensors} == {"activation", "weight"}
    assert run.model.probe is not None and not run.model.probe.training and run.model.probe.examples == 20
    output = run.values(run.tensor("norm", kind="activation", name="output"), 8).array
    np.testing.assert_allclose(output, _inference_truth(model, "norm", X[:20]), rtol=1e-4, atol=1e-5)
    if mode == "evaluate":
        assert run.scalars["loss"] == pytest.approx([bare[0]])


@pytest.mark.covers("Keras: the validation inside fit", "What and when: modes told apart")
def test_the_validation_within_fit_logs_a_step_an_epoch_on_its_first_batch(tmp_path: Path) -> None:
    histories = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]):
        model = _model()
        data = {"validation_data": (X[40:], Y[40:]), "validation_batch_size": 10}
        fit = model.fit(X[:40], Y[:40], batch_size=8, epochs=3, verbose=0, callbacks=callbacks, **data)
        histories.append((fit.history, model.get_weights()))
    assert histories[0][0] == histories[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(histories[0][1], histories[1][1]))
    assert LayerReader(tmp_path).names() == [".", "evaluate"]
    train, run = _run(tmp_path), _run(tmp_path, "evaluate")
    assert list(run.steps) == [5, 10, 15] and set(run.modes) == {"evaluate"}
    assert run.scalars["loss"] == pytest.approx(histories[0][0]["val_loss"])
    for step in run.steps:
        weights = [r.values(r.tensor("wide", kind="weight", name="kernel"), step).array for r in (train, run)]
        assert np.array_equal(*weights)
    inputs = [run.values(run.tensor("input"), step).array for step in run.steps]
    assert all(np.array_equal(x, X[40:50]) for x in inputs), "the batch is fixed"
    output = run.values(run.tensor("norm", kind="activation", name="output"), 15).array
    np.testing.assert_allclose(output, _inference_truth(model, "norm", X[40:50]), rtol=1e-4, atol=1e-5)


@pytest.mark.covers("Keras: the validation inside fit")
def test_a_validation_from_a_data_set_and_every_second_epoch(tmp_path: Path) -> None:
    histories = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=2)]):
        model = _model()
        data = batches((X, Y), 10, shuffled=True)
        fit = model.fit(X, Y, epochs=4, verbose=0, validation_data=data, validation_freq=2, callbacks=callbacks)
        histories.append(fit.history)
    assert histories[0] == histories[1]
    assert list(_run(tmp_path, "evaluate").steps) == [4, 8]


def test_evaluating_with_nothing_to_log_is_said(tmp_path: Path, caplog: Any) -> None:
    model, callback = _model(), LayerViewCallback(tmp_path, select=Select(kinds=("gradient",)))
    model.evaluate(X, Y, verbose=0, callbacks=[callback])
    assert "of the kinds gradient there are none where nothing is trained" in caplog.text


# Which steps.


@pytest.mark.covers("Keras: fit called again", "Keras: initial_epoch")
def test_fit_again_and_initial_epoch_go_on_where_it_ended(tmp_path: Path) -> None:
    model, callback, remember = _model(), LayerViewCallback(tmp_path, schedule=1, keep=EXACT), Remember()
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[callback, remember])
    remember.kernels.pop()
    model.fit(X, Y, batch_size=16, initial_epoch=2, epochs=3, verbose=0, callbacks=[callback, remember])
    run = _run(tmp_path)
    assert list(run.steps) == list(range(13))
    kernel = run.tensor("wide", kind="weight", name="kernel")
    assert all(np.array_equal(run.values(kernel, s).array, remember.kernels[s]) for s in range(13))


def test_a_model_that_is_compiled_anew_goes_on_too(tmp_path: Path) -> None:
    model, callback = _model(), LayerViewCallback(tmp_path, schedule=1)
    for _ in range(2):
        model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback])
        model.compile("sgd", "mse")
    assert list(_run(tmp_path).steps) == list(range(9))


def _checkpoint(model: Any, path: Path) -> Callable[[], None]:
    """Keeps all that a model and its optimizer hold; what this returns puts it back."""
    if IS_TENSORFLOW:
        checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        written = checkpoint.write(str(path))
        return lambda: checkpoint.restore(written)
    variables = [*model.variables, *model.optimizer.variables]
    np.savez(path.with_suffix(".npz"), *(array(variable) for variable in variables))

    def restore() -> None:
        with np.load(path.with_suffix(".npz")) as kept:
            for variable, value in zip(variables, kept.values(), strict=True):
                variable.assign(value)

    return restore


@pytest.mark.parametrize("same_callback", [True, False])
@pytest.mark.covers("Keras: resuming from a checkpoint into the same folder")
def test_steps_trained_again_from_a_checkpoint_replace_the_old_ones(same_callback: bool, tmp_path: Path) -> None:
    model = _model()
    callback, first = LayerViewCallback(tmp_path, schedule=1, keep=EXACT), Remember()
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback, first])
    restore = _checkpoint(model, tmp_path / "checkpoint")
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[callback])
    assert list(_run(tmp_path).steps) == list(range(13))
    restore()
    assert int(model.optimizer.iterations) == 4
    again = Remember()
    if not same_callback:
        callback = LayerViewCallback(tmp_path, schedule=1, keep=EXACT)
    model.fit(X * 2, Y, batch_size=16, verbose=0, callbacks=[callback, again])
    run = _run(tmp_path)
    assert list(run.steps) == list(range(9))
    kernel = run.tensor("wide", kind="weight", name="kernel")
    truth = first.kernels[:4] + again.kernels
    assert all(np.array_equal(run.values(kernel, s).array, truth[s]) for s in range(9))


def test_a_training_after_one_that_ended_on_an_error_goes_on(tmp_path: Path) -> None:
    class Fails(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                raise ZeroDivisionError

    model, callback = _model(), LayerViewCallback(tmp_path, schedule=1)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback, Fails()])
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=[callback])
    assert list(_run(tmp_path).steps) == list(range(7))


# Data.


class Batches(keras.utils.PyDataset if hasattr(keras.utils, "PyDataset") else keras.utils.Sequence):  # type: ignore[misc]
    """Four batches of 16."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        part = slice(16 * index, 16 * index + 16)
        return X[part], Y[part], np.linspace(0.1, 1, 16, dtype=np.float32)


def _generator() -> Any:
    while True:
        for index in range(4):
            yield X[16 * index : 16 * index + 16], Y[16 * index : 16 * index + 16]


DATA = {
    "a Sequence with sample weights": lambda: (Batches(), {"shuffle": False}),
    "a generator": lambda: (_generator(), {"steps_per_epoch": 4}),
    "a data set of dicts": lambda: (batches(({"features": X}, Y), 16), {}),
    "a data set of tuples with weights": lambda: (batches((X, Y, np.ones(64, np.float32)), 16), {}),
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("a Sequence with sample weights", marks=pytest.mark.covers("Keras: Sequence")),
        pytest.param("a generator", marks=pytest.mark.covers("Keras: generators")),
        pytest.param("a data set of dicts", marks=[pytest.mark.covers("Keras: data sets"), DATA_SETS]),
        "a data set of tuples with weights",
    ],
)
def test_each_kind_of_data_is_logged_and_trains_the_same(kind: str, tmp_path: Path) -> None:
    histories = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]):
        model = _model()
        data, options = DATA[kind]()
        histories.append(model.fit(data, epochs=2, verbose=0, callbacks=callbacks, **options).history)
    assert histories[0] == histories[1]
    run = _run(tmp_path)
    assert list(run.steps) == list(range(9))
    assert {t.kind for t in run.tensors} == {"activation", "weight", "gradient", "update"}
    assert np.array_equal(run.values(run.tensor("input"), 8).array, X[:16])


# What is left behind.


@pytest.mark.covers("Keras: no reference that keeps the model or the probe alive")
def test_after_the_training_nothing_holds_the_model_or_the_probe(tmp_path: Path) -> None:
    callback = LayerViewCallback(tmp_path / "fit", schedule=1)
    model = _model()
    model.fit(X, Y, verbose=0, validation_split=0.2, callbacks=[callback])
    model.predict(X, verbose=0, callbacks=[callback])
    probe = tensor(X[:16])
    recorder = LayerRecorder(model, tmp_path / "loop", (probe, Y[:16]), schedule=1)
    recorder.record(0)
    recorder.record(1)
    recorder.close()
    watched = [weakref.ref(thing) for thing in (model, model.optimizer, model.get_layer("wide"), probe)]
    del model, probe
    keras.backend.clear_session()
    gc.collect()
    assert [ref() for ref in watched] == [None] * 4
    assert callback.model is None and recorder is not None


@pytest.mark.covers(
    "Keras: save and load afterwards",
    "Keras: pickling of the optimizer state afterwards",
    "Keras: clone_model afterwards",
    "Keras: no attribute left behind",
)
def test_a_model_is_saved_cloned_and_pickled_as_if_nothing_had_been_there(tmp_path: Path) -> None:
    def train(callbacks: list[Any]) -> Any:
        keras.backend.clear_session()  # which also counts names anew
        model = _model()
        model.fit(X, Y, batch_size=16, verbose=0, validation_split=0.25, callbacks=callbacks)
        return model

    bare, model = train([]), train([LayerViewCallback(tmp_path / "log", schedule=1)])
    with LayerRecorder(model, tmp_path / "loop", (X, Y)) as recorder:
        recorder.record(0)
    assert set(vars(model)) == set(vars(bare))
    for layer, other in zip(model.layers, bare.layers):
        assert set(vars(layer)) == set(vars(other))
    config = copy.deepcopy(model.optimizer.get_config())
    assert pickle.loads(pickle.dumps(config)) == bare.optimizer.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for other in (loaded, clone, bare):
        assert np.array_equal(model.predict(X, verbose=0), other.predict(X, verbose=0))
    restored = pickle.loads(pickle.dumps(model))
    assert np.array_equal(model.predict(X, verbose=0), restored.predict(X, verbose=0))
    states = [[array(v) for v in m.optimizer.variables] for m in (bare, model, loaded, restored)]
    assert len(states[0]) > 10
    for state in states[1:]:
        assert len(state) == len(states[0]) and all(np.array_equal(a, b) for a, b in zip(state, states[0]))


@pytest.mark.covers("Keras: two models trained by turns")
def test_two_fits_by_turns_with_a_callback_each_are_logged_apart(tmp_path: Path) -> None:
    models = {name: _model() for name in ("generator", "critic")}
    callbacks = {name: LayerViewCallback(tmp_path / name, schedule=1, keep=EXACT) for name in models}
    truth: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for _ in range(2):
        for name, model in models.items():
            truth[name] = truth[name][:-1]  # which the next one sees again
            remember = Remember()
            x = X * (2 if name == "critic" else 1)
            model.fit(x, Y, batch_size=32, verbose=0, callbacks=[callbacks[name], remember])
            truth[name] += remember.kernels
    for name in models:
        run = _run(tmp_path, name)
        kernel = run.tensor("wide", kind="weight", name="kernel")
        assert list(run.steps) == list(range(5))
        assert all(np.array_equal(run.values(kernel, s).array, truth[name][s]) for s in range(5))
    assert not np.array_equal(truth["generator"][4], truth["critic"][4])


@only_tensorflow("an operation that runs Python")
def test_weights_alone_are_read_without_running_the_model(tmp_path: Path) -> None:
    runs: list[int] = []

    class Noted(layers.Layer):
        def call(self, x: Any) -> Any:
            noted = tf.numpy_function(lambda value: (runs.append(1), value)[1], [x], tf.float32)
            noted.set_shape(x.shape)
            return noted

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    model = keras.Sequential([keras.Input((6,)), Noted(name="noted"), layers.Dense(WIDE, name="hidden")])
    model.compile("sgd", "mse")
    targets = np.zeros((64, WIDE), np.float32)
    for name, select in (("weights", Select(kinds=("weight", "update"))), ("all", Select())):
        with LayerRecorder(model, tmp_path / name, probe=(X, targets), select=select, keep=EXACT) as recorder:
            runs.clear()
            recorder.record(0)
            assert bool(runs) == (name == "all")
    run = _run(tmp_path / "weights")
    assert "probe_loss" not in run.scalars and "probe_loss" in _run(tmp_path / "all").scalars
    weights = [one for one in run.tensors if one.kind == "weight"]
    for weight, value in zip(weights, model.get_weights()):
        assert np.array_equal(run.values(weight, step=0).array, value)
    assert len(weights) == 2
