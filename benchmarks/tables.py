"""What logging costs where a step changes few rows of a large table, each time in a process of its own.

`python -m benchmarks.tables OPTIMIZER bare|logged` prints the seconds of eight training steps, tracing included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.measuring import Options, Row, ratio_row, seconds

_ROWS, _UNITS, _STEPS, _BATCH = 400_000, 64, 8, 32
OPTIMIZERS = {"adam": 2.1, "sgd": None}  # of which ratio each is to stay below: a step of SGD takes next to nothing


def rows(options: Options) -> list[Row]:
    """Eight steps, all of them logged, against the same without logging."""
    found = []
    for optimizer, most in OPTIMIZERS.items():
        rounds = [[_process(optimizer, how) for how in ("logged", "bare")] for _ in range(options.rounds(3))]
        logged, bare = zip(*rounds)
        what = f"{_STEPS} steps, tracing included, of an embedding of {_ROWS:,} rows of {_UNITS}: {optimizer}"
        found.append(ratio_row(what, "the same without logging", logged, bare, most=most))
    return found


def _process(optimizer: str, how: str) -> float:
    command = [sys.executable, "-m", "benchmarks.tables", optimizer, how]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def _model(optimizer: str) -> Any:
    from benchmarks.models import tf

    layers = tf.keras.layers
    ids = tf.keras.Input((16,), dtype="int32")
    looked_up = layers.Embedding(_ROWS, _UNITS)(ids)
    model = tf.keras.Model(ids, layers.Dense(1)(layers.GlobalAveragePooling1D()(looked_up)))
    model.compile(optimizer, "mse")
    return model


def main() -> None:
    from benchmarks import models
    from tb_layerview import LayerViewCallback

    optimizer, how = sys.argv[1:]
    rng = models.np.random.default_rng(0)
    ids, targets = rng.integers(0, _ROWS, (_STEPS * _BATCH, 16)), rng.normal(size=(_STEPS * _BATCH, 1))
    model = _model(optimizer)
    warm = models.one_layer()  # what TensorFlow sets up once is nobody's
    warm.fit(models.np.zeros((8, 16), "float32"), models.LABELS[:8], verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [LayerViewCallback(folder)] if how == "logged" else []
        print(seconds(lambda: model.fit(ids, targets, batch_size=_BATCH, verbose=0, callbacks=callbacks)))


if __name__ == "__main__":
    main()
