"""Evaluations and predictions of a Keras model: one fixed batch, logged once for each."""

from __future__ import annotations

import dataclasses
from typing import Any

from tb_layerview.capture.choice import Choice
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.backends import KerasBackend
from tb_layerview.capture.keras.taken import Taken
from tb_layerview.capture.recording import Recording
from tb_layerview.format.model import Kind, Mode
from tb_layerview.format.places import within
from tb_layerview.options import Schedule

# What there is to log where nothing is trained.
_KINDS: tuple[Kind, ...] = ("activation", "weight")


def kinds_selected(given: Given) -> tuple[Kind, ...]:
    """What is selected of what there is to log where nothing is trained."""
    return tuple(kind for kind in given.select.kinds if kind in _KINDS)


class Evaluation:
    """The log of evaluations or predictions: one fixed batch, a step for each.

    Attributes:
      recording: Where it goes.
      is_awaited: Whether the next batch is the first one of an evaluation or a prediction.
      taken: Its first batch, once it was taken.
    """

    def __init__(self, model: Any, logdir: str, given: Given, backend: KerasBackend, mode: Mode) -> None:
        """Opens the log.

        Args:
          model: The Keras model.
          logdir: The training's folder; the log is below it.
          given: The training's options; of them something is selected: see `kinds_selected`.
          backend: What computes the model.
          mode: What the model is doing.

        Raises:
          ValueError: The folder cannot be written to.
        """
        own = dataclasses.replace(given.with_kinds(*kinds_selected(given)), schedule=Schedule(every=1))
        self.recording = Recording(model, within(logdir, mode), own, backend, mode)
        self._backend = backend
        self.is_awaited = True
        self.taken: Taken | None = None

    def take(self, iterator: Any, model: Any) -> Any:
        """Takes the first batch if there is none yet, and returns what Keras goes on with."""
        if self.taken is not None:
            return iterator
        take = None
        with self.recording.log.before_step_0("the first batch"):
            take = self._backend.taking(iterator, model)
        taken = None if take is None else take()
        if taken is not None and taken.parts:
            iterator, self.taken = taken.iterator, dataclasses.replace(taken, iterator=None)
        return iterator

    def measure(self, step: int) -> None:
        """Runs the batch at the training's step."""
        recording = self.recording
        if self.taken is None or not recording.log.is_open:
            return
        if not recording.is_ready:
            recording.log.begin(step)
            first = self._backend.first_batch(self.taken)
            self.taken = Taken(None, ())  # its probe is all that is needed
            if first is not None:
                recording.set_up(Choice.of(first, "the first batch"), is_fatal=False)
        recording.look(step)
        recording.take(step, dict)
