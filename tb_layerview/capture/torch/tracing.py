"""What PyTorch tells of the tensors of a model, which is called eagerly: each tensor is there at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from tb_layerview.capture.passes.calls import leaves
from tb_layerview.capture.passes.nodes import Node
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.capture.torch.recorder import Recorder, version


@dataclasses.dataclass(frozen=True)
class Seen:
    """A tensor that a call of a layer takes or gives, when it was seen.

    Attributes:
      tensor: The tensor; where it is written to later, a copy of it.
      version: How often it had been written to.
      place: The how manyeth look at tensors this was, and its place among them.
      node: What it is in the graph of operations, if that is recorded.
      source: The tensor itself, by which its gradient is found.
    """

    tensor: torch.Tensor
    version: int
    place: tuple[int, int]
    node: Node | None = None
    source: torch.Tensor | None = None

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

    def __init__(
        self,
        overwritten: Collection[tuple[int, int]] = (),
        recorder: Recorder | None = None,
        gives_copies: bool = False,
    ) -> None:
        """Has seen nothing yet.

        Args:
          overwritten: Places of tensors that the pass writes to after they were seen: they are copied.
          recorder: What records the operations, if they are wanted.
          gives_copies: Whether, of what a layer puts out and others write to, they are given a copy, and not the log:
            only so has it a gradient.
        """
        self.seen: list[Seen] = []
        self._overwritten, self._recorder, self._gives_copies = overwritten, recorder, gives_copies
        self._looks = 0

    def level(self) -> object:
        """Where this thread is: within how many of functorch's transforms, and in which backward pass.

        A checkpoint calls layers again in a backward pass.
        """
        stack = torch._C._functorch.peek_interpreter_stack()
        return 0 if stack is None else int(stack.level()), int(torch._C._current_graph_task_id())

    def of(self, structure: Any) -> Iterator[torch.Tensor]:
        """The tensors of a nested structure, whatever they are."""
        return tensors_of(structure)

    def tensors(self, structure: Any, level: object) -> Sequence[Seen]:
        """The tensors of a nested structure; those that have no values, as in trials of shapes, are left out."""
        self._looks += 1
        found = (values_of(tensor) for tensor in self.of(structure) if not tensor.is_meta)
        return [self._saw(tensor, (self._looks, i)) for i, tensor in enumerate(found)]

    def given(self, outputs: Any, seen: Sequence[Seen]) -> Any:
        """What a layer's call gives on: copies of what others write to, where that is asked for."""
        if not self._gives_copies:
            return outputs
        copied = {id(one.source): one for one in seen if one.place in self._overwritten}

        def given(leaf: Any) -> Any:
            one = copied.get(id(leaf))
            if one is None or not leaf.requires_grad:
                return leaf
            with torch._C.DisableTorchFunction():
                copy = leaf.clone()
            if self._recorder is not None and one.node is not None:
                self._recorder.know(copy, one.node)
            return copy

        return pytree.tree_map(given, outputs) if copied else outputs

    def converted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method of a layer, as it is."""
        return method

    def scores(
        self, layer: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> Scores | str:
        """Is not asked: no layer has a method that computes its attention."""
        raise NotImplementedError

    def saw_scores(self, scores: torch.Tensor, output: torch.Tensor, taken: Sequence[torch.Tensor]) -> Seen:
        """Takes scores that were worked out beside the pass.

        Args:
          scores: A softmax of query times key.
          output: What the pass made of them.
          taken: Query, key and value; nothing where the pass itself has made the scores.
        """
        self._looks += 1
        node = self._recorder.attended(output, scores, taken) if self._recorder is not None and taken else None
        return self._saw(scores, (self._looks, 0), node)

    def _saw(self, tensor: torch.Tensor, place: tuple[int, int], node: Node | None = None) -> Seen:
        if node is None and self._recorder is not None:
            node = self._recorder.node(tensor)
        source = tensor
        if place in self._overwritten:
            with torch.no_grad(), torch._C.DisableTorchFunction():
                tensor = tensor.detach().clone()
        found = Seen(tensor, version(tensor), place, node, source)
        self.seen.append(found)
        return found


def tensors_of(structure: Any) -> Iterator[torch.Tensor]:
    """The tensors of a nested structure, of torch's own kinds of structures and of dataclasses, too."""
    for _, leaf in leaves(structure):
        if isinstance(leaf, torch.Tensor):
            yield leaf
        elif dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            yield from tensors_of([getattr(leaf, field.name) for field in dataclasses.fields(leaf)])
        elif leaf is not None and not isinstance(leaf, (bool, int, float, str)):
            yield from (inner for inner in pytree.tree_leaves(leaf) if isinstance(inner, torch.Tensor))


def values_of(tensor: torch.Tensor) -> torch.Tensor:
    """The values of a sparse or nested tensor; of any other, itself."""
    if tensor.layout == torch.strided and not tensor.is_nested:
        return tensor
    if tensor.layout == torch.sparse_coo:
        return tensor.coalesce().values()
    return tensor.values()
