"""Faults that show in gradients and in what the optimizer makes of them, and faults that show in no layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from any_keras import keras, layers, ops, tensor
from bed import (
    BATCH,
    STEPS,
    At,
    FirstNonFinite,
    Planted,
    batch_number,
    dense,
    fault,
    fit,
    problem,
    stack,
)

from tb_layerview.commands.demo import digits

initializers = keras.initializers


@fault()
def sigmoids_twenty_deep(folder: Path) -> Planted:
    """Twenty sigmoid layers in a row: hardly any gradient is left for the first."""
    x, y = problem()
    model = stack(8, *(dense(8, f"dense_{i}", "sigmoid") for i in range(20)), dense(1, "score", None))
    fit(folder, model, x, y)
    return Planted(
        ("vanishing_gradient", "collapsed_representation"), ("dense_*",), ("gradient", "activation"), first=0
    )


@fault()
def gradient_explodes_through_time(folder: Path) -> Planted:
    """A recurrence over 50 timesteps whose recurrent weights are 1.6 times too large: its gradient grows at each."""
    x = np.random.default_rng(0).normal(size=(STEPS * BATCH, 50, 2)).astype(np.float32)
    orthogonal = initializers.Orthogonal(1.6)
    model = stack(
        (50, 2),
        lambda: layers.SimpleRNN(8, activation="linear", recurrent_initializer=orthogonal, name="rnn"),
        dense(1, "score", None),
    )
    truth = FirstNonFinite()
    fit(folder, model, x, x[:, -1, :1], keras.optimizers.SGD(0.01), callbacks=[truth])
    assert truth.step is not None
    return Planted(("non_finite", "exploding_gradient", "gradient_spike"), ("rnn", "score"), first=(0, truth.step))


@fault()
def gradient_grows_step_by_step(folder: Path) -> Planted:
    """A learning rate a little above what is stable: the gradient is multiplied at each step."""
    x, y = problem(steps=40)
    model = stack(8, dense(16, "hidden", None), dense(1, "score", None))
    fit(folder, model, x, y, keras.optimizers.SGD(1.2))
    rules = ("exploding_gradient", "gradient_spike", "update_ratio", "non_finite")
    return Planted(rules, ("hidden", "score"), first=(0, 20), causes=2)


@fault()
def gradient_spike_from_one_batch(folder: Path) -> Planted:
    """The labels of the 16th batch are 1,000 times too large; after it the gradient is, too."""
    x, y = problem()
    y[batch_number(15)] = 1000
    model = stack(8, dense(16, "hidden", "tanh"), dense(1, "score", None))
    fit(folder, model, x, y, keras.optimizers.SGD(0.1))
    # On the probe the gradient of step 16 is that of the weights that this batch's update has made.
    rules = ("update_spike", "gradient_spike", "exploding_gradient")
    return Planted(rules, ("hidden", "score"), ("gradient", "update"), first=16)


class Gain(layers.Layer):
    """Gives what it is given; the gradient that comes back is multiplied by a factor.

    Attributes:
      factor: A variable, of that number.
    """

    def __init__(self, factor: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self._at_first = factor

    def build(self, shape: Any) -> None:
        initializer = initializers.Constant(self._at_first)
        self.factor = self.add_weight(name="factor", shape=(), initializer=initializer, trainable=False)
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        as_it_is = ops.stop_gradient(inputs)
        return as_it_is + tensor(self.factor) * (inputs - as_it_is)


def _with_gain(folder: Path, gain: Gain, factors: Mapping[int, float], optimizer: Any) -> None:
    """Trains two layers with a gain between them, whose factor is set before the steps that come after these."""
    x, y = problem()
    changes = [At(k, lambda factor=factor: gain.factor.assign(factor)) for k, factor in factors.items()]
    model = stack(8, dense(16, "hidden", "tanh"), gain, dense(1, "score", None))
    fit(folder, model, x, y, optimizer, callbacks=changes)


@fault()
def gradient_spike_that_is_clipped(folder: Path) -> Planted:
    """At the 16th step a gradient is 1,000 times too large; the optimizer clips it, so that the weights do not tell."""
    _with_gain(folder, Gain(name="gain"), {15: 1000.0, 16: 1.0}, keras.optimizers.SGD(0.1, clipnorm=0.01))
    return Planted(("gradient_spike",), ("hidden",), ("gradient",), first=16)


@fault()
def gradient_that_doubles_and_is_clipped(folder: Path) -> Planted:
    """From the 10th step on a gradient is twice as large at each; the optimizer clips it."""
    doubled = {k: 2.0 ** (k - 9) for k in range(9, STEPS)}
    _with_gain(folder, Gain(name="gain"), doubled, keras.optimizers.SGD(0.1, clipnorm=0.01))
    return Planted(("exploding_gradient",), ("hidden",), ("gradient",), first=(10, STEPS))


@fault()
def gradient_lost_between_two_layers(folder: Path) -> Planted:
    """Between two layers the gradient is multiplied by 1e-8."""
    _with_gain(folder, Gain(1e-8, name="gain"), {}, "sgd")
    return Planted(("vanishing_gradient",), ("hidden",), ("gradient",), first=0)


@fault()
def gradient_that_a_gate_closes_on(folder: Path) -> Planted:
    """From the 10th step on the first layer's gradient is 5 millionths of what it was, that of the last is not."""
    _with_gain(folder, Gain(name="gain"), {9: 5e-6}, keras.optimizers.Adam(1e-3))
    return Planted(("fading_gradient",), ("hidden",), ("gradient",), first=10)


def _replaced(layer: Any) -> list[np.ndarray]:
    """Noise of the shapes of a layer's weights."""
    random = np.random.default_rng(1)
    return [random.normal(size=weight.shape).astype(np.float32) for weight in layer.get_weights()]


def three_layers() -> Any:
    return stack(8, dense(16, "hidden", "tanh"), dense(16, "second", "tanh"), dense(1, "score", None))


@fault()
def weights_replaced_by_a_callback(folder: Path) -> Planted:
    """Between steps 40 and 41 a callback replaces the weights of one layer by noise."""
    x, y = problem(steps=60)
    model = three_layers()
    second = model.get_layer("second")
    fit(folder, model, x, y, callbacks=[At(40, lambda: second.set_weights(_replaced(second)))])
    return Planted(("update_spike",), ("second",), ("update",), first=(40, 41))


@fault()
def learning_rate_that_jumps(folder: Path) -> Planted:
    """From step 40 on the learning rate is 300 times what it was."""
    x, y = problem(steps=60)
    model = three_layers()
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([39], [1e-4, 3e-2])
    fit(folder, model, x, y, keras.optimizers.SGD(schedule))
    return Planted(("update_spike",), ("hidden", "second", "score"), ("update",), first=(40, 41))


@fault()
def stopped_gradient(folder: Path) -> Planted:
    """A `stop_gradient` stands behind the first layer."""
    x, y = problem()
    stop = layers.Lambda(ops.stop_gradient, name="stop")
    fit(folder, stack(8, dense(16, "encoder"), stop, dense(16, "hidden"), dense(1, "score", None)), x, y)
    return Planted(("zero_gradient", "unmoved_weight"), ("encoder",), ("gradient", "update"), first=(0, 1))


@fault()
def learning_rate_of_zero(folder: Path) -> Planted:
    """The learning rate is zero: no weight moves at all."""
    x, y = problem()
    fit(folder, stack(8, dense(16, "hidden"), dense(1, "score", None)), x, y, keras.optimizers.SGD(0.0))
    return Planted(("unmoved_weight", "small_update"), ("hidden", "score"), ("update",), first=1)


@fault()
def learning_rate_far_too_low(folder: Path) -> Planted:
    """Adam at a rate of 1e-9."""
    x, y = problem(steps=60)
    fit(folder, stack(8, dense(16, "hidden"), dense(1, "score", None)), x, y, keras.optimizers.Adam(1e-9))
    return Planted(("small_update", "unmoved_weight"), ("hidden", "score"), ("update",), first=1)


@fault()
def adam_at_a_rate_far_too_high(folder: Path) -> Planted:
    """Adam at a rate of 10: it does not overflow, but weights are replaced instead of learned."""
    x, y = problem(steps=40)
    model = stack(8, dense(16, "hidden", "tanh"), dense(16, "hidden_2", "tanh"), dense(1, "score", None))
    fit(folder, model, x, y, keras.optimizers.Adam(10.0))
    # Each of the three layers goes wrong by itself; the last one's steps are too long on some processors alone.
    return Planted(("update_ratio", "saturated_activation", "gradient_spike"), ("hidden*", "score"), first=1, causes=3)


@fault()
def layer_not_connected(folder: Path) -> Planted:
    """The second branch is computed and then multiplied by nothing but zeros: it was meant to be a mask of ones."""
    x, y = problem()
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8,), name="features")
    left = layers.Dense(16, activation="relu", name="left")(inputs)
    right = layers.Dense(16, activation="relu", name="right")(inputs)
    masked = layers.Lambda(lambda values: values * 0.0, name="mask")(right)
    merged = layers.Concatenate(name="merged")([left, masked])
    fit(folder, keras.Model(inputs, layers.Dense(1, name="score")(merged)), x, y)
    # Both are the cause: the mask that gives nothing, and the branch that is not trained.
    return Planted(("silent_layer", "zero_gradient"), ("mask", "right"), ("activation", "gradient"), first=0)


class Forgetful(keras.Model):
    """Has a second branch, and forgets to use what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.left = layers.Dense(16, activation="relu", name="left")
        self.right = layers.Dense(16, activation="relu", name="right")
        self.score = layers.Dense(1, name="score")

    def call(self, inputs: Any) -> Any:
        left = self.left(inputs)
        self.right(inputs)
        return self.score(left)


@fault()
def branch_whose_result_is_not_used(folder: Path) -> Planted:
    """A model calls a layer and does not use what it gives."""
    x, y = problem()
    keras.utils.set_random_seed(3)
    fit(folder, Forgetful(), x, y)
    return Planted(("zero_gradient", "unmoved_weight"), ("*right",), ("gradient", "update"), first=(0, 2))


@fault()
def weight_decay_far_too_large(folder: Path) -> Planted:
    """An L2 penalty of 3 at a learning rate of 0.1: each step takes 60 % of each kernel."""
    x, y = problem()
    decay = {"kernel_regularizer": keras.regularizers.L2(3.0)}
    model = stack(8, *(dense(16, f"hidden_{i}", "tanh", **decay) for i in range(3)), dense(1, "score", None, **decay))
    fit(folder, model, x, y, keras.optimizers.SGD(0.1))
    return Planted(("update_ratio",), ("hidden_*", "score"), ("update",), first=1)


@fault(missed="no statistic says what the loss takes its input for")
def softmax_twice(folder: Path) -> Planted:
    """The last layer is a softmax, and the loss takes what it gives for logits."""
    images, labels = digits()
    # As a function of its own: a softmax that Keras knows of, its cross entropy takes back.
    softmax = layers.Lambda(ops.softmax, name="probabilities")
    model = stack((8, 8, 1), layers.Flatten(name="flatten"), dense(32, "hidden"), dense(10, "classes", None), softmax)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    fit(folder, model, images[: 50 * BATCH], labels[: 50 * BATCH], keras.optimizers.Adam(0.01), loss)
    return Planted(("softmax_twice",), ("probabilities",), first=0)


@fault()
def labels_shuffled(folder: Path) -> Planted:
    """The labels belong to other pictures. In the layers nothing is wrong."""
    images, labels = digits()
    labels = np.random.default_rng(0).permutation(labels)
    model = stack((8, 8, 1), layers.Flatten(name="flatten"), dense(32, "hidden"), dense(10, "classes", None))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    fit(folder, model, images[: 50 * BATCH], labels[: 50 * BATCH], keras.optimizers.Adam(0.003), loss)
    return Planted(())
