"""Faults that make NaN and infinities, in one layer, at one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from any_keras import keras, layers, ops, tensor
from bed import STEPS, At, FirstNonFinite, Planted, batch_number, dense, fault, fit, problem, stack

import tb_layerview as lv

# For certain: by itself the callback leaves replays out where they take too much of the time, as of trainings so small.
WITH_REPLAY = lv.Check(replay=True)


class UnitLength(layers.Layer):
    """Divides each example by its length: 0/0 for one that is all zeros."""

    def call(self, inputs: Any) -> Any:
        return inputs / ops.sqrt(ops.sum(inputs**2, axis=-1, keepdims=True))


class Softened(layers.Layer):
    """A function of the inputs and of a small constant, which is kept from zero, at first."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__(**options)
        self._function = function

    def build(self, shape: Any) -> None:
        self.epsilon = self.add_weight(name="epsilon", shape=(), initializer="ones", trainable=False)
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        return self._function(inputs, tensor(self.epsilon))


def _zeroed_at(step: int, layer: Softened) -> At:
    return At(step, lambda: layer.epsilon.assign(0.0))


@fault()
def one_bad_example_outside_the_probe(folder: Path) -> Planted:
    """One example of the eighth batch is all zeros; a layer in the middle divides by its length."""
    x, y = problem()
    x[batch_number(7)][5] = 0
    unit_length = UnitLength(name="unit_length")
    model = stack(
        8, dense(16, "features", use_bias=False), unit_length, dense(16, "hidden", "tanh"), dense(1, "score", None)
    )
    fit(folder, model, x, y, check=WITH_REPLAY)
    return Planted(("non_finite",), ("unit_length",), ("activation",), first=8)


@fault()
def one_negative_example_before_a_root(folder: Path) -> Planted:
    """One example of the 13th batch is negative, where a layer in the middle takes a root."""
    x, y = problem()
    x = np.abs(x)
    x[batch_number(12)][0] = -1
    model = stack(
        8,
        layers.Rescaling(0.5, name="scaled"),
        layers.Lambda(lambda values: ops.sqrt(values + 0.1), name="root"),
        dense(16, "hidden", "tanh"),
        dense(1, "score", None),
    )
    fit(folder, model, x, y, check=WITH_REPLAY)
    return Planted(("non_finite",), ("root",), ("activation",), first=13)


@fault()
def a_bad_label_outside_the_probe(folder: Path) -> Planted:
    """One label of the sixth batch is NaN: the gradient of the last layer is the first that has it."""
    x, y = problem()
    y[batch_number(5)][9] = np.nan
    model = stack(8, dense(16, "hidden"), dense(16, "hidden_2"), dense(1, "score", None))
    fit(folder, model, x, y, check=WITH_REPLAY)
    return Planted(("non_finite",), ("score",), ("gradient",), first=6)


@fault()
def a_bad_label_in_the_probe(folder: Path) -> Planted:
    """One label of the first batch is infinite: all activations are finite, the last layer's gradient is not."""
    x, y = problem()
    y[3] = np.inf
    fit(folder, stack(8, dense(16, "hidden"), dense(1, "score", None)), x, y)
    return Planted(("non_finite",), ("score",), ("gradient",), first=0)


@fault()
def log_of_zero_from_a_step_on(folder: Path) -> Planted:
    """After step 9 nothing keeps a logarithm from the zeros that a ReLU gives."""
    x, y = problem()
    log = Softened(lambda values, epsilon: ops.log(values + epsilon), name="log")
    model = stack(8, dense(16, "features"), log, dense(16, "hidden", "tanh"), dense(1, "score", None))
    # The next step breaks all weights: which layer it was its batch tells.
    fit(folder, model, x, y, callbacks=[_zeroed_at(9, log)], check=WITH_REPLAY)
    return Planted(("non_finite",), ("log",), ("activation",), first=10)


@fault()
def zero_by_zero_from_a_step_on(folder: Path) -> Planted:
    """After step 14 a layer divides by a sum of ReLUs that is zero for some examples."""
    x, y = problem()
    share = Softened(lambda v, epsilon: v / (ops.sum(v, -1, keepdims=True) + epsilon), name="share")
    model = stack(8, dense(3, "features"), share, dense(16, "hidden"), dense(1, "score", None))
    fit(folder, model, x, y, callbacks=[_zeroed_at(14, share)], check=WITH_REPLAY)
    return Planted(("non_finite",), ("share",), ("activation",), first=15)


@fault()
def float16_overflow(folder: Path) -> Planted:
    """A layer in float16 squares numbers of some hundreds: infinite beyond 65,504."""
    x, y = problem()
    policy = keras.mixed_precision.Policy("mixed_float16")
    model = stack(
        8,
        dense(16, "features", dtype=policy),
        layers.Rescaling(300.0, name="scaled", dtype=policy),
        layers.Lambda(lambda values: values * values, name="energy", dtype=policy),
        dense(1, "score", None, dtype="float32"),
    )
    fit(folder, model, x, y)
    return Planted(("non_finite",), ("energy",), ("activation",), first=0)


@fault()
def gradient_of_a_root_at_zero(folder: Path) -> Planted:
    """One example is all zeros, and a layer takes its length: the length is 0, its gradient 0 · infinity."""
    x, y = problem()
    x[4] = 0
    length = layers.Lambda(lambda v: ops.sqrt(ops.sum(v * v, axis=-1, keepdims=True)), name="length")
    model = stack(8, dense(16, "features", None, use_bias=False), length, dense(1, "score", None))
    fit(folder, model, x, y)
    return Planted(("non_finite",), ("features",), ("gradient",), first=0)


@fault()
def loss_of_a_probability_of_zero(folder: Path) -> Planted:
    """A cross entropy by hand takes the logarithm of a sigmoid that is exactly 0."""
    x, y = problem()
    model = stack(8, dense(16, "hidden"), dense(1, "probability", "sigmoid"))
    model.get_layer("probability").bias.assign([-200.0])

    def cross_entropy(labels: Any, given: Any) -> Any:
        return -ops.mean(labels * ops.log(given))

    fit(folder, model, x, (y > 0).astype(np.float32), loss=cross_entropy)
    return Planted(("non_finite",), ("probability",), ("gradient",), first=0)


@fault()
def weights_restored_with_nan(folder: Path) -> Planted:
    """One element of a kernel is NaN before the training begins, as from a checkpoint of a run that failed."""
    x, y = problem()
    model = stack(8, dense(16, "hidden"), dense(16, "restored"), dense(1, "score", None))
    kernel, bias = model.get_layer("restored").get_weights()
    kernel[2, 3] = np.nan
    model.get_layer("restored").set_weights([kernel, bias])
    fit(folder, model, x, y)
    return Planted(("non_finite",), ("restored",), ("weight",), first=0)


@fault()
def recurrence_that_overflows(folder: Path) -> Planted:
    """A linear recurrence multiplies its state by more than 30 at each of 60 timesteps."""
    x = np.random.default_rng(0).normal(size=(STEPS * 32, 60, 2)).astype(np.float32)
    model = stack(
        (60, 2),
        lambda: layers.SimpleRNN(
            8, activation="linear", recurrent_initializer=keras.initializers.Orthogonal(30.0), name="rnn"
        ),
        dense(1, "score", None),
    )
    fit(folder, model, x, x[:, -1, :1])
    return Planted(("non_finite",), ("rnn",), ("activation",), first=0)


@fault()
def learning_rate_far_too_high(folder: Path) -> Planted:
    """Gradient descent at a rate of 30 on a problem where 0.1 learns: the weights run away until they overflow."""
    x, y = problem()
    truth = FirstNonFinite()
    model = stack(8, dense(16, "hidden", "elu"), dense(16, "hidden_2", "elu"), dense(1, "score", None))
    fit(folder, model, x, y, keras.optimizers.SGD(30.0), callbacks=[truth])
    assert truth.step is not None
    rules = ("non_finite", "update_ratio", "exploding_gradient", "gradient_spike")
    return Planted(rules, ("hidden*", "score"), first=(1, truth.step), causes=2)
