"""What may be logged of a Keras model whose calls were recorded: each call with its tensors, weights and layouts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.capture.keras.tf import axes as keras_axes
from tb_layerview.capture.keras.tf.attention import Scores
from tb_layerview.capture.keras.tf.axes import Layout
from tb_layerview.capture.keras.tf.calls import Call, leaves, values_of
from tb_layerview.capture.keras.tf.functions import activation_function
from tb_layerview.capture.keras.tf.quantized import is_packed, unpacked_size
from tb_layerview.capture.keras.tf.softmax import with_scores
from tb_layerview.capture.keras.tf.variables import is_number
from tb_layerview.format.model import Kind, Layer, default_axes, unused_path

# How many are assumed along an axis whose size is not known before the pass runs, when it is decided what to keep.
_ASSUMED = 128


@dataclasses.dataclass(frozen=True)
class Pass:
    """One traced pass of a model.

    Attributes:
      model: The Keras model.
      x: Its inputs, a nested structure.
      calls: The calls of its layers.
      weights: Values at the beginning of the pass, by the id of the variable.
      gradients: By the id of the variable, None where the loss does not depend on it; None if there is no loss.
      trained: TensorFlow's variables of those that the training changes, by the id of the variable.
      looked_up: Ids of those large ones among them of which rows are looked up: their gradient has these rows alone.
    """

    model: Any
    x: Any
    calls: list[Call]
    weights: Mapping[int, tf.Tensor]
    gradients: Mapping[int, Any] | None
    trained: Mapping[int, tf.Variable]
    looked_up: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A tensor that may be logged.

    Attributes:
      kind: What it is.
      name: Which one of its kind.
      tensor: As Keras has it.
      layout: How it is logged.
      call: Which call of the layer made it.
      function: The activation function that made it.
      assumed: How many there may be along an axis whose size is not known before the pass runs.
    """

    kind: Kind
    name: str
    tensor: tf.Tensor
    layout: Layout
    call: int = 0
    function: str = ""
    assumed: int = _ASSUMED


@dataclasses.dataclass(frozen=True)
class OwnWeight:
    """A weight that belongs to a layer, and to no layer within it.

    Attributes:
      name: Its name in the layer.
      variable: Keras' variable.
      value: At the beginning of the pass.
      layout: How it is logged.
      gradient_layout: How its gradient is logged.
      packed: What is to be said of it if it holds two numbers in each byte; empty if it does not.
    """

    name: str
    variable: Any
    value: tf.Tensor
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
    sources: tuple[tf.Tensor, ...]


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
    named = _named_inputs(traced.x)
    inputs = [(unused_path(name, used)[0], tensor) for name, tensor in named]
    root = unused_path(str(traced.model.name), used)[0]
    fed = {id(tensor) for _, tensor in inputs}
    axes = keras_axes.activation_axes(calls, [tensor for _, tensor in inputs])

    def layout(tensor: tf.Tensor) -> Layout:
        scores = attention.get(id(tensor))
        return keras_axes.activation_layout(axes.get(id(tensor), ())) if scores is None else Layout(scores.axes)

    own, weights = _own_outputs(calls, fed), _weights_by_call(calls)
    found = []
    for call in calls:
        outputs = {
            i: Candidate(
                "activation", call.names[i], tensor, layout(tensor), call.index, activation_function(call.layer, tensor)
            )
            for i, tensor in own[id(call)]
        }
        output = axes.get(id(call.outputs[0]), ()) if call.outputs else ()
        found.append(
            LayerCall(
                Layer(call.path or root, type(call.layer).__name__),
                call,
                outputs,
                tuple(_scores(i, scores, call) for i, scores in enumerate(call.scores)),
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


def _input_layout(axes: Mapping[int, tuple[str, ...]], tensor: tf.Tensor) -> Layout:
    return keras_axes.activation_layout(axes.get(id(tensor), ()))


def _scores(i: int, scores: Scores, call: Call) -> Candidate:
    return Candidate("activation", f"scores {i}" if i else "scores", scores.tensor, Layout(scores.axes), call.index)


def _sources(call: Call, outputs: Any, told: set[int]) -> tuple[tf.Tensor, ...]:
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
    value = traced.weights.get(id(variable))
    value = tf.convert_to_tensor(variable) if value is None else value
    shape = tuple(int(size) for size in value.shape)
    if is_packed(layer, variable):
        size = unpacked_size(layer, variable)
        if size is None:
            layout = Layout(default_axes("weight", len(shape)))
            said = "holds two numbers of four bits in each byte: what is logged are the bytes"
            return OwnWeight(name, variable, value, layout, layout, said)
        layout = keras_axes.weight_layout(layer, name, (*shape[:-1], size), "weight")
        layout = dataclasses.replace(layout, packed=size)
        said = "is of int4 numbers, -8 to 7, without their scale: two lie in each byte of Keras' variable"
        return OwnWeight(name, variable, value, layout, layout, said)
    layout = keras_axes.weight_layout(layer, name, shape, "weight", output)
    return OwnWeight(name, variable, value, layout, keras_axes.weight_layout(layer, name, shape, "gradient", output))


def _own_outputs(calls: list[Call], seen: set[int]) -> dict[int, list[tuple[int, tf.Tensor]]]:
    """Each call's outputs that no other has given before, with their numbers.

    A container's output is its last layer's, which stands further down the list and is the better name for it. With
    attention it is the other way round: people know the layer, and not the projections and the softmax within.
    """
    own: dict[int, list[tuple[int, tf.Tensor]]] = {}
    seen = seen | {id(scores.tensor) for call in calls for scores in call.scores}
    for call in sorted(calls, key=lambda call: (not call.scores, call.finished)):
        own[id(call)] = [(i, t) for i, t in enumerate(call.outputs) if id(t) not in seen]
        seen |= {id(t) for t in call.outputs}
    return own


def _without(tensors: Sequence[tf.Tensor], others: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Those tensors that are none of the others."""
    ids = {id(tensor) for tensor in others}
    return [tensor for tensor in tensors if id(tensor) not in ids]


def _named_inputs(x: Any) -> list[tuple[str, tf.Tensor]]:
    """The model's inputs by the path of the layer they are shown as; of ragged and sparse ones the values."""
    flat = [(path, values_of(leaf)) for path, leaf in leaves(x)]
    tensors = [(path, leaf) for path, leaf in flat if tf.is_tensor(leaf)]
    if len(tensors) == 1:
        return [("input", tensors[0][1])]
    return [("/".join(("input", *path)), leaf) for path, leaf in tensors]


def _weights_by_call(calls: list[Call]) -> dict[int, list[tuple[str, Any]]]:
    """The weights that belong to each call's layer and to no layer within it, at its first call, with their names."""
    first: dict[int, Call] = {}
    for call in calls:
        first.setdefault(id(call.layer), call)
    owners: dict[int, tuple[tuple[int, int], Call, Any]] = {}
    for call in first.values():
        weights = [variable for variable in call.layer.weights if is_number(variable)]
        # The layer with the fewest weights; a container has as many as the only layer in it that has any.
        rank = len(weights), -len(call.path.split("/")) if call.path else 0
        for variable in weights:
            if id(variable) not in owners or rank < owners[id(variable)][0]:
                owners[id(variable)] = (rank, call, variable)
    owned: dict[int, list[Any]] = {}
    for _, call, variable in owners.values():
        owned.setdefault(id(call), []).append(variable)
    return {key: list(zip(_unique_names(variables), variables)) for key, variables in owned.items()}


def _unique_names(variables: list[Any]) -> list[str]:
    """The last parts of the variables' paths, as many as it takes to tell them apart."""
    paths = [str(getattr(v, "path", v.name)).split(":")[0].split("/") for v in variables]
    for parts in range(1, max(map(len, paths)) + 1):
        names = ["/".join(path[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{name} {i}" for i, name in enumerate(names)]
