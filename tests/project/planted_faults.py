"""One-line faults all over the project, each with the test that catches it.

Each is a slip that a programmer may well make: a wrong sign, a wrong end, `<=` for `<`, a copy that is missing, an
order that is swapped. `python tests/project/planted_faults.py` copies the tracked files to a temporary folder, plants
one fault there at a time, runs its test by itself, which has to fail, takes the fault back, and runs the test again,
which has to pass. Only tests of `make test` count, none of the long ones. A fault whose line is not there exactly once
is an error, and so is a test that is not found, is skipped, or breaks before it tells anything.

It prints a table, and its exit status is 1 if a fault was not caught, 2 if there was an error. `--only 3 7` plants the
third and the seventh alone; `--list` sees whether all can be planted, and plants none.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
FRONT_END = "tb_layerview_frontend"
SECONDS = 300  # that a test may take

Stack = Literal["modern", "estimator", "front end"]
PYTHONS = {"modern": ".venv/bin/python", "estimator": ".venv-estimator/bin/python"}

#: Where the faults are planted: what there is to change when a module moves. Tests are found by their names.
FILES = {
    "options": "tb_layerview/options.py",
    "arrays": "tb_layerview/format/arrays.py",
    "histogram": "tb_layerview/format/histogram.py",
    "framing": "tb_layerview/format/framing.py",
    "host": "tb_layerview/measure/host.py",
    "merging measurements": "tb_layerview/measure/merge.py",
    "device kernel": "tb_layerview/measure/tf/kernel.py",
    "rules of weights": "tb_layerview/health/rules/weights.py",
    "causes": "tb_layerview/health/causes.py",
    "connections": "tb_layerview/health/connections.py",
    "plan": "tb_layerview/writing/plan.py",
    "log files": "tb_layerview/writing/log_files.py",
    "unchanged state": "tb_layerview/capture/keras/tf/unchanged.py",
    "update of a step": "tb_layerview/capture/keras/tf/updates.py",
    "first batch": "tb_layerview/capture/keras/tf/first_batch.py",
    "search": "tb_layerview/capture/graph/search/tensors.py",
    "branches": "tb_layerview/capture/graph/search/branches.py",
    "event files": "tb_layerview/reading/event_file.py",
    "merging writers": "tb_layerview/reading/merge.py",
    "answers": "tb_layerview/serving/answers.py",
    "check command": "tb_layerview/commands/check.py",
    "colour": f"{FRONT_END}/src/kit/colour.js",
    "axis": f"{FRONT_END}/src/kit/axis.js",
    "findings in words": f"{FRONT_END}/src/findings/words.js",
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """A slip of a programmer.

    Attributes:
      room: The part of the project that it is in.
      place: Its file, as a key of `FILES`.
      slip: What is wrong, in words.
      right: A piece of one line that the file has exactly once.
      wrong: What stands there with the fault.
      test: The function that catches it, with its parameters if one of them does (`test_this[1-2]`); of the front end
        the whole name, as `vitest -t` takes it: what it is nested in, then its own.
      stack: Where the test is run.
    """

    room: str
    place: str
    slip: str
    right: str
    wrong: str
    test: str
    stack: Stack = "modern"


FAULTS = (
    Fault(
        "options",
        "options",
        "the ladder thins out an octave too early",
        "(1 << (step.bit_length() - 1)) // per_octave",
        "(1 << step.bit_length()) // per_octave",
        "test_the_ladder_logs_527_of_10_000_steps_and_about_740_of_100_000",
    ),
    Fault(
        "format",
        "arrays",
        "float16 is scaled to its small end, where it has few digits",
        "int(np.frexp(largest)[1]) - _LARGEST",
        "int(np.frexp(largest)[1]) + _LARGEST",
        "test_values_come_back_with_the_precision_that_is_promised[float16]",
    ),
    Fault(
        "format",
        "histogram",
        "the cells below zero stand in the order of their size",
        "np.concatenate([negative[:0:-1], positive[:1]",
        "np.concatenate([negative[1:], positive[:1]",
        "test_every_bin_counts_exactly_what_lies_between_its_edges",
    ),
    Fault(
        "format",
        "framing",
        "the checksum is rotated the other way, by writer and reader alike",
        "(crc >> 15) | (crc << 17)",
        "(crc >> 17) | (crc << 15)",
        "test_runs_lists_runs_by_the_folder_that_was_given",
    ),
    Fault(
        "measure",
        "host",
        "the power of two that keeps squares in range is multiplied by, not divided",
        "np.ldexp(values, -exponent) if exponent else values",
        "np.ldexp(values, exponent) if exponent else values",
        "test_float64_at_the_ends_of_its_range_keeps_its_moments[1e+300]",
    ),
    Fault(
        "measure",
        "merging measurements",
        "NaN of one batch hides the other's peak",
        "peak=np.fmax(one.peak, other.peak)",
        "peak=np.maximum(one.peak, other.peak)",
        "test_merged_units_are_those_of_the_concatenated_batches",
    ),
    Fault(
        "measure",
        "device kernel",
        "-0 counts as negative",
        "counts[_HALF + 1 : _HALF + _END]",
        "counts[_HALF : _HALF + _END]",
        "test_statistics_units_and_quantiles_equal_numpys[negative zero-one block-float32]",
    ),
    Fault(
        "health",
        "rules of weights",
        "a weight that came to rest is told, and one that never moved is not",
        'others_move | ~(evidence.largest_before("update_ratio") >= self.least)',
        'others_move | (evidence.largest_before("update_ratio") >= self.least)',
        "test_a_weight_that_never_moved_is_found_and_one_that_came_to_rest_is_not",
    ),
    Fault(
        "health",
        "causes",
        "warnings come before errors and their causes",
        "(roots[i] not in with_errors, i)",
        "(roots[i] in with_errors, i)",
        "test_what_is_large_and_grows_no_more_is_not_why_something_overflows",
    ),
    Fault(
        "health",
        "connections",
        "gradients are followed forward",
        "for before, after in reversed(self.forward_links)",
        "for before, after in self.forward_links",
        "test_what_grows_a_little_in_each_of_many_layers_is_named_where_it_is_too_much",
    ),
    Fault(
        "writing",
        "plan",
        "what a halving has freed is spent on what no longer fits",
        "plan._with_rate(part, 1).bytes <= room",
        "plan.bytes <= room",
        "test_the_plan_holds_the_cap_for_the_whole_ladder",
    ),
    Fault(
        "writing",
        "log files",
        "the event is there before the payload that it refers to",
        "self._payload.flush()",
        "pass",
        "test_a_step_is_on_disk_when_write_returns_even_if_the_process_is_killed",
    ),
    Fault(
        "capture keras",
        "unchanged state",
        "Keras' counts of names are kept without a copy of them",
        "return value.copy() if isinstance(value, dict) else value",
        "return value",
        "test_names_and_unseeded_random_numbers_go_on_as_if_nothing_had_been",
    ),
    Fault(
        "capture keras",
        "update of a step",
        "the change is taken backwards",
        "as_difference(after) - as_difference(before)",
        "as_difference(before) - as_difference(after)",
        "test_an_update_is_the_change_over_exactly_one_step[1-wide]",
    ),
    Fault(
        "capture keras",
        "first batch",
        "the batches of an execution are handed on in reverse",
        "one.concatenate(other)",
        "other.concatenate(one)",
        "test_several_steps_per_execution_have_all_their_sparse_batches",
        "estimator",
    ),
    Fault(
        "capture graph",
        "search",
        "axes are transposed the inverse way",
        "return (0, *range(2, rank), 1)",
        "return (0, rank - 1, *range(1, rank - 1))",
        "test_channels_that_stand_second_are_put_last",
        "estimator",
    ),
    Fault(
        "capture graph",
        "branches",
        "a condition that is true takes the second branch",
        "tf.where(tf.cast(chosen, tf.bool), 0, 1)",
        "tf.where(tf.cast(chosen, tf.bool), 1, 0)",
        "test_a_branch_that_is_never_taken_has_no_activation_at_any_step",
        "estimator",
    ),
    Fault(
        "reading",
        "event files",
        "the checksum behind a record is not counted",
        "at += length + TAIL_SIZE",
        "at += length",
        "test_what_comes_after_a_damaged_length_is_not_read_and_said",
    ),
    Fault(
        "reading",
        "merging writers",
        "only the next writer hides what an earlier one has logged",
        "min([end, *rows[rows[:, 1] == i, 0].tolist()])",
        "min(rows[rows[:, 1] == i, 0].tolist(), default=end)",
        "test_any_order_of_restarts_gives_what_replaying_them_would",
    ),
    Fault(
        "serving",
        "answers",
        "of the earlier steps with values the first is taken, not the last",
        "near = earlier[-1:] if len(earlier)",
        "near = earlier[:1] if len(earlier)",
        "test_values_step_is_the_latest_before_else_the_first_after",
    ),
    Fault(
        "commands",
        "check command",
        "the exit status is of the runs' names, not of what was found",
        "any(found.values())",
        "any(found)",
        "test_the_command_prints_what_went_wrong_and_ends_so",
    ),
    Fault(
        "front end",
        "colour",
        "NaN is looked for by a comparison that nothing passes",
        "if (value !== value) return NAN;",
        "if (value === NaN) return NAN;",
        "levels of what is not finite are of their own",
        "front end",
    ),
    Fault(
        "front end",
        "axis",
        "of two steps that are equally near the later is taken",
        "steps[low + 1] - step < Math.abs(step - steps[low])",
        "steps[low + 1] - step <= Math.abs(step - steps[low])",
        "the nearest step is found, the earlier of two that are equally near",
        "front end",
    ),
    Fault(
        "front end",
        "findings in words",
        "what follows from the first finding counts as a cause, as its index is 0",
        "const causes = findings.filter(({ follows }) => follows === null).length;",
        "const causes = findings.filter(({ follows }) => !follows).length;",
        "causes of one rule stand together, each with what follows from it",
        "front end",
    ),
)


class PlantingError(Exception):
    """A fault cannot be planted, or its test cannot be run as it is meant to be; says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", type=int, nargs="+", metavar="N", help="plant these faults alone, by number from 1 on"
    )
    parser.add_argument("--list", action="store_true", help="see whether all can be planted, and plant none")
    given = parser.parse_args(arguments)
    numbers = given.only or range(1, len(FAULTS) + 1)
    if not all(1 <= number <= len(FAULTS) for number in numbers):
        parser.error(f"the faults are numbered from 1 to {len(FAULTS)}")
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder)
        try:
            copy_tree(copy)
            misplaced = [text for fault in FAULTS for text in problems(copy, fault)]
            if misplaced:
                raise PlantingError("\n".join(misplaced))
            rows = [(number, FAULTS[number - 1], None if given.list else is_caught(copy, number)) for number in numbers]
        except PlantingError as error:
            print(error, file=sys.stderr)
            return 2
    print(table(rows))
    caught = [known for _, _, known in rows if known is not None]
    if caught:
        print(f"\n{sum(caught)} of {len(caught)} caught.")
    return 0 if all(caught) else 1


def copy_tree(to: Path) -> None:
    """Copies the tracked files as they are in the working tree; links the packages that the front end's tests need."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    packages = ROOT / FRONT_END / "node_modules"
    if packages.is_dir():
        (to / FRONT_END / "node_modules").symlink_to(packages.resolve())


def problems(copy: Path, fault: Fault) -> list[str]:
    """Why a fault cannot be planted or its test not be found, in sentences."""
    path = copy / FILES[fault.place]
    if not path.is_file():
        return [f"{FILES[fault.place]!r} ({fault.place}) is not there: say in FILES where it has gone"]
    count = path.read_text(encoding="utf-8").count(fault.right)
    found = [] if count == 1 else [f"{fault.right!r} is {count} times in {FILES[fault.place]}, not once"]
    if fault.stack == "front end":
        return found
    try:
        file_of(copy, fault.test)
    except PlantingError as error:
        found.append(str(error))
    return found


def file_of(copy: Path, test: str) -> Path:
    """The one file anywhere below `tests/` that has this test."""
    name = test.partition("[")[0]
    defined = re.compile(rf"^def {name}\(", re.MULTILINE)
    files = [path for path in (copy / "tests").rglob("test_*.py") if defined.search(path.read_text(encoding="utf-8"))]
    if len(files) != 1:
        raise PlantingError(f"{name} is in {len(files)} files below tests/, not in one")
    return files[0]


def is_caught(copy: Path, number: int) -> bool:
    """Whether a fault's test fails with the fault; that it passes without it is made sure of."""
    fault = FAULTS[number - 1]
    path, began = copy / FILES[fault.place], time.monotonic()
    run = run_vitest if fault.stack == "front end" else run_pytest
    as_it_is = path.read_bytes()
    try:
        path.write_bytes(as_it_is.replace(fault.right.encode(), fault.wrong.encode()))
        caught, planted = run(copy, fault)
    finally:
        path.write_bytes(as_it_is)
    fails, without = run(copy, fault)
    if fails:
        raise PlantingError(f"fault {number}: {fault.test} fails without the fault, too:\n{without}")
    print(
        f"{number:2} {'caught' if caught else 'NOT CAUGHT'} in {time.monotonic() - began:.0f} s: "
        f"{fault.slip}\n{planted if not caught else ''}",
        file=sys.stderr,
        end="",
        flush=True,
    )
    return caught


def run_pytest(copy: Path, fault: Fault) -> tuple[bool, str]:
    """Runs a test of Python; returns whether it failed, and what was printed.

    Raises:
      PlantingError: It did not come to pass or fail.
    """
    python = ROOT / PYTHONS[fault.stack]
    if not python.exists():
        raise PlantingError(f"{PYTHONS[fault.stack]} is not there: `make test` sets it up")
    # Files are written twice within a second: no compiled ones are kept, which could be those of the other writing.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    loaded = "import tb_layerview; print(tb_layerview.__file__)"
    where = subprocess.run([python, "-c", loaded], cwd=copy, env=environment, capture_output=True, text=True).stdout
    if where and copy.resolve() not in Path(where.strip()).resolve().parents:
        raise PlantingError(f"{PYTHONS[fault.stack]} loads the package from {where.strip()}, not from the copy")
    _, bracket, parameters = fault.test.partition("[")
    path = file_of(copy, fault.test)
    name = f"{path.relative_to(copy)}::{fault.test.partition('[')[0]}{bracket}{parameters}"
    report = copy / "report.xml"
    report.unlink(missing_ok=True)
    options = ["-q", "-m", "not long", "-p", "no:cacheprovider", "--tb=short", f"--junitxml={report}"]
    printed = _run([str(python), "-m", "pytest", *options, name], copy, environment)
    if not report.is_file():
        raise PlantingError(f"{name} was not run:\n{printed}")
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
        counts = {key: count + int(suite.attrib[key]) for key, count in counts.items()}
    if counts["errors"] or counts["tests"] <= counts["skipped"]:
        raise PlantingError(f"{name} did not come to pass or fail:\n{printed}")
    return counts["failures"] > 0, printed


def run_vitest(copy: Path, fault: Fault) -> tuple[bool, str]:
    """Runs a test of the front end; returns whether it failed, and what was printed.

    Raises:
      PlantingError: It did not come to pass or fail.
    """
    folder, report = copy / FRONT_END, copy / "report.json"
    vitest, node = folder / "node_modules" / "vitest" / "vitest.mjs", shutil.which("node")
    if node is None or not vitest.is_file():
        raise PlantingError(
            f"{FRONT_END} has no packages, or there is no Node on the PATH: `make frontend` installs them"
        )
    report.unlink(missing_ok=True)
    options = ["-t", f"^{re.escape(fault.test)}$", "--reporter=json", f"--outputFile={report}"]
    printed = _run([node, str(vitest), "run", *options], folder, dict(os.environ))
    if not report.is_file():
        raise PlantingError(f"{fault.test!r} was not run:\n{printed}")
    counts = json.loads(report.read_text(encoding="utf-8"))
    if counts["numPassedTests"] + counts["numFailedTests"] != 1:
        raise PlantingError(f"{fault.test!r} is not the name of one test, or did not run:\n{printed}")
    return counts["numFailedTests"] == 1, printed


def _run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> str:
    """What a command prints, both ways."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise PlantingError(f"{' '.join(command)} took longer than {SECONDS} s") from None
    return done.stdout + done.stderr


def table(rows: Sequence[tuple[int, Fault, bool | None]]) -> str:
    """The faults as a table of Markdown, with what became of them if they were planted."""
    lines = ["| | in | fault | instead of | stands | caught by | stack | |", "|-:|-|-|-|-|-|-|-|"]
    words = {True: "caught", False: "**not caught**", None: ""}
    for number, fault, caught in rows:
        code = [f"`` {text} ``".replace("|", "\\|") for text in (fault.right, fault.wrong)]
        where = f"{fault.room}: `{Path(FILES[fault.place]).name}`"
        cells = [str(number), where, fault.slip, *code, f"`{fault.test}`", fault.stack, words[caught]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
