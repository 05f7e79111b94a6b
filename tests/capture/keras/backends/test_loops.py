"""Evaluations, validations and loops of one's own are logged as they are, and do not notice."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_models as models
import numpy as np
import pytest
from keras_models import BACKEND, FEATURES, TARGETS
from keras_trainings import differing, left_by, numpy_of
from two_layers import assert_true, logged

from tb_layerview import Keep, LayerReader, LayerRecorder, LayerViewCallback, Select
from tb_layerview.reading.run import Run

EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
STEPS, BATCH = 6, 8
KERNEL = ("hidden", "weight", "kernel")


def fresh(make: Callable[..., Any] = models.two_layers, **options: Any) -> Any:
    keras.backend.clear_session()
    keras.utils.set_random_seed(6)
    return make(**options)


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    parts = [slice(BATCH * step, BATCH * (step + 1)) for step in range(STEPS)]
    return [(FEATURES[part], TARGETS[part]) for part in parts]


# Evaluation and prediction.


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("evaluate", marks=pytest.mark.covers("Keras: model.evaluate")),
        pytest.param("predict", marks=pytest.mark.covers("Keras: model.predict")),
    ],
)
@pytest.mark.covers("What and when: modes told apart")
def test_evaluate_and_predict_log_one_step_in_inference_mode(mode: str, tmp_path: Path) -> None:
    made = fresh(models.normalised)
    made.fit(FEATURES, TARGETS, batch_size=BATCH, verbose=0)

    def call(callbacks: list[Any]) -> Any:
        if mode == "evaluate":
            return made.evaluate(FEATURES, TARGETS, batch_size=20, verbose=0, callbacks=callbacks)
        return made.predict(FEATURES, batch_size=20, verbose=0, callbacks=callbacks)

    bare, attributes = call([]), set(vars(made))
    functions = made.train_function, made.test_function, made.predict_function
    np.testing.assert_array_equal(call([LayerViewCallback(tmp_path, keep=EXACT)]), bare)
    assert set(vars(made)) == attributes
    assert (made.train_function, made.test_function, made.predict_function) == functions
    assert LayerReader(tmp_path).names() == [mode]
    run = LayerReader(tmp_path).run(mode)
    assert (list(run.steps), list(run.modes)) == ([STEPS], [mode])
    assert {tensor.kind for tensor in run.tensors} == {"activation", "weight"}
    assert run.model.probe is not None and not run.model.probe.training and run.model.probe.examples == 20
    truth = keras.Model(made.input, made.get_layer("norm").output)(FEATURES[:20], training=False)
    found = logged(run, ("norm", "activation", "output"), STEPS)
    np.testing.assert_allclose(found, numpy_of(truth), rtol=1e-4, atol=1e-5)
    if mode == "evaluate":
        assert run.scalars["loss"] == pytest.approx([np.ravel(bare)[0]])


@pytest.mark.covers("Keras: the validation inside fit")
def test_the_validation_within_fit_logs_a_step_an_epoch_on_its_first_batch(tmp_path: Path) -> None:
    made, x, y = fresh(), FEATURES, TARGETS
    history = made.fit(
        x[:32],
        y[:32],
        batch_size=BATCH,
        epochs=3,
        verbose=0,
        validation_data=(x[32:], y[32:]),
        validation_batch_size=10,
        callbacks=[LayerViewCallback(tmp_path, schedule=1, keep=EXACT)],
    ).history
    assert LayerReader(tmp_path).names() == [".", "evaluate"]
    train, run = LayerReader(tmp_path).run(), LayerReader(tmp_path).run("evaluate")
    assert (list(run.steps), set(run.modes)) == ([4, 8, 12], {"evaluate"})
    assert run.scalars["loss"] == pytest.approx(history["val_loss"])
    for step in run.steps:
        np.testing.assert_array_equal(logged(run, KERNEL, step), logged(train, KERNEL, step))
        np.testing.assert_array_equal(logged(run, ("input", "activation", "output"), step), x[32:42])
    np.testing.assert_array_equal(logged(run, KERNEL, 12), made.get_weights()[0])


# Loops of one's own.


def on_batches(made: Any, record: Callable[..., None]) -> None:
    """A loop around `train_on_batch`."""
    record(0)
    for step, (x, y) in enumerate(batches(), start=1):
        record(step, {"loss": np.ravel(made.train_on_batch(x, y))[0]})


def of_jax(made: Any, record: Callable[..., None]) -> None:
    """Without state, which the model gets back after each step."""
    import jax

    def loss_of(trained: Any, kept: Any, x: Any, y: Any) -> Any:
        given, kept = made.stateless_call(trained, kept, x, training=True)
        return ((given - y) ** 2).mean(), kept

    gradient_of, optimizer = jax.jit(jax.value_and_grad(loss_of, has_aux=True)), made.optimizer
    optimizer.build(made.trainable_variables)
    held = made.trainable_variables, made.non_trainable_variables, optimizer.variables
    record(0)
    for step, (x, y) in enumerate(batches(), start=1):
        trained, kept, of_optimizer = ([variable.value for variable in part] for part in held)
        (loss, kept), gradients = gradient_of(trained, kept, x, y)
        trained, of_optimizer = optimizer.stateless_apply(of_optimizer, gradients, trained)
        for variables, values in zip(held, (trained, kept, of_optimizer)):
            for variable, value in zip(variables, values):
                variable.assign(value)
        record(step, {"loss": loss})


def of_torch(made: Any, record: Callable[..., None]) -> None:
    """With an optimizer of PyTorch, as people write it there."""
    import torch

    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    record(0)
    for step, (x, y) in enumerate(batches(), start=1):
        optimizer.zero_grad()
        loss = ((made(torch.from_numpy(x), training=True) - torch.from_numpy(y)) ** 2).mean()
        loss.backward()
        optimizer.step()
        record(step, {"loss": loss})


LOOPS = {"train_on_batch": on_batches, "of the framework": of_jax if BACKEND == "jax" else of_torch}


def looped(loop: str, made: Any, recorder: LayerRecorder | None) -> tuple[list[float], list[list[np.ndarray]]]:
    """The losses and weights of each step of a loop; the first ones are those before it."""
    losses, weights = list[float](), list[list[np.ndarray]]()

    def told(step: int, scalars: Any = None) -> None:
        losses.append(float(numpy_of(scalars["loss"])) if scalars else np.nan)
        weights.append([np.array(array) for array in made.get_weights()])
        if recorder is not None:
            recorder.record(step, scalars)

    LOOPS[loop](made, told)
    return losses, weights


@pytest.mark.parametrize("make", [models.two_layers, models.spectral], ids=["two layers", "spectral normalisation"])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.core("train_on_batch-two layers", "of the framework-two layers")
@pytest.mark.covers("Keras: LayerRecorder in a custom loop")
def test_a_loop_of_ones_own_is_logged_and_does_not_notice(loop: str, make: Callable[..., Any], tmp_path: Path) -> None:
    made = fresh(make)
    losses, weights = looped(loop, made, None)
    bare = {"losses": repr(losses), **left_by(made)}
    made = fresh(make)
    with LayerRecorder(made, tmp_path, (FEATURES[:16], TARGETS[:16]), schedule=1, keep=EXACT) as recorder:
        losses, _ = looped(loop, made, recorder)
    assert differing(bare, {"losses": repr(losses), **left_by(made)}) == []
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(STEPS + 1))
    assert {tensor.kind for tensor in run.tensors} == {"activation", "weight", "gradient", "update"}
    np.testing.assert_allclose(run.scalars["loss"], losses, rtol=1e-6)
    if make is models.two_layers:
        for step in run.steps:
            np.testing.assert_array_equal(logged(run, KERNEL, step), weights[step][0])
            assert_true(run, step, FEATURES[:16], TARGETS[:16])
        for step in range(1, STEPS + 1):
            change = weights[step][0] - weights[step - 1][0]
            np.testing.assert_array_equal(logged(run, ("hidden", "update", "kernel"), step), change)


def test_a_loop_around_train_on_batch_can_use_the_callback(tmp_path: Path) -> None:
    losses = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]):
        made = fresh()
        told = keras.callbacks.CallbackList(callbacks, model=made)
        told.on_train_begin()
        losses.append([made.train_on_batch(x, y) for x, y in batches()])
        told.on_train_end()
    np.testing.assert_array_equal(*losses)
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(STEPS + 1))
    np.testing.assert_array_equal(logged(run, KERNEL, STEPS), made.get_weights()[0])


# Several trainings.


def kernels(run: Run) -> list[np.ndarray]:
    return [logged(run, KERNEL, step) for step in run.steps]


@pytest.mark.covers("Keras: fit called again", "Keras: initial_epoch")
def test_fit_again_goes_on_where_it_ended(tmp_path: Path) -> None:
    made, callback = fresh(), LayerViewCallback(tmp_path, schedule=1, keep=EXACT)
    made.fit(FEATURES, TARGETS, batch_size=16, epochs=2, verbose=0, callbacks=[callback])
    between = made.get_weights()[0]
    made.fit(FEATURES, TARGETS, batch_size=16, initial_epoch=2, epochs=3, verbose=0, callbacks=[callback])
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(10))
    np.testing.assert_array_equal(kernels(run)[6], between)
    np.testing.assert_array_equal(kernels(run)[9], made.get_weights()[0])


@pytest.mark.long
@pytest.mark.covers("Keras: two models trained by turns")
def test_two_models_are_logged_apart(tmp_path: Path) -> None:
    made = {name: fresh(name_of) for name, name_of in (("one", models.two_layers), ("other", models.two_layers))}
    for _ in range(2):
        for name, model in made.items():
            callback = LayerViewCallback(tmp_path / name, schedule=1, keep=EXACT)
            model.fit(FEATURES, TARGETS, batch_size=16, verbose=0, callbacks=[callback])
    for name, model in made.items():
        run = LayerReader(tmp_path / name).run()
        assert list(run.steps) == list(range(7))
        np.testing.assert_array_equal(kernels(run)[6], model.get_weights()[0])


def test_weights_alone_are_logged_without_running_the_model(tmp_path: Path) -> None:
    made = fresh()
    callback = LayerViewCallback(tmp_path, schedule=1, select=Select(kinds=("weight", "update")), keep=EXACT)
    made.fit(FEATURES, TARGETS, batch_size=BATCH, verbose=0, callbacks=[callback])
    run = LayerReader(tmp_path).run()
    assert {tensor.kind for tensor in run.tensors} == {"weight", "update"} and "probe_loss" not in run.scalars
    np.testing.assert_array_equal(kernels(run)[STEPS], made.get_weights()[0])


@pytest.mark.covers("Keras: no reference that keeps the model or the probe alive", "Keras: no attribute left behind")
def test_after_the_training_nothing_holds_the_model(tmp_path: Path) -> None:
    def ended(*callbacks: Any) -> Any:
        made = fresh()
        made.fit(FEATURES, TARGETS, batch_size=BATCH, verbose=0, callbacks=list(callbacks))
        return weakref.ref(made)

    kept = LayerViewCallback(tmp_path, schedule=1)
    references = [ended(), ended(kept)]
    keras.backend.clear_session()
    gc.collect()
    assert [reference() for reference in references] == [None, None]
