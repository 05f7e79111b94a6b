"""What was given to whoever logs, checked before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Select


def check_options(select: Any, keep: Any, check: Any) -> None:
    """Makes sure that the options are of their types.

    Raises:
      TypeError: One is not.
      ValueError: `select` names tensors of a graph.
    """
    for name, value, kind in (("select", select, Select), ("keep", keep, Keep), ("check", check, Check)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}(...), not {value!r}")
    select.refuse_tensors()


def floats(scalars: Mapping[str, Any]) -> dict[str, float]:
    """Those that are single numbers."""
    return {name: float(np.asarray(value)) for name, value in scalars.items() if np.ndim(value) == 0}
