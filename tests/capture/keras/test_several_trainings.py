"""What one callback, or one model, is used for after the other: trainings, and what runs within them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tb_layerview import LayerReader, LayerViewCallback, Select

keras = tf.keras
layers, Callback = keras.layers, keras.callbacks.Callback

_RANDOM = np.random.RandomState(0)
X = _RANDOM.randn(48, 4).astype("float32")
Y = X.sum(1, keepdims=True)
STEPS = 3  # of an epoch


class Noise(layers.Layer):  # type: ignore[misc,name-defined]
    """Draws by TensorFlow itself, whose kernels count what they have drawn, with either Keras."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """With noise while it is trained."""
        return inputs + tf.random.normal(tf.shape(inputs)) if training else inputs


def model_with(layer: Any = None) -> Any:
    """A small model, with a layer in between if there is one."""
    between = [] if layer is None else [layer]
    model = keras.Sequential([keras.Input((4,)), layers.Dense(6, name="first"), *between, layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def fit(model: Any, callbacks: list[Any], epochs: int = 2) -> Any:
    """The losses of a training."""
    return model.fit(X, Y, batch_size=16, epochs=epochs, verbose=0, callbacks=callbacks).history["loss"]


def outcome(train: Callable[[Any, list[Any], list[Any]], Any], make: Callable[[], Any], callbacks: list[Any]) -> Any:
    """What `train` gives, and the weights after it; it is given the model and, twice, the callbacks or none."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    model = make()
    found = train(model, callbacks, callbacks)
    return found, [weight.tobytes() for weight in model.get_weights()], np.random.random()


def steps_of(folder: Path) -> list[int]:
    """The steps that a run holds."""
    return [int(step) for step in LayerReader(folder).run(".").steps]


ORDERS: dict[str, Callable[[Any, list[Any], list[Any]], Any]] = {
    "with, without": lambda model, one, _: [fit(model, one), fit(model, [])],
    "without, with": lambda model, one, _: [fit(model, []), fit(model, one)],
    "with, without, with": lambda model, one, _: [fit(model, one), fit(model, []), fit(model, one)],
    "with, batches, with": lambda model, one, _: [
        fit(model, one),
        *(float(np.ravel(model.train_on_batch(X[:16], Y[:16]))[0]) for _ in range(2)),
        fit(model, one),
    ],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layer", [lambda: layers.Dropout(0.4), Noise], ids=["dropout", "tf.random"])
@pytest.mark.core("dropout-with, without, with", "tf.random-with, batches, with", "tf.random-without, with")
def test_random_numbers_go_on_from_one_fit_to_the_next_whichever_is_logged(
    layer: Callable[[], Any], order: str, tmp_path: Path
) -> None:
    def make() -> Any:
        return model_with(layer())

    bare = outcome(ORDERS[order], make, [])
    assert outcome(ORDERS[order], make, [LayerViewCallback(tmp_path)]) == bare


def test_random_numbers_go_on_where_a_training_was_interrupted_and_its_callback_is_gone(tmp_path: Path) -> None:
    class Interrupt(Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                raise KeyboardInterrupt

    def train(logged: bool) -> Any:
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        model = model_with(layers.Dropout(0.4))
        with pytest.raises(KeyboardInterrupt):
            fit(model, [*([LayerViewCallback(tmp_path)] if logged else []), Interrupt()])
        return fit(model, [])

    assert train(True) == train(False)


def test_why_a_batch_cannot_be_run_again_is_said_where_the_random_numbers_have_begun(tmp_path: Path) -> None:
    model = model_with(Noise())
    fit(model, [])
    fit(model, [LayerViewCallback(tmp_path)])
    assert any("random numbers" in note and "Compile the model again" in note for note in _notes(tmp_path))


def _notes(folder: Path) -> tuple[str, ...]:
    return LayerReader(folder).run(".").model.notes


@pytest.mark.parametrize("kind", ["predict", "evaluate"])
def test_a_training_within_which_its_callback_is_given_to_something_else_is_logged_to_its_end(
    kind: str, tmp_path: Path
) -> None:
    class Within(Callback):  # type: ignore[misc,name-defined]
        def __init__(self, callbacks: list[Any]) -> None:
            super().__init__()
            self._callbacks = callbacks

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            data = (X,) if kind == "predict" else (X, Y)
            getattr(self.model, kind)(*data, batch_size=16, verbose=0, callbacks=self._callbacks)

    def train(model: Any, one: list[Any], _: list[Any]) -> Any:
        return fit(model, [*one, Within(one)], epochs=3)

    def make() -> Any:
        return model_with(layers.Dropout(0.4))

    assert outcome(train, make, [LayerViewCallback(tmp_path)]) == outcome(train, make, [])
    assert steps_of(tmp_path) == list(range(3 * STEPS + 1))
    assert steps_of(tmp_path / kind)[-1] == 3 * STEPS


@pytest.mark.parametrize("mode", ["fit", "evaluate"])
def test_what_was_refused_is_said_once_and_left_in_the_log(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, callback = model_with(), LayerViewCallback(tmp_path, select=Select(include=("nothing",)))
    for _ in range(2):
        if mode == "fit":
            with pytest.raises(ValueError, match="'nothing' matches none of the"):
                fit(model, [callback])
        else:
            model.evaluate(X, Y, verbose=0, callbacks=[callback])
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warned) == (0 if mode == "fit" else 2)
    for line in warned:
        assert line.startswith("tb_layerview: the first batch: include pattern 'nothing' matches none of the")
        assert line.endswith(". The evaluation goes on.")
    folder = tmp_path if mode == "fit" else tmp_path / "evaluate"
    assert any("0 steps logged" in note and "'nothing' matches none" in note for note in _notes(folder))


@pytest.mark.parametrize(
    "probe", [(None, Y[:4]), ({}, Y[:4]), (X[:0], Y[:0]), object()], ids=["no x", "empty x", "no examples", "object"]
)
def test_what_is_no_probe_is_refused_in_a_sentence(probe: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the probe is no batch: .*Give x, \(x, y\)"):
        fit(model_with(), [LayerViewCallback(tmp_path, probe=probe)])


def test_a_class_of_a_users_own_is_not_held_once_its_models_are_gone(tmp_path: Path) -> None:
    def train(callbacks: list[Any]) -> weakref.ref[type]:
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)

        class Own(keras.Model):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.dense = layers.Dense(1)

            def call(self, inputs: Any, training: Any = None) -> Any:
                return self.dense(inputs)

            def train_step(self, given: Any) -> Any:
                assert data is not None  # what surrounds it is held by it
                return super().train_step(given)

        model = Own()
        model.compile("sgd", "mse")
        model.fit(data, verbose=0, callbacks=callbacks)
        return weakref.ref(Own)

    bare, logged = train([]), train([LayerViewCallback(tmp_path)])
    keras.backend.clear_session()
    gc.collect()
    assert logged() is None or bare() is not None  # whatever else may hold it
