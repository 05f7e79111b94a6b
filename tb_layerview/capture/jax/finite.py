"""Whether what a step has logged is finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class IsFinite:
    """Whether the losses of a step are finite, which the device alone knows until somebody asks."""

    def __init__(self, logs: Any) -> None:
        """Takes what a step has logged: its losses, else all of it."""
        logs = logs if isinstance(logs, Mapping) else {}
        losses = {name: value for name, value in logs.items() if name == "loss" or name.endswith("_loss")}
        self._values: list[Any] = [value for value in (losses or logs).values() if hasattr(value, "dtype")]

    def __bool__(self) -> bool:
        """Waits for the device, if need be."""
        return all(bool(np.isfinite(np.asarray(value, np.float64)).all()) for value in self._values)
