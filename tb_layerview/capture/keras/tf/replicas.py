"""What a distribution strategy hands to its replicas: taken once, and handed on part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def taking(iterator: Any, strategy: Any, count: int) -> Callable[[], tuple[Any, tuple[Any, ...]]]:
    """How to take what the replicas of this process would be given, without asking other processes.

    `next` of an iterator that several workers share has all of them tell whether they have data left: a worker that
    asks alone waits for ever.

    Args:
      iterator: A `tf.distribute.DistributedIterator`.
      strategy: Whose it is.
      count: How many batches to take; fewer if it ends before.

    Returns:
      What takes them. It returns an iterator of the same type that gives each replica its parts of these batches again,
      and each replica's part of the first batch. If there was no batch, the iterator itself and no parts.

    Raises:
      TypeError: Batches cannot be taken from such an iterator. Nothing is taken in any case.
    """
    try:
        _handing_on([], iterator, strategy)
    except Exception as error:
        raise TypeError(
            f"the first batch cannot be taken from the {type(iterator).__name__} of {type(strategy).__name__}. "
            "Give the callback a probe: probe=(x, y)."
        ) from error

    def take() -> tuple[Any, tuple[Any, ...]]:
        batches = [_local_parts(iterator) for _ in range(count)]
        parts = [part for batch in batches for part in batch]
        return (_handing_on(parts, iterator, strategy) if parts else iterator), tuple(batches[0])

    return take


def joined(parts: Sequence[Any]) -> Any:
    """A whole batch from its replicas' parts."""
    return tf.nest.map_structure(_joined_leaf, *parts)


def _joined_leaf(*leaves: Any) -> Any:
    if isinstance(leaves[0], tf.SparseTensor):
        return tf.sparse.concat(0, leaves)
    return tf.concat(leaves, 0) if leaves[0] is not None and leaves[0].shape.rank else leaves[0]


def _local_parts(iterator: Any) -> list[Any]:
    """The next part of each replica of this process that has one."""
    # TensorFlow has no public way to ask one worker's iterator.
    found = [part for worker in iterator._iterators for part in worker.get_next_as_optional_list()]
    return [part.get_value() for part in found if part.has_value()]


def _handing_on(parts: list[Any], iterator: Any, strategy: Any) -> Any:
    """An iterator in this one's place, alike in all but what it gives: another type would be traced anew."""
    (worker,) = iterator._iterators
    # Split again by the strategy, a batch that is not full would be split otherwise than the first time.
    handed_on = strategy.distribute_datasets_from_function(
        lambda _: tf.data.Dataset.from_generator(lambda: iter(parts), output_signature=worker.element_spec)
    )
    resources = tf.nest.flatten(iter(handed_on), expand_composites=True)
    return tf.nest.pack_sequence_as(iterator, resources, expand_composites=True)
