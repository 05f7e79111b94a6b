"""Modules of Flax NNX in a loop of one's own, behind the seam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from tb_layerview.capture.given import Given
from tb_layerview.capture.host.batch import given_batch
from tb_layerview.capture.jax.computed import Computed
from tb_layerview.capture.jax.finite import IsFinite
from tb_layerview.capture.jax.nnx.batch import Batch, as_tensor, kept
from tb_layerview.capture.jax.nnx.engine import ModuleEngine
from tb_layerview.capture.jax.nnx.optimizers import Optimizers
from tb_layerview.capture.jax.nnx.traced import LossFunction


class Modules(Computed):
    """One model; the methods are those of `recorder.Backend`."""

    def __init__(self, model: nnx.Module, loss: LossFunction | None = None, optimizer: Any = None) -> None:
        """Looks it up.

        Args:
          model: The model.
          loss: Computes the loss, a number, of what the model gives and of the rest of a batch.
          optimizer: What trains it, an `nnx.Optimizer` or several.

        Raises:
          TypeError: The loss cannot be called, or there is another thing than an optimizer.
          NotSupported: The model's variables are spread over several processes.
        """
        if loss is not None and not callable(loss):
            raise TypeError(
                f"loss must be a function that is given what the model makes of the probe, and the rest of the probe, "
                f"not {loss!r}"
            )
        self._optimizers = Optimizers.of(optimizer)
        self._engine = ModuleEngine(model, loss, self._optimizers)

    @property
    def _computing(self) -> ModuleEngine:
        return self._engine

    def is_ready(self, model: Any, given: Given, is_trained: bool) -> bool:
        """A module has its variables when it is made, and so has an optimizer."""
        return True

    def is_other(self) -> bool:
        """A pass that is traced now would be the same."""
        return False

    def notes(self, model: Any) -> Sequence[str]:
        """There is nothing to say."""
        return ()

    def scalars(self) -> Mapping[str, float]:
        """The learning rates, where the optimizers' states hold them."""
        rates = self._optimizers.learning_rates()
        if len(set(rates)) == 1:
            return {"learning_rate": rates[0]}
        return {f"learning_rate {i}": rate for i, rate in enumerate(rates)}

    def given_batch(self, data: Any) -> Batch:
        """The probe that somebody gave, as arrays of JAX.

        Raises:
          Refused: It is none.
        """
        return given_batch(Batch, tuple(data) if isinstance(data, list) else data, as_tensor)

    def as_batch(self, data: Any) -> Any:
        """What a step was trained on, in memory that nobody writes to."""
        return Batch.tree.map_structure(kept, tuple(data) if isinstance(data, list) else data)

    def losses_are_finite(self, logs: Any) -> Any:
        """Whether the losses are finite: those called so, else all that is logged."""
        losses = {name: value for name, value in logs.items() if "loss" in name} or dict(logs)
        return IsFinite(losses)
