"""The hook with the ways in which people train: clipped gradients, several optimizers, checkpoints, a NaN."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, dense, flat, trained
from places import environment

from tb_layerview import Keep, LayerViewHook
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")
STEPS = 6


def network(x: tf.Tensor) -> tf.Tensor:
    return dense(tf.nn.relu(dense(flat(x), 12, "hidden")), 10, "logits")


class Given:
    """An optimizer made of a function that makes the train op of a loss."""

    def __init__(self, make: Callable[[Any, Any], Any]) -> None:
        self.make = make

    def minimize(self, loss: Any, step: Any) -> Any:
        """The train op."""
        return self.make(loss, step)


def train(make: Callable[[Any, Any], Any], logdir: Path | None) -> tuple[list[float], list[dict[str, np.ndarray]]]:
    """Losses, and the weights before the first step and after each."""
    hooks = [] if logdir is None else [LayerViewHook(logdir, schedule=1, keep=EXACT)]
    losses: list[float] = []
    with trained(network, lambda: Given(make)) as t:
        variables = {v.op.name: v for v in tf1.trainable_variables()}
        with tf1.train.MonitoredTrainingSession(hooks=hooks) as session:
            weights = [session.run(variables)]
            for _ in range(STEPS):
                losses.append(session.run([t.train_op, t.loss])[1])
                weights.append(session.run(variables))
    return losses, weights


def assert_unnoticed(make: Callable[[Any, Any], Any], logdir: Path) -> tuple[Run, list[dict[str, np.ndarray]]]:
    plain, hooked = train(make, None), train(make, logdir)
    assert plain[0] == hooked[0]
    for one, other in zip(plain[1], hooked[1]):
        for name, weight in one.items():
            np.testing.assert_array_equal(weight, other[name])
    run = LayerReader(logdir).run(".")
    assert list(run.steps) == list(range(1, STEPS + 1))
    return run, hooked[1]


def gradient(run: Run, step: int, variable: str) -> np.ndarray:
    layer, name = variable.split("/")
    return run.values(run.tensor(layer, kind="gradient", name=name), step).array


def clipped_together(loss: Any, step: Any) -> Any:
    variables = tf1.trainable_variables()
    gradients, _ = tf.clip_by_global_norm(tf.gradients(loss, variables), 0.05)
    return tf1.train.GradientDescentOptimizer(0.5).apply_gradients(list(zip(gradients, variables)), step)


def clipped_by_value(loss: Any, step: Any) -> Any:
    optimizer = tf1.train.GradientDescentOptimizer(0.5)
    gradients = optimizer.compute_gradients(loss)
    return optimizer.apply_gradients([(tf.clip_by_value(g, -0.01, 0.01), v) for g, v in gradients], step)


@pytest.mark.parametrize("make", [clipped_together, clipped_by_value])
@pytest.mark.covers("Graph: gradient clipping")
def test_of_clipped_gradients_those_that_are_applied_are_logged(make: Any, tmp_path: Path) -> None:
    run, weights = assert_unnoticed(make, tmp_path)
    for step in (1, 3, STEPS):
        total = 0.0
        for name in weights[0]:
            applied = (weights[step - 1][name].astype(np.float64) - weights[step][name]) / 0.5
            np.testing.assert_allclose(gradient(run, step, name), applied, atol=2e-6)
            total += float((gradient(run, step, name).astype(np.float64) ** 2).sum())
        if make is clipped_together:
            assert np.sqrt(total) == pytest.approx(0.05, rel=1e-4)
        else:
            assert np.abs(gradient(run, step, "logits/bias")).max() <= 0.01


@pytest.mark.covers("Graph: several train ops")
def test_of_several_train_ops_in_a_run_each_trains_its_layers_and_all_are_logged(tmp_path: Path) -> None:
    def make(loss: Any, step: Any) -> Any:
        first = tf1.train.GradientDescentOptimizer(0.5).minimize(loss, step, tf1.trainable_variables("hidden"))
        second = tf1.train.GradientDescentOptimizer(0.25, name="Other").minimize(
            loss, var_list=tf1.trainable_variables("logits")
        )
        return tf.group(first, second)

    run, weights = assert_unnoticed(make, tmp_path)
    for step in (1, STEPS):
        for name, rate in {"hidden/kernel": 0.5, "logits/kernel": 0.25, "logits/bias": 0.25}.items():
            applied = (weights[step - 1][name].astype(np.float64) - weights[step][name]) / rate
            np.testing.assert_allclose(gradient(run, step, name), applied, atol=2e-6)
    assert run.scalars["learning_rate of hidden"].tolist() == [0.5] * STEPS
    assert run.scalars["learning_rate of logits"].tolist() == [0.25] * STEPS


@pytest.mark.covers("Graph: an optimizer with unknown apply ops")
def test_an_optimizer_that_assigns_by_itself_has_no_gradients_and_that_is_said_once(tmp_path: Path) -> None:
    def make(loss: Any, step: Any) -> Any:
        variables = tf1.trainable_variables()
        changes = [tf1.assign_sub(v, 0.1 * tf.sign(g)) for v, g in zip(variables, tf.gradients(loss, variables))]
        with tf1.control_dependencies(changes):
            return tf1.assign_add(step, 1)

    run, weights = assert_unnoticed(make, tmp_path)
    assert {t.kind for t in run.tensors} == {"activation", "weight", "update"}
    assert run.model.notes == (
        "no gradient is logged for hidden/kernel, hidden/bias, logits/kernel, logits/bias: its optimizer has no apply "
        "operation to take the gradient from",
    )
    kernel = run.tensor("logits", kind="weight", name="kernel")
    np.testing.assert_array_equal(run.values(kernel, STEPS).array, weights[STEPS]["logits/kernel"])


@pytest.mark.parametrize(
    "with_checkpoints",
    [
        pytest.param(
            False,
            id="no checkpoint folder",
            marks=pytest.mark.covers("Graph: MonitoredTrainingSession without a checkpoint folder"),
        ),
        pytest.param(
            True,
            id="a checkpoint folder",
            marks=pytest.mark.covers(
                "Graph: MonitoredTrainingSession with a checkpoint folder", "Graph: restore, step numbers go on"
            ),
        ),
    ],
)
def test_a_monitored_training_session_trains_to_the_same_bits_and_is_logged(
    with_checkpoints: bool, tmp_path: Path
) -> None:
    def run_to(last: int, folder: Path, hooks: list[Any]) -> list[tuple[int, float]]:
        seen = []
        with (
            trained(graphs.noisy_network) as t,
            tf1.train.MonitoredTrainingSession(
                checkpoint_dir=str(folder) if with_checkpoints else None,
                hooks=[*hooks, tf1.train.StopAtStepHook(last_step=last)],
            ) as session,
        ):
            while not session.should_stop():
                _, loss, _ = session.run([t.train_op, t.loss, t.step])
                seen.append(loss)
        return seen

    folder, log = tmp_path / "with", tmp_path / "log"
    plain = [run_to(last, tmp_path / "without", []) for last in (5, 9)]
    hook = LayerViewHook(log, schedule=1, keep=EXACT)
    assert [run_to(last, folder, [hook]) for last in (5, 9)] == plain
    run = LayerReader(log).run(".")
    assert list(run.steps) == list(range(1, 10))
    # Without checkpoints the second session begins anew, and its steps take the place of the first one's.
    losses = [*plain[0], *plain[1]] if with_checkpoints else plain[1]
    np.testing.assert_array_equal(run.scalars["loss"], losses)
    if with_checkpoints:
        saved = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder)))
        for tensor in run.tensors:
            if tensor.kind == "weight":
                np.testing.assert_array_equal(
                    run.values(tensor, 9).array, saved.get_tensor(f"{tensor.layer}/{tensor.name}")
                )


@pytest.mark.parametrize("is_before", [True, False], ids=["before it", "after it"])
@pytest.mark.covers("What and when: NanTensorHook, the last step is written")
def test_when_a_nan_stops_the_training_what_the_hook_saw_is_written(is_before: bool, tmp_path: Path) -> None:
    """Listed before the hook that raises it has seen the step of the NaN; listed after it, the steps up to there."""
    program = f"""
import tensorflow as tf
import graphs
from tb_layerview import LayerViewHook
from test_hook_training import network
with graphs.trained(network, lambda: tf.compat.v1.train.AdamOptimizer(1e30)) as t:
    hooks = [LayerViewHook({str(tmp_path)!r}, schedule=1), tf.compat.v1.train.NanTensorHook(t.loss)]
    with tf.compat.v1.train.MonitoredTrainingSession(hooks={"hooks" if is_before else "hooks[::-1]"}) as session:
        for _ in range(50):
            print("step", session.run([t.train_op, t.loss])[1], flush=True)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(Path(__file__).parent),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "NaN loss during training" in ended.stderr
    done = ended.stdout.count("step")
    run = LayerReader(tmp_path).run(".")
    assert list(run.steps) == list(range(1, done + 1 + is_before))
    assert np.isfinite(run.scalars["loss"][:done]).all()
    if is_before:
        assert np.isnan(run.scalars["loss"][-1])
