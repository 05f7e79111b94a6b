"""What is the same of whatever PyTorch computes, behind the seam: Keras' models and plain modules."""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager
from typing import Any

import torch

from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.host.engine import Engine
from tb_layerview.capture.host.probe import HostProbe
from tb_layerview.capture.host.replay import KeptBatches
from tb_layerview.capture.host.state import ModelState
from tb_layerview.capture.host.weights import WeightsAlone
from tb_layerview.capture.probe import Probe
from tb_layerview.capture.replay import Replayer
from tb_layerview.capture.torch.processes import Process
from tb_layerview.writing.training_log import TrainingLog


class Torch(abc.ABC):
    """The methods are those of `probe.Backend`, and some that both kinds of loops want."""

    @property
    @abc.abstractmethod
    def _computing(self) -> Engine:
        """What computes the model."""

    def probe(self, model: Any, examples: Examples, given: Given, training: bool) -> HostProbe:
        """The pass of a model, traced."""
        batch: Any = examples.batch  # which is of this backend
        return HostProbe(model, batch, examples.source, given, self._computing, training)

    def weights_alone(self, model: Any, given: Given, training: bool) -> WeightsAlone:
        """What there is without a pass."""
        return WeightsAlone(model, given, self._computing, training)

    def state(self, model: Any) -> ModelState:
        """The parameters and buffers of a model."""
        return ModelState(model, self._computing)

    def can_replay(self, model: Any) -> bool:
        """Whether no other process would have to run a batch again together with this one."""
        return not self.has_other_processes(model)

    def replayer(self, model: Any, log: TrainingLog, probe: Probe, given: Given) -> Replayer:
        """What keeps the last batches of a model."""
        return Replayer(log, probe, given, self.state(model), KeptBatches(model, given, self._computing))

    def is_checking(self) -> bool:
        """Whether torch looks for NaN in gradients."""
        return bool(torch.is_anomaly_enabled())

    def unchecked(self) -> AbstractContextManager[None]:
        """Has it look for none."""
        context: AbstractContextManager[None] = torch.autograd.set_detect_anomaly(False)
        return context

    def logs(self, model: Any) -> bool:
        """Whether this process logs a model: of several that train it the first one does."""
        return Process.of_this().logs

    def has_other_processes(self, model: Any) -> bool:
        """Whether other processes train the model together with this one."""
        return Process.of_this().size > 1
