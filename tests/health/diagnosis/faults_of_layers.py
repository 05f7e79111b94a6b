"""Faults that show in what layers give: silent, constant, saturated, collapsed, out of scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from any_keras import keras, layers, ops, tensor
from bed import BATCH, STEPS, At, Planted, batch_number, dense, fault, fit, problem, stack

from tb_layerview.commands.demo import digits

initializers = keras.initializers


def _pictures(steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Real digits, 0 to 1, and which they are."""
    images, labels = digits()
    return images[: steps * BATCH], labels[: steps * BATCH]


def _classes(name: str = "classes", **options: Any) -> Any:
    return dense(10, name, None, **options)


def _cross_entropy() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@fault()
def biases_far_below_zero(folder: Path) -> Planted:
    """All biases of a ReLU layer start at -50."""
    x, y = problem()
    low = dense(16, "low", bias_initializer=initializers.Constant(-50.0))
    fit(folder, stack(8, dense(16, "hidden"), low, dense(1, "score", None)), x, y)
    return Planted(("silent_layer",), ("low",), ("activation",), first=0)


@fault()
def killed_by_one_batch(folder: Path) -> Planted:
    """The labels of the 11th batch are -10,000, and after that step the ReLU that the model ends with is
    silent for good."""
    x, y = problem()
    y[batch_number(10)] = -1e4
    model = stack(8, dense(16, "hidden", "tanh"), dense(1, "amount", "relu"))
    fit(folder, model, x, y + 1, keras.optimizers.SGD(0.1))
    assert not model.predict(x[:BATCH], verbose=0).any()
    return Planted(("update_spike", "gradient_spike", "silent_layer"), ("amount", "hidden"), first=11)


class Switched(layers.Layer):
    """A layer of ReLUs of which some can be switched off.

    Attributes:
      switch: The variable that does: 1 or 0 for each unit.
    """

    def __init__(self, count: int, *sizes: int, **options: Any) -> None:
        super().__init__(count, *sizes, activation=lambda v: ops.relu(v) * tensor(self.switch), **options)
        self._count = count

    def build(self, shape: Any) -> None:
        self.switch = self.add_weight(name="switch", shape=(self._count,), initializer="ones", trainable=False)
        super().build(shape)


class SwitchedDense(Switched, layers.Dense):
    """A dense one."""


class SwitchedConvolution(Switched, layers.Conv2D):
    """One of channels."""


def _left_on(count: int, of: int) -> np.ndarray:
    """A switch that leaves the first so many units on."""
    return (np.arange(of) < count).astype(np.float32)


@fault()
def dies_at_the_last_step(folder: Path) -> Planted:
    """A layer is silent from the last step on: there is no time to see it last."""
    x, y = problem()
    low = SwitchedDense(16, name="low")
    off = At(STEPS - 1, lambda: low.switch.assign(_left_on(0, 16)))
    fit(folder, stack(8, dense(16, "hidden"), low, dense(1, "score", None)), x, y, callbacks=[off])
    return Planted(("silent_layer",), ("low",), ("activation",), first=(STEPS - 1, STEPS))


@fault()
def dies_where_every_tenth_step_is_logged(folder: Path) -> Planted:
    """At step 35 of 50 most units of a layer fall silent, and only every tenth step is logged."""
    x, y = problem(steps=50)
    low = SwitchedDense(20, name="low")
    off = At(35, lambda: low.switch.assign(_left_on(1, 20)))
    fit(folder, stack(8, dense(16, "hidden"), low, dense(1, "score", None)), x, y, callbacks=[off], schedule=10)
    return Planted(("silent_units",), ("low",), ("activation",), first=(35, 36))


@fault()
def dies_by_and_by_before_layers_that_pass_on(folder: Path) -> Planted:
    """Of a convolution's 16 channels 15 die at step 5 and the last one at step 20; pooling, padding, Flatten and
    Dropout stand behind it."""
    x, y = _pictures()
    convolution = SwitchedConvolution(16, 3, name="conv_2")
    model = stack(
        (8, 8, 1),
        lambda: layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_1"),
        convolution,
        layers.ZeroPadding2D(name="padding"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(name="flatten"),
        layers.Dropout(0.3, name="dropout"),
        _classes(),
    )
    most, all_of_them = (At(k, lambda n=n: convolution.switch.assign(_left_on(n, 16))) for k, n in ((5, 1), (20, 0)))
    fit(folder, model, x, y, loss=_cross_entropy(), callbacks=[most, all_of_them])
    return Planted(("silent_units",), ("conv_2",), ("activation",), first=(5, 6))


@fault()
def eight_layers_start_at_a_hundredth(folder: Path) -> Planted:
    """The kernels of eight ReLU layers start at a hundredth of what is right, for two epochs."""
    x, y = problem(16, steps=64)
    parts = [
        dense(16, f"d{i}", kernel_initializer=initializers.RandomNormal(stddev=0.01 * (2 / 16) ** 0.5, seed=i))
        for i in range(8)
    ]
    fit(folder, stack(16, *parts, dense(1, "score", None)), x, y, keras.optimizers.SGD(0.01))
    return Planted(("depth_scale",), ("d3",), ("activation",), first=0)


@fault()
def silenced_where_every_fifth_step_is_logged(folder: Path) -> Planted:
    """At step 9 the biases of a ReLU layer become -50, and only every fifth step is logged."""
    x, y = problem(steps=40)
    model = stack(8, dense(16, "hidden"), dense(16, "low"), dense(1, "score", None))
    low = model.get_layer("low")
    silence = At(9, lambda: low.set_weights([low.get_weights()[0], np.full(16, -50.0)]))
    fit(folder, model, x, y, callbacks=[silence], schedule=5)
    return Planted(("silent_layer",), ("low",), ("activation",), first=9)


@fault()
def all_weights_zero(folder: Path) -> Planted:
    """All kernels start at zero: nothing passes the first layer, and nothing comes back to it."""
    x, y = problem()
    zero = {"kernel_initializer": "zeros"}
    fit(
        folder,
        stack(8, dense(16, "hidden", **zero), dense(16, "second", **zero), dense(1, "score", None, **zero)),
        x,
        y,
    )
    return Planted(("silent_layer", "collapsed_representation"), ("hidden",), ("activation",), first=0)


@fault()
def sigmoid_saturated_by_its_bias(folder: Path) -> Planted:
    """A gate's biases are 100: its sigmoid is 1 for whatever it is given."""
    x, y = problem()
    gate = dense(16, "gate", "sigmoid", bias_initializer=initializers.Constant(100.0))
    fit(folder, stack(8, dense(16, "hidden", "tanh"), gate, dense(1, "score", None)), x, y)
    rules = ("constant_output", "saturated_activation", "collapsed_representation")
    return Planted(rules, ("gate",), ("activation",), first=0)


@fault()
def tanh_saturated_by_large_weights(folder: Path) -> Planted:
    """The kernel of a tanh layer starts 100 times too large."""
    x, y = problem()
    large = dense(32, "large", "tanh", kernel_initializer=initializers.RandomNormal(stddev=20.0, seed=1))
    fit(folder, stack(8, dense(16, "hidden", "tanh"), large, dense(1, "score", None)), x, y)
    return Planted(("saturated_activation",), ("large",), ("activation",), first=0)


@fault()
def inputs_not_scaled(folder: Path) -> Planted:
    """Pictures of 0 to 255, instead of 0 to 1, go into a tanh layer."""
    x, y = _pictures()
    model = stack((8, 8, 1), layers.Flatten(name="flatten"), dense(32, "hidden", "tanh"), _classes())
    fit(folder, model, 255 * x, y, loss=_cross_entropy())
    return Planted(("saturated_activation",), ("hidden",), ("activation",), first=0)


@fault()
def inputs_not_scaled_before_relus(folder: Path) -> Planted:
    """Features in the thousands go into ReLUs, at a rate that would be right for features of about 1."""
    x, y = problem()
    model = stack(8, dense(32, "hidden"), dense(32, "hidden_2"), dense(1, "score", None))
    fit(folder, model, 1000 * x, y, keras.optimizers.SGD(0.1))
    rules = ("depth_scale", "non_finite", "silent_layer", "gradient_spike", "exploding_gradient", "update_ratio")
    return Planted(rules, ("hidden*", "score"), first=(0, 3))


@fault()
def normalisation_missing(folder: Path) -> Planted:
    """Of 24 residual blocks none is normalised: the sum grows in each of them."""
    x, y = problem(16)
    keras.utils.set_random_seed(3)
    inputs = hidden = keras.Input((16,))
    for i in range(24):
        branch = layers.Dense(16, activation="relu", kernel_initializer="he_normal", name=f"block_{i}")(hidden)
        hidden = layers.Add(name=f"add_{i}")([hidden, branch])
    model = keras.Model(inputs, layers.Dense(1, name="score")(hidden))
    fit(folder, model, x, y, keras.optimizers.Adam(1e-4))
    return Planted(("depth_scale", "exploding_gradient"), ("add_*", "block_*", "score"), first=0)


@fault()
def weights_start_too_small(folder: Path) -> Planted:
    """The kernels of six layers start at a hundredth of what is right."""
    x, y = problem(16)
    small = initializers.RandomNormal(stddev=0.002, seed=1)
    parts = [dense(16, f"hidden_{i}", "tanh", kernel_initializer=small) for i in range(6)]
    fit(folder, stack(16, *parts, dense(1, "score", None)), x, y)
    return Planted(("depth_scale", "vanishing_gradient", "constant_output"), ("hidden_*", "score"), first=(0, 1))


@fault()
def weights_start_too_large(folder: Path) -> Planted:
    """The kernels of six ReLU layers start ten times too large."""
    x, y = problem(16)
    large = initializers.RandomNormal(stddev=3.5, seed=1)
    parts = [dense(16, f"hidden_{i}", kernel_initializer=large) for i in range(6)]
    fit(folder, stack(16, *parts, dense(1, "score", None)), x, y, keras.optimizers.Adam(1e-4))
    return Planted(("depth_scale", "exploding_gradient"), ("hidden_*", "score"), first=0)


@fault(missed="as many silent units as that are seen in healthy networks")
def a_dead_channel(folder: Path) -> Planted:
    """One of the eight channels of a convolution has a bias of -50."""
    x, y = _pictures()
    model = stack(
        (8, 8, 1),
        lambda: layers.Conv2D(8, 3, activation="relu", name="conv"),
        layers.Flatten(name="flatten"),
        _classes(),
    )
    kernel, bias = model.get_layer("conv").get_weights()
    bias[5] = -50
    model.get_layer("conv").set_weights([kernel, bias])
    fit(folder, model, x, y, loss=_cross_entropy())
    return Planted(("dead_units",), ("conv",), first=0)


@fault()
def six_in_ten_units_dead(folder: Path) -> Planted:
    """Of a layer's 60 ReLU units 36 have a bias of -50: too few to call the layer silent."""
    x, y = problem()
    model = stack(8, dense(60, "hidden"), dense(16, "hidden_2"), dense(1, "score", None))
    kernel, bias = model.get_layer("hidden").get_weights()
    bias[:36] = -50
    model.get_layer("hidden").set_weights([kernel, bias])
    fit(folder, model, x, y)
    return Planted(("dead_units",), ("hidden",), ("activation",), first=(0, 1))


@fault()
def most_units_dead(folder: Path) -> Planted:
    """Of a layer's 64 ReLU units 60 have a bias of -50."""
    x, y = problem()
    model = stack(8, dense(64, "hidden"), dense(16, "hidden_2"), dense(1, "score", None))
    kernel, bias = model.get_layer("hidden").get_weights()
    bias[:60] = -50
    model.get_layer("hidden").set_weights([kernel, bias])
    fit(folder, model, x, y)
    return Planted(("dead_units", "silent_units"), ("hidden",), first=0)


@fault()
def all_units_alike(folder: Path) -> Planted:
    """A kernel is filled with one number: all units of its layer are the same, and stay so."""
    x, y = problem()
    alike = dense(16, "alike", "tanh", kernel_initializer=initializers.Constant(0.2))
    score = dense(1, "score", None, kernel_initializer=initializers.Constant(0.2))
    fit(folder, stack(8, dense(16, "hidden", "tanh"), alike, score), x, y)
    return Planted(("alike_units",), ("alike",), ("activation",), first=0)


@fault()
def duplicated_channels(folder: Path) -> Planted:
    """The second four of the eight channels of a convolution are copies of the first, and so are their readers."""
    x, y = _pictures()
    model = stack(
        (8, 8, 1),
        lambda: layers.Conv2D(8, 3, activation="relu", name="conv"),
        layers.GlobalAveragePooling2D(name="pool"),
        _classes(),
    )
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., 4:] = kernel[..., :4]
    model.get_layer("conv").set_weights([kernel, bias])
    kernel, bias = model.get_layer("classes").get_weights()
    kernel[4:] = kernel[:4]
    model.get_layer("classes").set_weights([kernel, bias])
    fit(folder, model, x, y, loss=_cross_entropy())
    return Planted(("alike_units",), ("conv",), first=0)


@fault()
def examples_averaged_away(folder: Path) -> Planted:
    """A layer takes its mean over the examples instead of the timesteps: all examples become the same."""
    x = np.random.default_rng(0).normal(size=(STEPS * BATCH, 6, 8)).astype(np.float32)
    pool = layers.Lambda(lambda v: ops.mean(v, 0, keepdims=True) + 0 * v, name="pool")
    model = stack((6, 8), dense(16, "features", "tanh"), pool, layers.Flatten(name="flatten"), dense(1, "score", None))
    fit(folder, model, x, x[:, 0, :1])
    return Planted(("collapsed_representation",), ("pool",), ("activation",), first=0)


@fault()
def output_depends_on_the_bias_alone(folder: Path) -> Planted:
    """A kernel is 1e-6 of what is right and its bias 1: what the layer gives is nearly the same for all examples."""
    x, y = problem()
    nearly = dense(
        16,
        "nearly",
        None,
        kernel_initializer=initializers.RandomNormal(stddev=3e-7, seed=1),
        bias_initializer=initializers.RandomNormal(stddev=1.0, seed=2),
    )
    fit(
        folder, stack(8, dense(16, "hidden", "tanh"), nearly, dense(1, "score", None)), x, y, keras.optimizers.SGD(1e-6)
    )
    return Planted(("collapsed_representation",), ("nearly",), ("activation",), first=0)


@fault()
def batch_normalisation_of_one_example(folder: Path) -> Planted:
    """Batches of one example are normalised: each is its own mean, and nothing is left of it."""
    x, y = problem(steps=1)
    model = stack(8, dense(16, "hidden"), layers.BatchNormalization(name="norm"), dense(1, "score", None))
    fit(folder, model, x[:STEPS], y[:STEPS], batch=1)
    rules = ("silent_layer", "constant_output", "collapsed_representation", "zero_gradient")
    return Planted(rules, ("norm",), ("activation", "gradient"), first=0)


@fault()
def moving_averages_that_do_not_move(folder: Path) -> Planted:
    """BatchNormalization with a momentum of 0.999999 never learns what it needs when it is not training."""
    x, y = problem(steps=60)
    norm = layers.BatchNormalization(momentum=0.999999, name="norm")
    fit(folder, stack(8, norm, dense(16, "hidden"), dense(1, "score", None)), 30 * x + 100, y)
    return Planted(("train_inference_shift",), ("norm",), ("activation",), first=(0, 60))


@fault()
def nearly_everything_dropped(folder: Path) -> Planted:
    """A Dropout has a rate of 0.998."""
    x, y = problem()
    model = stack(8, dense(256, "hidden"), layers.Dropout(0.998, name="dropout"), dense(1, "score", None))
    fit(folder, model, x, y, keras.optimizers.Adam(1e-4))
    rules = ("silent_units", "train_inference_shift")
    return Planted(rules, ("dropout",), ("activation",), first=0)


@fault()
def all_words_unknown(folder: Path) -> Planted:
    """A table of words was made from other data: every word is the unknown one, and one row of the embedding trains."""
    random = np.random.default_rng(0)
    words = random.integers(0, 50, (STEPS * BATCH, 6))
    lookup = layers.Lambda(lambda ids: ops.where(ids < 1000, ops.ones_like(ids), ids), name="lookup")
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,), dtype="int32", name="words")
    hidden = layers.Embedding(60, 8, name="embedding")(lookup(inputs))
    hidden = layers.Flatten(name="flatten")(hidden)
    model = keras.Model(inputs, layers.Dense(1, name="score")(layers.Dense(16, "relu", name="hidden")(hidden)))
    fit(folder, model, words.astype(np.int32), (words[:, :1] % 2).astype(np.float32), keras.optimizers.Adam(0.01))
    rules = ("collapsed_representation", "constant_output")
    return Planted(rules, ("lookup",), ("activation",), first=0)


@fault(missed="no statistic says which rows of a weight were ever changed")
def embedding_rows_never_touched(folder: Path) -> Planted:
    """Of the 500 rows of an embedding only the first ten are ever looked up."""
    words = np.random.default_rng(0).integers(0, 10, (STEPS * BATCH, 6)).astype(np.int32)
    model = stack(
        6, lambda: layers.Embedding(500, 8, name="embedding"), layers.Flatten(name="flatten"), dense(1, "score", None)
    )
    fit(folder, model, words, (words[:, :1] % 2).astype(np.float32), keras.optimizers.Adam(0.01))
    return Planted(("untouched_rows",), ("embedding",), ("weight", "gradient", "update"), first=(0, 1))
