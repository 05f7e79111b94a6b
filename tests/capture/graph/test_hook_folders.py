"""Where the hook logs: trainings, evaluations and predictions that share a hook or a folder hide nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, dense, flat, trained

from tb_layerview import Keep, LayerReader, LayerViewHook

tf1 = tf.compat.v1

pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|unseeded).*:UserWarning")

EXACT = Keep(activations=10**6, weights=10**6, examples=BATCH, precision="float32")


def network(x: tf.Tensor) -> tf.Tensor:
    """One layer."""
    return dense(flat(x), 10, "logits")


def train(hook: LayerViewHook, steps: int = 3) -> None:
    """A training in a session, from the beginning."""
    with trained(network) as t, tf1.train.MonitoredSession(hooks=[hook]) as session:
        for _ in range(steps):
            session.run(t.train_op)


def infer(hook: LayerViewHook, is_evaluation: bool) -> np.ndarray:
    """What a session evaluates or predicts of one batch."""
    with tf1.Graph().as_default():
        tf1.train.get_or_create_global_step()
        images, labels = graphs.next_batch()
        logits = network(images)
        if is_evaluation:
            tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        with tf1.train.MonitoredSession(hooks=[hook]) as session:
            found: np.ndarray = session.run(logits)
    return found


def runs_in(folder: Path) -> dict[str, tuple[list[int], set[str]]]:
    """Steps and modes of each run, by name."""
    return {run.name: (run.steps.tolist(), set(run.modes)) for run in LayerReader(folder).runs()}


@pytest.mark.parametrize("is_one_hook", [True, False])
def test_what_follows_a_training_in_its_folder_has_runs_of_its_own(is_one_hook: bool, tmp_path: Path) -> None:
    hook = LayerViewHook(tmp_path, schedule=1, keep=EXACT)

    def next_hook() -> LayerViewHook:
        return hook if is_one_hook else LayerViewHook(tmp_path, schedule=1, keep=EXACT)

    train(hook)
    evaluated = infer(next_hook(), is_evaluation=True)
    predicted = infer(next_hook(), is_evaluation=False)
    assert runs_in(tmp_path) == {
        ".": ([1, 2, 3], {"train"}),
        "evaluate": ([0], {"evaluate"}),
        "predict": ([0], {"predict"}),
    }
    for name, expected in (("evaluate", evaluated), ("predict", predicted)):
        run = LayerReader(tmp_path).run(name)
        got = run.values(run.tensor("logits", kind="activation"), 0).array
        np.testing.assert_array_equal(got, expected)


def test_a_folder_of_evaluations_alone_holds_them_itself(tmp_path: Path) -> None:
    for _ in range(2):
        infer(LayerViewHook(tmp_path / "eval"), is_evaluation=True)
    assert runs_in(tmp_path) == {"eval": ([0], {"evaluate"})}


def test_a_damaged_log_is_no_reason_not_to_evaluate(tmp_path: Path) -> None:
    train(LayerViewHook(tmp_path))
    (events,) = (tmp_path / "layers").glob("*tfevents*")
    events.write_bytes(events.read_bytes()[:40] + b"\xff" * 400)
    infer(LayerViewHook(tmp_path), is_evaluation=True)
    assert "evaluate" in {mode for _, modes in runs_in(tmp_path).values() for mode in modes}


@pytest.mark.estimator
def test_one_hook_for_an_estimators_train_and_evaluate_by_turns_keeps_all_steps(tmp_path: Path) -> None:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        logits = network(features)
        loss = None if mode == "infer" else tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        train_op = (
            tf1.train.AdamOptimizer(0.01).minimize(loss, tf1.train.get_global_step()) if mode == "train" else None
        )
        return tf.estimator.EstimatorSpec(mode, {"logits": logits}, loss, train_op)

    def data() -> Any:
        return tf.data.Dataset.from_tensor_slices((graphs.IMAGES, graphs.LABELS)).batch(BATCH)

    estimator = tf.estimator.Estimator(model_fn, str(tmp_path))
    hook = LayerViewHook(tmp_path, schedule=1)
    for _ in range(2):
        estimator.train(data, hooks=[hook], steps=3)
        estimator.evaluate(data, hooks=[hook])
        list(estimator.predict(data, hooks=[hook]))
    # Another hook, as of another process, that has seen no training.
    estimator.evaluate(data, hooks=[LayerViewHook(tmp_path)])
    assert runs_in(tmp_path) == {
        ".": ([1, 2, 3, 4, 5, 6], {"train"}),
        "evaluate": ([3, 6], {"evaluate"}),
        "predict": ([3, 6], {"predict"}),
    }
    assert LayerReader(tmp_path).run(".").hidden == ""
