"""Layers in the branches of conditions: what is logged of them is of the runs that take their branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tb_layerview import Keep, LayerReader, LayerViewHook, Select
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|unseeded).*:UserWarning")

BATCH, STEPS = 8, 6
X = np.random.RandomState(0).normal(0, 1, [STEPS, BATCH, 5]).astype(np.float32)
EXACT = Keep(activations=10**6, weights=10**6, examples=BATCH, precision="float32")


@pytest.fixture(params=[True, False], ids=["functional control flow", "switches"])
def control_flow(request: pytest.FixtureRequest) -> Iterator[bool]:
    """TensorFlow 2's conditions, and TensorFlow 1's, which `disable_v2_behavior` brings back."""
    was = tf1.control_flow_v2_enabled()
    (tf1.enable_control_flow_v2 if request.param else tf1.disable_control_flow_v2)()
    yield request.param
    (tf1.enable_control_flow_v2 if was else tf1.disable_control_flow_v2)()


def kernel(name: str) -> Any:
    """A variable of a layer's own."""
    values = np.random.RandomState(sum(map(ord, name))).normal(0, 0.5, [5, 5]).astype(np.float32)
    with tf1.variable_scope(name, reuse=tf1.AUTO_REUSE):
        return tf1.get_variable("kernel", initializer=values, use_resource=True)


Network = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def trained(network: Network, hooks: list[Any]) -> tuple[list[Any], list[dict[str, np.ndarray]]]:
    """The losses, and the weights before each step and after the last, of a training whose data count the steps."""
    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        data = tf.data.Dataset.from_tensor_slices((X, np.arange(STEPS)))
        x, number = tf1.data.make_one_shot_iterator(data).get_next()
        loss = tf.reduce_mean(tf.square(network(x, number) - 1.0))
        train = tf1.train.GradientDescentOptimizer(0.1).minimize(loss, step)
        variables = {v.op.name: v for v in tf1.trainable_variables()}
        losses, weights = [], []
        with tf1.train.MonitoredSession(hooks=hooks) as session:
            for _ in range(STEPS):
                weights.append(session.run(variables))
                losses.append(session.run([loss, train])[0])
            weights.append(session.run(variables))
    return losses, weights


def logged(network: Network, logdir: Path, **options: Any) -> tuple[Run, list[dict[str, np.ndarray]]]:
    """What is logged of a training that is the same to the last bit without the hook, and its weights."""
    losses, weights = trained(network, [LayerViewHook(logdir, schedule=1, keep=EXACT, **options)])
    plain_losses, plain = trained(network, [])
    assert np.array(losses).tobytes() == np.array(plain_losses).tobytes()
    assert all(a[name].tobytes() == b[name].tobytes() for a, b in zip(weights, plain, strict=True) for name in b)
    return LayerReader(logdir).run("."), weights


def steps_of(run: Run, path: str) -> list[int]:
    """The steps at which a layer's activation is logged."""
    tensor = run.tensor(path, kind="activation")
    return run.steps[np.isfinite(run.statistics("size")[tensor.index])].tolist()


def assert_is(run: Run, path: str, expected: dict[int, np.ndarray]) -> None:
    """At these steps and no others, a layer's activation is what numpy makes of the weights and the batch."""
    assert steps_of(run, path) == sorted(expected)
    for step, array in expected.items():
        got = run.values(run.tensor(path, kind="activation"), step).array
        np.testing.assert_allclose(got, array, rtol=1e-5, atol=1e-6, err_msg=f"{path} at step {step}")


def relu(x: np.ndarray) -> np.ndarray:
    """What TensorFlow's does."""
    return np.maximum(x, 0)


@pytest.mark.covers("Graph: cond")
def test_each_layer_of_two_branches_stands_at_the_steps_of_its_own(control_flow: bool, tmp_path: Path) -> None:
    def network(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        yes, no = kernel("yes"), kernel("no")
        return tf1.cond(tf.equal(number % 3, 0), lambda: tf.nn.relu(tf.matmul(x, yes)), lambda: tf.matmul(x, no))

    run, weights = logged(network, tmp_path)
    at = {number: (X[number], weights[number]) for number in range(STEPS)}
    assert_is(run, "yes", {n + 1: relu(x @ w["yes/kernel"]) for n, (x, w) in at.items() if n % 3 == 0})
    assert_is(run, "no", {n + 1: x @ w["no/kernel"] for n, (x, w) in at.items() if n % 3})
    # Gradients and weights are there at each step: those of the other branch are zero.
    for name in ("yes", "no"):
        gradient = run.tensor(name, kind="gradient")
        is_zero = [run.digest(gradient, step).rms == 0 for step in run.steps]
        assert is_zero == [(n % 3 == 0) != (name == "yes") for n in range(STEPS)]


def test_a_branch_that_is_never_taken_has_no_activation_at_any_step(control_flow: bool, tmp_path: Path) -> None:
    def network(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        yes, no = kernel("yes"), kernel("no")
        return tf1.cond(number < 0, lambda: tf.nn.relu(tf.matmul(x, yes)), lambda: tf.matmul(x, no))

    run, _ = logged(network, tmp_path)
    assert steps_of(run, "yes") == []
    assert steps_of(run, "no") == list(range(1, STEPS + 1))


def test_two_layers_in_a_row_in_one_branch_are_told_apart(control_flow: bool, tmp_path: Path) -> None:
    def network(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        first, last = kernel("first"), kernel("last")

        def both() -> tf.Tensor:
            return tf.matmul(tf.nn.relu(tf.matmul(x, first)), last)

        return tf1.cond(tf.equal(number % 2, 0), both, lambda: 2 * x)

    run, weights = logged(network, tmp_path)
    at = {n + 1: (X[n], weights[n]) for n in range(0, STEPS, 2)}
    hidden = {step: relu(x @ w["first/kernel"]) for step, (x, w) in at.items()}
    assert_is(run, "last", {step: hidden[step] @ w["last/kernel"] for step, (_, w) in at.items()})
    if control_flow:
        # What is inside a function does not leave it, and nothing else is shown in its place.
        assert [t.kind for t in run.tensors if t.layer == "first" and t.kind == "activation"] == []
        assert any(note.startswith("layer 'first': its output inside the condition") for note in run.model.notes)
    else:
        assert_is(run, "first", hidden)


def test_a_condition_within_a_condition(control_flow: bool, tmp_path: Path) -> None:
    def network(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        one, two, three = kernel("one"), kernel("two"), kernel("three")

        def inner() -> tf.Tensor:
            return tf1.cond(
                tf.equal(number % 4, 0), lambda: tf.nn.relu(tf.matmul(x, one)), lambda: tf.tanh(tf.matmul(x, two))
            )

        return tf1.cond(tf.equal(number % 2, 0), inner, lambda: tf.matmul(x, three))

    run, weights = logged(network, tmp_path)
    at = {n: (X[n], weights[n]) for n in range(STEPS)}
    assert_is(run, "three", {n + 1: x @ w["three/kernel"] for n, (x, w) in at.items() if n % 2})
    if control_flow:
        assert not any(t.kind == "activation" for t in run.tensors if t.layer in ("one", "two"))
        assert sum("its output inside the condition" in note for note in run.model.notes) == 2
    else:
        assert_is(run, "one", {n + 1: relu(x @ w["one/kernel"]) for n, (x, w) in at.items() if n % 4 == 0})
        assert_is(run, "two", {n + 1: np.tanh(x @ w["two/kernel"]) for n, (x, w) in at.items() if n % 4 == 2})


def test_the_cases_of_a_switch(control_flow: bool, tmp_path: Path) -> None:
    def network(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        kernels = [kernel(f"case_{i}") for i in range(3)]
        branches = [lambda k=k: tf.matmul(x, k) for k in kernels]
        if control_flow:
            return tf.switch_case(tf.cast(number % 4, tf.int32), branches)  # 3 is none of them: the last is taken
        return tf1.case([(tf.equal(number % 4, i), branches[i]) for i in range(2)], branches[2], exclusive=True)

    run, weights = logged(network, tmp_path)
    for i in range(3):
        taken = [n for n in range(STEPS) if min(n % 4, 2) == i]
        assert_is(run, f"case_{i}", {n + 1: X[n] @ weights[n][f"case_{i}/kernel"] for n in taken})


def test_one_layer_in_both_branches_stands_at_every_step(control_flow: bool, tmp_path: Path) -> None:
    def network(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        both = kernel("both")
        return tf1.cond(tf.equal(number % 2, 0), lambda: tf.matmul(x, both), lambda: tf.matmul(2 * x, both))

    run, weights = logged(network, tmp_path)
    calls = [t for t in run.tensors if t.kind == "activation"]
    seen = np.isfinite(run.statistics("size")[[t.index for t in calls]])
    assert (seen.sum(axis=0) == 1).all()  # in one call or, where each branch is a call, in that of the branch
    for n in range(STEPS):
        (tensor,) = (t for t, at in zip(calls, seen) if at[n])
        expected = X[n] * (1 if n % 2 == 0 else 2) @ weights[n]["both/kernel"]
        np.testing.assert_allclose(run.values(tensor, n + 1).array, expected, rtol=1e-5, atol=1e-6)


def test_what_is_computed_at_once_in_a_branch_stays_so(control_flow: bool, tmp_path: Path) -> None:
    def network(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        yes = kernel("yes")
        with tf1.variable_scope("bias", reuse=tf1.AUTO_REUSE):
            bias = tf1.get_variable("bias", initializer=np.full([5], 0.3, np.float32), use_resource=True)

        def both() -> tf.Tensor:
            return tf.tanh(tf.nn.bias_add(tf.matmul(x, yes), bias))

        return tf1.cond(tf.equal(number % 2, 0), both, lambda: 2 * x) * kernel("scale")[0]

    run, weights = logged(network, tmp_path)
    taken = range(0, STEPS, 2)
    assert_is(run, "bias", {n + 1: np.tanh(X[n] @ weights[n]["yes/kernel"] + weights[n]["bias/bias"]) for n in taken})


def test_the_step_that_breaks_a_training_is_told_with_a_branch(control_flow: bool, tmp_path: Path) -> None:
    def network(x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        yes, no = kernel("yes"), kernel("no")
        x = tf.where(tf.equal(number, 4), x / 0.0, x)
        return tf1.cond(tf.equal(number % 2, 0), lambda: tf.matmul(x, yes), lambda: tf.matmul(x, no))

    with pytest.raises(AssertionError, match="never"):
        trained(network, [LayerViewHook(tmp_path, Select(kinds=("activation", "gradient")), schedule=100), Never()])
    replay = LayerReader(tmp_path).run("replay")
    assert replay.steps.tolist() == [5]
    assert steps_of(replay, "yes") == [5]
    assert steps_of(replay, "no") == []


class Never(tf1.train.SessionRunHook):
    """Ends the training after its last step."""

    def __init__(self) -> None:
        self._runs = 0

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Counts the runs that return: two a step."""
        self._runs += 1
        assert self._runs < 2 * STEPS, "never"


def test_an_evaluation_logs_the_branches_that_its_batches_take(control_flow: bool, tmp_path: Path) -> None:
    with tf1.Graph().as_default():
        data = tf.data.Dataset.from_tensor_slices((X, np.arange(STEPS)))
        x, number = tf1.data.make_one_shot_iterator(data).get_next()
        yes, no, never = kernel("yes"), kernel("no"), kernel("never")
        y = tf1.cond(tf.equal(number % 3, 0), lambda: tf.nn.relu(tf.matmul(x, yes)), lambda: tf.matmul(x, no))
        y += tf1.cond(number < 0, lambda: tf.matmul(x, never), lambda: x)
        with tf1.train.MonitoredSession(hooks=[LayerViewHook(tmp_path, keep=EXACT)]) as session:
            for _ in range(STEPS):
                session.run(y)
            weights = session.run({"yes": yes, "no": no})
    (run,) = LayerReader(tmp_path).runs()
    expected = {
        "yes": relu(np.concatenate([X[0], X[3]]) @ weights["yes"]),
        "no": np.concatenate([X[n] for n in (1, 2, 4, 5)]) @ weights["no"],
    }
    for name, array in expected.items():
        digest = run.digest(run.tensor(name, kind="activation"), 0)
        assert digest.size == array.size
        np.testing.assert_allclose([digest.min, digest.max], [array.min(), array.max()], rtol=1e-4, atol=1e-5)
    assert steps_of(run, "never") == []
