"""Two networks that train against each other, each with an optimizer of its own, in a `train_step` of their own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops


def networks() -> tuple[Any, Any]:
    """What makes 4 numbers of 2, and what tells them from real ones."""
    generator = keras.Sequential(
        [keras.Input((2,)), layers.Dense(6, activation="relu", name="widen"), layers.Dense(4, name="make")],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, activation="tanh", name="look"),
            layers.Dropout(0.2, name="drop"),
            layers.Dense(1, name="judge"),
        ],
        name="discriminator",
    )
    return generator, discriminator


def loss_of(logits: Any, is_real: bool) -> Any:
    """The mean binary cross-entropy of logits that should all be of one kind."""
    return ops.mean(ops.softplus(-logits if is_real else logits))


class Gan(keras.Model):
    """Gives the judgement of what it makes of noise; is trained on pairs of noise and of what is real."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = networks()
        self.generators, self.discriminators = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.05)

    def build(self, shape: Any) -> None:
        self.generators.build(self.generator.trainable_variables)
        self.discriminators.build(self.discriminator.trainable_variables)
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.discriminator(self.generator(inputs[0], training=training), training=training)


class GanOnTorch(Gan):
    def train_step(self, data: Any) -> dict[str, Any]:
        noise, real = keras.utils.unpack_x_y_sample_weight(data)[0]
        made = self.generator(noise, training=True)
        judged = loss_of(self.discriminator(real, training=True), is_real=True)
        judged = judged + loss_of(self.discriminator(made.detach(), training=True), is_real=False)
        self._step(judged, self.discriminators, self.discriminator)
        fooled = loss_of(self.discriminator(made, training=True), is_real=True)
        self._step(fooled, self.generators, self.generator)
        return {"judged": judged.detach(), "fooled": fooled.detach()}

    def _step(self, loss: Any, optimizer: Any, network: Any) -> None:
        import torch

        self.zero_grad()
        loss.backward()
        with torch.no_grad():
            variables = network.trainable_variables
            optimizer.apply([v.value.grad for v in variables], variables)


class Both(keras.optimizers.SGD):
    """Two optimizers as the one whose variables Keras hands to a step on JAX."""

    def __init__(self, one: Any, other: Any) -> None:
        super().__init__()
        self._both = one, other

    def build(self, variables: Any) -> None:
        """Each was built with the network that it trains."""

    @property
    def variables(self) -> list[Any]:
        return [variable for optimizer in self._both for variable in optimizer.variables]


class GanOnJax(Gan):
    def train_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        import jax

        noise, real = keras.utils.unpack_x_y_sample_weight(data)[0]
        trained, kept, optimizers, metrics = state
        parts, of_optimizers = len(self.generator.trainable_variables), len(self.generators.variables)
        make, judge = trained[:parts], trained[parts:]
        of_make, of_judge = optimizers[:of_optimizers], optimizers[of_optimizers:]

        def judged(judge: Any, kept: Any) -> tuple[Any, Any]:
            made, _ = self.generator.stateless_call(make, [], noise, training=True)
            of_real, kept = self.discriminator.stateless_call(judge, kept, real, training=True)
            of_made, kept = self.discriminator.stateless_call(judge, kept, made, training=True)
            return loss_of(of_real, is_real=True) + loss_of(of_made, is_real=False), kept

        def fooled(make: Any, kept: Any) -> tuple[Any, Any]:
            made, _ = self.generator.stateless_call(make, [], noise, training=True)
            of_made, kept = self.discriminator.stateless_call(judge, kept, made, training=True)
            return loss_of(of_made, is_real=True), kept

        (of_judging, kept), gradients = jax.value_and_grad(judged, has_aux=True)(judge, kept)
        judge, of_judge = self.discriminators.stateless_apply(of_judge, gradients, judge)
        (of_fooling, kept), gradients = jax.value_and_grad(fooled, has_aux=True)(make, kept)
        make, of_make = self.generators.stateless_apply(of_make, gradients, make)
        state = [*make, *judge], kept, [*of_make, *of_judge], metrics
        return {"judged": of_judging, "fooled": of_fooling}, state


def gan(**options: Any) -> Any:
    """The pair of them, for whichever backend computes it."""
    if keras.backend.backend() == "jax":
        model = GanOnJax()
        model.build(None)
        model.compile(Both(model.generators, model.discriminators), **options)
    else:
        model = GanOnTorch()
        model.build(None)
        model.compile(**options)
    return model


rng = np.random.default_rng(12)
PAIRS = rng.normal(size=(48, 2)).astype(np.float32), rng.normal(1, 0.5, (48, 4)).astype(np.float32)
