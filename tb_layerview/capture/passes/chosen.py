"""What to log of a model whose calls were recorded: layers, tensors, and how each is measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tb_layerview.capture.given import Given
from tb_layerview.capture.passes.anatomy import Slot
from tb_layerview.capture.passes.between import keeps_places
from tb_layerview.capture.passes.calls import Call, producers
from tb_layerview.capture.passes.candidates import (
    Candidate,
    LayerCall,
    OwnWeight,
    Pass,
    SomeRows,
    find_candidates,
)
from tb_layerview.capture.passes.layout import Layout, sparse_layout
from tb_layerview.capture.passes.left_out import lost, not_seen
from tb_layerview.capture.passes.modes import Output, operations
from tb_layerview.capture.passes.nodes import dtype_name, is_floating, sizes
from tb_layerview.capture.passes.paths import say_numbered
from tb_layerview.capture.passes.windows import of_all
from tb_layerview.format import values
from tb_layerview.format.model import MOST_SOURCES, TOUCHED, Kind, Layer, Model, Source, Tensor, Window, default_axes
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.measurement import can_measure
from tb_layerview.measure.tap import difference_dtype

#: From so many elements on, a weight that a step changes little or not at all is not measured as a whole at each
#: logged step.
LARGE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Weight:
    """Where one weight is read, or what an optimizer keeps of it.

    Attributes:
      variable: The framework's variable.
      layout: How it is logged.
    """

    variable: Any
    layout: Layout


@dataclasses.dataclass(frozen=True)
class Pick:
    """A tensor that is logged.

    Attributes:
      candidate: What it is, as it was traced.
      units: Whether each unit is measured, too.
      keep: What of each axis to keep, or None.
      extra: What to measure beside what all tensors have.
      taken: Of which tensors the largest share that is not finite is logged with it.
    """

    candidate: Candidate
    units: bool
    keep: tuple[values.Axis, ...] | None
    extra: Extra | None
    taken: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True)
class Rows:
    """A weight of which a step changes few rows.

    Attributes:
      variable: What the framework has for it.
      tensors: Indices in the log's model, by what they are of it: `weight` and `update`, the whole ones, and `touched
        weight` and `touched update`, of the rows that a step has changed. What is not selected is not there.
    """

    variable: Any
    tensors: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What is logged of a pass.

    Attributes:
      model: Its description.
      layers: Path and class name of all layers that the model calls, logged or not.
      picks: By index in the description's tensors.
      weights: Those that are weights which the pass measures, or what an optimizer keeps of one, by index.
      updates: What the framework has for the variables whose changes are logged, by index.
      looked_up: Weights of which a step changes few rows.
      wholes: Those weights as a whole, by index.
      still: Large weights that the training does not change, by index.
      outputs: Of activations but inputs and scores, how they come about, by index; none where no layer does anything
        else when it trains.
    """

    model: Model
    layers: list[tuple[str, str]]
    picks: dict[int, Pick]
    weights: dict[int, Weight]
    updates: dict[int, Any]
    looked_up: list[Rows]
    wholes: dict[int, Weight]
    still: dict[int, Weight]
    outputs: dict[int, Output]

    @property
    def passed(self) -> dict[int, Pick]:
        """What the pass itself gives: activations, gradients, and weights that are measured at each logged step."""
        apart = {
            *self.updates,
            *self.wholes,
            *self.still,
            *(i for rows in self.looked_up for i in rows.tensors.values()),
        }
        return {index: pick for index, pick in self.picks.items() if index not in apart}


def is_large(tensor: Any) -> bool:
    """Whether a weight that a step changes little or not at all is too large to be measured at each logged step."""
    of = sizes(tensor) or ()
    return len(of) > 1 and math.prod(size or 0 for size in of) >= LARGE


def choose(traced: Pass, given: Given) -> Chosen:
    """Chooses what to log, and describes it; the description's notes say what is left out and why."""
    candidates, found = find_candidates(traced), _Found(given)
    for layer, candidate in candidates.inputs:
        found.add(layer, candidate)
    calls = [of_call.call for of_call in candidates.calls]
    outputs: dict[int, Output] = {}
    has_modes = any(traced.anatomy.may_differ(call.layer) for call in calls)
    wants_slots = bool(traced.trained) and "optimizer" in given.select.kinds
    slots = traced.anatomy.slots(traced.model) if wants_slots else {}
    # In the order in which they end: what a layer makes of the outputs of layers that it calls comes after those.
    for of_call in sorted(candidates.calls, key=lambda of_call: of_call.call.finished):
        layer = of_call.layer
        outputs |= _add_outputs(found, of_call, candidates.made, has_modes)
        for candidate in of_call.outputs.values():
            gradient = traced.output_gradients.get(id(candidate.tensor))
            # What has no examples would be taken for a weight's: it is a loss, or a penalty.
            if gradient is not None and "example" in candidate.layout.axes:
                of_output = Candidate("gradient", candidate.name, gradient, candidate.layout, candidate.call)
                found.add(layer, of_output)
        for scores in of_call.scores:
            found.add(layer, scores)
        if of_call.call.remarks and found.takes("activation", layer):
            found.notes += [f"{layer.path}: {remark}" for remark in of_call.call.remarks]
        for weight in of_call.weights:
            _add_weight(found, layer, weight, traced)
            for slot in slots.get(id(weight.variable), ()):
                _add_slot(found, layer, weight, slot, traced)
    if found.own_gradients:
        of = ", ".join(found.own_gradients)
        found.notes.append(f"these weights have no gradient, as float8 gives their next value in its place: {of}")
    found.notes += say_numbered((call.path, traced.anatomy.name(call.layer)) for call in calls if call.path)
    found.notes += [
        f"the model's {name} is logged as {path}, as a layer is called so" for name, path in candidates.renamed
    ]
    why_no_slots = traced.anatomy.why_no_slots(traced.model, slots) if wants_slots else ""
    found.notes += [why_no_slots] if why_no_slots else []
    found.notes += not_seen(traced, candidates, given.select)
    found.notes += lost(traced, candidates, found.logged_variables, given.select)
    return Chosen(
        found.model(candidates.calls),
        candidates.layers,
        found.picks,
        found.weights,
        found.updates,
        found.looked_up,
        found.wholes,
        found.still,
        outputs,
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
    call = of_call.call
    taken: tuple[Any, ...] | None = None
    for i, candidate in of_call.outputs.items():
        index = found.add(of_call.layer, candidate)
        if index is None:
            continue
        taken = _taken(call, made) if taken is None else taken
        found.picks[index] = dataclasses.replace(found.picks[index], taken=taken)
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
        if index is not None:
            is_still = traced.trained and key not in traced.trained and is_large(weight.value)
            (found.still if is_still else found.weights)[index] = Weight(weight.variable, weight.layout)
        if key in traced.trained:
            index = found.add(layer, Candidate("update", weight.name, weight.value, weight.layout))
            if index is not None:
                found.updates[index] = traced.trained[key]
    if key in traced.applied:
        index = found.add(layer, Candidate("gradient", weight.name, traced.applied[key], weight.gradient_layout))
        if index is not None:
            found.weights[index] = Weight(traced.applied[key], weight.gradient_layout)
    if traced.gradients is not None and key in traced.gradients and found.takes("gradient", layer):
        _add_gradient(found, layer, weight, traced.gradients[key], traced.anatomy.is_own_gradient(weight.variable))


def _add_slot(found: _Found, layer: Layer, weight: OwnWeight, slot: Slot, traced: Pass) -> None:
    """Adds what an optimizer keeps of a weight: laid out as the weight is, where it has a number for each of its."""
    value = traced.value(slot.variable)
    is_alike = tuple(value.shape) == tuple(weight.value.shape)
    layout = weight.layout if is_alike else Layout(default_axes("optimizer", len(value.shape)))
    index = found.add(layer, Candidate("optimizer", f"{weight.name}/{slot.name}", value, layout))
    if index is not None:
        found.weights[index] = Weight(slot.variable, layout)


def _add_gradient(found: _Found, layer: Layer, weight: OwnWeight, gradient: Any, is_own: bool) -> None:
    """Adds the gradient of a weight, or says why there is none."""
    name, layout = weight.name, weight.gradient_layout
    if is_own:
        found.own_gradients.append(f"{layer.path}/{name}")
    elif gradient is None:
        found.notes.append(f"{layer.path}: the loss does not depend on {name}: it has no gradient")
    elif isinstance(gradient, SomeRows):
        found.notes.append(
            f"{layer.path}: gradient {name} has the rows that the probe looks up, each once, summed where it is looked "
            "up several times; the others are zero and enter no statistic"
        )
        assumed = gradient.assumed
        found.add(layer, Candidate("gradient", name, gradient.tensor, sparse_layout(layout), assumed=assumed))
    else:
        found.add(layer, Candidate("gradient", name, gradient, layout))


def _add_looked_up(found: _Found, layer: Layer, weight: OwnWeight, variable: Any) -> None:
    """Adds a weight of which a step changes few rows, its update, and the rows of both."""
    name, value, layout = weight.name, weight.value, weight.layout
    touched = Layout(("row", *layout.axes[1:]))
    whole, rows = Candidate("weight", name, value, layout), Candidate("weight", name + TOUCHED, value, touched)
    rows = dataclasses.replace(rows, are_some_rows=True)
    indices = {
        "weight": found.add(layer, whole),
        "touched weight": found.add(layer, rows),
        "update": found.add(layer, dataclasses.replace(whole, kind="update")),
        "touched update": found.add(layer, dataclasses.replace(rows, kind="update")),
    }
    tensors = {what: index for what, index in indices.items() if index is not None}
    if not tensors:
        return
    found.looked_up.append(Rows(variable, tensors))
    if "weight" in tensors:
        found.wholes[tensors["weight"]] = Weight(weight.variable, layout)
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


def _taken(call: Call, made: frozenset[int]) -> tuple[Any, ...]:
    """What a call takes and no layer has made, of floating-point numbers.

    That is what the layer around it, or the model, has computed by itself: only so can it be told who broke it.

    Args:
      call: The call.
      made: The ids of the model's inputs, and of what layers have put out and not just handed on.
    """
    taken = {id(tensor): tensor for tensor in call.inputs if id(tensor) not in made}
    return tuple(tensor for tensor in taken.values() if is_floating(tensor))


class _Found:
    """Collects what is logged while the calls are walked."""

    def __init__(self, given: Given) -> None:
        self.picks: dict[int, Pick] = {}
        self.weights: dict[int, Weight] = {}
        self.updates: dict[int, Any] = {}
        self.looked_up: list[Rows] = []
        self.wholes: dict[int, Weight] = {}
        self.still: dict[int, Weight] = {}
        self.notes: list[str] = []
        self.own_gradients: list[str] = []  # weights whose next value stands where a gradient is looked for
        self._select, self._keep = given.select, given.keep
        self._layers: dict[str, str] = {}
        self._sources: dict[str, dict[int, Source]] = {}  # by path and call
        self._windows: dict[str, dict[int, Window | None]] = {}  # by path and call
        self._places: dict[str, int] = {}  # of the layers, by path
        self._tensors: list[Tensor] = []
        self._keys: set[tuple[str, int, str, str]] = set()
        self._made_by: dict[int, int] = {}

    def takes(self, kind: Kind, layer: Layer) -> bool:
        """Whether tensors of this kind and layer are selected."""
        return kind in self._select.kinds and self._select.takes(layer.path, layer.class_name)

    def add(self, layer: Layer, candidate: Candidate) -> int | None:
        """Picks a tensor if it is selected and can be measured; returns its index, if it is picked."""
        path, kind, name, tensor = layer.path, candidate.kind, candidate.name, candidate.tensor
        if not self.takes(kind, layer):
            return None
        dtype = dtype_name(tensor)
        if not can_measure(dtype):
            self.notes.append(f"{path}: {kind} {name} has dtype {dtype} and is left out")
            return None
        of = sizes(tensor)
        if of is None:
            self.notes.append(f"{path}: {kind} {name} has no known number of axes and is left out")
            return None
        if (path, candidate.call, kind, name) in self._keys:  # readers know a tensor by these
            self.notes.append(f"{path}: of two tensors called {kind} {name} the second one is left out")
            return None
        self._keys.add((path, candidate.call, kind, name))
        place = self._places.setdefault(path, len(self._places))
        self._layers.setdefault(path, layer.class_name)
        self._windows.setdefault(path, {})[candidate.call] = layer.window
        for source in layer.sources:
            self._sources.setdefault(path, {})[candidate.call] = source
        if kind == "activation":
            self._made_by.setdefault(id(tensor), place)
        layout = candidate.layout
        shape = tuple(-1 if size is None else size for size in layout.sizes(of))
        shape = (-1, *shape[1:]) if candidate.are_some_rows else shape
        dtype = difference_dtype(dtype) if kind == "update" else dtype
        index = len(self._tensors)
        described = Tensor(place, kind, name, shape, dtype, candidate.call, layout.axes, candidate.function)
        self._tensors.append(described)
        units = self._keep.units and len(shape) > 1
        self.picks[index] = Pick(candidate, units, self._kept(described, candidate.assumed), Extra.of(described))
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
        """Ids of the variables that are logged."""
        logged = (*self.weights.values(), *self.wholes.values(), *self.still.values())
        return frozenset(id(weight.variable) for weight in logged)

    def model(self, calls: Iterable[LayerCall]) -> Model:
        """What was found; each layer's inputs are the nearest layers that its calls' sources are computed from."""
        by_path: dict[str, list[LayerCall]] = {path: [] for path in self._layers}
        for of_call in calls:
            if of_call.layer.path in by_path:
                by_path[of_call.layer.path].append(of_call)
        layers = tuple(self._layer(i, path, found) for i, (path, found) in enumerate(by_path.items()))
        return Model(layers, tuple(self._tensors), notes=tuple(self.notes))

    def _layer(self, index: int, path: str, calls: Sequence[LayerCall]) -> Layer:
        """One layer of the model, with its calls."""
        read = [producers(of_call.sources, self._made_by, index) for of_call in calls]
        inputs = {i for of_call in read for i in of_call}
        return Layer(
            path,
            self._layers[path],
            tuple(sorted(inputs)),
            _by_call(self._sources[path]) if path in self._sources else (),
            of_all(self._windows[path].values()),
            direct=bool(inputs) and all(self._is_direct(*pair, index) for pair in zip(calls, read)),
            in_place=bool(inputs) and all(self._is_in_place(of_call, index) for of_call in calls),
        )

    def _is_direct(self, of_call: LayerCall, read: tuple[int, ...], layer: int) -> bool:
        """Whether a call, computed from the layers `read`, takes all of them, and each place of the same of theirs."""
        taken = of_call.call.inputs
        return producers(taken, self._made_by, layer) == read and keeps_places(taken, self._made_by, layer)

    def _is_in_place(self, of_call: LayerCall, layer: int) -> bool:
        """Whether each place of what a call puts out is made of the same place of layers' outputs."""
        outputs = [candidate.tensor for candidate in of_call.outputs.values()]
        return bool(outputs) and keeps_places(outputs, self._made_by, layer)


def _by_call(found: Mapping[int, Source]) -> tuple[Source, ...]:
    """Where each call of a layer stands; of one that is not known, where the one before does."""
    known = min(found)
    places = []
    for call in range(min(MOST_SOURCES, max(found) + 1)):
        known = call if call in found else known
        places.append(found[known])
    return tuple(places)
