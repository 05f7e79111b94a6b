"""TensorFlow's tensors as they are logged."""

from __future__ import annotations

import tensorflow as tf

from tb_layerview.capture.passes.layout import Layout


def laid_out(tensor: tf.Tensor, layout: Layout) -> tf.Tensor:
    """The tensor as it is logged."""
    if layout.packed:
        tensor = _unpacked(tensor, layout.packed)
    if layout.order is not None:
        tensor = tf.transpose(tensor, layout.order)
    return tensor if layout.shape is None else tf.reshape(tensor, layout.shape)


def _unpacked(packed: tf.Tensor, size: int) -> tf.Tensor:
    """The int4 numbers, as int8, of a tensor that holds two of them in each byte along its last axis.

    Args:
      packed: int8 [..., half of the size, rounded up]: the first of two is in the lower four bits.
      size: How many there are along the last axis.
    """
    four = tf.constant(4, packed.dtype)
    low = tf.bitwise.right_shift(tf.bitwise.left_shift(packed, four), four)  # with its sign, as high has it
    high = tf.bitwise.right_shift(packed, four)
    pairs = tf.stack([low, high], axis=-1)
    return tf.reshape(pairs, (*packed.shape[:-1], 2 * packed.shape[-1]))[..., :size]
