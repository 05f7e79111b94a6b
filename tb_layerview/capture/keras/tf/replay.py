"""The batches that are kept of a training that TensorFlow computes, for a replay."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.tf import replicas
from tb_layerview.capture.keras.tf.batch import Batch, as_tensor
from tb_layerview.capture.keras.tf.probe import ProbePass
from tb_layerview.capture.keras.tf.snapshot import spared_seconds


class KeptBatches:
    """The methods are those of `replay.Batches`.

    Attributes:
      spared_seconds: What a step takes less than with Keras' own function.
    """

    def __init__(self, model: Any, given: Given) -> None:
        """Measures what is spared."""
        self._model, self._given = model, given.without_kinds("optimizer")  # which the batch does not make
        self.spared_seconds = spared_seconds(model)

    def size(self, batch: Any) -> int:
        """The bytes of a batch; of strings none."""
        leaves = tf.nest.flatten(batch, expand_composites=True)
        tensors = [leaf for leaf in leaves if tf.is_tensor(leaf) and leaf.dtype.size]
        return sum(tensor.dtype.size * (tensor.shape.num_elements() or 0) for tensor in tensors)

    def is_known(self, flag: Any) -> bool:
        """Whether it lies on the host."""
        return "CPU" in getattr(flag, "device", "CPU").upper()

    def probe(self, batch: Any, source: str) -> ProbePass:
        """The pass of the model on a batch, of all replicas together."""
        whole = _whole(batch, self._model.distribute_strategy)
        return ProbePass(self._model, whole, source, self._given, both_modes=False)


def _whole(batch: Any, strategy: Any) -> Batch:
    """A batch as the model is called with it, of all replicas together."""
    if strategy.num_replicas_in_sync > 1:
        parts: list[Any] = [
            tf.nest.map_structure(lambda leaf, i=i: strategy.experimental_local_results(leaf)[i], batch)
            for i in range(strategy.num_replicas_in_sync)
        ]
        full = [part for part in parts if Batch.of(part).examples]
        return Batch.of(replicas.joined(full))
    return Batch.of(tf.nest.map_structure(as_tensor, batch))
