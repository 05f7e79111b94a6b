"""What tracing a Keras model changes in Python, put back: random generators, and what Keras counts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from tb_layerview.capture.jax.unchanged import generators_unchanged

# Of Keras' global state: the generator behind unseeded random numbers, and the counts by which it names new layers.
_NAMES = ("object_name_uids", "global_seed_generator")


@contextlib.contextmanager
def unchanged_by_tracing() -> Iterator[None]:
    """Leaves the generators of Python and numpy, from which Keras draws seeds, and Keras' counts as they were."""
    tracker = getattr(sys.modules.get("keras.src.backend.common.global_state"), "GLOBAL_STATE_TRACKER", None)
    state: dict[str, Any] = {} if tracker is None else tracker.__dict__
    kept = {name: _copy(state[name]) for name in _NAMES if name in state}
    try:
        with generators_unchanged():
            yield
    finally:
        for name in _NAMES:
            state.pop(name, None)
        state.update(kept)


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, dict) else value
