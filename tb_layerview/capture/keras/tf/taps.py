"""What to log of a Keras model whose calls were recorded: layers, tensors, and what they are tapped by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.capture.keras.paths import say_numbered
from tb_layerview.capture.keras.tf import axes as keras_axes
from tb_layerview.capture.keras.tf.axes import Layout
from tb_layerview.capture.keras.tf.calls import Call, leaves, missing, producers, values_of
from tb_layerview.capture.keras.tf.functions import activation_function
from tb_layerview.capture.keras.tf.inference_pass import Output, may_differ, operations
from tb_layerview.capture.keras.tf.quantized import is_own_gradient, is_packed, unpacked_size
from tb_layerview.capture.keras.tf.rows import LookedUp, is_large
from tb_layerview.capture.keras.tf.softmax import with_scores
from tb_layerview.capture.keras.tf.updates import Update
from tb_layerview.format import values
from tb_layerview.format.model import TOUCHED, Kind, Layer, Model, Tensor, default_axes, unused_path
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.measurement import can_measure
from tb_layerview.measure.tf.digests import Tap, as_difference
from tb_layerview.options import Keep, Select

# How many are assumed along an axis whose size is not known before the pass runs, when it is decided what to keep.
_ASSUMED = 128
_FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


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
class Weight:
    """Where one weight is read.

    Attributes:
      variable: Keras' variable.
      layout: How it is logged.
    """

    variable: Any
    layout: Layout

    def read(self) -> tf.Tensor:
        """Its value as it is logged."""
        return self.layout.apply(tf.convert_to_tensor(self.variable))


@dataclasses.dataclass(frozen=True)
class Taps:
    """What is logged of a pass.

    Attributes:
      model: Its description.
      layers: Path and class name of all layers that the model calls, logged or not.
      taps: By index in the description's tensors; all but the updates and what is `looked_up` or `still`.
      weights: Those of the taps that are weights, by index.
      updates: By index in the description's tensors.
      looked_up: Weights of which a step changes few rows.
      wholes: Those weights as a whole, by index in the description's tensors: how each is read and digested.
      still: The same of large weights that the training does not change.
      outputs: By index in the description's tensors: of activations but inputs and scores, how they come about; none
        where no layer does anything else when it trains.
    """

    model: Model
    layers: list[tuple[str, str]]
    taps: dict[int, Tap]
    weights: dict[int, Weight]
    updates: dict[int, Update]
    outputs: dict[int, Output]
    looked_up: list[LookedUp]
    wholes: dict[int, tuple[Weight, Tap]]
    still: dict[int, tuple[Weight, Tap]]


def find_taps(traced: Pass, select: Select, keep: Keep) -> Taps:
    """Chooses what to tap, and describes it; the description's notes say what is left out and why."""
    calls, attention = with_scores(traced.calls)
    told = {id(scores.tensor) for call in traced.calls for scores in call.scores}
    # What has no name of its own gives way to the layers: the inputs, and the model itself, which is the first call.
    used = {call.path for call in calls}
    named = _named_inputs(traced.x)
    inputs = [(unused_path(name, used)[0], tensor) for name, tensor in named]
    root = unused_path(str(traced.model.name), used)[0]
    paths = {id(call): call.path or root for call in calls}
    axes = keras_axes.activation_axes(calls, [tensor for _, tensor in inputs])
    found = _Found(select, keep)
    for name, tensor in inputs:
        found.add(name, "Input", "activation", "output", tensor, _activation_layout(axes, tensor))
    own_outputs = _own_outputs(calls, {id(tensor) for _, tensor in inputs})
    weights = _weights_by_call(calls)
    sources: list[tuple[str, tuple[tf.Tensor, ...]]] = []
    outputs: dict[int, Output] = {}
    has_modes = may_differ(calls)
    made = {id(tensor) for _, tensor in inputs} | {id(t) for call in calls for t in _without(call.outputs, call.inputs)}
    # In the order in which they end: what a layer makes of the outputs of layers that it calls comes after those.
    for call in sorted(calls, key=lambda call: call.finished):
        path, class_name = paths[id(call)], type(call.layer).__name__
        layouts = [
            Layout(attention[id(tensor)].axes) if id(tensor) in attention else _activation_layout(axes, tensor)
            for _, tensor in own_outputs[id(call)]
        ]
        outputs |= _add_outputs(found, path, call, own_outputs[id(call)], layouts, made, has_modes)
        for i, scores in enumerate(call.scores):
            name = f"scores {i}" if i else "scores"
            found.add(path, class_name, "activation", name, scores.tensor, Layout(scores.axes), call.index)
            if id(scores.tensor) not in told:  # made by a function, from what layers within gave
                sources.append((path, tuple(scores.tensor.op.inputs)))
        if call.remarks and found.takes("activation", path, class_name):
            found.notes += [f"{path}: {remark}" for remark in call.remarks]
        # What it makes of the outputs of layers within is computed from these, too.
        own = [*(tensor for _, tensor in own_outputs[id(call)]), *(scores.tensor for scores in call.scores)]
        sources.append((path, tuple(own) or call.inputs))
        output = axes.get(id(call.outputs[0]), ()) if call.outputs else ()
        for name, variable in weights.get(id(call), ()):
            _add_weight(found, path, class_name, call.layer, name, variable, traced, output)
    if found.own_gradients:
        of = ", ".join(found.own_gradients)
        found.notes.append(f"these weights have no gradient, as float8 gives their next value in its place: {of}")
    found.notes += say_numbered((call.path, str(call.layer.name)) for call in calls if call.path)
    found.notes += [
        f"the model's {name} is logged as {path}, as a layer is called so"
        for (name, _), (path, _) in zip(named, inputs)
        if name != path
    ]
    found.notes += _not_seen(traced, weights, select)
    owned = [(paths[id(call)], call, *weight) for call in calls for weight in weights.get(id(call), ())]
    found.notes += _lost(traced.model, owned, found)
    return Taps(
        found.model(sources),
        list(dict.fromkeys((paths[id(call)], type(call.layer).__name__) for call in calls)),
        found.taps,
        found.weights,
        found.updates,
        outputs,
        found.looked_up,
        found.wholes,
        found.still,
    )


def _add_outputs(
    found: _Found,
    path: str,
    call: Call,
    own: list[tuple[int, tf.Tensor]],
    layouts: list[Layout],
    made: set[int],
    has_modes: bool,
) -> dict[int, Output]:
    """Adds what a call puts out; returns how it comes about, by index, where layers do something else in training.

    Args:
      found: What is logged.
      path: The layer's.
      call: The call.
      own: Its outputs that no other call has given before, with their numbers.
      layouts: How each is logged.
      made: See `_taken`.
      has_modes: Whether any layer may do something else when it trains.
    """
    outputs: dict[int, Output] = {}
    class_name, taken = type(call.layer).__name__, None
    for (i, tensor), layout in zip(own, layouts):
        function = activation_function(call.layer, tensor)
        index = found.add(path, class_name, "activation", call.names[i], tensor, layout, call.index, function=function)
        if index is None:
            continue
        taken = _taken(call, made) if taken is None else taken
        found.taps[index] = dataclasses.replace(found.taps[index], taken=taken)
        if has_modes:
            how = operations(tensor, call.inputs)
            outputs[index] = Output(call.path, call.index, (i, call.names), layout, how)
    return outputs


def _add_weight(
    found: _Found,
    path: str,
    class_name: str,
    layer: Any,
    name: str,
    variable: Any,
    traced: Pass,
    output: tuple[str, ...],
) -> None:
    """Adds a weight and, where there are, its gradient and its update."""
    value = traced.weights.get(id(variable))
    value = tf.convert_to_tensor(variable) if value is None else value
    shape = tuple(int(size) for size in value.shape)
    if is_packed(layer, variable):
        _add_packed(found, path, class_name, layer, name, variable, value)
        return
    layout = keras_axes.weight_layout(layer, name, shape, "weight", output)
    if id(variable) in traced.looked_up and layout.order is None and layout.shape is None:
        _add_looked_up(found, path, class_name, name, value, Weight(variable, layout), traced.trained[id(variable)])
    else:
        index = found.add(path, class_name, "weight", name, value, layout)
        if index is not None and traced.trained and id(variable) not in traced.trained and is_large(value):
            found.still[index] = Weight(variable, layout), found.taps.pop(index)
        elif index is not None:
            found.weights[index] = Weight(variable, layout)
        if id(variable) in traced.trained:
            index = found.add(path, class_name, "update", name, as_difference(value), layout)
            if index is not None:
                found.updates[index] = Update(traced.trained[id(variable)], layout, found.taps.pop(index))
    if traced.gradients is None or id(variable) not in traced.gradients:
        return
    if not found.takes("gradient", path, class_name):
        return
    if is_own_gradient(variable):
        found.own_gradients.append(f"{path}/{name}")
        return
    gradient = traced.gradients[id(variable)]
    layout = keras_axes.weight_layout(layer, name, shape, "gradient", output)
    if gradient is None:
        found.notes.append(f"{path}: the loss does not depend on {name}: it has no gradient")
    elif isinstance(gradient, tf.IndexedSlices):
        found.notes.append(
            f"{path}: gradient {name} has the rows that the probe looks up, each once, summed where it is looked up "
            "several times; the others are zero and enter no statistic"
        )
        assumed = min(shape[0], gradient.values.shape[0] or shape[0])
        sparse = keras_axes.sparse_layout(layout)
        found.add(path, class_name, "gradient", name, _summed(gradient), sparse, assumed=assumed)
    else:
        found.add(path, class_name, "gradient", name, gradient, layout)


def _add_looked_up(
    found: _Found, path: str, class_name: str, name: str, value: tf.Tensor, weight: Weight, variable: tf.Variable
) -> None:
    """Adds a weight of which a step changes few rows, its update, and the rows of both."""
    rows, touched = value[: tf.shape(value)[0]], Layout(("row", *weight.layout.axes[1:]))  # as many as it takes
    indices: dict[str, int | None] = {
        "weight": found.add(path, class_name, "weight", name, value, weight.layout),
        "touched weight": found.add(path, class_name, "weight", name + TOUCHED, rows, touched),
        "update": found.add(path, class_name, "update", name, as_difference(value), weight.layout),
        "touched update": found.add(path, class_name, "update", name + TOUCHED, as_difference(rows), touched),
    }
    tensors = {what: index for what, index in indices.items() if index is not None}
    if not tensors:
        return
    taps = {index: found.taps.pop(index) for index in tensors.values()}
    found.looked_up.append(LookedUp(variable, taps, tensors))
    if "weight" in tensors:
        found.wholes[tensors["weight"]] = weight, taps[tensors["weight"]]
        found.notes.append(
            f"{path}: a step changes few of the {value.shape[0]:,} rows of {name}: those that it changed are logged at "
            f"each logged step, as {name + TOUCHED}, and the whole at the first and the last one and once an octave "
            "from step 8 on"
        )


def _add_packed(
    found: _Found, path: str, class_name: str, layer: Any, name: str, variable: Any, value: tf.Tensor
) -> None:
    """Adds a weight that holds two numbers in each byte: the numbers, or the bytes, which are called so."""
    shape = tuple(int(size) for size in value.shape)
    size = unpacked_size(layer, variable)
    if size is None:
        name = f"{name} (packed)"
        layout = Layout(default_axes("weight", len(shape)))
        said = "holds two numbers of four bits in each byte: what is logged are the bytes"
    else:
        layout = keras_axes.weight_layout(layer, name, (*shape[:-1], size), "weight")
        layout = dataclasses.replace(layout, packed=size)
        said = "is of int4 numbers, -8 to 7, without their scale: two lie in each byte of Keras' variable"
    index = found.add(path, class_name, "weight", name, value, layout)
    if index is not None:
        found.weights[index] = Weight(variable, layout)
        found.notes.append(f"{path}: {name} {said}")


def _summed(gradient: tf.IndexedSlices) -> tf.Tensor:
    """Each touched row once [touched rows, ...], the gradients of those that were looked up more than once added up."""
    unique = tf.unique(gradient.indices)
    return tf.math.unsorted_segment_sum(gradient.values, unique.idx, tf.size(unique.y))


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


def _taken(call: Call, made: set[int]) -> tf.Tensor | None:
    """The share that is not finite of what a call takes and no layer has made; None where it takes nothing of the kind.

    That is what the layer around it, or the model, has computed by itself: only so can it be told who broke it.

    Args:
      call: The call.
      made: The ids of the model's inputs, and of what layers have put out and not just handed on.
    """
    shares = [
        tf.reduce_mean(tf.cast(tf.logical_not(tf.math.is_finite(tensor)), tf.float32))
        for tensor in {id(tensor): tensor for tensor in call.inputs if id(tensor) not in made}.values()
        if tensor.dtype in _FLOATS
    ]
    return tf.reduce_max(tf.stack(shares)) if shares else None


def _activation_layout(axes: Mapping[int, tuple[str, ...]], tensor: tf.Tensor) -> Layout:
    return keras_axes.activation_layout(axes.get(id(tensor), ()))


def _not_seen(traced: Pass, weights: Mapping[int, list[tuple[str, Any]]], select: Select) -> Iterator[str]:
    """Sentences on layers that were not seen being called, and on weights that belong to none that were."""
    unseen = [path for path, class_name in missing(traced.model, traced.calls) if select.takes(path, class_name)]
    if unseen and "activation" in select.kinds:
        yield (
            "these layers were not seen being called: the model does not call them, or does so inside a tf.function, a "
            f"loop or a branch of its own. Their activations are left out: {', '.join(unseen)}"
        )
    owned = {id(v) for of_call in weights.values() for _, v in of_call}
    for variable in traced.model.weights:
        if is_number(variable) and id(variable) not in owned:
            path = getattr(variable, "path", variable.name)
            yield f"weight {path}: its layer is not called through the model, it is left out"


def _lost(model: Any, owned: list[tuple[str, Call, str, Any]], found: _Found) -> Iterator[str]:
    """Counts the logged weights against the model's own; a sentence that names what is selected and missing.

    Args:
      model: The Keras model.
      owned: Its weights, each with its layer's path, a call of the layer, and its name.
      found: What is logged.
    """
    apart = (weight for of_some in (found.wholes, found.still) for weight, _ in of_some.values())
    logged = {id(weight.variable) for weight in (*found.weights.values(), *apart)}
    lost = [
        f"{path}/{name}"
        for path, call, name, variable in owned
        if id(variable) not in logged
        and found.takes("weight", path, type(call.layer).__name__)
        and can_measure(tf.as_dtype(variable.dtype).name)  # else that is said by name
    ]
    if lost:
        count = sum(is_number(variable) for variable in model.weights)
        yield f"{len(lost)} of the model's {count} weights are left out, as others have their names: {', '.join(lost)}"


class _Found:
    """Collects what is tapped while the calls are walked."""

    def __init__(self, select: Select, keep: Keep) -> None:
        self.taps: dict[int, Tap] = {}
        self.weights: dict[int, Weight] = {}
        self.updates: dict[int, Update] = {}
        self.looked_up: list[LookedUp] = []
        self.wholes: dict[int, tuple[Weight, Tap]] = {}
        self.still: dict[int, tuple[Weight, Tap]] = {}
        self.notes: list[str] = []
        self.own_gradients: list[str] = []  # weights whose next value stands where a gradient is looked for
        self._select, self._keep = select, keep
        self._layers: dict[str, str] = {}
        self._places: dict[str, int] = {}  # of the layers, by path
        self._tensors: list[Tensor] = []
        self._keys: set[tuple[str, int, str, str]] = set()
        self._made_by: dict[int, int] = {}

    def takes(self, kind: Kind, path: str, class_name: str) -> bool:
        """Whether tensors of this kind and layer are selected."""
        return kind in self._select.kinds and self._select.takes(path, class_name)

    def add(
        self,
        path: str,
        class_name: str,
        kind: Kind,
        name: str,
        tensor: tf.Tensor,
        layout: Layout,
        call: int = 0,
        assumed: int = _ASSUMED,
        function: str = "",
    ) -> int | None:
        """Taps a tensor if it is selected and can be measured.

        Args:
          path: Of its layer.
          class_name: Of its layer.
          kind: What it is.
          name: Which one of its kind.
          tensor: The tensor as Keras has it.
          layout: How it is logged.
          call: Which call of the layer made it.
          assumed: How many there may be along an axis whose size is not known before the pass runs.
          function: The activation function that made it.

        Returns:
          Its index, if it is tapped.
        """
        if not self.takes(kind, path, class_name):
            return None
        dtype = tensor.dtype.base_dtype.name
        if not can_measure(dtype):
            self.notes.append(f"{path}: {kind} {name} has dtype {dtype} and is left out")
            return None
        if tensor.shape.rank is None:
            self.notes.append(f"{path}: {kind} {name} has no known number of axes and is left out")
            return None
        if (path, call, kind, name) in self._keys:  # readers know a tensor by these
            self.notes.append(f"{path}: of two tensors called {kind} {name} the second one is left out")
            return None
        self._keys.add((path, call, kind, name))
        layer = self._places.setdefault(path, len(self._places))
        self._layers.setdefault(path, class_name)
        if kind == "activation":
            self._made_by.setdefault(id(tensor), layer)
        tensor = layout.apply(tensor)
        shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
        budget = self._keep.budget(kind)
        sizes = tuple(assumed if size < 0 else size for size in shape)
        keep = None
        if budget and shape and min(sizes) > 0:
            keep = values.choose(sizes, layout.axes, budget, self._keep.examples)
        index = len(self._tensors)
        described = Tensor(layer, kind, name, shape, dtype, call, layout.axes, function)
        self._tensors.append(described)
        units = self._keep.units and len(shape) > 1
        self.taps[index] = Tap(tensor, units=units, keep=keep, sparse=Extra.of(described))
        return index

    def model(self, sources: list[tuple[str, tuple[tf.Tensor, ...]]]) -> Model:
        """What was found; each layer's inputs are the nearest layers that its calls' sources are computed from."""
        index = {path: i for i, path in enumerate(self._layers)}
        inputs: dict[str, set[int]] = {path: set() for path in self._layers}
        for path, tensors in sources:
            if path in inputs:
                inputs[path].update(producers(tensors, self._made_by, index[path]))
        layers = tuple(Layer(path, name, tuple(sorted(inputs[path]))) for path, name in self._layers.items())
        return Model(layers, tuple(self._tensors), notes=tuple(self.notes))


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


def is_number(variable: Any) -> bool:
    """Whether a variable holds a tensor that can be read: Keras 2 lists look-up tables among the weights."""
    return hasattr(variable, "dtype") and hasattr(variable, "shape")


def _unique_names(variables: list[Any]) -> list[str]:
    """The last parts of the variables' paths, as many as it takes to tell them apart."""
    paths = [str(getattr(v, "path", v.name)).split(":")[0].split("/") for v in variables]
    for parts in range(1, max(map(len, paths)) + 1):
        names = ["/".join(path[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{name} {i}" for i, name in enumerate(names)]
