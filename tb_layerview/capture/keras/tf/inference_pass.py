"""What the layers of a Keras model put out when it does not train: a second pass of the probe, in inference mode."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.capture import cluster
from tb_layerview.capture.keras.tf.axes import Layout
from tb_layerview.capture.keras.tf.calls import Call, noting_calls
from tb_layerview.capture.keras.tf.in_strategy import runs_python, traced
from tb_layerview.capture.keras.tf.unchanged import put_back_after, unchanged_by_tracing, written_variables
from tb_layerview.measure.extra import shift
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.tf import digests
from tb_layerview.measure.tf.on_device import Fetches
from tb_layerview.measure.tf.tap import Tap
from tb_layerview.writing.step import Part

Operations = Mapping[tuple[str, bool], int]


@dataclasses.dataclass(frozen=True)
class Output:
    """What a call of a layer gives back.

    Attributes:
      path: Of the layer, as it is called within the model.
      call: Which call of it.
      number: Which of the tensors that it gives back, and the names of all of them.
      layout: How it is logged.
      operations: How often each operation stands between it and what the layer takes.
    """

    path: str
    call: int
    number: tuple[int, tuple[str, ...]]
    layout: Layout
    operations: Operations


def operations(output: tf.Tensor, inputs: Sequence[tf.Tensor]) -> Operations:
    """How often each operation stands between a tensor and those that it is computed from.

    That tells whether a layer does something else when it trains. Copies do nothing; a normalisation that is one
    operation does the one or the other by its attribute.
    """
    seen = {id(tensor) for tensor in inputs}
    pending, found = [output], collections.Counter[tuple[str, bool]]()
    ops: set[Any] = set()
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen or tensor.op in ops:
            continue
        op = tensor.op
        ops.add(op)
        if op.type != "Identity":
            found[op.type, op.type.startswith("FusedBatchNorm") and op.get_attr("is_training")] += 1
        pending.extend(op.inputs)
    return dict(found)


def may_differ(calls: Sequence[Call]) -> bool:
    """Whether any of the layers that were called may do something else when it trains.

    One of Keras' own does only if its call takes `training`; a container does what its layers do. What a layer of
    somebody else's does, its code alone tells.
    """
    return any(_may_differ(call.layer) for call in calls)


def _may_differ(layer: Any) -> bool:
    owner = next((cls for cls in type(layer).__mro__ if "call" in vars(cls)), type(layer))
    if owner.__module__.partition(".")[0] not in ("keras", "tf_keras"):
        return True
    if owner.__name__ in ("Functional", "Sequential"):
        return False
    if owner.__name__ in ("Dense", "EinsumDense") and getattr(layer, "quantization_mode", None) is None:
        return False  # Keras 3 hands it to what multiplies integers
    return bool(getattr(layer, "_call_has_training_arg", getattr(layer, "_expects_training_arg", True)))


class InferencePass:
    """The probe's pass in inference mode: of the outputs that are made in another way than in training.

    Attributes:
      is_needed: Whether there are any.
    """

    def __init__(self, model: Any, x: Any, outputs: Mapping[int, Output]) -> None:
        """Traces the pass.

        Args:
          model: The Keras model, which is built.
          x: The probe's inputs.
          outputs: What the model's layers give in training mode, by index of the tensor; they have units.

        Raises:
          Exception: Whatever the model raises when it cannot be called so.
        """
        self._x = x
        self._taps: dict[int, Tap] = {}
        self._is_random = {i: any("Random" in name for name, _ in made.operations) for i, made in outputs.items()}

        def infer(x: Any) -> Fetches:
            self._taps = _find_taps(model, x, outputs)
            return digests.prepare(self._taps)

        with unchanged_by_tracing(model) as self._held:
            self._function: Any = traced(model.distribute_strategy, infer, x)
            self._variables = tuple(self._function.graph.variables)
        waits = cluster.has_other_processes(model.distribute_strategy) and cluster.asks_other_processes(self._function)
        self.is_needed = bool(self._taps) and not waits
        self._written = written_variables(self._function)
        self._runs_python = runs_python(self._function)
        self._taps = {index: tap.without_tensor() for index, tap in self._taps.items()}

    def run(self, training: Part) -> Part:
        """Runs the pass; every variable is afterwards as it was before.

        Args:
          training: What was found in training mode.

        Returns:
          The same, and how far it is from what was found in inference mode.
        """
        with put_back_after(self._written):
            prepared = self._function(self._x)
        inference = digests.digested(self._taps, prepared, with_values=False, is_pythons=self._runs_python)
        return _Shifted(training, inference, self._is_random)


@dataclasses.dataclass(frozen=True)
class _Shifted:
    """What was found in training mode, with its distance from inference mode.

    Attributes:
      training: What was found in training mode.
      inference: What was found in inference mode of some of the same tensors.
      is_random: Whether random numbers enter a tensor, by its index.
    """

    training: Part
    inference: Part
    is_random: Mapping[int, bool]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that both hold."""
        return self.training.nbytes + self.inference.nbytes

    def measurements(self) -> dict[int, Measurement]:
        """Those of training mode, some with a `shift`."""
        measured = dict(self.training.measurements())
        for index, inference in self.inference.measurements().items():
            one, other = measured[index].units, inference.units
            if one is not None and other is not None:
                found = shift(one, other, self.is_random[index])
                measured[index] = dataclasses.replace(measured[index], sparse={**measured[index].sparse, **found})
        return measured


def _find_taps(model: Any, x: Any, outputs: Mapping[int, Output]) -> dict[int, Tap]:
    with noting_calls(model) as calls:
        model(x, training=False)
    by_place = {(call.path, call.index): call for call in calls}
    taps = {}
    for index, output in outputs.items():
        call = by_place.get((output.path, output.call))
        if call is None or call.names != output.number[1]:
            continue
        tensor = call.outputs[output.number[0]]
        if operations(tensor, call.inputs) != output.operations:
            taps[index] = Tap(output.layout.apply(tensor), units=True)
    return taps
