"""The first batch of a Keras loop, taken without the loop losing it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import keras_replicas
from tb_layerview.keras_probe import Batch

PROBE_EXAMPLES = 32


def given_batch(data: Any) -> Batch:
    """The probe that somebody gave: x, (x, y) or (x, y, sample_weight), as tensors.

    Raises:
      ValueError: It is none.
    """
    try:
        batch = Batch.of(tf.nest.map_structure(_as_tensor, data))
        if batch.examples < 1:
            raise ValueError("it has no examples")
        return batch
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(
            f"the probe is no batch: {error}. Give x, (x, y) or (x, y, sample_weight) as arrays."
        ) from error


def take_first(iterator: Any, model: Any) -> tuple[Any, Batch | None]:
    """Takes what one call of Keras' function would take, and an iterator that hands it on to that call.

    Args:
      iterator: What Keras gives to its function.
      model: Whose function it is.

    Returns:
      What to give to the function instead, and the first examples of the first batch, or None if there is none.

    Raises:
      TypeError: Batches cannot be taken from what Keras gives, nothing is taken.
    """
    count = steps_per_execution(model)
    if isinstance(iterator, tf.distribute.DistributedIterator):
        iterator, parts = keras_replicas.take(iterator, model.distribute_strategy, count)
        batches = [keras_replicas.joined(parts)] if parts else []
    elif isinstance(iterator, list):  # Keras 3 gives `predict_function` the batches themselves
        batches = iterator
    elif isinstance(iterator, tf.data.Iterator):
        batches, spec = _take(iterator, count), iterator.element_spec
        if batches:
            iterator = iter(tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec))
    elif isinstance(iterator, Iterator) and not hasattr(iterator, "element_spec"):
        batches = _take(iterator, count)  # of `train_on_batch`
        iterator = itertools.chain(batches, iterator)
    else:
        raise TypeError(
            f"the first batch cannot be taken from a {type(iterator).__name__}. Give the callback a probe: "
            "probe=(x, y)."
        )
    if not batches:
        return iterator, None
    first = tf.nest.map_structure(_as_tensor, batches[0])
    return iterator, Batch.of(first).first(PROBE_EXAMPLES)


def steps_per_execution(model: Any) -> int:
    """How many batches one call of the model's functions takes."""
    # Keras 2 has a variable under a private name, Keras 3 a number.
    for name in ("steps_per_execution", "_steps_per_execution"):
        steps = getattr(model, name, None)
        if steps is not None:
            return int(number(steps))
    return 1


def number(variable: Any) -> Any:
    """What a variable or a plain number holds. A variable of a distribution strategy is no array in Keras 2."""
    return np.asarray(tf.convert_to_tensor(variable))


class Deputy:
    """Stands in for one of a model's functions until it is called or dismissed, and leaves nothing behind.

    Attributes:
      returned: What the last call returned that went through it.
    """

    def __init__(self, model: Any, name: str, first_call: Callable[[Any, Any], Any], stays: bool = False) -> None:
        """Takes the function's place.

        Args:
          model: The Keras model.
          name: Which of its functions: `train_function`, `test_function` or `predict_function`.
          first_call: Is called instead of the function the first time, with the function and its argument.
          stays: Whether it hands on all further calls too, until it is dismissed.
        """
        before = getattr(model, name)
        if before is None:
            getattr(model, f"make_{name}")()
        function = getattr(model, name)
        calls = itertools.count()
        self.returned: Any = None

        def deputy(iterator: Any) -> Any:
            # Keras 2 has one loop of `evaluate` call whatever was in place when it began.
            if next(calls):
                self.returned = function(iterator)
                return self.returned
            if stays:
                self._before = function
            else:
                self._put_back(function)
            self.returned = first_call(function, iterator)
            return self.returned

        self._model, self._name, self._before, self._deputy = model, name, before, deputy
        setattr(model, name, deputy)

    def dismiss(self) -> None:
        """Puts back what was there, or the function that was called."""
        self._put_back(self._before)

    def _put_back(self, function: Any) -> None:
        model, self._model = self._model, None
        if model is not None and getattr(model, self._name) is self._deputy:
            setattr(model, self._name, function)


def _take(iterator: Any, count: int) -> list[Any]:
    batches = []
    # With fewer than it asks for, Keras 3 would silently train fewer steps.
    for _ in range(count):
        with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
            batches.append(next(iterator))
    return batches


def _as_tensor(leaf: Any) -> Any:
    return leaf if leaf is None or tf.is_tensor(leaf) else tf.convert_to_tensor(leaf)
