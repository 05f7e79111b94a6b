"""What logs take on disk, and how many steps of them can be looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.logged_steps import keras_histograms
from benchmarks.measuring import Options, Row, bytes_row, folder_bytes
from benchmarks.models import IMAGES, LABELS, RESNET_IMAGES, RESNET_LABELS, cnn, one_layer, resnet
from tb_layerview import Keep, LayerReader, LayerViewCallback, Schedule, Select
from tb_layerview.format.model import Model
from tb_layerview.writing.plan import Plan

ALL = Schedule(budget=1.0)  # each rung of the ladder: the most that a default run writes


def rows(options: Options) -> list[Row]:
    return [*default_runs(options), *per_tensor(options), steps_kept(options)]


def default_runs(options: Options) -> list[Row]:
    """The plan's bytes for a whole run, and what a real stretch of it takes beside the plan's for that stretch."""
    found = []
    runs: list[tuple[str, Any, Any, Any, int, int, float]] = [
        ("CNN, 3.3 million parameters", cnn, IMAGES, LABELS, 10_000, 40 if options.quick else 1_000, 100e6),
        ("ResNet-50, 96 px", resnet, RESNET_IMAGES, RESNET_LABELS, 100_000, 2 if options.quick else 24, 500e6),
    ]
    for name, make, images, labels, steps, stretch, most in runs:
        with tempfile.TemporaryDirectory() as folder:
            data = tf.data.Dataset.from_tensor_slices((images, labels)).repeat().batch(4)
            make().fit(
                data,
                steps_per_epoch=stretch,
                verbose=0,
                callbacks=[LayerViewCallback(folder, _probe(images, labels), schedule=ALL)],
            )
            written = folder_bytes(folder)
            run = LayerReader(folder).run()
            planned = planned_bytes(run.model, run.steps.tolist())
            whole = planned_bytes(run.model, range(steps))
        against = (
            f"the cap of {Keep().max_bytes / 1e6:g} MB; a real stretch of {stretch:,} steps took {written / 1e6:.3g} MB"
        )
        against += f", {written / planned:.2f} of its plan"
        found.append(bytes_row(f"a default run of {steps:,} steps, by the plan: {name}", against, whole, most))
    return found


def planned_bytes(model: Model, steps: Iterable[int]) -> float:
    """What the default plan of 100,000 steps expects to be written at these steps.

    Those of them count that are rungs; the last one is kept whole.
    """
    plan = Plan.of(model.tensors, ALL, Keep())
    logged = [step for step in steps if plan.wants(step)]
    parts = ("histograms", "units", "values")
    return sum(
        plan.sizes.steps
        + sum(getattr(plan.sizes, part) for part in parts if plan._keeps(part, step) or step == logged[-1])
        for step in logged
    )


def per_tensor(options: Options) -> list[Row]:
    """Bytes per tensor and step of the CNN: what TensorBoard has too, what it has not, and TensorBoard's own."""
    model, steps = cnn(), 3 if options.quick else 20
    against = _keras_bytes(model, steps)
    found = []
    cases = [
        ("digest and histogram", Keep(activations=0, weights=0, units=False), 1_000.0),
        (
            "with the statistics of each unit, which TensorBoard has not, {units}",
            Keep(activations=0, weights=0),
            1_000.0,
        ),
        ("with the default values too", Keep(), None),
    ]
    for what, keep, most in cases:
        with tempfile.TemporaryDirectory() as folder:
            callback = LayerViewCallback(folder, schedule=1, keep=keep, select=Select())
            model.fit(IMAGES[: 8 * steps], LABELS[: 8 * steps], batch_size=8, verbose=0, callbacks=[callback])
            run = LayerReader(folder).run()
            size = folder_bytes(folder) / (len(run.steps) * len(run.tensors))
        what = f"written per tensor and step: {what.format(units=_units_in_words(run.model))}: CNN"
        found.append(bytes_row(what, against, size, most))
    return found


def steps_kept(options: Options) -> Row:
    """How many of the steps of a training can be looked at."""
    steps = 50 if options.quick else 1_000
    with tempfile.TemporaryDirectory() as folder:
        data = tf.data.Dataset.from_tensor_slices((np.zeros((64, 16), np.float32), LABELS[:64])).repeat().batch(8)
        one_layer().fit(data, steps_per_epoch=steps, verbose=0, callbacks=[LayerViewCallback(folder, schedule=1)])
        kept = int(np.count_nonzero(LayerReader(folder).run().steps > 0))
    what = f"steps that can be looked at, of {steps:,} logged"
    return Row(what, "TensorBoard Histograms: 51", f"{kept:,}", f"{steps:,}", kept == steps)


def _probe(images: Any, labels: Any) -> Any:
    """As large as the default one of a training with batches of 32; the batches are small to save time."""
    return images[:32], labels[:32]


def _units_in_words(model: Model) -> str:
    units = sum(tensor.shape[-1] for tensor in model.tensors if len(tensor.shape) > 1) / len(model.tensors)
    return f"{units:.0f} units a tensor"


def _keras_bytes(model: Any, steps: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        write = keras_histograms(model, folder)
        for _ in range(steps):
            write()
        size = folder_bytes(folder) / (steps * len(model.weights))
    return f"Keras' TensorBoard histograms of the weights: {size:,.0f} B"
