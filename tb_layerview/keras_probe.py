"""The probe: one forward and backward pass of a Keras model that the training does not notice."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import device_digest, values
from tb_layerview.device_digest import Tap
from tb_layerview.digest import Measurement, can_measure
from tb_layerview.keras_trace import Call, producers, recording
from tb_layerview.keras_updates import as_difference
from tb_layerview.model import Kind, Layer, Model, Probe, Tensor, default_axes
from tb_layerview.options import Keep, Select
from tb_layerview.session import in_words
from tb_layerview.version import __version__


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a model is trained on: inputs, targets and sample weights, each a nested structure of tensors, or None."""

    x: Any
    y: Any = None
    sample_weight: Any = None

    @classmethod
    def of(cls, data: Any) -> Batch:
        """From what `fit` takes as an element of a data set: x, (x,), (x, y) or (x, y, sample_weight)."""
        if not isinstance(data, tuple):
            return cls(data)
        if not 1 <= len(data) <= 3:
            raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight), not a tuple of {len(data)}")
        return cls(*data)

    def first(self, examples: int) -> Batch:
        """Its first examples."""

        def cut(leaf: Any) -> Any:
            return leaf[:examples] if leaf is not None and getattr(leaf, "shape", None) and leaf.shape.rank else leaf

        return Batch(*(tf.nest.map_structure(cut, part) for part in (self.x, self.y, self.sample_weight)))

    @property
    def examples(self) -> int:
        """How many examples it has."""
        return int(tf.nest.flatten(self.x, expand_composites=True)[0].shape[0])

    def hash(self) -> str:
        """SHA-256 of its elements' bytes, shapes and types, hexadecimal."""
        digest = hashlib.sha256()
        for leaf in tf.nest.flatten((self.x, self.y, self.sample_weight), expand_composites=True):
            if leaf is not None:
                array = np.asarray(leaf)
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(b"\0".join(array.ravel().tolist()) if array.dtype == object else array.tobytes())
        return digest.hexdigest()


class ProbePass:
    """A model's probe, traced once: activations, weights and gradients on one fixed batch.

    Attributes:
      model: What it logs.
      layers: Path and class name of all layers that the model calls, logged or not.
      updates: What of `model` the pass itself cannot measure, by index: each update's variable, and how to digest it.
    """

    model: Model
    layers: list[tuple[str, str]]
    updates: dict[int, tuple[tf.Variable, Tap]]

    def __init__(
        self, model: Any, batch: Batch, source: str, select: Select, keep: Keep, training: bool = True
    ) -> None:
        """Traces the pass.

        Args:
          model: A Keras model that is built.
          batch: The probe, as tensors.
          source: Where the probe came from, in words.
          select: Which layers and kinds to log.
          keep: How much to keep of each tensor.
          training: Whether the model runs in training mode; without, there are no gradients and no updates.

        Raises:
          Exception: Whatever the model raises when it cannot be called with this batch.
        """
        self._model, self._batch, self._training = model, batch, training
        self.updates = {}
        self._select, self._keep = select, keep
        self._taps: dict[int, Tap] = {}
        self._notes: list[str] = []
        with _same_random_state(model):
            self._function = tf.function(_with_autograph(self._pass)).get_concrete_function(*self._arguments())
        self.model = dataclasses.replace(
            self.model,
            probe=Probe(batch.hash(), batch.examples, training, source),
            notes=tuple(dict.fromkeys(self._notes)),
            software=f"tb_layerview {__version__}, Keras {_keras_version(model)}, TensorFlow {tf.__version__}",
        )
        self._written = _written_variables(self._function)
        # The graph's tensors are not needed any more, only what they look like.
        self._taps = {i: _without_tensor(tap) for i, tap in self._taps.items()}
        self.updates = {i: (variable, _without_tensor(tap)) for i, (variable, tap) in self.updates.items()}

    def run(self, with_values: bool) -> tuple[Mapping[str, Any], dict[str, float]]:
        """Runs the pass; every variable is afterwards as it was before.

        Args:
          with_values: Whether values are wanted too.

        Returns:
          What to give to `measurements`, and the loss on the probe by the name `probe_loss` if there is one.
        """
        before = [(variable, variable.read_value()) for variable in self._written]
        try:
            fetched = self._function(*self._arguments())
        finally:
            for variable, value in before:
                variable.assign(value)
        wanted = ("digests", "values") if with_values else ("digests",)
        arrays = tf.nest.map_structure(lambda tensor: tensor.numpy(), {name: fetched[name] for name in wanted})
        return arrays, {"probe_loss": float(fetched["loss"])} if "loss" in fetched else {}

    def measurements(self, fetched: Mapping[str, Any]) -> dict[int, Measurement]:
        """Makes measurements, by index in `model.tensors`, of what `run` returned. Needs no device."""
        return device_digest.measurements(self._taps, fetched)

    @property
    def values_kept(self) -> int:
        """How many elements are kept of all tensors together, when values are wanted."""
        return device_digest.values_kept(self._taps)

    def _arguments(self) -> tuple[Any, Any, Any]:
        return self._batch.x, self._batch.y, self._batch.sample_weight

    def _pass(self, x: Any, y: Any, sample_weight: Any) -> device_digest.Fetches:
        model = self._model
        trainable = [_tf_variable(v) for v in model.trainable_variables]
        with tf.GradientTape() as tape:
            with recording(model) as calls:
                takes_training = getattr(model, "_call_has_training_arg", True)
                predictions = model(x, training=self._training) if takes_training else model(x)
            loss = self._loss(x, y, predictions, sample_weight) if self._training else None
        gradients: dict[int, Any] = {}
        if loss is not None and "gradient" in self._select.kinds:
            gradients = {id(v): g for v, g in zip(model.trainable_variables, tape.gradient(loss, trainable))}
        self._find_taps(x, calls, gradients if loss is not None else None)
        fetches = device_digest.reduce(self._taps)
        if loss is not None:
            fetches["loss"] = tf.cast(loss, tf.float32)
        return fetches

    def _loss(self, x: Any, y: Any, predictions: Any, sample_weight: Any) -> tf.Tensor | None:
        model = self._model
        if getattr(model, "optimizer", None) is None or not hasattr(model, "compute_loss"):
            self._notes.append("the model is not compiled with a loss: gradients are left out")
            return None
        extra = {"training": True} if "training" in inspect.signature(model.compute_loss).parameters else {}
        try:
            loss = model.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=sample_weight, **extra)
        except Exception as error:  # noqa: BLE001  # whatever a user's loss raises; the rest is logged all the same
            self._notes.append(
                f"the loss could not be computed on the probe ({in_words(error)}): gradients are left out"
            )
            return None
        if loss is None:
            self._notes.append("the model is not compiled with a loss: gradients are left out")
            return None
        return tf.reduce_sum(loss)

    def _find_taps(self, x: Any, calls: list[Call], gradients: Mapping[int, Any] | None) -> None:
        """Chooses what to tap, and describes it."""
        # The model itself is the first call. Its path is its name, for what it does beside its layers.
        root = self._model.name
        paths = {id(call): call.path or root for call in calls}
        self.layers = list(dict.fromkeys((paths[id(call)], type(call.layer).__name__) for call in calls))
        inputs = _named_inputs(x)
        found = _Found(self._select, self._keep, self._notes)
        for name, tensor in inputs:
            found.add(name, "Input", "activation", "output", tensor)
        seen = {id(tensor) for _, tensor in inputs}
        weights = _weights_by_call(calls)
        trained = {id(variable) for variable in self._model.trainable_variables} if self._training else set()
        sources: list[tuple[str, tuple[tf.Tensor, ...]]] = []
        # A container's output is its last layer's, which stands further down the list and is the better name for it.
        inner_first = sorted(calls, key=lambda c: -c.path.count("/") if c.path else 1)
        own_outputs: dict[int, list[tuple[int, tf.Tensor]]] = {}
        for call in inner_first:
            outputs = [(i, t) for i, t in enumerate(call.outputs) if id(t) not in seen]
            seen.update(id(t) for _, t in outputs)
            own_outputs[id(call)] = outputs
        for call in calls:
            path, class_name = paths[id(call)], type(call.layer).__name__
            for i, tensor in own_outputs[id(call)]:
                name = "output" if len(call.outputs) == 1 else f"output {i}"
                found.add(path, class_name, "activation", name, tensor, call.index)
            sources.append((path, call.inputs))
            for name, variable in weights.get(id(call), ()):
                found.add(path, class_name, "weight", name, tf.convert_to_tensor(variable))
                if gradients is not None and id(variable) in gradients:
                    gradient = gradients[id(variable)]
                    if gradient is None:
                        self._notes.append(f"{path}: the loss does not depend on {name}: it has no gradient")
                    else:
                        dense = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
                        found.add(path, class_name, "gradient", name, dense)
                if id(variable) in trained:
                    index = found.add(path, class_name, "update", name, as_difference(tf.convert_to_tensor(variable)))
                    if index is not None:
                        self.updates[index] = _tf_variable(variable), found.taps.pop(index)
        owned = {id(v) for of_call in weights.values() for _, v in of_call}
        for variable in self._model.weights:
            if id(variable) not in owned:
                path = getattr(variable, "path", variable.name)
                self._notes.append(f"weight {path}: its layer is not called through the model, it is left out")
        self._taps = found.taps
        self.model = found.model(sources)


class _Found:
    """Collects what is tapped while the calls are walked."""

    def __init__(self, select: Select, keep: Keep, notes: list[str]) -> None:
        self.taps: dict[int, Tap] = {}
        self._select, self._keep, self._notes = select, keep, notes
        self._layers: dict[str, str] = {}
        self._tensors: list[Tensor] = []
        self._made_by: dict[int, int] = {}

    def add(self, path: str, class_name: str, kind: Kind, name: str, tensor: tf.Tensor, call: int = 0) -> int | None:
        """Adds a tensor if it is selected and can be measured, and returns its index then."""
        if kind not in self._select.kinds or not self._select.takes(path, class_name):
            return None
        dtype = tensor.dtype.base_dtype.name
        if not can_measure(dtype):
            self._notes.append(f"{path}: {kind} {name} has dtype {dtype} and is left out")
            return None
        if tensor.shape.rank is None:
            self._notes.append(f"{path}: {kind} {name} has no known number of axes and is left out")
            return None
        self._layers.setdefault(path, class_name)
        layer = list(self._layers).index(path)
        shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
        axes = default_axes(kind, len(shape))
        budget = self._keep.budget(kind)
        keep = None
        if budget and shape and min(shape) > 0:
            keep = values.choose(shape, axes, budget, self._keep.examples)
        index = len(self._tensors)
        self._tensors.append(Tensor(layer, kind, name, shape, dtype, call, axes))
        self.taps[index] = Tap(tensor, units=self._keep.units and len(shape) > 1, keep=keep)
        if kind == "activation":
            self._made_by[id(tensor)] = layer
        return index

    def model(self, sources: list[tuple[str, tuple[tf.Tensor, ...]]]) -> Model:
        """What was found; each layer's inputs are the nearest layers that its calls' inputs are computed from."""
        index = {path: i for i, path in enumerate(self._layers)}
        inputs: dict[str, set[int]] = {path: set() for path in self._layers}
        for path, tensors in sources:
            if path in inputs:
                inputs[path].update(i for i in producers(tensors, self._made_by) if i != index[path])
        layers = tuple(Layer(path, name, tuple(sorted(inputs[path]))) for path, name in self._layers.items())
        return Model(layers, tuple(self._tensors))


def _without_tensor(tap: Tap) -> Tap:
    return dataclasses.replace(tap, tensor=tf.TensorSpec(tap.tensor.shape, tap.tensor.dtype))


def _named_inputs(x: Any) -> list[tuple[str, tf.Tensor]]:
    """The model's inputs by the path of the layer they are shown as."""
    leaves = [leaf for leaf in tf.nest.flatten(x, expand_composites=True) if tf.is_tensor(leaf)]
    if len(leaves) == 1:
        return [("input", leaves[0])]
    names = sorted(x) if isinstance(x, dict) and len(x) == len(leaves) else range(len(leaves))
    return [(f"input/{name}", leaf) for name, leaf in zip(names, leaves)]


def _weights_by_call(calls: list[Call]) -> dict[int, list[tuple[str, Any]]]:
    """The weights that belong to each call's layer and to no layer within it, at its first call, with their names."""
    first: dict[int, Call] = {}
    for call in calls:
        first.setdefault(id(call.layer), call)
    owners: dict[int, tuple[int, Call, Any]] = {}
    for call in first.values():
        weights = list(call.layer.weights)
        for variable in weights:
            if id(variable) not in owners or len(weights) < owners[id(variable)][0]:
                owners[id(variable)] = (len(weights), call, variable)
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


def _tf_variable(variable: Any) -> tf.Variable:
    """TensorFlow's variable of a Keras variable."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def _with_autograph(function: Any) -> Any:
    """Lets autograph convert the model's own `call` while it leaves this package's code alone."""

    def unconverted(*args: Any) -> Any:
        return function(*args)

    unconverted.autograph_info__ = {}  # type: ignore[attr-defined]  # by which autograph knows what not to convert
    return lambda *args: unconverted(*args)


def _written_variables(function: Any) -> list[tf.Variable]:
    """The variables that a traced function may write, directly or in functions that it calls."""
    handles = {id(inner): outer for outer, inner in function.graph.captures if outer.dtype == tf.resource}
    read_only = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}
    written: set[int] = set()
    for op in function.graph.get_operations():
        if op.type in read_only:
            continue
        untouched: set[int] = set()
        with contextlib.suppress(ValueError):  # ops without the attribute
            untouched = set(op.get_attr("_read_only_resource_inputs"))
        written.update(
            id(handles[id(tensor)])
            for i, tensor in enumerate(op.inputs)
            if id(tensor) in handles and i not in untouched
        )
    return [variable for variable in function.graph.variables if id(variable.handle) in written]


@contextlib.contextmanager
def _same_random_state(model: Any) -> Iterator[None]:
    """Leaves the states of random generators in Python as they were: Keras 2 draws dropout seeds while it is traced."""
    generators: list[Any] = [random]
    for cls in type(model).__mro__:
        backend = getattr(inspect.getmodule(cls), "backend", None)
        seeds = getattr(getattr(backend, "_SEED_GENERATOR", None), "generator", None)
        if seeds is not None:
            generators.append(seeds)
    states = [generator.getstate() for generator in generators]
    numpy_state = np.random.get_state()
    try:
        yield
    finally:
        for generator, state in zip(generators, states):
            generator.setstate(state)
        np.random.set_state(numpy_state)


def _keras_version(model: Any) -> str:
    """The version of the Keras that the model's class comes from."""
    import importlib

    for cls in type(model).__mro__:
        package = cls.__module__.partition(".")[0]
        if package in ("keras", "tf_keras"):
            return str(importlib.import_module(package).__version__)
    return "unknown"
