"""The weights of a Keras model and how they change: what there is to log where no pass of the model can be had."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.anatomy import KERAS, is_number
from tb_layerview.capture.keras.tf.changes import Changes
from tb_layerview.capture.keras.tf.layouts import laid_out
from tb_layerview.capture.keras.tf.taps import Taps, find_taps
from tb_layerview.capture.keras.tf.variables import tf_variable
from tb_layerview.capture.keras.versions import software_of
from tb_layerview.capture.passes.as_if_called import as_if_called
from tb_layerview.capture.passes.candidates import Pass
from tb_layerview.capture.passes.chosen import Weight
from tb_layerview.format.model import Model
from tb_layerview.measure.tf import digests
from tb_layerview.measure.tf.digests import Digests
from tb_layerview.measure.tf.tap import Tap
from tb_layerview.writing.step import Measured, Part, Step


class WeightReader:
    """Reads weights and digests them, in no graph. Of several replicas it reads the first one's."""

    def __init__(self, strategy: Any, found: Taps) -> None:
        """Keeps what it takes to read them.

        Args:
          strategy: The model's distribution strategy.
          found: What is logged of the model, without tensors.
        """
        self._strategy = strategy
        self._weights: dict[int, Weight] = {**found.weights, **{i: weight for i, (weight, _) in found.apart.items()}}
        taps = {**found.taps, **{i: tap for i, (_, tap) in found.apart.items()}}
        self._taps: dict[int, Tap] = {index: taps[index] for index in self._weights}
        self._is_ready = False

    def run(self, with_values: bool) -> Digests:
        """Digests the weights as they are."""
        if not self._is_ready:
            self._is_ready = True
            digests.make_ready(self._taps)
        taps = {
            index: dataclasses.replace(
                self._taps[index], tensor=laid_out(_value(weight.variable, self._strategy), weight.layout)
            )
            for index, weight in self._weights.items()
        }
        return digests.digest(taps, with_values)


class WeightsAlone:
    """Weights and updates of a model that cannot be run on a probe.

    Attributes:
      model: What it logs.
      layers: Path and class name of all layers of the model, logged or not.
      examples: None: the model is not run.
      loss_error: Empty: there is no loss.
      looked_up: None: which weights are looked up is seen in a pass.
      wholes: None either.
    """

    model: Model
    layers: list[tuple[str, str]]
    examples: Examples | None = None
    loss_error = ""
    looked_up: frozenset[int] = frozenset()
    wholes: frozenset[int] = frozenset()

    def __init__(self, model: Any, given: Given, training: bool) -> None:
        """Finds the weights.

        Args:
          model: A Keras model whose weights are made.
          given: What to log, and how much of it to keep.
          training: Whether the model is trained; without, there are no updates.
        """
        self._model = model
        strategy = model.distribute_strategy
        values = {id(v): _value(v, strategy) for v in model.weights if is_number(v)}
        trained = {id(v): tf_variable(v) for v in model.trainable_variables} if training else {}

        def value(variable: Any) -> tf.Tensor:
            found = values.get(id(variable))
            return _value(variable, strategy) if found is None else found

        found = find_taps(
            Pass(model, KERAS, (), as_if_called(model, KERAS), value, None, trained), given
        ).without_tensors()
        self.model = dataclasses.replace(found.model, software=software_of(model, TensorFlow=tf.__version__))
        self.layers = found.layers
        self._updates = found.updates
        self._weights = WeightReader(strategy, found)

    def reading_once(self) -> AbstractContextManager[None]:
        """Does nothing: what is read is digested at once."""
        return contextlib.nullcontext()

    def updates(self) -> Changes:
        """How the weights change from one step to the next."""
        return Changes(self._updates, ())

    def run_wholes(self, with_values: bool) -> Part:
        """Measures nothing: there are no `wholes`."""
        return Measured({})

    def wait(self) -> None:
        """Nothing is run: what is read waits for the training by itself."""

    def run(self, step: int, with_values: bool, without: Collection[int] = ()) -> Step:
        """Reads the weights; the arguments are those of `ProbePass.run`."""
        return Step(step, (self.run_weights(with_values),))

    def run_weights(self, with_values: bool) -> Digests:
        """Reads the weights."""
        return self._weights.run(with_values)


def _value(variable: Any, strategy: Any) -> tf.Tensor:
    """The first replica's: as a whole, a moving statistic is the mean over all workers, which would be asked for it."""
    return tf.convert_to_tensor(strategy.experimental_local_results(tf_variable(variable))[0])
