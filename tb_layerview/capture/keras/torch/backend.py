"""Keras on PyTorch, behind the seam."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import torch

from tb_layerview.capture.host.batch import given_batch
from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.loops import Loops
from tb_layerview.capture.keras.steps import StepCounter
from tb_layerview.capture.keras.taken import Taken
from tb_layerview.capture.keras.torch.engine import TorchEngine
from tb_layerview.capture.keras.torch.finite import losses_are_finite, weights_are_finite
from tb_layerview.capture.keras.torch.variables import tensor_of
from tb_layerview.capture.recording import Recording
from tb_layerview.capture.torch import computed
from tb_layerview.capture.torch.values import to_host


class Torch(Loops, computed.Torch):
    """Models that PyTorch computes; the methods are those of `KerasBackend`."""

    ends_of_data: tuple[type[BaseException], ...] = (StopIteration,)

    def __init__(self) -> None:
        """Needs nothing: Keras' variables are torch's own tensors, always as the last step has left them."""
        self._engine = TorchEngine()

    @property
    def _computing(self) -> TorchEngine:
        return self._engine

    def number(self, variable: Any) -> Any:
        """What a variable, a tensor or a plain number holds."""
        is_tensor = isinstance(variable, (keras.Variable, torch.Tensor))
        return to_host(tensor_of(variable)) if is_tensor else np.asarray(variable)

    def counted(self, optimizer: Any) -> AbstractContextManager[object]:
        """The optimizer's own variable has the count."""
        return nullcontext()

    def metrics(self, model: Any, returned: Any) -> Mapping[str, Any]:
        """The model's metrics."""
        with torch.no_grad():
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
        return given_batch(Batch, data, self._engine.as_tensor, to_host)

    def taking(self, iterator: Any, model: Any) -> Callable[[], Taken]:
        """The first batch is only looked at: Keras gives its functions a list of one batch."""
        if not isinstance(iterator, (list, tuple)):
            raise TypeError(
                f"the first batch cannot be taken from a {type(iterator).__name__}. Give the callback a probe: "
                "probe=(x, y)."
            )
        return lambda: Taken(iterator, tuple(iterator[:1]))

    def first_batch(self, taken: Taken) -> Batch | None:
        """The first batch, as tensors."""
        return None if not taken.parts else Batch.of(_as_tuple(taken.parts[0]), to_host).mapped(self._engine.as_tensor)

    def as_batch(self, data: Any) -> Any:
        """What a step was trained on, as tensors in memory of their own."""
        return keras.tree.map_structure(self._engine.as_tensor, _as_tuple(data))

    def gives_several(self, iterator: Any) -> bool:
        """A call takes one batch: Keras has no `steps_per_execution` here."""
        return False

    def losses_are_finite(self, logs: Any) -> Any:
        """Whether the losses are finite, bool []."""
        return losses_are_finite(logs)

    def without_ours(self, function: Any) -> Any:
        """Keras' own function."""
        return function.left if isinstance(function, KeepingBatches) else function

    def why_no_last_batch(self, model: Any, function: Any) -> str | None:
        """Why the last batch cannot be had."""
        if self.has_other_processes(model):
            return (
                "several processes train the model, and a batch that is run again would have to be run by all of them"
            )
        return None

    def keeping_batches(self, model: Any, function: Any, recording: Recording, counter: StepCounter) -> KeepingBatches:
        """What trains in place of Keras' function, and has what each step was given kept."""
        return KeepingBatches(model, function, recording, counter, self)

    def builds(self, model: Any) -> bool:
        """Nothing is made by tracing: what `fit` has not built, the first step builds."""
        return False

    def build(self, function: Any, iterator: Any, taken: Taken | None) -> None:
        """There is nothing to trace."""


class KeepingBatches:
    """Trains in place of Keras' function, and has what each step was given kept for a replay.

    Attributes:
      left: What trains once nothing is kept any more: Keras' own function.
    """

    def __init__(
        self, model: Any, train_function: Any, recording: Recording, counter: StepCounter, backend: Torch
    ) -> None:
        """Takes Keras' function; what is left of an interrupted `fit` holds neither model nor recording."""
        self._model, self._recording = weakref.ref(model), weakref.ref(recording)
        self._counter, self._backend = counter, backend
        self.left = train_function

    def __call__(self, data: Any) -> Any:
        """One training step."""
        recording, model = self._recording(), self._model()
        replayer = None if recording is None else recording.replayer
        if recording is None or replayer is None or not replayer.is_keeping:
            return self.left(data)
        kept: Any = None
        replayer.before_step(self._counter.step)
        with recording.log.guard("what a replay needs"):
            kept = self._backend.as_batch(data[0])  # a generator may write its next batch to the same memory
        returned = self.left(data)
        with recording.log.guard("what a replay needs"):
            if kept is not None:
                finite = losses_are_finite(returned)
                replayer.after_step(kept, finite if finite is False else weights_are_finite(model, finite))
        return returned


def _as_tuple(data: Any) -> Any:
    """A batch as Keras takes it: torch's own loaders give lists."""
    return tuple(data) if isinstance(data, list) else data
