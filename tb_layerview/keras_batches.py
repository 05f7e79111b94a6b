"""The first batch of a Keras loop, taken without the loop losing it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
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
        batch = Batch.of(tf.nest.map_structure(as_tensor, data))
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
            iterator = iter(_data_set(batches, spec))
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
    first = tf.nest.map_structure(as_tensor, batches[0])
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
    """Stands in for one of a model's functions until it is dismissed, and leaves nothing behind.

    Attributes:
      function: What calls are handed on to: the model's own, unless somebody sets another one.
    """

    def __init__(self, model: Any, name: str, around: Callable[[Any, Any], Any]) -> None:
        """Takes the function's place.

        Args:
          model: The Keras model.
          name: Which of its functions: `train_function`, `test_function` or `predict_function`.
          around: A method that is called instead of the function, with the function and its argument. Its object is not
            held: what an interrupted `fit` leaves on the model does what the function does.
        """
        if _in_place(model, name) is None:
            getattr(model, f"make_{name}")()
        self._before = self.function = _in_place(model, name)
        self._model, self._name, self._around = model, name, weakref.WeakMethod(around)
        setattr(model, name, self)

    def __call__(self, iterator: Any) -> Any:
        """Is called by Keras in the function's place."""
        # Keras 2 has one loop of `evaluate` call whatever was in place when it began.
        around = None if self._model is None else self._around()
        return self.function(iterator) if around is None else around(self.function, iterator)

    @property
    def is_in_place(self) -> bool:
        """Whether the model calls it; not if somebody had its function made anew, as after layers were unfrozen."""
        function = None if self._model is None else getattr(self._model, self._name)
        while isinstance(function, Deputy) and function is not self:
            function = function.function
        return function is self

    def dismiss(self) -> None:
        """Puts back what was there."""
        model, self._model = self._model, None
        if model is not None and getattr(model, self._name) is self:
            setattr(model, self._name, _without_dismissed(self._before))

    @property
    def before(self) -> Any:
        """What it stands in for, once it was dismissed; itself until then."""
        return self if self._model is not None else self._before


def _in_place(model: Any, name: str) -> Any:
    return _without_dismissed(getattr(model, name))


def _without_dismissed(function: Any) -> Any:
    """A function without the stand-ins that are not wanted any more: two callbacks may end in any order."""
    while isinstance(function, Deputy) and function.before is not function:
        function = function.before
    return function


def _take(iterator: Any, count: int) -> list[Any]:
    batches = []
    # With fewer than it asks for, Keras 3 would silently train fewer steps.
    for _ in range(count):
        with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
            batches.append(next(iterator))
    return batches


def _data_set(batches: list[Any], spec: Any) -> Any:
    """A data set of these batches that says no more of their shapes than `spec` does: else Keras would trace anew.

    Not one of a Python generator: in TensorFlow 2.21 on Python 3.11 the first of these has the C library give back to
    the system what each training step allocates (`mallopt` in its GeneratorDataset), which made each step of a CNN of
    3.3 million parameters take 3 to 7 % longer, for as long as the process lived.
    """
    specs = tf.nest.flatten(spec)

    @tf.autograph.experimental.do_not_convert  # which would take 45 ms
    def with_spec(*components: tf.Tensor) -> Any:
        left, leaves = iter(components), []
        for leaf in specs:
            parts = [
                tf.compat.v1.placeholder_with_default(next(left), part.shape)
                for part in tf.nest.flatten(leaf, expand_composites=True)
            ]
            leaves.append(tf.nest.pack_sequence_as(leaf, parts, expand_composites=True))
        return tf.nest.pack_sequence_as(spec, leaves)

    data_sets = [
        tf.data.Dataset.from_tensors(tuple(tf.nest.flatten(batch, expand_composites=True))).map(with_spec)
        for batch in batches
    ]
    return functools.reduce(lambda one, other: one.concatenate(other), data_sets)


def as_tensor(leaf: Any) -> Any:
    """A leaf of a batch as a tensor; what there is not, is None."""
    return leaf if leaf is None or tf.is_tensor(leaf) else tf.convert_to_tensor(leaf)
