"""Trains the CNN of 3.3 million parameters, bare or with the callback, in turn with another process: see `in_turn`.

`python -m benchmarks.callback_training HOW PACE`: HOW is bare or default, or the place to which the default is logged.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks.in_turn import Pace
from benchmarks.models import BATCH, IMAGES, LABELS, cnn, keras
from tb_layerview import LayerViewCallback


class Paced(keras.callbacks.Callback):
    """Trains when it is this process' turn, until it is told to end."""

    def __init__(self, pace: Pace, logging: LayerViewCallback | None) -> None:
        super().__init__()
        self._pace, self._logging = pace, logging

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        known = self._logging._training if self._logging else None  # no public name for its budget
        if not self._pace.step(known.recording.log.budget if known else None, self._finish):
            self.model.stop_training = True

    def _finish(self) -> None:
        """Waits for what JAX computes: Keras does not, and some thirty steps are begun ahead of it."""
        if keras.backend.backend() == "jax":
            import jax

            # Not on the model's state: of Keras' own kinds of dict and list JAX sees no leaves, and does not wait.
            jax.block_until_ready(jax.live_arrays())


def batches() -> Any:
    """Batches without end."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat().batch(BATCH)

    def given() -> Iterator[Any]:
        while True:
            for at in range(0, len(IMAGES), BATCH):
                yield IMAGES[at : at + BATCH], LABELS[at : at + BATCH]

    return given()


def main() -> None:
    how, pace = sys.argv[1], Pace(sys.argv[2])
    data = batches()
    with tempfile.TemporaryDirectory() as folder:
        logging = None if how == "bare" else LayerViewCallback(folder if how == "default" else how)
        callbacks = [Paced(pace, logging), *([logging] if logging else [])]
        cnn().fit(data, steps_per_epoch=10**9, epochs=1, verbose=0, callbacks=callbacks)


if __name__ == "__main__":
    main()
