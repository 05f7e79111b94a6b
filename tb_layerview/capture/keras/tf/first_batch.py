"""The first batch of a Keras loop, taken without the loop losing it."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tb_layerview.about import logger
from tb_layerview.capture.keras.taken import Taken
from tb_layerview.capture.keras.tf import replicas
from tb_layerview.capture.keras.tf.batch import Batch, as_tensor
from tb_layerview.capture.keras.versions import steps_per_execution


def first_batch(taken: Taken) -> Batch | None:
    """The first batch of what was taken, as tensors; None if there is none.

    Raises:
      Exception: It is no batch that `fit` takes.
    """
    if not taken.parts:
        return None
    one = replicas.joined(taken.parts) if len(taken.parts) > 1 else taken.parts[0]
    return Batch.of(tf.nest.map_structure(as_tensor, one))


def taking(iterator: Any, model: Any) -> Callable[[], Taken]:
    """How to take what one call of Keras' function would take. Nothing is taken yet: all that can fail comes before.

    Args:
      iterator: What Keras gives to its function.
      model: Whose function it is.

    Returns:
      What takes it, and hands it on before anybody looks at it. It raises what the data raise, as the function would.

    Raises:
      TypeError: Batches cannot be taken from what Keras gives.
    """
    count = steps_per_execution(model)
    if isinstance(iterator, tf.distribute.DistributedIterator):
        from_replicas = replicas.taking(iterator, model.distribute_strategy, count)
        return lambda: Taken(*from_replicas())
    if isinstance(iterator, list):  # Keras 3 gives `predict_function` the batches themselves
        return lambda: Taken(iterator, tuple(iterator[:1]))
    if isinstance(iterator, tf.data.Iterator):
        return _taking_from_data_set(iterator, count)
    if isinstance(iterator, Iterator) and not hasattr(iterator, "element_spec"):  # of `train_on_batch`
        return _taking_from_python(iterator, count)
    raise TypeError(
        f"the first batch cannot be taken from a {type(iterator).__name__}. Give the callback a probe: probe=(x, y)."
    )


def _taking_from_data_set(iterator: Any, count: int) -> Callable[[], Taken]:
    spec = iterator.element_spec

    def take() -> Taken:
        batches = []
        # With fewer than it asks for, Keras 3 would silently train fewer steps.
        for _ in range(count):
            with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
                batches.append(next(iterator))
        if not batches:
            return Taken(iterator, ())
        # From here on the training lacks what is not handed on.
        try:
            handed_on = iter(_data_set(batches, spec))
        except Exception:  # noqa: BLE001  # whatever it is, there is another way
            logger.debug("tb_layerview: the first batch is handed on by a generator", exc_info=True)
            handed_on = iter(tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec))
        return Taken(handed_on, (batches[0],))

    return take


def _taking_from_python(iterator: Iterator[Any], count: int) -> Callable[[], Taken]:
    def take() -> Taken:
        batches = list(itertools.islice(iterator, count))
        return Taken(itertools.chain(batches, iterator), tuple(batches[:1]))

    return take


def _data_set(batches: list[Any], spec: Any) -> Any:
    """A data set of these batches that says of them what `spec` does and no more: else Keras would trace anew.

    Not one of a Python generator: in TensorFlow 2.21 on Python 3.11 the first of these has the C library give back to
    the system what each training step allocates (`mallopt` in its GeneratorDataset), which made each step of a CNN of
    3.3 million parameters take 3 to 7 % longer, for as long as the process lived.

    Args:
      batches: One or more, of whatever data sets are made of: sparse and ragged tensors, extension types, named tuples.
      spec: The `element_spec` of the iterator that they were taken from.

    Raises:
      Exception: It does not give these batches.
    """
    variants = (tf.data.experimental.to_variant(tf.data.Dataset.from_tensors(batch)) for batch in batches)
    data_sets = [tf.data.experimental.from_variant(variant, structure=spec) for variant in variants]
    joined = functools.reduce(lambda one, other: one.concatenate(other), data_sets)
    for _ in joined:  # whether it can be read is found out here, where it is not too late
        pass
    return joined
