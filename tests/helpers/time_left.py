"""Where a run has to end by a time, what does not fit is left out, said and counted; another run begins elsewhere.

`TB_LAYERVIEW_TESTS_UNTIL` is that time, in seconds since 1970. `.ci/run` gives it to `make test-long`: on a machine
three times slower than another one all of it takes longer than a run may. Files come in an order that the time turns,
so that it is not always the same ones that are left out.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

import pytest

VARIABLE = "TB_LAYERVIEW_TESTS_UNTIL"
REASON = "no time is left"
_SKIPPED = re.compile(rf"^SKIPPED \[(\d+)\] .*: {REASON}$", re.MULTILINE)

T = TypeVar("T")


def until(environment: Mapping[str, str] = os.environ) -> float | None:
    """When the run has to end; None: when it is through.

    Raises:
      ValueError: The variable holds no number.
    """
    return float(environment[VARIABLE]) if environment.get(VARIABLE) else None


def turned(things: Sequence[T], end: float | None) -> list[T]:
    """The same, in an order that begins elsewhere a minute later; as they are if there is no end."""
    first = 0 if end is None or not things else int(end // 60) % len(things)
    return [*things[first:], *things[:first]]


def left_out(text: str) -> int:
    """How many tests pytest says were left out, in what it has printed."""
    return sum(int(count) for count in _SKIPPED.findall(text))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Turns the order of files."""
    end = until()
    if end is not None:
        places = {path: i for i, path in enumerate(turned(list(dict.fromkeys(item.path for item in items)), end))}
        items.sort(key=lambda item: places[item.path])


@pytest.hookimpl(tryfirst=True)  # before anything is set up for it
def pytest_runtest_setup() -> None:
    """Leaves a test out."""
    end = until()
    if end is not None and time.time() > end:
        pytest.skip(REASON)
