"""Trains, evaluates and predicts chains of operations that TensorFlow computes at once, with the hook and without.

Chains are generated: a kernel, what comes behind it, an activation function, and which of them share a scope. All of
them are one graph, so that a process is enough for all. What is compared comes from TensorFlow itself: losses, weights
and predictions, bit for bit, and the operations that its optimizers have made of the graph.

Run with `TF_ENABLE_ONEDNN_OPTS` set; prints what differs as JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import Keep, LayerReader, LayerViewHook, Select

tf1 = tf.compat.v1
BATCH, STEPS = 8, 2
ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "linear": lambda x: x,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "elu": tf.nn.elu,
    "leaky_relu": tf.nn.leaky_relu,
    "selu": tf.nn.selu,
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "softplus": tf.nn.softplus,
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "swish": lambda x: x * tf.sigmoid(x),
    "mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
    "hard_swish": lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6),
    "leaky_by_hand": lambda x: tf.maximum(0.2 * x, x),
    "pooled": lambda x: tf.reduce_max(tf.nn.relu(x), 1),
}
KERNELS = ("dense", "dense_3d", "conv", "conv_1d", "depthwise", "padded")
BETWEEN = ((), ("bias",), ("add_bias",), ("norm",), ("bias", "norm"), ("bias", "residual"), ("identity", "bias"))
CUTS = ("each by itself", "behind the kernel", "before the activation", "nowhere")


def chains() -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """Kernel, what is between, activation function and where the scopes are cut: each pair of them, not all of all."""
    for i, (kernel, between, activation) in enumerate(itertools.product(KERNELS, BETWEEN, ACTIVATIONS)):
        if ("norm" in between and kernel in ("dense", "dense_3d", "conv_1d")) or i % 19 not in (0, 7):
            continue
        if "norm" in between and activation == "tanh":
            continue  # TensorFlow 2.15 with oneDNN refuses its own fusion: "not implemented: [FusedBatchNorm,Tanh]"
        yield kernel, between, activation, CUTS[i % len(CUTS)]


def variable(name: str, shape: list[int]) -> Any:
    """A variable with values that its place and shape alone decide."""
    scope = tf1.get_variable_scope().name
    values = np.random.RandomState(sum(map(ord, scope + name))).normal(0, 0.4, shape).astype(np.float32)
    return tf1.get_variable(name, initializer=values, use_resource=True)


def multiplied(kernel: str, x: tf.Tensor) -> tf.Tensor:
    """What a kernel makes of images [BATCH, 6, 6, 4]."""
    if kernel == "dense":
        return tf.matmul(tf.reshape(x, [-1, 144]), variable("kernel", [144, 8]))
    if kernel == "dense_3d":
        return tf.reshape(tf.matmul(tf.reshape(x, [-1, 24]), variable("kernel", [24, 8])), [-1, 6, 8])
    if kernel == "conv_1d":
        return tf.nn.conv1d(tf.reshape(x, [-1, 36, 4]), variable("kernel", [3, 4, 8]), 1, "VALID")
    if kernel == "depthwise":
        return tf.nn.depthwise_conv2d(x, variable("kernel", [3, 3, 4, 2]), [1, 1, 1, 1], "SAME")
    if kernel == "padded":
        x, padding = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), "VALID"
    else:
        padding = "SAME"
    return tf.nn.conv2d(x, variable("kernel", [3, 3, 4, 8]), 1, padding)


def followed(step: str, x: tf.Tensor, is_training: bool) -> tf.Tensor:
    """What stands between a kernel and its activation function."""
    if step == "bias":
        return tf.nn.bias_add(x, variable("bias", [8]))
    if step == "add_bias":
        return x + variable("bias", [8])
    if step == "residual":
        return x + variable("shortcut", [int(size) for size in x.shape[1:]]) * tf.reduce_mean(x)
    if step == "identity":
        return tf.identity(x)
    statistics = (
        {} if is_training else {"mean": variable("mean", [8]), "variance": tf.abs(variable("variance", [8])) + 1}
    )
    gamma, beta = variable("gamma", [8]), variable("beta", [8])
    return tf1.nn.fused_batch_norm(x, gamma, beta, is_training=is_training, **statistics)[0]


def network(x: tf.Tensor, is_training: bool) -> dict[str, tf.Tensor]:
    """The outputs of all chains by name."""
    outputs = {}
    for number, (kernel, between, activation, cut) in enumerate(chains()):
        here = f"chain_{number}"
        scopes = [f"{here}/kernel", *(f"{here}/{step}_{i}" for i, step in enumerate(between)), f"{here}/activation"]
        if cut == "nowhere":
            scopes = [here] * len(scopes)
        elif cut == "behind the kernel":
            scopes[1:] = [f"{here}/rest"] * (len(scopes) - 1)
        elif cut == "before the activation":
            scopes[:-1] = [f"{here}/kernel"] * (len(scopes) - 1)
        with tf1.variable_scope(scopes[0], auxiliary_name_scope=True):
            y = multiplied(kernel, x)
        for step, scope in zip(between, scopes[1:]):
            with tf1.variable_scope(scope, reuse=tf1.AUTO_REUSE):
                y = followed(step, y, is_training)
        with tf1.variable_scope(scopes[-1], reuse=tf1.AUTO_REUSE):
            outputs[f"{number} {kernel} {'+'.join(between)} {activation}, cut {cut}"] = ACTIVATIONS[activation](y)
    return outputs


class Optimized(tf1.train.SessionRunHook):
    """Asks each run for the graph that TensorFlow has made of it."""

    def __init__(self) -> None:
        self.ops: list[dict[str, str]] = []

    def before_run(self, run_context: Any) -> Any:
        """Asks."""
        return tf1.train.SessionRunArgs(None, options=tf1.RunOptions(output_partition_graphs=True))

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Notes the types of the operations by name."""
        self.ops.append(
            {node.name: node.op for graph in run_values.run_metadata.partition_graphs for node in graph.node}
        )


def run(mode: str, hooks: list[Any]) -> tuple[list[Any], list[dict[str, str]]]:
    """What a few runs return, and what they were made of."""
    images = np.random.RandomState(0).normal(0, 1, [STEPS, BATCH, 6, 6, 4]).astype(np.float32)
    optimized = Optimized()
    with tf1.Graph().as_default():
        tf1.set_random_seed(1)
        step = tf1.train.get_or_create_global_step()
        data = tf.data.Dataset.from_tensor_slices(images).repeat()
        outputs = network(tf1.data.make_one_shot_iterator(data).get_next(), mode == "train")
        fetches: dict[str, Any] = outputs
        if mode != "predict":
            loss = tf.add_n([tf.reduce_mean(tf.square(y - 0.5)) for y in outputs.values()])
            fetches = {"loss": loss}
        if mode == "evaluate":
            tf1.losses.add_loss(loss)
        if mode == "train":
            fetches["train"] = tf1.train.GradientDescentOptimizer(0.1).minimize(loss, step)
        returned = []
        with tf1.train.MonitoredSession(hooks=[*hooks, optimized]) as session:
            for _ in range(STEPS):
                returned.append(session.run(fetches))
            returned.append(session.run({v.op.name: v for v in tf1.trainable_variables()}))
    return returned, optimized.ops[:STEPS]


def parted(plain: dict[str, str], hooked: dict[str, str]) -> dict[str, Any]:
    """The operations that TensorFlow has made of several, and does not with the hook."""
    return {name: [op, hooked.get(name)] for name, op in plain.items() if _is_made(op) and hooked.get(name) != op}


def _is_made(op: str) -> bool:
    return op.startswith("_") and op not in ("_Arg", "_Retval", "_Send", "_Recv")


def _is_same(one: Any, other: Any) -> bool:
    return one is other is None or np.asarray(one).tobytes() == np.asarray(other).tobytes()


def main() -> None:
    """Prints what differs in each mode, and how many operations were joined and activations logged."""
    told: dict[str, Any] = {}
    for mode in sys.argv[1:] or ("train", "evaluate", "predict"):
        plain, without = run(mode, [])
        with tempfile.TemporaryDirectory() as logdir:
            hook = LayerViewHook(logdir, Select(kinds=("activation",)), 1, Keep(activations=0, units=False))
            logged, within = run(mode, [hook])
            (found, *_) = LayerReader(logdir).runs()
            activations = sum(t.kind == "activation" for t in found.tensors)
        same = [tf.nest.map_structure(_is_same, a, b) for a, b in zip(plain, logged)]
        told[mode] = {
            "different": sorted({name for each in same for name, is_same in each.items() if not is_same}),
            "parted": parted(without[0], within[0]),
            "joined": sorted(set(filter(_is_made, without[0].values()))),
            "activations": activations,
            "layers": len({t.layer for t in found.tensors}),
            "notes": list(found.model.notes),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
