"""What is logged of a training is what layers called by hand, numpy and the framework's own gradients give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from keras_by_hand import Weights, chain, gradients
from keras_models import compiled, two_layers
from keras_trainings import numpy_of
from two_layers import assert_true, logged

from tb_layerview import Keep, LayerReader, LayerViewCallback
from tb_layerview.reading.run import Run

EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
STEPS, BATCH = 6, 40

rng = np.random.default_rng(21)
X = rng.normal(size=(STEPS * BATCH, 6, 6, 2)).astype(np.float32)
Y = rng.normal(size=(STEPS * BATCH, 3)).astype(np.float32)
#: The probe of a training that was given none.
PROBE = X[:32], Y[:32]


def model() -> Any:
    """A chain of layers in which nothing is random."""
    keras.utils.set_random_seed(5)
    parts = [
        keras.Input((6, 6, 2), name="pictures"),
        layers.Conv2D(3, 3, name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="relu"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(name="flatten"),
        layers.Dense(4, activation="tanh", name="hidden"),
        layers.Dense(3, name="scores"),
    ]
    x = inputs = parts[0]
    for part in parts[1:]:
        x = part(x)
    return compiled(keras.Model(inputs, x), keras.optimizers.SGD(0.3, momentum=0.9))


def fit(made: Any, *callbacks: Any, **options: Any) -> dict[str, Any]:
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **options}
    return dict(made.fit(X, Y, callbacks=list(callbacks), **options).history)


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Of a training without any logging."""
    seen = Weights()
    fit(model(), seen)
    return seen


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same training, logged at each step."""
    folder = tmp_path_factory.mktemp("logged")
    fit(model(), LayerViewCallback(folder, schedule=1, keep=EXACT))
    return LayerReader(folder).run()


def at(weights: Weights, step: int) -> Any:
    """A model with the weights of a step."""
    made = model()
    made.set_weights(weights.at[step])
    return made


#: The weights by layer and name, in the order of `get_weights`.
NAMES = [
    *(("conv", name) for name in ("kernel", "bias")),
    *(("norm", name) for name in ("gamma", "beta", "moving_mean", "moving_variance")),
    *((layer, name) for layer in ("hidden", "scores") for name in ("kernel", "bias")),
]
TRAINED = [name for name in NAMES if not name[1].startswith("moving")]


def test_every_step_is_logged_and_every_weight_is_there(run: Run) -> None:
    assert list(run.steps) == list(range(STEPS + 1))
    assert [(t.layer, t.name) for t in run.tensors if t.kind == "weight"] == NAMES
    assert [(t.layer, t.name) for t in run.tensors if t.kind == "gradient"] == TRAINED
    assert [(t.layer, t.name) for t in run.tensors if t.kind == "update"] == TRAINED
    assert run.model.notes == ()


@pytest.mark.covers("Keras: BatchNormalization, moving statistics")
def test_weights_and_moving_statistics_are_those_of_the_training_to_the_last_bit(run: Run, weights: Weights) -> None:
    for step in range(STEPS + 1):
        for (layer, name), truth in zip(NAMES, weights.at[step]):
            found = logged(run, (layer, "weight", name), step)
            np.testing.assert_array_equal(found, truth, err_msg=f"{step} {layer} {name}")
    assert not any(np.array_equal(one, other) for one, other in zip(weights.at[0], weights.at[STEPS]))


@pytest.mark.covers("What and when: kind update, callback")
def test_an_update_is_the_change_over_one_step(run: Run, weights: Weights) -> None:
    trained = [NAMES.index(name) for name in TRAINED]
    for step in range(1, STEPS + 1):
        for number in trained:
            truth = weights.at[step][number] - weights.at[step - 1][number]
            layer, name = NAMES[number]
            np.testing.assert_array_equal(logged(run, (layer, "update", name), step), truth, err_msg=f"{step} {layer}")
    assert np.isnan(run.statistics("rms")[run.tensor("conv", kind="update", name="kernel")][0])


@pytest.mark.parametrize("step", [0, 3, STEPS])
def test_activations_are_what_layers_give_that_are_called_by_hand(step: int, run: Run, weights: Weights) -> None:
    made = at(weights, step)
    truths = chain(made, [v.value for v in made.trainable_variables], keras.ops.convert_to_tensor(PROBE[0]))
    assert [t.layer for t in run.tensors if t.kind == "activation"] == ["input", *truths]
    np.testing.assert_array_equal(logged(run, ("input", "activation", "output"), step), PROBE[0])
    for layer, truth in truths.items():
        found = logged(run, (layer, "activation", "output"), step)
        np.testing.assert_allclose(found, numpy_of(truth), rtol=1e-4, atol=1e-5, err_msg=layer)


@pytest.mark.core("3")
@pytest.mark.parametrize("step", [0, 3, STEPS])
def test_gradients_and_the_loss_are_the_frameworks_own(step: int, run: Run, weights: Weights) -> None:
    made = at(weights, step)

    def loss(*trained: Any) -> Any:
        given = chain(made, trained, keras.ops.convert_to_tensor(PROBE[0]))["scores"]
        return keras.ops.mean(keras.ops.square(given - keras.ops.convert_to_tensor(PROBE[1])))

    values = [numpy_of(v.value) for v in made.trainable_variables]
    truths = dict(zip(TRAINED, gradients(loss, values)))
    for (layer, name), truth in truths.items():
        found = logged(run, (layer, "gradient", name), step)
        # A bias before a BatchNormalization has no gradient but what rounding leaves of the layer's others.
        scale = max(np.abs(other).max() for (of, _), other in truths.items() if of == layer)
        np.testing.assert_allclose(found, truth, rtol=1e-3, atol=1e-4 * scale, err_msg=f"{layer} {name}")
    truth = float(numpy_of(loss(*map(keras.ops.convert_to_tensor, values))))
    assert run.scalars["probe_loss"][step] == pytest.approx(truth, rel=1e-5)


def test_statistics_are_numpys(run: Run) -> None:
    for tensor in run.tensors:
        array = run.values(tensor, STEPS).array
        wide, digest = array.astype(np.float64), run.digest(tensor, STEPS)
        assert array.shape == tuple(tensor.shape) and digest.size == array.size
        assert (digest.nan, digest.pos_inf, digest.neg_inf) == (0, 0, 0)
        assert (digest.zero, digest.negative) == ((array == 0).sum(), (array < 0).sum())
        assert (digest.min, digest.max) == (array.min(), array.max())
        truth = wide.mean(), wide.std(), np.sqrt((wide**2).mean())
        assert (digest.mean, digest.std, digest.rms) == pytest.approx(truth, rel=1e-6, abs=1e-12), tensor
        assert run.histogram(tensor, STEPS).counts.sum() == array.size
        wanted = np.quantile(wide, [0.05, 0.5, 0.95])
        found = run.quantiles(tensor, STEPS, [0.05, 0.5, 0.95])
        assert (np.abs(found - wanted) <= np.maximum(0.05 * wide.std(), 0.07 * np.abs(wanted)) + 1e-12).all(), tensor


@pytest.mark.parametrize("key", [("conv", "activation", "output"), ("hidden", "gradient", "kernel")], ids=str)
def test_statistics_of_units_are_numpys(key: Any, run: Run) -> None:
    tensor = run.tensor(key[0], kind=key[1], name=key[2])
    rows = run.values(tensor, STEPS).array.astype(np.float64).reshape(-1, tensor.shape[-1])
    units = run.units(tensor, STEPS)
    np.testing.assert_allclose(units.mean, rows.mean(0), rtol=1e-2, atol=1e-3 * np.abs(rows).max())
    np.testing.assert_allclose(units.rms, np.sqrt((rows**2).mean(0)), rtol=1e-2)
    np.testing.assert_allclose(units.peak, np.abs(rows).max(0), rtol=1e-2)
    np.testing.assert_allclose(units.zero, (rows == 0).mean(0), rtol=1e-2)


def test_scalars_are_what_keras_reports(weights: Weights, tmp_path: Path) -> None:
    class Grow(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.1 * (epoch + 1)

    seen = Weights()
    callback = LayerViewCallback(tmp_path, schedule=1)
    options = {"epochs": 2, "validation_data": (X[:8], Y[:8])}
    history = fit(model(), seen, Grow(), callback, **options)
    run = LayerReader(tmp_path).run()
    assert run.scalars["loss"][1:] == pytest.approx([logs["loss"] for logs in seen.logs])
    assert np.isnan(run.scalars["loss"][0])
    assert run.scalars["val_loss"][[STEPS, 2 * STEPS]] == pytest.approx(history["val_loss"])
    assert run.scalars["learning_rate"] == pytest.approx([0.1] * STEPS + [0.2] * (STEPS + 1))


@pytest.mark.parametrize("how", ["plain", "scaled", "accumulated"])
def test_the_rate_of_a_schedule_is_that_of_each_step(how: str, tmp_path: Path) -> None:
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2, 4], [0.4, 0.2, 0.1])
    batches = 2 if how == "accumulated" else 1  # of a step
    optimizer = keras.optimizers.SGD(schedule, gradient_accumulation_steps=batches if batches > 1 else None)
    made = compiled(
        keras.Sequential([keras.Input((6, 6, 2)), layers.Flatten(), layers.Dense(3, name="scores")]),
        keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0) if how == "scaled" else optimizer,
    )
    fit(made, LayerViewCallback(tmp_path, schedule=1), epochs=2 * batches)
    run = LayerReader(tmp_path).run()
    # Keras gives its schedules the number of batches.
    rates = [0.4] * (2 // batches + 1) + [0.2] * (2 // batches) + [0.1] * (2 * STEPS - 4 // batches)
    assert run.scalars["learning_rate"] == pytest.approx(rates)
    assert run.steps.tolist() == list(range(2 * STEPS + 1))


@pytest.mark.covers("Keras: sample weights")
@pytest.mark.core("True")
@pytest.mark.parametrize("is_weighted", [False, True])
def test_two_layers_worked_out_in_numpy(is_weighted: bool, tmp_path: Path) -> None:
    x, y = X[:, :, 0, 0], Y
    weight = np.linspace(0, 2, len(x)).astype(np.float32) if is_weighted else None
    keras.utils.set_random_seed(1)
    made = two_layers()
    callback = LayerViewCallback(tmp_path, schedule=2, keep=EXACT)
    made.fit(x, y, batch_size=16, shuffle=False, sample_weight=weight, verbose=0, callbacks=[callback])
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == [0, 2, 4, 6, 8, 10, 12, 14, 15]
    for step in run.steps:
        assert_true(run, step, x[:16], y[:16], None if weight is None else weight[:16])
