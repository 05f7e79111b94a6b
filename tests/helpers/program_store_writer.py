"""Logs arrays of a hundred layers to a place, so many steps a second, in a process without TensorFlow.

`python program_store_writer.py ours|histograms PLACE SECONDS PAUSE` prints each step and when it was written, in
seconds since 1970, and at last a JSON object: `steps`, `waited`, seconds for which whoever logs has waited, and
`processor`, seconds of processors of the whole process since the first step.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

TENSORS = 100
Write = Callable[[int, Mapping[str, np.ndarray]], None]


def ours(place: str) -> tuple[Write, Callable[[], None]]:
    """Logs with `LayerWriter`, which sends by itself."""
    from tb_layerview import Keep, LayerWriter

    writer = LayerWriter(place, keep=Keep(activations=0))
    return writer.write, writer.close


def histograms(place: str) -> tuple[Write, Callable[[], None]]:
    """Logs TensorBoard's own histograms; what it has is sent every 30 seconds."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(place, flush_secs=30)

    def write(step: int, arrays: Mapping[str, np.ndarray]) -> None:
        summary = summary_pb2.Summary()
        for name, array in arrays.items():
            summary.value.extend(histogram_pb(name, array).value)
        writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    return write, writer.close


def main() -> None:
    """Logs until the time is over."""
    how, place, seconds, pause = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    rng = np.random.default_rng(0)
    arrays = {f"block_{i // 10}/layer_{i}": rng.normal(size=(4, 8)).astype(np.float32) for i in range(TENSORS)}
    write, close = {"ours": ours, "histograms": histograms}[how](place)
    write(0, arrays)
    began, processor, waited, step = time.monotonic(), time.process_time(), 0.0, 0
    while time.monotonic() - began < seconds:
        step += 1
        at = time.monotonic()
        write(step, arrays)
        waited += time.monotonic() - at
        print(step, time.time(), flush=True)
        time.sleep(max(0.0, began + step * pause - time.monotonic()))
    processor = time.process_time() - processor
    close()
    print(json.dumps({"steps": step + 1, "waited": waited, "processor": processor}), flush=True)


if __name__ == "__main__":
    main()
