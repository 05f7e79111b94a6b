"""Faults in train steps that models have of their own, as people write them for TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from any_keras import KERAS_3, keras
from bed import Planted, dense, fault, fit, problem, stack
from faults_of_training import three_layers


class Replacing(keras.Model):
    """Trains, and at one step replaces the kernel of its layer `second` by noise, within `train_step`."""

    def train_step(self, data: Any) -> Any:
        result = super().train_step(data)
        kernel = self.get_layer("second").kernel
        noise = tf.constant(np.random.default_rng(1).normal(size=(16, 16)).astype(np.float32))
        kernel.assign(tf.where(tf.equal(tf.cast(self.optimizer.iterations, tf.int64), 40), noise, kernel))
        return result


@fault(own="a train step with a tape")
def weights_replaced_in_a_train_step(folder: Path) -> Planted:
    """The 40th step replaces a kernel by noise after its update."""
    x, y = problem(steps=60)
    whole = three_layers()
    fit(folder, Replacing(inputs=whole.inputs, outputs=whole.outputs), x, y, keras.optimizers.Adam(0.001))
    return Planted(("update_spike",), ("second",), ("update",), first=40)


class TwoRates(keras.Model):
    """Trains its layer `encoder` with one optimizer and all others with another."""

    def __init__(self, encoder_optimizer: Any, **options: Any) -> None:
        super().__init__(**options)
        self._encoder_optimizer = encoder_optimizer

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        own = [getattr(v, "value", v) if KERAS_3 else v for v in self.trainable_variables]
        gradients = tape.gradient(loss, own)
        count = len(self.get_layer("encoder").trainable_variables)
        self._encoder_optimizer.apply_gradients(zip(gradients[:count], self.trainable_variables[:count]))
        self.optimizer.apply_gradients(zip(gradients[count:], self.trainable_variables[count:]))
        return {"loss": loss}


@fault(own="a train step with a tape")
def optimizer_with_a_rate_of_zero_for_one_layer(folder: Path) -> Planted:
    """Two optimizers share the layers, and the encoder's has a learning rate of zero."""
    x, y = problem()
    whole = stack(8, dense(16, "encoder"), dense(16, "hidden"), dense(1, "score", None))
    model = TwoRates(keras.optimizers.SGD(0.0), inputs=whole.inputs, outputs=whole.outputs)
    fit(folder, model, x, y)
    return Planted(("unmoved_weight",), ("encoder",), ("update",), first=1)


class Clipped(keras.Model):
    """Clips its gradients by their global norm."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        own = [getattr(v, "value", v) if KERAS_3 else v for v in self.trainable_variables]
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, own), 0.0)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return {"loss": loss}


@fault(own="a train step with a tape")
def gradients_clipped_to_zero(folder: Path) -> Planted:
    """Gradients are clipped to a norm of zero."""
    x, y = problem()
    whole = stack(8, dense(16, "hidden"), dense(1, "score", None))
    fit(folder, Clipped(inputs=whole.inputs, outputs=whole.outputs), x, y)
    return Planted(("unmoved_weight", "small_update"), ("hidden", "score"), ("update",), first=1)
