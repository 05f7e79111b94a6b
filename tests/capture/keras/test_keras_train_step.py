"""Gradients of a `train_step` of one's own: what is logged is what it applies, as the change of the weights tells."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from two_layers import logged  # noqa: E402

from tb_layerview import Keep, LayerReader, LayerRecorder, LayerViewCallback  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
STEPS, RATE = 3, 1 / 64
rng = np.random.default_rng(5)
X = rng.normal(size=(8, 6)).astype(np.float32)
Y = rng.normal(size=(8, 3)).astype(np.float32)


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


# Of what tf_keras has from Keras 2, which the other stack trains with, once is enough.
ONE_KERAS = pytest.mark.parametrize("keras", [tf.keras], ids=["tf.keras"])


def variables_of(one: Any) -> list[Any]:
    return [v if isinstance(v, tf.Variable) else v.value for v in one.trainable_variables]


def squares(y: Any, predictions: Any) -> Any:
    return tf.reduce_mean(tf.square(predictions - y))


def applied(optimizer: Any, tape: Any, loss: Any, owner: Any) -> None:
    optimizer.apply_gradients(zip(tape.gradient(loss, variables_of(owner)), owner.trainable_variables))


def penalty(self: Any, data: Any) -> Any:
    x, y = data
    with tf.GradientTape() as tape:
        with tf.GradientTape() as inner:
            inner.watch(x)
            predictions = self(x, training=True)
        slope = inner.gradient(predictions, x)
        loss = squares(y, predictions) + 30.0 * tf.reduce_mean(tf.square(tf.norm(slope, axis=1) - 1.0))
    applied(self.optimizer, tape, loss, self)
    return {"loss": loss}


def two_losses(self: Any, data: Any) -> Any:
    x, y = data
    with tf.GradientTape() as tape:
        loss = squares(y, self(x, training=True))
        loss += 5.0 * tf.reduce_mean(tf.abs(self(-x, training=True)))
    applied(self.optimizer, tape, loss, self)
    return {"loss": loss}


def scaled_loss(self: Any, data: Any) -> Any:
    x, y = data
    with tf.GradientTape() as tape:
        loss = 40.0 * self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
    self.optimizer.apply_gradients(zip(tape.gradient(loss, variables_of(self)), self.trainable_variables))
    return {"loss": loss}


def two_optimizers(self: Any, data: Any) -> Any:
    x, y = data
    hidden, scores = self.get_layer("hidden"), self.get_layer("scores")
    with tf.GradientTape() as tape:
        loss = squares(y, self(x, training=True))
    applied(self.optimizer, tape, loss, hidden)
    # Of what the first one has made of `hidden`.
    with tf.GradientTape() as tape:
        loss = 3.0 * squares(y, self(x, training=True))
    applied(self.second, tape, loss, scores)
    return {"loss": loss}


def minimized(self: Any, data: Any) -> Any:
    x, y = data
    with tf.GradientTape() as tape:
        loss = 7.0 * squares(y, self(x, training=True))
    if hasattr(self.optimizer, "minimize"):  # of Keras 2
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
    else:
        self.optimizer.apply(tape.gradient(loss, variables_of(self)), self.trainable_variables)
    return {"loss": loss}


def with_step(keras: Any, step: Callable[[Any, Any], Any], optimizer: Callable[[], Any] | None = None) -> Any:
    class Own(keras.Model):  # type: ignore[misc,name-defined]
        def train_step(self, data: Any) -> Any:
            return step(self, data)

    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(5, activation="tanh", name="hidden")(inputs)
    model = Own(inputs, keras.layers.Dense(3, name="scores")(hidden))
    make = optimizer or (lambda: keras.optimizers.SGD(RATE))
    model.second = make()
    model.compile(make(), "mse")
    return model


def train(
    keras: Any, make: Callable[[], Any], folder: Path, data: Any = None
) -> tuple[Run, list[dict[str, np.ndarray]]]:
    """A training on one batch that is the same with and without the callback; its log, and the weights at each step.

    The weights are those of the training that is not logged.
    """
    results: list[Any] = []
    weights: list[dict[str, np.ndarray]] = []

    class Remember(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            weights.append(named_weights(self.model))

    for is_logged in (False, True):
        keras.utils.set_random_seed(2)
        model = make()
        if not is_logged:
            weights.append(named_weights(model))
        callbacks = [LayerViewCallback(folder, schedule=1, keep=EXACT)] if is_logged else [Remember()]
        given = {"x": X, "y": Y, "batch_size": 8} if data is None else {"x": data}
        fit = model.fit(**given, epochs=STEPS, shuffle=False, verbose=0, callbacks=callbacks)
        optimizers = [np.asarray(v) for one in (model.optimizer, model.second) for v in flat(one.variables)]
        results.append((fit.history, model.get_weights(), optimizers, float(tf.random.uniform([]))))
    bare, with_log = results
    assert (bare[0], bare[3]) == (with_log[0], with_log[3])
    for one, other in ((bare[1], with_log[1]), (bare[2], with_log[2])):
        assert len(one) == len(other) and all(map(np.array_equal, one, other))
    return LayerReader(folder).run(), weights


def flat(variables: Any) -> list[Any]:
    return list(variables() if callable(variables) else variables)


def named_weights(model: Any) -> dict[str, np.ndarray]:
    """Kernels and biases by the paths of the layers, as a GAN or a functional model has them."""
    parts = {"disc/": model.disc, "gen/": model.gen} if hasattr(model, "gen") else {"": model}
    layers = {f"{name}{layer.name}": layer for name, part in parts.items() for layer in part.layers if layer.weights}
    return {
        f"{path} {name}": np.asarray(getattr(layer, name))
        for path, layer in layers.items()
        for name in ("kernel", "bias")
    }


def assert_applied(run: Run, weights: list[dict[str, np.ndarray]]) -> None:
    """The gradients that are logged at each step are those by which the weights of plain SGD change."""
    assert set(run.steps) >= set(range(1, STEPS + 1))
    for step in (int(step) for step in run.steps if step < STEPS):
        for key, before in weights[step].items():
            layer, name = key.split()
            gradient = (before.astype(float) - weights[step + 1][key]) / RATE
            assert np.abs(gradient).max() > 1e-3
            np.testing.assert_allclose(
                logged(run, (layer, "gradient", name), step), gradient, rtol=1e-4, atol=2e-5, err_msg=f"{step} {key}"
            )


@pytest.mark.covers("Keras: custom train_step")
@pytest.mark.parametrize("step", [penalty, two_losses, scaled_loss, two_optimizers, minimized])
@pytest.mark.core("tf.keras-*")
def test_gradients_are_what_a_train_step_of_ones_own_applies(keras: Any, step: Any, tmp_path: Path) -> None:
    run, weights = train(keras, lambda: with_step(keras, step), tmp_path)
    assert list(run.steps) == list(range(STEPS + 1))
    assert_applied(run, weights)


class Gan:
    """Keras' own form of a GAN: a model without `call`, and with two optimizers."""

    def __new__(cls, keras: Any) -> Any:
        class Model(keras.Model):  # type: ignore[misc,name-defined]
            def __init__(self, disc: Any, gen: Any) -> None:
                super().__init__()
                self.disc, self.gen = disc, gen

            def compile(self, of_disc: Any, of_gen: Any) -> None:
                super().compile()
                self.optimizer, self.second = of_disc, of_gen

            def train_step(self, real: Any) -> Any:
                made_of = real[:, :2]
                with tf.GradientTape() as tape:
                    made = self.disc(self.gen(made_of, training=True), training=True)
                    loss = tf.reduce_mean(tf.nn.softplus(made) + tf.nn.softplus(-self.disc(real, training=True)))
                applied(self.optimizer, tape, loss, self.disc)
                with tf.GradientTape() as tape:
                    made = self.disc(self.gen(made_of, training=True), training=True)
                    of_gen = tf.reduce_mean(tf.nn.softplus(-made))
                applied(self.second, tape, of_gen, self.gen)
                return {"d_loss": loss, "g_loss": of_gen}

        dense = keras.layers.Dense
        disc = [keras.Input((6,)), dense(4, activation="tanh", name="features"), dense(1, name="score")]
        gen = [keras.Input((2,)), dense(6, name="made")]
        model = Model(keras.Sequential(disc, name="disc"), keras.Sequential(gen, name="gen"))
        model.compile(keras.optimizers.SGD(RATE), keras.optimizers.SGD(RATE))
        return model


def test_a_model_without_a_call_is_logged_as_its_train_step_runs_its_parts(keras: Any, tmp_path: Path) -> None:
    data = tf.data.Dataset.from_tensors(X)  # x alone, in no tuple
    run, weights = train(keras, lambda: Gan(keras), tmp_path, data)
    assert_applied(run, weights)
    activations = [(tensor.layer, tensor.call) for tensor in run.tensors if tensor.kind == "activation"]
    assert activations == [
        *[
            ("input", 0),
            ("gen/made", 0),
            ("disc/features", 0),
            ("disc/score", 0),
            ("disc/features", 1),
            ("disc/score", 1),
        ],
        *[("gen/made", 1), ("disc/features", 2), ("disc/score", 2)],
    ]
    step = int(run.steps[-2])
    (real,) = [t for t in run.tensors if (t.layer, t.kind, t.call) == ("disc/features", "activation", 1)]
    kernel, bias = (weights[step][f"disc/features {name}"] for name in ("kernel", "bias"))
    np.testing.assert_allclose(run.values(real, step).array, np.tanh(X @ kernel + bias), rtol=1e-4, atol=1e-5)
    assert any("shift is left out" in note for note in run.model.notes)


@ONE_KERAS
@pytest.mark.parametrize("is_function", [False, True], ids=["a method", "a tf.function"])
def test_metrics_and_whatever_else_a_train_step_changes_are_the_trainings_own(
    keras: Any, is_function: bool, tmp_path: Path
) -> None:
    class Own(keras.Model):  # type: ignore[misc,name-defined]
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                predictions = self(x, training=True)
                loss = squares(y, predictions) + 0.01 * tf.reduce_mean(tf.square(tf.random.normal((4,))))
            applied(self.optimizer, tape, loss, self)
            self.count.assign_add(1.0)
            self.kept = loss  # a tensor, which nothing can read later
            self.tracker.update_state(loss)
            self.error.update_state(y, predictions)
            return {"loss": self.tracker.result(), "error": self.error.result()}

        if is_function:
            train_step = tf.function(train_step)

        @property
        def metrics(self) -> list[Any]:
            return [self.tracker, self.error]

    def make() -> Any:
        inputs = keras.Input((6,))
        hidden = keras.layers.Dense(5, activation="tanh", name="hidden")(inputs)
        hidden = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization(name="norm")(hidden))
        model = Own(inputs, keras.layers.Dense(3, name="scores")(hidden))
        model.tracker = keras.metrics.Mean(name="loss")
        model.error = keras.metrics.MeanAbsoluteError(name="error")
        model.count = tf.Variable(0.0, trainable=False)
        model.second = keras.optimizers.SGD(RATE)
        model.compile(keras.optimizers.Adam(0.01))
        return model

    found = []
    for is_logged in (False, True):
        keras.utils.set_random_seed(6)
        model = make()
        callbacks = [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)] if is_logged else []
        fit = model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
        state = [np.asarray(v) for v in (*model.variables, *flat(model.optimizer.variables), *model.tracker.variables)]
        found.append((fit.history, float(model.count), [m.name for m in model.metrics], state))
    assert found[0][:3] == found[1][:3] and found[1][1] == 6.0
    assert len(found[0][3]) == len(found[1][3]) and all(map(np.array_equal, found[0][3], found[1][3]))
    run = LayerReader(tmp_path).run()
    assert not any(note.startswith(FALLS_BACK) for note in run.model.notes)
    for step, loss in zip(run.steps, run.scalars["probe_loss"]):
        scores = logged(run, ("scores", "activation", "output"), int(step))
        error = ((scores - Y[:4]) ** 2).mean()
        assert error < loss < error + 0.2  # of four squared numbers of a normal distribution


@ONE_KERAS
@pytest.mark.parametrize("kind", ["one device", "mirrored on one device"])
def test_within_a_strategy_of_one_replica_a_train_step_is_traced_too(keras: Any, kind: str, tmp_path: Path) -> None:
    def make() -> Any:
        one = kind == "one device"
        strategy = tf.distribute.OneDeviceStrategy("CPU:0") if one else tf.distribute.MirroredStrategy(["CPU:0"])
        with strategy.scope():
            return with_step(keras, two_losses)

    run, weights = train(keras, make, tmp_path)
    assert_applied(run, weights)


def scaled_for_float16(self: Any, data: Any) -> Any:
    x, y = data
    optimizer = self.optimizer
    with tf.GradientTape() as tape:
        loss = self.factor * squares(y, tf.cast(self(x, training=True), tf.float32))
        scaled = (
            optimizer.get_scaled_loss(loss) if hasattr(optimizer, "get_scaled_loss") else optimizer.scale_loss(loss)
        )
    gradients = tape.gradient(scaled, variables_of(self))
    if hasattr(optimizer, "get_unscaled_gradients"):
        gradients = optimizer.get_unscaled_gradients(gradients)
    optimizer.apply_gradients(zip(gradients, self.trainable_variables))
    return {"loss": loss}


@ONE_KERAS
@pytest.mark.parametrize("factor", [1.0, 64.0], ids=["finite", "overflowing at first"])
def test_a_train_step_that_scales_its_loss_for_float16_has_the_gradients_of_the_loss(
    keras: Any, factor: float, tmp_path: Path
) -> None:
    def make() -> Any:
        keras.mixed_precision.set_global_policy("mixed_float16")
        try:
            scaling = keras.mixed_precision.LossScaleOptimizer
            model = with_step(
                keras, scaled_for_float16, lambda: scaling(keras.optimizers.SGD(RATE), initial_scale=2.0**15)
            )
        finally:
            keras.mixed_precision.set_global_policy("float32")
        model.factor = factor
        return model

    run, weights = train(keras, make, tmp_path)
    skipped = [
        step
        for step in range(STEPS)
        if np.array_equal(weights[step]["hidden kernel"], weights[step + 1]["hidden kernel"])
    ]
    assert bool(skipped) == (factor > 1)
    for step in range(STEPS):
        for key, before in weights[step].items():
            layer, name = key.split()
            found = logged(run, (layer, "gradient", name), step)
            assert np.isfinite(found).all() and np.abs(found).max() > 0
            if step not in skipped:
                gradient = (before.astype(float) - weights[step + 1][key]) / RATE
                np.testing.assert_allclose(found, gradient, rtol=2e-2, atol=2e-3 * factor, err_msg=f"{step} {key}")
    assert list(run.scalars["probe_loss"]) and "probe_loss is what train_step returns as 'loss'" in run.model.notes


COUNTED: list[int] = []
FALLS_BACK = "gradients of the compiled loss, not of this model's train_step: "


def counts(self: Any, data: Any) -> Any:
    self.calls_so_far += 1
    return penalty(self, data)


def lists(self: Any, data: Any) -> Any:
    self.seen.append("a call")
    return penalty(self, data)


def counts_globally(self: Any, data: Any) -> Any:
    COUNTED.append(1)
    return penalty(self, data)


def prints(self: Any, data: Any) -> Any:
    tf.print("the step's own print", output_stream=f"file://{self.file}")
    return penalty(self, data)


def calls_python(self: Any, data: Any) -> Any:
    def write() -> None:
        with open(self.file, "a") as file:
            file.write("once more\n")

    tf.py_function(write, [], [])
    return penalty(self, data)


def assigns(self: Any, data: Any) -> Any:
    x, y = data
    with tf.GradientTape() as tape:
        loss = squares(y, self(x, training=True))
    for variable, gradient in zip(variables_of(self), tape.gradient(loss, variables_of(self))):
        variable.assign_sub(RATE * gradient)
    return {"loss": loss}


def applies_in_a_branch(self: Any, data: Any) -> Any:
    x, y = data
    with tf.GradientTape() as tape:
        loss = squares(y, self(x, training=True))
    gradients = tape.gradient(loss, variables_of(self))
    self.optimizer.build(self.trainable_variables)

    def apply() -> Any:
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return 1

    tf.cond(loss > 0.0, apply, lambda: 0)
    return {"loss": loss}


def raises(self: Any, data: Any) -> Any:
    if data[0].shape[0] is not None and data[0].shape[0] < 8:
        raise RuntimeError("seven examples are too few")
    return penalty(self, data)


def changed_by(model: Any) -> Any:
    return model.calls_so_far, list(model.seen), len(COUNTED), Path(model.file).read_text()


@ONE_KERAS
@pytest.mark.parametrize(
    ("step", "why"),
    [
        (counts, "tracing it changes self.calls_so_far"),
        (lists, "tracing it changes self.seen"),
        (counts_globally, "tracing it changes COUNTED"),
        (prints, "it does what must not be done again (PrintV2)"),
        (calls_python, "it does what must not be done again (EagerPyFunc)"),
        (assigns, "it gives gradients to no optimizer that can be found from the model"),
        (applies_in_a_branch, "it applies gradients inside a tf.function, a loop or a branch"),
        (raises, "it could not be traced on the probe: RuntimeError: seven examples are too few"),
    ],
)
def test_a_train_step_that_would_be_noticed_is_not_run_and_its_gradients_are_named_for_what_they_are(
    keras: Any, step: Any, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keras.utils.set_random_seed(2)
    model = with_step(keras, step)
    model.calls_so_far, model.seen, model.file = 3, ["before"], str(tmp_path / "effects")
    Path(model.file).write_text("")
    before = changed_by(model)
    examples = 7 if step is raises else 8
    with LayerRecorder(model, tmp_path / "log", (X[:examples], Y[:examples]), keep=EXACT) as recorder:
        recorder.record(0)
    assert changed_by(model) == before
    run = LayerReader(tmp_path / "log").run()
    notes = [note for note in run.model.notes if note.startswith(FALLS_BACK)]
    assert len(notes) == 1 and why in notes[0]
    assert notes[0] in caplog.text
    kernel = model.get_layer("scores").kernel
    kernel = kernel if isinstance(kernel, tf.Variable) else kernel.value
    with tf.GradientTape() as tape:
        loss = squares(Y[:examples], model(X[:examples], training=True))
    truth = tape.gradient(loss, kernel).numpy()
    np.testing.assert_allclose(logged(run, ("scores", "gradient", "kernel"), 0), truth, rtol=1e-4, atol=1e-6)
