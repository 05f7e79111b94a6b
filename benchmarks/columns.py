"""Processor time of the columns of a long run, made in this process of what the server would hold."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.measuring import Action, Options, Row, duration_row, ratios
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.statistics import DENSE, SECTIONS, STATISTICS
from tb_layerview.reading.merge import WriterLog, merge
from tb_layerview.reading.run import Run
from tb_layerview.reading.shard import Shard
from tb_layerview.serving import answers


def rows(options: Options) -> list[Row]:
    """One statistic of all tensors by step, and in groups of steps."""
    steps, tensors = (1_000, 100) if options.quick else (10_000, 1_000)
    run = _run(steps, tensors)
    size = f"{steps:,} steps × {tensors:,} tensors"
    found = []
    for name in ("rms", "p50", "zero", "non_finite"):
        asked: dict[str, Action] = {
            "by step": lambda name=name: answers.statistics(run, "weight", [name], 0),
            "in groups": lambda name=name: answers.grouped_statistics(run, "weight", [name], 0)[0],
        }
        timed = ratios(list(asked.values()), options.rounds(7), clock=_processor_seconds)
        for (how, action), values in zip(asked.items(), timed):
            against = f"{len(action()) / 1e6:.1f} MB of answer"
            found.append(duration_row(f"column `{name}` {how}, {size}, processor time", against, values))
    return found


def _processor_seconds(action: Action) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def _run(steps: int, tensors: int) -> Run:
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
