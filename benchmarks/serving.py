"""Measures how long the server takes for what the tab asks: `python -m benchmarks.serving [LOGDIR]`.

A TensorBoard process of its own serves a log of 1,000 steps of 100 tensors; it is written first, unless LOGDIR has one.
The columns of 10,000 steps of 1,000 tensors are made in this process, from what the server would hold of them.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tb_layerview import answers
from tb_layerview.digest import Measurement, measure
from tb_layerview.log import Log
from tb_layerview.merge import WriterLog, merge
from tb_layerview.model import Kind, Layer, Model, Tensor
from tb_layerview.record import DENSE
from tb_layerview.run import Run
from tb_layerview.shard import SECTIONS, STATISTICS, Shard
from tests.serving import TensorBoardServer, run_tensorboard

STEPS, LAYERS = 1000, 25
KINDS: tuple[Kind, ...] = ("activation", "weight", "gradient", "update")
ROUNDS = 21


def write(folder: str) -> None:
    """Logs 25 layers of 64 units, four tensors each; all statistics, histograms and units at all steps."""
    rng = np.random.default_rng(0)
    tensors = [Tensor(i, kind, "kernel", (128, 64), "float32") for i in range(LAYERS) for kind in KINDS]
    model = Model(tuple(Layer(f"block_{i // 5}/layer_{i}", "Dense") for i in range(LAYERS)), tuple(tensors))
    drawn: list[dict[int, Measurement]] = [
        {i: measure(rng.normal(size=(128, 64)).astype(np.float32), units=True) for i in range(len(tensors))}
        for _ in range(3)
    ]
    log = Log(folder)
    log.describe(model)
    for step in range(STEPS):
        log.write(step, drawn[step % len(drawn)], scalars={"loss": 1 / (step + 1), "accuracy": 0.5})
    log.close()


def wait(server: TensorBoardServer) -> None:
    """Waits until all steps are served."""
    while True:
        runs = json.loads(server.get("/data/plugin/layerview/runs").body)["runs"]
        if runs and runs[0]["steps"] == STEPS:
            return
        time.sleep(0.2)


def measure_routes(server: TensorBoardServer) -> None:
    """Prints the median of each route, in milliseconds."""
    quantiles = "".join(f"&statistic=p{p}" for p in (1, 5, 25, 50, 75, 95, 99))
    routes = {
        "runs": "runs",
        "run": "run?run=.",
        "steps": "steps?run=.",
        "the map of one kind": "statistics?run=.&kind=weight&statistic=rms",
        "the map of all kinds": "",
        "the map in groups": "statistics?run=.&kind=weight&statistic=rms&groups=1",
        "quantiles of one kind": f"statistics?run=.&kind=weight{quantiles}",
        "one tensor at one step": "tensor?run=.&tensor=7&step=500",
        "its histogram": "payload?run=.&tensor=7&step=500&section=histogram",
        "one tensor's histograms": "histograms?run=.&tensor=7",
        "one tensor's units": "units?run=.&tensor=7&statistic=rms",
    }
    for what, route in routes.items():
        asked = [route] if route else [f"statistics?run=.&kind={kind}&statistic=rms" for kind in KINDS]
        seconds, size = [], 0
        for _ in range(ROUNDS):
            began = time.perf_counter()
            replies = [server.get(f"/data/plugin/layerview/{one}") for one in asked]
            seconds.append(time.perf_counter() - began)
            assert all(reply.status == 200 for reply in replies), replies
            size = sum(len(reply.body) for reply in replies)
        slowest = sorted(seconds)[-2]
        print(f"{what:25} {1e3 * statistics.median(seconds):7.1f} ms, at most {1e3 * slowest:7.1f} ms, {size:9,} bytes")


def long_run(steps: int, tensors: int) -> Run:
    """A run as the server holds it: shards in memory, of one kind, with random statistics."""
    rng = np.random.default_rng(0)
    model = Model((Layer("layer"),), tuple(Tensor(0, "weight", str(i), (4, 4), "float32") for i in range(tensors)))
    shards = []
    for start in range(0, steps, 512):
        numbers = np.arange(start, min(start + 512, steps))
        rows = len(numbers)
        shards.append(
            Shard(
                stamps=numbers.astype(np.float64),
                steps=numbers,
                wall_times=numbers.astype(np.float64),
                modes=("train",) * rows,
                scalars=({},) * rows,
                costs=(None,) * rows,
                table=rng.random((len(STATISTICS), rows, tensors)),
                dense=rng.random((len(DENSE), rows, tensors), np.float32),
                kept=np.zeros((len(SECTIONS), rows, tensors), bool),
                pieces=((None,) * len(SECTIONS),) * rows,
            )
        )
    return merge(".", [WriterLog("writer", model, tuple(shards))], payload_folder=None, folder=None)


def measure_columns() -> None:
    """Prints the processor time that the columns of a long run take, by step and in groups."""
    run = long_run(10_000, 1_000)
    print(f"{len(run.steps):,} steps of {len(run.tensors):,} tensors, in this process")
    for name in ("rms", "p50", "zero", "non_finite"):
        for what, answer in (
            ("by step", lambda name=name: answers.statistics(run, "weight", [name], 0)),
            ("in groups", lambda name=name: answers.grouped_statistics(run, "weight", [name], 0)[0]),
        ):
            seconds, size = [], 0
            for _ in range(7):
                began = time.process_time()
                size = len(answer())
                seconds.append(time.process_time() - began)
            print(f"{name + ' ' + what:25} {1e3 * statistics.median(seconds):7.1f} ms, {size:11,} bytes")


def main() -> None:
    """Writes the log where there is none, and measures with both of TensorBoard's loaders."""
    measure_columns()
    with tempfile.TemporaryDirectory() as temporary:
        folder = sys.argv[1] if len(sys.argv) > 1 else temporary
        if not Path(folder, "layers").is_dir():
            write(folder)
        for loader in ("--load_fast=true", "--load_fast=false"):
            print(f"{STEPS:,} steps of {LAYERS * len(KINDS)} tensors, TensorBoard with {loader}")
            with run_tensorboard(folder, loader) as server:
                wait(server)
                measure_routes(server)


if __name__ == "__main__":
    main()
