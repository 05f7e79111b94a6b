"""What attention looks at where PyTorch computes it by one function that keeps that to itself."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn import functional

from tb_layerview.capture.passes.calls import note_scores, patched
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.capture.torch.tracing import EagerTracing

_FUSED = "scaled_dot_product_attention"


@contextlib.contextmanager
def noting_attention() -> Iterator[None]:
    """Adds to the calls that are recorded what `scaled_dot_product_attention` looks at within them.

    Its result stays what it is, to the bit: the scores are worked out beside it.
    """
    with patched(functional, _FUSED, _noting):
        yield


def _noting(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def scaled_dot_product_attention(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)

        def find(tracing: EagerTracing) -> Scores:
            with torch.no_grad(), torch._C.DisableTorchFunction():
                scores = attention_scores(*args, **kwargs)
            taken = [*args, *(kwargs[name] for name in ("query", "key", "value") if name in kwargs)][:3]
            return Scores(tracing.saw_scores(scores, output, taken), _axes(scores.dim()))

        note_scores(find)
        return output

    return scaled_dot_product_attention


def attention_scores(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,  # noqa: ARG001
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Softmax of query times key under the mask, [..., query, key], as `scaled_dot_product_attention` defines it.

    The arguments are those of that function; what it drops is not dropped here.
    """
    # At least float32: what the fused function rounds in between is its own affair.
    query, key = (one.to(one.dtype if one.dtype == torch.float64 else torch.float32) for one in (query, key))
    if enable_gqa:  # several heads of queries share one of keys
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    logits = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    allowed: torch.Tensor | None = None
    if is_causal:
        allowed = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        allowed = attn_mask
    elif attn_mask is not None:
        logits = logits + attn_mask
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    # A query that may look nowhere looks nowhere.
    nowhere = torch.isneginf(logits).all(-1, keepdim=True)
    return torch.softmax(logits.masked_fill(nowhere, 0.0), -1).masked_fill(nowhere, 0.0)


def _axes(count: int) -> tuple[str, ...]:
    free = [f"axis {i}" for i in range(1, count - 3)]
    return ("example", *free, *(["head"] if count > 3 else []), "query", "key")
