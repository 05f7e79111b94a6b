"""Counts a training's steps as Keras tells of its batches."""

from __future__ import annotations

import weakref
from typing import Any

from tb_layerview.keras_batches import number, steps_per_execution


class StepCounter:
    """Counts training steps as Keras tells of batches.

    A step is what the optimizer counts: with gradient accumulation it is several batches.

    Attributes:
      step: Training steps that are complete.
    """

    def __init__(self) -> None:
        self._batches = 0  # that are complete
        self._base = 0  # what it was when the epoch began
        self._begun = -1  # the batch of this epoch that was begun last
        self._found_length: int | None = None  # batches of the epoch before
        self._counted: int | None = None  # what the optimizer had counted when the epoch began
        self._per_step = 1
        # Model, optimizer, what it had counted, and what was counted here, when both were last compared.
        self._last: tuple[Any, Any, int, int] | None = None

    @property
    def step(self) -> int:
        """Training steps that are complete."""
        return self._batches // self._per_step

    def begin(self, model: Any) -> None:
        """A training begins, or goes on."""
        optimizer = getattr(model, "optimizer", None)
        self._per_step = getattr(optimizer, "gradient_accumulation_steps", None) or 1
        self._counted = _batches_counted(optimizer)
        counted = self._counted or 0
        if self._last is None or self._last[0]() is not model:
            self._batches = counted
        elif self._last[1]() is optimizer and optimizer is not None:
            # The optimizer may have gone on elsewhere, or back to a checkpoint.
            self._batches = max(0, self._last[3] + counted - self._last[2])
        else:
            self._batches = max(self._batches, counted)
        self._base, self._begun, self._found_length = self._batches, -1, None
        self.end(model)

    def batch(self, batch: int) -> None:
        """This batch of the epoch begins."""
        self._batches, self._begun = self._base + batch, batch

    def end_epoch(self, model: Any, expected: int | None) -> None:
        """An epoch ends, of which Keras expected so many batches.

        Where the end of the data is only found by asking for more, the batch begun last was none, though Keras 3 has
        the optimizer count it; Keras 2 remembers the length from the first epoch on. With several steps per execution,
        and with several batches a step, the optimizer's count is the one that holds.
        """
        before, self._counted = self._counted, _batches_counted(getattr(model, "optimizer", None))
        begun, self._begun = self._begun, -1
        if (steps_per_execution(model) > 1 or self._per_step > 1) and before is not None and self._counted is not None:
            length = self._counted - before
        else:
            expected = expected or self._found_length
            if not model.stop_training and begun + 1 != expected:
                begun -= 1
            self._found_length = length = begun + 1
        self._batches = self._base = self._base + length

    def end(self, model: Any) -> None:
        """The training ends: what changes from now on is not its doing."""
        optimizer = getattr(model, "optimizer", None)
        self._last = (
            weakref.ref(model),
            (lambda: None) if optimizer is None else weakref.ref(optimizer),
            _batches_counted(optimizer) or 0,
            self._batches,
        )


def _batches_counted(optimizer: Any) -> int | None:
    """How many batches an optimizer has seen."""
    accumulates = getattr(optimizer, "gradient_accumulation_steps", None)
    iterations = getattr(optimizer, "_iterations" if accumulates else "iterations", None)
    return None if iterations is None else int(number(iterations))
