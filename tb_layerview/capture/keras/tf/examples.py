"""The examples of a batch, whatever it is made of: how many there are, and the first of them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def count(leaf: Any) -> int | None:
    """How many rows a part of a batch has: indices along its first axis. None if it has no axes, or is None.

    Raises:
      Exception: It has none that can be told apart, as a graph whose nodes and edges are different in number.
    """
    if leaf is None:
        return None
    if isinstance(leaf, tf.SparseTensor):
        return int(leaf.dense_shape[0]) if len(leaf.dense_shape) else None
    if isinstance(leaf, tf.RaggedTensor):
        return int(leaf.nrows())
    if _is_composite(leaf):
        return int(_slices(leaf).cardinality())
    return int(leaf.shape[0]) if leaf.shape.rank else None


def first(leaf: Any, examples: int) -> Any:
    """The first rows of a part of a batch; what has no rows is left as it is.

    Raises:
      Exception: It cannot be cut.
    """
    rows = count(leaf)
    if rows is None or rows <= examples:
        return leaf
    if isinstance(leaf, tf.SparseTensor):
        rest = leaf.dense_shape[1:]
        return tf.sparse.slice(
            leaf, tf.zeros_like(leaf.dense_shape), tf.concat([[tf.cast(examples, tf.int64)], rest], 0)
        )
    if _is_composite(leaf) and not isinstance(leaf, tf.RaggedTensor):
        return next(iter(_slices(leaf).batch(examples)))
    return leaf[:examples]


def _slices(leaf: Any) -> Any:
    """Of an extension type: only data sets know how to take its parts apart together."""
    return tf.data.Dataset.from_tensor_slices(leaf)


def _is_composite(leaf: Any) -> bool:
    return isinstance(leaf, tf.__internal__.CompositeTensor)
