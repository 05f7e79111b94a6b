"""A log folder with many runs at the server: until all of them are listed, and each time that they are listed again."""

from __future__ import annotations

import json
import tempfile
import time

import numpy as np

from benchmarks.measuring import Options, Row, duration_row, seconds
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.measure.host import measure
from tb_layerview.writing.log_files import LogFiles
from tests.helpers.serving import run_tensorboard

RUNS, STEPS, TENSORS = 1_000, 10, 20
_LIST = "/data/plugin/layerview/runs"


def rows(options: Options) -> list[Row]:
    """1,000 runs of 10 steps, beside a tenth of them."""
    many = 20 if options.quick else RUNS
    (first, again), (tenth_first, tenth_again) = _serve(many), _serve(many // 10)
    what = f"{many:,} runs of {STEPS} steps × {TENSORS} tensors"
    of_tenth = f"{many // 10:,} runs"
    return [
        duration_row(
            f"from TensorBoard's first answer until all are listed, {what}", f"{of_tenth}: {tenth_first:.1f} s", [first]
        ),
        duration_row(
            f"the list of runs again, {what}", f"{of_tenth}: {1e3 * float(np.median(tenth_again)):.1f} ms", again
        ),
    ]


def _serve(runs: int) -> tuple[float, list[float]]:
    """Seconds until all runs are listed, and of each list after that."""
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            _write(f"{folder}/group_{run % 10}/run_{run:04}", run)
        with run_tensorboard(folder, "--reload_interval=1") as server:
            began = time.perf_counter()
            while len(listed := json.loads(server.get(_LIST).body)["runs"]) < runs or not all(
                run["steps"] == STEPS for run in listed
            ):
                time.sleep(0.1)
            first = time.perf_counter() - began
            again = [seconds(lambda: server.get(_LIST)) for _ in range(8)]
    return first, again[1:]


def _write(folder: str, seed: int) -> None:
    model = Model((Layer("layer"),), tuple(Tensor(0, "weight", str(i), (64,), "float32") for i in range(TENSORS)))
    arrays = np.random.default_rng(seed).normal(size=(TENSORS, 64)).astype(np.float32)
    measured = {i: measure(array) for i, array in enumerate(arrays)}
    log = LogFiles(folder)
    log.describe(model)
    for step in range(STEPS):
        log.write(step, measured, scalars={"loss": 1 / (step + 1)})
    log.close()
