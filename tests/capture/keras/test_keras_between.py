"""What lies between layers is known to keep places just where it does: held against what a changed place changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_keras import KERAS_3, array, keras, ops, tensor
from receptive_fields import keeps_places

import tb_layerview as lv
from tb_layerview import LayerReader, Select
from tb_layerview.format.model import Layer

L = keras.layers
# Square: what is transposed has the same shape.
SIZES = (5, 5)
Between = Callable[[Any], Any]


def _shifted(x: Any) -> Any:
    return ops.concatenate([x[:, 1:], x[:, :1]], axis=1)


def _excited(x: Any) -> Any:
    return x * ops.sigmoid(ops.sum(x, axis=(1, 2), keepdims=True))


#: What a model computes between two layers, of the same shape.
BETWEEN: dict[str, Between] = {
    "nothing": lambda x: x,
    "relu": ops.relu,
    "sum": lambda x: x + ops.sin(x) * 2.0 - 1.0,
    "gate": lambda x: x * ops.sigmoid(ops.cast(x, "float32")),
    "where": lambda x: ops.where(x > 0.0, x, ops.tanh(x)),
    "scaled": lambda x: x * tensor(np.array([1.0, 2.0], np.float32)),
    "placed": lambda x: x + tensor(np.arange(50, dtype=np.float32).reshape(1, 5, 5, 2)),
    "sqrt": lambda x: ops.sqrt(ops.abs(x) + 1.0),
    "shift": _shifted,
    "shift on one way": lambda x: x + _shifted(x),
    "flip": lambda x: ops.concatenate([x[:, :, i : i + 1] for i in reversed(range(5))], axis=2),
    "transposition": lambda x: ops.transpose(x, (0, 2, 1, 3)),
    "excitation": _excited,
    "softmax over space": lambda x: ops.softmax(x * 1.0, axis=1),
    "mean": lambda x: x - ops.mean(x, axis=(1, 2), keepdims=True),
}


class Beside(keras.Model):  # type: ignore[misc]
    """Each function between two convolutions, on the same input."""

    def __init__(self, between: dict[str, Between]) -> None:
        super().__init__()
        self.between = list(between.values())
        self.first = [L.Conv2D(2, 1, name=f"a{i}") for i in range(len(between))]
        self.second = [L.Conv2D(2, 3, name=f"b{i}") for i in range(len(between))]

    def call(self, x: Any) -> Any:
        return [b(f(a(x))) for a, f, b in zip(self.first, self.between, self.second)]


def logged(model: Any, folder: Path, select: Select | None = None) -> dict[str, Layer]:
    """The layers by path, of a model that takes [example, 5, 5, 2]."""
    probe = np.random.default_rng(0).normal(size=(2, *SIZES, 2)).astype(np.float32)
    model(probe)
    with lv.LayerRecorder(model, folder, probe=probe, select=select or Select()) as recorder:
        recorder.record(0)
    layers = LayerReader(folder).run().layers
    return {layer.path: layer for layer in layers}


def _keeps_places(function: Between) -> bool:
    return keeps_places(lambda x: array(function(ops.convert_to_tensor(x))), SIZES)


def test_what_lies_between_two_layers_is_said_to_keep_places_where_it_does(tmp_path: Path) -> None:
    layers = logged(Beside(BETWEEN), tmp_path)
    said = {name: layers[f"b{i}"].direct for i, name in enumerate(BETWEEN)}
    assert said == {name: _keeps_places(function) for name, function in BETWEEN.items()}
    assert set(said.values()) == {True, False}
    # A convolution keeps no places itself, and the first ones take the input as it is.
    assert not any(layer.in_place for layer in layers.values())
    assert all(layers[f"a{i}"].direct for i in range(len(BETWEEN)))


class Block(L.Layer):  # type: ignore[misc]
    """A convolution, and what it takes added to what it gives."""

    def __init__(self, added: Between, **given: Any) -> None:
        super().__init__(**given)
        self.conv, self.added = L.Conv2D(2, 3, padding="same", name="conv"), added

    def call(self, x: Any) -> Any:
        return ops.relu(self.conv(x) + self.added(x))


def test_a_layer_that_only_adds_what_others_make_works_in_place(tmp_path: Path) -> None:
    x = keras.Input((*SIZES, 2))
    y = L.Conv2D(2, 1, name="first")(x)
    y = Block(lambda x: x, name="kept")(y)
    y = Block(_shifted, name="shifted")(y)
    y = L.ReLU(name="relu")(y)
    y = L.Add(name="add")([y, L.Activation("tanh", name="tanh")(y)])
    y = L.Activation(_shifted, name="any_function")(y)
    y = L.BatchNormalization(name="norm")(y)
    layers = logged(keras.Model(x, L.Conv2D(2, 3, name="last")(y)), tmp_path)
    in_place = {path: layer.in_place for path, layer in layers.items() if path not in ("input", "norm")}
    works = ("kept", "relu", "add", "tanh")
    conv = {"kept/conv": False, "shifted/conv": False, "first": False, "last": False}
    assert in_place == {**dict.fromkeys(works, True), "shifted": False, "any_function": False, **conv}
    # What they take is what the layers before give, whatever they make of it.
    assert all(layer.direct for path, layer in layers.items() if path not in ("input", "kept", "shifted"))
    assert not layers["input"].direct


def test_behind_a_layer_that_is_left_out_nothing_is_known(tmp_path: Path) -> None:
    x = keras.Input((*SIZES, 2))
    y = L.Conv2D(2, 1, name="first")(x)
    y = L.Conv2D(2, 3, padding="same", name="middle")(y)
    model = keras.Model(x, L.Conv2D(2, 3, name="last")(y))
    assert logged(model, tmp_path / "all")["last"].direct
    layers = logged(model, tmp_path / "some", Select(exclude=("middle",)))
    assert list(layers) == ["input", "first", "last"] and layers["last"].inputs == (1,)
    assert layers["first"].direct and not layers["last"].direct
    # Of what comes of the input, which is left out.
    layers = logged(model, tmp_path / "without", Select(include=("first", "middle", "last")))
    assert not layers["first"].direct and layers["last"].direct


def test_a_layer_of_several_calls_is_direct_where_all_are(tmp_path: Path) -> None:
    class Model(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.twice, self.shifted = (L.Conv2D(2, 1, name=name) for name in ("first", "twice", "shifted"))

        def call(self, x: Any) -> Any:
            y = self.first(x)
            return [self.twice(y), self.twice(ops.relu(y)), self.shifted(y), self.shifted(_shifted(y))]

    layers = logged(Model(), tmp_path)
    assert layers["twice"].direct and not layers["shifted"].direct


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 takes no layer for an activation")
def test_what_a_convolutions_own_activation_layer_takes_is_not_what_the_convolution_takes(tmp_path: Path) -> None:
    x = keras.Input((*SIZES, 2))
    y = L.Conv2D(2, 3, activation=L.ReLU(name="own"), name="conv")(x)
    layers = logged(keras.Model(x, L.Conv2D(2, 1, name="last")(y)), tmp_path)
    own = next(layer for path, layer in layers.items() if path.endswith("own"))
    assert not own.direct and not own.in_place and layers["last"].direct
