"""What is the same of whatever PyTorch computes, behind the seam: Keras' models and plain modules."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from tb_layerview.capture.host.backend import OnHost
from tb_layerview.capture.torch.processes import Process


class Torch(OnHost):
    """The methods are those of `probe.Backend`, and some that both kinds of loops want."""

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
