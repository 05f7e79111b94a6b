"""Keras on JAX, behind the seam."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from tb_layerview.capture.host.batch import given_batch
from tb_layerview.capture.jax.computed import Computed
from tb_layerview.capture.jax.finite import IsFinite
from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.jax import batches
from tb_layerview.capture.keras.jax.engine import JaxEngine
from tb_layerview.capture.keras.loops import Loops
from tb_layerview.capture.keras.steps import StepCounter
from tb_layerview.capture.keras.taken import Taken
from tb_layerview.capture.recording import Recording


class Jax(Computed, Loops):
    """Models that JAX computes; the methods are those of `backends.KerasBackend`.

    Keras calls a model's functions with its state and with what gives the batches: `(state, iterator)`. They return
    logs or predictions, and the next state.
    """

    def __init__(self) -> None:
        """Has seen no step yet."""
        self._engine = JaxEngine()

    @property
    def _computing(self) -> JaxEngine:
        return self._engine

    # The loop.

    @property
    def ends_of_data(self) -> tuple[type[BaseException], ...]:
        """What a function raises that finds no more data."""
        return (StopIteration,)

    def number(self, variable: Any) -> Any:
        """What a variable or a plain number holds, as the last step has left it."""
        is_variable = isinstance(variable, keras.Variable)
        return np.array(self._engine.live.array(variable) if is_variable else variable)

    def counted(self, optimizer: Any) -> AbstractContextManager[object]:
        """Within it the optimizer's numbers have the values of which they are empty else: a schedule reads the count.

        That is not always a variable: where gradients are accumulated it is worked out of one.
        """
        held = [(v, self._engine.live.array(v)) for v in optimizer.variables if not v.shape]
        scope: AbstractContextManager[object] = keras.StatelessScope(state_mapping=held)
        return scope

    def metrics(self, model: Any, returned: Any) -> Mapping[str, Any]:
        """The model's metrics: within an epoch those that its function has returned, for its variables are empty."""
        if isinstance(returned, Mapping):
            return returned
        if any(variable._value is None for variable in model.metrics_variables):
            return {}
        found: Mapping[str, Any] = model.get_metrics_result()
        return found

    def called(self, model: Any, arguments: tuple[Any, ...]) -> None:
        """A function of the model is called with its state, which is deleted by then."""
        self._engine.live.called(model, arguments[0])

    def not_called(self, model: Any) -> None:
        """Gives the model back what Keras has taken from it: else an error in the first step leaves it without."""
        self._engine.live.put_back()

    def returned(self, model: Any, found: Any) -> Any:
        """The function has returned what is for people, and the next state."""
        logs, state = found
        self._engine.live.returned(state)
        return logs

    # Batches.

    def given_batch(self, data: Any) -> Batch:
        """The probe that somebody gave, as arrays of JAX.

        Raises:
          Refused: It is none.
        """
        return given_batch(Batch, data, self._engine.as_tensor, self._engine.to_host)

    def taking(self, iterator: Any, model: Any) -> Callable[[], Taken]:
        """How to take what one call of a function would take.

        Raises:
          TypeError: Batches cannot be taken from what Keras gives.
        """
        return batches.taking(iterator, int(model.steps_per_execution))

    def first_batch(self, taken: Taken) -> Batch | None:
        """The first batch of what was taken, as arrays of JAX; None if there is none.

        Raises:
          Exception: It is no batch that `fit` takes.
        """
        return self._batch(taken.parts[0]) if taken.parts else None

    def _batch(self, data: Any) -> Batch:
        # Of a batch of several processes this one has the first rows.
        data = keras.tree.map_structure(lambda leaf: leaf if leaf is None else batches.first_rows(leaf), data)
        return Batch.of(data, self._engine.to_host).mapped(self._engine.as_tensor)

    def as_batch(self, data: Any) -> Any:
        """What a step of a loop of one's own was trained on, for `Replayer.after_step`."""
        return keras.tree.map_structure(lambda leaf: None if leaf is None else self._engine.as_tensor(leaf), data)

    def gives_several(self, iterator: Any) -> bool:
        """Whether a call takes as many batches as `steps_per_execution` says; of `train_on_batch` it has but one."""
        code = getattr(iterator, "gi_code", None)
        return batches.may_give_several(iterator) and (code is None or "_on_batch." not in code.co_qualname)

    def losses_are_finite(self, logs: Any) -> Any:
        """Whether the losses are finite."""
        return IsFinite(logs)

    # The function that trains.

    def without_ours(self, function: Any) -> Any:
        """Keras' own function."""
        return function.original if isinstance(function, batches.KeepingBatches) else function

    def why_no_last_batch(self, model: Any, function: Any) -> str | None:
        """Why the batches of the last steps cannot be had; None if they can."""
        if model.steps_per_execution > 1:
            return f"steps_per_execution={model.steps_per_execution}: the batches of one execution cannot be had"
        if self.has_other_processes(model):
            return (
                "several processes train the model, and a batch that is run again would have to be run by all of them"
            )
        if getattr(function, "__module__", "").partition(".")[0] != "keras":
            return "the function that trains is not Keras' own, as with a make_train_function of one's own"
        return None

    def keeping_batches(self, model: Any, function: Any, recording: Recording, counter: StepCounter) -> Any:
        """What trains in place of Keras' function, and has what each step was given kept for a replay."""
        return batches.KeepingBatches(function, recording, counter)

    def builds(self, model: Any) -> bool:
        """Whether the function that trains has to create something first: Keras has built the model before."""
        return False

    def build(self, function: Any, iterator: Any, taken: Taken | None) -> None:
        """There is nothing that the function creates."""
