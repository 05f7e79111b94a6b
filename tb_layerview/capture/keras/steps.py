"""Counts a training's steps, and knows where in its epochs it is, from its function's calls and from Keras' hooks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tb_layerview.capture.keras.versions import steps_per_execution


class StepCounter:
    """Counts training steps by the calls of the training's function that have returned.

    A step is what the optimizer counts: with gradient accumulation it is several batches. Where the end of the data is
    only found by asking for more, Keras 3 has the optimizer count a batch that was none; a call that found none does
    not return.

    Attributes:
      step: Training steps that are complete.
      number: Gives what a variable or a plain number holds.
    """

    def __init__(self, number: Callable[[Any], Any] = np.asarray) -> None:
        """Begins at 0; `number` gives what a variable or a plain number holds."""
        self.number = number
        self._batches = 0  # that are complete
        self._base = 0  # what it was when the training began
        self._counted: int | None = None  # what the optimizer had counted then
        self._per_step = self._per_call = 1  # batches
        # Model, optimizer, what it had counted, and what was counted here, when both were last compared.
        self._last: tuple[Any, Any, int, int] | None = None

    @property
    def step(self) -> int:
        """Training steps that are complete."""
        return self._batches // self._per_step

    @property
    def steps_next(self) -> int:
        """How many steps the next call of the training's function completes, if the data last."""
        return (self._batches + self._per_call) // self._per_step - self.step

    def begin(self, model: Any) -> None:
        """A training begins, or goes on."""
        optimizer = getattr(model, "optimizer", None)
        self._per_step = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        self._per_call = steps_per_execution(model)
        self._counted = self._batches_counted(optimizer)
        counted = self._counted or 0
        if self._last is None or self._last[0]() is not model:
            self._batches = counted
        elif self._last[1]() is optimizer and optimizer is not None:
            # The optimizer may have gone on elsewhere, or back to a checkpoint.
            self._batches = max(0, self._last[3] + counted - self._last[2])
        else:
            self._batches = max(self._batches, counted)
        self._base = self._batches
        self.end(model)

    def returned(self, model: Any, batches: int | None) -> None:
        """A call of the training's function has returned.

        Args:
          model: The Keras model.
          batches: How many it has trained; None if only the optimizer knows.
        """
        if batches is None and not self._ask(model):
            batches = steps_per_execution(model)
        self._batches += batches or 0

    def ended(self, model: Any) -> None:
        """A call found no more data. With several batches a step, the optimizer's count says where the next one ends,
        be it right or not.
        """
        if self._per_step > 1:
            self._ask(model)

    def end(self, model: Any) -> None:
        """The training ends: what changes from now on is not its doing."""
        optimizer = getattr(model, "optimizer", None)
        self._last = (
            weakref.ref(model),
            (lambda: None) if optimizer is None else weakref.ref(optimizer),
            self._batches_counted(optimizer) or 0,
            self._batches,
        )

    def _ask(self, model: Any) -> bool:
        """Counts as the optimizer does; whether it counts at all."""
        counted = self._batches_counted(getattr(model, "optimizer", None))
        if counted is None or self._counted is None:
            return False
        self._batches = max(self._batches, self._base + counted - self._counted)
        return True

    def _batches_counted(self, optimizer: Any) -> int | None:
        """How many batches an optimizer has seen."""
        accumulates = getattr(optimizer, "gradient_accumulation_steps", None)
        iterations = getattr(optimizer, "_iterations" if accumulates else "iterations", None)
        return None if iterations is None else int(self.number(iterations))


class Place:
    """Where in its epochs a training is, as far as Keras tells; a loop of one's own may tell nothing of it.

    Attributes:
      calls: How often the training's function was called.
    """

    def __init__(self, model: Any, params: Mapping[str, Any]) -> None:
        """A training begins.

        Args:
          model: The Keras model.
          params: What Keras tells its callbacks of it: `epochs`, and `steps` of an epoch, or None.
        """
        self.calls = self._epochs_told = self._batches_told = 0
        self._epochs, self._steps = params.get("epochs"), params.get("steps")
        self._per_call = steps_per_execution(model)
        self._epoch = self._batch = 0
        self._was_to_stop = bool(getattr(model, "stop_training", False))
        self._is_to_stop = False

    def epoch(self, epoch: int) -> None:
        """An epoch begins."""
        self._epoch, self._batch = epoch, 0
        self._epochs_told += 1

    def batch(self, batch: int) -> None:
        """A batch of the epoch begins."""
        self._batch = batch
        self._batches_told += 1

    def call(self, model: Any) -> None:
        """The training's function is called."""
        self.calls += 1
        # Who does not heed it, as a loop of one's own, goes on and on.
        to_stop = bool(getattr(model, "stop_training", False))
        self._is_to_stop, self._was_to_stop = to_stop and not self._was_to_stop, to_stop

    def returned(self) -> None:
        """The call has returned."""
        self._batch += self._per_call

    def ended(self) -> None:
        """The call found no more data: so long is an epoch."""
        self._steps = self._steps or self._batch or None

    def is_unseen(self, is_over: bool) -> bool:
        """Whether something is trained in a way that does not call the function; `is_over`: an epoch, or all."""
        told = max(self._epochs_told, self._batches_told)
        return self.calls == 0 and told > (0 if is_over else 1)

    def batches(self, gives_several: bool) -> int | None:
        """How many batches a call trains; None if that is not known.

        Args:
          gives_several: Whether it takes several at once from what it is given.
        """
        if self._per_call == 1:
            return 1
        fits = self._steps is not None and self._batch + self._per_call <= self._steps
        return self._per_call if fits and gives_several else None

    @property
    def ends_epoch(self) -> bool:
        """Whether the next call is known to be the last one of the epoch."""
        ends = self._steps is not None and self._batch < self._steps <= self._batch + self._per_call
        return self._is_to_stop or ends

    @property
    def is_beyond(self) -> bool:
        """Whether the epoch is over, as long as those before were: Keras 3 asks each time whether there is more."""
        return self._steps is not None and self._batch >= self._steps

    @property
    def ends_training(self) -> bool:
        """Whether the next call is known to be the last one of the training."""
        return self._is_to_stop or (self.ends_epoch and self._epoch + 1 == self._epochs)
