"""What PyTorch tells of the tensors of a Keras model, which is called eagerly: each tensor is there at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import keras
import torch
from keras.src.backend.common.stateless_scope import in_stateless_scope
from torch.utils import _pytree as pytree

from tb_layerview.capture.keras.attention import Scores, scores_of
from tb_layerview.capture.keras.nodes import Node
from tb_layerview.capture.keras.torch.recorder import Recorder, version


@dataclasses.dataclass(frozen=True)
class Seen:
    """A tensor that a call of a layer takes or gives, when it was seen.

    Attributes:
      tensor: The tensor; where it is written to later, a copy of it.
      version: How often it had been written to.
      place: The how manyeth look at tensors this was, and its place among them.
      node: What it is in the graph of operations, if that is recorded.
    """

    tensor: torch.Tensor
    version: int
    place: tuple[int, int]
    node: Node | None = None

    @property
    def shape(self) -> torch.Size:
        """Its sizes."""
        return self.tensor.shape

    @property
    def is_overwritten(self) -> bool:
        """Whether it was written to since it was seen."""
        return version(self.tensor) != self.version


class EagerTracing:
    """Tracing of one eager pass; the methods are those of `calls.Tracing`.

    Attributes:
      seen: All that was seen, in its order.
    """

    def __init__(self, overwritten: Collection[tuple[int, int]] = (), recorder: Recorder | None = None) -> None:
        """Has seen nothing yet.

        Args:
          overwritten: Places of tensors that the pass writes to after they were seen: they are copied.
          recorder: What records the operations, if they are wanted.
        """
        self.seen: list[Seen] = []
        self._overwritten, self._recorder = overwritten, recorder
        self._looks = 0

    def level(self) -> tuple[int, int, bool]:
        """Where this thread is: within how many of functorch's transforms, in which backward pass, in Keras' own trial.

        A checkpoint calls layers again in a backward pass. Keras finds out shapes by calling layers for nothing.
        """
        stack = torch._C._functorch.peek_interpreter_stack()
        depth = 0 if stack is None else int(stack.level())
        return depth, int(torch._C._current_graph_task_id()), bool(in_stateless_scope())

    def tensors(self, structure: Any, level: object) -> Sequence[Seen]:
        """The tensors of a nested structure; those of Keras' own trials have no values."""
        self._looks += 1
        found = (values_of(tensor) for tensor in tensors_of(structure) if not tensor.is_meta)
        return [self._saw(tensor, (self._looks, i)) for i, tensor in enumerate(found)]

    def converted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method of a layer, as it is."""
        return method

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
        self._looks += 1
        recorder, node = self._recorder, None
        if recorder is not None and used:
            node = recorder.attended(outputs[0], found.tensor, used)
        return dataclasses.replace(found, tensor=self._saw(found.tensor, (self._looks, 0), node))

    def _saw(self, tensor: torch.Tensor, place: tuple[int, int], node: Node | None = None) -> Seen:
        if node is None and self._recorder is not None:
            node = self._recorder.node(tensor)
        if place in self._overwritten:
            with torch.no_grad(), torch._C.DisableTorchFunction():
                tensor = tensor.detach().clone()
        found = Seen(tensor, version(tensor), place, node)
        self.seen.append(found)
        return found


def tensors_of(structure: Any) -> Iterator[torch.Tensor]:
    """The tensors of a nested structure, of torch's own kinds of structures, too."""
    for leaf in keras.tree.flatten(structure):
        if isinstance(leaf, torch.Tensor):
            yield leaf
        elif leaf is not None and not isinstance(leaf, (bool, int, float, str)):
            yield from (inner for inner in pytree.tree_leaves(leaf) if isinstance(inner, torch.Tensor))


def values_of(tensor: torch.Tensor) -> torch.Tensor:
    """The values of a sparse or nested tensor; of any other, itself."""
    if tensor.layout == torch.strided and not tensor.is_nested:
        return tensor
    if tensor.layout == torch.sparse_coo:
        return tensor.coalesce().values()
    return tensor.values()


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
