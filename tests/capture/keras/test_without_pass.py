"""Models whose pass cannot be had, or fails: their weights and updates are logged, and what is not is said.

Truth is the same training without logging, and `get_weights`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tb_layerview import Keep, LayerReader, LayerRecorder, LayerViewCallback, Select  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

keras = tf.keras
layers = keras.layers
EXACT = Keep(precision="float32", weights=10**6)

rng = np.random.default_rng(5)
X = rng.normal(size=(48, 6)).astype(np.float32)


def _variables(layer: Any) -> list[Any]:
    return [v if isinstance(v, tf.Variable) else v.value for v in layer.trainable_variables]


class Adversaries(keras.Model):
    """A GAN as Keras' own guide writes it: without a `call`."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential(
            [keras.Input((2,)), layers.Dense(5, name="hidden"), layers.Dense(6, name="fake")], name="generator"
        )
        self.discriminator = keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(4, name="hidden"),
                layers.BatchNormalization(name="norm"),
                layers.Dense(1, name="real"),
            ],
            name="discriminator",
        )

    def compile(self) -> None:
        super().compile(keras.optimizers.SGD(0.05))
        self.other = keras.optimizers.SGD(0.1)

    def train_step(self, data: Any) -> Any:
        seeds = tf.random.stateless_normal((tf.shape(data)[0], 2), (3, 4))
        for optimizer, part, sign in ((self.optimizer, self.discriminator, 1.0), (self.other, self.generator, -1.0)):
            with tf.GradientTape() as tape:
                real, fake = self.discriminator(data), self.discriminator(self.generator(seeds))
                loss = sign * tf.reduce_mean(tf.nn.softplus(-real) + tf.nn.softplus(fake))
            optimizer.apply_gradients(zip(tape.gradient(loss, _variables(part)), part.trainable_variables))
        return {"mine": loss}


WEIGHTS = [
    ("discriminator/hidden", "kernel"),
    ("discriminator/hidden", "bias"),
    ("discriminator/norm", "gamma"),
    ("discriminator/norm", "beta"),
    ("discriminator/norm", "moving_mean"),
    ("discriminator/norm", "moving_variance"),
    ("discriminator/real", "kernel"),
    ("discriminator/real", "bias"),
    ("generator/fake", "kernel"),
    ("generator/fake", "bias"),
    ("generator/hidden", "kernel"),
    ("generator/hidden", "bias"),
]


def _adversaries(of: Any = Adversaries) -> Any:
    keras.utils.set_random_seed(2)
    model = of()
    model.compile()
    return model


def _fit(model: Any, callbacks: list[Any]) -> list[Any]:
    history = model.fit(X, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=callbacks).history
    return [history, [w.tobytes() for w in model.get_weights()]]


def _run(folder: Path) -> Run:
    return LayerReader(folder).run()


class Counting(Adversaries):
    """Counts in Python how often its step is traced: nobody else may do that."""

    traced = 0

    def train_step(self, data: Any) -> Any:
        self.traced += 1
        return super().train_step(data)


ALL_KINDS = ("activation", "weight", "gradient", "update")


@pytest.mark.parametrize(
    ("kinds", "of", "logged"),
    [
        (("weight",), Adversaries, {"weight"}),
        (("weight", "update"), Adversaries, {"weight", "update"}),
        (ALL_KINDS, Adversaries, set(ALL_KINDS)),
        (ALL_KINDS, Counting, {"weight", "update"}),
    ],
)
def test_a_model_without_a_call_has_its_weights_and_updates_logged(
    kinds: Any, of: Any, logged: set[str], tmp_path: Path
) -> None:
    model, seen = _adversaries(of), {}

    class Remember(keras.callbacks.Callback):
        """What `get_weights` returns after each step."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen[len(seen) + 1] = [w.numpy().copy() for w in model.weights]

    callback = LayerViewCallback(tmp_path, select=Select(kinds=kinds), schedule=1, keep=EXACT)
    assert _fit(model, [Remember(), callback]) == _fit(_adversaries(of), [])
    run = _run(tmp_path)
    assert sorted((t.layer, t.name) for t in run.tensors if t.kind == "weight") == sorted(WEIGHTS)
    assert {t.kind for t in run.tensors} == logged
    assert run.steps[-1] == 6 and len(run.steps) >= 6
    for path, name in WEIGHTS:
        part, layer = path.split("/")
        owner = getattr(model, part).get_layer(layer)
        place = [w.name.partition(":")[0].rpartition("/")[2] for w in owner.weights].index(name)
        index = [id(w) for w in model.weights].index(id(owner.weights[place]))
        for step in (3, 6):
            truth = seen[step][index]
            assert np.array_equal(run.values(run.tensor(path, kind="weight", name=name), step).array, truth)
            if "update" in kinds and not name.startswith("moving"):
                change = run.digest(run.tensor(path, kind="update", name=name), step)
                assert change.max == pytest.approx((truth - seen[step - 1][index]).max(), rel=1e-3, abs=1e-9)
    left_out = [note for note in run.model.notes if "gradients are left out" in note]
    assert bool(left_out) == (logged != set(kinds))
    assert all("the model has no `call` of its own" in note and "gradients" in note for note in left_out)


def test_a_recorder_logs_the_weights_of_a_model_without_a_call(tmp_path: Path) -> None:
    model = _adversaries()
    with LayerRecorder(model, tmp_path, probe=X[:4]) as recorder:
        recorder.record(0)
    assert sorted((t.layer, t.name) for t in _run(tmp_path).tensors if t.kind == "weight") == sorted(WEIGHTS)


class Breaking(layers.Layer):
    """Refuses what it is given once its weight has grown beyond a bound."""

    def build(self, shape: Any) -> None:
        self.count = self.add_weight(name="count", shape=(), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_none_equal(tf.convert_to_tensor(self.count), 2.0)]):
            return inputs + tf.convert_to_tensor(self.count)


def test_a_pass_that_fails_at_a_step_costs_that_step_its_activations_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = keras.Input((6,))
    breaking = Breaking(name="breaking")
    model = keras.Model(inputs, layers.Dense(1, name="scores")(breaking(inputs)))
    model.compile("sgd", "mse")
    with LayerRecorder(model, tmp_path, probe=(X[:8], X[:8, :1]), schedule=1, keep=EXACT) as recorder:
        for step in range(5):
            breaking.set_weights([np.float32(step)])
            recorder.record(step)
    run = _run(tmp_path)
    assert list(run.steps) == list(range(5))
    count = run.statistics("mean")[list(run.tensors).index(run.tensor("breaking", kind="weight", name="count"))]
    assert count.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    scores = run.statistics("mean")[list(run.tensors).index(run.tensor("scores", kind="activation"))]
    assert np.isnan(scores).tolist() == [False, False, True, False, False]
    (warning,) = [r.getMessage() for r in caplog.records if "the probe's pass" in r.getMessage()]
    assert "\n" not in warning and len(warning) < 600 and "weights and updates are logged" in warning
    assert len([note for note in run.model.notes if "the probe's pass has failed" in note]) == 1


@pytest.fixture
def checked_numerics() -> Iterator[None]:
    """TensorFlow's switch that has every operation look at what it makes."""
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


def _logarithm() -> Any:
    inputs = keras.Input((6,))
    x = layers.Lambda(lambda t: tf.math.log(tf.nn.relu(t)), name="log", output_shape=(6,))(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="scores")(x))
    model.compile("sgd", "mse")
    return model


def test_under_checked_numerics_the_step_before_the_error_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, checked_numerics: None
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        _logarithm().fit(X, X[:, :1], verbose=0, callbacks=[])
    model = _logarithm()
    kernel = model.layers[-1].get_weights()[0]
    callback = LayerViewCallback(tmp_path, schedule=1)
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.fit(X, X[:, :1], shuffle=False, verbose=0, callbacks=[callback])
    callback.set_model(None)
    del callback
    run = _run(tmp_path)
    assert list(run.steps) == [0]
    weights = [run.digest(t, 0).rms for t in run.tensors if t.kind == "weight" and t.name == "kernel"]
    assert weights == [pytest.approx(np.sqrt(np.mean(kernel**2)), rel=1e-5)]
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert all("\n" not in warning for warning in warnings)
    # What makes the infinities is seen, as the log's own pass is not stopped by them.
    assert run.digest(run.tensor("log", kind="activation"), 0).neg_inf == (X[:32] <= 0).sum()
