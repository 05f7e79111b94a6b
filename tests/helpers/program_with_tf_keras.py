"""Trainings in a process of their own where two Kerases are: which one `tf.keras` is, is chosen when it is imported.

`python program_with_tf_keras.py FOLDER tf_keras|keras` trains models of this one and leaves logs, and in .npz files
what the trainings came to.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

random = np.random.default_rng(41)
X = random.normal(size=(64, 6)).astype(np.float32)
Y = random.normal(size=(64, 3)).astype(np.float32)
PROBE = 16
STEPS = 16


def main(folder: Path, package: str) -> None:
    import tensorflow as tf

    keras: Any = importlib.import_module(package)

    from tb_layerview import Keep, LayerViewCallback

    exact = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
    layers = keras.layers

    class Remember(keras.callbacks.Callback):
        """What `get_weights()` returns at each step that is complete."""

        def __init__(self) -> None:
            super().__init__()
            self.kernels: list[np.ndarray] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.kernels.append(self.model.get_layer("hidden").get_weights()[0])

        def on_train_end(self, logs: Any = None) -> None:
            self.kernels.append(self.model.get_layer("hidden").get_weights()[0])

    def train(noise: list[Any], callbacks: list[Any]) -> dict[str, Any]:
        hidden, scores = layers.Dense(5, "tanh", name="hidden"), layers.Dense(3, name="scores")
        model = keras.Sequential([keras.Input((6,)), hidden, *noise, scores])
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
        history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history
        after = float(tf.random.uniform([])), np.random.random()
        evaluated = model.evaluate(X, Y, verbose=0, callbacks=callbacks)
        state = [*model.get_weights(), *(np.asarray(v) for v in model.optimizer.variables)]
        named = {f"state {i}": array for i, array in enumerate(state)}
        return {**history, **named, "random": np.array(after), "evaluated": np.array(evaluated)}

    for name in ("bare", "logged"):
        keras.utils.set_random_seed(5)
        callbacks = [] if name == "bare" else [LayerViewCallback(folder / "noisy", schedule=1)]
        noise = [layers.BatchNormalization(name="norm"), layers.Dropout(0.3, name="dropout")]
        np.savez(folder / f"{name}.npz", **train(noise, callbacks))
    remember = Remember()
    train([], [remember, LayerViewCallback(folder / "plain", (X[:PROBE], Y[:PROBE]), schedule=1, keep=exact)])
    np.save(folder / "kernels.npy", remember.kernels)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
