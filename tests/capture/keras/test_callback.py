"""The Keras callback: true values, and a training that does not notice."""

from __future__ import annotations

import random
import sys
import types
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
    drawn,
    keras,
    layers,
    leaves,
    only_tensorflow,
    ops,
    several_steps,
)

from tb_layerview import Keep, LayerReader, LayerViewCallback, Schedule, Select
from tb_layerview.capture.recording import Recording
from tb_layerview.reading.run import Run

if IS_TENSORFLOW:
    import tensorflow as tf

EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)

rng = np.random.default_rng(5)
X = rng.normal(size=(130, 8, 8, 1)).astype(np.float32)
Y = rng.integers(0, 10, 130)


def _classifier(**options: Any) -> Any:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.GaussianNoise(0.1, name="noise"),
            layers.Flatten(name="flatten"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(10, name="classes"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"], **options)
    return model


def _plain() -> Any:
    """Without anything random, so that what a layer computes can be had again from outside."""
    inputs = keras.Input((6,), name="features")
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="scores")(hidden))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


PLAIN_X = rng.normal(size=(64, 6)).astype(np.float32)
PLAIN_Y = rng.normal(size=(64, 3)).astype(np.float32)


def _run(folder: Path) -> Run:
    return LayerReader(folder).run()


def _calls(run: Run, path: str) -> list[int]:
    return [t.call for t in run.tensors if t.layer == path and t.kind == "activation"]


# Values are true.


def test_weights_are_those_that_the_layers_have_at_each_step(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model, seen = _plain(), {0: None}

    class Remember(keras.callbacks.Callback):
        """What `layer.get_weights()` returns after each step."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            seen[batch] = [w.copy() for w in self.model.get_layer("hidden").get_weights()]

    model.fit(
        PLAIN_X,
        PLAIN_Y,
        batch_size=8,
        epochs=1,
        verbose=0,
        callbacks=[Remember(), LayerViewCallback(tmp_path, schedule=1, keep=EXACT)],
    )
    seen[8] = [w.copy() for w in model.get_layer("hidden").get_weights()]
    run = _run(tmp_path)
    assert list(run.steps) == list(range(9))
    for index, name in enumerate(("kernel", "bias")):
        tensor = run.tensor("hidden", kind="weight", name=name)
        for step in range(9):
            truth = seen[step][index]
            if name == "kernel":
                assert np.array_equal(run.values(tensor, step).array, truth)
            assert run.digest(tensor, step).rms == pytest.approx(np.sqrt(np.mean(truth.astype(float) ** 2)), rel=1e-5)


def test_activations_are_those_of_the_model_on_the_probe(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = _plain()
    probe = PLAIN_X[:16], PLAIN_Y[:16]
    model.fit(
        PLAIN_X,
        PLAIN_Y,
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=[LayerViewCallback(tmp_path, probe, schedule=1, keep=EXACT)],
    )
    run = _run(tmp_path)
    inner = keras.Model(model.inputs, model.get_layer("hidden").output)
    truth = array(inner(probe[0]))
    tensor = run.tensor("hidden", kind="activation", name="output")
    np.testing.assert_allclose(run.values(tensor, 16).array, truth, rtol=1e-5, atol=1e-6)
    assert run.digest(tensor, 16).mean == pytest.approx(truth.astype(float).mean(), rel=1e-4)
    inputs = run.tensor("input", kind="activation", name="output")
    assert np.array_equal(run.values(inputs, 16).array, probe[0])


def test_gradients_of_a_dense_layer_are_those_worked_by_hand(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = _plain()
    kernels = {name: [w.copy() for w in model.get_layer(name).get_weights()] for name in ("hidden", "scores")}
    x, y = PLAIN_X[:16], PLAIN_Y[:16]
    model.fit(
        PLAIN_X,
        PLAIN_Y,
        batch_size=8,
        verbose=0,
        callbacks=[LayerViewCallback(tmp_path, (x, y), schedule=1, keep=EXACT)],
    )
    run = _run(tmp_path)
    (w1, b1), (w2, b2) = kernels["hidden"], kernels["scores"]
    # Mean squared error over 16 x 3 outputs: dL/dscores = 2 (scores - y) / 48.
    hidden = np.tanh(x.astype(float) @ w1 + b1)
    error = 2 * (hidden @ w2 + b2 - y) / y.size
    expected = {
        ("scores", "kernel"): hidden.T @ error,
        ("scores", "bias"): error.sum(axis=0),
        ("hidden", "kernel"): x.T.astype(float) @ (error @ w2.T * (1 - hidden**2)),
    }
    for (layer, name), gradient in expected.items():
        tensor = run.tensor(layer, kind="gradient", name=name)
        assert run.digest(tensor, 0).rms == pytest.approx(np.sqrt(np.mean(gradient**2)), rel=1e-4)
        assert run.digest(tensor, 0).max == pytest.approx(gradient.max(), rel=1e-4)
        if name == "kernel":
            np.testing.assert_allclose(run.values(tensor, 0).array, gradient, rtol=1e-3, atol=1e-6)
    loss = np.mean((hidden @ w2 + b2 - y) ** 2)
    assert run.scalars["probe_loss"][0] == pytest.approx(loss, rel=1e-5)


def test_the_default_probe_is_the_first_training_batch(tmp_path: Path) -> None:
    model = _plain()
    callback = LayerViewCallback(tmp_path, schedule=100, keep=EXACT)
    model.fit(PLAIN_X, PLAIN_Y, batch_size=40, shuffle=False, verbose=0, callbacks=[callback])
    run = _run(tmp_path)
    assert np.array_equal(run.values(run.tensor("input"), 0).array, PLAIN_X[:32])
    assert run.model.probe is not None and run.model.probe.examples == 32


def test_scalars_are_what_keras_itself_reports(tmp_path: Path) -> None:
    model = _classifier()
    callback = LayerViewCallback(tmp_path, schedule=1)
    history = model.fit(X, Y, batch_size=26, epochs=3, validation_split=0.2, verbose=0, callbacks=[callback]).history
    run = _run(tmp_path)
    ends = [4, 8, 12]
    assert [run.scalars["loss"][run.steps.tolist().index(s)] for s in ends] == pytest.approx(history["loss"])
    assert [run.scalars["val_loss"][run.steps.tolist().index(s)] for s in ends] == pytest.approx(history["val_loss"])
    assert run.scalars["learning_rate"] == pytest.approx(np.full(13, 1e-3))
    assert np.isnan(run.scalars["loss"][0]), "before the first step there is no training loss"


# Which steps.


@pytest.mark.covers("Keras: fit called again")
def test_steps_go_on_over_several_fits(tmp_path: Path) -> None:
    model = _plain()
    callback = LayerViewCallback(tmp_path, schedule=1)
    for _ in range(2):
        model.fit(PLAIN_X, PLAIN_Y, batch_size=16, epochs=2, verbose=0, callbacks=[callback])
    assert list(_run(tmp_path).steps) == list(range(17))


@only_tensorflow("a data set of unknown length")
@pytest.mark.covers("Keras: data sets")
def test_batches_of_a_generator_of_unknown_length_are_counted_right(tmp_path: Path) -> None:
    def batches() -> Any:
        for i in range(5):
            yield PLAIN_X[8 * i : 8 * i + 8], PLAIN_Y[8 * i : 8 * i + 8]

    signature = (tf.TensorSpec((None, 6)), tf.TensorSpec((None, 3)))
    model = _plain()
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    model.fit(data, epochs=3, verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1)])
    assert list(_run(tmp_path).steps) == list(range(16))


@several_steps
@pytest.mark.covers("Keras: steps_per_execution")
def test_steps_per_execution_logs_between_executions(tmp_path: Path) -> None:
    model = _classifier(steps_per_execution=4)
    model.fit(X, Y, batch_size=13, epochs=2, verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1)])
    assert list(_run(tmp_path).steps) == [0, 4, 8, 10, 14, 18, 20]


# The training does not notice.


def _train(make: Callable[[], Any], fit: Callable[[Any, list[Any]], Any], callbacks: list[Any]) -> dict[str, Any]:
    keras.utils.set_random_seed(7)
    model = make()
    traces = []
    original = model.train_step

    def counted(*arguments: Any) -> Any:
        traces.append(1)
        return original(*arguments)

    model.train_step = counted
    history = fit(model, callbacks).history
    after = [random.random(), np.random.random(), drawn()]
    state = [array(v) for v in [*model.weights, *model.optimizer.variables]]
    return {
        "history": history,
        "state": state,
        "metrics": {m.name: array(m.result()) for m in model.metrics if m.name == "loss"},
        "random": after,
        "traces": len(traces),
        "predictions": [np.asarray(leaf) for leaf in leaves(model.predict(X[:5], verbose=0))],
    }


def _assert_same(bare: dict[str, Any], logged: dict[str, Any]) -> None:
    assert bare["history"] == logged["history"]
    assert bare["random"] == logged["random"]
    assert bare["metrics"] == logged["metrics"]
    assert bare["traces"] == logged["traces"]
    for what in ("state", "predictions"):
        assert len(bare[what]) == len(logged[what])
        assert all(np.array_equal(one, other) for one, other in zip(bare[what], logged[what]))


def _fit_arrays(model: Any, callbacks: list[Any]) -> Any:
    return model.fit(X, Y, batch_size=24, epochs=3, validation_split=0.1, verbose=0, callbacks=callbacks)


def _fit_dataset(model: Any, callbacks: list[Any]) -> Any:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(130, seed=3).batch(24).prefetch(2)
    return model.fit(data, epochs=3, verbose=0, callbacks=callbacks)


def _fit_repeated(model: Any, callbacks: list[Any]) -> Any:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(24)
    return model.fit(data, epochs=3, steps_per_epoch=7, verbose=0, callbacks=callbacks)


def _fit_weighted(model: Any, callbacks: list[Any]) -> Any:
    return model.fit(
        X, Y, sample_weight=np.linspace(0, 1, 130), batch_size=24, epochs=3, verbose=0, callbacks=callbacks
    )


def _two_outputs() -> Any:
    inputs = keras.Input((8, 8, 1))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs))
    x = layers.Dropout(0.4)(layers.Flatten()(x))
    model = keras.Model(inputs, {"label": layers.Dense(10, name="label")(x), "size": layers.Dense(1, name="size")(x)})
    loss = {"label": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "size": "mse"}
    model.compile("adam", loss, metrics={"label": ["accuracy"], "size": ["mae"]})
    return model


def _fit_two_outputs(model: Any, callbacks: list[Any]) -> Any:
    targets = {"label": Y, "size": np.linspace(0, 1, 130)[:, None]}
    return model.fit(X, targets, batch_size=24, epochs=3, verbose=0, callbacks=callbacks)


class Twice(keras.Model):
    """Not built before it is trained, with a layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.hidden = layers.Flatten(), layers.Dense(64, activation="relu")
        self.dropout, self.classes = layers.Dropout(0.5), layers.Dense(10)

    def call(self, inputs: Any, training: Any = None) -> Any:
        x = self.hidden(self.flatten(inputs))
        return self.classes(self.dropout(self.hidden(x), training=training))


def _subclassed() -> Any:
    model = Twice()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


TRAININGS: dict[str, tuple[Callable[[], Any], Callable[[Any, list[Any]], Any]]] = {
    "arrays": (_classifier, _fit_arrays),
    "sample weights": (_classifier, _fit_weighted),
    "eager": (lambda: _classifier(run_eagerly=True), _fit_arrays),
    "two outputs": (_two_outputs, _fit_two_outputs),
}
if IS_TENSORFLOW:
    TRAININGS |= {"a data set": (_classifier, _fit_dataset), "a repeated data set": (_classifier, _fit_repeated)}
if FRAMEWORK != "torch":  # of which Keras refuses several steps per execution, and the compiler takes minutes
    TRAININGS["several steps per execution"] = (lambda: _classifier(steps_per_execution=4), _fit_arrays)
    if KERAS_3:
        # Keras 2 draws random numbers under XLA that differ from one bare training to the next.
        TRAININGS["compiled by XLA"] = (lambda: _classifier(jit_compile=True), _fit_arrays)


@pytest.mark.parametrize("schedule", [1, Schedule()], ids=["every step", "the ladder"])
@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.core(
    "arrays-every step",
    "a data set-the ladder",
    "compiled by XLA-every step",
    "eager-every step",
    "sample weights-every step",
    "several steps per execution-the ladder",
    "two outputs-the ladder",
)
def test_a_training_is_bit_identical_with_and_without_the_callback(name: str, schedule: Any, tmp_path: Path) -> None:
    make, fit = TRAININGS[name]
    bare = _train(make, fit, [])
    _assert_same(bare, _train(make, fit, [LayerViewCallback(tmp_path, schedule=schedule)]))
    assert len(_run(tmp_path).steps) > 3


@pytest.mark.covers("Keras: subclassed")
def test_a_subclassed_model_that_is_not_built_starts_from_the_same_weights(tmp_path: Path) -> None:
    results = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1)]):
        keras.utils.set_random_seed(7)
        model = _subclassed()
        history = model.fit(X, Y, batch_size=24, epochs=2, verbose=0, callbacks=callbacks).history
        results.append((history, [array(w) for w in model.weights]))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(results[0][1], results[1][1]))
    run = _run(tmp_path)
    names = {layer.path for layer in run.model.layers}
    hidden = next(name for name in names if name.startswith("dense") and _calls(run, name)[1:])
    assert _calls(run, hidden) == [0, 1]


@only_tensorflow("a data set of unknown length")
def test_the_batches_trained_on_are_the_same(tmp_path: Path) -> None:
    # Keras 2 refuses several steps per execution for data of unknown length.
    for steps_per_execution in (1, 3) if KERAS_3 else (1,):
        seen: list[list[int]] = []
        for callbacks in ([], [LayerViewCallback(tmp_path / str(steps_per_execution))]):
            batches: list[int] = []

            def numbered(batches: list[int] = batches) -> Any:
                for i in range(10):
                    batches.append(i)
                    yield PLAIN_X[:4] + i, PLAIN_Y[:4]

            model = _plain()
            model.compile("sgd", "mse", steps_per_execution=steps_per_execution)
            signature = (tf.TensorSpec((None, 6)), tf.TensorSpec((None, 3)))
            data = tf.data.Dataset.from_generator(numbered, output_signature=signature)
            model.fit(data, epochs=2, verbose=0, callbacks=callbacks)
            seen.append([*batches, int(model.optimizer.iterations)])
        assert seen[0] == seen[1]


@pytest.mark.covers("Keras: no attribute left behind")
def test_nothing_of_the_recording_is_left_behind(tmp_path: Path) -> None:
    base = next(c for c in layers.Dense.__mro__ if c.__name__ == "Layer" and "__call__" in vars(c))
    before = vars(base)["__call__"]
    model = _plain()
    attributes = set(vars(model))
    model.make_train_function()
    train_function = model.train_function
    model.fit(PLAIN_X, PLAIN_Y, verbose=0)
    attributes = set(vars(model))
    train_function = model.train_function
    model.fit(PLAIN_X, PLAIN_Y, verbose=0, callbacks=[LayerViewCallback(tmp_path)])
    assert vars(base)["__call__"] is before
    assert model.train_function is train_function
    assert set(vars(model)) == attributes


# What is logged.


@pytest.mark.covers("Keras: layers shared or called in a loop", "Keras: plain operations between layers")
def test_nested_models_shared_layers_and_connections_are_named(tmp_path: Path) -> None:
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, name="first"), layers.Dense(6, name="second")], name="inner"
    )
    inputs = keras.Input((6,))
    x = inner(inputs)
    outputs = layers.Add(name="sum")([shared(x), shared(x * 2.0)])
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    model.fit(PLAIN_X, PLAIN_Y[:, :1], verbose=0, callbacks=[LayerViewCallback(tmp_path)])
    run = _run(tmp_path)
    paths = [layer.path for layer in run.model.layers]
    for path in ("input", "inner/first", "inner/second", "shared", "sum"):
        assert path in paths
    assert paths.index("inner/first") < paths.index("inner/second") < paths.index("shared") < paths.index("sum")
    by_path = {layer.path: layer for layer in run.model.layers}

    def sources(path: str) -> list[str]:
        return [paths[i] for i in by_path[path].inputs]

    assert sources("inner/first") == ["input"]
    assert sources("inner/second") == ["inner/first"]
    # In Keras 2 the multiplication between them is a layer of its own.
    assert sources("shared") == ["inner/second", *([] if KERAS_3 else ["tf.math.multiply"])]
    assert sources("sum") == ["shared"]
    assert _calls(run, "shared") == [0, 1]
    assert by_path["shared"].class_name == "Dense"


@pytest.mark.covers(
    "What and when: Select, layer paths", "What and when: Select, layer classes", "What and when: Select, kinds"
)
def test_only_what_is_selected_is_logged(tmp_path: Path) -> None:
    model = _classifier()
    select = Select(include=("Conv2D", "classes"), exclude=("classes",), kinds=("weight",))
    model.fit(X, Y, verbose=0, callbacks=[LayerViewCallback(tmp_path, select=select)])
    run = _run(tmp_path)
    assert [(t.layer, t.kind, t.name) for t in run.tensors] == [
        ("conv", "weight", "kernel"),
        ("conv", "weight", "bias"),
    ]


@only_tensorflow("a step by a GradientTape")
@pytest.mark.covers("Keras: custom train_step", "Keras: models with no loss")
def test_a_model_without_a_loss_function_of_its_own_logs_what_its_train_step_does(tmp_path: Path) -> None:
    class Custom(keras.Model):
        """Trains by hand."""

        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3, name="dense")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y) ** 2)
            variables = [v if isinstance(v, tf.Variable) else v.value for v in self.trainable_variables]
            gradients = tape.gradient(loss, variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
            return {"mine": loss}

    model = Custom()
    model.compile("sgd")
    keep = Keep(precision="float32", gradients=100)
    callback = LayerViewCallback(tmp_path, schedule=1, keep=keep)
    model.fit(PLAIN_X, PLAIN_Y, shuffle=False, verbose=0, callbacks=[callback])
    run = _run(tmp_path)
    assert {t.kind for t in run.tensors} == {"activation", "weight", "gradient", "update"}
    kernel, bias, gradient = (
        run.values(run.tensor("dense", kind=kind, name=name), 1).array.astype(float)
        for kind, name in (("weight", "kernel"), ("weight", "bias"), ("gradient", "kernel"))
    )
    x, y = PLAIN_X[:32], PLAIN_Y[:32]
    np.testing.assert_allclose(gradient, x.T @ (x @ kernel + bias - y) * 2 / y.size, rtol=0.02, atol=1e-3)


def test_what_cannot_be_logged_is_said_by_name(tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    x = layers.Dense(3, name="scores")(inputs)
    layers.Dense(2, name="idle")
    model = keras.Model(
        inputs, [x, layers.Lambda(lambda t: ops.cast(t, "complex64"), name="complex", output_shape=(3,))(x)]
    )
    model.compile("sgd", ["mse", None] if KERAS_3 else {"scores": "mse"})
    model.fit(
        PLAIN_X, PLAIN_Y if not KERAS_3 else [PLAIN_Y, PLAIN_Y], verbose=0, callbacks=[LayerViewCallback(tmp_path)]
    )
    assert "complex: activation output has dtype complex64 and is left out" in _run(tmp_path).model.notes


# Bad input, before step 0.


def _refused(model: Any, callback: Callable[[], Any], message: str) -> None:
    before = [array(w).copy() for w in model.weights]
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(PLAIN_X, PLAIN_Y, verbose=0, callbacks=[callback()])
    assert all(np.array_equal(a, array(b)) for a, b in zip(before, model.weights)), "a step was trained"


def test_a_pattern_that_matches_no_layer_is_refused(tmp_path: Path) -> None:
    message = r"include pattern 'dnese\*' matches none of the \d layers: .*hidden, scores"
    _refused(_plain(), lambda: LayerViewCallback(tmp_path, select=Select(include=("dnese*",))), message)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _refused(_plain(), lambda: LayerViewCallback(tmp_path / "file"), "cannot log to .*Give a folder")


@pytest.mark.parametrize("probe", [np.ones((4, 7), np.float32), (np.ones((4, 6, 2), np.float32), PLAIN_Y[:4])])
def test_a_probe_of_the_wrong_shape_is_refused(tmp_path: Path, probe: Any) -> None:
    message = (
        r"the model cannot be run on the given probe, whose inputs are \(4, .*Give a probe as the training takes its"
    )
    _refused(_plain(), lambda: LayerViewCallback(tmp_path, probe), message)


@pytest.mark.parametrize("probe", [(1, 2, 3, 4), np.ones((0, 6), np.float32), 3.0, "probe"])
def test_what_is_no_probe_is_refused(tmp_path: Path, probe: Any) -> None:
    _refused(
        _plain(), lambda: LayerViewCallback(tmp_path, probe), "the probe is no batch|cannot be run on the given probe"
    )


def test_a_negative_interval_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1, not -3"):
        LayerViewCallback(tmp_path, schedule=-3)


def test_options_of_another_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"select must be a Select\(...\), not \['conv'\]"):
        LayerViewCallback(tmp_path, select=["conv"])  # type: ignore[arg-type]


# What it says at its end.


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_the_last_lines_are_printed_unless_fit_is_to_be_silent(
    verbose: int, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    caplog.set_level("INFO", "tb_layerview")
    _plain().fit(PLAIN_X, PLAIN_Y, verbose=verbose, callbacks=[LayerViewCallback(tmp_path)])
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tb_layerview")]
    logged = [line for record in caplog.records for line in record.getMessage().splitlines()]
    said, other = (logged, printed) if verbose == 0 else (printed, logged)
    assert [line for line in said if "3 steps logged" in line]
    assert [line for line in said if "look at them with" in line]
    assert not [line for line in other if "steps logged" in line or "look at them" in line]


def test_a_training_without_a_batch_is_not_to_be_looked_at(tmp_path: Path, capsys: Any) -> None:
    callback = LayerViewCallback(tmp_path)
    callback.set_model(_plain())
    callback.on_train_begin()
    callback.on_train_end()
    printed = capsys.readouterr().out
    assert "0 steps logged" in printed and "look at them" not in printed
    assert [note for note in _run(tmp_path).model.notes if note.startswith("0 steps logged: ")]


@pytest.mark.skipif(KERAS_3, reason="Keras 3 does not time its callbacks")
def test_a_logged_step_far_slower_than_a_training_step_makes_keras_call_no_callback_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]  # Keras' clock, which stands still but where this test has time pass
    of_keras = sys.modules[keras.callbacks.CallbackList.__module__]
    monkeypatch.setattr(of_keras, "time", types.SimpleNamespace(time=lambda: now[0]))
    take = Recording.take

    def slowly(*args: Any, **options: Any) -> None:
        now[0] += 1.0
        take(*args, **options)

    class Slow(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            now[0] += 1.0

    def said(callback: Any) -> list[str]:
        caplog.clear()
        _plain().fit(PLAIN_X, PLAIN_Y, batch_size=8, verbose=0, callbacks=[callback])
        return [message for message in caplog.messages if "is slow compared to the batch time" in message]

    monkeypatch.setattr(Recording, "take", slowly)
    assert len(said(Slow())) == 1
    assert said(LayerViewCallback(tmp_path, schedule=1)) == []
    assert now[0] > 16, "both have taken their time"
    assert _run(tmp_path).steps.tolist() == list(range(9))
