"""A batch that breaks a training is run again, and what fails ends no training and leaves every model usable."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras_by_hand import Weights
from keras_models import compiled, two_layers
from keras_trainings import BACKEND, differing, left_by, numpy_of
from two_layers import logged

from tb_layerview import Check, Keep, LayerReader, LayerRecorder, LayerViewCallback, Select
from tb_layerview.health.finding import Finding
from tb_layerview.health.of_run import diagnose_run

EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
BATCH, BATCHES = 8, 12
STEP = 7  # is what the batch that holds the bad example makes

rng = np.random.default_rng(3)
X = rng.uniform(0.1, 1, size=(BATCH * BATCHES, 6)).astype(np.float32)
Y = rng.normal(size=(len(X), 3)).astype(np.float32)
BROKEN = X.copy()
BROKEN[BATCH * (STEP - 1) + 3] = -1  # there is no logarithm of its sum
BAD = slice(BATCH * (STEP - 1), BATCH * STEP)


def breaking(**options: Any) -> Any:
    """What the bad example breaks is `birth`, in the middle."""
    inputs = keras.Input((6,), name="features")
    sums = layers.Lambda(lambda t: ops.sum(t, axis=-1, keepdims=True), name="sums", output_shape=(1,))(inputs)
    born = layers.Lambda(ops.log, name="birth", output_shape=(1,))(sums)
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    hidden = layers.Dropout(0.3, name="dropout")(layers.BatchNormalization(name="norm")(hidden))
    joined = layers.Concatenate(name="joined")([hidden, born])
    return compiled(keras.Model(inputs, layers.Dense(3, name="scores")(joined)), **options)


def fit(x: Any = BROKEN, callbacks: Any = (), make: Any = breaking, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Trains a new model; returns it, and what the training left."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(4)
    made = make()
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **options}
    history = made.fit(x, Y, callbacks=list(callbacks), **options).history
    return made, {"history": repr(history), **left_by(made)}


def lead(folder: Path) -> Finding:
    """The first cause of what is said of a training."""
    reader = LayerReader(folder)
    return diagnose_run(reader.run(), reader.run("replay") if "replay" in reader.names() else None)[0]


def assert_found(folder: Path) -> None:
    found = lead(folder)
    assert found.tensor is not None and found.replay is not None, found
    assert (found.rule, found.severity) == ("non_finite", "error")
    assert (found.tensor.layer, found.tensor.kind) == ("birth", "activation")
    assert (found.first, found.before, found.replay.step) == (STEP, STEP - 1, STEP)


@dataclasses.dataclass(frozen=True)
class Broken:
    """A training that broke, logged into a folder: what was said, and the weights at each step without logging."""

    folder: Path
    said: list[str]
    weights: Weights
    differences: list[str]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    weights, folder, said = Weights(), tmp_path_factory.mktemp("broken"), list[str]()
    _, bare = fit(callbacks=[weights])
    handler, logger = logging.Handler(logging.WARNING), logging.getLogger("tb_layerview")
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    _, logged_too = fit(callbacks=[LayerViewCallback(folder, schedule=5, keep=EXACT, check=Check(replay=True))])
    logger.removeHandler(handler)
    return Broken(folder, said, weights, differing(bare, logged_too))


def test_the_layer_and_the_step_at_which_a_batch_broke_the_training_are_named(broken: Broken) -> None:
    assert broken.differences == []
    assert_found(broken.folder)
    assert f"since step {STEP}, replayed: activation 'output' of layer 'birth'" in broken.said[0]
    assert len(broken.said) == 1, broken.said  # everything else follows from it


def test_what_is_replayed_is_the_batch_on_the_weights_right_before_it(broken: Broken) -> None:
    run = LayerReader(broken.folder).run("replay")
    assert (list(run.steps), run.modes) == ([STEP], ("replay",))
    np.testing.assert_array_equal(logged(run, ("input", "activation", "output"), STEP), BROKEN[BAD])
    made = breaking()
    made.set_weights(broken.weights.at[STEP - 1])
    for name in ("hidden", "scores"):
        for which, truth in zip(("kernel", "bias"), made.get_layer(name).get_weights()):
            np.testing.assert_array_equal(logged(run, (name, "weight", which), STEP), truth)
    hidden = made.get_layer("hidden")(BROKEN[BAD])
    np.testing.assert_allclose(logged(run, ("hidden", "activation", "output"), STEP), numpy_of(hidden), rtol=1e-5)
    normalised = numpy_of(made.get_layer("norm")(hidden, training=True))
    dropped = logged(run, ("dropout", "activation", "output"), STEP)
    truth = np.where(dropped == 0, 0, normalised / np.float32(0.7))
    np.testing.assert_allclose(dropped, truth, rtol=1e-4, atol=1e-5)
    born = logged(run, ("birth", "activation", "output"), STEP)
    assert np.isnan(born).ravel().tolist() == [False] * 3 + [True] + [False] * 4


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": False}], ids=["eager", "not compiled"])
@pytest.mark.long
def test_however_the_training_runs_the_replay_names_the_layer(options: dict[str, Any], tmp_path: Path) -> None:
    callback = LayerViewCallback(tmp_path, keep=EXACT, check=Check(replay=True))
    fit(callbacks=[callback], make=lambda: breaking(**options))
    assert_found(tmp_path)


def test_a_loop_of_ones_own_hands_over_its_batches(tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    made = breaking()
    probe = X[:BATCH], Y[:BATCH]
    with LayerRecorder(made, tmp_path, probe, schedule=5, keep=EXACT, check=Check(replay=True)) as recorder:
        recorder.record(0)
        for step in range(1, BATCHES + 1):
            x, y = (part[BATCH * (step - 1) : BATCH * step] for part in (BROKEN, Y))
            loss = np.ravel(made.train_on_batch(x, y))[0]
            recorder.record(step, {"loss": loss}, batch=(x, y))
    assert_found(tmp_path)


@pytest.mark.long
def test_without_a_replay_no_layer_is_named(tmp_path: Path) -> None:
    fit(callbacks=[LayerViewCallback(tmp_path, check=Check(replay=False))])
    assert LayerReader(tmp_path).names() == ["."]
    assert (lead(tmp_path).tensor, lead(tmp_path).replay) == (None, None)


def test_a_training_stops_at_a_finding_and_logs_the_step_it_stops_after(tmp_path: Path) -> None:
    weights = Weights()
    ours = LayerViewCallback(tmp_path, schedule=1, keep=EXACT, check=Check(stop_on="error", replay=False))

    class Wait(keras.callbacks.Callback):
        """Until the rules have looked at the step that was handed over."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            assert ours._training is not None
            ours._training.recording.log.flush()

    made, _ = fit(callbacks=[weights, ours, Wait()])
    run = LayerReader(tmp_path).run()
    assert made.stop_training and len(weights.logs) < BATCHES
    assert run.steps[-1] == len(weights.logs) in (STEP, STEP + 1)
    np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), run.steps[-1]), made.get_weights()[0])


# What fails.


class Fails(keras.callbacks.Callback):
    """Raises an error of the user's own, at a moment."""

    def __init__(self, moment: str, batch: int) -> None:
        super().__init__()
        self._batch = batch
        setattr(self, moment, self._fail)

    def _fail(self, batch: int, logs: Any = None) -> None:
        if batch == self._batch:
            raise ZeroDivisionError("of the user's own")


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("moment", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_end"])
@pytest.mark.core("on_train_batch_end-before")
def test_an_error_of_a_users_callback_leaves_what_it_leaves_without_logging(
    moment: str, order: str, tmp_path: Path
) -> None:
    """And a model that is trained on as if nothing had been."""
    found = []
    for is_logged in (False, True):
        keras.backend.clear_session()
        keras.utils.set_random_seed(4)
        made = two_layers()
        fails = Fails(moment, 0 if moment == "on_epoch_end" else 3)
        ours = [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)] if is_logged else []
        callbacks = [*ours, fails] if order == "after" else [fails, *ours]
        with pytest.raises(ZeroDivisionError):
            made.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
        weights = [np.array(array) for array in made.get_weights()]
        history = made.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=ours).history
        found.append({"weights": [array.tobytes() for array in weights], "history": repr(history), **left_by(made)})
    assert differing(*found) == []
    run = LayerReader(tmp_path).run()
    np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), run.steps[-1]), made.get_weights()[0])


class NotOf32(layers.Layer):
    """Refuses just as many examples as a probe has, which no batch of the training has."""

    def call(self, inputs: Any) -> Any:
        if inputs.shape[0] == 32:
            raise RuntimeError("32 are not to be looked at")
        return inputs * 1.0


def test_a_first_batch_that_cannot_be_cut_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    """What is tried in vain raises in the first step, where on JAX the model would lose its weights."""

    def make() -> Any:
        inputs = keras.Input((6,), name="features")
        return compiled(keras.Model(inputs, layers.Dense(3, name="scores")(NotOf32(name="size")(inputs))))

    _, bare = fit(X, make=make, batch_size=40)
    _, found = fit(X, [LayerViewCallback(tmp_path, schedule=1)], make=make, batch_size=40)
    assert differing(bare, found) == []
    run = LayerReader(tmp_path).run()
    assert run.tensor("size").shape == (40, 6) and list(run.steps) == [0, 1, 2, 3]
    assert any("32 are not to be looked at" in note for note in run.model.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"select": Select(include=("dnese*",))}, "include pattern 'dnese\\*' matches none"),
        ({"probe": (X[:4, :5], Y[:4])}, "probe"),
        ({"probe": "no batch"}, "the probe is no batch"),
    ],
    ids=["a pattern that matches nothing", "a probe of the wrong shape", "no probe"],
)
def test_what_is_refused_leaves_the_weights_and_is_refused_before_the_first_step(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(4)
    made = two_layers()
    before = [np.array(array) for array in made.get_weights()]
    with pytest.raises(ValueError, match=words):
        made.fit(X, Y, batch_size=BATCH, verbose=0, callbacks=[LayerViewCallback(tmp_path, **options)])
    for one, other in zip(before, made.get_weights()):
        np.testing.assert_array_equal(one, other)
    made.fit(X, Y, batch_size=BATCH, verbose=0)
    assert not np.array_equal(before[0], made.get_weights()[0])
    assert numpy_of(made.optimizer.iterations) == BATCHES


@pytest.mark.long
@pytest.mark.skipif(BACKEND != "jax", reason="Keras refuses it on PyTorch")
def test_batches_that_cannot_be_had_are_said_to_be_missing(tmp_path: Path) -> None:
    callback = LayerViewCallback(tmp_path, check=Check(replay=True))
    fit(callbacks=[callback], make=lambda: breaking(steps_per_execution=4))
    notes = LayerReader(tmp_path).run().model.notes
    assert any("steps_per_execution=4" in note for note in notes), notes
