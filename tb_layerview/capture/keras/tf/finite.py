"""Whether losses and weights are finite, asked without waiting for more than must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.capture.keras.tf.variables import tf_variable


def all_finite(values: Iterable[Any]) -> tf.Tensor:
    """Whether all elements of some tensors and numbers are finite, bool []; of indexed slices those that are there."""
    dense = [value.values if isinstance(value, tf.IndexedSlices) else value for value in values if value is not None]
    finite = [tf.reduce_all(tf.math.is_finite(value)) for value in dense]
    return tf.reduce_all(tf.stack(finite)) if finite else tf.constant(True)


def losses_are_finite(logs: Any) -> Any:
    """Whether the losses are finite, bool []: those called so, else all that is logged. A mean stays NaN."""
    found = {name: value for name, value in logs.items() if _is_float(value)} if isinstance(logs, Mapping) else {}
    losses = {name: value for name, value in found.items() if "loss" in name} or found
    return all_finite(losses.values())


def weights_are_finite(model: Any, without: frozenset[int]) -> Any:
    """Whether the trained weights are finite, bool []; True at every other step, as that pass over them costs.

    The loss alone does not tell: where oneDNN computes a product, its bias and a ReLU in one kernel, that makes 0 of
    NaN, and the gradient of the product's kernel is NaN. (A ReLU alone keeps NaN, and so do the three where there is no
    oneDNN.) What leaves NaN out by itself, as max pooling does, hides it anywhere.

    Args:
      model: The Keras model.
      without: Ids of variables that are not looked at: what is not finite there is noticed once it is looked up.
    """
    iterations = getattr(model.optimizer, "iterations", None)
    variables = ((v, tf_variable(v)) for v in model.trainable_variables)
    chosen = [variable for variable, whole in variables if id(whole) not in without]
    if iterations is None or not chosen:
        return tf.constant(True)

    def look() -> tf.Tensor:
        values = [tf.convert_to_tensor(variable) for variable in chosen]
        # float16 would overflow where its elements do not.
        sums = [tf.reduce_sum(tf.cast(v, tf.float64 if v.dtype == tf.float64 else tf.float32)) for v in values]
        return tf.reduce_all([tf.math.is_finite(total) for total in sums])  # each is a single number

    return tf.cond(tf.equal(tf.convert_to_tensor(iterations) % 2, 0), look, lambda: tf.constant(True))


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or bool(tf.is_tensor(value) and value.dtype.is_floating)
