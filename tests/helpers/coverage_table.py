"""Which test covers what capture has to cover, from the tests' own results.

Two halves that meet in a file. As a plugin of pytest: `pytest --coverage-results=FILE` writes what became of each test
that is marked `@pytest.mark.covers("section: item")`, and what tests recorded by pytest's `record_property`. As a
program: `python tests/helpers/coverage_table.py` joins these files with each other and with the list of all items, and
writes docs/reports/coverage.md; `diagnosis_table.py` makes docs/reports/diagnosis.md of the same files.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ITEMS = ROOT / "tests" / "helpers" / "coverage_items.txt"
TABLE = ROOT / "docs" / "reports" / "coverage.md"
#: What each part of `make test` and `make test-long` has shown, and that joined, a file for each stack.
PARTS = ROOT / "build" / "coverage-parts"
RESULTS = tuple(ROOT / "build" / f"coverage-{stack}.json" for stack in ("modern", "estimator", "jax", "torch"))
LEFT_OUT = "left out of this run"
SOFTWARE = ("tensorflow", "tensorflow-cpu", "keras", "tf_keras", "jax", "torch", "tensorboard", "numpy")
#: Of graphs, sessions, Estimators, TensorFlow's strategies and its Keras 2: another backend has no part in these.
OF_TENSORFLOW = re.compile(r"(Graph|More than one device): |Programs: (?!Keras)|.*(\bhook|Hook|Estimator|tf_keras)")
#: What the reason begins with why a test is skipped whose subject is TensorFlow's own.
ITS_OWN = "TensorFlow's own"
#: Where the tests of PyTorch's modules are, which have a column of their own beside Keras on PyTorch.
OF_MODULES = "tests/capture/torch/"
#: Why items have no part in PyTorch's modules, by what matches them.
NOT_OF_MODULES = {
    "Keras' own": re.compile(
        r"Programs: Keras|Keras: (TimeDistributed|Lambda|ConvLSTM|preprocessing|run_eagerly|steps_per_execution)|"
        r"What and when: python -m"
    ),
    "its loop is one's own": re.compile(
        r"Keras: (generators|Sequence$|sample weights|initial_epoch|model\.|the validation inside fit)"
    ),
    "the same for all ways to train": re.compile(
        r"What and when: (LayerWriter|the plan|Keep, the|Schedule, the overhead budget)"
    ),
}


def all_items(path: Path = ITEMS) -> list[str]:
    """The items, in the order of the list.

    Raises:
      ValueError: A line is not "section: item", or stands there twice.
    """
    lines = [line.strip() for line in path.read_text().splitlines()]
    items = [line for line in lines if line and not line.startswith("#")]
    for item in items:
        section, _, name = item.partition(": ")
        if not section or not name:
            raise ValueError(f"{path.name}: {item!r} is not of the form 'section: item'.")
        if items.count(item) > 1:
            raise ValueError(f"{path.name}: {item!r} stands there twice; leave one of them.")
    return items


# ---- A plugin of pytest ----


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--coverage-results", metavar="FILE", help="write what the tests have shown")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "covers(*items): covers these lines of tests/helpers/coverage_items.txt")
    path = config.getoption("--coverage-results")
    if path:
        config.pluginmanager.register(_Collector(Path(path)))


class _Collector:
    """Collects outcomes of marked tests, and what tests recorded, while they run, and writes them at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._items: dict[str, list[str]] = {}
        self._outcomes: dict[str, tuple[str, str]] = {}
        self._recorded: list[dict[str, Any]] = []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """What is left out by `-m` was not covered: with the reason why it would have been skipped, if it has one."""
        for item in items:
            self._remember(item)
            if item.nodeid in self._items:
                skip = item.get_closest_marker("skip")
                reason = skip.kwargs.get("reason", "") if skip else ""
                self._outcomes[item.nodeid] = ("skipped", reason or LEFT_OUT)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        report = yield
        self._remember(item)
        if report.nodeid in self._items:
            self._add(report)
        if report.when == "call":
            outcome = {"test": report.nodeid, "outcome": report.outcome}
            self._recorded += [{**outcome, "name": name, "value": value} for name, value in report.user_properties]
        return report

    def pytest_sessionfinish(self) -> None:
        software = {name: version for name in SOFTWARE if (version := _version(name))}
        covered = [
            {"item": text, "test": test, "outcome": self._outcomes[test][0], "reason": self._outcomes[test][1]}
            for test, texts in sorted(self._items.items())
            for text in texts
            if test in self._outcomes
        ]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        result = {
            "software": {"python": platform.python_version(), **software},
            "covered": covered,
            "recorded": self._recorded,
        }
        self._path.write_text(json.dumps(result, indent=1) + "\n")

    def _remember(self, item: pytest.Item) -> None:
        texts = [text for mark in item.iter_markers("covers") for text in mark.args]
        if texts:
            self._items[item.nodeid] = texts

    def _add(self, report: pytest.TestReport) -> None:
        """A test has passed if its body has, and neither its setup nor its teardown failed."""
        before = self._outcomes.get(report.nodeid, ("", ""))
        if report.outcome == "failed" or before[0] == "failed":
            self._outcomes[report.nodeid] = ("failed", "")
        elif report.outcome == "skipped":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
            self._outcomes[report.nodeid] = ("skipped", reason.removeprefix("Skipped: "))
        elif report.when == "call":
            self._outcomes[report.nodeid] = ("passed", "")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


# ---- A program ----


def join(parts: Path = PARTS, results: Iterable[Path] = RESULTS) -> None:
    """Joins what the parts of each stack have shown into its results: what one leaves out, another may have run."""
    for path in results:
        stack = path.stem.removeprefix("coverage-")
        found = [json.loads(part.read_text()) for part in sorted(parts.glob(f"{stack}*.json"))]
        if found:
            path.write_text(json.dumps(joined(found), indent=1) + "\n")


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several runs on one stack have shown; a test that was in several of them has the worst of its outcomes."""
    worst: dict[tuple[str, str], dict[str, str]] = {}
    for row in (row for part in parts for row in part["covered"]):
        key = row["test"], row["item"]
        if key not in worst or _badness(row) > _badness(worst[key]):
            worst[key] = row
    return {
        "software": parts[0]["software"],
        "covered": [worst[key] for key in sorted(worst)],
        "recorded": [row for part in parts for row in part["recorded"]],
    }


def _badness(row: Mapping[str, str]) -> int:
    if row["outcome"] == "skipped":
        return 0 if row["reason"] == LEFT_OUT else 1
    return 3 if row["outcome"] == "failed" else 2


@dataclasses.dataclass(frozen=True)
class Stack:
    """The results of one stack.

    Attributes:
      software: Versions by the package's name.
      outcomes: By item, then by test without its parameters: each parameter's outcome and reason.
      of_modules: Whether these are the results of PyTorch's modules, and not of Keras.
    """

    software: dict[str, str]
    outcomes: dict[str, dict[str, list[tuple[str, str]]]]
    of_modules: bool = False

    @classmethod
    def read(cls, path: Path, items: Iterable[str], of_modules: bool = False) -> Stack:
        """Reads what the plugin wrote.

        Args:
          path: The results of one environment.
          items: All of them.
          of_modules: Whether to take the tests of PyTorch's modules; else it takes all others.

        Raises:
          FileNotFoundError: There is no such file.
          ValueError: A test covers what is no item.
        """
        if not path.exists():
            raise FileNotFoundError(
                f"there are no results in {path.relative_to(ROOT)}; run `make test` and `make test-long` first."
            )
        result = json.loads(path.read_text())
        outcomes: dict[str, dict[str, list[tuple[str, str]]]] = {item: {} for item in items}
        for row in result["covered"]:
            if row["item"] not in outcomes:
                raise ValueError(f"{row['test']} covers {row['item']!r}, which is no line of {ITEMS.name}.")
            test = row["test"].partition("[")[0]
            if test.startswith(OF_MODULES) == of_modules:
                outcomes[row["item"]].setdefault(test, []).append((row["outcome"], row["reason"]))
        return cls(result["software"], outcomes, of_modules)

    @property
    def backend(self) -> str:
        """What computes Keras models in place of TensorFlow; empty where TensorFlow does, or there are none."""
        return stack_name(self.software) if not (_tensorflow(self.software) or self.of_modules) else ""

    def name(self) -> str:
        """What heads its column."""
        return f"{stack_name(self.software)}, modules" if self.of_modules else stack_name(self.software)

    def is_tensorflows(self, item: str) -> bool:
        """Whether all of the item's tests are of what TensorFlow alone has, and were skipped for that."""
        found = [result for of_test in self.outcomes[item].values() for result in of_test]
        return bool(found) and all(outcome == "skipped" and why.startswith(ITS_OWN) for outcome, why in found)

    def cell(self, item: str) -> str:
        """What became of the item's tests."""
        results = [result for of_test in self.outcomes[item].values() for result in of_test]
        outcomes = {outcome for outcome, _ in results}
        reasons = "; ".join(dict.fromkeys(reason for outcome, reason in results if outcome == "skipped"))
        if "failed" in outcomes:
            return "**failed**"
        if not outcomes:
            return self._why_none(item)
        if outcomes == {"skipped"}:
            return f"skipped: {reasons}"
        return f"passed, in part skipped: {reasons}" if reasons else "passed"

    def _why_none(self, item: str) -> str:
        """Why no test covers an item."""
        if (self.backend or self.of_modules) and OF_TENSORFLOW.match(item):
            return ITS_OWN
        reasons = (why for why, pattern in NOT_OF_MODULES.items() if pattern.match(item))
        return next(reasons, "not covered yet") if self.of_modules else "not covered yet"


def stack_name(software: Mapping[str, str]) -> str:
    """What a stack is called, by the versions of its packages."""
    for name, version in (("TensorFlow", _tensorflow(software)), *((n, software.get(k, "")) for n, k in _OTHERS)):
        if version:
            return f"{name} {'.'.join(version.split('.')[:2])}"
    return "TensorFlow "


_OTHERS = (("JAX", "jax"), ("PyTorch", "torch"))


def _tensorflow(software: Mapping[str, str]) -> str:
    return software.get("tensorflow") or software.get("tensorflow-cpu", "")


def compared(items: Sequence[str], stacks: Sequence[Stack]) -> list[str]:
    """How much of what holds with Keras on TensorFlow holds on each other backend, and the rest by name."""
    on_tensorflow = next((stack for stack in stacks if not (stack.backend or stack.of_modules)), None)
    others = [stack for stack in stacks if stack.backend]
    if on_tensorflow is None or not others:
        return []
    name = on_tensorflow.name()
    lines = ["", "## Backends of Keras", ""]
    lines += [
        f"Items that hold on {name}, without those of graphs, sessions, Estimators, strategies and tf_keras:",
        "",
    ]
    held = [i for i in items if not OF_TENSORFLOW.match(i) and on_tensorflow.cell(i).startswith("passed")]
    for stack in others:
        cells = {item: stack.cell(item) for item in held}
        own = {item: cell for item, cell in cells.items() if stack.is_tensorflows(item)}
        rest = {item: cell for item, cell in cells.items() if item not in own and not cell.startswith("passed")}
        count, possible = len(held) - len(own) - len(rest), len(held) - len(own)
        share = 100 * count / possible if possible else 0.0
        lines.append(
            f"- {stack.name()}: {count} of {len(held)}; {share:.0f} of 100 of those that are not TensorFlow's own."
        )
        lines += [f"  - {item.partition(': ')[2]}: {cell}" for item, cell in {**rest, **own}.items()]
    return lines


def table(items: Sequence[str], stacks: Sequence[Stack]) -> str:
    """The document: a table for each section, a row for each item, a column for each stack."""
    lines = [
        "# What is covered",
        "",
        "`make test` and `make test-long` keep what became of each test that covers an item of the list in",
        "`tests/helpers/coverage_items.txt`; `make coverage` made these tables from it. Nothing is ticked by hand.",
        "",
    ]
    for stack in stacks:
        versions = ", ".join(f"{name} {version}" for name, version in stack.software.items())
        passed = sum(stack.cell(item).startswith("passed") for item in items)
        lines.append(f"- {stack.name()}: {passed} of {len(items)} passed, with {versions}.")
    for section in dict.fromkeys(item.partition(": ")[0] for item in items):
        heads = ["item", *(stack.name() for stack in stacks), "tests"]
        lines += ["", f"## {section}", "", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
        for item in (item for item in items if item.startswith(f"{section}: ")):
            tests = sorted({test for stack in stacks for test in stack.outcomes[item]})
            names = "<br>".join(f"`{_short(test)}`" for test in tests)
            cells = [item.partition(": ")[2], *(stack.cell(item) for stack in stacks), names]
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, *compared(items, stacks)]) + "\n"


def rows(document: str) -> list[str]:
    """The items that a document has rows for, in its order."""
    found, section = [], ""
    for line in document.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith(("| item |", "| --- |")):
            found.append(f"{section}: {line.split(' | ')[0].removeprefix('| ')}")
    return found


def _short(test: str) -> str:
    path, _, name = test.partition("::")
    return f"{Path(path).name}::{name}"


def main() -> None:
    items = all_items()
    join()
    try:
        stacks = [Stack.read(path, items) for path in RESULTS]
        stacks.append(Stack.read(RESULTS[-1], items, of_modules=True))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"coverage: {error}")
    TABLE.write_text(table(items, stacks))
    for stack in stacks:
        cells = [stack.cell(item) for item in items]
        print(f"{stack.name()}: {sum(c.startswith('passed') for c in cells)} of {len(items)} items passed")
    print(f"written to {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
