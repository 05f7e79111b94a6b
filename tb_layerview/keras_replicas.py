"""What a distribution strategy hands to its replicas: taken once, and handed on part by part."""

from __future__ import annotations

import contextlib
from typing import Any

import tensorflow as tf


def take(iterator: Any, strategy: Any, count: int) -> tuple[Any, list[Any]]:
    """Takes batches from a distributed iterator.

    Args:
      iterator: A `tf.distribute.DistributedIterator`.
      strategy: Whose it is.
      count: How many batches to take; fewer if it ends before.

    Returns:
      An iterator that gives each replica its parts of these batches again, and each replica's part of the first batch.
      If there was no batch, the iterator itself and no parts.
    """
    parts: list[Any] = []
    replicas = 0
    for _ in range(count):
        with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
            of_batch = _parts(next(iterator), strategy)
            parts += of_batch
            replicas = len(of_batch)
    if not parts:
        return iterator, []
    # Split again by the strategy, a batch that is not full would be split otherwise than the first time.
    handed_on = strategy.distribute_datasets_from_function(
        lambda _: tf.data.Dataset.from_generator(
            lambda: iter(parts), output_signature=tf.nest.map_structure(_any_size, parts[0])
        )
    )
    return iter(handed_on), parts[:replicas]


def joined(parts: list[Any]) -> Any:
    """A whole batch from its replicas' parts."""
    return tf.nest.map_structure(lambda *leaves: tf.concat(leaves, 0) if leaves[0].shape.rank else leaves[0], *parts)


def _parts(batch: Any, strategy: Any) -> list[Any]:
    """What each replica of this machine has of a batch."""
    # Each leaf stands for one value a replica.
    leaves = [strategy.experimental_local_results(leaf) for leaf in tf.nest.flatten(batch)]
    return [tf.nest.pack_sequence_as(batch, values) for values in zip(*leaves)]


def _any_size(leaf: Any) -> Any:
    """The type of a part, with any number of examples."""
    spec = tf.type_spec_from_value(leaf)
    if isinstance(spec, tf.TensorSpec) and spec.shape.rank:
        return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)
    return spec
