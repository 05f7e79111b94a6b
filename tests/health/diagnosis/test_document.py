"""docs/reports/diagnosis.md says what is so: all faults, all healthy trainings, all rules and their thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

import test_healthy  # noqa: F401
import test_planted_faults  # noqa: F401
from bed import FAULTS, HEALTHY
from diagnosis_table import DOCUMENT, NOT_FOUND, Shown, document, fault_cell, rule_in_words, threshold_rows

from tb_layerview.health.rules.catalogue import RULES

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return DOCUMENT.read_text().splitlines()


def rows_of(lines: list[str], section: str) -> dict[str, list[str]]:
    """The cells of a section's rows, by the name in the first."""
    start = lines.index(f"## {section}") + 1
    end = next((i for i in range(start, len(lines)) if lines[i].startswith("## ")), len(lines))
    rows = [line.strip("| ").split(" | ") for line in lines[start:end] if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1:] for cells in rows}


def test_it_lists_all_faults_and_says_which_of_them_are_missed(lines: list[str]) -> None:
    rows = rows_of(lines, "Planted faults")
    assert {name: cells[0] for name, cells in rows.items()} == {f.name: f.what for f in FAULTS.values()}
    missed = {name for name, cells in rows.items() if NOT_FOUND in " ".join(cells)}
    assert missed == {fault.name for fault in FAULTS.values() if fault.missed}


def test_it_lists_all_healthy_trainings_and_no_other(lines: list[str]) -> None:
    rows = rows_of(lines, "Healthy trainings")
    assert {name: cells[0] for name, cells in rows.items()} == {t.name: t.what for t in HEALTHY.values()}


def test_it_has_each_rule_with_its_formula_and_its_thresholds(lines: list[str]) -> None:
    headings = [line for line in lines if line.startswith("### ")]
    assert headings == [rule_in_words(rule)[0] for rule in RULES]
    for rule in RULES:
        words = rule_in_words(rule)
        start = lines.index(words[0])
        assert lines[start : start + len(words)] == words
        rows = [line.strip("| ").split(" | ")[:2] for line in lines[start + len(words) :]]
        assert rows[3 : 3 + len(threshold_rows(rule))] == threshold_rows(rule)


def recorded(**changed: Any) -> dict[str, Any]:
    right = [{"rule": "non_finite", "kind": "activation", "layer": "log", "since": "since step 9"}]
    fault = {"name": "f", "what": "A | B.", "layers": ["log"], "first": 9, "is_fault": True, "leads": True, "count": 1}
    return {**fault, "missed": "", "behind": "", "own": "", "rules": ["non_finite"], "right": right, **changed}


@pytest.mark.parametrize(
    ("changed", "cell"),
    [
        ({}, "`non_finite`: activation of `log`, since step 9"),
        ({"leads": False, "behind": "so"}, "`non_finite`: activation of `log`, since step 9; behind another: so"),
        ({"right": []}, NOT_FOUND),
        ({"right": [], "missed": "too hard"}, f"{NOT_FOUND}: too hard"),
        ({"is_fault": False, "count": 0, "right": []}, "nothing, rightly"),
        ({"is_fault": False, "count": 2, "right": []}, "2 findings, **wrongly**"),
    ],
)
def test_a_cell_says_what_became_of_a_fault(changed: dict[str, Any], cell: str) -> None:
    assert fault_cell(recorded(**changed)) == cell


def test_it_is_made_of_what_the_tests_recorded(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    values = [
        ("fault", recorded()),
        ("fault", recorded(name="g", right=[], leads=False, own="a graph", rules=["dead_units"])),
        ("fault", recorded(name="i", right=[], leads=False)),
        ("healthy", {"name": "h", "what": "C.", "findings": []}),
        ("edges", {"silent_units": {"share": 0.5, "patience": None}}),
    ]
    rows = [{"test": "t", "outcome": "passed", "name": name, "value": value} for name, value in values]
    file.write_text(json.dumps({"software": {"tensorflow": "2.99.1"}, "recorded": rows}))
    on_jax = tmp_path / "on_jax.json"
    others = [{"name": "fault", "value": recorded(leads=False, behind="so")}, *rows[3:]]
    on_jax.write_text(json.dumps({"software": {"jax": "0.9.2"}, "recorded": others}))
    lines = document([Shown.read(file), Shown.read(on_jax)]).splitlines()
    assert (
        "- TensorFlow 2.99: 1 of 3 faults found, 1 of them lead the report; no findings in 1 healthy trainings."
        in lines
    )
    assert "| fault | what is wrong | where | from step | TensorFlow 2.99 | JAX 0.9 |" in lines
    found = "`non_finite`: activation of `log`, since step 9"
    assert f"| `f` | A \\| B. | `log` | 9 | {found} | {found}; behind another: so |" in lines
    assert f"| `g` | A \\| B. | `log` | 9 | {NOT_FOUND} | TensorFlow's own: a graph |" in lines
    assert f"| `i` | A \\| B. | `log` | 9 | {NOT_FOUND} | not planted |" in lines
    assert "| `non_finite` | 1: `f` | behind another in 1: `f` |" in lines
    assert "| `dead_units` | behind another in 1: `g` | in none |" in lines
    assert "| `h` | C. | none | none |" in lines
    assert "| `share` | 0.9 | 0.5 | 0.5 |" in lines and "| `patience` | 10 | never | never |" in lines
    file.write_text(json.dumps({"software": {}, "recorded": rows[:4]}))
    with pytest.raises(ValueError, match=r"results\.json holds nothing of edges"):
        Shown.read(file)
    with pytest.raises(FileNotFoundError, match="run `make test` and `make test-long` first"):
        Shown.read(tmp_path / "none.json")
