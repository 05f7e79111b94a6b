"""The loss that a Keras model is compiled with, on the probe, and the scale under which gradients are finite."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tb_layerview.capture.keras import loss


def compiled_loss(model: Any, x: Any, y: Any, predictions: Any, sample_weight: Any) -> loss.Loss:
    """The loss of a model that trains; the arguments are those of Keras' `compute_loss`."""
    return loss.compiled_loss(model, x, y, predictions, sample_weight, _total)


def _total(value: Any) -> tf.Tensor:
    value = tf.reduce_sum(value)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        # Keras divides it by their number, for gradients that are summed over them. Each has the whole probe here,
        # and no sum is made: a reduction of ours could meet one of the training's and break it.
        value *= tf.cast(replica.num_replicas_in_sync, value.dtype)
    return value


def loss_scale(optimizer: Any) -> Any:
    """What the optimizer multiplies the loss by now, so that float16 gradients do not vanish; None if it does not."""
    if hasattr(optimizer, "get_scaled_loss"):  # Keras 2
        return tf.cast(optimizer.loss_scale, tf.float32)
    if not hasattr(optimizer, "scale_loss"):
        return None
    scale = optimizer.scale_loss(tf.constant(1.0))  # Keras 3; optimizers that do not scale leave it
    is_fixed = not hasattr(optimizer, "inner_optimizer")
    return None if is_fixed and float(scale) == 1.0 else tf.cast(scale, tf.float32)


def smaller(scale: tf.Tensor) -> tf.Tensor:
    """The next loss scale to try where gradients overflow."""
    return tf.maximum(scale / loss.SMALLER, 1.0)


def unscaled(gradient: Any, scale: Any) -> Any:
    """The gradient of the loss itself, in float32 if that is more than it had: float16 would not hold it."""
    if gradient is None or scale is None:
        return gradient

    def divided(values: tf.Tensor) -> tf.Tensor:
        wide = tf.cast(values, tf.float64 if values.dtype == tf.float64 else tf.float32)
        return wide / tf.cast(scale, wide.dtype)

    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(divided(gradient.values), gradient.indices, gradient.dense_shape)
    return divided(gradient)
