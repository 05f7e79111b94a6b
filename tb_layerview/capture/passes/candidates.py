"""What may be logged of a model whose calls were recorded: each call with its tensors, weights and layouts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tb_layerview.capture.passes.anatomy import Anatomy
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.layout import Layout, activation_layout
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.capture.passes.softmax import with_scores
from tb_layerview.format.model import Kind, Layer, unused_path

#: How many are assumed along an axis whose size is not known before the pass runs, when it is decided what to keep.
ASSUMED = 128


@dataclasses.dataclass(frozen=True)
class SomeRows:
    """A gradient that has some rows of its weight alone: of those that a pass looks up, each once.

    Attributes:
      tensor: The rows, [rows, ...].
      assumed: How many there may be.
    """

    tensor: Any
    assumed: int


@dataclasses.dataclass(frozen=True)
class Pass:
    """One traced pass of a model. A tensor is TensorFlow's symbolic one, or a `Node`.

    Attributes:
      model: The model.
      anatomy: What is known of its layers.
      inputs: Its inputs, tensors with their keys, fields and places in a nested structure.
      calls: The calls of its layers.
      value: Gives the tensor, or whatever has its `shape` and `dtype`, that holds a variable's value at the beginning
        of the pass.
      gradients: Tensors or `SomeRows`, by the id of the variable, None where the loss does not depend on it; None if
        there is no loss.
      trained: What the framework has for those variables that the training changes, by the id of the variable.
      looked_up: Ids of those large ones among them of which rows are looked up: their gradient has these rows alone.
      applied: What holds the gradients that optimizers are given, which are read as weights are, by the variable's id.
      output_gradients: Of what layers put out, by the id of that.
    """

    model: Any
    anatomy: Anatomy
    inputs: Sequence[tuple[tuple[str, ...], Any]]
    calls: list[Call]
    value: Callable[[Any], Any]
    gradients: Mapping[int, Any] | None
    trained: Mapping[int, Any]
    looked_up: frozenset[int] = frozenset()
    applied: Mapping[int, Any] = dataclasses.field(default_factory=dict)
    output_gradients: Mapping[int, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A tensor that may be logged.

    Attributes:
      kind: What it is.
      name: Which one of its kind.
      tensor: As Keras has it; of an update the weight.
      layout: How it is logged.
      call: Which call of the layer made it.
      function: The activation function that made it.
      assumed: How many there may be along an axis whose size is not known before the pass runs.
      are_some_rows: Whether only so many rows of it are logged as a step changes.
    """

    kind: Kind
    name: str
    tensor: Any
    layout: Layout
    call: int = 0
    function: str = ""
    assumed: int = ASSUMED
    are_some_rows: bool = False


@dataclasses.dataclass(frozen=True)
class OwnWeight:
    """A weight that belongs to a layer, and to no layer within it.

    Attributes:
      name: Its name in the layer.
      variable: The framework's variable.
      value: At the beginning of the pass.
      layout: How it is logged.
      gradient_layout: How its gradient is logged.
      packed: What is to be said of it if it holds two numbers in each byte; empty if it does not.
    """

    name: str
    variable: Any
    value: Any
    layout: Layout
    gradient_layout: Layout
    packed: str = ""


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of one layer, with all that may be logged of it.

    Attributes:
      layer: As it is logged.
      call: The call.
      outputs: What it gives that no other call has given before, by number.
      scores: What its attention looked at.
      weights: Those of the layer, at its first call.
      sources: What the layers before it are found by: its own outputs, else what it takes.
    """

    layer: Layer
    call: Call
    outputs: Mapping[int, Candidate]
    scores: tuple[Candidate, ...]
    weights: tuple[OwnWeight, ...]
    sources: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Candidates:
    """All that may be logged of a pass.

    Attributes:
      inputs: The model's, each with the layer that it is shown as.
      renamed: Names that inputs would have if no layer were called so, with their layers' paths.
      calls: As they began, the model's own first.
      made: Ids of the model's inputs, and of what layers have put out and not just handed on.
    """

    inputs: list[tuple[Layer, Candidate]]
    renamed: list[tuple[str, str]]
    calls: list[LayerCall]
    made: frozenset[int]

    @property
    def layers(self) -> list[tuple[str, str]]:
        """Path and class name of all layers that the model calls."""
        return list(dict.fromkeys((of.layer.path, of.layer.class_name) for of in self.calls))


def find_candidates(traced: Pass) -> Candidates:
    """Names all that may be logged of a pass, and says how it would be."""
    calls, attention = with_scores(traced.calls)
    told = {id(scores.tensor) for call in traced.calls for scores in call.scores}
    # What has no name of its own gives way to the layers: the inputs, and the model itself, which is the first call.
    used = {call.path for call in calls}
    named = _named_inputs(traced.inputs)
    inputs = [(unused_path(name, used)[0], tensor) for name, tensor in named]
    root = unused_path(traced.anatomy.root_name(traced.model), used)[0]
    fed = {id(tensor) for _, tensor in inputs}
    anatomy = traced.anatomy
    axes = anatomy.activation_axes(calls, [tensor for _, tensor in inputs])

    def layout(tensor: Any) -> Layout:
        scores = attention.get(id(tensor))
        return activation_layout(axes.get(id(tensor), ())) if scores is None else Layout(scores.axes)

    own, weights = _own_outputs(calls, fed), _weights_by_call(calls, anatomy)
    found = []
    for call in calls:
        outputs = {
            i: Candidate(
                "activation",
                call.names[i],
                tensor,
                layout(tensor),
                call.index,
                anatomy.activation_function(call.layer, tensor),
            )
            for i, tensor in own[id(call)]
        }
        output = axes.get(id(call.outputs[0]), ()) if call.outputs else ()
        found.append(
            LayerCall(
                Layer(
                    call.path or root,
                    type(call.layer).__name__,
                    sources=(call.source,) if call.source else (),
                    window=anatomy.window(call),
                ),
                call,
                outputs,
                tuple(_scores(i, scores, call, anatomy) for i, scores in enumerate(call.scores)),
                tuple(_own_weight(call.layer, *weight, traced, output) for weight in weights.get(id(call), ())),
                _sources(call, outputs.values(), told),
            )
        )
    return Candidates(
        [
            (Layer(path, "Input"), Candidate("activation", "output", tensor, _input_layout(axes, tensor)))
            for path, tensor in inputs
        ],
        [(name, path) for (name, _), (path, _) in zip(named, inputs) if name != path],
        found,
        frozenset(fed | {id(t) for call in calls for t in _without(call.outputs, call.inputs)}),
    )


def _input_layout(axes: Mapping[int, tuple[str, ...]], tensor: Any) -> Layout:
    return activation_layout(axes.get(id(tensor), ()))


def _scores(i: int, scores: Scores, call: Call, anatomy: Anatomy) -> Candidate:
    layout = anatomy.scores_layout(call.layer, scores)
    return Candidate("activation", f"scores {i}" if i else "scores", scores.tensor, layout, call.index)


def _sources(call: Call, outputs: Any, told: set[int]) -> tuple[Any, ...]:
    """What the layers before this one are found by.

    Args:
      call: The call.
      outputs: What it gives.
      told: Ids of scores of which an attention layer has told. Others are made by a function, from what layers within
        gave.
    """
    of_functions = [t for scores in call.scores if id(scores.tensor) not in told for t in scores.tensor.op.inputs]
    # What it makes of the outputs of layers within is computed from these, too.
    own = [*(output.tensor for output in outputs), *(scores.tensor for scores in call.scores)]
    return (*of_functions, *(own or call.inputs))


def _own_weight(layer: Any, name: str, variable: Any, traced: Pass, output: tuple[str, ...]) -> OwnWeight:
    """A weight of a layer whose output has these axes."""
    value = traced.value(variable)
    found = traced.anatomy.laid_out(layer, name, variable, tuple(int(size) for size in value.shape), output)
    return OwnWeight(name, variable, value, found.layout, found.gradient, found.packed)


def _own_outputs(calls: list[Call], seen: set[int]) -> dict[int, list[tuple[int, Any]]]:
    """Each call's outputs that no other has given before, with their numbers.

    A container's output is its last layer's, which stands further down the list and is the better name for it. With
    attention it is the other way round: people know the layer, and not the projections and the softmax within.
    """
    own: dict[int, list[tuple[int, Any]]] = {}
    seen = seen | {id(scores.tensor) for call in calls for scores in call.scores}
    for call in sorted(calls, key=lambda call: (not call.scores, call.finished)):
        own[id(call)] = [(i, t) for i, t in enumerate(call.outputs) if id(t) not in seen]
        seen |= {id(t) for t in call.outputs}
    return own


def _without(tensors: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Those tensors that are none of the others."""
    ids = {id(tensor) for tensor in others}
    return [tensor for tensor in tensors if id(tensor) not in ids]


def _named_inputs(tensors: Sequence[tuple[tuple[str, ...], Any]]) -> list[tuple[str, Any]]:
    """The model's inputs by the path of the layer they are shown as."""
    if len(tensors) == 1:
        return [("input", tensors[0][1])]
    return [("/".join(("input", *path)), leaf) for path, leaf in tensors]


def _weights_by_call(calls: list[Call], anatomy: Anatomy) -> dict[int, list[tuple[str, Any]]]:
    """The weights that belong to each call's layer and to no layer within it, at its first call, with their names."""
    first: dict[int, Call] = {}
    for call in calls:
        first.setdefault(id(call.layer), call)
    owners: dict[int, tuple[tuple[int, int], Call, Sequence[str], Any]] = {}
    for call in first.values():
        weights = anatomy.weights(call.layer)
        # The layer with the fewest weights; a container has as many as the only layer in it that has any.
        rank = len(weights), -len(call.path.split("/")) if call.path else 0
        for parts, variable in weights:
            if id(variable) not in owners or rank < owners[id(variable)][0]:
                owners[id(variable)] = (rank, call, parts, variable)
    owned: dict[int, list[tuple[Sequence[str], Any]]] = {}
    for _, call, parts, variable in owners.values():
        owned.setdefault(id(call), []).append((parts, variable))
    return {
        key: list(zip(_unique_names([parts for parts, _ in found]), (variable for _, variable in found)))
        for key, found in owned.items()
    }


def _unique_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """The last parts of the weights' names, as many as it takes to tell them apart."""
    for parts in range(1, max(map(len, paths)) + 1):
        names = ["/".join(path[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{name} {i}" for i, name in enumerate(names)]
