"""The window that is found of a layer in a graph is what it reads: held against what it makes of single ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from receptive_fields import by_impulses, by_window

import tb_layerview as lv
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.search import find_layers
from tb_layerview.format.model import Window

tf1 = tf.compat.v1


def kernel(*shape: int) -> Any:
    return tf1.get_variable("kernel", shape, initializer=tf1.random_uniform_initializer(0.5, 1.0))


def conv(x: Any, size: Any, strides: Any, padding: Any, dilation: Any = 1) -> Any:
    out = tf.nn.conv2d(x, kernel(*size, 1, 2), strides, padding, dilations=dilation)
    return tf.nn.relu(tf.nn.bias_add(out, tf1.get_variable("bias", [2], initializer=tf1.zeros_initializer())))


def transposed(x: Any, size: int, stride: int, padding: str, outputs: Any) -> Any:
    return tf.nn.conv2d_transpose(x, kernel(size, size, 2, 1), [x.shape[0], *outputs, 2], stride, padding)


def one_axis(x: Any, padding: str) -> Any:
    return tf.nn.conv1d(x[:, :, 0], kernel(3, 1, 2), 2, padding)


EXPLICIT = [[0, 0], [2, 0], [1, 3], [0, 0]]
CASES: dict[str, Any] = {
    "same": lambda x: conv(x, (3, 2), (2, 1), "SAME"),
    "valid": lambda x: conv(x, (2, 3), 3, "VALID"),
    "dilated": lambda x: conv(x, (3, 2), 1, "SAME", (2, 1)),
    "explicit": lambda x: conv(x, (3, 3), 2, EXPLICIT),
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, kernel(3, 3, 1, 2), [1, 2, 2, 1], "SAME"),
    "upwards": lambda x: transposed(x, 3, 2, "SAME", [2 * n for n in x.shape[1:3]]),
    "upwards_odd": lambda x: transposed(x, 4, 2, "SAME", [2 * n - 1 for n in x.shape[1:3]]),
    "upwards_valid": lambda x: transposed(x, 3, 2, "VALID", [2 * n + 1 for n in x.shape[1:3]]),
    "max_pool": lambda x: conv(x, (1, 1), 1, "SAME"),
    "mean_pool": lambda x: conv(x, (1, 1), 1, "SAME"),
}
# What stands behind the layer.
BEHIND: dict[str, Any] = {
    "max_pool": lambda x: tf.nn.max_pool2d(x, (3, 2), 2, "SAME"),
    "mean_pool": lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"),
}


def found_in(x: Any, build: Any, behind: Any = tf.identity) -> tuple[Any, dict[str, Window | None]]:
    """What a network gives, of one layer `layer` and what stands behind it, and the windows by path."""
    with tf1.variable_scope("layer"):
        out = build(x)
    out = behind(out)
    # The layers before have to be made of something that is trained.
    tf1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(out))
    return out, {layer.path: layer.window for layer in find_layers(GraphIndex(tf1.get_default_graph())).layers}


@pytest.mark.parametrize("sizes", [(7, 8), (8, 9)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_a_layers_window_is_what_it_reads(name: str, sizes: tuple[int, int]) -> None:
    impulses = int(np.prod(sizes))
    with tf.Graph().as_default() as graph:
        given = tf1.placeholder(tf.float32, [impulses, *sizes])
        out, windows = found_in(given[..., None], CASES[name], BEHIND.get(name, tf.identity))
        known = [window for path, window in windows.items() if window is not None and window.size != (1, 1)]
        assert len(known) == 1 and len(windows) == 1 + (name in BEHIND), windows
        with tf1.Session(graph=graph) as session:
            session.run(tf1.global_variables_initializer())

            def compute(x: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
                return np.asarray(session.run(tf.reduce_sum(out, -1), {given: x}))

            assert np.array_equal(by_window(known[0], sizes), by_impulses(compute, sizes)), known[0]


def test_a_layer_of_one_axis_has_a_window_of_one() -> None:
    with tf.Graph().as_default():
        x = tf.random.normal([4, 9, 1, 1])
        _, windows = found_in(x, lambda x: one_axis(x, "SAME"))
    assert windows["layer"] == Window((3,), (2,), (1,), (1,), (1,))


def test_where_the_inputs_size_is_not_known_the_padding_is_not() -> None:
    with tf.Graph().as_default():
        x = tf.random.uniform([4, tf.random.uniform([], 8, 9, tf.int32), 6, 1])
        _, windows = found_in(x, lambda x: conv(x, (3, 3), 2, "SAME"))
    assert windows["layer"] == Window((3, 3), (2, 2), (1, 1))


@pytest.mark.parametrize(
    "build",
    [
        lambda x: tf.nn.max_pool2d(conv(x, (3, 3), 1, "SAME"), 2, 2, "VALID"),
        lambda x: tf.nn.relu(tf.reverse(conv(x, (3, 3), 1, "SAME"), [1])),
        lambda x: tf.nn.conv2d(conv(x, (3, 3), 1, "SAME"), tf1.get_variable("weights", [3, 3, 2, 2]), 1, "SAME"),
    ],
    ids=["pools too", "turns round", "slides twice"],
)
def test_a_layer_that_does_more_than_slide_once_has_no_window(build: Any) -> None:
    with tf.Graph().as_default():
        _, windows = found_in(tf.random.normal([4, 8, 8, 1]), build)
    assert windows["layer"] is None


def test_a_sessions_log_has_the_windows(tmp_path: Path) -> None:
    with tf.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        with tf1.variable_scope("layer"):
            out = conv(tf.random.normal([4, 8, 7, 1]), (3, 3), 2, "SAME")
        train = tf1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(out), step)
        with tf1.train.MonitoredTrainingSession(hooks=[lv.LayerViewHook(tmp_path, schedule=1)]) as session:
            session.run(train)
    (layer,) = [layer for layer in lv.LayerReader(tmp_path).run().layers if layer.path == "layer"]
    assert layer.window == Window((3, 3), (2, 2), (1, 1), (0, 1), (1, 1))
