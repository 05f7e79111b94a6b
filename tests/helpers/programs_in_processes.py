"""Trainings by several processes; each runs `python programs_in_processes.py PROGRAM FOLDER`, with its TF_CONFIG.

They leave logs, and in .npz files what the trainings came to.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import Keep, LayerRecorder, LayerViewCallback, LayerViewHook

tf1 = tf.compat.v1
keras = tf.keras
KERAS = int(importlib.metadata.version("keras").split(".")[0])
random = np.random.default_rng(31)
X = random.normal(size=(70, 6)).astype(np.float32)
Y = random.normal(size=(70, 3)).astype(np.float32)
PROBE = 12
RATE = 0.1
STEPS = 8
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6, examples=64)
TRAININGS = ("bare", "everyone", "shared", "chief-only")


def task() -> tuple[str, int]:
    told = json.loads(os.environ["TF_CONFIG"])["task"]
    return told["type"], told["index"]


def save(folder: Path, name: str, **arrays: Any) -> None:
    job, index = task()
    np.savez(folder / f"{name}-{job}{index}.npz", **{key: np.asarray(value) for key, value in arrays.items()})


def keras_model(*more: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="tanh", name="hidden"),
            *more,
            layers.Dense(3, name="scores"),
        ]
    )


class Batches(keras.callbacks.Callback):
    """What Keras itself tells after each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.losses.append(float(logs["loss"]))


def callback_for(folder: Path, name: str, index: int) -> LayerViewCallback | None:
    if name == "everyone":
        return LayerViewCallback(folder / f"{name}-{index}", schedule=1, keep=EXACT)
    if name == "shared":
        return LayerViewCallback(folder / name, (X[:PROBE], Y[:PROBE]), schedule=1, keep=EXACT)
    if name == "chief-only" and index == 0:
        return LayerViewCallback(folder / name, schedule=1, keep=EXACT)
    return None


def fit(folder: Path) -> None:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    for name in TRAININGS:
        keras.utils.set_random_seed(5)
        with strategy.scope():
            # Its smallest variables are moving statistics, each the mean over the workers to who reads it as a whole.
            model = keras_model(
                keras.layers.Dense(2, use_bias=False, name="narrow"),
                keras.layers.BatchNormalization(center=False, scale=False, name="norm"),
                keras.layers.Dropout(0.2),
            )
            model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
        batches = Batches()
        callback = callback_for(folder, name, task()[1])
        callbacks = [batches] if callback is None else [callback, batches]
        # The last of the batches is not full, and the workers' parts of it differ.
        history = model.fit(
            X,
            Y,
            batch_size=16,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
            validation_data=(X[:40], Y[:40]),
        ).history
        moving = {v.name: strategy.experimental_local_results(v)[0] for v in model.non_trainable_variables}
        save(
            folder,
            name,
            **history,
            **{f"weight/{v.name}": value for v, value in zip(model.weights, model.get_weights())},
            **{f"own/{variable}": value for variable, value in moving.items()},
            batches=batches.losses,
            evaluated=model.evaluate(X, Y, verbose=0, callbacks=callbacks[:-1]),
            predicted=model.predict(X, verbose=0, callbacks=callbacks[:-1]),
        )


class SummedOverWorkers(keras.layers.Layer):
    """Adds up over all replicas, as a synchronized batch normalisation does."""

    def call(self, x: Any) -> Any:
        replicas = tf.distribute.get_replica_context()
        if replicas is None:  # while Keras looks at the shapes
            return x
        return x + replicas.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_mean(tf.convert_to_tensor(x)))


def loop(folder: Path) -> None:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    index = task()[1]
    for name in ("plain", "summed"):
        for is_logged in (False, True):
            keras.utils.set_random_seed(5)
            with strategy.scope():
                model = keras_model(*([SummedOverWorkers()] if name == "summed" else []))
                model.compile("sgd", "mse")
            losses = []
            recorder = LayerRecorder(model, folder / f"{name}-{index}", (X, Y), schedule=1, keep=EXACT)
            if not is_logged:
                recorder.close()
            step_function = train_step(strategy, model)
            if is_logged:
                recorder.record(0)
            for step in range(1, STEPS + 1):
                losses.append(step_function(X[8 * index :][:8], Y[8 * index :][:8]).numpy())
                if is_logged:
                    recorder.record(step)
            recorder.close()
            kernel = np.asarray(tf.convert_to_tensor(model.get_layer("hidden").kernel))
            save(folder, f"{name}-{'logged' if is_logged else 'bare'}", losses=losses, kernel=kernel)


def train_step(strategy: Any, model: Any) -> Callable[[Any, Any], Any]:
    """Plain gradient descent on all workers, with TensorFlow's own means."""
    variables = [v if isinstance(v, tf.Variable) else v.value for v in model.trainable_variables]

    def on_replica(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        replicas = tf.distribute.get_replica_context()
        for variable, gradient in zip(variables, tape.gradient(loss, variables)):
            mean = replicas.all_reduce(tf.distribute.ReduceOp.MEAN, gradient)
            local = strategy.experimental_local_results(variable)[0]
            local.assign_sub(RATE * mean)
        return loss

    @tf.function(autograph=False)
    def step(x: Any, y: Any) -> Any:
        return strategy.experimental_local_results(strategy.run(on_replica, (x, y)))[0]

    return step


class TakeTurns(tf1.train.SessionRunHook):
    """Has chief and worker train by turns, so that both trainings have the same steps in the same order."""

    def __init__(self, folder: Path, job: str) -> None:
        self.folder, self.mine = folder, {"chief": 0, "worker": 1}[job]
        self.losses: list[tuple[int, float]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def before_run(self, run_context: Any) -> Any:
        graph = tf1.get_default_graph()
        wait_until = time.monotonic() + 600
        while len(os.listdir(self.folder)) % 2 != self.mine:
            assert time.monotonic() < wait_until, "the other process takes no turn"
            time.sleep(0.005)
        return tf1.train.SessionRunArgs({"loss": graph.get_collection("losses_to_read")[0]})

    def after_run(self, run_context: Any, run_values: Any) -> None:
        done = len(os.listdir(self.folder)) + 1
        self.losses.append((done, run_values.results["loss"]))
        (self.folder / str(done)).touch()


def model_fn(features: Any, labels: Any, mode: str) -> Any:
    # The seed of a RunConfig does not reach what is initialised on a parameter server.
    first, second = (tf1.constant_initializer(kernel) for kernel in (X[:6, :5], Y[:5]))
    hidden = tf1.layers.dense(features, 5, tf.nn.tanh, kernel_initializer=first, name="hidden")
    scores = tf1.layers.dense(hidden, 3, kernel_initializer=second, name="scores")
    loss = tf.reduce_mean((scores - labels) ** 2)
    tf1.add_to_collection("losses_to_read", loss)
    train_op = tf1.train.GradientDescentOptimizer(RATE).minimize(loss, tf1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


def estimator(folder: Path, name: str) -> None:
    model_dir = folder / name
    config = tf.estimator.RunConfig(
        str(model_dir),
        save_checkpoints_steps=1,
        keep_checkpoint_max=None,
        experimental_max_worker_delay_secs=0,
    )
    job = task()[0]
    turns = TakeTurns(folder / "turns" / name, job) if job in ("chief", "worker") else None
    hooks = [turns] if turns else []
    eval_hooks = []
    if name == "hook":
        # The worker's own folder, to see that it makes none.
        hooks.insert(0, LayerViewHook(model_dir if job == "chief" else folder / job, schedule=1, keep=EXACT))
        eval_hooks = [LayerViewHook(model_dir / "eval", keep=EXACT)]
    data = lambda: tf.data.Dataset.from_tensor_slices((X[:64], Y[:64])).repeat().batch(8)  # noqa: E731
    tf.estimator.train_and_evaluate(
        tf.estimator.Estimator(model_fn, config=config),
        tf.estimator.TrainSpec(data, max_steps=STEPS, hooks=hooks),
        tf.estimator.EvalSpec(data, steps=2, hooks=eval_hooks, start_delay_secs=0, throttle_secs=0),
    )
    if turns:
        save(folder, name, steps=[step for step, _ in turns.losses], losses=[loss for _, loss in turns.losses])


def monitored(folder: Path) -> None:
    """Two workers and a parameter server, in one process and without TF_CONFIG."""
    ports = os.environ["PORTS"].split(",")
    cluster = {"ps": [f"127.0.0.1:{ports[0]}"], "worker": [f"127.0.0.1:{port}" for port in ports[1:]]}
    servers = {
        (job, i): tf.distribute.Server(cluster, job, i)
        for job, addresses in cluster.items()
        for i in range(len(addresses))
    }
    for index in (0, 1):
        device = tf1.train.replica_device_setter(worker_device=f"/job:worker/task:{index}", cluster=cluster)
        with tf.Graph().as_default(), tf1.device(device):
            step = tf1.train.get_or_create_global_step()
            kernel = tf1.get_variable("hidden/kernel", [6, 3], initializer=tf1.ones_initializer(), use_resource=True)
            loss = tf.reduce_mean((tf.matmul(tf.constant(X), kernel, name="hidden/MatMul") - Y) ** 2)
            train = tf1.train.GradientDescentOptimizer(RATE).minimize(loss, step)
            with tf1.train.MonitoredTrainingSession(
                servers["worker", index].target,
                is_chief=index == 0,
                hooks=[LayerViewHook(folder / str(index), schedule=1, keep=EXACT)],
            ) as session:
                for _ in range(3):
                    session.run(train)


def coordinator(folder: Path) -> None:
    """A ParameterServerStrategy, its servers in this process."""
    ports = os.environ["PORTS"].split(",")
    cluster = {"worker": [f"127.0.0.1:{ports[0]}"], "ps": [f"127.0.0.1:{ports[1]}"]}
    servers = [tf.distribute.Server(cluster, job, 0, protocol="grpc") for job in cluster]
    assert len(servers) == 2
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(tf.train.ClusterSpec(cluster), rpc_layer="grpc")
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    for name in ("bare", "logged"):
        keras.utils.set_random_seed(5)
        with strategy.scope():
            model = keras_model()
            model.compile("sgd", "mse")
        if name == "logged":
            with LayerRecorder(model, folder / "recorder", (X, Y)) as recorder:
                recorder.record(0)
                recorder.record(1)
        if KERAS > 2:
            continue  # cannot `fit` with this strategy, whoever watches
        callbacks = [] if name == "bare" else [LayerViewCallback(folder / "callback")]
        data = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(8)
        history = model.fit(data, steps_per_epoch=5, epochs=2, verbose=0, callbacks=callbacks).history
        np.savez(folder / f"{name}.npz", **history)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    tf1.logging.set_verbosity(tf1.logging.ERROR)
    program, where, *more = sys.argv[1:]
    globals()[program](Path(where), *more)
