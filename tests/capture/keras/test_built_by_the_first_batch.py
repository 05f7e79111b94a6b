"""A model that its first batch builds: the state before the first step is logged, and the training alone makes it."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from two_layers import logged  # noqa: E402

from tb_layerview import Check, Keep, LayerReader, LayerViewCallback  # noqa: E402

keras = tf.keras
layers = keras.layers
KERAS_3 = keras.version() >= "3" if hasattr(keras, "version") else False
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)

rng = np.random.default_rng(8)
X = rng.normal(size=(32, 6)).astype(np.float32)
Y = rng.normal(size=(32, 3)).astype(np.float32)


class Subclassed(keras.Model):  # type: ignore[misc,name-defined]
    """Builds its layers in another order than they were made in, one of them in training alone, and drops units."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.hidden = layers.Dense(3, name="scores"), layers.Dense(5, name="hidden")
        self.dropout, self.noise = layers.Dropout(0.3), layers.Dense(5, name="noise")

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.hidden(inputs)
        if training:
            x += 0.1 * self.noise(x)
        return self.scores(self.dropout(x, training=training))


def sequential() -> Any:
    return keras.Sequential(
        [layers.Dense(5, activation="tanh", name="hidden"), layers.Dropout(0.3), layers.Dense(3, name="scores")]
    )


def fit(model: Any, callbacks: list[Any]) -> Any:
    return model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history


def fit_data_set(model: Any, callbacks: list[Any]) -> Any:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(32).batch(8)
    return model.fit(data, epochs=2, verbose=0, callbacks=callbacks).history


def train_on_batches(model: Any, callbacks: list[Any]) -> Any:
    told, losses = keras.callbacks.CallbackList(callbacks or [keras.callbacks.Callback()], model=model), []
    told.on_train_begin()
    for step in range(8):
        told.on_train_batch_begin(step)
        rows = slice(step % 4 * 8, step % 4 * 8 + 8)
        losses.append(np.ravel(model.train_on_batch(X[rows], Y[rows])).tolist())
    told.on_train_end()
    return losses


def trained(
    make: Callable[[], Any], train: Callable[..., Any], seed: bool, options: dict[str, Any], callbacks: list[Any]
) -> tuple[Any, Any]:
    """What a training leaves, random states included; and its model."""
    if seed:
        keras.utils.set_random_seed(3)
    else:  # the same in both trainings, but TensorFlow's own random numbers are nobody's
        random.seed(3)
        np.random.seed(3)
        getattr(keras.backend, "clear_session", lambda: None)()
    model, traces = make(), []
    original = model.train_step

    def counted(data: Any) -> Any:
        traces.append(1)
        return original(data)

    model.train_step = counted
    rate = options.pop("rate", 0.1)
    model.compile(keras.optimizers.SGD(rate), "mse", **options)
    history = train(model, callbacks)
    state = [history, [w.tolist() for w in model.get_weights()], random.random(), np.random.random(), len(traces)]
    return state + ([float(tf.random.uniform([]))] if seed else []), model


@functools.cache
def initial(make: Callable[[], Any]) -> Any:
    """The model as a training leaves it that changes nothing."""
    return trained(make, fit, True, {"rate": 0.0}, [])[1]


TRAININGS: dict[str, tuple[Callable[..., Any], dict[str, Any], Check]] = {
    "fit": (fit, {}, Check()),
    "a data set": (fit_data_set, {}, Check()),
    "no replay": (fit, {}, Check(replay=False)),
    "jit_compile": (fit, {"jit_compile": True}, Check()),
    "several steps per execution": (fit, {"steps_per_execution": 2}, Check()),
    "train_on_batch": (train_on_batches, {}, Check()),
}


@pytest.mark.parametrize("make", [Subclassed, sequential])
@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.core(
    "fit-*", "jit_compile-sequential", "several steps per execution-sequential", "train_on_batch-Subclassed"
)
def test_the_state_before_the_first_step_is_logged_and_is_the_trainings_own(
    name: str, make: Callable[[], Any], tmp_path: Path
) -> None:
    train, options, check = TRAININGS[name]
    if not KERAS_3 and "jit_compile" in options:
        pytest.skip("Keras 2 draws other random numbers under XLA in each training")
    ours = LayerViewCallback(tmp_path, schedule=1, keep=EXACT, check=check)
    bare, _ = trained(make, train, True, dict(options), [])
    state, model = trained(make, train, True, dict(options), [ours])
    assert bare == state
    untrained = initial(make)
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(0, 9, options.get("steps_per_execution", 1)))
    for layer in ("hidden", "scores"):
        for step, source in ((0, untrained), (8, model)):
            kernel = logged(run, (layer, "weight", "kernel"), step)
            np.testing.assert_array_equal(kernel, source.get_layer(layer).get_weights()[0])


def sequential_that_draws_nothing() -> Any:
    return keras.Sequential([layers.Dense(5, activation="tanh", name="hidden"), layers.Dense(3, name="scores")])


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 draws the weights of an unseeded training from TensorFlow's numbers")
def test_without_a_seed_the_weights_are_those_of_pythons_random_numbers(tmp_path: Path) -> None:
    bare, _ = trained(sequential_that_draws_nothing, fit, False, {}, [])
    ours = LayerViewCallback(tmp_path, schedule=1)
    state, _ = trained(sequential_that_draws_nothing, fit, False, {}, [ours])
    assert bare == state and LayerReader(tmp_path).run().steps[0] == 0


def test_where_nothing_can_be_traced_the_log_begins_after_the_first_step_and_says_so(tmp_path: Path) -> None:
    bare, _ = trained(Subclassed, fit, True, {"run_eagerly": True}, [])
    state, model = trained(
        Subclassed, fit, True, {"run_eagerly": True}, [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]
    )
    assert bare == state
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(1, 9))
    assert "the first step built the model: the state before it is not logged" in run.model.notes
    np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), 8), model.hidden.get_weights()[0])


def test_an_error_of_the_models_own_is_raised_as_it_is_without_the_callback(tmp_path: Path) -> None:
    class Wrong(keras.Model):  # type: ignore[misc,name-defined]
        def call(self, inputs: Any) -> Any:
            raise KeyError("of the model's own")

    messages = []
    for callbacks in ([], [LayerViewCallback(tmp_path)]):
        model = Wrong()
        model.compile("sgd", "mse")
        with pytest.raises(Exception, match="of the model's own") as caught:
            fit(model, callbacks)
        messages.append(type(caught.value))
    assert messages[0] is messages[1]
