"""The weights after a step that may turn out to be a training's last."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from tb_layerview.capture.probe import State
from tb_layerview.writing.training_log import TrainingLog

#: What is held, in words.
THE_WEIGHTS = "the weights at the end of an epoch"


@dataclasses.dataclass(frozen=True)
class Held:
    """The weights after one step.

    Attributes:
      step: Training steps that were complete.
      values: The weights.
      is_late: Whether others may have changed them since.
    """

    step: int
    values: Any
    is_late: bool


class HeldWeights:
    """Holds the weights after a step until the next one begins. Nothing is copied if nobody changes them meanwhile."""

    def __init__(self, log: TrainingLog) -> None:
        """Holds nothing yet; the log is who guards against errors."""
        self._log = log
        self._state: State | None = None
        self._held: Held | None = None

    def hold(self, step: int, is_late: bool, make_state: Callable[[], State]) -> None:
        """Holds the weights as they are, if those of this step are not held yet.

        Args:
          step: How many training steps are complete.
          is_late: Whether others may have changed them since.
          make_state: Gives the model's weights; it is asked once.
        """
        if self._held is not None and self._held.step == step:
            return
        with self._log.guard(THE_WEIGHTS):
            if self._state is None:
                with self._log.apart(THE_WEIGHTS):
                    self._state = make_state()
            if self._state is not None:
                self._held = Held(step, self._state.read(), is_late)

    def let_go(self, but: int | None = None) -> None:
        """Lets go of them, unless they are of this step: who holds values has the framework copy them."""
        if self._held is not None and self._held.step != but:
            self._held = None

    def take(self, step: int) -> Held | None:
        """The weights of a step, if they are held. From here on they are not."""
        held, self._held = self._held, None
        return held if held is not None and held.step == step else None

    def is_changed(self, held: Held) -> bool:
        """Whether the weights are not those any more."""
        return self._state is not None and self._state.differ(held.values, self._state.read())

    @contextlib.contextmanager
    def as_held(self, held: Held | None) -> Iterator[None]:
        """Has the weights be those that were held, if they were, and puts the others back."""
        if held is None or self._state is None:
            yield
            return
        now = self._state.read()
        try:
            self._state.assign(held.values)
            yield
        finally:
            self._state.assign(now)
