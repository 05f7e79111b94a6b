"""How long something takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def least_seconds(action: Callable[[], object], times: int = 7) -> float:
    """The least that something takes: whatever else the machine does only adds to it."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        found.append(time.perf_counter() - began)
    return float(min(found))
