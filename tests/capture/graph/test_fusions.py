"""What TensorFlow computes at once stays so with the hook: in every pairing of scopes, with oneDNN and without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import program_fusions
import pytest
import tensorflow as tf
from places import HELPERS, environment

from tb_layerview import Check, Keep, LayerReader, LayerViewHook, Select

tf1 = tf.compat.v1

# What is tested here is what TensorFlow has long called deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|unseeded).*:UserWarning")


MODES = [
    pytest.param(
        (onednn, mode), id=f"{name}-{mode}", marks=() if (onednn, mode) == ("1", "train") else pytest.mark.long
    )
    for onednn, name in (("1", "oneDNN"), ("0", "no oneDNN"))
    for mode in ("train", "evaluate", "predict")
]


@pytest.fixture(scope="module", params=MODES)
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `program_fusions` tells of a mode; whether oneDNN computes is decided when TensorFlow is loaded."""
    onednn, mode = request.param
    variables = environment(TF_ENABLE_ONEDNN_OPTS=onednn, TF_CPP_MIN_LOG_LEVEL="3")
    program = [sys.executable, str(HELPERS / "program_fusions.py"), mode]
    done = subprocess.run(program, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found[mode]


def test_what_is_computed_at_once_stays_so_and_rounds_the_same(told: dict[str, Any]) -> None:
    joined = " ".join(told["joined"])
    assert all(kind in joined for kind in ("FusedConv2D", "FusedMatMul"))  # else there was nothing to part
    assert told["parted"] == {}
    assert told["different"] == []


def test_activations_are_logged_of_each_layer_all_the_same(told: dict[str, Any]) -> None:
    assert told["notes"] == []
    assert told["activations"] >= told["layers"] > 100


@pytest.mark.estimator
def test_a_linear_classifier_with_one_column_is_computed_as_without_the_hook(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    x = random.randn(64).astype(np.float32)
    y = (x > 0.1).astype(np.int32)

    def train(name: str, hooks: list[Any]) -> tuple[dict[str, str], dict[str, bytes]]:
        optimized = program_fusions.Optimized()
        estimator = tf.estimator.LinearClassifier(
            [tf.feature_column.numeric_column("price")],
            model_dir=str(tmp_path / name),
            config=tf.estimator.RunConfig(tf_random_seed=1),
        )
        estimator.train(
            lambda: tf.data.Dataset.from_tensor_slices(({"price": x}, y)).repeat().batch(16), [*hooks, optimized], 4
        )
        weights = {name: estimator.get_variable_value(name).tobytes() for name in estimator.get_variable_names()}
        return optimized.ops[0], weights

    plain, weights = train("plain", [])
    logged, same = train("logged", [LayerViewHook(tmp_path / "log", schedule=1)])
    assert any(op.endswith("FusedMatMul") for op in plain.values())  # else there was nothing to part
    assert program_fusions.parted(plain, logged) == {}
    assert same == weights
    run = LayerReader(tmp_path / "log").run(".")
    column = run.tensor("linear/linear_model/price", kind="activation")
    kernel = run.tensor("linear/linear_model/price", kind="weight")
    # What one column gives: of the first batch, which the weights from before the first step, zeros, multiply, nothing.
    assert run.digest(column, 1).zero == 16
    after = float(run.values(kernel, 3).array.reshape(()))
    np.testing.assert_allclose(
        np.sort(run.values(column, 4).array.ravel()), np.sort(x[48:64] * after), rtol=1e-3, atol=1e-4
    )


# ---- what a copy gives ----

X = np.random.RandomState(1).normal(0, 1, [4, 16, 6]).astype(np.float32)


def parts(x: tf.Tensor, use_resource: bool = True, multiply: Any = tf.matmul) -> tf.Tensor:
    """A kernel, a bias and an activation function, in a scope each; nothing but the last is needed by a gradient."""

    def variable(scope: str, shape: list[int]) -> Any:
        values = np.random.RandomState(len(scope)).normal(0, 0.5, shape).astype(np.float32)
        with tf1.variable_scope(scope):
            return tf1.get_variable("w", initializer=values, use_resource=use_resource)

    column, shift = variable("column", [6, 5]), variable("shift", [5])
    with tf1.name_scope("column"):
        y = multiply(x, tf.convert_to_tensor(column))
    with tf1.name_scope("shift"):
        y = tf.nn.bias_add(tf.identity(y), shift)
    with tf1.name_scope("act"):
        return tf.nn.relu(y)


def trained(hooks: list[Any], scales: Any = (1, 1, 1, 1), **options: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """The losses of a training of four steps, and the weights before each."""
    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        data = tf.data.Dataset.from_tensor_slices((X, np.array(scales, np.float32)))
        x, scale = tf1.data.make_one_shot_iterator(data).get_next()
        loss = tf.reduce_mean(tf.square(parts(x / scale, **options) - 1.0))
        train = tf1.train.GradientDescentOptimizer(0.1).minimize(loss, step)
        variables = {v.op.name: v for v in tf1.trainable_variables()}
        losses, weights = [], []
        with tf1.train.MonitoredSession(hooks=hooks) as session:
            for _ in range(4):
                weights.append(session.run(variables))
                losses.append(session.run([loss, train])[0])
    return losses, weights


def assert_same(one: tuple[list[Any], list[dict[str, Any]]], other: tuple[list[Any], list[dict[str, Any]]]) -> None:
    """Two trainings are the same to the last bit."""
    assert np.array(one[0]).tobytes() == np.array(other[0]).tobytes()
    for a, b in zip(one[1], other[1], strict=True):
        assert {name: array.tobytes() for name, array in a.items()} == {
            name: array.tobytes() for name, array in b.items()
        }


EXACT = Keep(activations=10**6, examples=16, precision="float32")


@pytest.mark.parametrize("is_by_hand", [False, True], ids=["found", "selected by hand"])
def test_what_is_looked_at_apart_is_what_numpy_makes_of_the_step(is_by_hand: bool, tmp_path: Path) -> None:
    select = Select(tensors=("column_1/MatMul:0", "shift_1/BiasAdd:0")) if is_by_hand else Select()
    done = trained([LayerViewHook(tmp_path, select, 1, EXACT)])
    assert_same(done, trained([]))
    run = LayerReader(tmp_path).run(".")
    paths = ("column_1/MatMul", "shift_1/BiasAdd") if is_by_hand else ("column", "shift")
    for step in range(1, 5):
        multiplied = X[step - 1] @ done[1][step - 1]["column/w"]
        added = multiplied + done[1][step - 1]["shift/w"]
        for path, expected in zip(paths, (multiplied, added if is_by_hand else np.maximum(added, 0))):
            got = run.values(run.tensor(path, kind="activation"), step).array
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=f"{path} at step {step}")


def test_what_only_a_copy_of_a_reference_could_give_is_left_out_with_a_note(tmp_path: Path) -> None:
    done = trained([LayerViewHook(tmp_path, schedule=1, keep=EXACT)], use_resource=False)
    assert_same(done, trained([], use_resource=False))
    run = LayerReader(tmp_path).run(".")
    assert not any(t.layer == "column" and t.kind == "activation" for t in run.tensors)
    assert [note for note in run.model.notes if "'column'" in note] == [
        "layer 'column': activation output is left out. TensorFlow may compute it at once with what takes it; looking "
        "at it would change the training's rounding"
    ]
    assert any(t.layer == "shift" and t.kind == "activation" for t in run.tensors)


def test_a_kernel_within_a_function_stays_with_the_bias_outside(tmp_path: Path) -> None:
    multiply = tf.function(lambda x, w: tf.matmul(x, w), autograph=False)
    hook = LayerViewHook(tmp_path, schedule=1, keep=EXACT)
    assert_same(trained([hook], multiply=multiply), trained([], multiply=multiply))


def test_the_step_that_breaks_a_training_has_what_is_looked_at_apart(tmp_path: Path) -> None:
    scales = (1, 1, 0, 1)
    hook = LayerViewHook(tmp_path, schedule=100, keep=EXACT, check=Check(replay=True))
    done = trained([hook], scales)
    assert_same(done, trained([], scales))
    replay = LayerReader(tmp_path).run("replay")
    assert replay.steps.tolist() == [3]
    with np.errstate(all="ignore"):
        expected = (X[2] / np.float32(0)) @ done[1][2]["column/w"]
    got = replay.values(replay.tensor("column", kind="activation"), 3).array
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
