"""Processor time of the writing thread for a tensor, against an older commit: two processes that take turns."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from benchmarks.measuring import Options, Row, ratio_row, ratios
from benchmarks.program_writing import STEPS, TENSORS, UNITS

ROOT = Path(__file__).resolve().parent.parent
#: Before anything of it was in C.
BEFORE = "274446a"


def rows(options: Options) -> list[Row]:
    """A step without values, per tensor, with statistics of units and without."""
    with contextlib.ExitStack() as stack:
        older = stack.enter_context(tempfile.TemporaryDirectory())
        _unpack(BEFORE, older)
        asked = [_Program(stack, tree) for tree in (str(ROOT), older)]
        found = []
        for what, words in (("units", f"with statistics of {UNITS} units"), ("no units", "without")):
            now, before = ratios(
                [lambda program=program: program.seconds(what) for program in asked],  # type: ignore[misc]  # noqa: B023
                options.rounds(15),
                clock=lambda action: action() / (STEPS * TENSORS),
            )
            words = f"the writing thread, per tensor without values, {words}, processor time"
            found.append(ratio_row(words, f"commit {BEFORE}", now, before, most=1 / 6))
    return found


def _unpack(commit: str, folder: str) -> None:
    """The package as it was at a commit of this checkout."""
    with subprocess.Popen(
        ["git", "-C", str(ROOT), "archive", "--format=tar", commit, "tb_layerview"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            archive.extractall(folder, filter="data")
    if process.returncode:
        raise RuntimeError(f"commit {commit} cannot be had here: this benchmark needs the repository's history")


class _Program:
    """`program_writing` with one tree's package."""

    def __init__(self, stack: contextlib.ExitStack, tree: str) -> None:
        command = [sys.executable, str(ROOT / "benchmarks" / "program_writing.py")]
        environment = {**os.environ, "PYTHONPATH": tree}
        process = stack.enter_context(
            subprocess.Popen(
                command, env=environment, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        assert process.stdin is not None and process.stdout is not None
        self._to: IO[str] = process.stdin
        self._from: IO[str] = process.stdout

    def seconds(self, what: str) -> float:
        """Processor seconds of some more steps."""
        print(what, file=self._to, flush=True)
        return float(self._from.readline())
