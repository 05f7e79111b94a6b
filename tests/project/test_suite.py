"""What `make test` and `make test-long` run, and what becomes of a part that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import suite
import time_left
from places import environment
from suite import Part, names, parts, run, what_failed

pytestmark = pytest.mark.once


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the parts' logs go meanwhile."""
    monkeypatch.setattr(suite, "LOGS", tmp_path / "build")
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    suite.LOGS.mkdir()
    return tmp_path / "build"


def part(name: str, program: str, **environment: str) -> Part:
    return Part(name, [sys.executable, "-c", program], environment)


def test_all_parts_run_whichever_fails_and_what_failed_is_printed(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = "print('fine'); print('=== FAILURES ==='); print('seven is', 8); raise SystemExit(1)"
    those = [
        part("first", failing),
        part("second", "import os; print(os.environ['WORD'])", WORD="yes"),
        part("x", "2/0"),
    ]
    assert run(those, 2) == {"first": 1, "second": 0, "x": 1}
    printed = capsys.readouterr().out
    assert "seven is 8" in printed and "fine" not in printed
    assert "ZeroDivisionError" in printed
    assert re.search(r"^second: passed in \d+ s: yes$", printed, re.MULTILINE)


def test_what_a_part_has_started_ends_with_the_run(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = (
        "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); import time; time.sleep(600)"
    )

    def interrupted(seconds: float) -> None:
        if (logs / "test-slow.log").read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr(suite.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([part("slow", sleeper)], 2)
    monkeypatch.undo()
    pid = int((logs / "test-slow.log").read_text())
    until = time.monotonic() + 60
    while time.monotonic() < until and _runs(pid):
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether there is such a process; one that has ended and that nobody has asked for yet does not run."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state) and not state.startswith("Z")


def test_where_pytest_says_what_failed_that_is_shown_and_else_all() -> None:
    assert what_failed("a\n====== ERRORS ======\nb\n") == "====== ERRORS ======\nb\n"
    assert what_failed("ModuleNotFoundError: numpy\n") == "ModuleNotFoundError: numpy\n"


def test_the_end_names_what_failed_in_either_language() -> None:
    pytests = "FAILED tests/a.py::test_b - assert 8 == 7\nERROR tests/c.py\nFAILED tests/a.py::test_b - assert 8 == 7\n"
    assert names(f"== FAILURES ==\nE  FAILED\n{pytests}") == pytests.splitlines()[:2]
    of_vitest = "\x1b[41m\x1b[1m FAIL \x1b[22m\x1b[49m tests/x.test.js > a filter\nFailed Tests 1\n"
    assert names(of_vitest) == ["FAIL  tests/x.test.js > a filter"]


def test_each_test_is_in_one_of_the_two_runs_on_each_stack() -> None:
    every_day, long = ({one.name: one for one in parts(is_long)} for is_long in (False, True))
    for stack in ("modern", "estimator"):
        names = [name for name in every_day if name.startswith(stack) and name != "modern-browser"]
        for name in names:
            daily, more = every_day[name].command, long[f"{name}-long"].command
            assert daily[6] == f"not {more[6]}"
            assert files_of(daily) == files_of(more)
        files = [file for name in names for file in files_of(every_day[name].command)]
        assert sorted(files) == sorted(set(suite.TESTS.rglob("test_*.py")) - set(suite.TESTS.glob("e2e/*")))


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_each_backend_of_keras_has_the_common_tests_and_its_own(framework: str) -> None:
    every_day, long = ({one.name: one for one in parts(is_long)} for is_long in (False, True))
    daily, more = every_day[framework], long[f"{framework}-long"]
    assert daily.environment["KERAS_BACKEND"] == more.environment["KERAS_BACKEND"] == framework
    assert daily.command[0] == suite.ROOT / f".venv-{framework}/bin/python"
    assert (daily.command[6], more.command[6]) == ("not long", "long")
    folder = suite.TESTS / "capture" / "keras"
    files = [*(folder / "backends").glob("test_*.py"), *(folder / framework).glob("test_*.py")]
    files += [suite.ROOT / file for file in suite.EVERYWHERE]
    files += (suite.TESTS / "capture" / framework).glob("test_*.py")
    covering = every_day[f"{framework}-options"]
    assert covering.command[6] == "not long and covers"
    kept = "JAX_COMPILATION_CACHE_DIR"  # by each part apart, as two may write at the same time
    ours, theirs = ({k: v for k, v in one.environment.items() if k != kept} for one in (covering, daily))
    assert ours == theirs
    if framework == "jax":
        assert len({one.environment[kept] for one in (covering, daily, more)}) == 3
    assert files_of(covering.command) == sorted(suite.ROOT / file for file in suite.COVERING)
    assert files_of(daily.command) == files_of(more.command) == sorted(files) != []


def files_of(command: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files of tests that a command of pytest takes its tests from."""
    words = [word for word in map(str, command) if word.startswith(("tests/", "--ignore="))]
    left_out = [suite.ROOT / word.removeprefix("--ignore=") for word in words if word.startswith("--")]
    folders = [suite.ROOT / word for word in words if not word.startswith("--")] or [suite.TESTS]
    found = [file for folder in folders for file in ([folder] if folder.is_file() else folder.rglob("test_*.py"))]
    return sorted(file for file in found if not any(file.is_relative_to(folder) for folder in left_out))


A_SUITE = """
import pytest

@pytest.mark.core("a-*", "b-2")
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("letter", ["a", "b", "c"])
def test_of_many_cases(letter, number):
    pass

@pytest.mark.long
def test_that_is_long():
    pass

def test_of_one_case():
    pass
"""


@pytest.mark.parametrize(
    ("marks", "cases"),
    [
        ("not long", ["case", "many_cases[a-1]", "many_cases[a-2]", "many_cases[b-2]"]),
        ("long", ["is_long", "many_cases[b-1]", "many_cases[c-1]", "many_cases[c-2]"]),
    ],
)
def test_cases_beyond_the_core_are_long(marks: str, cases: list[str], tmp_path: Path) -> None:
    assert collected(tmp_path, A_SUITE, marks) == cases


def test_a_core_that_names_no_case_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"test_of_many_cases: core\(a, b\) is none of a-1, a-2, b-1"):
        collected(tmp_path, A_SUITE.replace('"a-*", "b-2"', '"a", "b"'), "long")


def collected(folder: Path, source: str, marks: str) -> list[str]:
    """The ends of the names of the tests that pytest would run."""
    (folder / "test_suite.py").write_text(source)
    (folder / "conftest.py").write_text('pytest_plugins = ["core_cases"]\n')
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  long\n  core\n")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", marks]
    ended = subprocess.run(command, cwd=folder, env=environment(PYTEST_ADDOPTS=""), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return sorted(
        re.sub(r".*::test_(of_one_|of_|that_)?", "", line) for line in ended.stdout.splitlines() if "::" in line
    )


def test_what_there_is_no_time_for_is_left_out_and_counted(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"test_{name}.py").write_text("import pytest\n@pytest.fixture\ndef made():\n    assert False\n")
        with open(tmp_path / f"test_{name}.py", "a") as file:
            file.write("def test_one(made): pass\ndef test_other(): pass\n")

    def ran(end: float | None) -> str:
        variables = {} if end is None else {time_left.VARIABLE: str(end)}
        command = [sys.executable, "-m", "pytest", "-v", "-ra", "-p", "time_left", "-p", "no:cacheprovider", "."]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(**variables), capture_output=True, text=True
        ).stdout

    whole, in_time, late = ran(None), ran(time.time() // 180 * 180 + 3660), ran(time.time() - 1)
    assert "3 passed, 3 errors" in whole and time_left.left_out(whole) == 0
    assert "3 passed, 3 errors" in in_time and time_left.left_out(in_time) == 0
    assert re.findall(r"test_(.)\.py::test_other", in_time)[:3] == ["b", "c", "a"]  # a minute after three times so many
    assert "6 skipped" in late and time_left.left_out(late) == 6


def test_a_part_there_is_no_time_for_does_not_start(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(time_left.VARIABLE, str(time.time() - 1))
    assert run([part("late", "1/0")], 2) == {"late": 0}
    assert "left out" in (logs / "test-late.log").read_text()


def test_all_of_it_runs_whatever_it_begins_with() -> None:
    whole = parts(is_long=True)
    for minute in range(20):
        assert sorted(p.name for p in time_left.turned(whole, 60.0 * minute)) == sorted(p.name for p in whole)
    assert {time_left.turned(whole, 60.0 * minute)[0].name for minute in range(20)} == {p.name for p in whole}
