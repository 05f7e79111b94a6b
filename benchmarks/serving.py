"""How long the server takes for what the tab asks, beside TensorBoard's own histograms."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from benchmarks.measuring import Action, Options, Row, duration_row, ratios
from tb_layerview.format.model import Kind, Layer, Model, Tensor
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.writing.log_files import LogFiles
from tests.helpers.serving import TensorBoardServer, run_tensorboard

LAYERS = 25
KINDS: tuple[Kind, ...] = ("activation", "weight", "gradient", "update")


def rows(options: Options) -> list[Row]:
    """Each route's median over HTTP, with both of TensorBoard's loaders."""
    steps = 60 if options.quick else 1_000
    found = []
    with tempfile.TemporaryDirectory() as folder:
        _write(folder, steps)
        _write_histograms(folder, steps)
        for loader in ("--load_fast=true", "--load_fast=false"):
            with run_tensorboard(folder, loader) as server:
                wait(server, steps)
                found += _routes(server, options, steps, "Rust loader" if loader.endswith("true") else "Python loader")
    return found


def wait(server: TensorBoardServer, steps: int) -> None:
    """Waits until all steps are served."""
    while True:
        runs = json.loads(server.get("/data/plugin/layerview/runs").body)["runs"]
        if runs and runs[0]["steps"] == steps:
            return
        time.sleep(0.1)


def get(server: TensorBoardServer, paths: Sequence[str]) -> int:
    """Asks for all of them one after another, and returns how many bytes came.

    Raises:
      RuntimeError: Not all were answered.
    """
    replies = [server.get(path) for path in paths]
    for path, reply in zip(paths, replies):
        if reply.status != 200:
            raise RuntimeError(f"{path} was answered with {reply.status}: {reply.body[:200]!r}")
    return sum(len(reply.body) for reply in replies)


def map_paths(statistic: str = "rms", kinds: Sequence[Kind] = KINDS) -> list[str]:
    """What the map asks for, kind by kind."""
    return [f"/data/plugin/layerview/statistics?run=.&kind={kind}&statistic={statistic}" for kind in kinds]


def _routes(server: TensorBoardServer, options: Options, steps: int, loader: str) -> list[Row]:
    layerview = "/data/plugin/layerview/"
    middle = steps // 2
    routes: dict[str, tuple[list[str], float | None]] = {
        "one tensor's whole history (all histograms)": ([f"{layerview}histograms?run=.&tensor=7"], 0.020),
        "one tensor's whole history (all units)": ([f"{layerview}units?run=.&tensor=7&statistic=rms"], 0.020),
        "one tensor at one step": ([f"{layerview}tensor?run=.&tensor=7&step={middle}"], 0.005),
        "its histogram": ([f"{layerview}payload?run=.&tensor=7&step={middle}&section=histogram"], 0.005),
        "the whole map": (map_paths(), 0.100),
    }
    theirs = ["/data/plugin/histograms/histograms?run=.&tag=weights"]

    def asking(paths: list[str]) -> Action:
        return lambda: get(server, paths)

    actions = [asking(theirs), *(asking(paths) for paths, _ in routes.values())]
    tensorboard, *ours = ratios(actions, options.rounds(41))
    points = len(json.loads(server.get(theirs[0]).body))
    against = f"TensorBoard's histograms of one tag, {points} steps: {1e3 * float(np.median(tensorboard)):.1f} ms"
    size = f"{steps:,} steps × {LAYERS * len(KINDS)} tensors, {loader}"
    return [
        duration_row(f"{what}, at the server, {size}", against, timed, most)
        for (what, (_, most)), timed in zip(routes.items(), ours)
    ]


def _write(folder: str, steps: int) -> None:
    """Logs 25 layers of 64 units, four tensors each; all statistics, histograms and units at all steps."""
    rng = np.random.default_rng(0)
    tensors = [Tensor(i, kind, "kernel", (128, 64), "float32") for i in range(LAYERS) for kind in KINDS]
    model = Model(tuple(Layer(f"block_{i // 5}/layer_{i}", "Dense") for i in range(LAYERS)), tuple(tensors))
    drawn: list[dict[int, Measurement]] = [
        {i: measure(rng.normal(size=(128, 64)).astype(np.float32), units=True) for i in range(len(tensors))}
        for _ in range(3)
    ]
    log = LogFiles(folder)
    log.describe(model)
    for step in range(steps):
        log.write(step, drawn[step % len(drawn)], scalars={"loss": 1 / (step + 1), "accuracy": 0.5})
    log.close()


def _write_histograms(folder: str, steps: int) -> None:
    """The same steps of one tensor as TensorBoard has histograms."""
    values = np.random.default_rng(0).normal(size=(128, 64)).astype(np.float32)
    with tf.summary.create_file_writer(folder).as_default():
        for step in range(steps):
            tf.summary.histogram("weights", values, step=step)
