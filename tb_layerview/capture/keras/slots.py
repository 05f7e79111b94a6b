"""What the optimizers of a Keras model keep of each weight: Adam's moments, and the like."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tb_layerview.capture.passes.anatomy import Slot
from tb_layerview.capture.slots import slot_name

# Lists of an optimizer's own, of other things than one for each weight.
_OTHER_LISTS = frozenset({"_variables", "_trainable_variables", "_weights"})


def optimizers_of(model: Any) -> list[Any]:
    """The optimizers that a model has: the one that it is compiled with, those of its own, and those within these."""
    found: dict[int, Any] = {}
    pending = _optimizers_in(model)
    while pending:
        optimizer = pending.pop(0)
        if id(optimizer) not in found:
            found[id(optimizer)] = optimizer
            pending += _optimizers_in(optimizer)
    return list(found.values())


def _optimizers_in(owner: Any) -> list[Any]:
    """The optimizers that somebody has, and those in the lists and mappings that he has, each once."""
    found: dict[int, Any] = {}
    for value in list(vars(owner).values()):
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
        found |= {id(each): each for each in (value, *inner) if _is_optimizer(each)}
    return list(found.values())


def are_made(model: Any) -> bool:
    """Whether all optimizers of a model have made what they keep: they do so when they are built."""
    return all(_is_built(optimizer) for optimizer in _optimizers_in(model))


def why_none(model: Any, slots: Collection[Any]) -> str:
    """Why there is nothing, or not all, that optimizers keep of the weights of a model, in words; empty if all is."""
    optimizers = _optimizers_in(model)
    if not optimizers:
        return "no optimizer state is logged: the model has no optimizer. Compile it with the one that trains it"
    unbuilt = ", ".join(type(optimizer).__name__ for optimizer in optimizers if not _is_built(optimizer))
    if unbuilt:
        return (
            f"no optimizer state of {unbuilt} is logged: it was not made yet when logging was set up. "
            "optimizer.build(model.trainable_variables) makes it before that"
        )
    if not slots:
        names = ", ".join(type(optimizer).__name__ for optimizer in optimizers)
        return f"no optimizer state is logged: {names} keeps nothing of a weight"
    return ""


def slots_of(model: Any) -> dict[int, tuple[Slot, ...]]:
    """What optimizers keep of each weight that a model trains, by the id of Keras' variable, in their own order.

    An optimizer has a list for each slot, in the order of the weights that it was built for; the optimizers of Keras 2
    before 2.11, and the legacy ones since, tell by themselves. What an optimizer keeps elsewhere is known by its name,
    which Keras 3 makes of the weight's.
    """
    weights = list(model.trainable_variables)
    found: dict[int, list[Slot]] = {}
    seen: set[int] = set()
    for optimizer in optimizers_of(model):
        for weight, slot in (*_listed(optimizer, weights), *_told(optimizer, weights), *_named(optimizer, weights)):
            # A number in place of what a weight has, as Adafactor's of biases, says nothing of it.
            if id(slot.variable) not in seen and (_rank(slot.variable) or not _rank(weight)):
                found.setdefault(id(weight), []).append(slot)
            seen.add(id(slot.variable))
    return {key: tuple(slots) for key, slots in found.items()}


def _listed(optimizer: Any, weights: Sequence[Any]) -> Iterator[tuple[Any, Slot]]:
    """Of the optimizer's lists that hold a variable, or None, for each weight that it was built for."""
    own = vars(optimizer)
    places = own.get("_trainable_variables_indices") or own.get("_index_dict")  # of Keras 3; of Keras 2
    if not places:
        return
    for attribute, value in own.items():
        if attribute in _OTHER_LISTS or not isinstance(value, list) or len(value) != len(places):
            continue
        if not all(item is None or _is_variable(item) for item in value):
            continue
        for weight in weights:
            place = places.get(optimizer._var_key(weight))
            variable = None if place is None else value[place]
            if variable is not None:
                yield weight, Slot(_own_name(weight, variable) or slot_name(attribute), variable)


def _told(optimizer: Any, weights: Sequence[Any]) -> Iterator[tuple[Any, Slot]]:
    """Of an optimizer that tells of its slots, as the legacy ones do."""
    if not hasattr(optimizer, "get_slot_names"):
        return
    for name in optimizer.get_slot_names():
        for weight in weights:
            try:
                variable = optimizer.get_slot(weight, name)
            except KeyError:  # it does not train this one
                continue
            yield weight, Slot(slot_name(name, type(optimizer).__name__), variable)


def _named(optimizer: Any, weights: Sequence[Any]) -> Iterator[tuple[Any, Slot]]:
    """By the names that Keras 3 gives them, the longest that fits: `dense_kernel_momentum` of `dense/kernel`."""
    if not hasattr(optimizer, "_trainable_variables_indices"):
        return
    for variable in optimizer.variables:
        fitting = [w for w in weights if _own_name(w, variable) and tuple(w.shape) == tuple(variable.shape)]
        if fitting:
            weight = max(fitting, key=lambda weight: len(weight.path))
            yield weight, Slot(_own_name(weight, variable), variable)


def _own_name(weight: Any, variable: Any) -> str:
    """What is left of a variable's name without the weight's, as Keras 3 joins them; empty if it is no such name."""
    start = f"{str(getattr(weight, 'path', '')).replace('/', '_')}_"
    name = str(variable.name)
    return name[len(start) :] if len(start) > 1 and name.startswith(start) else ""


def _is_variable(value: Any) -> bool:
    return hasattr(value, "assign") and hasattr(value, "shape") and hasattr(value, "dtype")


def _rank(variable: Any) -> int:
    return len(variable.shape)


def _is_optimizer(value: Any) -> bool:
    """Whether this is an optimizer of Keras; one of TensorFlow 1's cannot train a model that is logged."""
    cls = type(value)
    return hasattr(cls, "apply_gradients") and hasattr(cls, "iterations") and not isinstance(value, type)


def _is_built(optimizer: Any) -> bool:
    """Whether an optimizer has made its variables."""
    own = vars(optimizer)
    # Of Keras 3, of the legacy ones of Keras 2, and of its other ones.
    if any(bool(own.get(name)) for name in ("built", "_hypers_created", "_index_dict")):
        return True
    inner = getattr(optimizer, "inner_optimizer", None)
    return inner is not None and _is_built(inner)
