"""What optimizers of Flax NNX train, and what they keep of each weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flax import nnx

from tb_layerview.capture.jax.nnx.held import Path, Place, Source, read, variables
from tb_layerview.capture.passes.anatomy import Slot
from tb_layerview.capture.slots import slot_name


class Optimizers:
    """The optimizers of one model.

    Attributes:
      all: The optimizers.
    """

    def __init__(self, optimizers: Sequence[nnx.Optimizer[Any]]) -> None:
        """Looks up what they keep."""
        self.all = tuple(optimizers)
        self._sources = [Source(_state_of(optimizer)) for optimizer in self.all]

    @classmethod
    def of(cls, optimizer: Any) -> Optimizers:
        """Those that somebody gave: one, several or none.

        Raises:
          TypeError: There is another thing among them.
        """
        given = () if optimizer is None else tuple(optimizer) if isinstance(optimizer, (list, tuple)) else (optimizer,)
        for one in given:
            if not isinstance(one, nnx.Optimizer):
                raise TypeError(f"optimizer must be an nnx.Optimizer, or a list of several, not {one!r}")
        return cls(given)

    def trained(self, model: nnx.Module) -> frozenset[Path]:
        """The paths of what they are given gradients of; without an optimizer, of all that is `nnx.Param`."""
        filters = [getattr(optimizer, "wrt", nnx.Param) for optimizer in self.all] or [nnx.Param]
        return frozenset(path for one in filters for path, _ in variables(nnx.state(model, one)))

    def slots(self, weights: Sequence[Place]) -> dict[int, tuple[Slot, ...]]:
        """What they keep of each weight, by its id.

        The end of a slot's path is that of the weight, from the model on or from the part of it that the optimizer was
        made for.
        """
        found: dict[int, list[Slot]] = {}
        for source in self._sources:
            for weight, slot in _slots(source, weights):
                found.setdefault(id(weight), []).append(slot)
        return {key: tuple(slots) for key, slots in found.items()}

    def learning_rates(self) -> list[float]:
        """Those that are kept as numbers, as by `optax.inject_hyperparams`."""
        rates = [
            place
            for source in self._sources
            for place in source.places
            if place.path[-2:] == ("hyperparams", "learning_rate") and not place.shape
        ]
        return [float(value) for value in read(rates)]


def _state_of(optimizer: nnx.Optimizer[Any]) -> Any:
    return lambda: optimizer.opt_state


def _slots(source: Source, weights: Sequence[Place]) -> list[tuple[Place, Slot]]:
    by_path = {weight.path: weight for weight in weights}
    # Of which part of the model the optimizer was made: where most of what it keeps finds a weight.
    parts = sorted({path[:end] for path in by_path for end in range(len(path))}, key=lambda part: (len(part), part))
    found = [_within(source, part, by_path) for part in parts]
    return max(found, key=len, default=[])


def _within(source: Source, part: Path, by_path: dict[Path, Place]) -> list[tuple[Place, Slot]]:
    found = []
    for place in source.places:
        ends = ((start, by_path.get((*part, *place.path[start:]))) for start in range(1, len(place.path)))
        start, weight = next(((start, one) for start, one in ends if one is not None), (0, None))
        if weight is not None and weight.shape == place.shape:
            field = next((key for key in reversed(place.path[:start]) if not key.isdecimal()), place.path[start - 1])
            found.append((weight, Slot(slot_name(field), place)))
    return found
