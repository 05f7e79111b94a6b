"""Trains bare and then under TensorFlow's Debugger V2: `python -m benchmarks.debugger MODE ROUNDS`.

It prints the seconds of each round, [bare, dumped], as JSON. The debugger cannot be turned off again in a process.
"""

from __future__ import annotations

import json
import sys
import tempfile

import tensorflow as tf

from benchmarks.models import BATCH, IMAGES, LABELS, cnn, training_seconds


def _rounds(count: int) -> list[float]:
    model = cnn()
    times = [training_seconds(model, [], x=IMAGES, y=LABELS, batch_size=BATCH) for _ in range(count + 1)]
    return times[1:]


def main() -> None:
    mode, count = sys.argv[1], int(sys.argv[2])
    bare = _rounds(count)
    with tempfile.TemporaryDirectory() as folder:
        tf.debugging.experimental.enable_dump_debug_info(folder, tensor_debug_mode=mode, circular_buffer_size=-1)
        dumped = _rounds(count)
    print(json.dumps([bare, dumped]))


if __name__ == "__main__":
    main()
