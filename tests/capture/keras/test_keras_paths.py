"""Layers of the same name: none vanishes, and each is the same one in all that is logged of a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tb_layerview import Check, Keep, LayerReader, LayerViewCallback, Select  # noqa: E402
from tb_layerview.capture.given import Given  # noqa: E402
from tb_layerview.capture.keras.anatomy import KERAS  # noqa: E402
from tb_layerview.capture.keras.tf.batch import Batch  # noqa: E402
from tb_layerview.capture.keras.tf.probe import ProbePass  # noqa: E402
from tb_layerview.capture.keras.tf.tracing import GraphTracing  # noqa: E402
from tb_layerview.capture.passes.calls import noting_calls  # noqa: E402
from tb_layerview.capture.passes.candidates import Pass  # noqa: E402
from tb_layerview.capture.passes.chosen import choose  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

keras = tf.keras
layers = keras.layers
KERAS_3 = hasattr(keras, "version") and keras.version() >= "3"
EXACT = Keep(precision="float32", activations=10**6, weights=10**6)

_random = np.random.default_rng(2)
X = _random.normal(size=(32, 4)).astype(np.float32)
Y = _random.normal(size=(32, 1)).astype(np.float32)


class Twins(keras.Model):  # type: ignore[misc]
    """Two layers of one name; where it does not train they are called the other way round, or the second one alone."""

    def __init__(self, order: str = "ab", inference: str | None = None) -> None:
        super().__init__()
        self.a = layers.Dense(4, name="conv")
        self.b = layers.Dense(4, name="conv")
        self.o = layers.Dense(1, name="o")
        self.orders = {True: order, False: inference or order}

    def call(self, x: Any, training: bool = False) -> Any:
        for name in self.orders[bool(training)]:
            x = getattr(self, name)(x)
        return self.o(x)


class Block(keras.Model):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.inner = layers.Dense(4, name="inner")

    def call(self, x: Any) -> Any:
        return self.inner(x) + x


class TwinBlocks(keras.Model):  # type: ignore[misc]
    """Two nested models of one name, of which the first is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.o = Block("block"), Block("block"), layers.Dense(1, name="o")

    def call(self, x: Any) -> Any:
        return self.o(self.first(self.second(self.first(x))))


def _built(model: Any) -> Any:
    model(X)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def _pass(model: Any, select: Select = Select(), training: bool = True) -> ProbePass:  # noqa: B008
    return ProbePass(
        model, Batch(tf.constant(X), tf.constant(Y)), "a test", Given(select, keep=EXACT), training=training
    )


def _kept(probe: ProbePass, path: str, kind: str, name: str) -> np.ndarray:
    measured = probe.run(0, with_values=True).measurements()
    (found,) = (
        measured[i].kept
        for i, t in enumerate(probe.model.tensors)
        if (probe.model.layers[t.layer].path, t.kind, t.name) == (path, kind, name)
    )
    return np.asarray(found)


def _paths(probe: ProbePass) -> list[str]:
    return [layer.path for layer in probe.model.layers]


def _fit(model: Any, folder: Path, **options: Any) -> Run:
    callback = LayerViewCallback(folder, schedule=1, keep=EXACT, **options)
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, validation_data=(X, Y), callbacks=[callback])
    return LayerReader(folder).run()


def _weight(run: Run, path: str, step: int) -> np.ndarray:
    return np.asarray(run.values(run.tensor(path, kind="weight", name="kernel"), step).array)


def test_two_layers_of_one_name_are_both_logged_in_the_order_of_their_calls(tmp_path: Path) -> None:
    model = _built(Twins(order="ba"))
    run = _fit(model, tmp_path)
    assert [layer.path for layer in run.layers] == ["input", "conv", "conv#2", "o"]
    assert run.layers[2].inputs == (1,)
    last = int(run.steps[-1])
    np.testing.assert_array_equal(_weight(run, "conv", last), model.b.get_weights()[0])
    np.testing.assert_array_equal(_weight(run, "conv#2", last), model.a.get_weights()[0])
    for kind in ("weight", "gradient", "update"):
        assert sum(t.kind == kind for t in run.tensors) == len(model.weights) == 6
    assert [note for note in run.model.notes if "conv, conv#2" in note]


def test_activations_of_two_layers_of_one_name_are_each_ones_own() -> None:
    model = _built(Twins())
    probe = _pass(model)
    first = X @ model.a.get_weights()[0] + model.a.get_weights()[1]
    second = first @ model.b.get_weights()[0] + model.b.get_weights()[1]
    np.testing.assert_allclose(_kept(probe, "conv", "activation", "output"), first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(_kept(probe, "conv#2", "activation", "output"), second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("select", "paths"),
    [
        (Select(include=("conv",)), ["conv"]),
        (Select(include=("conv#2",)), ["conv#2"]),
        (Select(include=("conv*",)), ["conv", "conv#2"]),
        (Select(exclude=("conv#2",)), ["input", "conv", "o"]),
    ],
    ids=["first", "second", "both", "without the second"],
)
def test_patterns_know_layers_by_the_same_names(select: Select, paths: list[str], tmp_path: Path) -> None:
    run = _fit(_built(Twins()), tmp_path, select=select)
    assert [layer.path for layer in run.layers] == paths


@pytest.mark.parametrize("inference", ["ba", "b"], ids=["the other way round", "the second alone"])
def test_a_layer_keeps_its_number_where_the_model_calls_others_when_it_does_not_train(
    inference: str, tmp_path: Path
) -> None:
    model = _built(Twins(inference=inference))
    run = _fit(model, tmp_path)
    last = int(run.steps[-1])
    evaluated = LayerReader(tmp_path).run("evaluate")
    for run_of_mode in (run, evaluated):
        np.testing.assert_array_equal(_weight(run_of_mode, "conv#2", last), model.b.get_weights()[0])
    assert ("conv" in evaluated.layers_logged) == ("a" in inference)


def test_what_a_layer_does_in_inference_mode_is_compared_with_itself() -> None:
    class Dropping(keras.Model):  # type: ignore[misc]
        """In inference mode the second dropout, which passes on what it takes, is called first."""

        def __init__(self) -> None:
            super().__init__()
            self.heavy = layers.Dropout(0.9, name="drop")
            self.light = layers.Dropout(1e-6, name="drop")
            self.o = layers.Dense(1, name="o")

        def call(self, x: Any, training: bool = False) -> Any:
            return self.o(self.light(self.heavy(x) + 100) if training else self.heavy(self.light(x + 100)))

    probe = _pass(_built(Dropping()))
    measured = probe.run(0, with_values=True).measurements()
    tensors = [(i, t) for i, t in enumerate(probe.model.tensors) if t.kind == "activation"]
    shifts = {probe.model.layers[t.layer].path: measured[i].sparse.get("shift", 0.0) for i, t in tensors}
    # Heavy: about 0 against about 100. Light: 100 in both modes.
    assert shifts["drop"] > 1 > 0.1 > shifts["drop#2"]


def test_a_replay_knows_the_layers_by_the_same_numbers(tmp_path: Path) -> None:
    model = _built(Twins(order="ba"))
    x = np.concatenate([X, X])
    x[40] = np.nan  # in the last batch but two
    callback = LayerViewCallback(tmp_path, schedule=1, keep=EXACT, check=Check(replay=True))
    model.fit(x, np.concatenate([Y, Y]), batch_size=8, epochs=1, verbose=0, shuffle=False, callbacks=[callback])
    run, replayed = LayerReader(tmp_path).run(), LayerReader(tmp_path).run("replay")
    step = int(replayed.steps[0])
    for path in ("conv", "conv#2"):
        np.testing.assert_array_equal(_weight(replayed, path, step), _weight(run, path, step - 1))


def test_two_nested_models_of_one_name_and_what_is_within_them() -> None:
    model = _built(TwinBlocks())
    probe = _pass(model)
    assert set(_paths(probe)) == {"input", "block", "block/inner", "block#2", "block#2/inner", "o"}
    np.testing.assert_array_equal(_kept(probe, "block/inner", "weight", "kernel"), model.first.inner.get_weights()[0])
    np.testing.assert_array_equal(
        _kept(probe, "block#2/inner", "weight", "kernel"), model.second.inner.get_weights()[0]
    )
    calls = [
        (probe.model.layers[t.layer].path, t.call) for t in probe.model.tensors if t.kind == "activation" and t.layer
    ]
    # A layer that is called twice is one layer with two calls, and no second one.
    assert {call for path, call in calls if path == "block/inner"} == {0, 1}
    assert {call for path, call in calls if path == "block#2/inner"} == {0}


def test_the_same_name_at_different_depths_needs_no_number() -> None:
    class Deep(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.block, self.inner, self.o = Block("block"), layers.Dense(4, name="inner"), layers.Dense(1, name="o")

        def call(self, x: Any) -> Any:
            return self.o(self.inner(self.block(x)))

    probe = _pass(_built(Deep()))
    assert {"block/inner", "inner"} <= set(_paths(probe))
    assert not [path for path in _paths(probe) if "#" in path]
    assert not [note for note in probe.model.notes if "number" in note]


@pytest.mark.skipif(KERAS_3, reason="names of Keras 3 hold no slash")
def test_a_slash_in_a_name_hides_no_layer_within_another() -> None:
    class Slashed(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.block, self.slash, self.o = (
                Block("block"),
                layers.Dense(4, name="block/inner"),
                layers.Dense(1, name="o"),
            )

        def call(self, x: Any) -> Any:
            return self.o(self.slash(self.block(x)))

    model = _built(Slashed())
    probe = _pass(model)
    np.testing.assert_array_equal(_kept(probe, "block/inner", "weight", "kernel"), model.block.inner.get_weights()[0])
    np.testing.assert_array_equal(_kept(probe, "block/inner#2", "weight", "kernel"), model.slash.get_weights()[0])


def test_the_models_inputs_and_the_model_itself_give_way_to_layers_of_their_names() -> None:
    class Named(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="net")
            self.first, self.o = layers.Dense(4, name="input"), layers.Dense(1, name="net")

        def call(self, x: Any) -> Any:
            return 2 * self.o(self.first(x))

    model = _built(Named())
    probe = _pass(model)
    np.testing.assert_array_equal(_kept(probe, "input#2", "activation", "output"), X)
    np.testing.assert_allclose(
        _kept(probe, "net#2", "activation", "output"), 2 * _kept(probe, "net", "activation", "output"), rtol=1e-6
    )
    assert any("input#2" in note for note in probe.model.notes)


def test_layers_that_are_made_anew_at_each_call_have_the_same_names_each_time() -> None:
    class Making(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.o = layers.Dense(1, name="o")
            self.made: list[Any] = []

        def call(self, x: Any) -> Any:
            for _ in range(2):
                made = layers.Activation("tanh", name="made")
                kept.append(made)
                x = made(x)
            return self.o(x)

    kept: list[Any] = []  # elsewhere than with the model, so that none of them dies
    model = _built(Making())
    assert [_paths(_pass(model)) for _ in range(2)] == [["input", "made", "made#2", "o"]] * 2


def test_a_layer_keeps_its_number_when_the_other_one_is_called_no_more() -> None:
    model = _built(Twins())
    assert {"conv", "conv#2"} <= set(_paths(_pass(model)))
    model.a = model.b
    paths = _paths(_pass(model))
    assert "conv#2" in paths
    assert "conv" not in paths


def test_a_weight_that_has_anothers_name_is_counted_and_named() -> None:
    model = _built(Twins())

    @tf.function
    def trace(x: Any) -> Any:
        with noting_calls(model, KERAS, GraphTracing()) as calls:
            model(x)
        colliding = [dataclasses.replace(call, path=call.path.partition("#")[0]) for call in calls]
        taps = choose(Pass(model, KERAS, [((), x)], colliding, tf.convert_to_tensor, None, {}), Given(keep=EXACT))
        notes.extend(taps.model.notes)
        return x

    notes: list[str] = []
    trace.get_concrete_function(tf.constant(X))
    (note,) = (note for note in notes if "weights are left out" in note)
    assert note.startswith("2 of the model's 6 weights") and note.endswith("conv/kernel, conv/bias")
