"""What takes too long for a test: `make soak` (100 killed processes, many logged steps, many clients).

`python soak.py STEPS` prints what it found, and ends with an error if a bound is broken.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from clients import clients_while_a_writer_appends
from places import HELPERS

MAX_BYTES = 500_000_000


def resident() -> int:
    """Bytes of this process that are in memory now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def kills() -> None:
    for kind, count in (("writer", 60), ("keras", 20), ("hook", 20)):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(HELPERS / "kills.py"), kind, str(count), folder]
            # Processes are forked off one that must have no other thread.
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            print(f"killed, {kind}: {done.stdout.splitlines()[-1]}", flush=True)


def many_steps(steps: int) -> None:
    """A small Keras model with every step logged: the process's memory from a tenth of the steps on, and the bytes."""
    import tensorflow as tf

    from tb_layerview import Keep, LayerViewCallback
    from tb_layerview.reading.reader import LayerReader

    memory: list[tuple[int, int]] = []

    class Watch(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            memory.append((epoch, resident()))

    x = tf.random.normal((3200, 8))
    layers = [tf.keras.layers.Dense(16, "relu"), tf.keras.layers.Dense(1)]
    model = tf.keras.Sequential([tf.keras.Input((8,)), *layers])
    model.compile("sgd", "mse")
    epochs = max(20, steps // 100)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        callbacks = [LayerViewCallback(folder, schedule=1, keep=Keep(max_bytes=MAX_BYTES)), Watch()]
        model.fit(x, tf.reduce_sum(x, axis=1), batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks)
        written = sum(path.stat().st_size for path in Path(folder, "layers").iterdir())
        run = LayerReader(folder).run()
    first, last = memory[len(memory) // 10][1], memory[-1][1]
    print(
        f"steps: {100 * epochs:,} trained, {len(run.steps):,} logged in {time.monotonic() - began:.0f} s; memory "
        f"{first / 1e6:.0f} MB at a tenth of them, {last / 1e6:.0f} MB at the end ({100 * (last / first - 1):+.1f} %); "
        f"{written:,} bytes of {MAX_BYTES:,}",
        flush=True,
    )
    assert written <= MAX_BYTES and run.problems == ()
    assert last <= 1.05 * first, "memory grows"


def clients() -> None:
    with tempfile.TemporaryDirectory() as folder:
        early, late = clients_while_a_writer_appends(Path(folder), 16, 2000)
    print(
        f"16 clients, 4 runs of 2,000 steps: {early / 1e6:.1f} MB of Python's memory at 500, "
        f"{late / 1e6:.1f} MB at the end"
    )
    assert late < early + (32 << 20)


if __name__ == "__main__":
    kills()
    clients()
    many_steps(int(sys.argv[1]))
