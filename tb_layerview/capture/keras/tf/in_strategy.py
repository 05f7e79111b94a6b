"""Functions of a model that run within its distribution strategy, and how they are traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tb_layerview.capture import cluster
from tb_layerview.capture.keras.tf.autograph import unconverted
from tb_layerview.capture.keras.tf.traced import Traced


def in_strategy(strategy: Any, one: Callable[..., Any]) -> Callable[..., Any]:
    """A function within a distribution strategy: each replica gets what it is given, what the first one gives counts.

    Autograph converts the model's own `call`, and leaves this package's code alone.
    """

    def all_replicas(*args: Any) -> Any:
        # Outside of it, Keras 2 cannot update its metrics, and losses are those of one replica of several.
        results = strategy.run(unconverted(one), args)
        return tf.nest.map_structure(lambda result: strategy.experimental_local_results(result)[0], results)

    # A MirroredStrategy of one device is as particular about metrics as one of several.
    is_alone = strategy.num_replicas_in_sync == 1 and not isinstance(strategy, tf.distribute.MirroredStrategy)
    converted: Callable[..., Any] = unconverted(one if is_alone else all_replicas)
    return converted


def runs_python(function: Any) -> bool:
    """Whether a traced function calls Python, which may give memory that it writes to again."""
    return any("PyFunc" in name for name in cluster.operation_types(function))


def traced(strategy: Any, function: Callable[..., Any], *args: Any) -> Any:
    """The function within a distribution strategy, traced with these arguments."""
    function = in_strategy(strategy, function)
    if strategy.num_replicas_in_sync > 1 or cluster.has_other_processes(strategy):
        return tf.function(function).get_concrete_function(*args)
    return Traced(function, *args)
