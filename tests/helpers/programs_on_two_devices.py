"""Trainings on two logical CPUs, in a process of their own: devices are made before TensorFlow is used.

`python programs_on_two_devices.py keras|keras-noisy FOLDER bare|default|given...` and the same with `estimator FOLDER`
leave logs, and in .npz files what the trainings came to; `optimizer FOLDER` also what its optimizer kept at each step.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import Keep, LayerViewCallback, LayerViewHook, Select
from tb_layerview.format.model import KINDS

tf1 = tf.compat.v1
keras = tf.keras
random = np.random.default_rng(31)
X = random.normal(size=(70, 6)).astype(np.float32)
Y = random.normal(size=(70, 3)).astype(np.float32)
PROBE = 12
RATE = 0.1
#: The file that holds what an optimizer kept at each step.
OF_STEPS = "of_steps.npz"
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)


def keras_model(is_noisy: bool) -> Any:
    layers = keras.layers
    noise = [layers.BatchNormalization(name="norm"), layers.Dropout(0.2, name="dropout")] if is_noisy else []
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="tanh", name="hidden"),
            *noise,
            layers.Dense(3, name="scores"),
        ]
    )


def train_keras(folder: Path, is_noisy: bool, names: Sequence[str]) -> None:
    for name in names:
        keras.utils.set_random_seed(5)
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            model = keras_model(is_noisy)
            model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
        probe = (X[:PROBE], Y[:PROBE]) if name == "given" else None
        callbacks = [] if name == "bare" else [LayerViewCallback(folder / name, probe, schedule=1, keep=EXACT)]
        # 70 examples in batches of 16: the last one is 6, so that replicas get parts of other sizes.
        history = model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=callbacks).history
        state = [np.asarray(tf.convert_to_tensor(v)) for v in [*model.weights, *model.optimizer.variables]]
        np.savez(folder / f"{name}.npz", *state, **{key: np.array(value) for key, value in history.items()})


def train_with_optimizer(folder: Path) -> None:
    """Leaves `OF_STEPS`: under `STEP/NAME/PLACE`, NAME `momentum` or `velocity`, what Adam keeps, one copy of it."""
    keras.utils.set_random_seed(5)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = keras_model(is_noisy=False)
        model.compile(keras.optimizers.Adam(0.01), "mse")
    kept: dict[str, np.ndarray] = {}

    class Keeping(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            step = int(model.optimizer.iterations.numpy())
            for name in ("momentum", "velocity"):
                variables = getattr(model.optimizer, {"momentum": "_momentums", "velocity": "_velocities"}[name])
                for place, variable in enumerate(variables):
                    kept[f"{step}/{name}/{place}"] = np.array(tf.convert_to_tensor(variable))

    logging = LayerViewCallback(folder, schedule=1, keep=EXACT, select=Select(kinds=KINDS))
    model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, callbacks=[Keeping(), logging])
    np.savez(folder / OF_STEPS, **kept)


def model_fn(features: Any, labels: Any, mode: str) -> Any:
    hidden = tf1.layers.dense(features, 5, activation=tf.nn.tanh, name="hidden")
    scores = tf1.layers.dense(hidden, 3, name="scores")
    loss = tf.reduce_mean((scores - labels) ** 2)
    # The optimizer divides the loss by the number of replicas.
    train_op = tf1.train.GradientDescentOptimizer(RATE).minimize(loss, tf1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


def train_estimator(folder: Path) -> None:
    for name in ("bare", "hook"):
        keras.utils.set_random_seed(5)
        config = tf.estimator.RunConfig(
            tf_random_seed=5,
            train_distribute=tf.distribute.MirroredStrategy(["/device:CPU:0", "/device:CPU:1"]),
            # Without it the training hangs, whoever watches.
            session_config=tf1.ConfigProto(device_count={"CPU": 2}),
            save_checkpoints_steps=1,
            keep_checkpoint_max=None,
        )
        estimator = tf.estimator.Estimator(model_fn, str(folder / name), config)
        hooks = [] if name == "bare" else [LayerViewHook(folder / name, schedule=1, keep=EXACT)]
        # A replica takes a batch of its own: two at a step.
        data = lambda: tf.data.Dataset.from_tensor_slices((X[:64], Y[:64])).repeat().batch(8)  # noqa: E731
        estimator.train(data, hooks=hooks, steps=6)


if __name__ == "__main__":
    if sys.argv[1] == "estimator":
        train_estimator(Path(sys.argv[2]))
    else:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        if sys.argv[1] == "optimizer":
            train_with_optimizer(Path(sys.argv[2]))
        else:
            # Two models of other shapes in one process disturb each other's reductions, without any callback.
            train_keras(Path(sys.argv[2]), sys.argv[1] == "keras-noisy", sys.argv[3:])
