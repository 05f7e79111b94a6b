"""A training in a process of its own, to be killed, or to be let run out of disk.

`python program_faults.py keras|hook|writer FOLDER STEPS [OPTION...]` prints `wrote STEP` each time that a step's write
has returned (or failed), and at the end `losses` and `weights`, exactly. Options: `bare` does not log; `limit=BYTES` is
the most that a file may have; `disk=BYTES` is the most that fits on the disk, whose content is copied to FOLDER-copy at
the end; `slow=SECONDS` is how long each flush takes; `remove=STEP` removes the folder `layers` after that step,
`rename=STEP` gives the run's folder another name, `frozen=STEP` has the file system refuse all that is written to the
log's files; `from=STEP` is the first step (writer).
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from tb_layerview import Keep, LayerWriter
from tb_layerview.writing.log_files import LogFiles

X = np.random.default_rng(3).normal(size=(32, 8)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)
WIDTH = 48
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000  # of linux/sched.h


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def watch(slow: float) -> Callable[[FrameType, str, Any], None]:
    """Looks at the writing thread from outside: says what was written, and may hold up each flush."""

    def seen(frame: FrameType, event: str, what: Any) -> None:
        if event == "return" and frame.f_code is LogFiles.write.__code__:
            say(f"wrote {frame.f_locals['step']}")
        if slow and event == "c_call" and what.__name__ == "flush" and isinstance(what.__self__, io.BufferedWriter):
            time.sleep(slow)

    return seen


def disturb(folder: Path, options: dict[str, str], step: int) -> None:
    """What somebody else does to the folder after a step."""
    if options.get("remove") == str(step):
        shutil.rmtree(folder / "layers")
    if options.get("rename") == str(step):
        folder.rename(folder.with_name(folder.name + "-renamed"))
    if options.get("frozen") == str(step):
        # Permissions are looked at when a file is opened, and a file system with files open for writing cannot be made
        # read-only; this attribute is looked at by each write.
        subprocess.run(["chattr", "+i", *(folder / "layers").iterdir()], check=True)


def mount_small_disk(folder: Path, size: str) -> None:
    """A file system of so many bytes in a folder, which this process alone sees."""
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS | _CLONE_NEWUSER):
        raise OSError("no mount namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)


def train_keras(folder: Path, steps: int, options: dict[str, str]) -> tuple[list[float], list[np.ndarray]]:
    import tensorflow as tf

    from tb_layerview import LayerViewCallback

    tf.keras.utils.set_random_seed(7)
    layers = [tf.keras.layers.Dense(WIDTH, "tanh", name="hidden"), tf.keras.layers.Dense(1, name="out")]
    model = tf.keras.Sequential([tf.keras.Input((8,)), *layers])
    model.compile("sgd", "mse")

    class Disturb(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            disturb(folder, options, epoch)

    logging = [] if "bare" in options else [LayerViewCallback(folder, schedule=1, keep=Keep(gradients=1000))]
    history = model.fit(X, Y, batch_size=32, epochs=steps, shuffle=False, verbose=0, callbacks=[Disturb(), *logging])
    return history.history["loss"], model.get_weights()


def train_hook(folder: Path, steps: int, options: dict[str, str]) -> tuple[list[float], list[np.ndarray]]:
    import tensorflow as tf

    from tb_layerview import LayerViewHook

    tf1 = tf.compat.v1
    logging = [] if "bare" in options else [LayerViewHook(folder, schedule=1)]
    losses = []
    with tf.Graph().as_default():
        tf1.set_random_seed(7)
        with tf1.variable_scope("hidden"):
            kernel = tf1.get_variable("kernel", (8, WIDTH), initializer=tf1.random_normal_initializer(seed=1))
            hidden = tf.tanh(X @ kernel)
        with tf1.variable_scope("out"):
            last = tf1.get_variable("kernel", (WIDTH, 1), initializer=tf1.random_normal_initializer(seed=2))
            out = hidden @ last
        loss = tf.reduce_mean((out - Y) ** 2)
        count = tf1.train.get_or_create_global_step()
        train = tf1.train.GradientDescentOptimizer(0.001).minimize(loss, count)
        with tf1.train.MonitoredTrainingSession(hooks=logging) as session:
            for step in range(steps):
                losses.append(float(session.run([loss, train])[0]))
                disturb(folder, options, step)
            weights = session.run([kernel, last])
    return losses, weights


def arrays_of(step: int) -> dict[str, np.ndarray]:
    """What is logged at a step; its truth for whoever reads it back."""
    return {f"layer{i}": np.random.default_rng([step, i]).normal(size=(16, WIDTH)) for i in range(3)}


def write(folder: Path, steps: int, options: dict[str, str]) -> tuple[list[float], list[np.ndarray]]:
    sys.setprofile(watch(float(options.get("slow", 0))))
    with LayerWriter(folder) as writer:
        for step in range(int(options.get("from", 0)), steps):
            writer.write(step, arrays_of(step), scalars={"loss": float(step)})
            disturb(folder, options, step)
    return [], []


TRAININGS = {"keras": train_keras, "hook": train_hook, "writer": write}


def run(kind: str, folder: Path, steps: int, options: dict[str, str]) -> None:
    threading.setprofile(watch(float(options.get("slow", 0))))
    if "limit" in options:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(options["limit"]),) * 2)
    if "disk" in options:
        mount_small_disk(folder, options["disk"])
    losses, weights = TRAININGS[kind](folder, steps, options)
    if "disk" in options:
        shutil.copytree(folder, f"{folder}-copy")
    say(f"losses {' '.join(float(loss).hex() for loss in losses)}")
    say(f"weights {hashlib.sha256(b''.join(w.tobytes() for w in weights)).hexdigest()}")


if __name__ == "__main__":
    options = {name: value for name, _, value in (option.partition("=") for option in sys.argv[4:])}
    run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), options)
