"""Trains the CNN of 3.3 million parameters, bare or with the callback, in turn with another process: see `in_turn`.

`python -m benchmarks.callback_training HOW PACE`: HOW is bare or default.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import tensorflow as tf

from benchmarks.in_turn import Pace
from benchmarks.models import BATCH, IMAGES, LABELS, cnn
from tb_layerview import LayerViewCallback


class Paced(tf.keras.callbacks.Callback):
    """Trains when it is this process' turn, until it is told to end."""

    def __init__(self, pace: Pace, logging: LayerViewCallback | None) -> None:
        super().__init__()
        self._pace, self._logging = pace, logging

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        known = self._logging._training if self._logging else None  # no public name for its budget
        if not self._pace.step(known.recording.log.budget if known else None):
            self.model.stop_training = True


def main() -> None:
    how, pace = sys.argv[1], Pace(sys.argv[2])
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat().batch(BATCH)
    with tempfile.TemporaryDirectory() as folder:
        logging = None if how == "bare" else LayerViewCallback(folder)
        callbacks = [Paced(pace, logging), *([logging] if logging else [])]
        cnn().fit(data, steps_per_epoch=10**9, epochs=1, verbose=0, callbacks=callbacks)


if __name__ == "__main__":
    main()
