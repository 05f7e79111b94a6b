"""A layer of a person's own model is logged with the line at which it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_keras import keras, ops

from tb_layerview import Keep, LayerReader, LayerViewCallback

layers = keras.layers
HERE = Path(__file__)


class Scaled(layers.Layer):  # type: ignore[misc]
    """A layer of one's own, which calls another one."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.inner = layers.Dense(4, name="inner")

    def call(self, x: Any) -> Any:  # here: Scaled
        return self.inner(x) * 0.5  # here: inner


class Network(keras.Model):  # type: ignore[misc,name-defined]
    def __init__(self) -> None:
        super().__init__(name="network")
        self.scaled, self.act, self.out = Scaled(name="scaled"), layers.ReLU(name="act"), layers.Dense(1, name="out")

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.act(self.scaled(x))  # here: scaled
        x = ops.abs(x) + self.act(-x)  # here: act
        if training:
            x = x * 1.0
        return self.out(x)  # here: out


def line(mark: str) -> str:
    """Where this file has the mark."""
    text = HERE.read_text(encoding="utf-8").splitlines()
    (number,) = (i for i, of in enumerate(text, 1) if of.endswith(f"# here: {mark}"))
    return f"test_keras_sources.py:{number}"


def logged(model: Any, folder: Path, **keep: bool) -> dict[str, list[str]]:
    """Where each layer is called, as a log of a short training says it."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    model.compile("sgd", "mse")
    callback = LayerViewCallback(folder, schedule=1, keep=Keep(**keep))  # type: ignore[arg-type]
    model.fit(x, x[:, :1], batch_size=4, epochs=1, verbose=0, callbacks=[callback])
    return {layer.path: [str(source) for source in layer.sources] for layer in LayerReader(folder).run().layers}


def test_each_call_has_its_line_in_a_file_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE.parent)
    found = logged(Network(), tmp_path)
    assert found["scaled/inner"] == [line("inner")]
    assert found["act"] == [line("scaled"), line("act")]
    assert found["out"] == [line("out")]
    assert str(HERE.parent).encode() not in b"".join(
        path.read_bytes() for path in (tmp_path / "layers").iterdir() if path.is_file()
    )


def test_of_a_model_that_keras_calls_a_layer_of_ones_own_has_the_place_of_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE.parent)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="first"), Scaled(name="scaled")])
    found = logged(model, tmp_path)
    assert found["first"] == []
    assert found["scaled"] == [f"defined in {line('Scaled')}"]
    assert found["scaled/inner"] == [line("inner")]


class CalledByOwnCode(keras.Model):  # type: ignore[misc,name-defined]
    def __call__(self, *given: Any, **others: Any) -> Any:
        return super().__call__(*given, **others)


def test_what_calls_the_model_does_not_call_its_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE.parent)
    inputs = keras.Input((3,))
    model = CalledByOwnCode(inputs, layers.Dense(1, name="out")(layers.Dense(3, name="first")(inputs)))
    assert logged(model, tmp_path) == {"input": [], "first": [], "out": []}


def test_nothing_of_it_is_kept_if_that_is_not_wanted(tmp_path: Path) -> None:
    assert not any(logged(Network(), tmp_path, source=False).values())
    assert b"test_keras_sources" not in b"".join(path.read_bytes() for path in (tmp_path / "layers").iterdir())
