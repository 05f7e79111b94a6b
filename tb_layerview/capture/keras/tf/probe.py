"""The probe: one forward and backward pass of a Keras model that the training does not notice.

The pass finds what there is to log. Where that is weights alone, it is not run: they are only read.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tb_layerview.about import logger
from tb_layerview.capture import cluster
from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.tf.batch import Batch
from tb_layerview.capture.keras.tf.calls import Call, noting_calls
from tb_layerview.capture.keras.tf.candidates import Pass
from tb_layerview.capture.keras.tf.changes import Changes
from tb_layerview.capture.keras.tf.inference_pass import InferencePass, Output
from tb_layerview.capture.keras.tf.rows import LookedUp, is_large
from tb_layerview.capture.keras.tf.still import StillWeights
from tb_layerview.capture.keras.tf.taps import Weight, find_taps
from tb_layerview.capture.keras.tf.traced import Traced
from tb_layerview.capture.keras.tf.train_step import TrainStep, is_own, unscaled
from tb_layerview.capture.keras.tf.unchanged import (
    put_back_after,
    unchanged_by_tracing,
    written_variables,
)
from tb_layerview.capture.keras.tf.updates import Update
from tb_layerview.capture.keras.tf.variables import WrittenVariable, is_number, tf_variable
from tb_layerview.capture.keras.tf.weights import WeightReader
from tb_layerview.capture.keras.versions import software_of
from tb_layerview.format.model import Model, Probe
from tb_layerview.measure.tf import digests
from tb_layerview.measure.tf.digests import Digested, Tap
from tb_layerview.writing.guard import NotSupported, in_words
from tb_layerview.writing.step import Part, Step

# By how much the loss scale is made smaller where gradients overflow.
_SMALLER = 16.0


class _Found(NamedTuple):
    """What a pass returns.

    Attributes:
      prepared: What is logged, ready to be digested.
      loss: The loss on the probe, float32, or None.
      is_finite: A bool, whether all gradients are, or None if nothing depends on it.
    """

    prepared: digests.Fetches
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
        self._model, self._batch, self._training = model, batch, training
        self.examples = Examples(batch, source)
        self._given = given
        self._taps: dict[int, Tap] = {}
        self._weights: dict[int, Weight] = {}
        self._wholes: dict[int, tuple[Weight, Tap]] = {}
        self._still: dict[int, tuple[Weight, Tap]] = {}
        self._updates: dict[int, Update] = {}  # what the pass itself cannot measure
        self._looked_up: list[LookedUp] = []  # the pass itself measures them as wholes alone
        self._notes: list[str] = []
        self._outputs: dict[int, Output] = {}
        self._inference: InferencePass | None = None
        self.loss_error = ""
        self._step: TrainStep | None = None  # the model's own, if it is what is traced
        self._obstacle: str | None = None  # why it is not, if it has one of its own
        with unchanged_by_tracing(model) as self._held:
            self._function = self._traced_step() or self._traced(self._pass)
            self._say_whose_gradients()
            if self._taps.keys() == self._weights.keys():
                self._function = self._traced(self._read)
            # Held from here on: a generator that Keras made for unseeded random numbers is forgotten with the tracing.
            self._variables = tuple(self._function.graph.variables)
        self._refuse_to_wait()
        apart = {i: tap for of_some in (self._wholes, self._still) for i, (_, tap) in of_some.items()}
        digests.make_ready({**self._taps, **apart})
        if training and both_modes and self._outputs:
            self._trace_inference()
        self.model = dataclasses.replace(
            self.model,
            probe=Probe(batch.hash(), batch.examples, training, source),
            notes=tuple(dict.fromkeys((*self._notes, *self.model.notes))),
            software=software_of(model),
        )
        self._written = written_variables(self._function)
        # The graph's tensors are not needed any more, only what they look like.
        self._taps = {i: tap.without_tensor() for i, tap in self._taps.items()}
        self._updates = {i: update.without_tensor() for i, update in self._updates.items()}
        self._looked_up = [weight.without_tensor() for weight in self._looked_up]
        self._wholes = {i: (weight, tap.without_tensor()) for i, (weight, tap) in self._wholes.items()}
        self._still = {i: (weight, tap.without_tensor()) for i, (weight, tap) in self._still.items()}
        self._still_weights = StillWeights({i: tap for i, (_, tap) in self._still.items()})
        measured_apart = {**self._wholes, **self._still}
        self._reader = WeightReader(
            self._strategy,
            {**self._weights, **{i: of_one[0] for i, of_one in measured_apart.items()}},
            {**self._taps, **{i: of_one[1] for i, of_one in measured_apart.items()}},
        )

    @property
    def wholes(self) -> frozenset[int]:
        """Indices, in `model.tensors`, of the weights that are looked up as wholes: they need not be measured."""
        return frozenset(self._wholes)

    @property
    def looked_up(self) -> frozenset[int]:
        """Ids of TensorFlow's variables of which a step changes few rows."""
        return frozenset(id(weight.variable) for weight in self._looked_up)

    def updates(self) -> Changes:
        """How the weights change from one step to the next."""
        return Changes(self._updates, self._looked_up)

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
        still = self._still_weights.measure({i: weight.read() for i, (weight, _) in self._still.items()}, with_values)
        found = self._run_finite()
        loss = {} if found.loss is None else {"probe_loss": float(found.loss)}
        taps: Part = digests.digested(self._taps, found.prepared, with_values)
        if with_values and self._inference is not None:
            taps = self._inference.run(taps)
        return Step(step, (taps, wholes, still), loss)

    def run_wholes(self, with_values: bool, without: Collection[int] = ()) -> Digested:
        """Measures the weights that are looked up as wholes, but those that are left out."""
        chosen = {i: of_one for i, of_one in self._wholes.items() if i not in without}
        taps = {i: dataclasses.replace(tap, tensor=weight.read()) for i, (weight, tap) in chosen.items()}
        return digests.digest(taps, with_values)

    def run_weights(self, with_values: bool) -> Digested:
        """Measures the weights without the pass, for where that fails."""
        return self._reader.run(with_values)

    def _run_finite(self) -> _Found:
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
                found: _Found = self._function(*given, scale)
            largest = max((float(value) for value in (*scales, scale) if value is not None), default=1.0)
            if found.is_finite is None or bool(found.is_finite) or not largest > 1:
                return found
            scale = None if scale is None else tf.maximum(scale / _SMALLER, 1.0)
            scales = [tf.maximum(value / _SMALLER, 1.0) for value in scales]

    def _arguments(self) -> tuple[Any, ...]:
        optimizer = getattr(self._model, "optimizer", None)
        scale = _loss_scale(optimizer) if self._training and self._step is None else None
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
            inference = InferencePass(self._model, self._batch.x, self._outputs, self._in_strategy)
        except Exception as error:  # noqa: BLE001  # whatever a user's model raises; the rest is logged all the same
            self._notes.append(f"the model cannot be run in inference mode ({in_words(error)}): shift is left out")
            return
        self._inference = inference if inference.is_needed else None

    def _traced(self, function: Callable[..., _Found]) -> Any:
        """A function of the probe, traced in the model's strategy."""
        if self._strategy.num_replicas_in_sync > 1 or cluster.has_other_processes(self._strategy):
            return tf.function(self._in_strategy(function)).get_concrete_function(*self._arguments())
        return Traced(self._in_strategy(function), *self._arguments())

    def _traced_step(self) -> Any:
        """The pass as the model's own `train_step` has it; None if it has none, or must not be traced for that."""
        if not self._training or "gradient" not in self._given.select.kinds or not is_own(self._model):
            return None
        function, obstacle = None, None
        self._step = step = TrainStep(self._model)
        if self._strategy.num_replicas_in_sync > 1:
            obstacle = "several replicas add up their gradients in it"
        else:
            try:
                executed = 0
                while True:
                    with step.unchanged(self._held):
                        function = self._traced(functools.partial(self._pass_of_step, executed))
                    # What an optimizer is given depends on what those before it have done; the last one's is not seen.
                    if executed >= len(step.applications) - 1:
                        break
                    executed = len(step.applications) - 1
                obstacle = step.obstacle(function)
            except Exception as error:  # noqa: BLE001  # whatever a user's code raises; the compiled loss is left
                obstacle = f"it could not be traced on the probe: {in_words(error)}"
        if obstacle is None:
            return function
        self._step, self._obstacle, self._notes = None, obstacle, []
        return None

    def _say_whose_gradients(self) -> None:
        if self._obstacle is None:
            return
        if any(tensor.kind == "gradient" for tensor in self.model.tensors):
            sentence = f"gradients of the compiled loss, not of this model's train_step: {self._obstacle}"
        else:
            sentence = f"the gradients of this model's train_step cannot be had: {self._obstacle}"
        self._notes.insert(0, sentence)
        logger.warning("tb_layerview: %s.", sentence)

    def _pass_of_step(self, executed: int, x: Any, y: Any, sample_weight: Any, _: Any) -> _Found:
        step, model = self._step, self._model
        assert step is not None
        self._notes = []
        weights = self._weights_now()
        for metric in model.metrics:  # so that what they tell afterwards is of the probe alone
            metric.reset_state()
        data = (x, y, sample_weight)[: self._batch.parts] if self._batch.parts else x
        with noting_calls(model) as calls:
            step.trace(data, executed)
        gradients, notes = step.gradients()
        loss, sentence = step.loss()
        self._notes += [*notes, sentence]
        found = self._found(x, calls, weights, gradients, loss, bool(step.scales))
        if "activation" in self._given.select.kinds and not step.takes(x, calls):
            self._outputs = {}
            self._notes.append(
                "this model's train_step does not call the model on the batch's inputs: shift is left out"
            )
        return found

    def _read(self, *_: Any) -> _Found:
        """The weights alone."""
        weights = {i: dataclasses.replace(self._taps[i], tensor=weight.read()) for i, weight in self._weights.items()}
        return _Found(digests.prepare(weights))

    def _in_strategy(self, one: Callable[..., Any]) -> Callable[..., Any]:
        """A pass within the model's distribution strategy: each replica gets the probe, the first one is logged."""
        strategy = self._strategy

        def all_replicas(*args: Any) -> Any:
            # Outside of it, Keras 2 cannot update its metrics, and losses are those of one replica of several.
            results = strategy.run(_with_autograph(one), args)
            return tf.nest.map_structure(lambda result: strategy.experimental_local_results(result)[0], results)

        # A MirroredStrategy of one device is as particular about metrics as one of several.
        is_alone = strategy.num_replicas_in_sync == 1 and not isinstance(strategy, tf.distribute.MirroredStrategy)
        converted: Callable[..., Any] = _with_autograph(one if is_alone else all_replicas)
        return converted

    def _pass(self, x: Any, y: Any, sample_weight: Any, scale: Any) -> _Found:
        model = self._model
        trainable = [tf_variable(v) for v in model.trainable_variables]
        weights = self._weights_now()
        large = [v for v in trainable if is_large(v)] if self._training else []
        with tf.GradientTape() as tape:
            with noting_calls(model) as calls:
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
        return self._found(x, calls, weights, gradients, loss, scale is not None, of_large)

    def _weights_now(self) -> dict[int, tf.Tensor]:
        # Before anything runs: the pass itself writes some of them, as moving statistics and spectral norms.
        return {id(v): tf.identity(tf.convert_to_tensor(v)) for v in self._model.weights if is_number(v)}

    def _found(
        self,
        x: Any,
        calls: list[Call],
        weights: dict[int, tf.Tensor],
        gradients: dict[int, Any] | None,
        loss: tf.Tensor | None,
        is_scaled: bool,
        of_large: Mapping[int, Any] = types.MappingProxyType({}),
    ) -> _Found:
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
        of_pass = Pass(model, x, calls, weights, gradients, trained if self._training else {}, looked_up)
        taps = find_taps(of_pass, self._given)
        self.model, self.layers, self._taps, self._updates = taps.model, taps.layers, taps.taps, taps.updates
        self._outputs = {i: output for i, output in taps.outputs.items() if self._has_modes and taps.taps[i].units}
        self._weights, self._looked_up, self._wholes = taps.weights, taps.looked_up, taps.wholes
        self._still = taps.still
        return _Found(
            digests.prepare(self._taps),
            None if loss is None else tf.cast(loss, tf.float32),
            _all_finite(gradients.values()) if gradients and is_scaled else None,
        )

    def _loss(self, x: Any, y: Any, predictions: Any, sample_weight: Any) -> tf.Tensor | None:
        model = self._model
        if getattr(model, "optimizer", None) is None or not hasattr(model, "compute_loss"):
            self._notes.append("the model is not compiled with a loss: gradients are left out")
            return None
        extra = {"training": True} if "training" in inspect.signature(model.compute_loss).parameters else {}
        try:
            loss = model.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=sample_weight, **extra)
        except Exception as error:  # noqa: BLE001  # whatever a user's loss raises; the rest is logged all the same
            self.loss_error = in_words(error)
            self._notes.append(
                f"the loss could not be computed on the probe ({in_words(error)}): gradients are left out"
            )
            return None
        if loss is None:
            self._notes.append("the model is not compiled with a loss: gradients are left out")
            return None
        loss = tf.reduce_sum(loss)
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            # Keras divides it by their number, for gradients that are summed over them. Each has the whole probe here,
            # and no sum is made: a reduction of ours could meet one of the training's and break it.
            loss *= tf.cast(replica.num_replicas_in_sync, loss.dtype)
        return loss


def _floats(predictions: Any) -> list[tf.Tensor]:
    """What of them can be differentiated."""
    leaves = tf.nest.flatten(predictions, expand_composites=True)
    return [leaf for leaf in leaves if tf.is_tensor(leaf) and leaf.dtype.is_floating]


def _all_finite(gradients: Iterable[Any]) -> tf.Tensor:
    values = [g.values if isinstance(g, tf.IndexedSlices) else g for g in gradients if g is not None]
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in values])


def _loss_scale(optimizer: Any) -> Any:
    """What the optimizer multiplies the loss by now, so that float16 gradients do not vanish; None if it does not."""
    if hasattr(optimizer, "get_scaled_loss"):  # Keras 2
        return tf.cast(optimizer.loss_scale, tf.float32)
    if not hasattr(optimizer, "scale_loss"):
        return None
    scale = optimizer.scale_loss(tf.constant(1.0))  # Keras 3; optimizers that do not scale leave it
    is_fixed = not hasattr(optimizer, "inner_optimizer")
    return None if is_fixed and float(scale) == 1.0 else tf.cast(scale, tf.float32)


def _with_autograph(function: Any) -> Any:
    """Lets autograph convert the model's own `call` while it leaves this package's code alone."""

    def unconverted(*args: Any) -> Any:
        return function(*args)

    unconverted.autograph_info__ = {}  # type: ignore[attr-defined]  # by which autograph knows what not to convert
    return lambda *args: unconverted(*args)
