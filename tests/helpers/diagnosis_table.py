"""docs/reports/diagnosis.md: what the rules find in planted faults and healthy trainings, and where thresholds stand.

`python tests/helpers/diagnosis_table.py` makes it from what the tests in tests/health/diagnosis recorded, by the files
of `pytest --coverage-results=FILE`, and from the rules themselves.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coverage_table import RESULTS, ROOT, join, stack_name

from tb_layerview.health.rules.catalogue import RULES, Rule, thresholds

DOCUMENT = ROOT / "docs" / "reports" / "diagnosis.md"
NOT_FOUND = "**not found**"


@dataclasses.dataclass(frozen=True)
class Shown:
    """What one stack's tests have shown.

    Attributes:
      name: The stack's name.
      is_tensorflow: Whether TensorFlow computes; else another backend of Keras does.
      faults: What was recorded of each fault, by its name.
      healthy: What was recorded of each healthy training, by its name.
      edges: By rule and threshold the value from which on the rule finds something in a healthy training, or None.
    """

    name: str
    is_tensorflow: bool
    faults: Mapping[str, Mapping[str, Any]]
    healthy: Mapping[str, Mapping[str, Any]]
    edges: Mapping[str, Mapping[str, float | None]]

    @classmethod
    def read(cls, path: Path) -> Shown:
        """What stands in the file that `pytest --coverage-results` wrote.

        Raises:
          FileNotFoundError: There is no such file.
          ValueError: Not all of tests/health/diagnosis was run.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: run `make test` and `make test-long` first.")
        result = json.loads(path.read_text())
        recorded: dict[str, list[Any]] = {"fault": [], "healthy": [], "edges": []}
        for row in result["recorded"]:
            if row["name"] in recorded:
                recorded[row["name"]].append(row["value"])
        missing = [name for name, values in recorded.items() if not values]
        if missing:
            raise ValueError(f"{path.name} holds nothing of {', '.join(missing)}: run all of tests/health/diagnosis.")
        by_name = ({value["name"]: value for value in recorded[name]} for name in ("fault", "healthy"))
        name = stack_name(result["software"])
        return cls(name, name.startswith("TensorFlow"), *by_name, recorded["edges"][0])


def document(shown: Sequence[Shown], rules: Sequence[Rule] = RULES) -> str:
    """The whole of it."""
    lines = [
        "# What the rules find",
        "",
        "The tests in `tests/health/diagnosis` train small networks on each stack, some with a fault whose layer and",
        "first step are known, some with none. `make coverage` made this document from what the last tests have shown,",
        "and from the rules' own docstrings. Nothing in it is written by hand.",
        "",
        *(_summary(one) for one in shown),
        "",
        "## Planted faults",
        "",
        "Found is what names a right rule, the layer, the kind, and the first step to within the logging interval, and",
        "follows from nothing else. It leads the report unless something else is said. Where another backend than",
        "TensorFlow computes Keras, one fault for each rule is planted, and few more.",
        "",
        *_table(
            ["fault", "what is wrong", "where", "from step", *(one.name for one in shown)],
            (_fault_row(name, shown) for name in _names(one.faults for one in shown)),
        ),
        "",
        "## Rules and the faults that they find",
        "",
        "In how many faults of each stack a rule leads the report, or else is part of it behind another, and the first",
        "of them.",
        "",
        *_table(
            ["rule", *(one.name for one in shown)],
            ([f"`{rule.name}`", *(rule_cell(rule.name, one) for one in shown)] for rule in rules),
        ),
        "",
        "## Healthy trainings",
        "",
        *_table(
            ["training", "what is trained", *(f"findings, {one.name}" for one in shown)],
            (_healthy_row(name, shown) for name in _names(one.healthy for one in shown)),
        ),
        "",
        "## Rules and their calibration",
        "",
        "Of each threshold: its default, and the value nearest to it from which on the rule would find something in",
        "one of the healthy trainings above, the other thresholds as they are, on each stack.",
    ]
    for rule in rules:
        lines += ["", *rule_in_words(rule), ""]
        edges = [[_number(one.edges.get(rule.name, {}).get(name)) for one in shown] for name in thresholds(rule)]
        heads = ["threshold", "default", *(f"cries wolf from, {one.name}" for one in shown)]
        lines += _table(heads, ([*row, *cells] for row, cells in zip(threshold_rows(rule), edges)))
    return "\n".join(lines) + "\n"


def rule_in_words(rule: Rule) -> list[str]:
    """A rule's heading and its docstring, as the document has them."""
    text = inspect.getdoc(type(rule)) or ""
    return [f"### {rule.name} ({rule.severity})", "", "```text", *text.splitlines(), "```"]


def threshold_rows(rule: Rule) -> list[list[str]]:
    """A rule's thresholds and their defaults, as the document has them."""
    return [[f"`{name}`", f"{value:g}"] for name, value in thresholds(rule).items()]


def fault_cell(fault: Mapping[str, Any]) -> str:
    """What became of a fault."""
    if not fault["is_fault"]:
        return f"{fault['count']} findings, **wrongly**" if fault["count"] else "nothing, rightly"
    if not fault["right"]:
        return f"{NOT_FOUND}: {fault['missed']}" if fault["missed"] else NOT_FOUND
    (right,) = fault["right"]
    where = f"{right['kind']} of `{right['layer']}`, " if right["layer"] else ""
    behind = "" if fault["leads"] else f"; behind another: {fault['behind']}"
    return f"`{right['rule']}`: {where}{right['since']}{behind}"


def rule_cell(rule: str, one: Shown) -> str:
    """In which faults a rule leads the report, or else is part of it."""
    led = [f["name"] for f in one.faults.values() if f["leads"] and f["right"][0]["rule"] == rule]
    behind = [f["name"] for f in one.faults.values() if rule in f["rules"]]
    if not led and not behind:
        return "in none"
    return f"{len(led)}: `{led[0]}`" if led else f"behind another in {len(behind)}: `{behind[0]}`"


def _summary(one: Shown) -> str:
    planted = [fault for fault in one.faults.values() if fault["is_fault"]]
    found = [fault for fault in planted if fault["right"]]
    count = sum(len(training["findings"]) for training in one.healthy.values())
    return (
        f"- {one.name}: {len(found)} of {len(planted)} faults found, {sum(f['leads'] for f in found)} of them lead the "
        f"report; {count or 'no'} finding{'s' * (count != 1)} in {len(one.healthy)} healthy trainings."
    )


def _fault_row(name: str, shown: Sequence[Shown]) -> list[str]:
    fault = next(one.faults[name] for one in shown if name in one.faults)
    first = fault["first"]
    since = f"{first:,}" if isinstance(first, int) else f"{first[0]:,} to {first[1]:,}"
    where = ", ".join(f"`{layer}`" for layer in fault["layers"]) or "no layer"
    cells = [fault_cell(one.faults[name]) if name in one.faults else _why_not(fault, one) for one in shown]
    return [f"`{name}`", fault["what"], where, since if fault["is_fault"] else "", *cells]


def _why_not(fault: Mapping[str, Any], one: Shown) -> str:
    """Why a stack's tests do not plant a fault."""
    if one.is_tensorflow:
        return "does not apply"
    return f"TensorFlow's own: {fault['own']}" if fault["own"] else "not planted"


def _healthy_row(name: str, shown: Sequence[Shown]) -> list[str]:
    what = next(one.healthy[name]["what"] for one in shown if name in one.healthy)
    cells = [
        "; ".join(one.healthy[name]["findings"]) or "none" if name in one.healthy else "not trained" for one in shown
    ]
    return [f"`{name}`", what, *cells]


def _names(of_stacks: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for of_stack in of_stacks for name in of_stack))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *lines] if lines else ["It has no threshold."]


def _number(edge: float | None) -> str:
    return "never" if edge is None else f"{edge:.2g}"


def main() -> None:
    join()
    try:
        shown = [Shown.read(path) for path in RESULTS]
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"diagnosis: {error}")
    DOCUMENT.write_text(document(shown))
    for one in shown:
        print(_summary(one).removeprefix("- "))
    print(f"written to {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
