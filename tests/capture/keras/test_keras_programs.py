"""Programs as people write them with Keras: layers of a class, models in models, weights changed by hand."""

from __future__ import annotations

import importlib
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_keras import IS_TENSORFLOW, array, keras, kernel_of, tensor
from places import HELPERS

from tb_layerview import Keep, LayerReader, LayerViewCallback
from tb_layerview.reading.run import Run

KERAS = ("keras_subclassed", "keras_nested", "keras_weights_by_hand")
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
# Keras 3 says that it could not build the subclassed models as their program asks it to; `fit` then does.
not_built = pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer:UserWarning")


def program(name: str) -> Any:
    """The program; where there is no TensorFlow, as somebody writes it who has none."""
    if IS_TENSORFLOW:
        return importlib.import_module(f"programs.{name}")
    path = HELPERS / "programs" / f"{name}.py"
    source = path.read_text().replace("import tensorflow as tf\n\nkeras = tf.keras\n", "import keras\n")
    assert "tf" not in source.split("def ")[0] and "import keras" in source
    module = types.ModuleType(name)
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


def read(folder: Path) -> Run:
    return LayerReader(folder).run()


def logged(run: Run, layer: str, step: int, kind: str = "activation", name: str = "output") -> np.ndarray:
    return run.values(run.tensor(layer, kind=kind, name=name), step).array


def assert_close(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@not_built
@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize("with_probe", [False, True], ids=["default probe", "given probe"])
@pytest.mark.core("default probe-keras_nested", "given probe-keras_subclassed", "default probe-keras_weights_by_hand")
def test_a_program_with_keras_trains_to_the_same_bits_with_the_callback(
    name: str, with_probe: bool, tmp_path: Path
) -> None:
    source, results = program(name), []
    probe = (source.X[:16], source.Y[:16]) if with_probe else None
    for callbacks in ([], [LayerViewCallback(tmp_path, probe, schedule=1)]):
        keras.utils.set_random_seed(4)
        model = source.make_model()
        history = model.fit(source.X, source.Y, batch_size=16, epochs=2, verbose=0, callbacks=callbacks).history
        results.append((history, model.get_weights()))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1], results[1][1]):
        np.testing.assert_array_equal(one, other)
    assert list(read(tmp_path).steps) == list(range(9))


@not_built
@pytest.mark.covers("Programs: Keras, subclassed", "Keras: subclassed")
def test_the_layers_of_a_subclassed_model_are_logged_as_its_list_of_layers_has_them(tmp_path: Path) -> None:
    source = program("keras_subclassed")
    model, run = fit(source, tmp_path)
    assert [layer.path for layer in run.layers] == ["input", "dense1", "dense2"]
    x = tensor(source.X[:16])
    for layer, own in zip(run.layers[1:], model.layers):
        for name, weight in zip(("kernel", "bias"), own.get_weights()):
            np.testing.assert_array_equal(logged(run, layer.path, 4, "weight", name), weight)
        x = own(x)
        assert_close(logged(run, layer.path, 4), array(x))


@pytest.mark.covers("Programs: Keras, functional with nested models", "Keras: models nested three deep")
def test_layers_of_models_in_models_are_logged_by_the_paths_on_which_one_finds_them(tmp_path: Path) -> None:
    source = program("keras_nested")
    model, run = fit(source, tmp_path)
    found = {path: layer for path, layer in source.layers_within(model) if layer.weights}
    assert list(found) == ["first", "block/core/narrow", "block/core/wide", "block/mixed", "last"]
    assert [layer.path for layer in run.layers] == ["input", *found]
    assert [layer.inputs for layer in run.layers] == [(), (0,), (1,), (2,), (3,), (4,)]
    x = tensor(source.X[:16])
    for path, layer in found.items():
        for name, weight in zip(("kernel", "bias"), layer.get_weights()):
            np.testing.assert_array_equal(logged(run, path, 4, "weight", name), weight)
        x = layer(x)
        assert_close(logged(run, path, 4), array(x))


@not_built
@pytest.mark.covers("Programs: Keras, weights changed by hand")
def test_weights_that_are_changed_by_hand_are_logged_as_they_are_then(tmp_path: Path) -> None:
    source = program("keras_weights_by_hand")
    model, run = fit(source, tmp_path)
    before = kernel_of(model.layers[0])
    np.testing.assert_array_equal(logged(run, "dense", 4, "weight", "kernel"), before)
    changed = source.disturb(model)
    callback = LayerViewCallback(tmp_path, (source.X[:16], source.Y[:16]), schedule=1, keep=EXACT)
    model.fit(source.X, source.Y, batch_size=16, verbose=0, callbacks=[callback])
    run = read(tmp_path)
    assert list(run.steps) == list(range(9))
    np.testing.assert_array_equal(logged(run, "dense", 4, "weight", "kernel"), changed)
    assert not np.array_equal(before, changed)
    bias = logged(run, "dense", 4, "weight", "bias").astype(float)
    assert_close(logged(run, "dense", 4), source.X[:16].astype(float) @ changed + bias)
    np.testing.assert_array_equal(logged(run, "dense", 8, "weight", "kernel"), model.layers[0].get_weights()[0])


def fit(source: Any, folder: Path) -> tuple[Any, Run]:
    """The program's model after four steps, and what was logged."""
    model = source.make_model()
    callback = LayerViewCallback(folder, (source.X[:16], source.Y[:16]), schedule=1, keep=EXACT)
    model.fit(source.X, source.Y, batch_size=16, verbose=0, callbacks=[callback])
    return model, read(folder)
