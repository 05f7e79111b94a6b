"""The table of what is covered comes from what the tests did, and from nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import coverage_table
import pytest
from coverage_table import Stack
from places import TESTS, environment

pytestmark = pytest.mark.once

ITEMS = coverage_table.all_items()

A_SUITE = """
import pytest

@pytest.mark.covers("A: works")
@pytest.mark.parametrize("number", [1, 2])
def test_that_passes(number):
    pass

@pytest.mark.covers("A: works")
def test_that_passes_too():
    pass

@pytest.mark.covers("A: broken")
def test_that_fails():
    assert False

@pytest.mark.covers("A: broken")
def test_that_passes_beside_it():
    pass

@pytest.fixture
def bad_end():
    yield
    raise RuntimeError

@pytest.mark.covers("A: broken at the end")
def test_whose_teardown_fails(bad_end):
    pass

@pytest.mark.covers("A: skipped")
@pytest.mark.skip(reason="no moon")
def test_that_is_skipped_by_its_mark():
    pass

@pytest.mark.covers("A: skipped")
def test_that_skips_itself():
    pytest.skip("no sun")

@pytest.mark.covers("A: in part")
@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.skip(reason="no stars"))])
def test_in_part(number):
    pass

@pytest.mark.slow
@pytest.mark.covers("A: left out")
def test_that_is_left_out():
    pass

@pytest.mark.parametrize("what", [pytest.param(1, marks=pytest.mark.covers("B: by a parameter")), 2])
def test_of_which_one_parameter_covers(what):
    assert what == 1

def test_that_covers_nothing():
    pass
"""
SUITE_ITEMS = [
    *(f"A: {name}" for name in ("works", "broken", "broken at the end", "skipped", "in part", "left out")),
    "B: by a parameter",
    "B: nobody covers this",
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The results of a small suite that really runs."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_suite.py").write_text(A_SUITE)
    (folder / "conftest.py").write_text('pytest_plugins = ["coverage_table"]\n')
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nmarkers = slow\n")
    results = folder / "made" / "results.json"
    variables = environment(PYTEST_ADDOPTS="")
    command = [sys.executable, "-m", "pytest", "-m", "not slow", f"--coverage-results={results}"]
    ended = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return Stack.read(results, SUITE_ITEMS)


@pytest.mark.parametrize(
    ("item", "cell"),
    [
        ("A: works", "passed"),
        ("A: broken", "**failed**"),
        ("A: broken at the end", "**failed**"),
        ("A: skipped", "skipped: no moon; no sun"),
        ("A: in part", "passed, in part skipped: no stars"),
        ("A: left out", "skipped: left out of this run"),
        ("B: by a parameter", "passed"),
        ("B: nobody covers this", "not covered yet"),
    ],
)
def test_a_cell_says_what_became_of_the_items_tests(stack: Stack, item: str, cell: str) -> None:
    assert stack.cell(item) == cell


def test_a_row_names_each_test_once_and_stands_under_its_section(stack: Stack) -> None:
    document = coverage_table.table(SUITE_ITEMS, [stack, stack])
    assert coverage_table.rows(document) == SUITE_ITEMS
    names = "`test_suite.py::test_that_passes`<br>`test_suite.py::test_that_passes_too`"
    assert f"| works | passed | passed | {names} |" in document.splitlines()
    assert f"{stack.name()}: 3 of 8 passed" in document
    assert "test_that_covers_nothing" not in document


def test_a_test_that_covers_what_is_not_on_the_list_is_an_error(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(
        '{"software": {}, "covered": [{"item": "C: new", "test": "t.py::t", "outcome": "passed", "reason": ""}]}'
    )
    with pytest.raises(ValueError, match=r"t\.py::t covers 'C: new', which is no line of coverage_items\.txt"):
        Stack.read(tmp_path / "results.json", SUITE_ITEMS)


def test_what_one_part_leaves_out_another_has_run_and_the_worst_counts(tmp_path: Path) -> None:
    left_out, missing = ("skipped", coverage_table.LEFT_OUT), ("skipped", "no moon")
    passed, failed = ("passed", ""), ("failed", "")

    def part(name: str, value: int, **outcomes: tuple[str, str]) -> None:
        covered = [
            {"item": f"A: {item}", "test": f"t.py::{item}", "outcome": outcome, "reason": reason}
            for item, (outcome, reason) in outcomes.items()
        ]
        recorded = [{"name": "n", "value": value}]
        (tmp_path / name).write_text(json.dumps({"software": {}, "covered": covered, "recorded": recorded}))

    part("modern.json", 1, works=passed, broken=passed, skipped=left_out, in_part=missing, never=left_out)
    part("modern-long.json", 2, works=left_out, broken=failed, skipped=missing, in_part=passed, never=left_out)
    part("estimator.json", 3, works=failed)
    coverage_table.join(tmp_path, [tmp_path / "coverage-modern.json", tmp_path / "coverage-none.json"])

    items = [f"A: {name}" for name in ("works", "broken", "skipped", "in_part", "never")]
    stack = Stack.read(tmp_path / "coverage-modern.json", items)
    cells = ["passed", "**failed**", "skipped: no moon", "passed", f"skipped: {coverage_table.LEFT_OUT}"]
    assert [stack.cell(item) for item in items] == cells
    recorded = json.loads((tmp_path / "coverage-modern.json").read_text())["recorded"]
    assert sorted(row["value"] for row in recorded) == [1, 2]
    assert not (tmp_path / "coverage-none.json").exists()


def test_what_holds_on_tensorflow_is_compared_with_the_other_backends_by_name() -> None:
    """Graphs, Estimators and what is TensorFlow's own are not held against a backend."""
    items = ["Keras: one", "Keras: two", "Keras: three", "Keras: text", "Keras: four", "Graph: five", "What: a hook"]
    passed, its_own = [("passed", "")], [("skipped", f"{coverage_table.ITS_OWN}: strings")]

    def stack(package: str, **outcomes: list[tuple[str, str]]) -> Stack:
        found = {item: outcomes.get(item.partition(": ")[2], passed) for item in items}
        by_item = {item: {"t.py::t": outcome} if outcome else {} for item, outcome in found.items()}
        return Stack({package: "2.3.4", "keras": "3.0"}, by_item)

    tensorflow = stack("tensorflow-cpu", four=[("failed", "")])
    jax = stack("jax", two=[("skipped", "no moon")], three=[("failed", "")], text=its_own, five=[], **{"a hook": []})
    lines = coverage_table.compared(items, [tensorflow, jax])
    assert lines[5:] == [
        "- JAX 2.3: 1 of 4; 33 of 100 of those that are not TensorFlow's own.",
        "  - two: skipped: no moon",
        "  - three: **failed**",
        "  - text: skipped: TensorFlow's own: strings",
    ]
    assert (jax.cell("Graph: five"), jax.cell("What: a hook")) == (coverage_table.ITS_OWN,) * 2
    assert coverage_table.compared(items, [tensorflow]) == []
    assert coverage_table.rows(coverage_table.table(items, [tensorflow, jax])) == sorted(items, key=items.index)


def test_pytorchs_modules_have_a_column_of_their_own_by_the_folder_of_their_tests(tmp_path: Path) -> None:
    items = ["Keras: one", "Keras: two", "Keras: Lambda", "Keras: model.predict", "Graph: three", "Keras: four"]
    tests = {
        "Keras: one": ["tests/capture/torch/test_a.py::test_a[1]", "tests/capture/keras/torch/test_b.py::test_b"],
        "Keras: two": ["tests/capture/keras/torch/test_b.py::test_b"],
    }
    covered = [
        {"item": item, "test": test, "outcome": "failed" if "keras" in test else "passed", "reason": ""}
        for item, of_item in tests.items()
        for test in of_item
    ]
    path = tmp_path / "torch.json"
    path.write_text(json.dumps({"software": {"torch": "2.13.0"}, "covered": covered, "recorded": []}))
    keras, modules = (Stack.read(path, items, of_modules=is_so) for is_so in (False, True))
    assert (keras.name(), modules.name()) == ("PyTorch 2.13", "PyTorch 2.13, modules")
    assert [keras.cell(item) for item in items[:2]] == ["**failed**"] * 2
    own = ["Keras' own", "its loop is one's own", coverage_table.ITS_OWN]
    assert [modules.cell(item) for item in items] == ["passed", "not covered yet", *own, "not covered yet"]
    # They are no backend of Keras, and not held against one.
    on_tensorflow = Stack({"tensorflow": "2.21.0"}, {item: {"t.py::t": [("passed", "")]} for item in items})
    lines = "\n".join(coverage_table.compared(items, [on_tensorflow, keras, modules]))
    assert "- PyTorch 2.13: " in lines and "modules" not in lines
    assert "| one | **failed** | passed | `test_b.py::test_b`<br>`test_a.py::test_a` |" in coverage_table.table(
        items, [keras, modules]
    )


def test_each_reason_why_an_item_has_no_part_in_modules_is_of_some_item() -> None:
    for reason, pattern in coverage_table.NOT_OF_MODULES.items():
        assert [item for item in ITEMS if pattern.match(item)], reason


@pytest.mark.parametrize(
    ("text", "message"),
    [("# a remark\nno section\n", "'no section' is not of the form"), ("A: b\n\nA: b\n", "'A: b' stands there twice")],
)
def test_a_list_of_items_that_is_wrong_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "items.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        coverage_table.all_items(tmp_path / "items.txt")


def marked(source: str) -> list[str]:
    """The texts of all marks `covers` in a module; what is no plain text comes as its code."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    texts = (arg for call in calls if ast.unparse(call.func) == "pytest.mark.covers" for arg in call.args)
    return [str(text.value) if isinstance(text, ast.Constant) else ast.unparse(text) for text in texts]


def test_what_tests_say_that_they_cover_is_on_the_list() -> None:
    found = {text: path.name for path in TESTS.rglob("test_*.py") for text in marked(path.read_text())}
    assert {text: file for text, file in found.items() if text not in ITEMS} == {}
    assert len(found) > 20
    # What is marked in other ways is seen when the table is made.
    assert marked('@pytest.mark.covers("A: b", name)\ndef test(): pass') == ["A: b", "name"]


def test_the_table_has_a_row_for_each_item() -> None:
    assert coverage_table.rows(coverage_table.TABLE.read_text()) == ITEMS
