"""TensorFlow's debugging switches, as `tf.debugging.enable_check_numerics`: off while a pass of the log's is run."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any


def are_on() -> bool:
    """Whether this thread has every operation looked at."""
    return bool(_callbacks())


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Has this thread's operations looked at by nobody within the block."""
    found = _callbacks()
    kept = list(found)
    # They are the thread's own list. To switch off by name and on again would lose how they were configured.
    found.clear()
    try:
        yield
    finally:
        found[:] = kept


def _callbacks() -> list[Callable[..., Any]]:
    # TensorFlow has no public way to ask; where this one is gone, nothing is switched off.
    context = importlib.import_module("tensorflow.python.eager.context").context()
    found = getattr(context, "op_callbacks", None)
    return found if isinstance(found, list) else []
