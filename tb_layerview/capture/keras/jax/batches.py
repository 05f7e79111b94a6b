"""The batches of Keras' loops on JAX: the first one, taken without the loop losing it, and each one that trains."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np

from tb_layerview.capture.jax.finite import IsFinite
from tb_layerview.capture.keras.steps import StepCounter
from tb_layerview.capture.keras.taken import Taken
from tb_layerview.capture.recording import Recording


def taking(iterator: Any, count: int) -> Callable[[], Taken]:
    """How to take so many batches and hand them on. Nothing is taken yet.

    Raises:
      TypeError: It is no iterator.
    """
    if not isinstance(iterator, Iterator):
        raise TypeError(
            f"the first batch cannot be taken from a {type(iterator).__name__}. "
            "Give the callback a probe: probe=(x, y)."
        )

    def take() -> Taken:
        batches = list(itertools.islice(iterator, count))
        is_over = len(batches) < count
        return Taken(iter(batches) if is_over else itertools.chain(batches, iterator), tuple(batches[:1]))

    return take


def first_rows(leaf: Any) -> Any:
    """A leaf of a batch; where several processes have it, those rows of it that this process has first."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf.addressable_data(0)
    return leaf


def may_give_several(iterator: Any) -> bool:
    """Whether what was taken and handed on are as many batches as were asked for; of any other iterator True."""
    return not isinstance(iterator, type(iter([])))


class KeepingBatches:
    """Trains in place of Keras' function, and has what each step was given kept for a replay.

    Attributes:
      original: Keras' own function.
    """

    def __init__(self, function: Any, recording: Recording, counter: StepCounter) -> None:
        """Stands in for the function; what is left of an interrupted `fit` does not hold the recording."""
        self.original = function
        self._recording, self._counter = weakref.ref(recording), counter

    def __call__(self, state: Any, iterator: Any) -> Any:
        """One training step; raises what the data and the function raise, and nothing else."""
        recording = self._recording()
        replayer = None if recording is None else recording.replayer
        if replayer is None or recording is None:
            return self.original(state, iterator)
        batch = next(iterator)  # before anything is done about it: the data may be at their end
        replayer.before_step(self._counter.step)
        found = self.original(state, iter([batch]))
        with recording.log.guard("what a replay needs"):
            replayer.after_step(_kept(batch), IsFinite(found[0]))
        return found

    @property
    def left(self) -> Any:
        """What trains once nothing is kept any more."""
        return self.original


def _kept(batch: Any) -> Any:
    """The same batch in memory that a generator does not write to."""
    return keras.tree.map_structure(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, batch)
