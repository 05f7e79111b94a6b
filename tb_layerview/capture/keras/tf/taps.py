"""What to log of a Keras model whose calls were recorded: layers, tensors, and what they are tapped by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.paths import say_numbered
from tb_layerview.capture.keras.tf.axes import Layout, sparse_layout
from tb_layerview.capture.keras.tf.calls import Call, producers
from tb_layerview.capture.keras.tf.candidates import Candidate, LayerCall, OwnWeight, Pass, find_candidates
from tb_layerview.capture.keras.tf.inference_pass import Output, may_differ, operations
from tb_layerview.capture.keras.tf.left_out import lost, not_seen
from tb_layerview.capture.keras.tf.quantized import is_own_gradient
from tb_layerview.capture.keras.tf.rows import LookedUp, is_large
from tb_layerview.capture.keras.tf.updates import Update
from tb_layerview.format import values
from tb_layerview.format.model import TOUCHED, Kind, Layer, Model, Tensor
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.measurement import can_measure
from tb_layerview.measure.tf.tap import Tap, as_difference

_FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


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

    @property
    def apart(self) -> dict[int, tuple[Weight, Tap]]:
        """The weights that the pass itself does not measure."""
        return {**self.wholes, **self.still}

    def without_tensors(self) -> Taps:
        """The same, without what would hold the graph in which it was found."""
        return dataclasses.replace(
            self,
            taps={i: tap.without_tensor() for i, tap in self.taps.items()},
            updates={i: update.without_tensor() for i, update in self.updates.items()},
            looked_up=[weight.without_tensor() for weight in self.looked_up],
            wholes={i: (weight, tap.without_tensor()) for i, (weight, tap) in self.wholes.items()},
            still={i: (weight, tap.without_tensor()) for i, (weight, tap) in self.still.items()},
        )


def find_taps(traced: Pass, given: Given) -> Taps:
    """Chooses what to tap, and describes it; the description's notes say what is left out and why."""
    candidates, found = find_candidates(traced), _Found(given)
    for layer, candidate in candidates.inputs:
        found.add(layer, candidate)
    calls = [of_call.call for of_call in candidates.calls]
    outputs: dict[int, Output] = {}
    has_modes = may_differ(calls)
    # In the order in which they end: what a layer makes of the outputs of layers that it calls comes after those.
    for of_call in sorted(candidates.calls, key=lambda of_call: of_call.call.finished):
        layer = of_call.layer
        outputs |= _add_outputs(found, of_call, candidates.made, has_modes)
        for scores in of_call.scores:
            found.add(layer, scores)
        if of_call.call.remarks and found.takes("activation", layer):
            found.notes += [f"{layer.path}: {remark}" for remark in of_call.call.remarks]
        for weight in of_call.weights:
            _add_weight(found, layer, weight, traced)
    if found.own_gradients:
        of = ", ".join(found.own_gradients)
        found.notes.append(f"these weights have no gradient, as float8 gives their next value in its place: {of}")
    found.notes += say_numbered((call.path, str(call.layer.name)) for call in calls if call.path)
    found.notes += [
        f"the model's {name} is logged as {path}, as a layer is called so" for name, path in candidates.renamed
    ]
    found.notes += not_seen(traced, candidates, given.select)
    found.notes += lost(traced.model, candidates, found.logged_variables, given.select)
    return Taps(
        found.model((of_call.layer.path, of_call.sources) for of_call in candidates.calls),
        candidates.layers,
        found.taps,
        found.weights,
        found.updates,
        outputs,
        found.looked_up,
        found.wholes,
        found.still,
    )


def _add_outputs(found: _Found, of_call: LayerCall, made: frozenset[int], has_modes: bool) -> dict[int, Output]:
    """Adds what a call puts out; returns how it comes about, by index, where layers do something else in training.

    Args:
      found: What is logged.
      of_call: The call.
      made: See `_taken`.
      has_modes: Whether any layer may do something else when it trains.
    """
    outputs: dict[int, Output] = {}
    call, taken = of_call.call, None
    for i, candidate in of_call.outputs.items():
        index = found.add(of_call.layer, candidate)
        if index is None:
            continue
        taken = _taken(call, made) if taken is None else taken
        found.taps[index] = dataclasses.replace(found.taps[index], taken=taken)
        if has_modes:
            how = operations(candidate.tensor, call.inputs)
            outputs[index] = Output(call.path, call.index, (i, call.names), candidate.layout, how)
    return outputs


def _add_weight(found: _Found, layer: Layer, weight: OwnWeight, traced: Pass) -> None:
    """Adds a weight and, where there are, its gradient and its update."""
    key = id(weight.variable)
    if weight.packed:
        _add_packed(found, layer, weight)
        return
    if key in traced.looked_up and weight.layout.order is None and weight.layout.shape is None:
        _add_looked_up(found, layer, weight, traced.trained[key])
    else:
        index = found.add(layer, Candidate("weight", weight.name, weight.value, weight.layout))
        if index is not None and traced.trained and key not in traced.trained and is_large(weight.value):
            found.still[index] = Weight(weight.variable, weight.layout), found.taps.pop(index)
        elif index is not None:
            found.weights[index] = Weight(weight.variable, weight.layout)
        if key in traced.trained:
            change = Candidate("update", weight.name, as_difference(weight.value), weight.layout)
            index = found.add(layer, change)
            if index is not None:
                found.updates[index] = Update(traced.trained[key], weight.layout, found.taps.pop(index))
    if traced.gradients is not None and key in traced.gradients and found.takes("gradient", layer):
        _add_gradient(found, layer, weight, traced.gradients[key])


def _add_gradient(found: _Found, layer: Layer, weight: OwnWeight, gradient: Any) -> None:
    """Adds the gradient of a weight, or says why there is none."""
    name, layout = weight.name, weight.gradient_layout
    if is_own_gradient(weight.variable):
        found.own_gradients.append(f"{layer.path}/{name}")
    elif gradient is None:
        found.notes.append(f"{layer.path}: the loss does not depend on {name}: it has no gradient")
    elif isinstance(gradient, tf.IndexedSlices):
        found.notes.append(
            f"{layer.path}: gradient {name} has the rows that the probe looks up, each once, summed where it is looked "
            "up several times; the others are zero and enter no statistic"
        )
        rows = int(weight.value.shape[0])
        assumed = min(rows, gradient.values.shape[0] or rows)
        sparse = Candidate("gradient", name, _summed(gradient), sparse_layout(layout), assumed=assumed)
        found.add(layer, sparse)
    else:
        found.add(layer, Candidate("gradient", name, gradient, layout))


def _add_looked_up(found: _Found, layer: Layer, weight: OwnWeight, variable: tf.Variable) -> None:
    """Adds a weight of which a step changes few rows, its update, and the rows of both."""
    name, value, layout = weight.name, weight.value, weight.layout
    rows, touched = value[: tf.shape(value)[0]], Layout(("row", *layout.axes[1:]))  # as many as it takes
    indices = {
        "weight": found.add(layer, Candidate("weight", name, value, layout)),
        "touched weight": found.add(layer, Candidate("weight", name + TOUCHED, rows, touched)),
        "update": found.add(layer, Candidate("update", name, as_difference(value), layout)),
        "touched update": found.add(layer, Candidate("update", name + TOUCHED, as_difference(rows), touched)),
    }
    tensors = {what: index for what, index in indices.items() if index is not None}
    if not tensors:
        return
    taps = {index: found.taps.pop(index) for index in tensors.values()}
    found.looked_up.append(LookedUp(variable, taps, tensors))
    if "weight" in tensors:
        found.wholes[tensors["weight"]] = Weight(weight.variable, layout), taps[tensors["weight"]]
        found.notes.append(
            f"{layer.path}: a step changes few of the {value.shape[0]:,} rows of {name}: those that it changed are "
            f"logged at each logged step, as {name + TOUCHED}, and the whole at the first and the last one and once an "
            "octave from step 8 on"
        )


def _add_packed(found: _Found, layer: Layer, weight: OwnWeight) -> None:
    """Adds a weight that holds two numbers in each byte: the numbers, or the bytes, which are called so."""
    name = weight.name if weight.layout.packed else f"{weight.name} (packed)"
    index = found.add(layer, Candidate("weight", name, weight.value, weight.layout))
    if index is not None:
        found.weights[index] = Weight(weight.variable, weight.layout)
        found.notes.append(f"{layer.path}: {name} {weight.packed}")


def _summed(gradient: tf.IndexedSlices) -> tf.Tensor:
    """Each touched row once [touched rows, ...], the gradients of those that were looked up more than once added up."""
    unique = tf.unique(gradient.indices)
    return tf.math.unsorted_segment_sum(gradient.values, unique.idx, tf.size(unique.y))


def _taken(call: Call, made: frozenset[int]) -> tf.Tensor | None:
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


class _Found:
    """Collects what is tapped while the calls are walked."""

    def __init__(self, given: Given) -> None:
        self.taps: dict[int, Tap] = {}
        self.weights: dict[int, Weight] = {}
        self.updates: dict[int, Update] = {}
        self.looked_up: list[LookedUp] = []
        self.wholes: dict[int, tuple[Weight, Tap]] = {}
        self.still: dict[int, tuple[Weight, Tap]] = {}
        self.notes: list[str] = []
        self.own_gradients: list[str] = []  # weights whose next value stands where a gradient is looked for
        self._select, self._keep = given.select, given.keep
        self._layers: dict[str, str] = {}
        self._places: dict[str, int] = {}  # of the layers, by path
        self._tensors: list[Tensor] = []
        self._keys: set[tuple[str, int, str, str]] = set()
        self._made_by: dict[int, int] = {}

    def takes(self, kind: Kind, layer: Layer) -> bool:
        """Whether tensors of this kind and layer are selected."""
        return kind in self._select.kinds and self._select.takes(layer.path, layer.class_name)

    def add(self, layer: Layer, candidate: Candidate) -> int | None:
        """Taps a tensor if it is selected and can be measured; returns its index, if it is tapped."""
        path, kind, name, tensor = layer.path, candidate.kind, candidate.name, candidate.tensor
        if not self.takes(kind, layer):
            return None
        dtype = tensor.dtype.base_dtype.name
        if not can_measure(dtype):
            self.notes.append(f"{path}: {kind} {name} has dtype {dtype} and is left out")
            return None
        if tensor.shape.rank is None:
            self.notes.append(f"{path}: {kind} {name} has no known number of axes and is left out")
            return None
        if (path, candidate.call, kind, name) in self._keys:  # readers know a tensor by these
            self.notes.append(f"{path}: of two tensors called {kind} {name} the second one is left out")
            return None
        self._keys.add((path, candidate.call, kind, name))
        place = self._places.setdefault(path, len(self._places))
        self._layers.setdefault(path, layer.class_name)
        if kind == "activation":
            self._made_by.setdefault(id(tensor), place)
        layout = candidate.layout
        tensor = layout.apply(tensor)
        shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
        index = len(self._tensors)
        described = Tensor(place, kind, name, shape, dtype, candidate.call, layout.axes, candidate.function)
        self._tensors.append(described)
        units = self._keep.units and len(shape) > 1
        kept = self._kept(described, candidate.assumed)
        self.taps[index] = Tap(tensor, units=units, keep=kept, sparse=Extra.of(described))
        return index

    def _kept(self, tensor: Tensor, assumed: int) -> tuple[values.Axis, ...] | None:
        """What to keep of a tensor's values, if so many are along an axis whose size is not known."""
        budget = self._keep.budget(tensor.kind)
        sizes = tuple(assumed if size < 0 else size for size in tensor.shape)
        if not budget or not sizes or min(sizes) <= 0:
            return None
        return values.choose(sizes, tensor.axes, budget, self._keep.examples)

    @property
    def logged_variables(self) -> frozenset[int]:
        """Ids of Keras' variables that are logged."""
        apart = (weight for of_some in (self.wholes, self.still) for weight, _ in of_some.values())
        return frozenset(id(weight.variable) for weight in (*self.weights.values(), *apart))

    def model(self, sources: Iterable[tuple[str, tuple[tf.Tensor, ...]]]) -> Model:
        """What was found; each layer's inputs are the nearest layers that its calls' sources are computed from."""
        index = {path: i for i, path in enumerate(self._layers)}
        inputs: dict[str, set[int]] = {path: set() for path in self._layers}
        for path, tensors in sources:
            if path in inputs:
                inputs[path].update(producers(tensors, self._made_by, index[path]))
        layers = tuple(Layer(path, name, tuple(sorted(inputs[path]))) for path, name in self._layers.items())
        return Model(layers, tuple(self._tensors), notes=tuple(self.notes))
