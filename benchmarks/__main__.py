"""Measures what logging costs and keeps, and how long the server takes: `make bench`, or `python -m benchmarks`.

Each group is measured in a process of its own, and what it found is kept in build/benchmarks, so that one group can be
measured anew. The table in docs/reports/benchmarks.md is made of all of them; what was not measured here stays in it as
it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measuring import Options, Row, line

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "reports" / "benchmarks.md"
FOUND = ROOT / "build" / "benchmarks"
# Each group: the module, its function, and a heading.
GROUPS = {
    "digest": ("digests", "rows", "Digests"),
    "step": ("logged_steps", "rows", "Logged steps"),
    "writing": ("writing_thread", "rows", "The writing thread"),
    "every": ("trainings", "every_step", "Every step logged"),
    "unlogged": ("trainings", "unlogged_step", "Steps that are not logged"),
    "setup": ("set_up", "rows", "Set-up"),
    "tables": ("tables", "rows", "Large tables"),
    "size": ("sizes", "rows", "Size"),
    "serving": ("serving", "rows", "Server"),
    "scale": ("scale", "rows", "Long runs at the server"),
    "runs": ("many_runs", "rows", "Many runs at the server"),
    "columns": ("columns", "rows", "Columns of a long run"),
    "rules": ("rules", "rows", "Rules"),
    "start": ("start_up", "rows", "Start of TensorBoard"),
    "default": ("trainings", "default_schedule", "The default schedule, callback"),
    "hook": ("trainings", "hook_on_default_schedule", "The default schedule, hook"),
    "backends": ("backends", "rows", "Keras on JAX and PyTorch"),
    "backends-default": ("backends", "default_schedule", "The default schedule, JAX and PyTorch"),
    "modules": ("modules", "rows", "Modules of PyTorch"),
    "modules-default": ("modules", "default_schedule", "The default schedule, modules of PyTorch"),
}
LONG = ("default", "hook", "backends-default", "modules-default")  # only where --minutes is given
_HEADING, _ON = "\n## ", "Measured on "


def main() -> None:
    arguments = _arguments()
    if arguments.in_process:
        _measure(arguments.only[0], _options(arguments), Path(arguments.in_process))
        return
    groups = arguments.only or [group for group in GROUPS if group not in LONG or arguments.minutes]
    FOUND.mkdir(parents=True, exist_ok=True)
    failed = []
    for group in groups:
        began = time.monotonic()
        name = f"{group}.quick.json" if arguments.quick else f"{group}.json"
        command = [sys.executable, "-m", "benchmarks", "--only", group, "--in-process", str(FOUND / name)]
        command += ["--minutes", str(arguments.minutes), "--estimator-python", arguments.estimator_python]
        if subprocess.run([*command, "--quick"] if arguments.quick else command, cwd=ROOT).returncode:
            failed.append(group)
            continue
        for row in _read(FOUND / name):
            print(f"{line(row)}", flush=True)
        print(f"({group}: {time.monotonic() - began:.0f} s)", flush=True)
    if not arguments.quick:
        TABLE.write_text(_document(TABLE.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"written: {TABLE.relative_to(ROOT)}")
    if failed:
        sys.exit(f"not measured, see above: {', '.join(failed)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="measure this group; may be repeated")
    parser.add_argument("--quick", action="store_true", help="one short round of each; writes no table")
    parser.add_argument(
        "--minutes", type=float, default=0, help=f"how long the trainings of {', '.join(LONG)} last; 0: not at all"
    )
    parser.add_argument(
        "--estimator-python",
        default=str(ROOT / ".venv-estimator" / "bin" / "python"),
        help="the Python that has tf.estimator",
    )
    parser.add_argument("--in-process", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if set(arguments.only or ()) & set(LONG) and not arguments.minutes:
        parser.error(f"{', '.join(LONG)} want --minutes, at least 3 for a figure that means something")
    return arguments


def _options(arguments: argparse.Namespace) -> Options:
    return Options(arguments.quick, arguments.minutes, arguments.estimator_python)


def _measure(group: str, options: Options, path: Path) -> None:
    module, function, _ = GROUPS[group]
    rows = getattr(importlib.import_module(f"benchmarks.{module}"), function)(options)
    found = {"on": _machine(), "rows": [dataclasses.asdict(row) for row in rows]}
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _machine() -> str:
    import tensorflow as tf
    from tensorboard import version as tensorboard

    from tb_layerview import __version__

    return (
        f"{os.cpu_count()} cores ({_processor()}), tb_layerview {__version__}, TensorFlow {tf.__version__}, "
        f"TensorBoard {tensorboard.VERSION}, Python {platform.python_version()}"
    )


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _read(path: Path) -> list[Row]:
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def _document(before: str) -> str:
    """The table: of each group what was measured here, or else what stood in the table before."""
    head, *sections = before.split(_HEADING)
    tables = {section.partition("\n")[0]: section.rstrip("\n") for section in sections}
    paths = {title: FOUND / f"{group}.json" for group, (_, _, title) in GROUPS.items()}
    here = {title: path for title, path in paths.items() if path.exists()}
    machines = [line for line in head.splitlines() if line.startswith(_ON)] if tables.keys() - here.keys() else []
    for title, path in here.items():
        machines.append(f"{_ON}{json.loads(path.read_text())['on']}.")
        lines = [title, "| what | against | measured | to reach |", "| --- | --- | --- | --- |"]
        tables[title] = "\n".join([*lines, *map(line, _read(path))])
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Ratios of medians of alternating runs, with both medians; in brackets the spread",
        "without the outermost. Random images; a batch of 64 for the CNN, the probe has 32 examples.",
        "",
        *dict.fromkeys(machines),
    ]
    return "\n".join(lines) + "".join(f"\n{_HEADING}{tables[title]}" for title in paths if title in tables) + "\n"


if __name__ == "__main__":
    main()
