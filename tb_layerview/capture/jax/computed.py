"""What is the same of whatever JAX computes, behind the seam: Keras' models and modules of Flax NNX."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax

from tb_layerview.about import logger
from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.host.engine import Engine
from tb_layerview.capture.host.probe import HostProbe
from tb_layerview.capture.host.replay import KeptBatches
from tb_layerview.capture.host.state import ModelState
from tb_layerview.capture.host.weights import WeightsAlone
from tb_layerview.capture.probe import Probe
from tb_layerview.capture.replay import Replayer
from tb_layerview.writing.training_log import TrainingLog


class Computed(abc.ABC):
    """The methods are those of `probe.Backend`, and some that both kinds of loops want."""

    @property
    @abc.abstractmethod
    def _computing(self) -> Engine:
        """What computes the model."""

    def probe(self, model: Any, examples: Examples, given: Given, training: bool) -> HostProbe:
        """The pass of a model, traced."""
        batch: Any = examples.batch  # which is of this backend
        return HostProbe(model, batch, examples.source, given, self._computing, training=training, both_modes=True)

    def weights_alone(self, model: Any, given: Given, training: bool) -> WeightsAlone:
        """What there is without a pass."""
        return WeightsAlone(model, given, self._computing, training)

    def state(self, model: Any) -> ModelState:
        """The weights of a model."""
        return ModelState(model, self._computing)

    def can_replay(self, model: Any) -> bool:
        """Whether no other process would have to run a batch again together with this one."""
        return not self.has_other_processes(model)

    def replayer(self, model: Any, log: TrainingLog, probe: Probe, given: Given) -> Replayer:
        """What keeps the last batches of a model."""
        kept = KeptBatches(model, given, self._computing)
        return Replayer(log, probe, given, ModelState(model, self._computing), kept)

    def is_checking(self) -> bool:
        """Whether JAX is told to raise an error where a value is not finite."""
        config: Any = jax.config
        return bool(config.jax_debug_nans or config.jax_debug_infs)

    @contextlib.contextmanager
    def _unchecked(self) -> Iterator[None]:
        with jax.debug_nans(False), jax.debug_infs(False):
            yield

    def unchecked(self) -> AbstractContextManager[None]:
        """Has it raise none."""
        return self._unchecked()

    def logs(self, model: Any) -> bool:
        """Whether this process logs a model: the first of several does, and each of them is told."""
        if not self.has_other_processes(model):
            return True
        if jax.process_index():
            logger.info("tb_layerview: the first of %s processes logs, this is another one.", jax.process_count())
        return bool(jax.process_index() == 0)

    def has_other_processes(self, model: Any) -> bool:
        """Whether other processes train the model together with this one."""
        return bool(jax.process_count() > 1)
