"""A model's own `train_step`: which it is, what an optimizer is given by it, and whose gradients these are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tb_layerview.capture.keras.python_state import is_kerass

#: By which optimizers of either Keras are given gradients.
METHODS = ("apply_gradients", "apply")


def is_own(model: Any) -> bool:
    """Whether a model's `train_step` is not Keras' own."""
    if "train_step" in vars(model):
        return True
    owner = next((cls for cls in type(model).__mro__ if "train_step" in vars(cls)), None)
    return owner is not None and not is_kerass(owner)


@dataclasses.dataclass(frozen=True)
class Application:
    """What an optimizer was given at once.

    Attributes:
      optimizer: Which.
      gradients: In the order of the variables; None where there is none.
      variables: Which they are of.
      scale: What they were multiplied by, a number [] as the backend has it; None if they were not.
    """

    optimizer: Any
    gradients: tuple[Any, ...]
    variables: tuple[Any, ...]
    scale: Any


def application(optimizer: Any, name: str, args: Any, kwargs: Any, scale: Any) -> tuple[Any, Any, Application]:
    """What an optimizer is given, and the arguments to be handed on: an iterator can be read only once.

    Args:
      optimizer: Which.
      name: Which of `METHODS`.
      args: What that is called with.
      kwargs: The same, by name.
      scale: What the gradients were multiplied by; None if they were not.
    """
    keyword = "grads_and_vars" if name == "apply_gradients" else "grads"
    given = list(kwargs[keyword] if keyword in kwargs else args[0])
    if keyword in kwargs:
        kwargs = {**kwargs, keyword: given}
    else:
        args = (given, *args[1:])
    if name == "apply_gradients":
        gradients, variables = [pair[0] for pair in given], [pair[1] for pair in given]
    else:
        gradients = given
        variables = list(kwargs.get("trainable_variables", args[1] if len(args) > 1 else None) or ())
        variables = variables or list(optimizer._trainable_variables)
    return args, kwargs, Application(optimizer, tuple(gradients), tuple(variables), scale)


def gradients_of(
    trainable: Sequence[Any],
    applications: Iterable[Application],
    tensor_of: Callable[[Any], Any],
    unscaled: Callable[[Any, Any], Any],
) -> tuple[dict[int, Any], list[str]]:
    """The gradients that reach an optimizer, by the id of the model's variable, and notes on them.

    Of a weight that is changed several times in a step it is the first.

    Args:
      trainable: The variables that the model trains.
      applications: What optimizers were given, in this order.
      tensor_of: The tensor of a variable, which an optimizer may be given instead of it.
      unscaled: A gradient, which may be None, without the scale that it was multiplied by.
    """
    known = {id(one): variable for variable in trainable for one in (variable, tensor_of(variable))}
    found: dict[int, Any] = {}
    again: dict[str, None] = {}
    for given in applications:
        for gradient, variable in zip(given.gradients, given.variables):
            ours = known.get(id(variable))
            if ours is None:
                continue
            if id(ours) in found:
                again[_path(ours)] = None
            else:
                found[id(ours)] = unscaled(gradient, given.scale)
    without = [_path(variable) for variable in trainable if id(variable) not in found]
    notes = ["gradients are what this model's own train_step gives its optimizers on the probe"]
    if again:
        notes.append(f"a step changes these several times, the first gradient is logged: {', '.join(again)}")
    if without:
        notes.append(f"this model's train_step gives no optimizer a gradient of {', '.join(without)}")
    return found, notes


def is_of_call(given: Iterable[Any], model: Any, calls: Iterable[Any], tensor_of: Callable[[Any], Any]) -> bool:
    """Whether the first call of the model itself was given nothing but these.

    Args:
      given: A batch's own inputs.
      model: The model.
      calls: What was called, in order.
      tensor_of: The tensor of what a call was given.
    """
    ids = {id(one) for one in given}
    first = next((call for call in calls if call.layer is model), None)
    return first is not None and all(id(tensor_of(one)) in ids for one in first.inputs)


def _path(variable: Any) -> str:
    return str(getattr(variable, "path", variable.name))
