"""The loss that a Keras model is compiled with, on the probe, and the scale under which gradients are finite."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import tensorflow as tf

from tb_layerview.writing.guard import in_words

_WITHOUT = "the model is not compiled with a loss: gradients are left out"
# By how much the loss scale is made smaller where gradients overflow.
_SMALLER = 16.0


@dataclasses.dataclass(frozen=True)
class Loss:
    """The loss on the probe, or why there is none.

    Attributes:
      value: A scalar, or None.
      note: A sentence on why there is none; empty if there is one.
      error: What kept it from being computed, in words; empty if nothing did.
    """

    value: tf.Tensor | None
    note: str = ""
    error: str = ""


def compiled_loss(model: Any, x: Any, y: Any, predictions: Any, sample_weight: Any) -> Loss:
    """The loss of a model that trains; the arguments are those of Keras' `compute_loss`."""
    if getattr(model, "optimizer", None) is None or not hasattr(model, "compute_loss"):
        return Loss(None, _WITHOUT)
    extra = {"training": True} if "training" in inspect.signature(model.compute_loss).parameters else {}
    try:
        loss = model.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=sample_weight, **extra)
    except Exception as error:  # noqa: BLE001  # whatever a user's loss raises; the rest is logged all the same
        words = in_words(error)
        return Loss(None, f"the loss could not be computed on the probe ({words}): gradients are left out", words)
    if loss is None:
        return Loss(None, _WITHOUT)
    loss = tf.reduce_sum(loss)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        # Keras divides it by their number, for gradients that are summed over them. Each has the whole probe here,
        # and no sum is made: a reduction of ours could meet one of the training's and break it.
        loss *= tf.cast(replica.num_replicas_in_sync, loss.dtype)
    return Loss(loss)


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
    return tf.maximum(scale / _SMALLER, 1.0)


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
