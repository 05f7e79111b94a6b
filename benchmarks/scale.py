"""A long run of many tensors at the server: the first map, a new step, and memory."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import Options, Row, bytes_row, duration_row, folder_bytes, ratios, seconds
from benchmarks.serving import get, map_paths, wait
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.values import Axis
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.writing.log_files import LogFiles
from tests.helpers.serving import run_tensorboard

LONG, MANY = 10_000, 300
ALLOWED_MORE = 20e6  # what two servers of equal runs may differ by


def rows(options: Options) -> list[Row]:
    """A run of 10,000 steps of 300 tensors, and one of a tenth of the steps, with and without payloads."""
    long, short = (100, 20) if options.quick else (LONG, LONG // 10)
    with tempfile.TemporaryDirectory() as empty, run_tensorboard(empty):
        nothing = resident_bytes()
    start, first, refresh, most = _serve(options, long, nothing)
    _, tenth_first, tenth_refresh, tenth = _serve(options, short, nothing)
    size = f"{long:,} steps × {MANY} tensors"
    words = f"a run of {short:,} steps"
    return [
        duration_row(
            f"first map after TensorBoard's start ({start:.1f} s until it answers), {size}",
            f"{words}: {tenth_first:.2f} s",
            [first],
            5.0,
        ),
        duration_row(
            f"the map after a new step, {size}",
            f"{words}: {1e3 * float(np.median(tenth_refresh)):.1f} ms",
            refresh,
            0.100,
        ),
        bytes_row(
            f"memory of all server processes above an empty TensorBoard's, {size}",
            f"{words}: {tenth / 1e6:.1f} MB",
            most,
            600e6,
        ),
        _payload_row(short, nothing),
    ]


def resident_bytes() -> float:
    """The memory of all processes that this one has started and that still run, what they share counted once."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    found = 0
    for pid in ours - {os.getpid()}:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                found += 1024 * int(line.split()[1])
    return float(found)


def _serve(options: Options, steps: int, nothing: float) -> tuple[float, float, list[float], float]:
    """Seconds until TensorBoard answers, from then until the first map is there, of the map after each of some new
    steps, and bytes of memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        log, measured = _write(folder, steps, values=0)
        began = time.perf_counter()
        with run_tensorboard(folder, "--reload_interval=1") as server:
            start = time.perf_counter() - began
            wait(server, steps)
            get(server, map_paths(kinds=("weight",)))
            first = time.perf_counter() - began - start
            refresh = []
            for new in range(options.rounds(7)):
                log.write(steps + new, measured)
                wait(server, steps + new + 1)
                refresh.append(seconds(lambda: get(server, map_paths(kinds=("weight",)))))
            ratios([lambda: get(server, map_paths(kinds=("weight",)))], 3)
            memory = resident_bytes() - nothing
        log.close()
    return start, first, refresh, memory


def _payload_row(steps: int, nothing: float) -> Row:
    """Whether the memory depends on the payloads: two runs of the same steps, with and without them."""
    taken, sizes = [], []
    for values in (0, 1 << 15):
        with tempfile.TemporaryDirectory() as folder:
            log, _ = _write(folder, steps // 4, values=values, tensors=30)
            log.close()
            sizes.append(folder_bytes(folder))
            with run_tensorboard(folder) as server:
                wait(server, steps // 4)
                get(server, map_paths(kinds=("weight",)))
                taken.append(resident_bytes() - nothing)
    against = f"a log of {sizes[0] / 1e6:.1f} MB: {taken[0] / 1e6:.1f} MB"
    what = f"the same, of a log with payloads, {sizes[1] / 1e6:.0f} MB of the same steps and tensors"
    goal = f"no more than {ALLOWED_MORE / 1e6:g} MB apart"
    return Row(what, against, f"{taken[1] / 1e6:.1f} MB", goal, abs(taken[1] - taken[0]) <= ALLOWED_MORE)


def _write(folder: str, steps: int, values: int, tensors: int = MANY) -> tuple[LogFiles, dict[int, Measurement]]:
    """Logs statistics of all tensors at all steps, and so many values of each; the log stays open."""
    rng = np.random.default_rng(0)
    model = Model(
        (Layer("layer"),), tuple(Tensor(0, "weight", str(i), (max(values, 64),), "float32") for i in range(tensors))
    )
    drawn = []
    for _ in range(5):
        arrays = [rng.normal(size=max(values, 64)).astype(np.float32) for _ in range(tensors)]
        keep = [Axis(0, 1, values, values)] if values else None
        drawn.append({i: _alone(measure(array, keep=keep)) for i, array in enumerate(arrays)})
    log = LogFiles(folder)
    log.describe(model)
    for step in range(steps):
        log.write(step, drawn[step % len(drawn)], scalars={"loss": 1 / (step + 1)})
    return log, drawn[0]


def _alone(measurement: Measurement) -> Measurement:
    """Without the histogram, which would take most of the time to write and is read from the payload file alone."""
    return dataclasses.replace(measurement, code_counts=None)
