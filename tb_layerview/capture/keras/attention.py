"""What Keras' attention layers look at: their scores, taken from the layer or, where it makes none, worked out.

Keras 3 hands query, key and value to one fused operation wherever it can, and then there are no scores to be had: they
are computed again from the projected query and key and from the mask that the layer itself made of all its masks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tb_layerview.capture.passes.nodes import rank
from tb_layerview.capture.passes.scores import Scores

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


def scores_of(
    layer: Any,
    method: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    outputs: Any,
    recompute: Callable[[Any, dict[str, Any]], Any],
) -> Scores | str:
    """The scores of one call of the method, or a sentence on why there are none.

    Args:
      layer: The layer.
      method: What `method_of` names, unpatched.
      args: Its arguments, without the layer.
      kwargs: Its arguments by name.
      outputs: What it returned.
      recompute: Works scores out of the layer and its arguments by name, `query` and `key` projected, as the fused
        operation defines them: softmax of query times key under the mask, [example, head, query, key].
    """
    # Anything else than a pair is a method of a user's own that happens to have this name.
    scores = outputs[1] if isinstance(outputs, (tuple, list)) and len(outputs) == 2 else None
    if scores is None:
        own = method.__qualname__.partition(".")[0]
        if own not in _FUSED or method.__module__.partition(".")[0] not in ("keras", "tf_keras"):
            return f"{type(layer).__name__} computes its attention in a way of its own: its scores are left out"
        scores = recompute(layer, inspect.signature(method).bind(layer, *args, **kwargs).arguments)
    axes = rank(scores) if hasattr(scores, "shape") else None
    if axes is None:
        return "its attention scores are no tensor with a known number of axes, and are left out"
    return Scores(scores, _axes(layer, axes))


def _axes(layer: Any, count: int) -> tuple[str, ...]:
    over = getattr(layer, "_attention_axes", None)
    each = len(over) if isinstance(over, (tuple, list)) and over else 1
    has_heads = count > 1 + 2 * each
    free = [f"axis {i}" for i in range(1, count - 2 * each - has_heads)]
    numbers = [""] if each == 1 else [f" {i}" for i in range(1, each + 1)]
    positions = [f"{name}{number}" for name in ("query", "key") for number in numbers]
    return ("example", *free, *(["head"] if has_heads else []), *positions)
