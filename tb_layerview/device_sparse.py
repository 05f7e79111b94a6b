"""The statistics that only some tensors have, as TensorFlow operations; `sparse_statistics` says what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview import sparse_statistics
from tb_layerview.device_call import call
from tb_layerview.sparse_statistics import EVEN, EXAMPLES, Sparse

_NAMES = {
    "examples": ("spread", "rank"),
    "bounded": ("saturated",),
    "scores": ("positions", "evenness", "heads_alike"),
}


def reduce(tensor: tf.Tensor, wanted: Sparse) -> dict[str, tf.Tensor]:
    """Adds the operations: vectors to fetch, to be given to `statistics` as numpy arrays."""
    found: dict[str, tf.Tensor] = {}
    if wanted.features:
        features = tensor.shape[1:].num_elements()
        # A batch without examples still is a matrix.
        sizes = [tf.shape(tensor)[0], tf.reduce_prod(tf.shape(tensor)[1:])] if features is None else [-1, features]
        # All else is within the function: each operation here is made anew for each tensor.
        found["examples"] = _called("examples", [tf.reshape(_single(tensor), sizes), tf.constant(wanted.features)])
    if wanted.bounds is not None:
        bounds = [tf.constant(bound, tf.float32) for bound in wanted.bounds]
        found["bounded"] = _called("bounded", [tf.reshape(_single(tensor), [-1]), *bounds])
    if wanted.attention is not None:
        scores = tensor[:: wanted.every]
        shape, (free, heads, queries, _) = tf.shape(scores), wanted.attention
        parts = tf.split(shape, [free, heads, queries, scores.shape.rank - free - heads - queries])
        sizes = tf.stack([tf.reduce_prod(part) for part in parts])
        found["scores"] = _called("scores", [_single(tf.reshape(scores, sizes))])
    return found


def statistics(fetched: Mapping[str, npt.NDArray[np.floating]]) -> dict[str, float]:
    """By name what `reduce`'s vectors evaluated to; what has no number is not there."""
    named = {name: float(x) for key, vector in fetched.items() for name, x in zip(_NAMES[key], vector)}
    return sparse_statistics.finite(named)


def _single(tensor: tf.Tensor) -> tf.Tensor:
    """In float32; of what is wider, its largest numbers become infinite, and have no statistic."""
    return tf.cast(tensor, tf.float32)


_functions: dict[str, Any] = {}


def _called(name: str, args: list[tf.Tensor]) -> tf.Tensor:
    if name not in _functions:
        function, signature = _FUNCTIONS[name]
        traced = tf.function(
            function, input_signature=signature, autograph=False, experimental_attributes={"_noinline": True}
        )
        with tf.init_scope():
            _functions[name] = traced.get_concrete_function()
    return call(_functions[name], args)[0]


def _examples(rows: tf.Tensor, stride: tf.Tensor) -> tf.Tensor:
    """Spread and rank of [examples, features]."""
    rows = rows[:: tf.maximum(1, -(-tf.shape(rows)[0] // EXAMPLES)), ::stride]
    rows /= tf.reduce_max(tf.abs(rows))
    centred = rows - tf.reduce_mean(rows, 0)
    gram = tf.linalg.matmul(centred, centred, transpose_b=True)
    differs = tf.linalg.trace(gram)
    found = tf.stack([differs / tf.reduce_sum(tf.square(rows)), tf.square(differs) / tf.reduce_sum(tf.square(gram))])
    return tf.where(tf.shape(rows)[0] > 1, found, np.nan)


def _bounded(values: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    is_saturated = tf.logical_or(values <= low, values >= high)
    return tf.reduce_mean(tf.cast(is_saturated, tf.float32), keepdims=True)


def _scores(p: tf.Tensor) -> tf.Tensor:
    """Positions, evenness and likeness of heads of [examples, heads, queries, keys]."""
    open_keys = tf.reduce_any(tf.not_equal(p, 0), 1, keepdims=True)
    count = tf.reduce_sum(tf.cast(open_keys, tf.float32), -1)  # [examples, 1, queries]
    squares = tf.reduce_sum(tf.square(p), -1)
    looks = tf.cast(squares > 0, tf.float32)
    at = tf.math.divide_no_nan(tf.square(tf.reduce_sum(p, -1)), squares)
    positions = tf.reduce_min(tf.reduce_sum(at, [0, 2]) / tf.reduce_sum(looks, [0, 2]))
    has_choice = looks * tf.cast(count > 1, tf.float32)
    even = has_choice * tf.math.divide_no_nan(at, count)
    evenness = tf.reduce_min(tf.reduce_sum(even, [0, 2]) / tf.reduce_sum(has_choice, [0, 2]))
    heads = tf.cast(tf.shape(p)[1], tf.float32)
    looked_at = tf.logical_and(open_keys, (count > 1)[..., tf.newaxis])
    deviation = tf.where(looked_at, p - tf.math.divide_no_nan(1.0, count)[..., tf.newaxis], 0)
    common = tf.reduce_sum(tf.square(tf.reduce_mean(deviation, 1)))
    own = tf.reduce_sum(tf.square(deviation)) / heads
    alike = (heads * common / own - 1) / (heads - 1)
    return tf.stack([positions, evenness, tf.where(tf.logical_and(heads > 1, evenness <= EVEN), alike, np.nan)])


_NUMBER = tf.TensorSpec([], tf.float32)
_FUNCTIONS: dict[str, tuple[Callable[..., tf.Tensor], list[tf.TensorSpec]]] = {
    "examples": (_examples, [tf.TensorSpec([None, None]), tf.TensorSpec([], tf.int32)]),
    "bounded": (_bounded, [tf.TensorSpec([None]), _NUMBER, _NUMBER]),
    "scores": (_scores, [tf.TensorSpec([None] * 4)]),
}
