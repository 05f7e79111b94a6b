"""The statistics that only some tensors have, as TensorFlow operations; `sparse_statistics` says what they are.

Those of examples look at a small part of a tensor, which is copied over and measured on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview.measure import extra
from tb_layerview.measure.extra import EVEN, EXAMPLES, TAKEN, Extra
from tb_layerview.measure.tf.loop import Loop, items

_NAMES = {
    "bounded": ("saturated",),
    "scores": ("positions", "evenness", "heads_alike"),
}


def kinds(wanted: Extra) -> tuple[str, ...]:
    """What is measured of a tensor, for `reduce`."""
    is_wanted = {
        "examples": wanted.features > 0,
        "bounded": wanted.bounds is not None,
        "scores": wanted.attention is not None,
    }
    return tuple(kind for kind in is_wanted if is_wanted[kind])


def prepare(kind: str, tensor: tf.Tensor, wanted: Extra) -> tf.Tensor:
    """A tensor as `reduce` takes it, for one of the `kinds`, float32."""
    if kind == "examples":
        return _sample(tensor, wanted)
    return tf.reshape(_single(tensor), [-1]) if kind == "bounded" else _grouped(tensor, wanted)


def reduce(kind: str, prepared: Sequence[tf.Tensor], wanted: Sequence[Extra]) -> Any:
    """Adds the operations for one of the `kinds`: what to fetch, to be given to `statistics` as numpy arrays."""
    if kind == "examples":
        return list(prepared)
    if kind == "bounded":
        return _loop(kind)(prepared, *zip(*(sparse.bounds for sparse in wanted if sparse.bounds is not None)))
    return _loop(kind)(prepared)


def make_ready(kind: str) -> None:
    """Has a thread make ready what measures one of the `kinds`, to be called in no graph."""
    if kind in _FUNCTIONS:
        _loop(kind).make_ready()


def statistics(kind: str, fetched: Any) -> list[dict[str, float]]:
    """By name, for each tensor, what `reduce`'s tensors evaluated to; what has no number is not there."""
    if kind == TAKEN:
        return [{TAKEN: share} if share else {} for share in map(float, fetched)]
    if kind == "examples":
        return [extra.of_examples(rows) for rows in fetched]
    named = ({name: float(x) for name, x in zip(_NAMES[kind], item["found"])} for item in items(fetched))
    return [extra.finite(found) for found in named]


def _single(tensor: tf.Tensor) -> tf.Tensor:
    """In float32; of what is wider, its largest numbers become infinite, and have no statistic."""
    return tf.cast(tensor, tf.float32)


def _sample(tensor: tf.Tensor, wanted: Extra) -> tf.Tensor:
    """What is looked at, as [examples, features]."""
    examples, features = tensor.shape[0], tensor.shape[1:].num_elements()
    if examples is None or features is None:
        examples, features = tf.shape(tensor)[0], tf.reduce_prod(tf.shape(tensor)[1:])
        every = tf.maximum(1, -(-examples // EXAMPLES))
    else:
        every = max(1, -(-examples // EXAMPLES))
    return _single(tf.reshape(tensor, tf.stack([examples, features]))[::every, :: wanted.features])


def _grouped(tensor: tf.Tensor, wanted: Extra) -> tf.Tensor:
    """As [examples, heads, queries, keys]."""
    assert wanted.attention is not None
    scores = tensor[:: wanted.every]
    shape, (free, heads, queries, _) = tf.shape(scores), wanted.attention
    parts = tf.split(shape, [free, heads, queries, scores.shape.rank - free - heads - queries])
    return _single(tf.reshape(scores, tf.stack([tf.reduce_prod(part) for part in parts])))


_loops: dict[str, Loop] = {}


def _loop(kind: str) -> Loop:
    if kind not in _loops:
        function, inputs = _FUNCTIONS[kind]
        outputs = {"found": tf.TensorSpec([len(_NAMES[kind])])}
        _loops[kind] = Loop(lambda *item: (function(*item),), inputs, outputs)
    return _loops[kind]


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
    "bounded": (_bounded, [tf.TensorSpec([None]), _NUMBER, _NUMBER]),
    "scores": (_scores, [tf.TensorSpec([None] * 4)]),
}
