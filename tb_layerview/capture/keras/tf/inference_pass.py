"""What the layers of a Keras model put out when it does not train: a second pass of the probe, in inference mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tb_layerview.capture import cluster
from tb_layerview.capture.keras.anatomy import KERAS
from tb_layerview.capture.keras.tf.in_strategy import runs_python, traced
from tb_layerview.capture.keras.tf.layouts import laid_out
from tb_layerview.capture.keras.tf.tracing import GraphTracing
from tb_layerview.capture.keras.tf.unchanged import put_back_after, unchanged_by_tracing, written_variables
from tb_layerview.capture.passes.calls import noting_calls
from tb_layerview.capture.passes.modes import Output, Shifted, differing
from tb_layerview.measure.tf import digests
from tb_layerview.measure.tf.on_device import Fetches
from tb_layerview.measure.tf.tap import Tap
from tb_layerview.writing.step import Part


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
        self._is_random = {i: made.is_random for i, made in outputs.items()}

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
        return Shifted(training, inference, self._is_random)


def _find_taps(model: Any, x: Any, outputs: Mapping[int, Output]) -> dict[int, Tap]:
    with noting_calls(model, KERAS, GraphTracing()) as calls:
        model(x, training=False)
    found = differing(calls, outputs)
    return {index: Tap(laid_out(tensor, outputs[index].layout), units=True) for index, tensor in found.items()}
