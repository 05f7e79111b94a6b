"""The hook in a `MonitoredTrainingSession` as people set it up: each optimizer, a scaffold, a warm start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, batch, dense, flat, trained

from tb_layerview import Keep, LayerViewHook
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")
STEPS = 6
NAMES = ("hidden/kernel", "hidden/bias", "logits/kernel", "logits/bias")


def network(x: tf.Tensor) -> tf.Tensor:
    return dense(tf.nn.relu(dense(flat(x), 12, "hidden")), 10, "logits")


def train(
    optimizer: Callable[[], Any], hooks: list[Any], make_scaffold: Callable[[], Any] = lambda: None, **session: Any
) -> tuple[list[float], list[dict[str, np.ndarray]]]:
    """Losses, and the weights before the first step and after each."""
    losses = []
    with trained(network, optimizer) as t:
        variables = {name: v for v in tf1.trainable_variables() for name in NAMES if v.op.name == name}
        with tf1.train.MonitoredTrainingSession(hooks=hooks, scaffold=make_scaffold(), **session) as run:
            weights = [run.run(variables)]
            for _ in range(STEPS):
                losses.append(run.run([t.train_op, t.loss])[1])
                weights.append(run.run(variables))
    return losses, weights


def assert_same(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    assert one[0] == other[0]
    for before, after in zip(one[1], other[1]):
        for name, weight in before.items():
            np.testing.assert_array_equal(weight, after[name], err_msg=name)


def logged(run: Run, step: int, layer: str, kind: str, name: str = "output") -> np.ndarray:
    return run.values(run.tensor(layer, kind=kind, name=name), step).array


def gradients(weights: dict[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """Of the mean cross entropy of a batch, by hand."""
    images, labels = batch(number)
    wide = {name: weight.astype(np.float64) for name, weight in weights.items()}
    x = images.reshape(len(images), -1).astype(np.float64)
    hidden = np.maximum(x @ wide["hidden/kernel"] + wide["hidden/bias"], 0)
    at_logits = graphs.softmax_gradient(hidden @ wide["logits/kernel"] + wide["logits/bias"], labels)
    at_hidden = (at_logits @ wide["logits/kernel"].T) * (hidden > 0)
    return {
        "logits/kernel": hidden.T @ at_logits,
        "logits/bias": at_logits.sum(axis=0),
        "hidden/kernel": x.T @ at_hidden,
        "hidden/bias": at_hidden.sum(axis=0),
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("GradientDescent", {}, marks=pytest.mark.covers("Graph: SGD")),
        pytest.param("Momentum", {"momentum": 0.9}, marks=pytest.mark.covers("Graph: Momentum")),
        pytest.param("Momentum", {"momentum": 0.9, "use_nesterov": True}, marks=pytest.mark.covers("Graph: Momentum")),
        pytest.param("Adam", {}, marks=pytest.mark.covers("Graph: Adam")),
        pytest.param("Adagrad", {}, marks=pytest.mark.covers("Graph: Adagrad")),
        pytest.param("RMSProp", {}, marks=pytest.mark.covers("Graph: RMSProp")),
        pytest.param("RMSProp", {"centered": True}, marks=pytest.mark.covers("Graph: RMSProp")),
        pytest.param("Ftrl", {}, marks=pytest.mark.covers("Graph: Ftrl")),
        ("Adadelta", {}),
        ("ProximalGradientDescent", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
@pytest.mark.core("Adam-", "Ftrl-", "GradientDescent-", "Momentum-momentum")
def test_each_optimizer_trains_to_the_same_bits_and_its_gradients_are_those_worked_out_by_hand(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    rate = 0.0625

    def optimizer() -> Any:
        return getattr(tf1.train, f"{name}Optimizer")(rate, **options)

    plain, hooked = train(optimizer, []), train(optimizer, [LayerViewHook(tmp_path, schedule=1, keep=EXACT)])
    assert_same(plain, hooked)
    weights = hooked[1]
    assert not np.array_equal(weights[0]["hidden/kernel"], weights[1]["hidden/kernel"])
    run = LayerReader(tmp_path).run(".")
    assert list(run.steps) == list(range(1, STEPS + 1))
    for step in (1, 3, STEPS):
        for variable, truth in gradients(weights[step - 1], step - 1).items():
            layer, leaf = variable.split("/")
            np.testing.assert_array_equal(logged(run, step, layer, "weight", leaf), weights[step][variable])
            got = logged(run, step, layer, "gradient", leaf)
            np.testing.assert_allclose(got, truth, rtol=2e-3, atol=2e-6, err_msg=f"step {step} {variable}")
    assert run.scalars["learning_rate"].tolist() == [rate] * STEPS


def descent() -> Any:
    return tf1.train.GradientDescentOptimizer(0.1)


@pytest.mark.covers("Graph: a scaffold of the user's own")
def test_a_scaffold_of_ones_own_begins_the_training_as_it_does_without_the_hook(tmp_path: Path) -> None:
    begun: list[bool] = []

    def scaffold() -> Any:
        (kernel,) = (v for v in tf1.trainable_variables() if v.op.name == "hidden/kernel")
        value = tf1.placeholder(tf.float32, kernel.shape)
        assigned = tf1.assign(kernel, value)
        fives = np.full(kernel.shape.as_list(), 5, np.float32)
        return tf1.train.Scaffold(
            init_fn=lambda _, session: (begun.append(True), session.run(assigned, {value: fives})),
            saver=tf1.train.Saver(max_to_keep=1),
        )

    plain = train(descent, [], scaffold)
    hook = LayerViewHook(tmp_path / "log", schedule=1, keep=EXACT)
    hooked = train(descent, [hook], scaffold, checkpoint_dir=str(tmp_path / "model"), save_checkpoint_steps=2)
    assert_same(plain, hooked)
    assert begun == [True, True]
    assert (hooked[1][0]["hidden/kernel"] == 5).all()
    run = LayerReader(tmp_path / "log").run(".")
    for step in range(1, STEPS + 1):
        np.testing.assert_array_equal(logged(run, step, "hidden", "weight", "kernel"), hooked[1][step]["hidden/kernel"])
    checkpoints = tf.train.get_checkpoint_state(str(tmp_path / "model")).all_model_checkpoint_paths
    assert [Path(path).name for path in checkpoints] == [f"model.ckpt-{STEPS}"], "its saver keeps one"


@pytest.mark.covers("Graph: warm start")
def test_a_warm_start_is_logged_from_its_first_step_with_the_other_trainings_weights(tmp_path: Path) -> None:
    before = train(descent, [], checkpoint_dir=str(tmp_path / "before"))[1][-1]

    def warmed() -> None:
        tf1.train.warm_start(str(tmp_path / "before"), vars_to_warm_start="hidden/.*")

    plain = train(descent, [], warmed)
    hooked = train(descent, [LayerViewHook(tmp_path / "log", schedule=1, keep=EXACT)], warmed)
    assert_same(plain, hooked)
    weights = hooked[1]
    np.testing.assert_array_equal(weights[0]["hidden/kernel"], before["hidden/kernel"])
    assert not np.array_equal(weights[0]["logits/kernel"], before["logits/kernel"]), "which starts afresh"
    run = LayerReader(tmp_path / "log").run(".")
    assert list(run.steps) == list(range(1, STEPS + 1))
    np.testing.assert_array_equal(logged(run, 1, "hidden", "weight", "kernel"), weights[1]["hidden/kernel"])
    images, _ = batch(0)
    x = images.reshape(len(images), -1).astype(np.float64)
    truth = np.maximum(x @ before["hidden/kernel"].astype(np.float64) + before["hidden/bias"], 0)
    np.testing.assert_allclose(logged(run, 1, "hidden", "activation"), truth, rtol=1e-4, atol=1e-5)
