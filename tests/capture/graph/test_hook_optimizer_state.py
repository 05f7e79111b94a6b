"""The hook's kind `optimizer`: what optimizers keep of each weight.

Truth is numpy's, made of the gradients of each step, and what `session.run` of the optimizer's variables returns.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, dense, flat, noisy_network, trained

from tb_layerview import Keep, LayerViewHook, Select
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")
STEPS = 5
STATE = Select(kinds=("weight", "gradient", "optimizer"))


def network(x: tf.Tensor) -> tf.Tensor:
    """Two layers."""
    return dense(tf.nn.relu(dense(flat(x), 12, "hidden")), 10, "logits")


def references(x: tf.Tensor) -> tf.Tensor:
    """The same, with variables as TensorFlow 1 made them."""
    return dense(tf.nn.relu(dense(flat(x), 12, "hidden", use_resource=False)), 10, "logits", use_resource=False)


def train(train_op: Any, hooks: list[Any], steps: int = STEPS) -> list[dict[str, np.ndarray]]:
    """All variables before the first run and after each."""
    variables = {v.op.name: v for v in tf1.global_variables()}
    with tf1.train.MonitoredTrainingSession(hooks=hooks) as session:
        seen = [session.run(variables)]
        for _ in range(steps):
            session.run(train_op)
            seen.append(session.run(variables))
    return seen


def read(folder: Path) -> Run:
    return LayerReader(folder).run(".")


def names(run: Run, layer: str, weight: str) -> set[str]:
    """What is logged of an optimizer's state of a weight."""
    found = [t for t in run.tensors if t.kind == "optimizer" and t.layer == layer]
    return {t.name.removeprefix(f"{weight}/") for t in found if t.name.startswith(f"{weight}/")}


def value(run: Run, step: int, layer: str, name: str, kind: Any = "optimizer") -> np.ndarray:
    found: np.ndarray = run.values(run.tensor(layer, kind=kind, name=name), step).array
    return found


# By optimizer: what it keeps, by the name of TensorFlow's variable below the weight's.
SLOTS: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {
    "adam": (lambda: tf1.train.AdamOptimizer(0.01), {"momentum": "Adam", "velocity": "Adam_1"}),
    "momentum": (lambda: tf1.train.MomentumOptimizer(0.01, 0.9), {"momentum": "Momentum"}),
    "rms": (lambda: tf1.train.RMSPropOptimizer(0.01), {"velocity": "RMSProp", "momentum": "RMSProp_1"}),
    "centred": (
        lambda: tf1.train.RMSPropOptimizer(0.01, centered=True),
        {"velocity": "RMSProp", "average_gradient": "RMSProp_1", "momentum": "RMSProp_2"},
    ),
    "adagrad": (lambda: tf1.train.AdagradOptimizer(0.01), {"accumulator": "Adagrad"}),
    "adadelta": (
        lambda: tf1.train.AdadeltaOptimizer(0.1),
        {"accumulated_grad": "Adadelta", "accumulated_delta_var": "Adadelta_1"},
    ),
    "ftrl": (lambda: tf1.train.FtrlOptimizer(0.01), {"accumulator": "Ftrl", "linear": "Ftrl_1"}),
    "plain": (lambda: tf1.train.GradientDescentOptimizer(0.01), {}),
}
# The same of the legacy optimizers of Keras 2.
KERAS_SLOTS: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {
    "keras_adam": (lambda: tf.keras.optimizers.legacy.Adam(0.01), {"momentum": "m", "velocity": "v"}),
    "keras_adamax": (lambda: tf.keras.optimizers.legacy.Adamax(0.01), {"momentum": "m", "norm": "v"}),
    "keras_sgd": (lambda: tf.keras.optimizers.legacy.SGD(0.01, momentum=0.9), {"momentum": "momentum"}),
    "keras_rms": (lambda: tf.keras.optimizers.legacy.RMSprop(0.01), {"velocity": "rms"}),
}


def slots_here() -> dict[str, tuple[Callable[[], Any], dict[str, str]]]:
    """Those that this stack has."""
    return {**SLOTS, **KERAS_SLOTS} if tf.__version__.startswith("2.15") else SLOTS


def layer_by_layer(x: tf.Tensor) -> tf.Tensor:
    """A layer for each optimizer."""
    x = flat(x)
    for name in slots_here():
        x = tf.nn.tanh(dense(x, 10, name))
    return x


def table_by_table(x: tf.Tensor) -> tf.Tensor:
    """A table for each optimizer, whose gradients have some rows."""
    indices, found = tf.cast(20 * flat(x)[:, :4], tf.int32), []
    for name in slots_here():
        with tf1.variable_scope(name):
            found.append(flat(tf.nn.embedding_lookup(graphs.weight("kernel", [20, 6]), indices)))
    return dense(tf.concat(found, axis=1), 10, "logits")


class Each:
    """Each optimizer trains the layer of its name."""

    def minimize(self, loss: Any, step: Any) -> Any:
        """The train op."""
        ops = []
        for name, (make, _) in slots_here().items():
            optimizer, own = make(), [v for v in tf1.trainable_variables() if v.op.name.startswith(f"{name}/")]
            is_kerass = hasattr(optimizer, "get_updates")
            ops.append(optimizer.get_updates(loss, own) if is_kerass else optimizer.minimize(loss, var_list=own))
        return tf.group(ops, tf1.assign_add(step, 1))


@pytest.mark.covers("What and when: kind optimizer, hook")
@pytest.mark.parametrize("net", [layer_by_layer, table_by_table], ids=["whole gradients", "gradients of rows"])
def test_what_each_optimizer_keeps_is_logged_as_its_variables_hold_it(tmp_path: Path, net: Any) -> None:
    with trained(net, Each) as t:
        seen = train(t.train_op, [LayerViewHook(tmp_path, STATE, 1, EXACT)])
    run = read(tmp_path)
    for layer, (_, expected) in slots_here().items():
        assert names(run, layer, "kernel") == set(expected), layer
        for slot, variable in expected.items():
            for step in range(1, STEPS + 1):
                (found,) = (v for n, v in seen[step].items() if n.endswith(f"{layer}/kernel/{variable}"))
                np.testing.assert_array_equal(value(run, step, layer, f"kernel/{slot}"), found)
                assert found.any()


@pytest.mark.covers("What and when: kind optimizer, hook")
@pytest.mark.parametrize("net", [network, references], ids=["resources", "references"])
def test_adams_moments_are_those_that_numpy_makes_of_the_gradients(tmp_path: Path, net: Any) -> None:
    with trained(net) as t:
        train(t.train_op, [LayerViewHook(tmp_path, STATE, 1, EXACT)])
    run = read(tmp_path)
    m = v = np.zeros(run.tensor("hidden", kind="weight", name="kernel").shape)
    for step in range(1, STEPS + 1):
        gradient = value(run, step, "hidden", "kernel", "gradient").astype(np.float64)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        np.testing.assert_allclose(value(run, step, "hidden", "kernel/momentum"), m, rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(value(run, step, "hidden", "kernel/velocity"), v, rtol=1e-4, atol=1e-12)
    tensor = run.tensor("hidden", kind="optimizer", name="kernel/momentum")
    assert tensor.axes == ("input", "unit")
    assert run.statistics("rms")[tensor.index][-1] == pytest.approx(np.sqrt((m**2).mean()), rel=1e-4)


def test_it_is_not_logged_unless_it_is_asked_for_and_nothing_is_read_then(tmp_path: Path) -> None:
    with trained(network) as t:
        train(t.train_op, [LayerViewHook(tmp_path, schedule=1)])
        read_anew = [op.name for op in t.graph.get_operations() if op.name.startswith("layerview")]
        read_of = {op.inputs[0].op.name for op in t.graph.get_operations() if op.name in set(read_anew) and op.inputs}
    assert not [t for t in read(tmp_path).tensors if t.kind == "optimizer"]
    assert "hidden/kernel" in read_of
    assert not [name for name in read_of if "Adam" in name]


def test_losses_and_all_variables_are_the_same_to_the_last_bit(tmp_path: Path) -> None:
    def run(hooks: list[Any]) -> list[dict[str, np.ndarray]]:
        with trained(noisy_network) as t:
            return train(t.train_op, hooks, 12)

    plain, logged = run([]), run([LayerViewHook(tmp_path, STATE, 2, EXACT)])
    for one, other in zip(plain, logged):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_of_two_optimizers_that_train_one_weight_both_are_logged(tmp_path: Path) -> None:
    with trained(network) as t, t.graph.as_default():
        second = tf1.train.MomentumOptimizer(0.01, 0.5, name="Second").minimize(t.loss)
        seen = train(tf.group(t.train_op, second), [LayerViewHook(tmp_path, STATE, 1, EXACT)])
    run = read(tmp_path)
    assert names(run, "hidden", "kernel") == {"momentum", "velocity", "momentum#2"}
    np.testing.assert_array_equal(value(run, 3, "hidden", "kernel/momentum#2"), seen[3]["hidden/kernel/Second"])
    np.testing.assert_array_equal(value(run, 3, "hidden", "kernel/momentum"), seen[3]["hidden/kernel/Adam"])


def test_an_optimizer_in_a_condition_is_seen_through(tmp_path: Path) -> None:
    def every_second(loss: Any, step: Any) -> Any:
        gradients = tf1.train.AdamOptimizer(0.01)
        pairs = gradients.compute_gradients(loss)
        increased = tf1.assign_add(step, 1)
        apply, nothing = lambda: tf.group(gradients.apply_gradients(pairs)), lambda: tf.group(increased)
        return tf1.cond(tf.equal(increased % 2, 0), apply, nothing)

    class Conditional:
        minimize = staticmethod(every_second)

    with trained(network, Conditional) as t:
        seen = train(t.train_op, [LayerViewHook(tmp_path, STATE, 2, EXACT)], 6)
    run = read(tmp_path)
    for step in (2, 4, 6):
        name = next(name for name in seen[step] if name.endswith("hidden/kernel/Adam"))
        np.testing.assert_array_equal(value(run, step, "hidden", "kernel/momentum"), seen[step][name])


def test_without_any_the_notes_say_so(tmp_path: Path) -> None:
    with trained(network, lambda: tf1.train.GradientDescentOptimizer(0.1)) as t:
        train(t.train_op, [LayerViewHook(tmp_path, STATE, 1)])
    run = read(tmp_path)
    assert not [t for t in run.tensors if t.kind == "optimizer"]
    assert "no optimizer state is logged: nothing was found that an optimizer keeps of a weight" in run.model.notes
