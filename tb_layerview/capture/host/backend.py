"""What is the same of all backends that hand tensors to the host, behind the seam."""

from __future__ import annotations

import abc
from typing import Any

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


class OnHost(abc.ABC):
    """The methods are those of `probe.Backend`, and some that both kinds of loops want."""

    @property
    @abc.abstractmethod
    def _computing(self) -> Engine:
        """What computes the model."""

    @abc.abstractmethod
    def has_other_processes(self, model: Any) -> bool:
        """Whether other processes train the model together with this one."""

    def probe(self, model: Any, examples: Examples, given: Given, training: bool) -> HostProbe:
        """The pass of a model, traced."""
        batch: Any = examples.batch  # which is of this backend
        return HostProbe(model, batch, examples.source, given, self._computing, training)

    def weights_alone(self, model: Any, given: Given, training: bool) -> WeightsAlone:
        """What there is without a pass."""
        return WeightsAlone(model, given, self._computing, training)

    def state(self, model: Any) -> ModelState:
        """The weights of a model, and what else it keeps."""
        return ModelState(model, self._computing)

    def can_replay(self, model: Any) -> bool:
        """Whether no other process would have to run a batch again together with this one."""
        return not self.has_other_processes(model)

    def replayer(self, model: Any, log: TrainingLog, probe: Probe, given: Given) -> Replayer:
        """What keeps the last batches of a model."""
        return Replayer(log, probe, given, self.state(model), KeptBatches(model, given, self._computing))
