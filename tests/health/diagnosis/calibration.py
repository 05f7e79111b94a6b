"""How far thresholds are from where they would cry wolf: from which value on a rule finds something in the healthy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.rules.catalogue import Rule, thresholds

# A threshold is looked for between these, to within a relative error of 1 %.
_SMALLEST, _LARGEST, _PRECISION = 1e-12, 1e12, 1.01


def edges(rule: Rule, healthy: Sequence[Evidence]) -> dict[str, float | None]:
    """By threshold the value nearest to its default at which the rule finds something in a healthy training.

    The other thresholds stay as they are. None: there is no such value.

    Args:
      rule: One that finds nothing in them as it is.
      healthy: What healthy trainings have logged.
    """
    found: dict[str, float | None] = {}
    for name, default in thresholds(rule).items():

        def finds(value: float, name: str = name) -> bool:
            moved = dataclasses.replace(rule, **{name: value})
            return any(diagnose(evidence, (moved,)) for evidence in healthy)

        if isinstance(default, int):
            found[name] = next((value for value in range(default - 1, 0, -1) if finds(value)), None)
        else:
            candidates = [_edge(finds, default, end) for end in (_SMALLEST, _LARGEST)]
            known = [edge for edge in candidates if edge is not None]
            found[name] = min(known, key=lambda edge: abs(math.log(edge / default)), default=None)
    return found


def _edge(finds: Callable[[float], bool], quiet: float, end: float) -> float | None:
    """The value between a quiet one and the end of the scale from which on something is found; None if it is quiet."""
    if not finds(end):
        return None
    loud = end
    while max(loud / quiet, quiet / loud) > _PRECISION:
        middle = math.sqrt(loud) * math.sqrt(quiet)
        if finds(middle):
            loud = middle
        else:
            quiet = middle
    return loud
