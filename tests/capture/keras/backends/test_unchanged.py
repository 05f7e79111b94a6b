"""A training is the same to the last bit with the callback, in all that it leaves behind."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_models as models
import numpy as np
import pytest
from keras_models import BACKEND, FEATURES, TARGETS
from keras_trainings import HERE, differing, left_by, numpy_of, trained

from tb_layerview import Check, LayerReader, LayerViewCallback, Schedule

#: What `make test` runs; `make test-long` has the others.
CORE = (
    "transformer",
    "nested",
    "spectral normalisation",
    "a module of PyTorch",
    "a DataLoader",
    "a GAN",
    "a validation",
    "a generator",
    "steps_per_execution",
)
#: What the trainings show that the report on coverage lists.
COVERS = {
    "a GAN": pytest.mark.covers("Keras: custom train_step"),
    "a PyDataset": pytest.mark.covers("Keras: Sequence"),
    "a generator": pytest.mark.covers("Keras: generators"),
    "a model that is not built": pytest.mark.covers("Keras: Sequential"),
    "a validation": pytest.mark.covers("Keras: the validation inside fit"),
    "cnn": pytest.mark.covers("Keras: BatchNormalization, moving statistics"),
    "gradient accumulation": pytest.mark.covers("Keras: gradient accumulation"),
    "jit_compile": pytest.mark.covers("Keras: jit_compile"),
    "lstm": pytest.mark.covers("Keras: LSTM, per timestep"),
    "mixed_bfloat16": pytest.mark.covers("Keras: mixed_bfloat16"),
    "mixed_float16": pytest.mark.covers("Keras: mixed_float16"),
    "nested": pytest.mark.covers("Keras: layers shared or called in a loop"),
    "run_eagerly": pytest.mark.covers("Keras: run_eagerly"),
    "sample weights": pytest.mark.covers("Keras: sample weights"),
    "spectral normalisation": pytest.mark.covers("Keras: Dropout"),
    "steps_per_execution": pytest.mark.covers("Keras: steps_per_execution"),
    "transformer": pytest.mark.covers("Keras: MultiHeadAttention, output"),
}
CASES = [pytest.param(name, marks=COVERS[name]) if name in COVERS else name for name in HERE]


@functools.cache
def bare_training(name: str) -> dict[str, Any]:
    return trained(HERE[name])[1]


@pytest.mark.core(*CORE)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_a_training_is_the_same_to_the_last_bit_with_the_callback(name: str, tmp_path: Path) -> None:
    _, logged = trained(HERE[name], lambda: [LayerViewCallback(tmp_path, schedule=3)])
    assert differing(bare_training(name), logged) == []
    run = LayerReader(tmp_path).run()
    last = 6 if name == "gradient accumulation" else 12  # the optimizer counts the steps
    assert (run.steps[0], run.steps[-1]) == (0, last) and len(run.steps) >= 3
    assert {"activation", "weight"} <= {tensor.kind for tensor in run.tensors}
    assert all(tensor.shape for tensor in run.tensors if tensor.kind == "activation")


@pytest.mark.core("nested")
@pytest.mark.parametrize("name", ["nested", "cnn"])
def test_it_is_the_same_when_every_step_is_logged_with_all_that_can_be_kept(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"schedule": 1, "check": Check(replay=True)}
    _, logged = trained(HERE[name], lambda: [LayerViewCallback(tmp_path, **options)])
    assert differing(bare_training(name), logged) == []
    assert list(LayerReader(tmp_path).run().steps) == list(range(13))


@pytest.mark.long
def test_it_is_the_same_on_the_default_schedule_and_with_another_probe(tmp_path: Path) -> None:
    probe = FEATURES[::-1][:10].copy(), TARGETS[:10]
    _, logged = trained(HERE["nested"], lambda: [LayerViewCallback(tmp_path, probe, schedule=Schedule())])
    assert differing(bare_training("nested"), logged) == []
    run = LayerReader(tmp_path).run()
    np.testing.assert_array_equal(run.values(run.tensor("input"), 12).array, probe[0].astype(np.float16))


class Touch(keras.callbacks.Callback):
    """Changes something of the training in its third batch."""

    def __init__(self, touch: Callable[[Any], None]) -> None:
        super().__init__()
        self._touch = touch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            self._touch(self.model)


def draw_of_the_backend(model: Any) -> None:
    keras.random.normal((1,))


def draw_of_torch(model: Any) -> None:
    import torch

    torch.rand(1)


def change_a_weight(model: Any) -> None:
    """By the smallest step that there is."""
    variable = model.trainable_variables[0]
    value = numpy_of(variable.value)
    value.flat[0] = np.nextafter(value.flat[0], np.float32(9))
    variable.assign(value)


def change_what_is_not_trained(model: Any) -> None:
    model.non_trainable_variables[0].assign(model.non_trainable_variables[0] + 1)


def leave_an_attribute(model: Any) -> None:
    model.left_behind = 1


def change_a_buffer(model: Any) -> None:
    model.get_layer("wrapped").module[1].num_batches_tracked.add_(1)


TOUCHES = {
    "Python's numbers": lambda _: random.random(),
    "numpy's numbers": lambda _: np.random.random(),
    "Keras's numbers": draw_of_the_backend,
    "a name": lambda _: keras.layers.Dense(1),
    "a weight": change_a_weight,
    "what is not trained": change_what_is_not_trained,
    "an attribute": leave_an_attribute,
    **({"PyTorch's numbers": draw_of_torch, "a buffer": change_a_buffer} if BACKEND == "torch" else {}),
}


@pytest.mark.core("numpy's numbers", "a weight", "PyTorch's numbers", "a buffer")
@pytest.mark.parametrize("touched", TOUCHES)
def test_what_is_compared_shows_a_touch(touched: str) -> None:
    name = "a module of PyTorch" if touched == "a buffer" else "nested"
    _, found = trained(HERE[name], lambda: [Touch(TOUCHES[touched])])
    assert differing(bare_training(name), found) != []


def test_evaluation_and_prediction_leave_all_as_it_was_and_give_the_same(tmp_path: Path) -> None:
    found = []
    for callbacks in ([], [LayerViewCallback(tmp_path)]):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        model = models.spectral(metrics=["mae"])
        model.fit(FEATURES, TARGETS, batch_size=8, verbose=0)
        loss = model.evaluate(FEATURES, TARGETS, batch_size=8, verbose=0, callbacks=callbacks)
        given = model.predict(FEATURES, batch_size=8, verbose=0, callbacks=callbacks)
        model.fit(FEATURES, TARGETS, batch_size=8, verbose=0)
        found.append({"loss": repr(loss), "given": given.tobytes(), **left_by(model)})
    assert differing(*found) == []
    assert LayerReader(tmp_path).names() == ["evaluate", "predict"]


@pytest.mark.covers("Keras: save and load afterwards", "Keras: clone_model afterwards", "Keras: fit called again")
def test_a_model_is_fit_again_saved_and_cloned_as_if_nothing_had_been_there(tmp_path: Path) -> None:
    found = []
    for name, callbacks in (("bare", []), ("logged", [LayerViewCallback(tmp_path / "log", schedule=2)])):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        model = models.normalised()
        for _ in range(2):
            history = model.fit(FEATURES, TARGETS, batch_size=8, verbose=0, callbacks=callbacks).history
        model.save(tmp_path / f"{name}.keras")
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        cloned = keras.models.clone_model(model)
        outputs = numpy_of(loaded(FEATURES, training=False))
        assert [layer.name for layer in cloned.layers] == [layer.name for layer in model.layers]
        found.append({"history": repr(history), "outputs": outputs.tobytes(), **left_by(model)})
    assert differing(*found) == []
    assert list(LayerReader(tmp_path / "log").run().steps) == [0, 2, 4, 6, 8, 10, 12]
