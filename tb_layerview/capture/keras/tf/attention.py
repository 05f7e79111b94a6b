"""What Keras' attention layers look at: their scores, taken from the layer or, where it makes none, worked out.

Keras 3 hands query, key and value to one fused operation wherever it can, and then there are no scores to be had: they
are computed again from the projected query and key and from the mask that the layer itself made of all its masks.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Scores:
    """How much each query position looks at each key position, in shares of 1; before dropout where the layer tells.

    Attributes:
      tensor: One axis for each name.
      axes: `example`, `head`, `query`, `key`; without `head` for layers that have none, and with numbers behind
        `query` and `key` where attention goes over several axes.
    """

    tensor: tf.Tensor
    axes: tuple[str, ...]


# The methods that return (attended values, scores or None) in all Keras versions.
_METHODS = ("_compute_attention", "_apply_scores")
# Classes of Keras' own whose scores are a softmax over query times key, whatever computes them.
_FUSED = frozenset(("MultiHeadAttention", "GroupedQueryAttention", "GroupQueryAttention"))


def method_of(layer: Any) -> tuple[type, str] | None:
    """The class that defines the method in which a layer computes its attention, and the method; None if it has none.

    Patching the class and not the layer keeps what Keras compares intact: it takes its fused causal kernel only where
    a class has Keras' own method.
    """
    for cls in type(layer).__mro__:
        for name in _METHODS:
            if inspect.isfunction(vars(cls).get(name)):
                return cls, name
    return None


def scores_of(layer: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> Scores | str:
    """The scores of one call of the method, or a sentence on why there are none.

    Args:
      layer: The layer.
      method: What `method_of` names, unpatched.
      args: Its arguments, without the layer.
      kwargs: Its arguments by name.
      outputs: What it returned.
    """
    # Anything else than a pair is a method of a user's own that happens to have this name.
    scores = outputs[1] if isinstance(outputs, (tuple, list)) and len(outputs) == 2 else None
    if scores is None:
        own = method.__qualname__.partition(".")[0]
        if own not in _FUSED or method.__module__.partition(".")[0] not in ("keras", "tf_keras"):
            return f"{type(layer).__name__} computes its attention in a way of its own: its scores are left out"
        scores = _recompute(layer, inspect.signature(method).bind(layer, *args, **kwargs).arguments)
    if not tf.is_tensor(scores) or scores.shape.rank is None:
        return "its attention scores are no tensor with a known number of axes, and are left out"
    return Scores(scores, _axes(layer, scores.shape.rank))


def _axes(layer: Any, rank: int) -> tuple[str, ...]:
    over = getattr(layer, "_attention_axes", None)
    each = len(over) if isinstance(over, (tuple, list)) and over else 1
    has_heads = rank > 1 + 2 * each
    free = [f"axis {i}" for i in range(1, rank - 2 * each - has_heads)]
    numbers = [""] if each == 1 else [f" {i}" for i in range(1, each + 1)]
    positions = [f"{name}{number}" for name in ("query", "key") for number in numbers]
    return ("example", *free, *(["head"] if has_heads else []), *positions)


def _recompute(layer: Any, arguments: dict[str, Any]) -> tf.Tensor:
    """Softmax of query times key under the mask, [example, head, query, key], as the fused operation defines it."""
    # At least float32: what the fused operation rounds in between is its own affair.
    query, key = (
        tf.cast(tensor, tensor.dtype if tensor.dtype == tf.float64 else tf.float32)
        for tensor in (arguments["query"], arguments["key"])
    )
    scale = getattr(layer, "_inverse_sqrt_key_dim", None) or getattr(layer, "_inverse_sqrt_head_dim", None)
    if scale is None:
        scale = tf.math.rsqrt(tf.cast(tf.shape(query)[-1], query.dtype))
    logits = tf.einsum("bqhd,bkhd->bhqk", query * tf.cast(scale, query.dtype), key)
    mask = arguments.get("attention_mask")
    if mask is not None:
        mask = tf.cast(mask, tf.bool)
        while mask.shape.rank < 4:
            mask = tf.expand_dims(mask, -3)  # [example, query, key] has no heads
    if arguments.get("use_causal_mask"):
        causal = tf.linalg.band_part(tf.ones_like(logits[:1, :1], tf.bool), -1, 0)
        mask = causal if mask is None else tf.logical_and(mask, causal)
    if mask is None:
        return tf.nn.softmax(logits)
    scores = tf.nn.softmax(tf.where(mask, logits, tf.constant(-1e9, logits.dtype)))
    # A query that may look nowhere looks nowhere: not evenly everywhere, as the softmax has it.
    return tf.where(mask, scores, tf.zeros_like(scores))
