"""One training, the same on TensorFlow, JAX and PyTorch: from the same weights, on the same batches, nothing is random.

`train` runs it on each of them, side by side, in a process of the environment that has it. There `python
program_on_any_backend.py FOLDER` trains on what FOLDER/given.npz holds, and logs every step, with exact values, into
the run FOLDER/BACKEND.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from places import environment
from suite import BACKENDS, MODERN

#: The Python of each, by the backend's name.
PYTHONS = {"tensorflow": MODERN, **BACKENDS}
LIMIT = 900  # seconds, for a training of seconds
BATCH, RATE, MOMENTUM = 32, 0.05, 0.9
#: The weights, in the order in which Keras has them, and their shapes.
WEIGHTS = {
    "conv/kernel": (3, 3, 1, 8),
    "conv/bias": (8,),
    "norm/gamma": (8,),
    "norm/beta": (8,),
    "norm/moving_mean": (8,),
    "norm/moving_variance": (8,),
    "hidden/kernel": (128, 32),
    "hidden/bias": (32,),
    "classes/kernel": (32, 10),
    "classes/bias": (10,),
}
TRAINED = [name for name in WEIGHTS if "moving" not in name]


def missing() -> dict[str, Path]:
    """The interpreters that are not set up."""
    return {backend: python for backend, python in PYTHONS.items() if not python.exists()}


def weights() -> dict[str, np.ndarray]:
    """What each training begins with: kernels by He, and no other weight the same as another."""
    rng = np.random.default_rng(12)
    found = {name: rng.normal(size=shape) * 0.1 for name, shape in WEIGHTS.items()}
    for name, array in found.items():
        if name.endswith("kernel"):
            array *= 10 * np.sqrt(2 / np.prod(array.shape[:-1]))
        if name.endswith(("gamma", "variance")):
            array += 1
    return {name: array.astype(np.float32) for name, array in found.items()}


def train(folder: Path, pictures: np.ndarray, labels: np.ndarray) -> Mapping[str, str]:
    """Trains on each backend, one epoch in batches of `BATCH`.

    Args:
      folder: Gets the runs.
      pictures: float32 [examples, 8, 8, 1].
      labels: int [examples], from 0 to 9.

    Returns:
      What each has printed, warnings too.

    Raises:
      RuntimeError: One of them failed, with what it printed.
    """
    np.savez(folder / "given.npz", **weights(), pictures=pictures, labels=labels)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for backend, python in PYTHONS.items():
            # PyTorch's threads wait for each other on the processor, which the others need.
            own = {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
            with open(folder / f"{backend}.txt", "wb") as out:
                processes[backend] = subprocess.Popen(
                    [python, __file__, folder],
                    env=environment(needs=[backend], **own),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
        for process in processes.values():
            process.wait(LIMIT)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    printed = {backend: (folder / f"{backend}.txt").read_text() for backend in processes}
    for backend, process in processes.items():
        if process.returncode:
            raise RuntimeError(f"{backend} ended with {process.returncode}:\n{printed[backend]}")
    return printed


def model() -> Any:
    """A small convolutional network, not yet compiled."""
    import keras

    layers = keras.layers
    parts = [
        layers.Conv2D(8, 3, padding="same", name="conv"),
        layers.BatchNormalization(momentum=0.9, name="norm"),
        layers.ReLU(name="relu"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(name="flatten"),
        layers.Dense(32, activation="tanh", name="hidden"),
        layers.Dense(10, name="classes"),
    ]
    x = inputs = keras.Input((8, 8, 1), name="digit")
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


def _train_here(folder: Path) -> None:
    import keras

    from tb_layerview import Check, Keep, LayerViewCallback, Select

    with np.load(folder / "given.npz") as given:
        made = model()
        made.set_weights([given[name] for name in WEIGHTS])
        optimizer = keras.optimizers.SGD(RATE, momentum=MOMENTUM)
        made.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        logging = LayerViewCallback(
            folder / keras.backend.backend(),
            select=Select(kinds=("activation", "weight", "gradient", "update", "optimizer")),
            schedule=1,
            check=Check(replay=False),  # or there is a note where a machine is so busy that it would take too long
            keep=Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=BATCH),
        )
        x, y = given["pictures"], given["labels"]
        made.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[logging])


if __name__ == "__main__":
    _train_here(Path(sys.argv[1]))
