"""The probe: one forward and backward pass of a Keras model that the training does not notice.

The pass finds what there is to log. Where that is weights alone, it is not run: they are only read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tb_layerview.about import logger
from tb_layerview.capture import cluster
from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.anatomy import KERAS, is_number
from tb_layerview.capture.keras.own_step import is_own
from tb_layerview.capture.keras.slots import slots_of
from tb_layerview.capture.keras.tf.batch import Batch, target_array
from tb_layerview.capture.keras.tf.changes import Changes
from tb_layerview.capture.keras.tf.finite import all_finite
from tb_layerview.capture.keras.tf.in_strategy import runs_python, traced
from tb_layerview.capture.keras.tf.inference_pass import InferencePass
from tb_layerview.capture.keras.tf.loss import compiled_loss, loss_scale, smaller, unscaled
from tb_layerview.capture.keras.tf.still import StillWeights
from tb_layerview.capture.keras.tf.taps import Taps, find_taps, read, some_rows
from tb_layerview.capture.keras.tf.tracing import GraphTracing, values_of
from tb_layerview.capture.keras.tf.train_step import TrainStep
from tb_layerview.capture.keras.tf.unchanged import (
    put_back_after,
    unchanged_by_tracing,
    written_variables,
)
from tb_layerview.capture.keras.tf.variables import WrittenVariable, tf_variable
from tb_layerview.capture.keras.tf.weights import WeightReader
from tb_layerview.capture.keras.versions import software_of
from tb_layerview.capture.passes.calls import Call, leaves, noting_calls
from tb_layerview.capture.passes.candidates import Pass
from tb_layerview.capture.passes.chosen import is_large
from tb_layerview.capture.passes.modes import Output
from tb_layerview.capture.passes.targets import kept_examples, targets_of
from tb_layerview.format.model import Model, Probe
from tb_layerview.measure.tf import digests
from tb_layerview.measure.tf.digests import Digests
from tb_layerview.measure.tf.on_device import Fetches
from tb_layerview.writing.guard import NotSupported, in_words
from tb_layerview.writing.step import Part, Step


class _Returned(NamedTuple):
    """What a pass returns.

    Attributes:
      prepared: What is logged, ready to be digested.
      loss: The loss on the probe, float32, or None.
      is_finite: A bool, whether all gradients are, or None if nothing depends on it.
    """

    prepared: Fetches
    loss: tf.Tensor | None = None
    is_finite: tf.Tensor | None = None


class ProbePass:
    """A model's probe, traced once: activations, weights and gradients on one fixed batch.

    Attributes:
      model: What it logs.
      layers: Path and class name of all layers that the model calls, logged or not.
      examples: The probe.
      loss_error: What kept the loss from being computed on the probe, in words; empty if nothing did.
    """

    model: Model
    layers: list[tuple[str, str]]
    examples: Examples
    loss_error: str

    def __init__(
        self,
        model: Any,
        batch: Batch,
        source: str,
        given: Given,
        training: bool = True,
        both_modes: bool = True,
    ) -> None:
        """Traces the pass.

        Args:
          model: A Keras model that is built.
          batch: The probe, as tensors.
          source: Where the probe came from, in words.
          given: What to log, and how much of it to keep.
          training: Whether the model runs in training mode; without, there are no gradients and no updates.
          both_modes: Whether to run it in inference mode too, where its layers differ.

        Raises:
          NotSupported: The pass would wait for other processes, which do not run it.
          Exception: Whatever the model raises when it cannot be called with this batch.
        """
        batch = batch.copied()
        self._model, self._batch, self._training = model, batch, training
        self.examples = Examples(batch, source)
        self._given = given
        self._found: Taps
        self._notes: list[str] = []
        self._outputs: dict[int, Output] = {}
        self._inference: InferencePass | None = None
        self.loss_error = ""
        self._step: TrainStep | None = None  # the model's own, if it is what is traced
        self._obstacle: str | None = None  # why it is not, if it has one of its own
        with unchanged_by_tracing(model) as self._held:
            self._function = self._traced_step() or self._traced(self._pass)
            self._say_whose_gradients()
            if self._found.taps.keys() == self._found.weights.keys():
                self._function = self._traced(self._read)
            # Held from here on: a generator that Keras made for unseeded random numbers is forgotten with the tracing.
            self._variables = tuple(self._function.graph.variables)
        self._refuse_to_wait()
        digests.make_ready({**self._found.taps, **{i: tap for i, (_, tap) in self._found.apart.items()}})
        if training and both_modes and self._outputs:
            self._trace_inference()
        kept = kept_examples(self._found.model, {i: tap.keep for i, tap in self._found.taps.items()})
        kept = kept if given.keep.targets else 0
        targets, left_out = targets_of(batch.y, model, batch.examples, kept, target_array)
        self._notes += left_out
        self.model = dataclasses.replace(
            self._found.model,
            probe=Probe(batch.hash(), batch.examples, training, source, targets),
            notes=tuple(dict.fromkeys((*self._notes, *self._found.model.notes))),
            software=software_of(model, TensorFlow=tf.__version__),
        )
        self._written = written_variables(self._function)
        self._runs_python = runs_python(self._function)
        # The graph's tensors are not needed any more, only what they look like.
        self._found = self._found.without_tensors()
        self.layers = self._found.layers
        self._still = StillWeights({i: tap for i, (_, tap) in self._found.still.items()})
        self._reader = WeightReader(self._strategy, self._found)

    @property
    def wholes(self) -> frozenset[int]:
        """Indices, in `model.tensors`, of the weights that are looked up as wholes: they need not be measured."""
        return frozenset(self._found.wholes)

    @property
    def looked_up(self) -> frozenset[int]:
        """Ids of TensorFlow's variables of which a step changes few rows."""
        return frozenset(id(weight.variable) for weight in self._found.looked_up)

    def reading_once(self) -> AbstractContextManager[None]:
        """Does nothing: what is read is digested at once."""
        return contextlib.nullcontext()

    def updates(self) -> Changes:
        """How the weights change from one step to the next."""
        return Changes(self._found.updates, self._found.looked_up)

    def wait(self) -> None:
        """Returns when the device has done what it was given before."""
        smallest = min(self._model.weights, key=lambda weight: int(np.prod(weight.shape)), default=None)
        if smallest is not None:
            # One copy of it: a moving statistic as a whole is the mean over all workers, which would be asked for it.
            self._strategy.experimental_local_results(tf_variable(smallest))[0].numpy()

    def run(self, step: int, with_values: bool, without: Collection[int] = ()) -> Step:
        """Runs the pass; every variable is afterwards as it was before.

        Args:
          step: How many training steps are complete.
          with_values: Whether values are wanted too, and, where it differs, what the model does in inference mode.
          without: Which of `wholes` are left out.

        Returns:
          The step; with the loss on the probe by the name `probe_loss` if there is one and more than weights is
          logged.
        """
        wholes = self.run_wholes(with_values, without)
        values = {i: read(weight) for i, (weight, _) in self._found.still.items()}
        still = self._still.measure(values, with_values)
        returned = self._run_finite()
        loss = {} if returned.loss is None else {"probe_loss": float(returned.loss)}
        taps: Part = digests.digested(self._found.taps, returned.prepared, with_values, self._runs_python)
        if with_values and self._inference is not None:
            taps = self._inference.run(taps)
        return Step(step, (taps, wholes, still), loss)

    def run_wholes(self, with_values: bool, without: Collection[int] = ()) -> Digests:
        """Measures the weights that are looked up as wholes, but those that are left out."""
        chosen = {i: of_one for i, of_one in self._found.wholes.items() if i not in without}
        taps = {i: dataclasses.replace(tap, tensor=read(weight)) for i, (weight, tap) in chosen.items()}
        return digests.digest(taps, with_values)

    def run_weights(self, with_values: bool) -> Digests:
        """Measures the weights without the pass, for where that fails."""
        return self._reader.run(with_values)

    def _run_finite(self) -> _Returned:
        """Runs the pass under a loss scale with which the gradients are finite, if there is any.

        The optimizer's may be too large: then it skips the step and tries a smaller one. The gradients of the loss
        itself are the same under any.
        """
        *given, scale = self._arguments()
        # A `train_step` reads its optimizer's scale itself.
        own = [WrittenVariable(v.handle, v.dtype) for v in self._step.scales] if self._step is not None else []
        scales = [variable.read() for variable in own]
        while True:
            with put_back_after([*self._written, *own]):
                for variable, value in zip(own, scales):
                    variable.assign(value)
                returned: _Returned = self._function(*given, scale)
            largest = max((float(value) for value in (*scales, scale) if value is not None), default=1.0)
            if returned.is_finite is None or bool(returned.is_finite) or not largest > 1:
                return returned
            scale = None if scale is None else smaller(scale)
            scales = [smaller(value) for value in scales]

    def _arguments(self) -> tuple[Any, ...]:
        optimizer = getattr(self._model, "optimizer", None)
        scale = loss_scale(optimizer) if self._training and self._step is None else None
        return self._batch.x, self._batch.y, self._batch.sample_weight, scale

    @property
    def _has_modes(self) -> bool:
        return bool(getattr(self._model, "_call_has_training_arg", True))

    @property
    def _strategy(self) -> Any:
        return self._model.distribute_strategy

    def _refuse_to_wait(self) -> None:
        if cluster.has_other_processes(self._strategy):
            waiting = cluster.asks_other_processes(self._function)
            if waiting:
                raise NotSupported(
                    f"the model's own pass adds up over all workers ({', '.join(waiting)}), as a synchronized "
                    "BatchNormalization does, and the chief alone would wait for ever"
                )

    def _trace_inference(self) -> None:
        try:
            inference = InferencePass(self._model, self._batch.x, self._outputs)
        except Exception as error:  # noqa: BLE001  # whatever a user's model raises; the rest is logged all the same
            self._notes.append(f"the model cannot be run in inference mode ({in_words(error)}): shift is left out")
            return
        self._inference = inference if inference.is_needed else None

    def _traced(self, function: Callable[..., _Returned]) -> Any:
        """A function of the probe, traced in the model's strategy."""
        return traced(self._strategy, function, *self._arguments())

    def _traced_step(self) -> Any:
        """The pass as the model's own `train_step` has it; None if it has none, or must not be traced for that."""
        if not self._training or "gradient" not in self._given.select.kinds or not is_own(self._model):
            return None
        self._step = step = TrainStep(self._model)
        if self._strategy.num_replicas_in_sync > 1:
            obstacle: str | None = "several replicas add up their gradients in it"
        else:
            try:
                function = step.traced(lambda n: self._traced(functools.partial(self._pass_of_step, n)), self._held)
                obstacle = step.obstacle(function)
                if obstacle is None:
                    return function
            except Exception as error:  # noqa: BLE001  # whatever a user's code raises; the compiled loss is left
                obstacle = f"it could not be traced on the probe: {in_words(error)}"
        self._step, self._obstacle, self._notes = None, obstacle, []
        return None

    def _say_whose_gradients(self) -> None:
        if self._obstacle is None:
            return
        if any(tensor.kind == "gradient" for tensor in self._found.model.tensors):
            sentence = f"gradients of the compiled loss, not of this model's train_step: {self._obstacle}"
        else:
            sentence = f"the gradients of this model's train_step cannot be had: {self._obstacle}"
        self._notes.insert(0, sentence)
        logger.warning("tb_layerview: %s.", sentence)

    def _pass_of_step(self, executed: int, x: Any, y: Any, sample_weight: Any, _: Any) -> _Returned:
        step, model = self._step, self._model
        assert step is not None
        self._notes = []
        weights = self._weights_now()
        for metric in model.metrics:  # so that what they tell afterwards is of the probe alone
            metric.reset_state()
        data = (x, y, sample_weight)[: self._batch.parts] if self._batch.parts else x
        with noting_calls(model, KERAS, GraphTracing()) as calls:
            step.trace(data, executed)
        gradients, notes = step.gradients()
        loss, sentence = step.loss()
        self._notes += [*notes, sentence]
        returned = self._returned(x, calls, weights, gradients, loss, bool(step.scales))
        if "activation" in self._given.select.kinds and not step.takes(x, calls):
            self._outputs = {}
            self._notes.append(
                "this model's train_step does not call the model on the batch's inputs: shift is left out"
            )
        return returned

    def _read(self, *_: Any) -> _Returned:
        """The weights alone."""
        found = self._found
        weights = {i: dataclasses.replace(found.taps[i], tensor=read(weight)) for i, weight in found.weights.items()}
        return _Returned(digests.prepare(weights))

    def _pass(self, x: Any, y: Any, sample_weight: Any, scale: Any) -> _Returned:
        model = self._model
        trainable = [tf_variable(v) for v in model.trainable_variables]
        weights = self._weights_now()
        large = [v for v in trainable if is_large(v)] if self._training else []
        with tf.GradientTape() as tape:
            with noting_calls(model, KERAS, GraphTracing()) as calls:
                predictions = model(x, training=self._training) if self._has_modes else model(x)
            loss = self._loss(x, y, predictions, sample_weight) if self._training else None
            scaled = loss if loss is None or scale is None else tf.cast(loss, tf.float32) * scale
        gradients: dict[int, Any] | None = None
        if loss is not None:
            gradients = {}
            if "gradient" in self._given.select.kinds:
                found = [unscaled(gradient, scale) for gradient in tape.gradient(scaled, trainable)]
                gradients = {id(v): gradient for v, gradient in zip(model.trainable_variables, found)}
                large = []
        # Which of them are looked up is seen in their gradient, of whatever: it has the rows alone that were.
        of_large = dict(zip(map(id, large), tape.gradient(_floats(predictions), large))) if large else {}
        return self._returned(x, calls, weights, gradients, loss, scale is not None, of_large)

    def _weights_now(self) -> dict[int, tf.Tensor]:
        # Before anything runs: the pass itself writes some of them, as moving statistics and spectral norms.
        slots = slots_of(self._model).values() if "optimizer" in self._given.select.kinds else ()
        variables = [*(v for v in self._model.weights if is_number(v)), *(slot.variable for of in slots for slot in of)]
        return {id(v): tf.identity(tf.convert_to_tensor(v)) for v in variables}

    def _returned(
        self,
        x: Any,
        calls: list[Call],
        weights: dict[int, tf.Tensor],
        gradients: dict[int, Any] | None,
        loss: tf.Tensor | None,
        is_scaled: bool,
        of_large: Mapping[int, Any] = types.MappingProxyType({}),
    ) -> _Returned:
        """What a pass returns, of what it has come to.

        Args:
          x: Its inputs.
          calls: Of the layers.
          weights: What they were before it, by the id of the model's variable.
          gradients: By the id of the model's variable; None where there is no loss.
          loss: On the probe.
          is_scaled: Whether the loss was scaled for the gradients.
          of_large: Gradients of what the model gives, by the id of TensorFlow's variable: of large ones that have no
            other.
        """
        model = self._model
        trained = {id(v): tf_variable(v) for v in model.trainable_variables}
        looked_up = frozenset(
            key
            for key, variable in trained.items()
            if is_large(variable)
            and isinstance((gradients or {}).get(key, of_large.get(id(variable))), tf.IndexedSlices)
        )

        def value(variable: Any) -> tf.Tensor:
            found = weights.get(id(variable))
            return tf.convert_to_tensor(variable) if found is None else found

        of_pass = Pass(
            model,
            KERAS,
            [(path, values_of(leaf)) for path, leaf in leaves(x) if tf.is_tensor(values_of(leaf))],
            calls,
            value,
            None
            if gradients is None
            else {key: _given(gradient, trained.get(key)) for key, gradient in gradients.items()},
            trained if self._training else {},
            looked_up,
        )
        found = self._found = find_taps(of_pass, self._given)
        self._outputs = {i: output for i, output in found.outputs.items() if self._has_modes and found.taps[i].units}
        return _Returned(
            digests.prepare(found.taps),
            None if loss is None else tf.cast(loss, tf.float32),
            all_finite(gradients.values()) if gradients and is_scaled else None,
        )

    def _loss(self, *given: Any) -> tf.Tensor | None:
        """The compiled loss; the arguments are those of `compiled_loss`, after the model."""
        loss = compiled_loss(self._model, *given)
        self.loss_error = loss.error or self.loss_error
        self._notes += [loss.note] if loss.note else []
        return loss.value


def _given(gradient: Any, variable: Any) -> Any:
    """A gradient as a pass gives it."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return some_rows(gradient, None if variable is None else int(variable.shape[0]))


def _floats(predictions: Any) -> list[tf.Tensor]:
    """What of them can be differentiated."""
    leaves = tf.nest.flatten(predictions, expand_composites=True)
    return [leaf for leaf in leaves if tf.is_tensor(leaf) and leaf.dtype.is_floating]
