"""A pass that is run between the steps of a training on PyTorch changes nothing of it, not by a bit."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402
from models_on_torch import CLASSES, EXAMPLES, MODELS, ROWS, compiled, differing, left_by  # noqa: E402

from tb_layerview.capture.keras.batch import Batch  # noqa: E402
from tb_layerview.capture.keras.torch.engine import TorchEngine, TracedPass  # noqa: E402

STEPS = 10


def passes(model: Any, x: Any) -> list[TracedPass]:
    """Passes of a model in both modes, which give all that there is."""
    batch = Batch.of((torch.as_tensor(x), torch.as_tensor(CLASSES)))
    found = []
    for training in (True, False):
        traced = TorchEngine().trace(model, batch, training, training)
        wanted = [node for call in traced.calls for node in (*call.inputs, *call.outputs)]
        wanted += [scores.tensor for call in traced.calls for scores in call.scores]
        wanted += [node for node in (traced.gradients or {}).values() if node is not None]
        traced.choose(wanted, [traced.calls[0].outputs])
        found.append(traced)
    return found


def trained(name: str, with_passes: bool, **options: Any) -> tuple[list[float], dict[str, bytes]]:
    """Losses and metrics of a training, and what it leaves."""
    model, x = compiled(name, **options)
    found: list[float] = []
    of_model: list[TracedPass] = []
    for step in range(STEPS):
        if with_passes:
            of_model = of_model or passes(model, x)
            for one in of_model:
                one.run()
        kept = 1 + step % EXAMPLES  # batches of several sizes
        found += model.train_on_batch(x[kept - 1 :], CLASSES[kept - 1 :])
        if step == STEPS // 2:
            found += model.evaluate(x, CLASSES, verbose=0)
        torch.rand(1), np.random.rand(), random.random()
    return found, left_by(model)


@pytest.mark.parametrize("name", MODELS)
def test_training_is_the_same_to_the_last_bit(name: str) -> None:
    """Weights, statistics, seeds, optimizer, random generators, flags, gradients, counters, names."""
    losses, left = trained(name, with_passes=False)
    losses_with, left_with = trained(name, with_passes=True)
    assert losses == losses_with
    assert differing(left, left_with) == []
    again = trained(name, with_passes=False)
    assert (losses, []) == (again[0], differing(left, again[1]))  # else the test could not tell


def test_what_is_compared_is_changed_by_a_pass() -> None:
    """A forward pass that is not put back changes all kinds of what the tests above compare."""
    changed: set[str] = set()
    for name in ("cnn, seeded", "nested", "spectral", "wrapped"):
        model, x = compiled(name)
        before = left_by(model)
        model(torch.as_tensor(x), training=True)
        changed |= {" ".join(what.split()[1:]) for what in differing(before, left_by(model))}
    for expected in (
        "moving_mean",
        "seed_generator_state",
        "running_mean",
        "num_batches_tracked",
        "kernel",
        "generator",
    ):
        assert any(expected in what for what in changed), (expected, changed)
    model, x = compiled("nested")
    before = left_by(model)
    model(torch.as_tensor(x))
    assert any(what.startswith("own") for what in differing(before, left_by(model)))


def test_nothing_is_written_to_grad() -> None:
    """Neither where there was none, nor where there was one."""
    model, x = compiled("cnn")
    (traced, _) = passes(model, x)
    traced.run()
    assert all(variable.value.grad is None for variable in model.variables)
    kept = torch.ones_like(model.trainable_variables[0].value)
    model.trainable_variables[0].value.grad = kept
    traced.run()
    assert model.trainable_variables[0].value.grad is kept
    assert bool((kept == 1).all())


def test_a_model_that_raises_is_put_back() -> None:
    """In the middle of its pass, too."""

    class Raising(keras.layers.Layer):
        is_broken = False

        def call(self, x: Any) -> Any:
            if self.is_broken:
                raise ValueError("broken")
            return x

    keras.utils.set_random_seed(0)
    last = Raising()
    model = keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            last,
            keras.layers.Dense(4),
        ]
    )
    model.compile("sgd", "mse")
    (traced, _) = passes(model, ROWS)
    last.is_broken = True
    before = left_by(model)
    with pytest.raises(ValueError, match="broken"):
        traced.run()
    assert differing(before, left_by(model)) == []
    last.is_broken = False
    traced.run()


def test_a_large_weight_that_is_written_late_is_put_back() -> None:
    """By Keras' own `assign`: it is copied before. What a layer writes to by itself is said to be lost."""

    class Late(keras.layers.Layer):
        how = ""

        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=(200, 200), trainable=False, initializer="ones")

        def call(self, x: Any) -> Any:
            if self.how == "assign":
                self.table.assign(self.table + 1)
            elif self.how == "torch":
                self.table.value.add_(1)
            return x + keras.ops.mean(self.table)

    late = Late()
    model = keras.Sequential([keras.layers.Input((6,)), late, keras.layers.Dense(4)])
    model.compile("sgd", "mse")
    (traced, _) = passes(model, ROWS)
    for _ in range(2):
        late.how = "assign"
        traced.run()
        assert float(late.table.value.max()) == 1.0
    late.how = "torch"
    traced.run()  # it is known by now
    assert float(late.table.value.max()) == 1.0


def test_generators_that_layers_hold_are_put_back() -> None:
    """Torch's and numpy's."""

    class Noisy(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.of_torch = torch.Generator()
            self.of_numpy = [np.random.default_rng(0)]

        def call(self, x: Any) -> Any:
            return x + torch.rand(x.shape, generator=self.of_torch) + float(self.of_numpy[0].normal())

    noisy = Noisy()
    model = keras.Sequential([keras.layers.Input((6,)), noisy, keras.layers.Dense(4)])
    model.compile("sgd", "mse")
    before = noisy.of_torch.get_state(), noisy.of_numpy[0].bit_generator.state
    (traced, _) = passes(model, ROWS)
    traced.run()
    assert bool((noisy.of_torch.get_state() == before[0]).all())
    assert noisy.of_numpy[0].bit_generator.state == before[1]


@pytest.mark.long
def test_compiled_training_is_not_compiled_again() -> None:
    """With `jit_compile`, and with a function in a layer that is compiled: as often as without, and to the bit."""

    @torch.compile(backend="eager")
    def doubled(x: Any) -> Any:
        return x * 2

    class Compiled(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return doubled(x)

    def trained(with_passes: bool, jit_compile: bool) -> tuple[list[float], dict[str, bytes], int]:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.layers.Input((6,)), keras.layers.Dense(8, "relu"), Compiled(), keras.layers.Dense(4, "softmax")]
        )
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit_compile)
        losses = []
        for _ in range(4):
            if with_passes:
                passes(model, ROWS)[0].run()
            losses.append(model.train_on_batch(ROWS, CLASSES))
        return losses, left_by(model), torch._dynamo.utils.counters["frames"]["total"]

    for jit_compile in (False, True):
        trained(False, jit_compile)  # for which more is compiled after other tests
        one, other = trained(False, jit_compile), trained(True, jit_compile)
        assert one[0] == other[0]
        assert differing(one[1], other[1]) == []
        assert one[2] == other[2] > 0
