"""Keras on TensorFlow, behind the seam."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from tb_layerview.capture.choice import Examples
from tb_layerview.capture.cluster import has_other_processes, logs_model
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.loops import Loops
from tb_layerview.capture.keras.own_step import is_own
from tb_layerview.capture.keras.steps import StepCounter
from tb_layerview.capture.keras.taken import Taken
from tb_layerview.capture.keras.tf import debug_switches, first_batch
from tb_layerview.capture.keras.tf.batch import Batch, as_tensor, given_batch
from tb_layerview.capture.keras.tf.finite import losses_are_finite
from tb_layerview.capture.keras.tf.last_batch import KeepingBatches, build, kerass, why_no_last_batch
from tb_layerview.capture.keras.tf.probe import ProbePass
from tb_layerview.capture.keras.tf.replay import KeptBatches
from tb_layerview.capture.keras.tf.snapshot import ModelState
from tb_layerview.capture.keras.tf.variables import number
from tb_layerview.capture.keras.tf.weights import WeightsAlone
from tb_layerview.capture.keras.versions import is_built
from tb_layerview.capture.probe import Probe
from tb_layerview.capture.recording import Recording
from tb_layerview.capture.replay import Replayer
from tb_layerview.writing.training_log import TrainingLog

_OF_MANY_BATCHES = (tf.data.Iterator, tf.distribute.DistributedIterator)


class TensorFlow(Loops):
    """Models that TensorFlow computes; the methods are those of `KerasBackend`."""

    ends_of_data: tuple[type[BaseException], ...] = (StopIteration, tf.errors.OutOfRangeError)

    def probe(self, model: Any, examples: Examples, given: Given, training: bool) -> ProbePass:
        """The pass of a model, traced."""
        batch: Any = examples.batch  # which is of this backend
        return ProbePass(model, batch, examples.source, given, training=training)

    def weights_alone(self, model: Any, given: Given, training: bool) -> WeightsAlone:
        """What there is without a pass."""
        return WeightsAlone(model, given, training)

    def state(self, model: Any) -> ModelState:
        """The weights of a model."""
        return ModelState(model)

    def can_replay(self, model: Any) -> bool:
        """Whether no other process would have to run a batch again together with this one.

        Several would; and a variable that one of them makes breaks the others.
        """
        return not has_other_processes(model.distribute_strategy)

    def replayer(self, model: Any, log: TrainingLog, probe: Probe, given: Given) -> Replayer:
        """What keeps the last batches of a model."""
        return Replayer(log, probe, given, ModelState(model), KeptBatches(model, given))

    def is_checking(self) -> bool:
        """Whether `tf.debugging` has this thread's operations looked at."""
        return debug_switches.are_on()

    def unchecked(self) -> AbstractContextManager[None]:
        """Has them looked at by nobody."""
        return debug_switches.off()

    def logs(self, model: Any) -> bool:
        """Whether this process logs a model."""
        return logs_model(model)

    def has_other_processes(self, model: Any) -> bool:
        """Whether a distribution strategy has replicas in other processes."""
        return has_other_processes(model.distribute_strategy)

    def number(self, variable: Any) -> Any:
        """What a variable or a plain number holds."""
        return number(variable)

    def counted(self, optimizer: Any) -> AbstractContextManager[object]:
        """The optimizer's own variable has the count."""
        return nullcontext()

    def metrics(self, model: Any, returned: Any) -> Mapping[str, Any]:
        """The model's metrics."""
        if has_other_processes(model.distribute_strategy):
            # To add the metrics up would ask the other workers; the training's function has done so.
            return returned if isinstance(returned, Mapping) else {}
        metrics: Mapping[str, Any] = model.get_metrics_result()
        return metrics

    def called(self, model: Any, arguments: tuple[Any, ...]) -> None:
        """The model's variables tell by themselves what they are."""

    def not_called(self, model: Any) -> None:
        """The model has its weights."""

    def returned(self, model: Any, found: Any) -> Any:
        """What was returned are the logs."""
        return found

    def given_batch(self, data: Any) -> Batch:
        """The probe that somebody gave, as tensors."""
        return given_batch(data)

    def taking(self, iterator: Any, model: Any) -> Callable[[], Taken]:
        """How to take what one call of Keras' function would take."""
        return first_batch.taking(iterator, model)

    def first_batch(self, taken: Taken) -> Batch | None:
        """The first batch of what was taken, as tensors."""
        return first_batch.first_batch(taken)

    def as_batch(self, data: Any) -> Any:
        """What a step was trained on, as tensors."""
        return tf.nest.map_structure(as_tensor, data)

    def gives_several(self, iterator: Any) -> bool:
        """Whether a call takes several batches from this."""
        return isinstance(iterator, _OF_MANY_BATCHES)

    def losses_are_finite(self, logs: Any) -> Any:
        """Whether the losses are finite, bool []."""
        return losses_are_finite(logs)

    def without_ours(self, function: Any) -> Any:
        """Keras' own function."""
        return kerass(function)

    def why_no_last_batch(self, model: Any, function: Any) -> str | None:
        """Why the last batch cannot be had."""
        return why_no_last_batch(model, function)

    def keeping_batches(self, model: Any, function: Any, recording: Recording, counter: StepCounter) -> KeepingBatches:
        """What trains in place of Keras' function, and has what each step was given kept."""
        return KeepingBatches(model, function, recording, counter)

    def builds(self, model: Any) -> bool:
        """Whether the function that trains creates what the pass needs.

        Only the training itself may create the weights: else they start from other random numbers. And what the
        optimizers and metrics of a `train_step` create, the training creates; the probe's pass then uses that.
        """
        return not is_built(model) or (is_own(model) and model.distribute_strategy.num_replicas_in_sync == 1)

    def build(self, function: Any, iterator: Any, taken: Taken | None) -> None:
        """Has the function that trains create what it needs: it is traced, and not run."""
        build(function, iterator, () if taken is None else taken.parts)
