"""What stands in for a training's function until its first batch was seen."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class StandIn:
    """Stands in for one of a model's functions until it is dismissed.

    Attributes:
      function: What calls are handed on to: the model's own, unless somebody sets another one. If that has an
        attribute `left`, it is what stays on the model.
    """

    def __init__(
        self,
        model: Any,
        name: str,
        around: Callable[..., Any],
        ends: tuple[type[BaseException], ...] = (StopIteration,),
    ) -> None:
        """Takes the function's place.

        Args:
          model: The Keras model.
          name: Which of its functions: `train_function`, `test_function` or `predict_function`.
          around: A method that is called instead of the function, with the function and its arguments. Its object is
            not held: what an interrupted `fit` leaves on the model does what the function does.
          ends: What the function raises where there are no more data.
        """
        self._before = _in_place(model, name)
        if self._before is None:  # and is not left behind, unless it is called
            getattr(model, f"make_{name}")()
        self.function: Any = _in_place(model, name)
        self._model, self._name, self._around, self._ends = model, name, weakref.WeakMethod(around), ends
        setattr(model, name, self)

    def __call__(self, *arguments: Any) -> Any:
        """Is called by Keras in the function's place."""
        if self._before is None:
            self._before = self.function
        # Keras 2 has one loop of `evaluate` call whatever was in place when it began.
        around = None if self._model is None else self._around()
        if around is None:
            return self.function(*arguments)
        try:
            return around(self.function, *arguments)
        except self._ends:
            raise
        except BaseException:  # an interrupt, too, ends the training: nothing of ours stays on the model
            self.dismiss()
            raise

    @property
    def is_in_place(self) -> bool:
        """Whether the model calls it; not if somebody had its function made anew, as after layers were unfrozen."""
        function = None if self._model is None else getattr(self._model, self._name)
        while isinstance(function, StandIn) and function is not self:
            function = function.function
        return function is self

    def dismiss(self) -> None:
        """Puts back what was there."""
        model, self._model = self._model, None
        if model is None:
            return
        self._before = getattr(self.function, "left", self._before)
        if getattr(model, self._name) is self:
            setattr(model, self._name, _without_dismissed(self._before))

    @property
    def before(self) -> Any:
        """What it stands in for, once it was dismissed; itself until then."""
        return self if self._model is not None else self._before


def _in_place(model: Any, name: str) -> Any:
    return _without_dismissed(getattr(model, name))


def _without_dismissed(function: Any) -> Any:
    """A function without the stand-ins that are not wanted any more: two callbacks may end in any order."""
    while isinstance(function, StandIn) and function.before is not function:
        function = function.before
    return function
