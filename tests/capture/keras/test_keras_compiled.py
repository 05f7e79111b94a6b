"""What `compile` holds is as before: losses, metrics and their names are built by the training alone, if it does."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tb_layerview import LayerReader, LayerRecorder, LayerViewCallback  # noqa: E402

BATCH = 8
rng = np.random.default_rng(3)
X = rng.normal(size=(16, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)
COMPILED = ("compiled_loss", "compiled_metrics", "_compile_loss", "_compile_metrics", "_loss_tracker")


@pytest.fixture(
    params=["tf.keras", pytest.param("tf_keras", marks=pytest.mark.covers("Keras: tf_keras beside Keras 3"))]
)
def keras(request: pytest.FixtureRequest) -> Any:
    """Keras as TensorFlow has it, and tf_keras beside it where that is installed."""
    if request.param == "tf.keras":
        return tf.keras
    if importlib.util.find_spec("tf_keras") is None or tf.keras.__version__.startswith("2."):
        pytest.skip("tf_keras is not installed beside Keras 3")
    return importlib.import_module("tf_keras")


def weights_of(model: Any) -> list[Any]:
    return [v if isinstance(v, tf.Variable) else v.value for v in model.trainable_variables]


def own_train_step(model: Any, data: Any, loss_of: Callable[[Any, Any], Any]) -> dict[str, Any]:
    x, y = data
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    model.optimizer.apply_gradients(zip(tape.gradient(loss, weights_of(model)), model.trainable_variables))
    return {"loss": loss}


def squares(y: Any, predictions: Any) -> Any:
    pairs = zip(tf.nest.flatten(y), tf.nest.flatten(predictions))
    return tf.add_n([tf.reduce_mean(tf.square(target - made)) for target, made in pairs])


def with_methods(keras: Any, kind: str) -> Any:
    """A class of model with methods of its own."""

    class Own(keras.Model):  # type: ignore[misc,name-defined]
        if "train_step" in kind:

            def train_step(self, data: Any) -> Any:
                return own_train_step(self, data, squares)

        if "test_step" in kind:

            def test_step(self, data: Any) -> Any:
                return {"loss": squares(data[1], self(data[0], training=False))}

        if "compute_loss" in kind:

            def compute_loss(
                self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: Any = True
            ) -> Any:
                return squares(y, y_pred)

        if "compute_metrics" in kind:

            def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
                found = super().compute_metrics(x, y, y_pred, sample_weight)
                return {**found, "error of its own": squares(y, y_pred)}

    return Own


def make_model(keras: Any, kind: str, outputs: int) -> Any:
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, activation="tanh")(inputs)
    made = [keras.layers.Dense(1, name=f"out{i}")(hidden) for i in range(outputs)]
    model = with_methods(keras, kind)(inputs, made[0] if outputs == 1 else made)
    metrics: Any = ["mae"] if outputs == 1 else [["mae"], [keras.metrics.MeanSquaredError(name="error")]]
    # Keras 3 cannot end an epoch whose train_step leaves the metrics of `compile` out.
    options = {} if kind != "none" and "train_step" in kind else {"metrics": metrics}
    model.compile(keras.optimizers.SGD(0.01), ["mse"] * outputs if outputs > 1 else "mse", **options)
    return model


def held(one: Any, seen: dict[int, int] | None = None) -> Any:
    """All that is held by what a model was compiled with, to be compared: values, and which objects are the same."""
    seen = {} if seen is None else seen
    if isinstance(one, (bool, int, float, str, type(None))):
        return one
    if id(one) in seen:
        return f"object {seen[id(one)]}"
    seen[id(one)] = len(seen)
    if isinstance(one, Mapping):
        return [(key if isinstance(key, str) else type(key).__name__, held(value, seen)) for key, value in one.items()]
    if isinstance(one, (list, tuple)):
        return [held(inner, seen) for inner in one]
    if hasattr(one, "dtype") and hasattr(one, "shape"):
        return type(one).__name__, str(one.dtype), str(one.shape)
    of_keras = type(one).__module__.partition(".")[0] in ("keras", "tf_keras")
    return type(one).__name__, held(vars(one), seen) if of_keras else ""


def compiled(model: Any) -> dict[str, Any]:
    found = {name: held(getattr(model, name, None)) for name in COMPILED}
    return {**found, "metrics": [m.name for m in model.metrics], "names": list(model.metrics_names)}


# What the model has of its own, and how many outputs it has.
MODELS = pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("none", 1),
        ("none", 2),
        ("train_step", 1),
        ("train_step, test_step", 2),
        ("compute_loss", 2),
        ("compute_metrics", 1),
    ],
)


@MODELS
@pytest.mark.core("tf.keras-*")
def test_the_recorder_leaves_what_was_compiled_as_it_was(keras: Any, kind: str, outputs: int, tmp_path: Path) -> None:
    model = make_model(keras, kind, outputs)
    before = compiled(model)
    with LayerRecorder(model, tmp_path, (X, [Y] * outputs if outputs > 1 else Y)) as recorder:
        assert compiled(model) == before
        recorder.record(0)
        assert compiled(model) == before
    run = LayerReader(tmp_path).run()
    assert any(tensor.kind == "gradient" for tensor in run.tensors)


@MODELS
@pytest.mark.core("tf.keras-*")
def test_history_and_metrics_are_those_of_a_training_that_is_not_logged(
    keras: Any, kind: str, outputs: int, tmp_path: Path
) -> None:
    found, weights = [], []
    for is_logged in (False, True):
        keras.utils.set_random_seed(4)
        model = make_model(keras, kind, outputs)
        y = [Y] * outputs if outputs > 1 else Y
        during: list[Any] = []

        class Look(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
            def on_epoch_end(self, epoch: int, logs: Any = None, during: Any = during) -> None:
                during.append((compiled(self.model), dict(logs)))

        # Behind ours, that it sees what ours has left.
        callbacks = [*([LayerViewCallback(tmp_path, schedule=1)] if is_logged else []), Look()]
        fit = model.fit(
            X, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, validation_data=(X, y), callbacks=callbacks
        )
        evaluated = model.evaluate(X, y, batch_size=BATCH, verbose=0, return_dict=True)
        found.append((fit.history, during, compiled(model), evaluated))
        weights.append(model.get_weights())
    assert found[0] == found[1]
    assert all(np.array_equal(one, other) for one, other in zip(*weights))
    assert list(LayerReader(tmp_path).run().steps) == list(range(5))
