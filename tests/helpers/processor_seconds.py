"""What each test costs the processors: `--processor-seconds=FILE` keeps it, this module as a command prints it.

Side by side with others a test takes as long as they let it; what it takes of the processors changes far less. Counted
are its process and those that it has started and waited for; what a fixture of a module or of the session starts and
ends is counted to the test before or after which it does.
"""

from __future__ import annotations

import collections
import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Where suite.py keeps what its parts cost, and how many tests are printed.
KEPT, PRINTED = ROOT / "build/processor-seconds", 40
#: What is counted as the test of this name: imports, collection, what ends after the last test.
BESIDE = "start and end"


def used() -> float:
    """Processor seconds of this process until now, with those of the ended processes that it waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


class Counted:
    """Counts tests while they run."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.seconds = dict[str, float]()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = used()
        result = yield
        self.seconds[item.nodeid] = used() - before
        return result

    def pytest_unconfigure(self) -> None:
        beside = used() - sum(self.seconds.values())
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        self.kept.write_text(json.dumps({BESIDE: beside, **self.seconds}))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processor-seconds", type=Path, help="a file for the processor seconds of each test")


def pytest_configure(config: pytest.Config) -> None:
    kept = config.getoption("--processor-seconds")
    if kept is not None:
        config.pluginmanager.register(Counted(kept))


def main() -> None:
    """Prints what was kept: of each part, of each of its files, and of the tests that cost most."""
    tests, files = list[tuple[float, str, str]](), collections.Counter[tuple[str, str]]()
    for path in sorted(KEPT.glob("*.json")):
        found = json.loads(path.read_text())
        print(f"{sum(found.values()):8.1f} s  {path.stem}, {len(found) - 1} tests")
        for name, seconds in found.items():
            tests.append((seconds, path.stem, name))
            files[path.stem, name.partition("::")[0]] += seconds
    print()
    for (part, file), seconds in files.most_common(PRINTED):
        print(f"{seconds:8.1f} s  {part}: {file}")
    print()
    for seconds, part, name in sorted(tests, reverse=True)[:PRINTED]:
        print(f"{seconds:8.1f} s  {part}: {name}")


if __name__ == "__main__":
    sys.exit(main())
