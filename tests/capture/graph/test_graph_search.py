from __future__ import annotations

from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import convolution, dense, flat, trained, weight

from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.search import find_layers
from tb_layerview.capture.graph.search.taps import GraphTap, GraphTaps

tf1 = tf.compat.v1


def search(graph: Any) -> GraphTaps:
    return find_layers(GraphIndex(graph))


def paths(found: GraphTaps) -> list[str]:
    return [layer.path for layer in found.layers]


def tap(found: GraphTaps, path: str, kind: str, name: str = "output", call: int = 0) -> GraphTap:
    return next(
        t
        for t in found.taps
        if (found.layers[t.tensor.layer].path, t.tensor.kind, t.tensor.name, t.tensor.call) == (path, kind, name, call)
    )


def names(found: GraphTaps, path: str, kind: str) -> list[str]:
    return [t.tensor.name for t in found.taps if found.layers[t.tensor.layer].path == path and t.tensor.kind == kind]


def run(graph: Any, fetches: Any) -> Any:
    with tf1.Session(graph=graph) as session:
        session.run(tf1.global_variables_initializer())
        return session.run(fetches)


def test_a_layer_has_the_lines_at_which_its_calls_were_made() -> None:
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None, 4])
        with tf1.variable_scope("hidden"):
            kernel = tf1.get_variable("kernel", [4, 4])
        for _ in range(2):
            x = tf.matmul(x, kernel)  # here: hidden
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = next(i for i, of in enumerate(lines, 1) if of.endswith("# here: hidden"))
    (layer,) = search(graph).layers
    places = [(source.file.rpartition("/")[2], source.line) for source in layer.sources]
    assert places == 2 * [("test_graph_search.py", line)]


def test_the_layers_of_a_network_by_hand_are_found_in_order_with_their_connections() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(convolution(x, 4, "body/conv"))
        return dense(flat(tf.nn.max_pool2d(x, 2, 2, "VALID", name="pool")), 10, "head/logits")

    with trained(network) as t:
        found = search(t.graph)
    assert [(layer.path, layer.class_name, layer.inputs) for layer in found.layers] == [
        ("body/conv", "Conv2D", ()),
        ("pool", "MaxPooling2D", (0,)),
        ("head/logits", "Dense", (1,)),
    ]
    assert tap(found, "body/conv", "activation").tensor.axes == ("example", "row", "column", "channel")
    assert tap(found, "body/conv", "activation").tensor.shape == (16, 8, 8, 4)
    kernel = tap(found, "body/conv", "weight", "kernel").tensor
    assert (kernel.shape, kernel.axes) == ((3, 3, 3, 4), ("row", "column", "input channel", "channel"))
    assert tap(found, "head/logits", "gradient", "kernel").tensor.axes == ("input", "unit")
    assert found.notes == ()


def test_a_bare_variable_that_is_called_like_a_scope_hides_no_layer() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        with tf1.variable_scope("mlp"):
            first, second = weight("one", (flat(x).shape[1], 12)), weight("two", (12, 12))
            x = tf.nn.relu(tf.matmul(tf.matmul(flat(x), first), second))
        return dense(dense(x, 12, "mlp/one"), 10, "logits")

    with trained(network, lambda: tf1.train.GradientDescentOptimizer(0.1)) as t:
        found = search(t.graph)
        trainable = t.graph.get_collection(tf1.GraphKeys.TRAINABLE_VARIABLES)
    assert len(set(paths(found))) == len(found.layers)
    keys = {(found.layers[t.tensor.layer].path, t.tensor.name) for t in found.taps if t.tensor.kind == "weight"}
    assert len(keys) == len(trainable) == 6
    assert "mlp/one#2" in paths(found)


def test_searching_leaves_the_graph_as_it_is() -> None:
    with trained(graphs.noisy_network) as t:
        before = t.graph.as_graph_def().SerializeToString(deterministic=True)
        search(t.graph)
        assert t.graph.as_graph_def().SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: tf1.train.GradientDescentOptimizer(0.1),
        lambda: tf1.train.MomentumOptimizer(0.1, 0.9),
        lambda: tf1.train.AdamOptimizer(0.1),
        lambda: tf1.train.RMSPropOptimizer(0.1),
        lambda: tf1.train.AdagradOptimizer(0.1),
        lambda: tf1.train.FtrlOptimizer(0.1),
    ],
    ids=["sgd", "momentum", "adam", "rmsprop", "adagrad", "ftrl"],
)
@pytest.mark.parametrize("use_resource", [True, False], ids=["resource variables", "reference variables"])
@pytest.mark.covers(
    "Graph: SGD",
    "Graph: Momentum",
    "Graph: Adam",
    "Graph: Adagrad",
    "Graph: RMSProp",
    "Graph: Ftrl",
    "Graph: raw variables in a model_fn",
)
@pytest.mark.core("resource variables-adam", "resource variables-sgd", "reference variables-momentum")
def test_activations_and_gradients_are_those_worked_out_by_hand(optimizer: Any, use_resource: bool) -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(dense(flat(x), 12, "hidden", use_resource))
        return dense(x, 10, "logits", use_resource)

    with trained(network, optimizer) as t:
        found = search(t.graph)
        fetched = run(
            t.graph,
            {
                "hidden": tap(found, "hidden", "activation").source,
                "logits": tap(found, "logits", "activation").source,
                "gradients": {
                    (path, name): tap(found, path, "gradient", name).source
                    for path in ("hidden", "logits")
                    for name in ("kernel", "bias")
                },
                "weights": {
                    (path, name): tap(found, path, "weight", name).source.outputs[0]
                    for path in ("hidden", "logits")
                    for name in ("kernel", "bias")
                }
                if not use_resource
                else {
                    (path, name): t.graph.get_tensor_by_name(f"{path}/{name}/Read/ReadVariableOp:0")
                    for path in ("hidden", "logits")
                    for name in ("kernel", "bias")
                },
                "rate": found.learning_rates["learning_rate"],
            },
        )
    images, labels = graphs.batch(0)
    x = images.reshape(len(images), -1).astype(np.float64)
    weights = fetched["weights"]
    hidden = np.maximum(x @ weights["hidden", "kernel"] + weights["hidden", "bias"], 0)
    logits = hidden @ weights["logits", "kernel"] + weights["logits", "bias"]
    np.testing.assert_allclose(fetched["hidden"], hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fetched["logits"], logits, rtol=1e-4, atol=1e-5)
    at_logits = graphs.softmax_gradient(logits, labels)
    at_hidden = (at_logits @ weights["logits", "kernel"].T) * (hidden > 0)
    for where, expected in {
        ("logits", "kernel"): hidden.T @ at_logits,
        ("logits", "bias"): at_logits.sum(axis=0),
        ("hidden", "kernel"): x.T @ at_hidden,
        ("hidden", "bias"): at_hidden.sum(axis=0),
    }.items():
        np.testing.assert_allclose(fetched["gradients"][where], expected, rtol=1e-4, atol=1e-6)
    assert fetched["rate"] == np.float32(0.1)


def test_an_activation_function_behind_a_layer_is_part_of_it() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        return dense(tf.nn.tanh(dense(flat(x), 12, "hidden"), name="squash"), 10, "logits")

    with trained(network) as t:
        found = search(t.graph)
    assert paths(found) == ["hidden", "logits"]
    assert tap(found, "hidden", "activation").source.name == "squash:0"


def test_bare_variables_without_a_scope_are_layers_with_their_biases() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        w1, b1 = weight("w1", [192, 12]), weight("b1", [12])
        w2, b2 = weight("w2", [12, 10]), weight("b2", [10])
        return tf.matmul(tf.nn.relu(tf.matmul(flat(x), w1) + b1), w2) + b2

    with trained(network) as t:
        found = search(t.graph)
    assert [(layer.path, layer.class_name, layer.inputs) for layer in found.layers] == [
        ("w1", "Dense", ()),
        ("w2", "Dense", (0,)),
    ]
    assert names(found, "w1", "weight") == ["w1", "b1"]
    assert names(found, "w2", "gradient") == ["w2", "b2"]
    assert tap(found, "w1", "activation").source.op.type == "Relu"


def test_bare_variables_of_several_layers_in_one_scope_are_told_apart() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        with tf1.variable_scope("model"):
            x = tf.nn.relu(tf.matmul(flat(x), weight("w1", [192, 12])) + weight("b1", [12]))
            return tf.matmul(x, weight("w2", [12, 10])) + weight("b2", [10])

    with trained(network) as t:
        found = search(t.graph)
    assert paths(found) == ["model/w1", "model/w2"]
    assert names(found, "model/w1", "weight") == ["w1", "b1"]


@pytest.mark.covers("Graph: variable_scope with reuse")
def test_a_scope_that_is_reused_is_one_layer_with_several_calls() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        a, b = flat(x)[:, :96], flat(x)[:, 96:]
        with tf1.variable_scope("twins"):
            first = dense(a, 8, "encoder")
        with tf1.variable_scope("twins", reuse=True):
            kernel = tf1.get_variable("encoder/kernel")
        with tf1.name_scope("twins/encoder"):
            second = tf.matmul(b, kernel)
        return dense(tf.concat([first, second], 1), 10, "logits")

    with trained(network) as t:
        found = search(t.graph)
        first, second = (tap(found, "twins/encoder", "activation", call=call).source for call in (0, 1))
        one, other = run(t.graph, [first, second])
    assert paths(found) == ["twins/encoder", "logits"]
    assert found.layers[1].inputs == (0,)
    images, _ = graphs.batch(0)
    kernel = np.random.RandomState(sum(map(ord, "kernel")) + 104).normal(0, 0.3, [96, 8]).astype(np.float32)
    x = images.reshape(len(images), -1)
    bias = np.random.RandomState(sum(map(ord, "bias")) + 8).normal(0, 0.3, [8])
    np.testing.assert_allclose(one, x[:, :96] @ kernel + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other, x[:, 96:] @ kernel, rtol=1e-4, atol=1e-5)


def test_moving_averages_are_weights_and_no_outputs_and_have_no_gradients() -> None:
    with trained(graphs.noisy_network) as t:
        found = search(t.graph)
    assert paths(found) == ["conv", "norm", "pool", "hidden", "logits"]
    assert found.layers[1].class_name == "BatchNormalization"
    assert names(found, "norm", "activation") == ["output"]
    assert names(found, "norm", "weight") == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert names(found, "norm", "gradient") == ["gamma", "beta"]


def test_a_penalty_on_weights_is_no_call_of_their_layers() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        logits = dense(tf.nn.relu(dense(flat(x), 12, "hidden")), 10, "logits")
        with tf1.variable_scope("", reuse=True):
            kernels = [tf1.get_variable(f"{path}/kernel") for path in ("hidden", "logits")]
        return logits + tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])

    with trained(network) as t:
        found = search(t.graph)
    assert names(found, "hidden", "activation") == ["output"]
    assert tap(found, "hidden", "activation").source.op.type == "Relu"


def test_a_layer_called_grad_is_a_layer_and_a_gradient_is_none_whatever_its_scope() -> None:
    graph = tf1.Graph()
    with graph.as_default():
        tf1.train.get_or_create_global_step()
        images, labels = graphs.next_batch()
        logits = dense(tf.nn.relu(dense(flat(images), 12, "my_grad")), 10, "logits")
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        variables = tf1.trainable_variables()
        gradients = tf.gradients(loss, variables, name="somewhere")
        tf1.train.AdamOptimizer().apply_gradients(list(zip(gradients, variables)))
        found = search(graph)
    assert paths(found) == ["my_grad", "logits"]
    assert all(t.source.name.startswith("somewhere/") for t in found.taps if t.tensor.kind == "gradient")
    assert {scope: t.name for scope, t in found.losses.items()} == {"somewhere": loss.name}


@pytest.fixture(params=[True, False], ids=["functional control flow", "switches"])
def control_flow(request: pytest.FixtureRequest) -> Any:
    was = tf1.control_flow_v2_enabled()
    (tf1.enable_control_flow_v2 if request.param else tf1.disable_control_flow_v2)()
    yield request.param
    (tf1.enable_control_flow_v2 if was else tf1.disable_control_flow_v2)()


def conditional(graph: graphs.Graph, kind: str) -> tuple[Any, Any]:
    """A training that applies gradients under a condition, and the gradient of `logits/kernel` that it computes."""
    optimizer = tf1.train.MomentumOptimizer(0.1, 0.9)
    with tf1.variable_scope("", reuse=True):
        variables = [tf1.get_variable("logits/kernel"), tf1.get_variable("logits/bias")]
    gradients = tf.gradients(graph.loss, variables)
    if kind == "captured":
        train_op = tf1.cond(
            tf.equal(graph.step % 2, 0),
            lambda: optimizer.apply_gradients(list(zip(gradients, variables))),
            lambda: tf.no_op(),
        )
    elif kind == "scaled":
        train_op = tf1.cond(
            tf.equal(graph.step % 2, 0),
            lambda: optimizer.apply_gradients([(g / 8.0, v) for g, v in zip(gradients, variables)]),
            lambda: tf.no_op(),
        )
    else:
        sums = [
            tf1.get_variable(f"sum/{i}", initializer=np.zeros(v.shape.as_list(), np.float32), trainable=False)
            for i, v in enumerate(variables)
        ]
        adds = [s.assign_add(g) for s, g in zip(sums, gradients)]
        with tf1.control_dependencies(adds):
            train_op = tf1.cond(
                tf.equal(graph.step % 2, 1),
                lambda: optimizer.apply_gradients([(s.read_value() / 2.0, v) for s, v in zip(sums, variables)]),
                lambda: tf.no_op(),
            )
    return train_op, gradients[0]


@pytest.mark.parametrize(
    ("kind", "remark"),
    [
        ("captured", None),
        ("scaled", "its gradient is scaled inside a condition"),
        ("accumulated", "its gradient is that of each batch, before it is accumulated"),
    ],
)
@pytest.mark.covers("Graph: cond")
@pytest.mark.core("functional control flow-*", "switches-scaled-*")
def test_gradients_are_found_under_a_condition(control_flow: bool, kind: str, remark: str | None) -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        return dense(flat(x), 10, "logits")

    class Never:
        def minimize(self, loss: Any, step: Any) -> Any:
            return tf.no_op()

    with trained(network, Never) as t:
        _, gradient = conditional(t, kind)
        found = search(t.graph)
        source = tap(found, "logits", "gradient", "kernel").source
        assert source is gradient or source.name == gradient.name
        logged, outside = run(t.graph, [source, gradient])
    np.testing.assert_array_equal(logged, outside)
    assert found.triggers
    notes = [note for note in found.notes if "weight kernel" in note]
    assert (len(notes) == 1 and remark in notes[0]) if remark else notes == []


@pytest.mark.covers("Graph: embedding look-ups with sparse gradients")
def test_a_sparse_gradient_is_logged_as_the_rows_that_it_changes() -> None:
    graph = tf1.Graph()
    with graph.as_default():
        step = tf1.train.get_or_create_global_step()
        words = tf.constant(np.arange(6).reshape(2, 3) % 4)
        with tf1.variable_scope("words"):
            table = weight("embeddings", [9, 5])
            x = tf.nn.embedding_lookup(table, words)
        logits = dense(tf.reduce_mean(x, axis=1), 10, "logits")
        loss = tf.reduce_mean(logits**2)
        tf1.train.MomentumOptimizer(0.1, 0.9).minimize(loss, step)
        found = search(graph)
        fetched = run(graph, tap(found, "words", "gradient", "embeddings").source)
    assert found.layers[0].class_name == "Embedding"
    assert tap(found, "words", "gradient", "embeddings").tensor.axes == ("slice", "unit")
    assert fetched.shape == (4, 5)  # words 0 to 3, each once


@pytest.mark.covers("Graph: an optimizer with unknown apply ops")
def test_where_no_optimizer_has_an_apply_operation_the_notes_say_so() -> None:
    graph = tf1.Graph()
    with graph.as_default():
        images, _ = graphs.next_batch()
        logits = dense(flat(images), 10, "logits")
        loss = tf.reduce_mean(logits**2)
        (kernel, bias) = tf1.trainable_variables()
        for variable, gradient in zip((kernel, bias), tf.gradients(loss, [kernel, bias])):
            tf1.assign_sub(variable, 0.1 * gradient)
        found = search(graph)
    assert names(found, "logits", "gradient") == []
    assert len(found.triggers) == 2
    assert found.notes == (
        "no gradient is logged for logits/kernel, logits/bias: its optimizer has no apply operation to take the "
        "gradient from",
    )


def test_a_weight_that_nothing_trains_is_said_to_have_no_gradient() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        return dense(tf.stop_gradient(dense(flat(x), 12, "frozen")), 10, "logits")

    with trained(network) as t:
        found = search(t.graph)
    assert (
        "layer 'frozen': weight kernel is updated by no optimizer, so it has no gradient and no update" in found.notes
    )


def test_what_cannot_be_digested_is_left_out_with_a_sentence() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        with tf1.variable_scope("waves"):
            x = tf.complex(flat(x) * weight("gains", [192]), 0.0)
            x = tf1.identity(x)
        return dense(tf.abs(tf.signal.fft(x)), 10, "logits")

    with trained(network) as t:
        found = search(t.graph)
    assert "layer 'waves': activation output has dtype complex64 and is left out" in found.notes
    assert names(found, "waves", "weight") == ["gains"]


def test_channels_that_stand_second_are_put_last() -> None:
    graph = tf1.Graph()
    with graph.as_default():
        images, _ = graphs.next_batch()
        with tf1.variable_scope("conv"):
            kernel = weight("kernel", [3, 3, 3, 4])
            tf.nn.conv2d(tf.transpose(images, [0, 3, 1, 2]), kernel, 1, "VALID", data_format="NCHW")
        found = search(graph)
    output = tap(found, "conv", "activation")
    assert output.source.shape == (16, 4, 6, 6)
    assert (output.tensor.shape, output.transpose) == ((16, 6, 6, 4), (0, 2, 3, 1))


def test_an_unused_part_of_the_graph_does_not_hide_the_rest() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        logits = dense(tf.nn.relu(dense(flat(x), 12, "hidden")), 10, "logits")
        tf1.summary.histogram("logits", logits)
        tf.nn.softmax(logits, name="probabilities")
        return logits

    with trained(network) as t:
        found = search(t.graph)
    assert paths(found) == ["hidden", "logits", "probabilities"]
    assert tap(found, "logits", "activation").source.op.type == "BiasAdd"


def network_of_tf_layers(x: tf.Tensor) -> tf.Tensor:
    x = tf1.layers.conv2d(x, 6, 3)
    x = tf1.layers.batch_normalization(x, training=True)
    x = tf.nn.relu(x)
    x = tf1.layers.separable_conv2d(x, 5, 3, activation=tf.nn.elu, name="separable")
    x = tf1.layers.max_pooling2d(x, 2, 2)
    x = tf1.layers.dropout(tf1.layers.flatten(x), training=True)
    return tf1.layers.dense(tf1.layers.dense(x, 16, activation=tf.nn.relu), 10, name="logits")


@pytest.mark.tf_layers
@pytest.mark.covers("Graph: tf.layers, flatten", "Graph: tf.layers, separable convolution", "Graph: tf.layers, dropout")
def test_tf_layers_are_found() -> None:
    with trained(network_of_tf_layers) as t:
        found = search(t.graph)
    assert [(layer.path, layer.class_name, layer.inputs) for layer in found.layers] == [
        ("conv2d", "Conv2D", ()),
        ("batch_normalization", "BatchNormalization", (0,)),
        ("separable", "SeparableConv2D", (1,)),
        ("max_pooling2d", "MaxPooling2D", (2,)),
        ("dense", "Dense", (3,)),
        ("logits", "Dense", (4,)),
    ]
    assert [t.source.name for t in found.taps if t.tensor.kind == "activation"] == [
        "conv2d/BiasAdd:0",
        "Relu:0",
        "separable/Elu:0",
        "max_pooling2d/MaxPool:0",
        "dense/Relu:0",
        "logits/BiasAdd:0",
    ]
    assert found.notes == ()


@pytest.mark.tf_layers
@pytest.mark.covers("Graph: Keras layers in a model_fn")
def test_keras_layers_are_found_and_a_shared_one_has_its_calls() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        layers = tf.keras.layers
        x = tf.keras.Sequential([layers.Conv2D(4, 3, activation="relu", name="conv"), layers.Flatten()], name="body")(x)
        shared = layers.Dense(12, activation="relu", name="shared")
        x = shared(layers.Dense(8, name="widen")(shared(layers.Dense(8, name="narrow")(x))))
        return layers.Dense(10, name="logits")(x)

    with trained(network) as t:
        found = search(t.graph)
        fetched = run(t.graph, [tap(found, "shared", "activation", call=call).source for call in (0, 1)])
    assert sorted(paths(found)) == ["body/conv", "logits", "narrow", "shared", "widen"]
    assert not np.array_equal(*fetched)
    numbers = {path: number for number, path in enumerate(paths(found))}
    assert found.layers[numbers["shared"]].inputs == tuple(sorted((numbers["narrow"], numbers["widen"])))
    assert found.layers[numbers["widen"]].inputs == (numbers["shared"],)


@pytest.mark.tf_layers
def test_a_recurrent_layer_is_one_layer_whose_activation_is_what_leaves_its_loop() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        layers = tf.keras.layers
        x = layers.Reshape((8, 24))(x)
        x = layers.LSTM(6, return_sequences=True, name="lstm")(x)
        x = layers.Bidirectional(layers.GRU(5), name="both")(x)
        return layers.Dense(10, name="logits")(x)

    with trained(network) as t:
        found = search(t.graph)
        fetched = run(t.graph, tap(found, "lstm", "activation").source)
    assert {layer.path: layer.class_name for layer in found.layers} == {
        "lstm": "LSTM",
        "both/forward_gru": "GRU",
        "both/backward_gru": "GRU",
        "logits": "Dense",
    }
    output = tap(found, "lstm", "activation").tensor
    assert (output.shape, output.axes) == ((16, 8, 6), ("example", "timestep", "unit"))
    assert fetched.shape == (16, 8, 6)
    assert names(found, "lstm", "gradient") == ["kernel", "recurrent_kernel", "bias"]


@pytest.mark.tf_layers
@pytest.mark.parametrize("mode", ["train", "eval", "infer"])
def test_the_same_layers_are_found_in_every_mode(mode: str) -> None:
    graph = tf1.Graph()
    with graph.as_default():
        images, labels = graphs.next_batch()
        logits = network_of_tf_layers(images)
        if mode != "infer":
            loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        if mode == "train":
            tf1.train.AdamOptimizer().minimize(loss)
        found = search(graph)
    assert paths(found) == ["conv2d", "batch_normalization", "separable", "max_pooling2d", "dense", "logits"]
    assert bool(found.triggers) == (mode == "train")
    assert any(t.tensor.kind == "gradient" for t in found.taps) == (mode == "train")


def test_of_a_residual_block_the_sum_is_logged_and_the_notes_say_why() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(dense(flat(x), 12, "first"))
        return dense(tf.nn.relu(tf.add(dense(x, 12, "second"), x, name="residual")), 10, "logits")

    with trained(network) as t:
        found = search(t.graph)
    assert [(layer.path, layer.class_name, layer.inputs) for layer in found.layers] == [
        ("first", "Dense", ()),
        ("second", "Dense", (0,)),
        ("residual", "Add", (0, 1)),
        ("logits", "Dense", (2,)),
    ]
    assert names(found, "second", "activation") == []
    assert names(found, "second", "gradient") == ["kernel", "bias"]
    assert tap(found, "residual", "activation").source.op.type == "Relu"
    assert "layer 'second': its output is a term of 'residual'" in found.notes[0]


@pytest.mark.tf_layers
def test_the_draft_of_a_functional_keras_model_on_placeholders_is_not_taken_for_a_call() -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        layers = tf.keras.layers
        inputs = tf.keras.Input((8, 8, 3))
        y = layers.MaxPooling2D(name="pool")(layers.Conv2D(4, 3, name="conv")(inputs))
        y = layers.ReLU(name="relu")(layers.Add(name="sum")([y, y]))
        return tf.keras.Model(inputs, layers.Dense(10, name="logits")(layers.Flatten()(y)), name="net")(x)

    with trained(network) as t:
        found = search(t.graph)
        run(t.graph, [t.source for t in found.taps if t.tensor.kind == "activation"])
    assert paths(found) == ["conv", "net/pool", "net/relu", "logits"]
    assert {t.tensor.call for t in found.taps} == {0}
