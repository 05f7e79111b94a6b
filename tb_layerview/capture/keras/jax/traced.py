"""One pass of a Keras model, traced once, and run again on whatever its weights are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from tb_layerview.capture.jax.traced import Forward, TracedPass
from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.jax.live import Live
from tb_layerview.capture.keras.jax.loss import Variables, forward, loss_scale
from tb_layerview.capture.keras.jax.unchanged import unchanged_by_tracing
from tb_layerview.capture.keras.loss import SMALLER, WITHOUT_LOSS


class JaxTraced(TracedPass):
    """A pass of a Keras model."""

    def __init__(self, model: Any, batch: Batch, training: bool, gradients: bool, live: Live) -> None:
        """Traces the pass.

        Args:
          model: A Keras model that is built.
          batch: What it is run on.
          training: In training mode.
          gradients: Whether the loss and its gradients are wanted.
          live: What the model's variables hold.

        Raises:
          Exception: Whatever the model raises.
        """
        self._live = live
        self._optimizer: Any = getattr(model, "optimizer", None)
        self._variables = Variables.of(model)
        self._model: Any = model
        super().__init__(batch, training, gradients, self._variables.trainable, WITHOUT_LOSS, SMALLER)
        self._model = None  # what was traced of it is all that is run

    def _values(self) -> list[Any]:
        return [self._live.array(variable) for variable in self._variables.all]

    def _forward(self, values: list[Any], batch: Batch, training: bool, with_loss: bool) -> Forward:
        return forward(self._model, self._variables.with_all(values), batch, training, with_loss)

    def _loss_scale(self, values: list[Any]) -> float:
        before = len(self._variables.trainable) + len(self._variables.others)
        return loss_scale(self._optimizer, values[before : before + len(self._variables.optimizer)])

    def _unchanged(self) -> AbstractContextManager[None]:
        return unchanged_by_tracing()
