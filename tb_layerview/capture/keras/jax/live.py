"""What the variables of a Keras model hold, also while Keras has taken their values away from them.

Within an epoch Keras' variables are empty: the state of the model goes from one call of its function to the next. Each
call is given it, and returns the next one; what it was given is deleted by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tb_layerview.capture.jax.arrays import here

# Which of a model's variables are in the state that a function is given, by how many groups there are.
_TRAINABLE, _OTHERS, _OPTIMIZER, _METRICS = range(4)
_GROUPS = {
    4: (_TRAINABLE, _OTHERS, _OPTIMIZER, _METRICS),
    3: (_TRAINABLE, _OTHERS, _METRICS),
    2: (_TRAINABLE, _OTHERS),
}


class Live:
    """The values of a model's variables, as its last step has left them.

    Nothing is copied, and nothing of what a function is given outlives the call: it is deleted.
    """

    def __init__(self) -> None:
        """Knows nothing yet: variables hold their values themselves."""
        self._state: Any = None  # what Keras has given, or will go on with
        self._given: Any = None  # what variables still hold, and was given to the function
        self._places: dict[int, tuple[int, int]] = {}  # of variables in the state, by their ids
        self._held: list[Any] = []  # the variables: an id would be given again

    def called(self, model: Any, state: Any) -> None:
        """A function of the model is called with this state."""
        if state is not self._state:  # else it is that which the call before has returned
            self._look_up(model, state)
        self._state = self._given = state

    def _look_up(self, model: Any, state: Any) -> None:
        optimizer = getattr(model, "optimizer", None)
        variables: dict[int, Callable[[], Any]] = {
            _TRAINABLE: lambda: model.trainable_variables,
            _OTHERS: lambda: model.non_trainable_variables,
            _OPTIMIZER: lambda: [] if optimizer is None else optimizer.variables,
            _METRICS: lambda: model.metrics_variables,
        }
        self._places, self._held = {}, []
        # Whatever else somebody's own loop gives says nothing of the variables.
        for group, which in enumerate(_GROUPS.get(len(state), ()) if isinstance(state, (tuple, list)) else ()):
            for place, variable in enumerate(variables[which]()):
                self._places[id(variable)] = group, place
                self._held.append(variable)

    def returned(self, state: Any) -> None:
        """The function has returned this state."""
        self._state = state

    def put_back(self) -> None:
        """Gives variables that are empty the values that are known of them."""
        for variable in self._held:
            known = _of(self._state, self._places[id(variable)])
            if variable._value is None and not known.is_deleted():
                variable.assign(known)

    def array(self, variable: Any) -> jax.Array:
        """What a variable holds; it is deleted by the next step.

        Raises:
          LookupError: It is empty, and no state is known of it.
          NotSupported: It is spread over several processes.
        """
        return here(self._array(variable), variable.path)

    def _array(self, variable: Any) -> Any:
        own, place = variable._value, self._places.get(id(variable))
        if place is None:
            if own is None:
                raise LookupError(f"the value of {variable.path} is not known")
            return own
        if own is None or own is _of(self._given, place):  # `train_on_batch` leaves what it was before the step
            return _of(self._state, place)
        return own  # assigned since

    def assign(self, variables: Sequence[Any], values: Sequence[Any]) -> None:
        """Gives variables other values, wherever those that they have now are."""
        groups = None
        for variable, value in zip(variables, values):
            own, place = variable._value, self._places.get(id(variable))
            if place is None or not (own is None or own is _of(self._given, place)):
                # A copy: an array of numpy might be shared, and then be donated.
                variable.assign(jnp.array(value))
                continue
            if groups is None:
                groups = [list(group) for group in self._state]
            groups[place[0]][place[1]] = jax.device_put(jnp.array(value), _of(self._state, place).sharding)
        if groups is not None:
            self._state = tuple(groups)


def _of(state: Any, place: tuple[int, int]) -> Any:
    return state[place[0]][place[1]]
