"""What PyTorch tells of the tensors of a Keras model, which is called eagerly: each tensor is there at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import torch
from keras.src.backend.common.stateless_scope import in_stateless_scope
from torch.utils import _pytree as pytree

from tb_layerview.capture.keras.attention import scores_of
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.capture.torch.tracing import EagerTracing


class KerasTracing(EagerTracing):
    """Tracing of one eager pass of a Keras model."""

    def level(self) -> object:
        """Where this thread is; Keras finds out shapes by calling layers for nothing."""
        return super().level(), bool(in_stateless_scope())

    def of(self, structure: Any) -> Iterator[torch.Tensor]:
        """The tensors of a nested structure, whatever they are."""
        return tensors_of(structure)

    def scores(
        self, layer: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> Scores | str:
        """The scores of one call of the method that computes a layer's attention, or why there are none."""
        used: list[torch.Tensor] = []

        def recompute(layer: Any, arguments: dict[str, Any]) -> torch.Tensor:
            used.extend(arguments[name] for name in ("query", "key", "value"))
            return recomputed(layer, arguments)

        with torch.no_grad(), torch._C.DisableTorchFunction():
            found = scores_of(layer, method, args, kwargs, outputs, recompute)
        if isinstance(found, str):
            return found
        return dataclasses.replace(found, tensor=self.saw_scores(found.tensor, outputs[0], used))


def tensors_of(structure: Any) -> Iterator[torch.Tensor]:
    """The tensors of a nested structure in Keras' order, of torch's own kinds of structures, too."""
    for leaf in keras.tree.flatten(structure):
        if isinstance(leaf, torch.Tensor):
            yield leaf
        elif leaf is not None and not isinstance(leaf, (bool, int, float, str)):
            yield from (inner for inner in pytree.tree_leaves(leaf) if isinstance(inner, torch.Tensor))


def recomputed(layer: Any, arguments: dict[str, Any]) -> torch.Tensor:
    """Softmax of query times key under the mask, [example, head, query, key], as the fused operation defines it."""
    # At least float32: what the fused operation rounds in between is its own affair.
    query, key = (
        tensor.to(tensor.dtype if tensor.dtype == torch.float64 else torch.float32)
        for tensor in (arguments["query"], arguments["key"])
    )
    scale = getattr(layer, "_inverse_sqrt_key_dim", None) or getattr(layer, "_inverse_sqrt_head_dim", None)
    scale = float(query.shape[-1]) ** -0.5 if scale is None else scale
    logits = torch.einsum("bqhd,bkhd->bhqk", query * scale, key)
    mask = arguments.get("attention_mask")
    if mask is not None:
        mask = mask.to(torch.bool)
        while mask.ndim < 4:
            mask = mask.unsqueeze(-3)  # [example, query, key] has no heads
    if arguments.get("use_causal_mask"):
        causal = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        mask = causal if mask is None else mask & causal
    if mask is None:
        return torch.softmax(logits, -1)
    scores = torch.softmax(logits.masked_fill(~mask, -1e9), -1)
    # A query that may look nowhere looks nowhere: not evenly everywhere, as the softmax has it.
    return scores.masked_fill(~mask, 0.0)
