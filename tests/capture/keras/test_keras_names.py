"""What tensors of Keras models are called: outputs by their keys, and what quantized weights really hold."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tb_layerview import Keep  # noqa: E402
from tb_layerview.capture.given import Given  # noqa: E402
from tb_layerview.capture.keras.tf.batch import Batch  # noqa: E402
from tb_layerview.capture.keras.tf.probe import ProbePass  # noqa: E402

keras = tf.keras
layers = keras.layers
needs_keras_3 = pytest.mark.skipif(
    not (hasattr(keras, "version") and keras.version() >= "3"), reason="Keras 2 does not quantize"
)
EXACT = Keep(precision="float32", activations=10**6, weights=10**6)

_random = np.random.default_rng(6)
X = _random.normal(size=(16, 5)).astype(np.float32)
Y = _random.normal(size=(16, 1)).astype(np.float32)

Pair = collections.namedtuple("Pair", ("mean", "variance"))


class Logged:
    """What one pass measured, by layer, kind and name."""

    def __init__(self, model: Any, y: Any = Y) -> None:
        y = tf.nest.map_structure(tf.constant, y)
        self.probe = ProbePass(model, Batch(tf.constant(X), y), "a test", Given(keep=EXACT))
        self.notes = self.probe.model.notes
        measured = self.probe.run(0, with_values=True).measurements()
        self.measured: dict[Any, Any] = {
            (self.probe.model.layers[t.layer].path, t.kind, t.name): measured.get(i)  # no update: there was no step
            for i, t in enumerate(self.probe.model.tensors)
        }

    def names(self, path: str, kind: str = "activation") -> list[str]:
        return [name for of, kind_of, name in self.measured if (of, kind_of) == (path, kind)]

    def __call__(self, path: str, kind: str, name: str) -> Any:
        return np.asarray(self.measured[path, kind, name].kept)


class Gives(layers.Layer):  # type: ignore[misc]
    """Gives the inputs times 2, 3, ... in a structure of the test's."""

    def __init__(self, make: Any, **options: Any) -> None:
        super().__init__(**options)
        self.make = make

    def call(self, x: Any) -> Any:
        return self.make(2 * x, 3 * x, 4 * x)


def _model(make: Any) -> Any:
    class Model(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gives, self.o = Gives(make, name="gives"), layers.Dense(1, name="o")

        def call(self, x: Any) -> Any:
            return self.o(tf.add_n(tf.nest.flatten(self.gives(x))))

    model = Model()
    model(X)
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda a, b, c: {"mean": a, "log_var": b, "z": c}, {"output mean": 2, "output log_var": 3, "output z": 4}),
        (lambda a, b, c: {"z": a}, {"output z": 2}),  # noqa: ARG005
        (
            lambda a, b, c: {"z": a, "skips": [b, {"low": c}]},
            {"output z": 2, "output skips/0": 3, "output skips/1/low": 4},
        ),
        (lambda a, b, c: ({"z": a}, b, {"z": c}), {"output 0/z": 2, "output 1": 3, "output 2/z": 4}),
        (lambda a, b, c: Pair(a, [b, c]), {"output mean": 2, "output variance/0": 3, "output variance/1": 4}),
        (
            lambda a, b, c: {"a/b": a, "a": {"b": b}, "c": c},
            {"output a/b": 3, "output a/b#2": 2, "output c": 4},
        ),
        (lambda a, b, c: [a, b, c], {"output 0": 2, "output 1": 3, "output 2": 4}),
        (lambda a, b, c: (a, [b, c]), {"output 0": 2, "output 1": 3, "output 2": 4}),
        (lambda a, b, c: [a], {"output": 2}),  # noqa: ARG005
        (lambda a, b, c: a, {"output": 2}),  # noqa: ARG005
    ],
    ids=["dict", "one key", "nested", "tuple of dicts", "named", "one path", "list", "nested lists", "one", "tensor"],
)
def test_outputs_are_called_by_their_keys(make: Any, names: dict[str, int]) -> None:
    logged = Logged(_model(make))
    assert sorted(logged.names("gives")) == sorted(names)
    for name, factor in names.items():
        np.testing.assert_allclose(logged("gives", "activation", name), factor * X, rtol=1e-6)


def test_outputs_of_a_functional_model_are_called_by_their_keys() -> None:
    inputs = keras.Input((5,))
    hidden = layers.Dense(3, name="hidden")(inputs)
    outputs = {"b": layers.Dense(1, name="one")(hidden) * 2, "a": layers.Dense(1, name="two")(hidden) + 1}
    model = keras.Model(inputs, outputs, name="net")
    model.compile("sgd", {"a": "mse", "b": "mse"})
    logged = Logged(model, {"a": Y, "b": Y})
    truth = model(X)
    for key in ("a", "b"):
        name = f"output {key}"
        if name in logged.names("net"):  # Keras 2 gives a layer to each operation, which is what is logged
            np.testing.assert_allclose(logged("net", "activation", name), truth[key], rtol=1e-5, atol=1e-6)
    assert not [name for name in logged.names("net") if name in ("output 0", "output 1")]


def test_outputs_are_compared_with_the_same_ones_in_inference_mode() -> None:
    class Modes(layers.Layer):  # type: ignore[misc]
        """In inference mode it gives something else by the first of its names."""

        def call(self, x: Any, training: bool = False) -> Any:
            return {"a": x + 1, "b": x} if training else {"b": x * 1, "c": x + 50}

    class Model(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.modes, self.o = Modes(name="modes"), layers.Dense(1, name="o")

        def call(self, x: Any, training: bool = False) -> Any:
            return self.o(self.modes(x, training=training)["b"])

    model = Model()
    model(X)
    model.compile("sgd", "mse")
    logged = Logged(model)
    assert logged.names("modes") == ["output a"] or logged.names("modes") == ["output a", "output b"]
    assert not any(
        measured and measured.sparse.get("shift") for key, measured in logged.measured.items() if key[0] == "modes"
    )


# Quantized.


def _nibbles(packed: Any, size: int) -> Any:
    """Two numbers of four bits each of every byte, the lower one first, in numpy."""
    bits = np.asarray(packed).astype(np.uint8)
    pairs = np.stack([bits & 15, bits >> 4], axis=-1).reshape(*bits.shape[:-1], -1)[..., :size].astype(np.int64)
    return np.where(pairs > 7, pairs - 16, pairs)


@needs_keras_3
@pytest.mark.parametrize("units", [6, 7], ids=["even", "odd"])
def test_int4_kernels_are_the_numbers_and_not_the_bytes(units: int) -> None:
    model = keras.Sequential([keras.Input((5,)), layers.Dense(units, name="q"), layers.Dense(1, name="o")])
    dense = model.layers[0]
    float_kernel = np.asarray(dense.kernel)
    model.quantize("int4")
    model.compile("sgd", "mse")
    logged = Logged(model)
    packed = next(weight for weight in dense.weights if weight.name == "kernel")
    assert packed.shape == (5, -(-units // 2))
    kernel = logged("q", "weight", "kernel")
    np.testing.assert_array_equal(kernel, _nibbles(packed, units))
    scale, zero = logged("q", "weight", "kernel_scale"), logged("q", "weight", "kernel_zero")
    np.testing.assert_array_less(np.abs((kernel - zero) * scale - float_kernel), np.broadcast_to(scale, kernel.shape))
    digest = logged.measured["q", "weight", "kernel"].digest
    assert (digest.size, digest.max <= 7, digest.min >= -8) == (5 * units, True, True)
    assert [note for note in logged.notes if note.startswith("q: kernel is of int4 numbers")]


@needs_keras_3
def test_int4_embeddings_are_the_numbers_and_what_is_packed_otherwise_is_called_so() -> None:
    inputs = keras.Input((5,))
    tokens = layers.Embedding(9, 5, name="e")(layers.Lambda(lambda x: tf.cast(tf.abs(x), tf.int32), name="t")(inputs))
    outputs = layers.Dense(1, name="o")(layers.EinsumDense("abc,cd->abd", (None, 4), name="einsum")(tokens))
    model = keras.Model(inputs, outputs)
    model.quantize("int4")
    model.compile("sgd", "mse")
    logged = Logged(model, np.zeros((16, 5, 1), np.float32))
    embedding = next(weight for weight in model.get_layer("e").weights if weight.name == "embeddings")
    np.testing.assert_array_equal(logged("e", "weight", "embeddings"), _nibbles(embedding, 5))
    kernel = next(weight for weight in model.get_layer("einsum").weights if weight.name == "kernel")
    assert "kernel" not in logged.names("einsum", "weight")
    np.testing.assert_array_equal(logged("einsum", "weight", "kernel (packed)"), np.asarray(kernel))
    assert [note for note in logged.notes if note.startswith("einsum: kernel (packed) holds two numbers")]


@needs_keras_3
def test_float8_scales_have_no_gradient_as_their_next_value_is_none() -> None:
    policy = keras.dtype_policies.get("float8_from_float32")
    model = keras.Sequential([keras.Input((5,)), layers.Dense(6, name="q", dtype=policy), layers.Dense(1, name="o")])
    model.compile("sgd", "mse")
    logged = Logged(model)
    assert sorted(logged.names("q", "gradient")) == ["bias", "kernel"]
    assert len(logged.names("q", "weight")) == len(logged.names("q", "update")) == 8
    (note,) = [note for note in logged.notes if "float8" in note]
    assert all(f"q/{of}_{what}" in note for of in ("inputs", "kernel") for what in ("scale", "amax_history"))


@needs_keras_3
def test_int8_kernels_stay_what_they_are() -> None:
    model = keras.Sequential([keras.Input((5,)), layers.Dense(6, name="q")])
    model.quantize("int8")
    model.compile("sgd", "mse")
    logged = Logged(model)
    kernel = next(weight for weight in model.layers[0].weights if weight.name == "kernel")
    np.testing.assert_array_equal(logged("q", "weight", "kernel"), np.asarray(kernel))
    assert logged.notes == ()
