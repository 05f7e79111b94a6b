"""What the tests of the graph side share: data, models as people write them, and one way to train them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

EXAMPLES, BATCH = 96, 16
_RANDOM = np.random.RandomState(0)
IMAGES = _RANDOM.rand(EXAMPLES, 8, 8, 3).astype(np.float32)
LABELS = _RANDOM.randint(0, 10, EXAMPLES).astype(np.int32)


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """The batch that a training sees as its number-th, from 0."""
    start = number * BATCH % EXAMPLES
    return IMAGES[start : start + BATCH], LABELS[start : start + BATCH]


def next_batch() -> tuple[tf.Tensor, tf.Tensor]:
    """Batches from a dataset, in order, for as long as anybody asks."""
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat().batch(BATCH, drop_remainder=True)
    images, labels = tf1.data.make_one_shot_iterator(data).get_next()
    return images, labels


def weight(name: str, shape: Sequence[int], use_resource: bool = True) -> Any:
    """A variable with values of its own, whatever the stack."""
    values = np.random.RandomState(sum(map(ord, name)) + sum(shape)).normal(0, 0.3, shape).astype(np.float32)
    return tf1.get_variable(name, initializer=values, use_resource=use_resource)


def dense(x: tf.Tensor, units: int, name: str, use_resource: bool = True) -> tf.Tensor:
    """A dense layer by hand, in a scope."""
    with tf1.variable_scope(name):
        kernel = weight("kernel", [int(x.shape[-1]), units], use_resource)
        return tf.nn.bias_add(tf.matmul(x, kernel), weight("bias", [units], use_resource))


def convolution(x: tf.Tensor, channels: int, name: str) -> tf.Tensor:
    """A convolution by hand, in a scope."""
    with tf1.variable_scope(name):
        kernel = weight("kernel", [3, 3, int(x.shape[-1]), channels])
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), weight("bias", [channels]))


def normalization(x: tf.Tensor, name: str) -> tf.Tensor:
    """Batch normalisation by hand, in a scope, with moving averages."""
    with tf1.variable_scope(name):
        channels = int(x.shape[-1])
        gamma = tf1.get_variable("gamma", [channels], initializer=tf1.ones_initializer())
        beta = tf1.get_variable("beta", [channels], initializer=tf1.zeros_initializer())
        mean = tf1.get_variable("moving_mean", [channels], initializer=tf1.zeros_initializer(), trainable=False)
        variance = tf1.get_variable("moving_variance", [channels], initializer=tf1.ones_initializer(), trainable=False)
        output, batch_mean, batch_variance = tf1.nn.fused_batch_norm(x, gamma, beta, is_training=True)
        for moving, now in ((mean, batch_mean), (variance, batch_variance)):
            tf1.add_to_collection(tf1.GraphKeys.UPDATE_OPS, tf1.assign_sub(moving, 0.1 * (moving - now)))
        return output


def flat(x: tf.Tensor) -> tf.Tensor:
    """All but the first axis in one."""
    return tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])


def noisy_network(x: tf.Tensor) -> tf.Tensor:
    """Everything that a hook could disturb: normalisation with moving averages, dropout, noise."""
    x = tf.nn.relu(normalization(convolution(x, 4, "conv"), "norm"))
    x = flat(tf.nn.max_pool2d(x, 2, 2, "VALID", name="pool"))
    x = tf.nn.tanh(dense(x, 16, "hidden"))
    x = tf1.nn.dropout(x, rate=0.4) + tf.random.normal([16], stddev=0.01)
    return dense(x, 10, "logits")


@dataclasses.dataclass
class Graph:
    """A model that is ready to be trained.

    Attributes:
      graph: Its graph.
      loss: Scalar.
      train_op: Trains it by one step.
      step: The global step's variable.
    """

    graph: Any
    loss: tf.Tensor
    train_op: Any
    step: Any


@contextmanager
def trained(network: Callable[[tf.Tensor], tf.Tensor], optimizer: Callable[[], Any] | None = None) -> Iterator[Graph]:
    """A graph, as the default, in which a network is trained on the images, every random number from one seed."""
    graph = tf1.Graph()
    tf.keras.utils.set_random_seed(1)  # Keras draws seeds from Python, and once this was called from a place of its own
    with graph.as_default():
        tf1.set_random_seed(1)
        step = tf1.train.get_or_create_global_step()
        images, labels = next_batch()
        logits = network(images)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        with tf1.control_dependencies(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)):
            train_op = (optimizer or (lambda: tf1.train.AdamOptimizer(0.01)))().minimize(loss, step)
        yield Graph(graph, loss, train_op, step)


def softmax_gradient(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the mean cross entropy with respect to the logits, by hand."""
    wide = logits.astype(np.float64)
    probabilities = np.exp(wide - wide.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return (probabilities - np.eye(wide.shape[1])[labels]) / len(wide)
