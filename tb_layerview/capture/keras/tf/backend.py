"""Keras on TensorFlow, behind the seam."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from tb_layerview.capture.choice import Examples
from tb_layerview.capture.cluster import has_other_processes
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.tf import debug_switches
from tb_layerview.capture.keras.tf.probe import ProbePass
from tb_layerview.capture.keras.tf.replay import Replayer
from tb_layerview.capture.keras.tf.snapshot import ModelState
from tb_layerview.capture.keras.tf.weights import WeightsAlone
from tb_layerview.capture.probe import Probe
from tb_layerview.writing.training_log import TrainingLog


class TensorFlow:
    """Models that TensorFlow computes; the methods are those of `capture.probe.Backend`."""

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
        return Replayer(model, log, probe, given)

    def is_checking(self) -> bool:
        """Whether `tf.debugging` has this thread's operations looked at."""
        return debug_switches.are_on()

    def unchecked(self) -> AbstractContextManager[None]:
        """Has them looked at by nobody."""
        return debug_switches.off()
