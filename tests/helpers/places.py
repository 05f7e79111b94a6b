"""Where the checkout and the tests' helpers lie, and the environment in which a process of its own finds both."""

from __future__ import annotations

import os
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
TESTS = HELPERS.parent
ROOT = TESTS.parent


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """This process's variables and some more; Python finds the package, the helpers and what is in some folders."""
    path = [*folders, HELPERS, ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **variables}
