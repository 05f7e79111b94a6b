"""Where in a pass the tensors are that are wanted of it: each run of an eager pass makes them anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import torch

from tb_layerview.capture.host.batch import Tree
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.nodes import Graph, Node
from tb_layerview.capture.torch.ran import Ran
from tb_layerview.capture.torch.recorder import GIVEN, dtype_of, version
from tb_layerview.capture.torch.tracing import Seen

_CallKey = tuple[str, int, int]


class Place(NamedTuple):
    """Where a tensor of a pass is.

    Attributes:
      kind: What it is of.
      key: The call's, the variable's id, or the operation's type.
      number: Its place among those of this kind.
      shape: Its sizes.
      dtype: The name of its type.
    """

    kind: Literal["outputs", "inputs", "scores", "x", "gradient", "output_gradient", "loss", "operation"]
    key: Any
    number: int
    shape: tuple[int, ...]
    dtype: str


class Places:
    """Finds what a node of a traced pass is in another run of it.

    Attributes:
      calls: Those of the traced pass, with nodes.
      x: Its inputs, a nested structure of nodes.
      loss: On the batch.
      gradients: By the id of a variable.
      output_gradients: Of what layers put out, by the id of its node.
    """

    def __init__(self, ran: Ran, tree: Tree, tensors_of: Callable[[Any], Iterable[torch.Tensor]]) -> None:
        """Reads a pass whose operations were recorded.

        Args:
          ran: The pass.
          tree: What knows the structure of its inputs.
          tensors_of: Gives the tensors of such a structure, in the order in which `ran` has seen them.
        """
        assert ran.recorder is not None
        recorder = ran.recorder
        self.calls = [_with_nodes(call) for call in ran.calls]
        self._layers = {id(call.layer): call.layer for call in ran.calls}
        # By what they are: a dict's leaves are mapped in its own order, and listed in that of its keys.
        nodes = {id(tensor): seen.node for tensor, seen in zip(tensors_of(ran.structure), ran.x)}
        self._tree = tree
        self.x = tree.map_structure(lambda leaf: nodes.get(id(leaf), leaf), ran.structure)
        self.loss = None if ran.loss is None else recorder.node(ran.loss)
        self.gradients: Mapping[int, Node | None] | None = None
        if ran.gradients is not None:
            self.gradients = {
                key: None if gradient is None else recorder.result("Gradient", gradient)
                for key, gradient in ran.gradients.items()
            }
        self.output_gradients: Mapping[int, Node] = {
            id(self.calls[i].outputs[number]): recorder.result("Gradient", gradient)
            for (i, number), gradient in ran.output_gradients.items()
        }
        self._graph: Graph = recorder.graph
        _link_unseen(self.calls)
        self._places: dict[int, Place] = {}
        self._index()

    def of(self, node: Node) -> Place:
        """Where a node is.

        Raises:
          ValueError: It is no tensor of this pass.
        """
        known = self._places.get(id(node))
        if known is not None:
            return known
        before = [one for one in self._graph.operations if one.type == node.op.type]
        if node.op not in before or node not in node.op.outputs:
            raise ValueError("this is no tensor of the pass that was traced")
        key = node.op.type, before.index(node.op)
        return Place("operation", key, node.op.outputs.index(node), node.shape, node.dtype)

    def forget(self) -> None:
        """Lets go of the traced pass: what was asked for is known by its place."""
        self.calls, self._graph, self.x, self.loss, self.gradients = [], Graph(), None, None, None
        self.output_gradients = {}
        self._places.clear()

    def find(self, place: Place, ran: Ran) -> Seen:
        """What is at a place in a run.

        Raises:
          RuntimeError: It is another pass than that which was traced.
        """
        found = self._found(place, ran)
        if found is None:
            what = f"call of {place.key[0] or 'the model'}" if place.kind in ("outputs", "inputs", "scores") else "pass"
            raise RuntimeError(f"this {what} is another one than when it was traced: its {place.kind} cannot be had")
        shape, dtype = tuple(found.tensor.shape), dtype_of(found.tensor)
        # Of rows that are looked up there may be more.
        is_other = shape != place.shape if place.kind != "gradient" else len(shape) != len(place.shape)
        if dtype != place.dtype or is_other:
            raise RuntimeError(f"what was traced as {place.dtype} of shape {place.shape} is {dtype} of shape {shape}")
        return found

    def _found(self, place: Place, ran: Ran) -> Seen | None:
        tensor: torch.Tensor | None
        if place.kind in ("outputs", "inputs", "scores"):
            call = self._call(place.key, ran)
            found = () if call is None else getattr(call, place.kind)
            if place.number >= len(found):
                return None
            one = found[place.number]
            seen: Seen = one.tensor if place.kind == "scores" else one
            return seen
        if place.kind == "x":
            return ran.x[place.number]
        if place.kind == "output_gradient":
            call = self._call(place.key, ran)
            tensor = None if call is None else ran.output_gradients.get((ran.calls.index(call), place.number))
            return None if tensor is None else Seen(tensor, version(tensor), (0, 0))
        if place.kind == "loss":
            tensor = ran.loss
        elif place.kind == "gradient":
            tensor = (ran.gradients or {}).get(place.key)
        else:
            assert ran.recorder is not None
            kind, number = place.key
            same = [operation for operation in ran.recorder.graph.operations if operation.type == kind]
            outputs = same[number].outputs if number < len(same) else []
            tensor = ran.recorder.value(outputs[place.number]) if place.number < len(outputs) else None
        return None if tensor is None else Seen(tensor, version(tensor), (0, 0))

    def _call(self, key: _CallKey, ran: Ran) -> Call | None:
        """The call of the same layer in a run; of one that each run makes anew, that of the same path."""
        same = [call for call in ran.calls if (call.path, call.index) == key[:2]]
        known = next((call for call in same if id(call.layer) == key[2]), None)
        class_name = type(self._layers[key[2]]).__name__
        made = (call for call in same if id(call.layer) not in self._layers)
        return known or next((call for call in made if type(call.layer).__name__ == class_name), None)

    def _index(self) -> None:
        def add(node: Node, kind: Any, key: Any = None, number: int = 0) -> None:
            self._places.setdefault(id(node), Place(kind, key, number, node.shape, node.dtype))

        for call in self.calls:
            for i, node in enumerate(call.outputs):
                add(node, "outputs", _key(call), i)
            for i, scores in enumerate(call.scores):
                add(scores.tensor, "scores", _key(call), i)
        # Of what several calls give, the innermost one's, as `traced` takes them.
        for call in sorted(self.calls, key=lambda call: call.finished):
            for i, output in enumerate(call.outputs):
                if id(output) in self.output_gradients:
                    add(self.output_gradients[id(output)], "output_gradient", _key(call), i)
        for i, node in enumerate(leaf for leaf in self._tree.flatten(self.x) if isinstance(leaf, Node)):
            add(node, "x", None, i)
        for call in self.calls:
            for i, node in enumerate(call.inputs):
                add(node, "inputs", _key(call), i)
        if self.loss is not None:
            add(self.loss, "loss")
        for key, gradient in (self.gradients or {}).items():
            if gradient is not None:
                add(gradient, "gradient", key)


def _key(call: Call) -> _CallKey:
    return call.path, call.index, id(call.layer)


def _with_nodes(call: Call) -> Call:
    return dataclasses.replace(
        call,
        inputs=tuple(seen.node for seen in call.inputs),
        outputs=tuple(seen.node for seen in call.outputs),
        scores=tuple(dataclasses.replace(scores, tensor=scores.tensor.node) for scores in call.scores),
    )


def _link_unseen(calls: list[Call]) -> None:
    """Says of what a layer gives, and no function of torch was seen to make, that it comes of what the layer takes.

    Functions that compute their gradients themselves are not seen, nor what goes by numpy.
    """
    given = {id(node) for node in calls[0].inputs} if calls else set()
    for call in sorted(calls, key=lambda call: call.finished):
        for node in call.outputs:
            inputs = [one for one in call.inputs if one is not node]
            if node.op.type == GIVEN and id(node) not in given and not node.op.inputs and inputs:
                node.op.type, node.op.inputs = f"{type(call.layer).__name__} unseen", inputs
                given.add(id(node))
