"""Tensors that are selected by hand: what the session itself returns, in a training that is the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, batch, dense, flat, trained

from tb_layerview import Keep, LayerViewCallback, LayerViewHook, Select
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")


def network(x: tf.Tensor) -> tf.Tensor:
    """Notes its features, a prediction and a weight in a collection, as hooks of people's own look for them."""
    tf1.add_to_collection("mine", x)
    hidden = tf.nn.relu(dense(flat(x), 12, "hidden"))
    logits = dense(hidden, 10, "logits")
    with tf1.variable_scope("hidden", reuse=True):
        tf1.add_to_collection("mine", tf1.get_variable("kernel"))
    tf1.add_to_collection("mine", tf.nn.softmax(logits, name="guess"))
    tf.reduce_mean(hidden, axis=0, name="brightness")
    tf.strings.as_string(logits, name="in_words")
    return logits


def train(t: graphs.Graph, logdir: Path, select: Select, fetch: Any, steps: int = 3) -> list[Any]:
    hook = LayerViewHook(logdir, select=select, schedule=1, keep=EXACT)
    with tf1.train.MonitoredTrainingSession(hooks=[hook]) as session:
        return [session.run({"train": t.train_op, "loss": t.loss, "mine": fetch}) for _ in range(steps)]


def values(run: Run, path: str, step: int, kind: str = "activation") -> np.ndarray:
    return run.values(run.tensor(path, kind=kind), step).array


@pytest.mark.covers(
    "Graph: Select takes tensor names",
    "Graph: Select takes regular expressions",
    "Graph: Select takes tf.Tensor objects",
)
def test_a_name_an_expression_and_a_tensor_are_logged_as_the_run_computes_them(tmp_path: Path) -> None:
    with trained(network) as t:
        labels = t.graph.get_tensor_by_name("IteratorGetNext:1")
        scores = next(op for op in t.graph.get_operations() if op.type == "SparseSoftmaxCrossEntropyWithLogits")
        fetch = {"labels": labels, "guess": "guess:0", "loss": scores.outputs[0], "brightness": "brightness:0"}
        select = Select(tensors=("guess:0", "brightness", re.compile(r"CrossEntropyWithLogits:0$"), labels))
        ours = train(t, tmp_path, select, fetch)
    run = LayerReader(tmp_path).run(".")
    by_hand = {layer.path for layer in run.layers if layer.class_name == "Tensor"}
    assert by_hand == {"guess:0", "brightness", scores.name, "IteratorGetNext:1"}
    for step in (1, 2, 3):
        mine = ours[step - 1]["mine"]
        np.testing.assert_array_equal(values(run, "guess:0", step), mine["guess"])
        np.testing.assert_array_equal(values(run, "brightness", step), mine["brightness"])
        np.testing.assert_array_equal(values(run, scores.name, step), mine["loss"])
        np.testing.assert_array_equal(values(run, "IteratorGetNext:1", step), batch(step - 1)[1])


def test_selected_tensors_that_the_run_does_not_need_itself_come_along_and_change_nothing(tmp_path: Path) -> None:
    with trained(network) as t, tf1.train.MonitoredTrainingSession() as session:
        without = [session.run([t.train_op, t.loss])[1] for _ in range(5)]
    with trained(network) as t:
        hook = LayerViewHook(tmp_path, Select(tensors=("guess:0", "brightness:0"), collections=("mine",)), 1, EXACT)
        with tf1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            assert [session.run([t.train_op, t.loss])[1] for _ in range(5)] == without
    run = LayerReader(tmp_path).run(".")
    guess = values(run, "guess", 5).astype(np.float64)
    np.testing.assert_allclose(guess.sum(axis=1), 1, rtol=1e-5)
    logits = run.values(run.tensor("logits", kind="activation"), 5).array.astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(guess, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-6)


@pytest.mark.covers("Graph: Select takes graph collections")
def test_a_collection_gives_its_features_predictions_and_weights(tmp_path: Path) -> None:
    with trained(network) as t:
        kernel = next(v for v in tf1.trainable_variables() if v.op.name == "hidden/kernel")
        after: list[np.ndarray] = []
        hook = LayerViewHook(tmp_path, Select(include=(), collections=("mine",)), 1, EXACT)
        with tf1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            for _ in range(3):
                session.run(t.train_op)
                after.append(session.run(kernel))
    run = LayerReader(tmp_path).run(".")
    assert [(layer.path, layer.class_name) for layer in run.layers] == [
        ("IteratorGetNext", "Tensor"),
        ("hidden/kernel", "Tensor"),
        ("guess", "Tensor"),
    ]
    for step in (1, 2, 3):
        np.testing.assert_array_equal(values(run, "IteratorGetNext", step), batch(step - 1)[0])
        got = run.values(run.tensor("hidden/kernel", kind="weight", name="value"), step).array
        np.testing.assert_array_equal(got, after[step - 1])


def test_what_depends_on_a_placeholder_that_a_run_does_not_feed_is_left_out_of_that_run(
    tmp_path: Path, caplog: Any
) -> None:
    graph = tf1.Graph()
    with graph.as_default():
        step = tf1.train.get_or_create_global_step()
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
        extra = tf1.placeholder(tf.float32, [None], name="extra")
        logits = dense(flat(images), 10, "logits")
        tf.multiply(tf.reduce_mean(logits, axis=1), extra, name="weighted")
        loss = tf.reduce_mean(logits**2)
        train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, step)
        select = Select(tensors=("weighted:0", "images:0", "extra:0"))
        hook = LayerViewHook(tmp_path, select, 1, EXACT)
        with tf1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            for number in range(4):
                feed = {images: batch(number)[0]}
                if number == 2:
                    feed[extra] = np.arange(BATCH)
                session.run(train_op, feed)
    run = LayerReader(tmp_path).run(".")
    assert list(run.steps) == [1, 2, 3, 4]
    sizes = run.statistics("size")
    for path, steps in (("weighted", [3]), ("extra", [3]), ("images", [1, 2, 3, 4])):
        row = sizes[run.tensor(path, kind="activation").index]
        assert run.steps[np.isfinite(row)].tolist() == steps, path
    np.testing.assert_array_equal(values(run, "extra", 3), np.arange(BATCH))
    np.testing.assert_array_equal(values(run, "images", 4), batch(3)[0])
    assert "no logged run computed" not in caplog.text


def test_what_no_run_computes_is_said_at_the_end(tmp_path: Path, caplog: Any) -> None:
    with trained(network) as t:
        tf.random.normal([3], name="of_its_own")
        train(t, tmp_path, Select(tensors=("of_its_own/RandomStandardNormal:0",)), {})
    assert "no logged run computed of_its_own/RandomStandardNormal: it needs a batch" in caplog.text


def test_a_graph_without_layers_logs_what_is_selected(tmp_path: Path) -> None:
    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        images, _ = graphs.next_batch()
        doubled = tf.multiply(images, 2.0, name="doubled")
        with tf1.train.MonitoredSession(hooks=[LayerViewHook(tmp_path, Select(tensors=("doubled:0",)))]) as session:
            expected = session.run([doubled, step])[0]
    run = LayerReader(tmp_path).run(".")
    assert run.modes == ("predict",)
    digest = run.digest(run.tensor("doubled", kind="activation"), 0)
    assert (digest.min, digest.max) == (expected.min(), expected.max())


def test_what_cannot_be_logged_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    with trained(network) as t:
        train(t, tmp_path, Select(tensors=("in_words:0", "hidden/BiasAdd:0")), {})
    run = LayerReader(tmp_path).run(".")
    assert "tensor 'in_words:0' has dtype string and is left out" in run.model.notes
    assert any(note.startswith("tensor 'hidden/BiasAdd:0': TensorFlow would compute it") for note in run.model.notes)


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (Select(tensors=("gues:0",)), r"has no tensor 'gues:0'; the nearest names are guess:0"),
        (Select(tensors=("guess:1",)), r"has no tensor 'guess:1'"),
        (Select(tensors=(re.compile("nowhere"),)), "the expression 'nowhere' matches none of the graph's tensors"),
        (Select(collections=("yours",)), r"collection 'yours' is empty; those that are not are .*mine"),
    ],
)
def test_what_is_not_there_is_an_error_before_the_training(select: Select, message: str, tmp_path: Path) -> None:
    with trained(network) as t, pytest.raises(ValueError, match=message):
        train(t, tmp_path, select, {})


def test_a_tensor_of_another_graph_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with trained(network) as other:
        foreign = other.graph.get_tensor_by_name("guess:0")
    with trained(network) as t, pytest.raises(ValueError, match=r"of another graph .* tensors=\('guess:0',\)"):
        train(t, tmp_path, Select(tensors=(foreign,)), {})


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match=r"give a tuple: tensors=\('guess:0',\)"):
        Select(tensors="guess:0")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"give a tuple: tensors=\(...,\)"):
        Select(tensors=re.compile("guess"))  # type: ignore[arg-type]
    with tf1.Graph().as_default(), pytest.raises(TypeError, match=r"give a tuple: tensors=\(...,\)"):
        Select(tensors=tf1.placeholder(tf.float32, name="x"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes names, compiled regular expressions and tensors of a graph, not 3"):
        Select(tensors=(3,))


def test_a_keras_callback_refuses_tensors_of_a_graph() -> None:
    with pytest.raises(ValueError, match=r"Select\(tensors=...\) names tensors of a graph, which only LayerViewHook"):
        LayerViewCallback("logs", select=Select(tensors=("dense/Relu:0",)))
