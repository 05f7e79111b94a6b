"""Where the checkout and the tests' helpers lie, and the environment in which a process of its own finds both."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
TESTS = HELPERS.parent
ROOT = TESTS.parent
#: A folder for each package that TensorFlow 2.21 and Keras 3 load where it is installed, and do without where not: two
#: fifths of the processor time that their start takes.
HIDDEN = HELPERS / "hidden"


def environment(*folders: Path, needs: Collection[str] = (), **variables: str) -> dict[str, str]:
    """This process's variables and some more; Python finds the package, the helpers and what is in some folders.

    Args:
      *folders: Where Python looks first.
      needs: Which of the packages of `HIDDEN` it finds beside what computes Keras here; the others are as if they were
        not installed.
      **variables: Variables beside those that there are.
    """
    needed = {*needs, os.environ.get("KERAS_BACKEND")}  # what computes, where that is not TensorFlow
    hidden = [folder for folder in sorted(HIDDEN.iterdir()) if folder.name not in needed]
    path = [*folders, *hidden, HELPERS, ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **variables}
