"""Trains a network of a million weights, `bare` or `logged` at its first step alone; prints page faults a step.

They are those of the step in the middle: what another thread does late, as on a busy machine, it does beside a few.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import Check, LayerViewCallback, Schedule

FIRST, LAST = 40, 90


class Faults(tf.keras.callbacks.Callback):
    """Counts the pages that the system makes anew."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[int] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.at.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


def main() -> None:
    layers, rng = tf.keras.layers, np.random.default_rng(0)
    model = tf.keras.Sequential([tf.keras.Input((512,)), layers.Dense(2048, "relu"), layers.Dense(10)])
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = rng.normal(size=(64 * LAST, 512)).astype(np.float32), rng.integers(0, 10, 64 * LAST)
    faults = Faults()
    with tempfile.TemporaryDirectory() as folder:
        logging = LayerViewCallback(folder, schedule=Schedule(steps=(0,)), check=Check(replay=False))
        callbacks = [faults, logging] if sys.argv[1] == "logged" else [faults]
        model.fit(images, labels, batch_size=64, verbose=0, callbacks=callbacks)
    print(statistics.median(later - at for at, later in itertools.pairwise(faults.at[FIRST:])))


if __name__ == "__main__":
    main()
