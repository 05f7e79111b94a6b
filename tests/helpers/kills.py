"""Writing processes that are killed at random moments, and what is left of them.

`python kills.py writer|keras|hook COUNT FOLDER` kills COUNT of them and prints what it found as JSON.
"""

from __future__ import annotations

import json
import math
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

import forks
import numpy as np
import program_faults

from tb_layerview import LayerReader
from tb_layerview.format.statistics import SECTIONS
from tb_layerview.reading.run import Run

STEPS = 400
#: After how many steps a process is killed at most, and how many seconds later: two or three steps.
LATEST, LONGEST = 40, 0.02


def started(kind: str, folder: Path, first: int) -> tuple[int, int]:
    """A process that logs from a step on: its id, and where its words come out."""
    out, into = os.pipe()
    options = {"from": str(first)} if kind == "writer" else {}
    with open(os.devnull, "wb") as nowhere:
        pid = forks.forked(
            lambda: program_faults.run(kind, folder, first + STEPS, options), out=into, warnings=nowhere.fileno()
        )
    os.close(into)
    return pid, out


def killed(kind: str, folder: Path, first: int, steps: int, delay: float) -> int:
    """Kills a process so long after so many steps; returns the last step whose write had returned."""
    pid, out = started(kind, folder, first)
    said = b""
    while said.count(b"\n") < steps:
        more = os.read(out, 1 << 16)
        assert more, f"{kind} ended after {said!r}"
        said += more
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    while select.select([out], [], [], 10)[0] and (more := os.read(out, 1 << 16)):
        said += more
    os.waitpid(pid, 0)
    os.close(out)
    whole = said[: said.rindex(b"\n")].decode().splitlines()
    return max(int(line.split()[1]) for line in whole if line.startswith("wrote "))


def read_whole(run: Run) -> int:
    """Reads every payload of a run, each checked by its checksum and decoded; returns how many."""
    pieces = 0
    for tensor in run.tensors:
        for section in SECTIONS:
            for step in run.kept_steps(section, tensor).tolist():
                (run.histogram if section == "histogram" else run.units if section == "units" else run.values)(
                    tensor, step
                )
                pieces += 1
    return pieces


def check_arrays(run: Run, first: int) -> None:
    """Whether what a writer logged from a step on is what it was given."""
    for step in run.steps[run.steps >= first].tolist():
        for layer, array in program_faults.arrays_of(step).items():
            assert math.isclose(run.digest(run.tensor(layer), step).mean, np.mean(array), rel_tol=1e-12), (layer, step)
            np.testing.assert_allclose(run.values(run.tensor(layer), step).array, array, rtol=2**-11, atol=1e-8)


def kill(kind: str, count: int, folder: Path, seed: int = 0) -> dict[str, int]:
    """Kills processes that log into one folder, one after the other, and reads everything after each.

    Writers go on where the one before was killed; trainings begin anew, and replace what was there.
    """
    chance = random.Random(seed)
    steps = pieces = returned = first = 0
    for _ in range(count):
        last = killed(kind, folder, first, chance.randint(1, LATEST), chance.uniform(0, LONGEST))
        run = LayerReader(folder).run()
        assert run.problems == (), run.problems
        expected = range(last + 1) if kind != "hook" else range(1, last + 1)
        assert run.steps.tolist()[: len(expected)] == list(expected), (last, run.steps)
        pieces += read_whole(run)
        if kind == "writer":
            check_arrays(run, first)
            first = int(run.steps[-1]) + 1
        steps, returned = steps + len(run.steps), returned + last + 1
    return {"killed": count, "steps_read": steps, "pieces_read": pieces, "writers": len(set(run.writers)), "lost": 0}


if __name__ == "__main__":
    if sys.argv[1] != "writer":
        forks.load()
    print(json.dumps(kill(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
