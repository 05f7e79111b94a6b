"""What tracing a model changes in Python, put back: the generators of random numbers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def generators_unchanged() -> Iterator[None]:
    """Leaves the generators of Python and numpy, from which a model may draw while it is traced, as they were."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
