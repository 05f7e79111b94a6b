"""Faults in TensorFlow 1 graphs, seen by the hook: what it logs is the batch that was trained on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from bed import STEPS, Planted, batch_number, fault, problem
from bed_of_graphs import graph_of, run_graph, tf1, weighted

import tb_layerview as lv


def _squared(given: Any, wanted: Any) -> Any:
    return tf.reduce_mean((given - wanted) ** 2)


@fault(own="a graph in a session")
def graph_bad_example_in_one_batch(folder: Path) -> Planted:
    """In a monitored session one example of the eighth batch is negative where a layer takes a logarithm."""
    x, y = problem()
    x = np.abs(x) + 0.1
    x[batch_number(7)][3] = -1
    with graph_of(x, y) as (step, inputs, wanted):
        with tf1.variable_scope("log"):
            scale = tf1.get_variable("scale", initializer=np.ones(8, np.float32), use_resource=True)
            logs = tf.math.log(inputs * scale)
        given = weighted(tf.nn.tanh(weighted(logs, 16, "hidden")), 1, "score")
        run_graph(folder, tf1.train.GradientDescentOptimizer(0.1).minimize(_squared(given, wanted), step))
    return Planted(("non_finite",), ("log",), ("activation",), first=8)


@fault(own="a graph in a session")
def graph_gradient_spike_from_one_batch(folder: Path) -> Planted:
    """In a monitored session the inputs of the 16th batch are 1,000 times too large."""
    x, y = problem()
    x[batch_number(15)] *= 1000
    with graph_of(x, y) as (step, inputs, wanted):
        given = weighted(tf.nn.elu(weighted(inputs, 16, "hidden")), 1, "score")
        run_graph(folder, tf1.train.GradientDescentOptimizer(1e-9).minimize(_squared(given, wanted), step))
    return Planted(("gradient_spike",), ("hidden", "score"), ("gradient",), first=16)


@fault(own="a graph in a session")
def graph_weights_assigned_between_steps(folder: Path) -> Planted:
    """In a monitored session a run of its own replaces a kernel by noise, between steps 15 and 16."""
    x, y = problem()

    class Assign(tf1.train.SessionRunHook):  # type: ignore[misc]
        """Assigns after the 15th step."""

        steps = 0

        def after_run(self, run_context: Any, run_values: Any) -> None:
            self.steps += 1
            if self.steps == 15:
                run_context.session.run(replace)

    with graph_of(x, y) as (step, inputs, wanted):
        hidden = tf.nn.tanh(weighted(inputs, 16, "hidden"))
        given = weighted(tf.nn.tanh(weighted(hidden, 16, "second")), 1, "score")
        train_op = tf1.train.GradientDescentOptimizer(0.01).minimize(_squared(given, wanted), step)
        (kernel,) = (v for v in tf1.trainable_variables() if v.op.name == "second/kernel")
        replace = kernel.assign(np.random.default_rng(1).normal(size=(16, 16)).astype(np.float32))
        run_graph(folder, train_op, hooks=[Assign()])
    return Planted(("update_spike",), ("second",), ("update",), first=(15, 16))


@fault(own="a graph in a session")
def graph_biases_far_below_zero(folder: Path) -> Planted:
    """In a monitored session all biases of a ReLU layer start at -50."""
    x, y = problem()
    with graph_of(x, y) as (step, inputs, wanted):
        hidden = tf.nn.relu(weighted(inputs, 16, "hidden"))
        low = tf.nn.relu(weighted(hidden, 16, "low", bias=-50.0))
        loss = _squared(weighted(low, 1, "score"), wanted)
        run_graph(folder, tf1.train.GradientDescentOptimizer(0.1).minimize(loss, step))
    return Planted(("silent_layer",), ("low",), ("activation",), first=1)


@fault(own="a graph in a session")
def graph_layer_that_its_optimizer_leaves_out(folder: Path) -> Planted:
    """In a monitored session the first layer's part of the optimizer has a learning rate of zero."""
    x, y = problem()
    with graph_of(x, y) as (step, inputs, wanted):
        given = weighted(tf.nn.tanh(weighted(inputs, 16, "hidden")), 1, "score")
        loss, optimizer = _squared(given, wanted), tf1.train.GradientDescentOptimizer
        first = optimizer(0.0).minimize(loss, var_list=tf1.trainable_variables("hidden"))
        second = optimizer(0.1, name="Second").minimize(loss, step, tf1.trainable_variables("score"))
        run_graph(folder, tf.group(first, second))
    return Planted(("unmoved_weight",), ("hidden",), ("update",), first=(1, 2))


@fault(own="an Estimator", needs_estimator=True)
def estimator_with_a_rate_far_too_high(folder: Path) -> Planted:
    """An Estimator trains at a rate of 30 where 0.1 learns: the weights run away until they overflow."""
    x, y = problem()
    seen: list[bool] = []

    class Look(tf1.train.SessionRunHook):  # type: ignore[misc]
        """Whether all weights are finite after each step, by a run of its own."""

        def after_run(self, run_context: Any, run_values: Any) -> None:
            weights = run_context.session.run(tf1.trainable_variables())
            seen.append(all(np.isfinite(weight).all() for weight in weights))

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        given = weighted(tf.nn.elu(weighted(features, 16, "hidden")), 1, "score")
        loss = _squared(given, labels)
        step = tf1.train.get_global_step()
        train_op = tf1.train.GradientDescentOptimizer(30.0).minimize(loss, step)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def input_fn() -> Any:
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(32)

    config = tf.estimator.RunConfig(tf_random_seed=1, save_summary_steps=STEPS)
    estimator = tf.estimator.Estimator(model_fn, str(folder), config)
    # The Estimator itself stops where the loss is NaN.
    with contextlib.suppress(tf.estimator.NanLossDuringTrainingError):
        estimator.train(input_fn, hooks=[lv.LayerViewHook(folder, schedule=1), Look()])
    assert False in seen
    rules = ("non_finite", "update_ratio", "exploding_gradient", "gradient_spike")
    return Planted(rules, ("hidden", "score"), first=(1, seen.index(False) + 1), causes=2)


@fault(own="an Estimator", needs_estimator=True)
def estimator_with_a_stopped_gradient(folder: Path) -> Planted:
    """An Estimator's first layer lies behind a product with zero: its gradient is exactly zero."""
    x, y = problem()

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        hidden = tf.nn.tanh(weighted(features, 16, "hidden"))
        hidden = tf.stop_gradient(hidden) + 0.0 * hidden
        loss = _squared(weighted(hidden, 1, "score"), labels)
        train_op = tf1.train.GradientDescentOptimizer(0.1).minimize(loss, tf1.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def input_fn() -> Any:
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(32)

    estimator = tf.estimator.Estimator(model_fn, str(folder), tf.estimator.RunConfig(tf_random_seed=1))
    estimator.train(input_fn, hooks=[lv.LayerViewHook(folder, schedule=1)])
    return Planted(("zero_gradient", "unmoved_weight"), ("hidden",), ("gradient", "update"), first=(1, 2))
