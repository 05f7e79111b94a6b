"""What TensorFlow tells of the tensors that are made while a Keras model is traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.capture.keras.attention import scores_of
from tb_layerview.capture.passes.scores import Scores


class GraphTracing:
    """Tracing into a graph; the methods are those of `calls.Tracing`."""

    def level(self) -> tf.Graph:
        """The graph that is being built."""
        return tf.compat.v1.get_default_graph()

    def tensors(self, structure: Any, level: object) -> Sequence[tf.Tensor]:
        """The tensors of a nested structure that live in this graph; of ragged and sparse ones the values."""
        return [
            tensor
            for tensor in map(values_of, tf.nest.flatten(structure))
            if tf.is_tensor(tensor) and getattr(tensor, "graph", None) is level
        ]

    def given(self, outputs: Any, seen: Sequence[Any]) -> Any:
        """What a layer's call gives on: what it gave."""
        return outputs

    def converted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method of a user's own class may hold conditions that autograph has to convert."""
        autograph = tf.__internal__.autograph
        converted: Callable[..., Any] = autograph.tf_convert(method, autograph.control_status_ctx())
        return converted

    def scores(
        self, layer: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> Scores | str:
        """The scores of one call of the method that computes a layer's attention, or why there are none."""
        return scores_of(layer, method, args, kwargs, outputs, recomputed)


def values_of(leaf: Any) -> Any:
    """The values of a ragged or sparse tensor, one after the other; whatever else it is, itself."""
    if isinstance(leaf, tf.RaggedTensor):
        return leaf.flat_values
    if isinstance(leaf, (tf.SparseTensor, tf.IndexedSlices)):
        return leaf.values
    return leaf


def recomputed(layer: Any, arguments: dict[str, Any]) -> tf.Tensor:
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
