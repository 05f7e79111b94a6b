"""Functions that are traced once for the probe: structures, kernels, and which models are traced in both modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tb_layerview import LayerReader, LayerViewCallback
from tb_layerview.capture.keras.tf import probe
from tb_layerview.capture.keras.tf.traced import Traced

layers = tf.keras.layers
_RNG = np.random.RandomState(0)


def test_structures_go_in_and_come_back() -> None:
    ragged, sparse = tf.ragged.constant([[1.0, 2.0], [3.0]]), tf.sparse.from_dense([[0.0, 2.0], [3.0, 0.0]])

    def function(x: Any, nothing: Any, more: Any) -> Any:
        assert nothing is None
        total = tf.reduce_sum(x["b"]) + tf.sparse.reduce_sum(more[1])
        return {"b": x["a"] - x["b"], "none": None, "ragged": more[0] * 2.0, "total": (total,)}

    given = {"b": tf.constant([1.0, 5.0]), "a": tf.constant([10.0, 20.0])}
    traced = Traced(function, given, None, (ragged, sparse))
    for factor in (1.0, 3.0):
        x = {name: tensor * factor for name, tensor in given.items()}
        found = traced(x, None, (ragged * factor, sparse * factor))
        assert found["b"].numpy().tolist() == [9.0 * factor, 15.0 * factor]
        assert found["none"] is None
        assert found["ragged"].to_list() == [[2.0 * factor, 4.0 * factor], [6.0 * factor]]
        assert found["total"][0].numpy() == 11.0 * factor


def test_variables_are_read_as_they_are_and_written() -> None:
    variable = tf.Variable([1.0, 2.0])

    def function(by: Any) -> Any:
        before = tf.identity(variable)
        variable.assign_add(by)
        return before

    traced = Traced(function, tf.constant([1.0, 1.0]))
    assert traced(tf.constant([10.0, 20.0])).numpy().tolist() == [1.0, 2.0]
    assert traced(tf.constant([0.0, 0.0])).numpy().tolist() == [11.0, 22.0]


def test_a_function_of_nothing_that_returns_nothing_can_be_called() -> None:
    def nothing() -> dict[str, Any]:
        return {}

    assert Traced(nothing)() == {}


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_what_a_relu_makes_of_nan_is_what_it_makes_of_it_in_any_function(kind: str) -> None:
    # On some processors a product, its bias and a ReLU are one kernel, which makes 0 of NaN.
    shape = (4, 6) if kind == "dense" else (2, 8, 8, 3)
    x = _RNG.randn(*shape).astype("float32")
    x[0] = np.nan
    kernel = tf.constant(_RNG.randn(*((6, 8) if kind == "dense" else (3, 3, 3, 8))), tf.float32)

    def function(x: Any) -> Any:
        product = tf.matmul(x, kernel) if kind == "dense" else tf.nn.conv2d(x, kernel, 1, "SAME")
        return tf.nn.relu(tf.nn.bias_add(product, tf.ones([8])))

    given = tf.constant(x)
    np.testing.assert_array_equal(Traced(function, given)(given), tf.function(function)(given))


class _Noise(layers.Layer):
    """Does something else when it trains."""

    def call(self, x: Any, training: Any = None) -> Any:
        return x + 1.0 if training else x


class _Own(layers.Layer):
    """Does not say what it does."""

    def call(self, x: Any) -> Any:
        return x * 2.0


@pytest.mark.parametrize(
    ("make", "is_traced"),
    [
        (lambda: layers.ReLU(), False),
        (lambda: tf.keras.Sequential([layers.Dense(4, activation="tanh")]), False),
        (lambda: layers.BatchNormalization(), True),
        (lambda: layers.Dropout(0.5), True),
        (lambda: tf.keras.Sequential([layers.Dropout(0.5)]), True),
        (lambda: _Noise(), True),
        (lambda: _Own(), True),
    ],
)
def test_a_model_is_traced_in_inference_mode_where_a_layer_may_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, is_traced: bool
) -> None:
    traced = []

    class Counted(probe.InferencePass):
        def __init__(self, *args: Any) -> None:
            traced.append(args)
            super().__init__(*args)

    monkeypatch.setattr(probe, "InferencePass", Counted)
    given = tf.keras.Input((4,))
    model = tf.keras.Model(given, layers.Dense(1)(make()(layers.Dense(4)(given))))
    model.compile("sgd", "mse")
    x = _RNG.randn(8, 4).astype("float32")
    model.fit(x, x[:, :1], verbose=0, callbacks=[LayerViewCallback(tmp_path)])
    assert bool(traced) == is_traced
    assert LayerReader(tmp_path).run().steps.tolist() == [0, 1]


@pytest.mark.parametrize("make", [lambda: layers.Dense(3), lambda: layers.EinsumDense("ab,bc->ac", 3, bias_axes="c")])
def test_layers_that_are_traced_once_do_the_same_in_both_modes(make: Any) -> None:
    layer, x = make(), tf.constant(_RNG.randn(5, 4), tf.float32)
    np.testing.assert_array_equal(layer(x, training=True), layer(x, training=False))
