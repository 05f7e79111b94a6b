"""The batches that are kept of a training, for a replay, where tensors are handed over to the host."""

from __future__ import annotations

from typing import Any

from tb_layerview.capture.given import Given
from tb_layerview.capture.host.engine import Engine
from tb_layerview.capture.host.probe import HostProbe


class KeptBatches:
    """The methods are those of `replay.Batches`; a batch is what `fit` takes, of the framework's tensors.

    Attributes:
      spared_seconds: None: what trains is called all the same.
    """

    spared_seconds = 0.0

    def __init__(self, model: Any, given: Given, engine: Engine) -> None:
        """Keeps what it takes to run a batch."""
        # What an optimizer keeps, the batch does not make.
        self._model, self._given, self._engine = model, given.without_kinds("optimizer"), engine

    def size(self, batch: Any) -> int:
        """The bytes of a batch."""
        return sum(int(getattr(leaf, "nbytes", 0)) for leaf in self._engine.batch.tree.flatten(batch))

    def is_known(self, flag: Any) -> bool:
        """Whether it is a bool already."""
        return isinstance(flag, bool)

    def probe(self, batch: Any, source: str) -> HostProbe:
        """The pass of the model on a batch."""
        whole = self._engine.batch.of(batch, self._engine.to_host).mapped(self._engine.as_tensor)
        return HostProbe(self._model, whole, source, self._given, self._engine, both_modes=False)
