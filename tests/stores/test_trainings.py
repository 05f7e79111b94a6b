"""A training that is logged to a store is the same, to the last bit, and its log is that of a folder."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import get
from viewing import viewing

from tb_layerview.format import values

tf = pytest.importorskip("tensorflow")
pytest.importorskip("s3fs")

from tb_layerview import Keep, LayerReader, LayerViewCallback, LayerViewHook, LayerWriter  # noqa: E402  # once there is what it needs

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(96, 8)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)
RANDOM_KERNEL = RANDOM.normal(size=(8, 16)).astype(np.float32)
KEEP = Keep(precision="float32")


def same(one: Any, other: Any) -> None:
    """Two logs of the same training hold the same."""
    assert (one.problems, one.ended) == (other.problems, other.ended)
    assert one.tensors == other.tensors
    np.testing.assert_array_equal(one.steps, other.steps)
    for statistic in ("rms", "max", "zero"):
        np.testing.assert_array_equal(one.statistics(statistic), other.statistics(statistic))
    for tensor in one.tensors:
        kept = one.kept_steps("histogram", tensor)
        assert len(kept)
        for step in kept:
            assert one.payload("histogram", tensor, int(step)) == other.payload("histogram", tensor, int(step))


def fitted(logdir: str | None, scale: float = 1.0) -> list[float]:
    """The losses of a training with validations; with a large scale it breaks."""
    keras = tf.keras
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    layers = [keras.layers.Dense(16, "relu", name="a"), keras.layers.Dense(1, "sigmoid", name="b")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    callbacks = [] if logdir is None else [LayerViewCallback(logdir, schedule=1, probe=(X[:8], Y[:8]), keep=KEEP)]
    x = X.copy()
    x[40] *= scale
    history = model.fit(
        x, Y, batch_size=16, epochs=3, validation_data=(X, Y), shuffle=False, verbose=0, callbacks=callbacks
    )
    return [*history.history["loss"], *history.history["val_loss"]]


def test_a_fit_with_validations_is_the_same_and_so_is_its_log(tmp_path: Path, beside: str) -> None:
    assert fitted(None) == fitted(str(tmp_path / "run")) == fitted(f"{beside}/run")
    here, there = LayerReader(tmp_path / "run"), LayerReader(f"{beside}/run")
    assert here.names() == there.names() == [".", "evaluate"]
    for one, other in zip(here.runs(), there.runs()):
        same(one, other)


def test_a_fit_that_breaks_is_replayed_into_the_store(tmp_path: Path, beside: str) -> None:
    fitted(str(tmp_path / "run"), np.inf)
    fitted(f"{beside}/run", np.inf)
    here, there = LayerReader(tmp_path / "run"), LayerReader(f"{beside}/run")
    assert here.names() == there.names() == [".", "evaluate", "replay"]
    np.testing.assert_array_equal(here.run("replay").statistics("nan"), there.run("replay").statistics("nan"))


@pytest.mark.parametrize("beside", ["s3"], indirect=True)  # TensorFlow itself opens gs://
def test_the_tab_follows_a_store_where_tensorflow_is_installed(beside: str) -> None:
    with LayerWriter(f"{beside}/logs/run", keep=KEEP) as writer:
        writer.write(0, {"a": X}, "weight")
    with viewing(f"{beside}/logs", "--port=0", "--no-browser") as (_, url):
        asked = url.partition("#")[0] + "data/plugin/layerview/"

        def awaited(count: int) -> None:
            end, runs = time.monotonic() + 120, list[Any]()
            while [run["steps"] for run in runs] != [count]:
                assert time.monotonic() < end, "it did not come in time"
                time.sleep(0.5)
                runs = json.loads(get(asked + "runs").body)["runs"]

        awaited(1)
        reply = get(asked + "payload?run=run&tensor=0&step=0&section=values")
        np.testing.assert_array_equal(values.decode(reply.body).array, X)
        # A run goes on, and without boto3 it is followed all the same.
        with LayerWriter(f"{beside}/logs/run", keep=KEEP) as writer:
            writer.write(7, {"a": 2 * X}, "weight")
        awaited(2)
        reply = get(asked + "payload?run=run&tensor=0&step=7&section=values")
        np.testing.assert_array_equal(values.decode(reply.body).array, 2 * X)


@pytest.mark.estimator
def test_an_estimators_training_and_evaluation_are_logged_to_the_store(tmp_path: Path, beside: str) -> None:
    def model_fn(features: Any, labels: Any, mode: Any) -> Any:
        # Estimators' own seed does not reach Keras' initializers.
        first = tf.compat.v1.constant_initializer(RANDOM_KERNEL)
        hidden = tf.compat.v1.layers.dense(features, 16, tf.nn.relu, kernel_initializer=first, name="a")
        output = tf.compat.v1.layers.dense(hidden, 1, kernel_initializer=tf.ones_initializer(), name="b")
        loss = tf.reduce_mean(tf.square(output - labels))
        step = tf.compat.v1.train.get_global_step()
        train_op = tf.compat.v1.train.GradientDescentOptimizer(0.001).minimize(loss, step)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def data() -> Any:
        return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).repeat()

    def trained(logdir: str | None, name: str) -> float:
        estimator = tf.estimator.Estimator(model_fn, str(tmp_path / "models" / name))
        estimator.train(data, [LayerViewHook(logdir, schedule=1, keep=KEEP)] if logdir else [], steps=12)
        hooks = [LayerViewHook(f"{logdir}/evaluate", keep=KEEP)] if logdir else []
        return float(estimator.evaluate(data, steps=3, hooks=hooks)["loss"])

    logs = tmp_path / "logs"
    assert trained(None, "a") == trained(str(logs), "b") == trained(f"{beside}/logs", "c")
    here, there = LayerReader(logs), LayerReader(f"{beside}/logs")
    assert here.names() == there.names() == [".", "evaluate"]
    for one, other in zip(here.runs(), there.runs()):
        same(one, other)
