"""Measures what logging costs, against bare training and Keras' own histograms, and writes docs/benchmarks.md.

Every figure is a ratio of medians of runs that alternate in this one process, with the spread of the single ratios.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks import rules
from tb_layerview import Keep, LayerReader, LayerViewCallback, Schedule, Select, __version__
from tb_layerview.keras_probe import Batch, ProbePass
from tb_layerview.log import Log

ROUNDS = 7
TABLE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(640, 28, 28, 1)).astype(np.float32)
LABELS = RNG.integers(0, 10, 640)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
      what: What was measured.
      against: What it was compared with.
      result: The figure.
      goal: What it is to reach.
    """

    what: str
    against: str
    result: str
    goal: str


def cnn() -> Any:
    """Two 5 x 5 convolutions, dense 1024, dense 10: 3.3 million parameters."""
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(64, 5, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(1024, activation="relu", name="hidden"),
            layers.Dense(10, name="classes"),
        ]
    )
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def seconds(action: Callable[[], Any]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def ratio(one: Callable[[], Any], other: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, str]:
    """The ratio of the medians of alternating runs, after one of each, and in words with its spread."""
    one(), other()
    pairs = [(seconds(one), seconds(other)) for _ in range(rounds)]
    ones, others = zip(*pairs)
    median = statistics.median(ones) / statistics.median(others)
    singles = sorted(a / b for a, b in pairs)
    low, high = singles[1], singles[-2]
    return median, f"{median:.3g} ({low:.3g} to {high:.3g})"


def logged_step(model: Any, select: Select, folder: str) -> Callable[[], None]:
    """One logged step, from the probe's pass to the bytes on disk."""
    batch = Batch(tf.constant(IMAGES[:32]), tf.constant(LABELS[:32]))
    probe = ProbePass(model, batch, "", select, Keep())
    log = Log(folder)
    log.describe(probe.model)
    step = iter(range(10**9))

    def run() -> None:
        fetched, scalars = probe.run(with_values=False)
        log.write(next(step), probe.measurements(fetched), scalars=scalars)

    return run


def keras_histograms(model: Any, folder: str) -> Callable[[], None]:
    """What Keras' TensorBoard callback does with histogram_freq=1 at the end of an epoch."""
    callback = tf.keras.callbacks.TensorBoard(folder, histogram_freq=1, update_freq="epoch", write_graph=False)
    callback.set_model(model)
    callback.on_train_begin()
    epoch = iter(range(10**9))

    def run() -> None:
        callback._log_weights(next(epoch))  # no public name for this part alone

    return run


def training(model: Any, callbacks: Callable[[], list[Any]], epochs: int = 1) -> Callable[[], None]:
    """Some steps of training."""

    def run() -> None:
        model.fit(IMAGES, LABELS, batch_size=64, epochs=epochs, verbose=0, callbacks=callbacks())

    return run


def rows(folder: str) -> list[Row]:
    """Measures everything."""
    model = cnn()
    model.fit(IMAGES[:64], LABELS[:64], verbose=0)
    keras_cost = keras_histograms(model, f"{folder}/keras")
    found = []
    weights = logged_step(model, Select(kinds=("weight",)), f"{folder}/weights")
    _, words = ratio(weights, keras_cost)
    found.append(
        Row("a logged step, weights, no values", "Keras `TensorBoard(histogram_freq=1)`, an epoch", words, "0.02")
    )
    everything = logged_step(model, Select(), f"{folder}/all")
    _, words = ratio(everything, keras_cost)
    found.append(Row("a logged step, weights, activations of 32 examples, gradients", "the same", words, "0.1"))

    count = iter(range(10**6))

    def logging(schedule: Any) -> Callable[[], list[Any]]:
        return lambda: [LayerViewCallback(f"{folder}/run{next(count)}", schedule=schedule)]

    # Within one `fit` the set-up is paid once; long epochs keep it small beside the steps.
    _, words = ratio(training(model, logging(1), 6), training(model, list, 6), 5)
    found.append(Row("training with every step logged, set-up included", "bare training", words, "2.0"))

    quick = tf.keras.Sequential([tf.keras.Input((28, 28, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(10)])
    quick.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = LayerViewCallback(f"{folder}/thousand", schedule=1)
    quick.fit(IMAGES, LABELS, batch_size=64, epochs=100, verbose=0, callbacks=[callback])
    steps = len(LayerReader(f"{folder}/thousand").run().steps)
    found.append(
        Row("steps that can be looked at, of 1,000 trained", "TensorBoard Histograms: 51", f"{steps - 1}", "1,000")
    )

    model.fit(
        IMAGES,
        LABELS,
        batch_size=64,
        epochs=40,
        verbose=0,
        callbacks=[LayerViewCallback(f"{folder}/default", schedule=Schedule(budget=1.0))],
    )
    size = sum(path.stat().st_size for path in Path(f"{folder}/default/layers").iterdir())
    run = LayerReader(f"{folder}/default").run()
    assert run.cost is not None
    found.append(
        Row(f"bytes of 400 steps, {len(run.steps)} of them logged", "the cap of 500 MB", f"{size / 1e6:.0f} MB", "-")
    )
    return [*found, *(Row(*row) for row in rules.rows())]


def main() -> None:
    """Measures, prints the table, and writes it to docs/benchmarks.md."""
    with tempfile.TemporaryDirectory() as folder:
        measured = rows(folder)
    versions = f"tb_layerview {__version__}, TensorFlow {tf.__version__}, Python {platform.python_version()}"
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Ratios of medians of alternating runs, in brackets the spread without the outermost.",
        f"The model has 3.3 million parameters; {os.cpu_count()} cores, {versions}.",
        "",
        "| what | against | measured | to reach |",
        "| --- | --- | --- | --- |",
        *(f"| {row.what} | {row.against} | {row.result} | {row.goal} |" for row in measured),
    ]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
