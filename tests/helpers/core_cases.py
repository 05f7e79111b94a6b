"""The mark `core`: of a test's many cases it names those that `make test` runs; the others are `long`.

`@pytest.mark.core("float32-*", "float64-small")` stands with the test, so that its parameters can stay as they are.
"""

from __future__ import annotations

import fnmatch

import pytest


@pytest.hookimpl(tryfirst=True)  # before those are left out that `-m` does not ask for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as `long` those cases of a test that its `core` does not name.

    Raises:
      pytest.UsageError: It names none of the cases.
    """
    cases: dict[tuple[pytest.Item | pytest.Collector | None, str], list[pytest.Function]] = {}
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("core"):
            cases.setdefault((item.parent, item.originalname), []).append(item)
    for (_, name), those in cases.items():
        names = [pattern for mark in those[0].iter_markers("core") for pattern in mark.args]
        beyond = [item for item in those if not any(fnmatch.fnmatchcase(_case(item), pattern) for pattern in names)]
        if len(those) > 1 and len(beyond) == len(those):
            raise pytest.UsageError(f"{name}: core({', '.join(names)}) is none of {', '.join(map(_case, those))}.")
        for item in beyond:
            item.add_marker(pytest.mark.long)


def _case(item: pytest.Function) -> str:
    """The name of a test's case, between its brackets; as text, whatever alphabet it is of."""
    return item.callspec.id.encode("ascii", "backslashreplace").decode()
