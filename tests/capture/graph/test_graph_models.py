"""Graphs as people build them, trained with the hook: what it logs is what the session itself returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, dense, flat, trained, weight

from tb_layerview import Keep, LayerViewHook
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

# What is tested here is what TensorFlow has long called deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|unseeded).*:UserWarning")

EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")
STEPS = 4

Marks = dict[
    str, Any
]  # the user's own handles: tensors by what they should be logged as, "path" or "path 1" for call 1
Network = Callable[[tf.Tensor, Marks], tf.Tensor]


@pytest.fixture(params=[True, False], ids=["functional control flow", "switches"])
def control_flow(request: pytest.FixtureRequest) -> Iterator[bool]:
    """TensorFlow 2's loops and conditions, and TensorFlow 1's, which `disable_v2_behavior` brings back."""
    was = tf1.control_flow_v2_enabled()
    (tf1.enable_control_flow_v2 if request.param else tf1.disable_control_flow_v2)()
    yield request.param
    (tf1.enable_control_flow_v2 if was else tf1.disable_control_flow_v2)()


def descent() -> Any:
    return tf1.train.GradientDescentOptimizer(0.1)


def losses_without(network: Network, optimizer: Callable[[], Any]) -> list[float]:
    with trained(lambda x: network(x, {}), optimizer) as t, tf1.train.MonitoredTrainingSession() as session:
        return [session.run([t.train_op, t.loss])[1] for _ in range(STEPS)]


def owner_of(variable: str, run: Run) -> tuple[str, str]:
    """The layer and the name that a variable is logged under."""
    weights = [(x.layer, x.name) for x in run.tensors if x.kind == "weight"]
    whole = [(layer, name) for layer, name in weights if variable in (name, f"{layer}/{name}")]
    # A recurrent layer's variables lie in a scope of their cell.
    return (whole or [x for x in weights if variable.startswith(x[0] + "/") and variable.endswith("/" + x[1])])[0]


def assert_logged(
    network: Network,
    layers: dict[str, str],
    logdir: Path,
    optimizer: Callable[[], Any] = descent,
    absent: frozenset[str] = frozenset(),
) -> Run:
    """Trains with the hook, and compares all that is logged with what the session returns in the same run or after it.

    Args:
      network: The model; it notes its own handles of what leaves its layers.
      layers: Class names by path, in order: what should be found.
      logdir: An empty folder.
      optimizer: What to train with.
      absent: Layers that run only where the network's own mark `when` is true.
    """
    marks: Marks = {}
    ours: list[dict[str, Any]] = []
    after: list[dict[str, np.ndarray]] = []
    losses: list[float] = []
    with trained(lambda x: network(x, marks), optimizer) as t:
        variables = {v.op.name: v for v in tf1.trainable_variables()}
        # The user's own gradients, whole where a look-up has some rows only.
        gradients = dict(zip(variables, tf.gradients(t.loss, list(variables.values()))))
        gradients = {name: tf.convert_to_tensor(g) for name, g in gradients.items()}
        hook = LayerViewHook(logdir, schedule=1, keep=EXACT)
        with tf1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            for _ in range(STEPS):
                fetched = session.run({"train": t.train_op, "loss": t.loss, "marks": marks, "gradients": gradients})
                losses.append(fetched["loss"])
                ours.append(fetched)
                after.append(session.run(variables))
    assert losses == losses_without(network, optimizer)
    run = LayerReader(logdir).run(".")
    assert {layer.path: layer.class_name for layer in run.layers} == layers
    assert list(run.steps) == list(range(1, STEPS + 1))
    activations = {(x.layer, x.call) for x in run.tensors if x.kind == "activation" and x.name == "output"}
    logged_as = {(name.split()[0], int(name.partition(" ")[2] or 0)): name for name in marks if name != "when"}
    assert activations == set(logged_as)
    for step in (1, 2, STEPS):
        for (path, call), name in logged_as.items():
            tensor = run.tensor(path, kind="activation", call=call)
            if path in absent and not ours[step - 1]["marks"]["when"]:
                assert np.isnan(run.statistics("size")[tensor.index, step - 1])
                continue
            got = run.values(tensor, step).array
            np.testing.assert_array_equal(got, ours[step - 1]["marks"][name], err_msg=f"step {step} {name}")
        for name, value in after[step - 1].items():
            path, leaf = owner_of(name, run)
            np.testing.assert_array_equal(run.values(run.tensor(path, kind="weight", name=leaf), step).array, value)
            got = run.values(run.tensor(path, kind="gradient", name=leaf), step).array
            expected = ours[step - 1]["gradients"][name]
            if got.shape != expected.shape:  # some rows only, in another order
                expected = expected[np.any(expected != 0, axis=1)]
                got, expected = (rows[np.lexsort(rows.T)] for rows in (got, expected))
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6, err_msg=f"step {step} {name}")
    assert run.model.notes == ()
    return run


# ---- tf.layers ----


def plane(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    layers = tf1.layers
    x = marks["conv"] = layers.conv2d(x, 4, 3, padding="same", strides=2, activation=tf.nn.relu, name="conv")
    x = marks["norm"] = layers.batch_normalization(x, training=True, name="norm")
    x = marks["up"] = layers.conv2d_transpose(x, 5, 3, strides=2, padding="same", activation=tf.nn.relu, name="up")
    x = marks["separable"] = layers.separable_conv2d(x, 6, 3, name="separable")
    x = marks["average"] = layers.average_pooling2d(x, 2, 2, name="average")
    x = layers.dropout(layers.flatten(x), 0.4, training=True, name="drop")
    logits = marks["logits"] = layers.dense(x, 10, name="logits")
    return logits


PLANE = {
    "conv": "Conv2D",
    "norm": "BatchNormalization",
    "up": "Conv2DTranspose",
    "separable": "SeparableConv2D",
    "average": "AveragePooling2D",
    "logits": "Dense",
}


def line(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    layers = tf1.layers
    x = tf.reshape(x, [-1, 8, 24])
    x = marks["conv"] = layers.conv1d(x, 6, 3, activation=tf.nn.relu, name="conv")
    x = marks["most"] = layers.max_pooling1d(x, 2, 2, name="most")
    x = marks["separable"] = layers.separable_conv1d(x, 5, 2, name="separable")
    logits = marks["logits"] = layers.dense(layers.flatten(x), 10, name="logits")
    return logits


def space(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    layers = tf1.layers
    x = tf.reshape(x, [-1, 8, 8, 3, 1])
    x = marks["conv"] = layers.conv3d(x, 4, 2, activation=tf.nn.relu, name="conv")
    x = marks["most"] = layers.max_pooling3d(x, 2, 2, name="most")
    x = marks["up"] = layers.conv3d_transpose(x, 3, 2, name="up")
    logits = marks["logits"] = layers.dense(layers.flatten(x), 10, name="logits")
    return logits


def twins(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    def tower(part: tf.Tensor, call: str) -> tf.Tensor:
        with tf1.variable_scope("tower", reuse=tf1.AUTO_REUSE):
            part = marks["tower/conv" + call] = tf1.layers.conv2d(part, 4, 3, activation=tf.nn.relu, name="conv")
            part = tf1.layers.flatten(part)
            part = marks["tower/dense" + call] = tf1.layers.dense(part, 8, activation=tf.nn.relu, name="dense")
        return part

    both = tf.concat([tower(x[:, :4], ""), tower(x[:, 4:], " 1")], 1)
    logits = marks["logits"] = tf1.layers.dense(both, 10, name="logits")
    return logits


def in_parts(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    with tf1.variable_scope("net", partitioner=tf1.fixed_size_partitioner(2)):
        x = marks["net/hidden"] = tf1.layers.dense(flat(x), 12, activation=tf.nn.relu, name="hidden")
    logits = marks["logits"] = tf1.layers.dense(x, 10, name="logits")
    return logits


def keras_and_bare(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    layers = tf.keras.layers
    x = marks["conv"] = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = layers.Flatten()(layers.Dropout(0.4)(x, training=True))
    logits = marks["last"] = tf.matmul(x, weight("last", [144, 10])) + weight("shift", [10])
    return logits


@pytest.mark.tf_layers
@pytest.mark.parametrize(
    ("network", "layers"),
    [
        pytest.param(
            plane,
            PLANE,
            marks=pytest.mark.covers(
                "Graph: tf.layers, dense",
                "Graph: tf.layers, convolution",
                "Graph: tf.layers, batch normalisation",
                "Graph: tf.layers, transposed convolution",
                "Graph: tf.layers, separable convolution",
                "Graph: tf.layers, pooling",
                "Graph: tf.layers, dropout",
                "Graph: tf.layers, flatten",
            ),
        ),
        (
            line,
            {"conv": "Conv1D", "most": "MaxPooling1D", "separable": "SeparableConv1D", "logits": "Dense"},
        ),
        (space, {"conv": "Conv3D", "most": "MaxPooling3D", "up": "Conv3DTranspose", "logits": "Dense"}),
        pytest.param(
            twins,
            {"tower/conv": "Conv2D", "tower/dense": "Dense", "logits": "Dense"},
            marks=pytest.mark.covers("Graph: variable_scope with reuse"),
        ),
        pytest.param(
            in_parts,
            {"net/hidden": "Dense", "logits": "Dense"},
            marks=pytest.mark.covers("Graph: partitioned variables"),
        ),
        pytest.param(
            keras_and_bare,
            {"conv": "Conv2D", "last": "Dense"},
            marks=pytest.mark.covers("Graph: Keras layers in a model_fn", "Graph: raw variables in a model_fn"),
        ),
    ],
)
@pytest.mark.core("plane-*", "twins-*", "keras_and_bare-*")
def test_tf_layers_and_keras_layers_are_logged_as_the_session_returns_them(
    network: Network, layers: dict[str, str], tmp_path: Path
) -> None:
    assert_logged(network, layers, tmp_path)


@pytest.mark.tf_layers
@pytest.mark.covers("Graph: tf.layers, transposed convolution")
def test_a_transposed_convolutions_kernel_has_the_channels_that_it_makes_first(tmp_path: Path) -> None:
    run = assert_logged(plane, PLANE, tmp_path)
    kernel = run.tensor("up", kind="weight", name="kernel")
    assert dict(zip(kernel.axes, kernel.shape)) == {"row": 3, "column": 3, "channel": 5, "input channel": 4}


# ---- by hand, on both stacks ----


def bare_parts(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    with tf1.variable_scope("big", partitioner=tf1.fixed_size_partitioner(3)):
        kernel = tf1.get_variable("kernel", [192, 12], initializer=tf1.random_normal_initializer(stddev=0.1, seed=1))
        x = marks["big"] = tf.nn.relu(tf.matmul(flat(x), kernel))
    logits = marks["logits"] = dense(x, 10, "logits")
    return logits


def words(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(x[:, :, 0, 0] * 9, tf.int32)


def look_up(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    with tf1.variable_scope("words"):
        table = weight("table", [20, 5])
    x = marks["words"] = tf.nn.embedding_lookup(table, words(x))
    logits = marks["logits"] = dense(tf.reduce_mean(x, 1), 10, "logits")
    return logits


def look_up_in_parts(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    with tf1.variable_scope("words", partitioner=tf1.fixed_size_partitioner(2)):
        table = tf1.get_variable("table", [20, 5], initializer=tf1.random_normal_initializer(stddev=0.1, seed=1))
    x = marks["words"] = tf.nn.embedding_lookup(table, words(x))
    logits = marks["logits"] = dense(tf.reduce_mean(x, 1), 10, "logits")
    return logits


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        pytest.param(
            bare_parts, {"big": "Dense", "logits": "Dense"}, marks=pytest.mark.covers("Graph: partitioned variables")
        ),
        pytest.param(
            look_up,
            {"words": "Embedding", "logits": "Dense"},
            marks=pytest.mark.covers("Graph: embedding look-ups with sparse gradients"),
        ),
        pytest.param(
            look_up_in_parts,
            {"words": "Embedding", "logits": "Dense"},
            marks=pytest.mark.covers("Graph: embedding look-ups with sparse gradients", "Graph: partitioned variables"),
        ),
    ],
)
def test_variables_in_parts_and_look_ups_are_logged(network: Network, layers: dict[str, str], tmp_path: Path) -> None:
    # Adam has no apply operation for some rows of a variable: it adds them to its averages.
    assert_logged(network, layers, tmp_path, lambda: tf1.train.AdamOptimizer(0.01))


@pytest.mark.covers("Graph: partitioned variables")
def test_of_a_partitioned_variable_each_part_is_logged_by_its_name(tmp_path: Path) -> None:
    run = assert_logged(bare_parts, {"big": "Dense", "logits": "Dense"}, tmp_path)
    parts = [(t.name, t.shape) for t in run.tensors if (t.layer, t.kind) == ("big", "weight")]
    assert parts == [(f"kernel/part_{i}", (64, 12)) for i in range(3)]


@pytest.mark.parametrize(
    ("optimizer", "is_summed"),
    [
        (lambda: tf1.train.GradientDescentOptimizer(0.1), False),
        (lambda: tf1.train.MomentumOptimizer(0.1, 0.9), True),
        (lambda: tf1.train.AdagradOptimizer(0.1), True),
        (lambda: tf1.train.AdamOptimizer(0.1), True),
    ],
    ids=["sgd", "momentum", "adagrad", "adam"],
)
@pytest.mark.covers("Graph: embedding look-ups with sparse gradients")
def test_of_a_look_up_the_rows_that_were_looked_up_are_its_gradient(
    optimizer: Callable[[], Any], is_summed: bool, tmp_path: Path
) -> None:
    """As the optimizer gets them: plain descent a row for each look-up, the others one for each word."""
    with trained(lambda x: look_up(x, {}), optimizer) as t:
        (table,) = (v for v in tf1.trainable_variables() if v.op.name == "words/table")
        whole = tf.convert_to_tensor(tf.gradients(t.loss, table)[0])
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1, keep=EXACT)]) as session:
            expected = session.run([t.train_op, whole])[1]
    run = LayerReader(tmp_path).run(".")
    gradient = run.tensor("words", kind="gradient", name="table")
    assert (gradient.axes, gradient.shape[1]) == (("slice", "unit"), 5)
    indices = (graphs.batch(0)[0][:, :, 0, 0] * 9).astype(np.int32)
    rows = len(np.unique(indices)) if is_summed else indices.size
    assert run.digest(gradient, 1).size == 5 * rows
    got = run.values(gradient, 1).array.astype(np.float64)
    np.testing.assert_allclose(got.sum(axis=0), expected.astype(np.float64).sum(axis=0), rtol=1e-4, atol=1e-6)


# ---- loops and conditions, of both forms ----


def repeated(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    x = marks["first"] = dense(flat(x), 12, "first")
    with tf1.variable_scope("cell"):
        kernel = weight("kernel", [12, 12])
    _, x = tf1.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, tf.tanh(tf.matmul(v, kernel))), (0, x))
    marks["cell"] = x
    logits = marks["logits"] = dense(x, 10, "logits")
    return logits


def chosen(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    is_bright = marks["when"] = tf.reduce_mean(x) > 0.495
    x = marks["first"] = dense(flat(x), 12, "first")
    with tf1.variable_scope("gate"):
        kernel = weight("kernel", [12, 12])
    x = marks["gate"] = tf1.cond(is_bright, lambda: tf.matmul(x, kernel), lambda: 2 * x)
    logits = marks["logits"] = dense(x, 10, "logits")
    return logits


class Cell:
    """A recurrent cell by hand: those that TensorFlow had are gone with Keras 2."""

    output_size = state_size = 5

    def zero_state(self, batch_size: Any, dtype: Any) -> tf.Tensor:
        return tf.zeros([batch_size, 5], dtype)

    def __call__(self, inputs: tf.Tensor, state: tf.Tensor, scope: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        state = tf.tanh(tf.matmul(tf.concat([inputs, state], 1), weight("kernel", [9, 5])) + weight("bias", [5]))
        return state, state


def rolled(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    x = marks["first"] = dense(flat(x), 12, "first")
    outputs, _ = tf1.nn.dynamic_rnn(Cell(), tf.reshape(x, [-1, 3, 4]), dtype=tf.float32)
    marks["rnn"] = outputs
    logits = marks["logits"] = dense(outputs[:, -1], 10, "logits")
    return logits


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        pytest.param(
            repeated, {"first": "Dense", "cell": "", "logits": "Dense"}, marks=pytest.mark.covers("Graph: while_loop")
        ),
        pytest.param(
            rolled, {"first": "Dense", "rnn": "", "logits": "Dense"}, marks=pytest.mark.covers("Graph: dynamic_rnn")
        ),
    ],
)
@pytest.mark.usefixtures("control_flow")
def test_a_layer_inside_a_loop_is_logged_as_what_leaves_it(
    network: Network, layers: dict[str, str], tmp_path: Path
) -> None:
    run = assert_logged(network, layers, tmp_path)
    assert [(layer.path, layer.inputs) for layer in run.layers] == [
        ("first", ()),
        (list(layers)[1], (0,)),
        ("logits", (1,)),
    ]


@pytest.mark.covers("Graph: cond")
def test_a_layer_inside_a_condition_is_logged_where_its_branch_runs(control_flow: bool, tmp_path: Path) -> None:
    layers = {"first": "Dense", "gate": "" if control_flow else "Dense", "logits": "Dense"}
    run = assert_logged(chosen, layers, tmp_path, absent=frozenset({"gate"}))
    present = np.isfinite(run.statistics("size")[run.tensor("gate", kind="activation").index])
    assert set(present.tolist()) == {True, False}
    # The other branch goes past the layer.
    past = () if control_flow else (0,)
    assert [(layer.path, layer.inputs) for layer in run.layers] == [
        ("first", ()),
        ("gate", (0,)),
        ("logits", (*past, 1)),
    ]


def recurrent(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    cell = tf1.nn.rnn_cell.LSTMCell(6)
    outputs, _ = tf1.nn.dynamic_rnn(cell, tf.reshape(x, [-1, 8, 24]), dtype=tf.float32)
    marks["rnn"] = outputs
    logits = marks["logits"] = dense(outputs[:, -1], 10, "logits")
    return logits


def last_state(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    cell = tf1.nn.rnn_cell.LSTMCell(6)
    _, state = tf1.nn.dynamic_rnn(cell, tf.reshape(x, [-1, 8, 24]), dtype=tf.float32)
    marks["rnn"] = state.h
    logits = marks["logits"] = dense(state.h, 10, "logits")
    return logits


def stacked(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    cells = [tf1.nn.rnn_cell.GRUCell(6), tf1.nn.rnn_cell.BasicLSTMCell(5)]
    outputs, _ = tf1.nn.dynamic_rnn(tf1.nn.rnn_cell.MultiRNNCell(cells), tf.reshape(x, [-1, 8, 24]), dtype=tf.float32)
    marks["rnn"] = outputs
    logits = marks["logits"] = dense(outputs[:, -1], 10, "logits")
    return logits


def both_ways(x: tf.Tensor, marks: Marks) -> tf.Tensor:
    cells = [tf1.nn.rnn_cell.LSTMCell(6), tf1.nn.rnn_cell.LSTMCell(5)]
    outputs, _ = tf1.nn.bidirectional_dynamic_rnn(*cells, tf.reshape(x, [-1, 8, 24]), dtype=tf.float32)
    marks["bidirectional_rnn/fw"] = outputs[0]
    marks["bidirectional_rnn/bw"] = tf.reverse(outputs[1], [1])  # as its loop computes it, from the end on
    logits = marks["logits"] = dense(tf.concat(outputs, 2)[:, -1], 10, "logits")
    return logits


@pytest.mark.tf_layers
@pytest.mark.parametrize(
    ("network", "layers"),
    [
        (recurrent, {"rnn": "LSTM", "logits": "Dense"}),
        (last_state, {"rnn": "LSTM", "logits": "Dense"}),
        (stacked, {"rnn": "LSTM", "logits": "Dense"}),
        (both_ways, {"bidirectional_rnn/fw": "LSTM", "bidirectional_rnn/bw": "LSTM", "logits": "Dense"}),
    ],
)
@pytest.mark.usefixtures("control_flow")
@pytest.mark.covers("Graph: dynamic_rnn")
@pytest.mark.core("functional control flow-recurrent-*", "switches-both_ways-*")
def test_a_dynamic_rnn_is_one_layer_whose_activation_is_what_leaves_its_loop(
    network: Network, layers: dict[str, str], tmp_path: Path
) -> None:
    assert_logged(network, layers, tmp_path)
