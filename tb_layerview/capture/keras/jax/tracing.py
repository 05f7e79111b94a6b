"""What JAX and Keras tell of the tensors that are made while a Keras model is traced."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from tb_layerview.capture.jax.tracing import JaxTracing
from tb_layerview.capture.keras.attention import scores_of
from tb_layerview.capture.passes.calls import patched
from tb_layerview.capture.passes.scores import Scores


class KerasTracing(JaxTracing):
    """The same of Keras' layers, some of which compute attention."""

    def scores(
        self, layer: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> Scores | str:
        """The scores of one call of the method that computes a layer's attention, or why there are none."""
        return scores_of(layer, method, args, kwargs, outputs, recomputed)


def recomputed(layer: Any, arguments: dict[str, Any]) -> jax.Array:
    """Softmax of query times key under the mask, [example, head, query, key], as the fused operation defines it."""
    # At least float32: what the fused operation rounds in between is its own affair.
    query, key = (
        jnp.asarray(tensor, jnp.promote_types(tensor.dtype, jnp.float32))
        for tensor in (arguments["query"], arguments["key"])
    )
    if key.shape[2] != query.shape[2]:  # several heads of queries share one of keys
        key = jnp.repeat(key, query.shape[2] // key.shape[2], axis=2)
    scale = getattr(layer, "_inverse_sqrt_key_dim", None) or getattr(layer, "_inverse_sqrt_head_dim", None)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    logits = jnp.einsum("bqhd,bkhd->bhqk", query * jnp.asarray(scale, query.dtype), key)
    mask = arguments.get("attention_mask")
    if mask is not None:
        mask = jnp.asarray(mask, bool)
        while mask.ndim < 4:
            mask = jnp.expand_dims(mask, -3)  # [example, query, key] has no heads
    if arguments.get("use_causal_mask"):
        causal = jnp.tril(jnp.ones(logits.shape[-2:], bool))[None, None]
        mask = causal if mask is None else jnp.logical_and(mask, causal)
    if mask is None:
        return jax.nn.softmax(logits)
    scores = jax.nn.softmax(jnp.where(mask, logits, jnp.asarray(-1e9, logits.dtype)))
    # A query that may look nowhere looks nowhere: not evenly everywhere, as the softmax has it.
    return jnp.where(mask, scores, jnp.zeros_like(scores))


@contextmanager
def without_checkpoints(model: Any) -> Iterator[None]:
    """Has this thread call what Keras would compute a second time for the gradients: in traces of their own."""
    thread = threading.get_ident()

    def wrap(original: Any) -> Any:
        def rematerialized_call(self: Any, layer_call: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == thread:
                return layer_call
            return original(self, layer_call, *args, **kwargs)

        return rematerialized_call

    with ExitStack() as patches:
        for cls in type(model).__mro__:
            if "rematerialized_call" in vars(cls) and cls.__module__.partition(".")[0] == "keras":
                patches.enter_context(patched(cls, "rematerialized_call", wrap))
        yield
