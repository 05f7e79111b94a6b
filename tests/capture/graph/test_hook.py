from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, batch, dense, flat, next_batch, noisy_network, trained, weight
from places import environment

from tb_layerview import Keep, LayerViewHook, Schedule, Select
from tb_layerview.about import logger
from tb_layerview.options import CORE, is_rung
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run
from tb_layerview.writing import cost_warning
from tb_layerview.writing.log_files import LogFiles

tf1 = tf.compat.v1

EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")
STEPS = 40


def two_layers(x: tf.Tensor) -> tf.Tensor:
    return dense(tf.nn.relu(dense(flat(x), 12, "hidden")), 10, "logits")


def read(logdir: Path, name: str = ".") -> Run:
    return LayerReader(logdir).run(name)


def logged(run: Run, step: int, layer: str, kind: str, name: str = "output") -> np.ndarray:
    return run.values(run.tensor(layer, kind=kind, name=name), step).array


def train(
    graph: graphs.Graph, hooks: list[Any], steps: int = STEPS, extra: Callable[[Any], Any] | None = None
) -> tuple[list[float], dict[str, np.ndarray]]:
    """Losses and, in the end, all variables of a training in a monitored session."""
    losses: list[float] = []
    with tf1.train.MonitoredTrainingSession(hooks=hooks) as session:
        for _ in range(steps):
            losses.append(session.run([graph.train_op, graph.loss])[1])
            if extra:
                extra(session)
        variables = session.run({v.name: v for v in tf1.global_variables()})
    return losses, variables


def assert_same(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        np.testing.assert_array_equal(value, other[1][name], err_msg=name)


def bn_relu(x: tf.Tensor) -> tf.Tensor:
    x = tf.nn.relu(graphs.normalization(graphs.convolution(x, 4, "conv"), "norm"))
    return dense(flat(x), 10, "logits")


def swish(x: tf.Tensor) -> tf.Tensor:
    return dense(tf.nn.silu(dense(flat(x), 12, "hidden")), 10, "logits")


def residual(x: tf.Tensor) -> tf.Tensor:
    x = tf.nn.relu(dense(flat(x), 12, "first"))
    x = tf.nn.sigmoid(dense(x, 12, "second") + x)
    return dense(x, 10, "logits")


def elu_convolution(x: tf.Tensor) -> tf.Tensor:
    return dense(flat(tf.nn.elu(graphs.convolution(x, 4, "conv"))), 10, "logits")


@pytest.mark.parametrize("network", [noisy_network, bn_relu, swish, residual, elu_convolution])
@pytest.mark.parametrize("schedule", [Schedule(), Schedule(every=3)], ids=["ladder", "every third step"])
@pytest.mark.covers("Graph: MonitoredTrainingSession without a checkpoint folder")
@pytest.mark.core(
    "ladder-noisy_network",
    "ladder-residual",
    "ladder-elu_convolution",
    "every third step-bn_relu",
    "every third step-swish",
)
def test_losses_and_all_variables_are_the_same_to_the_last_bit(
    network: Callable[[tf.Tensor], tf.Tensor], schedule: Schedule, tmp_path: Path
) -> None:
    with trained(network) as t:
        without = train(t, [])
    with trained(network) as t:
        with_hook = train(t, [LayerViewHook(tmp_path, schedule=schedule)])
    assert_same(without, with_hook)
    assert len(read(tmp_path).steps) >= STEPS // 3


def test_a_short_training_keeps_steps_of_all_its_phases_whatever_they_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_warning, "_NOTICED", 0.0)  # it takes less than anybody minds
    with trained(two_layers) as t:
        train(t, [LayerViewHook(tmp_path, schedule=Schedule(budget=1e-9))], steps=136)
    run = read(tmp_path)
    assert run.steps.tolist() == [step for step in range(1, 137) if is_rung(step, per_octave=CORE)]
    (note,) = [note for note in run.model.notes if "Schedule(budget=...)" in note]
    assert note.startswith("up to step 128 logging has taken ")


def test_extra_runs_of_the_users_own_take_no_batch_and_log_nothing(tmp_path: Path) -> None:
    with trained(two_layers) as t:
        without = train(t, [])
    with trained(two_layers) as t:
        with_hook = train(t, [LayerViewHook(tmp_path, schedule=1, keep=EXACT)], extra=lambda s: s.run(t.step))
    assert_same(without, with_hook)
    run = read(tmp_path)
    np.testing.assert_array_equal(run.steps, np.arange(1, STEPS + 1))
    np.testing.assert_array_equal(run.scalars["loss"], np.array(without[0], np.float64))


@pytest.mark.covers("Graph: a placeholder that the run does not feed")
def test_a_run_without_its_placeholder_fed_goes_through(tmp_path: Path) -> None:
    graph = tf1.Graph()
    with graph.as_default():
        step = tf1.train.get_or_create_global_step()
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3])
        labels = tf1.placeholder(tf.int32, [None])
        logits = two_layers(images)
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, step)
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1, keep=EXACT)]) as session:
            for number in range(5):
                x, y = batch(number)
                assert session.run(step) == number
                session.run(logits, {images: x[:3]})
                session.run(train_op, {images: x, labels: y})
    run = read(tmp_path)
    assert list(run.steps) == [1, 2, 3, 4, 5]
    assert logged(run, 2, "logits", "activation").shape == (BATCH, 10)


def test_what_is_fed_is_logged_as_it_was_though_its_array_is_filled_anew(tmp_path: Path, lagging: list[int]) -> None:
    """A session gives what it is fed as the very array that it was given."""
    fed = np.empty([64, 100], np.float32)
    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        x = tf1.placeholder(tf.float32, [None, 100], "x")
        loss = tf.reduce_mean(dense(x, 4, "logits") ** 2)
        train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, step)
        hook = LayerViewHook(tmp_path, Select(tensors=("x:0",)), schedule=1)
        with tf1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            for number in range(1, 9):
                fed[...] = number
                session.run(train_op, {x: fed})
                fed[...] = 1000
    run = read(tmp_path)
    assert len(lagging) > 8
    means = run.statistics("mean")[run.tensor("x", kind="activation").index]
    np.testing.assert_array_equal(means, run.steps)


def test_of_runs_that_fetch_the_same_and_feed_otherwise_each_is_asked_for_what_it_computes(tmp_path: Path) -> None:
    """Fed with what the first layer gives, a run computes nothing of that layer, and its placeholder is not there."""
    graph = tf1.Graph()
    with graph.as_default():
        step = tf1.train.get_or_create_global_step()
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3])
        labels = tf1.placeholder(tf.int32, [None])
        hidden = tf.identity(dense(flat(images), 12, "hidden"))
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, dense(hidden, 10, "logits"))
        trained = tf1.trainable_variables("logits")
        train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, step, var_list=trained)
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1)]) as session:
            features = session.run(hidden, {images: batch(0)[0]})
            for number in range(8):
                x, y = batch(number)
                session.run(train_op, {images: x, labels: y} if number % 4 <= 1 else {hidden: features, labels: y})
    run = read(tmp_path)
    assert list(run.steps) == list(range(1, 9))
    sizes = run.statistics("size")
    of_hidden = run.tensor("hidden", kind="activation")
    assert list(np.isfinite(sizes[of_hidden.index])) == [number % 4 <= 1 for number in range(8)]
    of_kernel = run.tensor("logits", kind="weight", name="kernel")
    assert np.isfinite(sizes[of_kernel.index]).all()


def test_every_step_is_logged_with_its_own_batch_weights_and_gradients(tmp_path: Path) -> None:
    """Weights and biases are those after the step; activations and gradients those of its batch, worked out by hand."""
    rate = 0.1
    after: list[dict[str, np.ndarray]] = []
    with trained(two_layers, lambda: tf1.train.GradientDescentOptimizer(rate)) as t:
        variables = {v.op.name: v for v in tf1.trainable_variables()}
        before = {name: initial_value(t, name) for name in variables}
        train(
            t,
            [LayerViewHook(tmp_path, schedule=1, keep=EXACT)],
            steps=8,
            extra=lambda session: after.append(session.run(variables)),
        )
    run = read(tmp_path)
    assert list(run.steps) == list(range(1, 9))
    for step in range(1, 9):
        images, labels = batch(step - 1)
        x = images.reshape(len(images), -1).astype(np.float64)
        hidden = np.maximum(x @ before["hidden/kernel"] + before["hidden/bias"], 0)
        logits = hidden @ before["logits/kernel"] + before["logits/bias"]
        at_logits = graphs.softmax_gradient(logits, labels)
        at_hidden = (at_logits @ before["logits/kernel"].T) * (hidden > 0)
        expected = {
            ("hidden", "activation", "output"): hidden,
            ("logits", "activation", "output"): logits,
            ("logits", "gradient", "kernel"): hidden.T @ at_logits,
            ("hidden", "gradient", "kernel"): x.T @ at_hidden,
            ("hidden", "gradient", "bias"): at_hidden.sum(axis=0),
        }
        for (layer, kind, name), value in expected.items():
            got = logged(run, step, layer, kind, name)
            np.testing.assert_allclose(got, value, rtol=1e-3, atol=1e-5, err_msg=f"step {step} {layer} {kind} {name}")
        for name, value in after[step - 1].items():
            layer, leaf = name.split("/")
            np.testing.assert_array_equal(logged(run, step, layer, "weight", leaf), value)
            digest = run.digest(run.tensor(layer, kind="weight", name=leaf), step)
            wide = value.astype(np.float64)
            assert digest.size == value.size
            moments = [wide.mean(), wide.std(), np.sqrt((wide**2).mean())]
            np.testing.assert_allclose([digest.mean, digest.std, digest.rms], moments, rtol=1e-5)
            assert (digest.min, digest.max) == (wide.min(), wide.max())
        before = after[step - 1]
    assert run.scalars["learning_rate"].tolist() == [np.float32(rate)] * 8


def initial_value(graph: graphs.Graph, name: str) -> np.ndarray:
    """The value that a variable starts from, from a session of its own."""
    with tf1.Session(graph=graph.graph) as session:
        session.run(tf1.global_variables_initializer())
        return session.run(f"{name}/Read/ReadVariableOp:0")


@pytest.mark.covers(
    "Graph: restore, step numbers go on",
    "Graph: MonitoredTrainingSession with a checkpoint folder",
    "What and when: Schedule, every N",
)
def test_an_interval_is_followed_exactly_and_from_wherever_the_training_goes_on(tmp_path: Path) -> None:
    hook = LayerViewHook(tmp_path / "log", schedule=4)
    for last in (10, 22):
        with (
            trained(two_layers) as t,
            tf1.train.MonitoredTrainingSession(
                checkpoint_dir=str(tmp_path / "model"), hooks=[hook, tf1.train.StopAtStepHook(last_step=last)]
            ) as session,
        ):
            while not session.should_stop():
                session.run(t.train_op)
    assert list(read(tmp_path / "log").steps) == [4, 8, 12, 16, 20]


def test_a_global_step_that_a_condition_raises_is_read_right(tmp_path: Path) -> None:
    """Gradients are accumulated over three batches: the step rises with every third run."""

    class Never:
        def minimize(self, loss: Any, step: Any) -> Any:
            return tf.no_op()

    with trained(two_layers, Never) as t:
        count = tf1.get_variable("count", initializer=np.int32(0), trainable=False, use_resource=True)
        optimizer = tf1.train.GradientDescentOptimizer(0.1)
        variables = tf1.trainable_variables()
        gradients = tf.gradients(t.loss, variables)
        with tf1.control_dependencies([count.assign_add(1)]):
            train_op = tf1.cond(
                tf.equal(count.read_value() % 3, 0),
                lambda: optimizer.apply_gradients(list(zip(gradients, variables)), t.step),
                lambda: tf.no_op(),
            )
        steps: list[int] = []
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1)]) as session:
            for _ in range(12):
                session.run(train_op)
                steps.append(int(session.run(t.step)))
    assert list(read(tmp_path).steps) == sorted(set(steps))


def test_without_a_global_step_the_runs_that_train_are_counted(tmp_path: Path) -> None:
    graph = tf1.Graph()
    with graph.as_default():
        images, _ = next_batch()
        loss = tf.reduce_mean(two_layers(images) ** 2)
        train_op = tf1.train.AdamOptimizer(0.01).minimize(loss)
        with tf1.train.MonitoredSession(hooks=[LayerViewHook(tmp_path, schedule=2)]) as session:
            for _ in range(7):
                session.run(train_op)
                session.run(loss)
    run = read(tmp_path)
    assert list(run.steps) == [2, 4, 6]
    assert "the graph has no global step, so the steps count the runs that train" in run.model.notes


@pytest.mark.covers("Graph: several train ops")
def test_optimizers_that_take_turns_each_log_their_gradients_at_a_step(tmp_path: Path) -> None:
    graph = tf1.Graph()
    with graph.as_default():
        step = tf1.train.get_or_create_global_step()
        noise = tf.random.normal([BATCH, 4], seed=3)
        fake = dense(noise, 192, "generator")
        real = flat(next_batch()[0])
        with tf1.variable_scope("judge"):
            kernel = weight("kernel", [192, 1])
        judged_fake, judged_real = tf.matmul(fake, kernel), tf.matmul(real, kernel)
        judge_loss = tf.reduce_mean(judged_fake) - tf.reduce_mean(judged_real)
        maker_loss = -tf.reduce_mean(judged_fake)
        judge_op = tf1.train.AdamOptimizer(0.01).minimize(judge_loss, var_list=[kernel])
        maker_op = tf1.train.AdamOptimizer(0.01).minimize(
            maker_loss, step, var_list=tf1.trainable_variables("generator")
        )
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1)]) as session:
            for _ in range(6):
                session.run(judge_op)
                session.run(maker_op)
    run = read(tmp_path)
    assert list(run.steps)[-1] == 6
    for layer in ("generator", "judge"):
        sizes = run.statistics("size")[run.tensor(layer, kind="gradient", name="kernel").index]
        assert np.isfinite(sizes).sum() >= 5, layer


@pytest.mark.covers("What and when: Select, layer paths", "What and when: Select, kinds")
def test_only_what_is_selected_is_logged_and_connected_past_the_rest(tmp_path: Path) -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(dense(tf.nn.relu(dense(flat(x), 12, "first")), 12, "second"))
        return dense(x, 10, "third")

    with trained(network) as t:
        hook = LayerViewHook(tmp_path, select=Select(exclude=("second",), kinds=("weight",)), schedule=1)
        train(t, [hook], steps=3)
    run = read(tmp_path)
    assert [(layer.path, layer.inputs) for layer in run.layers] == [("first", ()), ("third", (0,))]
    assert {t.kind for t in run.tensors} == {"weight"}
    assert list(run.steps) == [1, 2, 3]


def test_a_pattern_that_matches_nothing_is_an_error_before_the_training(tmp_path: Path) -> None:
    hook = LayerViewHook(tmp_path, select=Select(include=("hiden",)))
    with (
        trained(two_layers),
        pytest.raises(ValueError, match=r"include pattern 'hiden' matches none of the 2 layers: hidden, logits\."),
        tf1.train.MonitoredTrainingSession(hooks=[hook]),
    ):
        pytest.fail("the training began")


def test_a_folder_that_cannot_be_written_is_an_error_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with (
        trained(two_layers),
        pytest.raises(ValueError, match="cannot log to .*Give a folder that this user can write to"),
        tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path / "file")]),
    ):
        pytest.fail("the training began")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"schedule": 0}, ValueError, "the step interval must be a whole number of at least 1, not 0"),
        ({"schedule": "often"}, TypeError, "schedule must be a Schedule or a number of steps, not 'often'"),
        ({"select": "hidden"}, TypeError, r"select must be a Select\(...\), not 'hidden'"),
    ],
)
def test_options_that_are_wrong_are_errors_at_once(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LayerViewHook("logs", **options)


def test_a_graph_without_layers_is_left_alone_with_a_warning(tmp_path: Path, caplog: Any) -> None:
    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path / "log")]) as session:
            session.run(step)
    assert "the graph has no layers with variables; nothing is logged" in caplog.text
    assert not (tmp_path / "log").exists()


def test_a_full_disk_is_reported_once_and_the_training_goes_on(
    tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with trained(two_layers) as t:
        without = train(t, [])
    monkeypatch.setattr("tb_layerview.writing.log_files.LogFiles.write", full)
    with trained(two_layers) as t:
        with_hook = train(t, [LayerViewHook(tmp_path, schedule=1)])
    assert_same(without, with_hook)
    assert caplog.text.count("No space left on device") == 1


def test_an_error_in_the_hook_itself_is_reported_once_and_the_training_goes_on(
    tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr("tb_layerview.capture.graph.search.index.GraphIndex.ancestors", broken)
    with trained(two_layers) as t:
        losses, _ = train(t, [LayerViewHook(tmp_path, schedule=1)])
    assert len(losses) == STEPS
    assert caplog.text.count("a defect of ours") == 1
    assert [r.name for r in caplog.records if r.levelname == "WARNING"].count(logger.name) == 1


@pytest.mark.covers(
    "What and when: evaluate and predict with a hook, first batch at once",
    "What and when: evaluate and predict with a hook, the next nine merged",
)
@pytest.mark.parametrize("batches", [1, 4, 13])
def test_in_evaluation_the_first_ten_batches_are_one_record_with_the_values_of_the_first(
    batches: int, tmp_path: Path
) -> None:
    graph = tf1.Graph()
    with graph.as_default():
        tf1.train.get_or_create_global_step()
        images, labels = next_batch()
        logits = two_layers(images)
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        seen: list[np.ndarray] = []
        losses: list[float] = []
        with tf1.train.MonitoredSession(hooks=[LayerViewHook(tmp_path, keep=EXACT)]) as session:
            for number in range(batches):
                fetched = session.run({"logits": logits, "loss": loss})
                seen.append(fetched["logits"].astype(np.float64))
                losses.append(fetched["loss"])
                run = read(tmp_path)  # each batch is on disk when its run is over
                merged = np.concatenate(seen[: min(number + 1, 10)])
                output = run.tensor("logits", kind="activation")
                digest = run.digest(output, 0)
                assert digest.size == merged.size
                moments = [merged.mean(), merged.std(), np.sqrt((merged**2).mean())]
                np.testing.assert_allclose([digest.mean, digest.std, digest.rms], moments, rtol=1e-5)
                assert (digest.min, digest.max) == (merged.min(), merged.max())
    run = read(tmp_path)
    assert (list(run.steps), run.modes) == ([0], ("evaluate",))
    np.testing.assert_array_equal(run.values(output, 0).array, seen[0])
    np.testing.assert_allclose(run.scalars["loss"], [np.mean(losses[:10])], rtol=1e-6)
    assert run.histogram(output, 0).counts.sum() == merged.size
    units = run.units(output, 0)
    np.testing.assert_allclose(units.mean, merged.mean(axis=0), rtol=1e-3, atol=1e-3)
    assert {t.kind for t in run.tensors} == {"activation", "weight"}
    kernel = run.tensor("logits", kind="weight", name="kernel")
    assert run.digest(kernel, 0).size == 12 * 10  # one copy, however many batches


def test_the_values_of_the_first_batch_are_stored_once(tmp_path: Path) -> None:
    keep = Keep(units=False, precision="float32", examples=BATCH)
    sizes, values = [], []
    for batches in (1, 10):
        logdir = tmp_path / str(batches)
        with tf1.Graph().as_default():
            output = elu_convolution(next_batch()[0])
            with tf1.train.MonitoredSession(hooks=[LayerViewHook(logdir, keep=keep)]) as session:
                for _ in range(batches):
                    session.run(output)
        (payload,) = (logdir / "layers").glob("*.payload")
        sizes.append(payload.stat().st_size)
        values.append(logged(read(logdir), 0, "conv", "activation"))
    assert sizes[0] > 15_000  # compressed, of 16 x 8 x 8 x 4 floats
    assert sizes[1] - sizes[0] < 9 * 2 * 1000  # the histograms of two activations
    np.testing.assert_array_equal(*values)


def test_what_is_logged_outlives_a_process_that_ends_on_an_error(tmp_path: Path) -> None:
    program = f"""
import tensorflow as tf
import graphs
from tb_layerview import LayerViewHook
from test_hook import two_layers, train
def fail(session):
    if session.run(t.step) == 9:
        raise RuntimeError("the user's own error")
with graphs.trained(two_layers) as t:
    train(t, [LayerViewHook({str(tmp_path)!r}, schedule=1)], extra=fail)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment(Path(__file__).parent), capture_output=True, text=True
    )
    assert "the user's own error" in ended.stderr
    assert list(read(tmp_path).steps) == list(range(1, 10))


# ---- Estimators ----


def model_fn(features: Any, labels: Any, mode: str, params: dict[str, Any]) -> Any:
    """As people write them: it knows nothing of this project."""
    is_training = mode == "train"
    x = tf1.layers.conv2d(features, 6, 3, name="conv")
    x = tf.nn.relu(tf1.layers.batch_normalization(x, training=is_training, name="norm"))
    x = tf1.layers.flatten(tf1.layers.max_pooling2d(x, 2, 2, name="pool"))
    x = tf1.layers.dropout(x, 0.4, training=is_training)
    hidden = tf1.layers.dense(x, 12, activation=tf.nn.relu, name="hidden")
    logits = tf1.layers.dense(hidden, 10, name="logits")
    predictions = {"hidden": hidden, "logits": logits}
    if mode == "infer":
        return tf.estimator.EstimatorSpec(mode, predictions=predictions)
    loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
    with tf1.control_dependencies(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)):
        train_op = tf1.train.AdamOptimizer(params["rate"]).minimize(loss, tf1.train.get_global_step())
    metrics = {"accuracy": tf1.metrics.accuracy(labels, tf.argmax(logits, 1))}
    return tf.estimator.EstimatorSpec(mode, predictions, loss, train_op, eval_metric_ops=metrics)


def training_data() -> Any:
    return tf.data.Dataset.from_tensor_slices((graphs.IMAGES, graphs.LABELS)).repeat().batch(BATCH)


def test_data() -> Any:
    return tf.data.Dataset.from_tensor_slices((graphs.IMAGES, graphs.LABELS)).batch(BATCH)


test_data.__test__ = False  # type: ignore[attr-defined]


class Losses(tf1.train.SessionRunHook):
    """What the Estimator itself minimises, run by run."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def before_run(self, run_context: Any) -> Any:
        return tf1.train.SessionRunArgs(run_context.original_args.fetches[1])

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.values.append(float(run_values.results))


def estimate(folder: Path, hooks: list[Any], steps: int = STEPS, rate: float = 0.01) -> tuple[Any, list[float]]:
    tf.keras.utils.set_random_seed(1)  # tf.layers draw their seeds from Python's
    config = tf.estimator.RunConfig(tf_random_seed=2, save_checkpoints_steps=1, keep_checkpoint_max=None)
    estimator = tf.estimator.Estimator(model_fn, str(folder), config, {"rate": rate})
    losses = Losses()
    estimator.train(training_data, hooks=[losses, *hooks], steps=steps)
    return estimator, losses.values


@pytest.fixture(autouse=True)
def quiet(quiet_tensorflow: None) -> None:
    """TensorFlow tells of errors only."""


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not waited for is not there in time."""
    write = LogFiles.write

    def slowly(*args: Any, **options: Any) -> None:
        time.sleep(0.2)
        write(*args, **options)

    monkeypatch.setattr(LogFiles, "write", slowly)


@pytest.mark.estimator
@pytest.mark.covers("Graph: tf.layers, batch normalisation", "Graph: tf.layers, dropout")
def test_an_estimator_trains_to_the_same_bits_and_logs_what_its_checkpoints_hold(tmp_path: Path) -> None:
    plain, losses = estimate(tmp_path / "plain", [])
    hooked, with_hook = estimate(tmp_path / "hooked", [LayerViewHook(tmp_path / "hooked", schedule=1, keep=EXACT)])
    assert losses == with_hook
    for name in plain.get_variable_names():
        np.testing.assert_array_equal(plain.get_variable_value(name), hooked.get_variable_value(name), err_msg=name)
    run = read(tmp_path / "hooked")
    assert list(run.steps) == list(range(1, STEPS + 1))
    np.testing.assert_array_equal(run.scalars["loss"], losses)
    for step in (1, 2, 17, STEPS):
        checkpoint = tf.train.load_checkpoint(str(tmp_path / "hooked" / f"model.ckpt-{step}"))
        for tensor in run.tensors:
            if tensor.kind == "weight":
                saved = checkpoint.get_tensor(f"{tensor.layer}/{tensor.name}")
                np.testing.assert_array_equal(run.values(tensor, step).array, saved, err_msg=f"{step} {tensor}")
    for name in hooked.get_variable_names():
        layer, _, leaf = name.rpartition("/")
        if leaf in ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"):
            np.testing.assert_array_equal(logged(run, STEPS, layer, "weight", leaf), hooked.get_variable_value(name))


@pytest.mark.estimator
@pytest.mark.usefixtures("slow_disk")
@pytest.mark.covers(
    "What and when: evaluate and predict with a hook, first batch at once", "What and when: modes told apart"
)
def test_a_prediction_that_is_closed_early_logs_what_it_returned(tmp_path: Path) -> None:
    estimator, _ = estimate(tmp_path, [], steps=5)
    hook = LayerViewHook(tmp_path / "predict", keep=EXACT)
    predictions = estimator.predict(test_data, hooks=[hook], yield_single_examples=False)
    first = next(predictions)
    predictions.close()
    run = read(tmp_path, "predict")
    assert (list(run.steps), run.modes) == ([5], ("predict",))
    for layer in ("hidden", "logits"):
        np.testing.assert_array_equal(logged(run, 5, layer, "activation"), first[layer])
    np.testing.assert_array_equal(
        logged(run, 5, "norm", "weight", "moving_mean"), estimator.get_variable_value("norm/moving_mean")
    )


@pytest.mark.estimator
def test_a_prediction_of_features_alone_logs_the_layers_up_to_them(tmp_path: Path) -> None:
    estimator, _ = estimate(tmp_path, [], steps=1)
    hook = LayerViewHook(tmp_path / "predict")
    list(estimator.predict(test_data, predict_keys=["hidden"], hooks=[hook]))
    run = read(tmp_path, "predict")
    sizes = run.statistics("size")[:, 0]
    has = {t.layer for t in run.tensors if t.kind == "activation" and np.isfinite(sizes[t.index])}
    assert has == {"conv", "norm", "pool", "hidden"}


@pytest.mark.estimator
@pytest.mark.covers("What and when: modes told apart")
def test_an_evaluation_logs_its_first_batch_though_the_graph_has_an_optimizer(tmp_path: Path) -> None:
    estimator, _ = estimate(tmp_path, [], steps=7)
    plain = estimator.evaluate(test_data)
    hook = LayerViewHook(tmp_path / "eval", keep=EXACT)
    assert estimator.evaluate(test_data, hooks=[hook]) == plain
    estimator.train(training_data, steps=3)
    estimator.evaluate(test_data, hooks=[hook])
    run = read(tmp_path, "eval")
    assert (list(run.steps), run.modes) == ([7, 10], ("evaluate", "evaluate"))
    first = next(estimator.predict(test_data, yield_single_examples=False))
    np.testing.assert_allclose(logged(run, 10, "logits", "activation"), first["logits"], rtol=1e-5, atol=1e-6)
    assert {t.kind for t in run.tensors} == {"activation", "weight"}


@pytest.mark.estimator
@pytest.mark.usefixtures("slow_disk")
@pytest.mark.covers("What and when: NanTensorHook, the last step is written")
def test_the_step_whose_loss_is_nan_is_on_disk_when_the_estimator_stops(tmp_path: Path) -> None:
    hook = LayerViewHook(tmp_path, schedule=1)
    with pytest.raises(tf1.train.NanLossDuringTrainingError):
        estimate(tmp_path, [hook], rate=1e30)
    run = read(tmp_path)
    assert not np.isfinite(run.scalars["loss"][-1])
    kernel = run.tensor("logits", kind="weight", name="kernel")
    assert run.digest(kernel, int(run.steps[-1])).nan > 0


@pytest.mark.estimator
@pytest.mark.covers("Graph: Keras layers in a model_fn")
def test_keras_layers_in_a_model_fn_are_logged(tmp_path: Path) -> None:
    def keras_model_fn(features: Any, labels: Any, mode: str) -> Any:
        layers = tf.keras.layers
        x = layers.Reshape((8, 24))(features)
        x = layers.LSTM(6, name="lstm")(x)
        logits = layers.Dense(10, name="logits")(x)
        if mode == "infer":
            return tf.estimator.EstimatorSpec(mode, predictions={"lstm": x, "logits": logits})
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        train_op = tf1.train.MomentumOptimizer(0.1, 0.9).minimize(loss, tf1.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    estimator = tf.estimator.Estimator(keras_model_fn, str(tmp_path))
    estimator.train(training_data, hooks=[LayerViewHook(tmp_path, keep=EXACT)], steps=4)
    run = read(tmp_path)
    for name in ("kernel", "recurrent_kernel", "bias"):
        expected = estimator.get_variable_value(f"lstm/lstm_cell/{name}")
        np.testing.assert_array_equal(logged(run, 4, "lstm", "weight", name), expected)
    hook = LayerViewHook(tmp_path / "predict", keep=EXACT)
    first = next(estimator.predict(test_data, hooks=[hook], yield_single_examples=False))
    np.testing.assert_array_equal(logged(read(tmp_path, "predict"), 4, "lstm", "activation"), first["lstm"])


@pytest.mark.estimator
def test_a_training_says_at_its_end_what_was_logged_and_an_evaluation_only_to_the_log(
    tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "tb_layerview")
    estimator, _ = estimate(tmp_path, [LayerViewHook(tmp_path)], steps=3)
    assert "3 steps logged" in capsys.readouterr().out
    estimator.evaluate(test_data, hooks=[LayerViewHook(tmp_path / "eval")])
    assert capsys.readouterr().out == ""
    assert "1 steps logged" in caplog.text
