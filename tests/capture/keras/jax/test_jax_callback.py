"""`LayerViewCallback` and `LayerRecorder` with Keras on JAX: true values, and a training that does not notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers
from models_jax import CASES, Case, assert_equal, make, variables, weights

from tb_layerview import Check, Keep, LayerReader, LayerRecorder, LayerViewCallback, Schedule
from tb_layerview.capture.keras.jax.engine import JaxEngine
from tb_layerview.health.of_run import diagnose_run
from tb_layerview.reading.run import Run

EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
FIT: dict[str, Any] = {"batch_size": 8, "epochs": 2, "verbose": 0}


def generator(case: Case) -> Iterator[Any]:
    """Writes every batch into the same memory, once JAX, which reads it where it lies, needs it no more."""
    x, y = np.empty_like(case.x[:8]), np.empty_like(case.y[:8])
    while True:
        for begin in range(0, len(case.y), 8):
            jax.block_until_ready(jax.live_arrays())
            x[:], y[:] = case.x[begin : begin + 8], case.y[begin : begin + 8]
            yield x, y


@pytest.mark.core("cnn", "accumulation", "own", "generator")
@pytest.mark.parametrize("name", [*CASES, "generator"])
def test_a_training_with_the_callback_is_the_same_to_the_last_bit(name: str, tmp_path: Path) -> None:
    results = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1, check=Check(replay=True))]):
        case = make("cnn" if name == "generator" else name)
        if name == "generator":
            given = {"x": generator(case), "steps_per_epoch": 5, "epochs": 2, "verbose": 0}
        else:
            given = {"x": case.x, "y": case.y, "validation_data": (case.x, case.y), **FIT}
        history = case.model.fit(**given, callbacks=callbacks)
        results.append((history.history, variables(case.model)))
    (history, before), (history_2, after) = results
    assert history_2 == history
    assert_equal(after, before)
    run = LayerReader(tmp_path).run()
    steps = {"several_steps": [0, 4, 8], "accumulation": list(range(6))}.get(name, list(range(11)))
    assert list(run.steps) == steps or name == "several_steps"
    assert {"activation", "gradient", "weight"} <= {tensor.kind for tensor in run.tensors}


def logged(folder: Path, **options: Any) -> tuple[Any, dict[int, list[np.ndarray]], Run]:
    """A model that was trained with the callback, its weights at each step, and what was logged."""
    case = make("cnn")
    model, seen = case.model, {}

    class Remember(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            seen[len(seen)] = [np.array(v.value) for v in self.model.trainable_variables]

    options = {"schedule": 1, "keep": EXACT, **options}
    callbacks = [LayerViewCallback(folder, **options), Remember()]
    history = model.fit(case.x, case.y, **FIT, callbacks=callbacks)
    seen[len(seen)] = [np.array(v.value) for v in model.trainable_variables]
    return history, seen, LayerReader(folder).run()


def test_weights_and_updates_are_those_of_each_step(tmp_path: Path) -> None:
    _, seen, run = logged(tmp_path)
    assert list(run.steps) == list(range(11))
    for layer, place in (("conv", 0), ("classes", 8)):
        weight = run.tensor(layer, kind="weight", name="kernel")
        update = run.tensor(layer, kind="update", name="kernel")
        for step in range(11):
            np.testing.assert_array_equal(run.values(weight, step).array, seen[step][place])
        for step in range(1, 11):
            change = seen[step][place].astype(float) - seen[step - 1][place]
            assert run.digest(update, step).rms == pytest.approx(np.sqrt((change**2).mean()), rel=1e-4)


def test_metrics_and_the_learning_rate_are_logged(tmp_path: Path) -> None:
    history, _, run = logged(tmp_path)
    scalars = run.scalars_by_step
    assert scalars[5]["loss"] == pytest.approx(history.history["loss"][0])
    assert scalars[10]["accuracy"] == pytest.approx(history.history["accuracy"][1])
    assert scalars[3]["loss"] > 0
    assert all(scalars[step]["learning_rate"] == pytest.approx(1e-3) for step in range(11))


def test_layers_have_their_neighbours_axes_and_functions(tmp_path: Path) -> None:
    _, _, run = logged(tmp_path)
    by_path = {layer.path: layer for layer in run.model.layers}
    order = [layer.path for layer in run.model.layers]
    assert [order[i] for i in by_path["dense"].inputs] == ["flatten"]
    assert [order[i] for i in by_path["norm"].inputs] == ["conv"]
    assert run.tensor("conv", kind="activation").axes == ("example", "row", "column", "channel")
    functions = {t.layer: t.function for t in run.tensors if t.kind == "activation"}
    assert {"relu": "relu", "conv_2": "relu", "dense": "tanh", "classes": "softmax"}.items() <= functions.items()


def test_what_differs_in_inference_mode_is_logged(tmp_path: Path) -> None:
    _, _, run = logged(tmp_path)
    last = run.statistics("shift")[:, -1]
    shifted = {run.tensors[i].layer for i in np.flatnonzero(~np.isnan(last))}
    assert {"norm", "dropout"} <= shifted
    assert "conv" not in shifted


def test_evaluation_and_prediction_are_logged(tmp_path: Path) -> None:
    case = make("cnn")
    callback = LayerViewCallback(tmp_path, keep=EXACT)
    before = weights(case.model)
    expected = make("cnn").model.evaluate(case.x, case.y, batch_size=8, verbose=0, return_dict=True)
    found = case.model.evaluate(case.x, case.y, batch_size=8, verbose=0, return_dict=True, callbacks=[callback])
    assert found == expected
    predicted = case.model.predict(case.x, batch_size=8, verbose=0, callbacks=[callback])
    assert_equal(weights(case.model), before)
    for mode in ("evaluate", "predict"):
        run = LayerReader(tmp_path).run(mode)
        (step,) = run.steps
        output = run.tensor("classes", kind="activation")
        np.testing.assert_allclose(run.values(output, step).array, predicted[:8], rtol=1e-5, atol=1e-6)
    assert LayerReader(tmp_path).run("evaluate").scalars_by_step[0]["loss"] == pytest.approx(expected["loss"])


def test_a_recorder_in_a_loop_of_ones_own(tmp_path: Path) -> None:
    results = []
    for is_logged in (False, True):
        case = make("own")
        model, losses = case.model, []
        recorder = (
            LayerRecorder(model, tmp_path, (case.x[:8], case.y[:8]), schedule=1, keep=EXACT) if is_logged else None
        )
        if recorder is not None:
            recorder.record(0)
        for step in range(1, 6):
            batch = case.x[8 * step - 8 : 8 * step], case.y[8 * step - 8 : 8 * step]
            losses.append(float(model.train_on_batch(*batch)[0]))
            if recorder is not None:
                recorder.record(step, {"loss": losses[-1]}, batch=batch)
        if recorder is not None:
            recorder.close()
        results.append((losses, variables(model)))
    (expected, before), (found, after) = results
    assert found == expected
    assert_equal(after, before)
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(6))
    kernel = run.tensor("hidden", kind="weight", name="kernel")
    np.testing.assert_array_equal(run.values(kernel, 5).array, np.array(model.hidden.kernel.value))


def test_train_on_batch_with_the_callback(tmp_path: Path) -> None:
    case = make("own")
    callbacks = keras.callbacks.CallbackList([LayerViewCallback(tmp_path, schedule=1, keep=EXACT)], model=case.model)
    callbacks.on_train_begin()
    kernels = [np.array(case.model.hidden.kernel.value)]
    for step in range(3):
        callbacks.on_train_batch_begin(step)
        case.model.train_on_batch(case.x[:8], case.y[:8])
        kernels.append(np.array(case.model.hidden.kernel.value))
    callbacks.on_train_end()
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == [0, 1, 2, 3]
    tensor = run.tensor("hidden", kind="weight", name="kernel")
    for step, kernel in enumerate(kernels):
        np.testing.assert_array_equal(run.values(tensor, step).array, kernel)


def test_the_layer_of_a_bad_batch_is_named(tmp_path: Path) -> None:
    results = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=Schedule(every=4), check=Check(replay=True))]):
        keras.utils.set_random_seed(4)
        inputs = keras.Input((6,), name="features")
        born = layers.Lambda(lambda t: keras.ops.log(keras.ops.sum(t, -1, keepdims=True)), name="birth")(inputs)
        hidden = layers.Dropout(0.3, name="dropout")(layers.Dense(5, activation="tanh", name="hidden")(inputs))
        joined = layers.Concatenate(name="joined")([hidden, born])
        model = keras.Model(inputs, layers.Dense(3, name="scores")(joined))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        rng = np.random.default_rng(3)
        x = rng.uniform(0.1, 1, size=(128, 6)).astype("float32")
        x[8 * 9 + 3] = -1  # of which there is no logarithm
        y = rng.normal(size=(128, 3)).astype("float32")
        history = model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=callbacks)
        results.append((repr(history.history), variables(model)))
    assert results[1][0] == results[0][0]
    assert_equal(results[1][1], results[0][1])
    reader = LayerReader(tmp_path)
    replay = reader.run("replay")
    finding, *_ = diagnose_run(reader.run(), replay)
    assert finding.tensor is not None
    assert (finding.rule, finding.tensor.layer) == ("non_finite", "birth")
    assert list(replay.steps) == [10]
    assert replay.digest(replay.tensor("birth", kind="activation"), 10).nan == 1
    assert replay.digest(replay.tensor("hidden", kind="activation"), 10).nan == 0


def trained() -> Any:
    case = make("own")
    case.model.fit(case.x, case.y, **FIT)
    return case


def test_a_probe_that_is_refused_leaves_a_trained_model_its_weights(tmp_path: Path) -> None:
    case = trained()
    before = weights(case.model)
    callback = LayerViewCallback(tmp_path, probe=(np.ones((2, 99), "float32"), np.ones(2)))
    with pytest.raises(ValueError, match="cannot be run on the given probe"):
        case.model.fit(case.x, case.y, **FIT, callbacks=[callback])
    assert_equal(weights(case.model), before)


@pytest.mark.parametrize("how", ["fit", "evaluate", "predict"])
class Failing(keras.utils.PyDataset):
    """Batches, until it is told to fail: Keras builds the model on the first one before anything is trained."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case, self.fails = case, False

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        if self.fails:
            raise RuntimeError("no more")
        return self.case.x[:8], self.case.y[:8]


class Fail(keras.callbacks.Callback):
    def __init__(self, data: Failing) -> None:
        super().__init__()
        self.data = data

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.data.fails = True

    on_test_batch_begin = on_predict_batch_begin = on_train_batch_begin


@pytest.mark.parametrize("how", ["fit", "evaluate", "predict"])
def test_data_that_raise_at_once_leave_a_trained_model_its_weights(how: str, tmp_path: Path) -> None:
    case = trained()
    before, data = weights(case.model), Failing(case)
    call: Callable[..., Any] = getattr(case.model, how)
    with pytest.raises(RuntimeError, match="no more"):
        call(data, verbose=0, callbacks=[LayerViewCallback(tmp_path), Fail(data)])
    assert_equal(weights(case.model), before)


def test_in_keras_itself_they_leave_it_without() -> None:
    """If this ends, what puts them back is not needed any more."""
    case = trained()
    data = Failing(case)
    with pytest.raises(RuntimeError, match="no more"):
        case.model.evaluate(data, verbose=0, callbacks=[Fail(data)])
    with pytest.raises(TypeError, match="not callable"):
        weights(case.model)


def test_keras_dispatch_stays_asynchronous_and_unsynchronized() -> None:
    callback = LayerViewCallback("unused")
    own = keras.callbacks.Callback
    assert type(callback).on_train_batch_end is own.on_train_batch_end
    assert type(callback).on_batch_end is own.on_batch_end
    assert type(callback).model is not own.model


def test_what_the_device_still_computes_is_not_counted_as_logging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A step of few weights that takes far longer than to copy them. JAX returns before it is computed.
    keras.utils.set_random_seed(3)
    inputs = keras.Input((512,))
    x = inputs
    for _ in range(60):
        x = keras.ops.matmul(x, keras.ops.eye(512))
    model = keras.Model(inputs, layers.Dense(1, name="scores")(x))
    model.compile("sgd", "mse")
    ready: list[bool] = []
    read = JaxEngine.read

    def watched(engine: JaxEngine, variables: Sequence[Any]) -> list[np.ndarray]:
        ready.extend(engine.live.array(variable).is_ready() for variable in variables)
        return read(engine, variables)

    monkeypatch.setattr(JaxEngine, "read", watched)
    rows = np.random.default_rng(3).normal(size=(20 * 256, 512)).astype(np.float32)
    callback = LayerViewCallback(tmp_path, probe=(rows[:8], rows[:8, :1]), schedule=5, check=Check(replay=True))
    model.fit(rows, rows[:, :1], batch_size=256, verbose=0, callbacks=[callback])
    assert list(LayerReader(tmp_path).run().steps) == [0, 5, 10, 15, 20]
    assert len(ready) > 20 * 2 and all(ready)
