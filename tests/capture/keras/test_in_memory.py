"""Tensors that wait to be measured while the training goes on: what is logged is what they were, to the last bit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from tb_layerview import Keep, LayerReader, LayerViewCallback  # noqa: E402
from tb_layerview.format.model import USUAL_KINDS  # noqa: E402
from tb_layerview.measure.tf import in_memory  # noqa: E402
from tb_layerview.measure.tf.tap import Tap  # noqa: E402
from tb_layerview.writing import thread  # noqa: E402

STEPS = 12
EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=16, precision="float32")
rng = np.random.default_rng(8)
WORDS = rng.integers(0, 50, (16 * STEPS, 6))
LABELS = rng.integers(0, 4, 16 * STEPS)


class Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Copies the weights before the first and after each step, and has memory taken and given back meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[list[Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._copy()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._copy()
        for weight in self.model.weights:  # of the sizes that are free, if anything of ours is
            np.asarray(tf.fill(weight.shape, np.nan))

    def _copy(self) -> None:
        self.weights.append(self.model.get_weights())


def _model(optimizer: str, jit_compile: bool) -> Any:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Embedding(50, 16, name="words"),
            layers.Flatten(name="flat"),
            layers.Dense(64, activation="relu", name="wide"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(4, name="scores"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=jit_compile)
    return model


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["", "XLA"])
@pytest.mark.core("-sgd", "XLA-adam")
def test_what_waits_is_measured_as_it_was(
    tmp_path: Path, lagging: list[int], optimizer: str, jit_compile: bool
) -> None:
    assert in_memory.is_possible(), "there is no native digest: python build_native.py makes it"
    watch = Watch()
    model = _model(optimizer, jit_compile)
    callback = LayerViewCallback(tmp_path, keep=EXACT, schedule=1)
    model.fit(WORDS, LABELS, batch_size=16, verbose=0, shuffle=False, callbacks=[callback, watch])
    assert len(lagging) > STEPS

    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == list(range(STEPS + 1))
    names = [
        ("words", "embeddings"),
        ("wide", "kernel"),
        ("wide", "bias"),
        ("norm", "gamma"),
        ("norm", "beta"),
        ("norm", "moving_mean"),
        ("norm", "moving_variance"),
        ("scores", "kernel"),
        ("scores", "bias"),
    ]
    assert len(names) == len(model.weights)
    for at, (layer, name) in enumerate(names):
        for step in range(STEPS + 1):
            truth = watch.weights[step][at]
            values = run.values(run.tensor(layer, kind="weight", name=name), step).array
            np.testing.assert_array_equal(values, truth, f"{layer}/{name} at {step}")
            if step and not name.startswith("moving"):
                change = run.values(run.tensor(layer, kind="update", name=name), step).array
                np.testing.assert_array_equal(change, truth - watch.weights[step - 1][at], f"{layer}/{name} at {step}")


def test_operations_of_tensorflow_and_a_look_at_memory_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    for place in ("memory", "device"):
        if place == "device":
            monkeypatch.setattr(in_memory, "is_possible", lambda: False)
        model = _model("adam", False)
        callback = LayerViewCallback(tmp_path / place, keep=EXACT, schedule=3)
        history = model.fit(WORDS, LABELS, batch_size=16, verbose=0, shuffle=False, callbacks=[callback])
        losses.append(history.history["loss"])
    assert losses[0] == losses[1]
    here, there = (LayerReader(tmp_path).run(place) for place in ("memory", "device"))
    assert here.tensors == there.tensors and {tensor.kind for tensor in here.tensors} == set(USUAL_KINDS)
    assert here.steps.tolist() == there.steps.tolist() == [0, 3, 6, 9, 12]
    for name in ("size", "nan", "zero", "negative", "min", "max"):
        np.testing.assert_array_equal(here.statistics(name), there.statistics(name), name)
    for name in ("mean", "std", "rms", "p5", "p50", "p95", "spread", "rank", "silent"):
        np.testing.assert_allclose(here.statistics(name), there.statistics(name), 1e-4, 1e-7, err_msg=name)
    for tensor in here.tensors:
        np.testing.assert_array_equal(here.values(tensor, 9).array, there.values(tensor, 9).array, str(tensor))


def test_a_training_waits_while_more_than_is_allowed_waits(
    tmp_path: Path, lagging: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "MOST_HELD", 10_000)
    held: list[int] = []
    put = thread.WritingThread.put

    def watched(self: Any, action: Any, nbytes: int = 0) -> None:
        put(self, action, nbytes)
        held.append(self._held)

    monkeypatch.setattr(thread.WritingThread, "put", watched)
    model = _model("sgd", False)
    callback = LayerViewCallback(tmp_path, keep=EXACT, schedule=1)
    model.fit(WORDS, LABELS, batch_size=16, verbose=0, shuffle=False, callbacks=[callback])
    assert lagging and max(held) <= 10_000
    assert LayerReader(tmp_path).run().steps.tolist() == list(range(STEPS + 1))


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "bool", "int8", "uint8", "int32", "int64", "uint64"]
)
def test_an_eager_tensor_is_looked_at_where_it_lies(dtype: str) -> None:
    tensor = tf.cast(tf.random.uniform([100, 7], 0, 2), dtype)
    part = in_memory.handed({}, in_memory.prepare({0: Tap(tensor)}), with_values=False)
    assert np.shares_memory(part.arrays[0], np.asarray(tensor))
    assert part.nbytes == 700 * tensor.dtype.size
    np.testing.assert_array_equal(part.arrays[0], tensor.numpy())


def _aligned(shape: tuple[int, ...]) -> Any:
    size = 4 * int(np.prod(shape))
    raw = np.zeros(size + 64, np.uint8)
    return raw[(at := -raw.ctypes.data % 64) : at + size].view(np.float32).reshape(shape)


def test_what_a_python_function_gives_is_copied_before_it_writes_again(tmp_path: Path, lagging: list[int]) -> None:
    x = rng.normal(size=(16 * STEPS, 64)).astype(np.float32)

    class Handing(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.buffer = _aligned((16, shape[-1]))

        def call(self, x: Any) -> Any:
            def fill(values: Any) -> Any:
                self.buffer[: len(values)] = np.abs(values)
                return self.buffer[: len(values)]

            found = tf.numpy_function(fill, [x], tf.float32)
            found.set_shape(x.shape)
            return found

    model = keras.Sequential([keras.Input((64,)), Handing(name="filled"), keras.layers.Dense(4, name="scores")])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=False)
    callback = LayerViewCallback(tmp_path, keep=EXACT, schedule=4)  # the steps between fill it with other numbers
    slowly = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: time.sleep(0.02))
    model.fit(x, LABELS, batch_size=16, verbose=0, shuffle=False, callbacks=[callback, slowly])
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == [0, 4, 8, 12] and len(lagging) >= 4
    means = run.statistics("mean")[run.tensor("filled", kind="activation").index]
    np.testing.assert_allclose(means, np.abs(x[:16]).mean(), 1e-6)


def test_a_probe_from_a_buffer_that_is_filled_again_stays_what_it_was(tmp_path: Path, lagging: list[int]) -> None:
    words, labels = _aligned((16, 6)), np.zeros(16, np.int64)

    def batches() -> Any:
        for step in range(STEPS):
            words[:] = WORDS[16 * step : 16 * step + 16]
            yield words, labels

    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Reshape((3, 2), name="shaped"), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(batches(), verbose=0, callbacks=[LayerViewCallback(tmp_path, keep=EXACT, schedule=1)])
    run = LayerReader(tmp_path).run()
    tensor = run.tensor("shaped", kind="activation")
    first = run.values(tensor, 0).array
    for step in run.steps.tolist():
        np.testing.assert_array_equal(run.values(tensor, step).array, first)
    assert len(set(run.statistics("mean")[tensor.index].tolist())) == 1
