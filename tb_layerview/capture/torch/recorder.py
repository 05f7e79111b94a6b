"""Which operations a pass consists of, and which tensors they make of which: torch itself remembers only gradients."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tb_layerview.capture.passes.nodes import Graph, Node, Operation
from tb_layerview.capture.torch.operations import ADDING_PRODUCTS, is_state, name_of, type_of

#: The type of what no operation has made that was seen.
GIVEN = "Placeholder"


class Recorder(TorchFunctionMode):
    """Records the calls of torch's functions that this thread makes while it is entered.

    It holds each tensor that it has seen: their ids must not be given again.

    Attributes:
      graph: The operations.
    """

    def __init__(self, state: Collection[int] = ()) -> None:
        """Has seen nothing yet.

        Args:
          state: Ids of weights and buffers, which are no nodes; parameters are known as such.
        """
        super().__init__()
        self.graph = Graph()
        self._state = state
        self._known: dict[int, tuple[torch.Tensor, Node]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls a function; what it calls itself is not seen."""
        kwargs = kwargs or {}
        if func is functional.multi_head_attention_forward:
            with self:
                return _seen_within(func)(*args, **kwargs)
        if getattr(func, "__name__", "") == "__get__":  # `shape` and `dtype` are asked for all the time
            attribute = func(*args, **kwargs)
            if not isinstance(attribute, torch.Tensor):
                return attribute
        name = name_of(func)
        taken = list(_tensors((args, kwargs)))
        versions = [version(tensor) for tensor in taken]
        result = func(*args, **kwargs)
        written = [tensor for tensor, before in zip(taken, versions) if version(tensor) != before]
        ids = {id(tensor) for tensor in taken}
        made = [tensor for tensor in _tensors(result) if id(tensor) not in ids]
        given = [tensor for tensor in _tensors(result) if id(tensor) in ids]
        changed = [tensor for tensor in _distinct((*written, *made)) if not self._is_state(tensor)]
        if changed:
            self._note(name, args, kwargs, taken, changed, (*made, *given, *changed)[0])
            for tensor in written:
                self._note_shared(tensor, changed)
        return result

    def node(self, tensor: torch.Tensor) -> Node:
        """What a tensor is now: an operation in place makes another node of it."""
        known = self._known.get(id(tensor))
        if known is None:
            operation = Operation(GIVEN)
            self.graph.operations.append(operation)
            return self._add(operation, tensor)
        return known[1]

    def know(self, tensor: torch.Tensor, node: Node) -> None:
        """Says that a tensor is what there is a node of, though another object."""
        self._known[id(tensor)] = tensor, node

    def attended(self, output: torch.Tensor, scores: torch.Tensor, taken: Sequence[torch.Tensor]) -> Node:
        """A node of scores that were worked out beside the pass, where one function made no scores of what it took.

        What it gave has the axes of a query, which its transpositions hide.

        Args:
          output: What it gave.
          scores: What was worked out: a softmax of query times key.
          taken: Query, key and value.
        """
        nodes = [self.node(tensor) for tensor in taken]
        whole, softmax = Operation("attention", [self.node(output), *nodes]), Operation("Softmax", nodes[:2])
        self.graph.operations += [whole, softmax]
        self._add(whole, output)
        return self._add(softmax, scores)

    def result(self, kind: str, tensor: torch.Tensor) -> Node:
        """A node of what the pass has come to by what is not seen, as a gradient."""
        operation = Operation(kind)
        self.graph.operations.append(operation)
        return self._add(operation, tensor)

    def forget(self) -> None:
        """Lets go of the tensors."""
        self._known.clear()

    def value(self, node: Node) -> torch.Tensor | None:
        """The tensor of a node, if nothing has been written to it since."""
        return next((tensor for tensor, one in self._known.values() if one is node), None)

    def _is_state(self, tensor: torch.Tensor) -> bool:
        return is_state(tensor) or id(tensor) in self._state

    def _add(self, operation: Operation, tensor: torch.Tensor) -> Node:
        node = node_of(tensor, operation, self.graph)
        operation.outputs.append(node)
        self._known[id(tensor)] = tensor, node
        return node

    def _note(
        self,
        name: str,
        args: Any,
        kwargs: Mapping[str, Any],
        taken: list[torch.Tensor],
        changed: list[torch.Tensor],
        first: torch.Tensor,
    ) -> None:
        inputs = [self._known[id(tensor)][1] for tensor in taken if id(tensor) in self._known]
        if name in ADDING_PRODUCTS and len(taken) == 3:
            inputs = self._product(taken, first)
            name = "add"
        is_unseen = any(id(tensor) not in self._known and not self._is_state(tensor) for tensor in taken)
        operation = Operation(type_of(name, args, kwargs, taken, first), inputs, is_partly_unseen=is_unseen)
        self.graph.operations.append(operation)
        for tensor in changed:
            self._add(operation, tensor)

    def _product(self, taken: list[torch.Tensor], result: torch.Tensor) -> list[Node]:
        """What `addmm` adds, and the product that it makes without showing it."""
        added, *factors = ([self._known[id(t)][1]] if id(t) in self._known else [] for t in taken)
        product = Operation("MatMul" if result.ndim <= 2 else "BatchMatMulV2", [n for one in factors for n in one])
        self.graph.operations.append(product)
        product.outputs.append(node_of(result, product, self.graph))
        return [*added, *product.outputs]

    def _note_shared(self, written: torch.Tensor, changed: list[torch.Tensor]) -> None:
        """What else has the memory that was written to is another tensor from here on, too."""
        try:
            memory = storage(written)
        except (RuntimeError, NotImplementedError):  # of those that have none
            return
        done = {id(tensor) for tensor in changed}
        now = self._known.get(id(written))
        for tensor, before in list(self._known.values()):
            if id(tensor) not in done and _shares(tensor, memory):
                operation = Operation("Identity", [before, *([now[1]] if now else ())])
                self.graph.operations.append(operation)
                self._add(operation, tensor)


def node_of(tensor: torch.Tensor, operation: Operation, graph: Graph) -> Node:
    """A node that looks like a tensor; of a sparse or nested one, like its values."""
    if tensor.is_nested:
        tensor = tensor.values()
    return Node(tuple(map(int, tensor.shape)), dtype_of(tensor), operation, graph)


def dtype_of(tensor: torch.Tensor) -> str:
    """The name of a tensor's type, as numpy or `ml_dtypes` have it."""
    return str(tensor.dtype).removeprefix("torch.")


def version(tensor: torch.Tensor) -> int:
    """How often a tensor was written to."""
    return -1 if tensor.is_inference() else int(tensor._version)


def storage(tensor: torch.Tensor) -> int:
    """Where a tensor's memory is.

    Raises:
      RuntimeError: It has none, as a sparse one.
      NotImplementedError: The same.
    """
    return int(tensor.untyped_storage()._cdata)


def _shares(tensor: torch.Tensor, memory: int) -> bool:
    try:
        return storage(tensor) == memory
    except (RuntimeError, NotImplementedError):
        return False


def _tensors(structure: Any) -> Iterator[torch.Tensor]:
    """The tensors in what functions of torch take and give."""
    if isinstance(structure, torch.Tensor):
        yield structure
    elif isinstance(structure, (tuple, list)):
        for inner in structure:
            yield from _tensors(inner)
    elif isinstance(structure, dict):
        for inner in structure.values():
            yield from _tensors(inner)


def _seen_within(function: Callable[..., Any]) -> Callable[..., Any]:
    """`multi_head_attention_forward` such that modes which look at functions see those that it calls, and not itself.

    It hands itself over to them before it does anything.
    """
    names: dict[str, Any] = {**vars(functional), "has_torch_function": lambda _: False}
    copy = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _distinct(tensors: Any) -> list[torch.Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())
