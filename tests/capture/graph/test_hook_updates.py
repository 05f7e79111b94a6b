"""The hook's kind `update`, the change of each weight over exactly one step, and the loss that nobody fetches.

Truth is what `session.run` of the variables returns between the steps, or what two checkpoints hold.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import BATCH, Graph, dense, flat, noisy_network, trained, weight

from tb_layerview import Keep, LayerViewHook, NotLoggedError, Schedule, Select
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")
STEPS = 9
SGD = lambda: tf1.train.GradientDescentOptimizer(0.1)  # noqa: E731
OPTIMIZERS = {
    "SGD": SGD,
    "Momentum": lambda: tf1.train.MomentumOptimizer(0.1, 0.9),
    "Adam": lambda: tf1.train.AdamOptimizer(0.01),
}

Weights = dict[str, np.ndarray]


def network(x: tf.Tensor, use_resource: bool = True) -> tf.Tensor:
    """Its first kernel is a large tensor for the digests, the others are small ones."""
    return dense(tf.nn.relu(dense(flat(x), 40, "hidden", use_resource)), 10, "logits", use_resource)


class Given:
    """An optimizer made of a function that makes the train op of a loss."""

    def __init__(self, make: Callable[[Any, Any], Any]) -> None:
        self.make = make

    def minimize(self, loss: Any, step: Any) -> Any:
        """The train op."""
        return self.make(loss, step)


def train(t: Graph, hooks: list[Any], steps: int = STEPS, op: Any = None, **session: Any) -> list[Weights]:
    """All variables before the first run and after each; nothing but the train op is fetched in it."""
    variables = {v.op.name: v for v in tf1.global_variables()}
    with tf1.train.MonitoredTrainingSession(hooks=hooks, **session) as s:
        seen = [s.run(variables)]
        for _ in range(steps):
            s.run(t.train_op if op is None else op)
            seen.append(s.run(variables))
    return seen


def read(logdir: Path) -> Run:
    return LayerReader(logdir).run(".")


def update(run: Run, step: int, variable: str) -> np.ndarray:
    layer, _, name = variable.rpartition("/")
    return run.values(run.tensor(layer, kind="update", name=name), step).array


def assert_changes(run: Run, step: int, before: Weights, after: Weights, names: list[str]) -> None:
    """What is logged of a step is, to the last bit, the difference; and statistics are of the whole of it."""
    for name in names:
        change = after[name] - before[name]
        np.testing.assert_array_equal(update(run, step, name), change, err_msg=f"{name} at {step}")
        layer, _, leaf = name.rpartition("/")
        digest = run.digest(run.tensor(layer, kind="update", name=leaf), step)
        assert digest.size == change.size
        assert digest.zero == int((np.abs(change) < 2.0**-130).sum())
        assert digest.rms == pytest.approx(np.sqrt((change.astype(np.float64) ** 2).mean()), rel=1e-5)


def trainable(t: Graph) -> list[str]:
    with t.graph.as_default():
        return [v.op.name for v in tf1.trainable_variables()]


def of_ours(graph: Any, kind: str) -> list[Any]:
    """The hook's own operations of a type."""
    return [op for op in graph.get_operations() if op.type == kind and op.name.startswith("layerview")]


# ---- What is logged ----


@pytest.mark.covers(
    "What and when: kind update, hook", "What and when: Schedule, every N", "Graph: SGD", "Graph: Momentum"
)
@pytest.mark.parametrize("use_resource", [True, False], ids=["resource variables", "reference variables"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.core("Adam-resource variables", "Momentum-reference variables", "SGD-resource variables")
def test_an_update_is_what_one_step_changed_and_the_training_is_the_same(
    optimizer: str, use_resource: bool, lagging: list[int], tmp_path: Path
) -> None:
    def run(hooks: list[Any]) -> tuple[list[Weights], list[str]]:
        with trained(lambda x: network(x, use_resource), OPTIMIZERS[optimizer]) as t:
            return train(t, hooks), trainable(t)

    plain, _ = run([])
    hooked, names = run([LayerViewHook(tmp_path, schedule=3, keep=EXACT)])
    for one, other in zip(plain, hooked):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)
    logged = read(tmp_path)
    assert list(logged.steps) == [3, 6, 9]
    assert logged.model.notes == ()
    assert len(names) == 4
    for step in (3, 6, 9):
        assert_changes(logged, step, hooked[step - 1], hooked[step], names)
        for name in names:  # which wait to be measured while the training assigns to them
            layer, _, leaf = name.rpartition("/")
            weight = logged.values(logged.tensor(layer, kind="weight", name=leaf), step).array
            np.testing.assert_array_equal(weight, hooked[step][name], err_msg=f"{name} at {step}")
    assert bool(lagging) == use_resource  # a reference variable is written to where it lies: digested on the device


def test_a_weight_and_its_update_are_of_one_read(tmp_path: Path) -> None:
    """A session copies what each read of a variable gives."""
    reads = []
    for kinds in (("weight",), ("weight", "update")):
        with trained(network) as t:
            train(t, [LayerViewHook(tmp_path / kinds[-1], Select(kinds=kinds), 3)])  # type: ignore[arg-type]
            reads.append(len(of_ours(t.graph, "ReadVariableOp")))
    assert reads[0] == reads[1] > 0


@pytest.mark.covers("What and when: kind update, hook")
@pytest.mark.parametrize("schedule", [Schedule(), Schedule(steps=(1, 4, 5, 8))], ids=["ladder", "given steps"])
def test_of_a_noisy_network_updates_are_logged_and_every_variable_stays_the_same(
    schedule: Schedule, tmp_path: Path
) -> None:
    """Dropout, noise, and moving averages, which are no trained weights."""

    def run(hooks: list[Any]) -> list[Weights]:
        with trained(noisy_network) as t:
            return train(t, hooks)

    plain, hooked = run([]), run([LayerViewHook(tmp_path, schedule=schedule, keep=EXACT)])
    for one, other in zip(plain, hooked):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)
    logged = read(tmp_path)
    assert list(logged.steps) == [step for step in range(1, STEPS + 1) if schedule.wants(step)]
    weights, updates = ({(t.layer, t.name) for t in logged.tensors if t.kind == kind} for kind in ("weight", "update"))
    assert weights - updates == {("norm", "moving_mean"), ("norm", "moving_variance")}
    for step in logged.steps.tolist():
        assert_changes(logged, step, hooked[step - 1], hooked[step], [f"{layer}/{name}" for layer, name in updates])


@pytest.mark.covers("What and when: kind update, hook", "Graph: embedding look-ups with sparse gradients")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_of_an_embedding_the_rows_that_a_step_changed_are_those_that_differ(optimizer: str, tmp_path: Path) -> None:
    def embedded(x: tf.Tensor) -> tf.Tensor:
        with tf1.variable_scope("words"):
            table = weight("embeddings", [50, 90])  # 4,500 elements: a large tensor for the digests
            words = tf.cast(x[:, 0, :4, 0] * 20, tf.int32)
            return dense(tf.reduce_mean(tf.nn.embedding_lookup(table, words), axis=1), 10, "logits")

    with trained(embedded, OPTIMIZERS[optimizer]) as t:
        seen = train(t, [LayerViewHook(tmp_path, schedule=2, keep=EXACT)])
        names = trainable(t)
    run = read(tmp_path)
    table = next(name for name in names if name.endswith("embeddings"))
    for step in (2, 4, 6, 8):
        assert_changes(run, step, seen[step - 1], seen[step], names)
    touched = (update(run, 2, table) != 0).any(axis=1)
    assert touched[:20].any() and not touched[20:].any()


@pytest.mark.covers("What and when: kind update, hook", "Graph: partitioned variables")
def test_each_part_of_a_partitioned_variable_has_its_update(tmp_path: Path) -> None:
    def parted(x: tf.Tensor) -> tf.Tensor:
        with tf1.variable_scope("hidden", partitioner=tf1.fixed_size_partitioner(3), use_resource=True):
            kernel = tf1.get_variable("kernel", [192, 30], initializer=tf1.random_normal_initializer(0, 0.1))
        return dense(tf.nn.relu(tf.matmul(flat(x), tf.convert_to_tensor(kernel))), 10, "logits")

    with trained(parted, OPTIMIZERS["Adam"]) as t:
        seen = train(t, [LayerViewHook(tmp_path, schedule=4, keep=EXACT)])
    run = read(tmp_path)
    parts = [f"hidden/kernel/part_{i}" for i in range(3)]
    (layer,) = {t.layer for t in run.tensors if t.kind == "update" and t.name == "kernel/part_0"}
    for step in (4, 8):
        for part in parts:
            tensor = run.tensor(layer, kind="update", name=part.removeprefix(f"{layer}/"))
            np.testing.assert_array_equal(run.values(tensor, step).array, seen[step][part] - seen[step - 1][part])


@pytest.mark.covers("What and when: kind update, hook", "Graph: restore, step numbers go on")
def test_the_first_step_after_a_restore_has_its_update_and_checkpoints_hold_nothing_of_ours(tmp_path: Path) -> None:
    def go_on(folder: Path, hooks: list[Any]) -> list[Weights]:
        with trained(network, OPTIMIZERS["Adam"]) as t:
            return train(t, hooks, steps=3, checkpoint_dir=str(folder), save_checkpoint_steps=1)

    plain = [go_on(tmp_path / "plain", []) for _ in range(2)]
    seen = [go_on(tmp_path / "hooked", [LayerViewHook(tmp_path / "log", schedule=1, keep=EXACT)]) for _ in range(2)]
    run = read(tmp_path / "log")
    assert list(run.steps) == [1, 2, 3, 4, 5, 6]
    names = ["hidden/kernel", "hidden/bias", "logits/kernel", "logits/bias"]
    for step in run.steps.tolist():
        session, within = divmod(step - 1, 3)
        assert_changes(run, step, seen[session][within], seen[session][within + 1], names)
    for one, other in zip(plain[1], seen[1]):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)
    held = [tf.train.load_checkpoint(str(tmp_path / name)).get_variable_to_shape_map() for name in ("plain", "hooked")]
    assert held[0] == held[1]


@pytest.mark.covers("Graph: an optimizer with unknown apply ops")
def test_an_optimizer_that_assigns_by_itself_has_updates(tmp_path: Path) -> None:
    def make(loss: Any, step: Any) -> Any:
        variables = tf1.trainable_variables()
        changes = [tf1.assign_sub(v, 0.01 * tf.sign(g)) for v, g in zip(variables, tf.gradients(loss, variables))]
        with tf1.control_dependencies(changes):
            return tf1.assign_add(step, 1)

    with trained(network, lambda: Given(make)) as t:
        seen = train(t, [LayerViewHook(tmp_path, schedule=1, keep=EXACT)])
        names = trainable(t)
    for step in (1, 5, STEPS):
        assert_changes(read(tmp_path), step, seen[step - 1], seen[step], names)


def test_a_half_precision_weights_update_is_its_difference_in_float32(tmp_path: Path) -> None:
    def half(x: tf.Tensor) -> tf.Tensor:
        with tf1.variable_scope("hidden"):
            values = np.random.RandomState(3).normal(0, 0.3, [192, 10]).astype(np.float16)
            kernel = tf1.get_variable("kernel", initializer=values, use_resource=True)
            return tf.cast(tf.matmul(tf.cast(flat(x), tf.float16), kernel), tf.float32)

    with trained(half, SGD) as t:
        seen = train(t, [LayerViewHook(tmp_path, schedule=1, keep=EXACT)])
    run = read(tmp_path)
    assert run.tensor("hidden", kind="update", name="kernel").dtype == "float32"
    for step in (1, STEPS):
        old, new = (seen[s]["hidden/kernel"].astype(np.float32) for s in (step - 1, step))
        np.testing.assert_array_equal(update(run, step, "hidden/kernel"), new - old)


# ---- Which steps have one ----


def test_where_gradients_are_accumulated_an_update_spans_all_runs_of_its_step(tmp_path: Path) -> None:
    class Never:
        def minimize(self, loss: Any, step: Any) -> Any:
            return tf.no_op()

    with trained(network, Never) as t:
        count = tf1.get_variable("count", initializer=np.int32(0), trainable=False, use_resource=True)
        optimizer, variables = SGD(), tf1.trainable_variables()
        gradients = tf.gradients(t.loss, variables)
        with tf1.control_dependencies([count.assign_add(1)]):
            op = tf1.cond(
                tf.equal(count.read_value() % 3, 0),
                lambda: optimizer.apply_gradients(list(zip(gradients, variables)), t.step),
                tf.no_op,
            )
        seen = train(t, [LayerViewHook(tmp_path, schedule=1, keep=EXACT)], steps=12, op=op)
    run = read(tmp_path)
    for step in (1, 2, 3, 4):
        assert_changes(run, step, seen[3 * (step - 1)], seen[3 * step], [v.op.name for v in variables])


@pytest.mark.covers("Graph: several train ops")
def test_of_optimizers_that_take_turns_an_update_holds_what_both_did_in_the_step(tmp_path: Path) -> None:
    def make(loss: Any, step: Any) -> Any:
        return SGD().minimize(loss, step, tf1.trainable_variables("hidden"))

    with trained(network, lambda: Given(make)) as t:
        other = SGD().minimize(-t.loss, var_list=tf1.trainable_variables("logits"))
        variables = {v.op.name: v for v in tf1.trainable_variables()}
        hook = LayerViewHook(tmp_path, schedule=10, keep=EXACT)
        seen = []
        with tf1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            for _ in range(80):  # so often that the runs without a step are known for it
                seen.append(session.run(variables))
                session.run(other)
                session.run(t.train_op)
            seen.append(session.run(variables))
    run = read(tmp_path)
    for step in (10, 70, 80):
        assert_changes(run, step, seen[step - 1], seen[step], list(variables))
        assert np.abs(update(run, step, "logits/kernel")).max() > 0


@pytest.mark.parametrize(("every", "first"), [(1, 2), (2, 4)])  # of how far a run raises it, the first run tells
def test_where_a_run_raises_the_step_by_more_than_one_that_is_said_by_name_and_updates_are_left_out(
    every: int, first: int, tmp_path: Path
) -> None:
    def make(loss: Any, step: Any) -> Any:
        first = SGD().minimize(loss, step, tf1.trainable_variables("hidden"))
        with tf1.control_dependencies([first]):
            return SGD().minimize(loss, step, tf1.trainable_variables("logits"))

    with trained(network, lambda: Given(make)) as t:
        seen = train(t, [LayerViewHook(tmp_path, schedule=every, keep=EXACT)])
    run = read(tmp_path)
    assert list(run.steps) == list(range(first, 19, 2))
    assert run.model.notes == (
        "no update is logged for hidden/kernel, hidden/bias, logits/kernel, logits/bias where a run raises the global "
        "step by more than 1, as from 0 to 2: the change over exactly one step cannot be had",
    )
    kernel = run.tensor("hidden", kind="weight", name="kernel")
    for step in (first, 18):
        np.testing.assert_array_equal(run.values(kernel, step).array, seen[step // 2]["hidden/kernel"])
        with pytest.raises(NotLoggedError):
            run.digest(run.tensor("hidden", kind="update", name="kernel"), step)


# ---- What it takes ----


class Watcher(tf1.train.SessionRunHook):
    """Which steps found copies of the weights, of a hook listed behind this one: during the run, and after it."""

    def __init__(self) -> None:
        self.during: list[bool] = []
        self.after: list[bool] = []

    def watch(self, graph: Any) -> None:
        """Looks at the copies that are in a graph; before it is finalised."""
        with graph.as_default():
            copies = of_ours(graph, "VarHandleOp")
            self.copies = [tf.raw_ops.VarIsInitializedOp(resource=op.outputs[0]) for op in copies]

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if isinstance(run_context.original_args.fetches, tf.Operation):
            self.during.append(bool(np.all(run_context.session.run(self.copies))))


class Later(tf1.train.SessionRunHook):
    """Has a watcher look at what the hooks before it made, and after they are done."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def begin(self) -> None:
        self.watcher.watch(tf1.get_default_graph())

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if isinstance(run_context.original_args.fetches, tf.Operation):
            self.watcher.after.append(bool(np.any(run_context.session.run(self.watcher.copies))))


def test_copies_are_there_while_a_logged_step_runs_and_never_otherwise(on_device: None, tmp_path: Path) -> None:
    watcher = Watcher()
    hooks = [watcher, LayerViewHook(tmp_path, schedule=Schedule(steps=(2, 3, 7))), Later(watcher)]
    with trained(network) as t:
        train(t, hooks)
        assert len(watcher.copies) == 4
    assert watcher.during == [step in (2, 3, 7) for step in range(1, STEPS + 1)]
    assert not any(watcher.after)


def test_an_unlogged_step_asks_the_session_for_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    run = tf1.Session.run

    def counted(self: Any, fetches: Any, *args: Any, **options: Any) -> Any:
        asked.append(fetches)
        return run(self, fetches, *args, **options)

    monkeypatch.setattr(tf1.Session, "run", counted)
    with (
        trained(network) as t,
        tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=4)]) as session,
    ):
        counts = []
        for _ in range(8):
            before = len(asked)
            session.run(t.train_op)
            counts.append(len(asked) - before)
    assert [count for step, count in enumerate(counts, 1) if step % 4] == [1] * 6
    assert counts[3] > 1 and counts[7] > 1


def test_nobody_but_the_hook_knows_of_the_copies(on_device: None, tmp_path: Path) -> None:
    names: list[list[str]] = []
    for hooks in ([], [LayerViewHook(tmp_path, schedule=1)]):
        with trained(network) as t:
            train(t, hooks)
            keys = t.graph.get_all_collection_keys()
            names.append(
                sorted(
                    f"{key}: {getattr(member, 'name', '')}" for key in keys for member in t.graph.get_collection(key)
                )
            )
            assert bool(of_ours(t.graph, "VarHandleOp")) == bool(hooks)
    assert names[0] == names[1]


@pytest.mark.covers("What and when: Select, kinds")
def test_updates_alone_can_be_selected_and_without_them_nothing_is_kept(on_device: None, tmp_path: Path) -> None:
    for kinds in (("update",), ("weight",), ("weight", "gradient", "activation")):
        with trained(network) as t:
            seen = train(t, [LayerViewHook(tmp_path / kinds[0], Select(kinds=kinds), 1, EXACT)])  # type: ignore[arg-type]
            assert len(of_ours(t.graph, "VarHandleOp")) == (4 if kinds == ("update",) else 0)
            names = trainable(t)
    run = read(tmp_path / "update")
    assert {t.kind for t in run.tensors} == {"update"}
    assert list(run.steps) == list(range(1, STEPS + 1))
    assert_changes(run, STEPS, seen[STEPS - 1], seen[STEPS], names)


def test_if_the_weights_cannot_be_kept_that_is_said_once_and_the_rest_is_logged(
    tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tb_layerview.capture.graph.updates import GraphUpdates

    def full(*_: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    monkeypatch.setattr(GraphUpdates, "keep", full)
    with trained(network) as t:
        seen = train(t, [LayerViewHook(tmp_path, schedule=1, keep=EXACT)])
    assert [r.getMessage() for r in caplog.records if "keeping the weights" in r.getMessage()] == [
        "tb_layerview: keeping the weights: ResourceExhaustedError: out of memory. The training goes on."
    ]
    run = read(tmp_path)
    assert list(run.steps) == list(range(1, STEPS + 1))
    kernel = run.tensor("hidden", kind="weight", name="kernel")
    np.testing.assert_array_equal(run.values(kernel, STEPS).array, seen[STEPS]["hidden/kernel"])


@pytest.mark.estimator
@pytest.mark.covers("What and when: kind update, hook", "What and when: Schedule, given steps")
def test_an_estimators_updates_are_the_differences_of_its_checkpoints(tmp_path: Path) -> None:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        x = tf.nn.relu(tf1.layers.conv2d(features, 6, 3, name="conv"))
        x = tf1.layers.batch_normalization(tf1.layers.flatten(x), training=True, name="norm")
        logits = tf1.layers.dense(tf1.layers.dropout(x, 0.3, training=True), 10, name="logits")
        loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
        with tf1.control_dependencies(tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)):
            train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, tf1.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def data() -> Any:
        return tf.data.Dataset.from_tensor_slices((graphs.IMAGES, graphs.LABELS)).repeat().batch(BATCH)

    for name in ("plain", "hooked"):
        folder = tmp_path / name
        hooks = [LayerViewHook(folder, schedule=Schedule(steps=(1, 3, 4, 8)), keep=EXACT)] if name == "hooked" else []
        tf.keras.utils.set_random_seed(1)
        config = tf.estimator.RunConfig(tf_random_seed=2, save_checkpoints_steps=1, keep_checkpoint_max=None)
        estimator = tf.estimator.Estimator(model_fn, str(folder), config)
        estimator.train(data, hooks=hooks, steps=5)
        estimator.train(data, hooks=hooks, steps=3)  # restored at 5; 8 is the last
    saved = {
        name: [tf.train.load_checkpoint(str(tmp_path / name / f"model.ckpt-{s}")) for s in range(9)]
        for name in ("plain", "hooked")
    }
    run = read(tmp_path / "hooked")
    assert list(run.steps) == [1, 3, 4, 8]
    for step in range(9):
        plain, hooked = (saved[name][step] for name in ("plain", "hooked"))
        assert plain.get_variable_to_shape_map() == hooked.get_variable_to_shape_map()
        for name in plain.get_variable_to_shape_map():
            np.testing.assert_array_equal(plain.get_tensor(name), hooked.get_tensor(name), err_msg=name)
    updates = [f"{t.layer}/{t.name}" for t in run.tensors if t.kind == "update"]
    assert sorted(updates) == sorted(
        f"{layer}/{name}"
        for layer, pair in {"conv": ("kernel", "bias"), "norm": ("gamma", "beta"), "logits": ("kernel", "bias")}.items()
        for name in pair
    )
    for step in run.steps.tolist():
        for name in updates:
            old, new = (saved["plain"][s].get_tensor(name) for s in (step - 1, step))
            np.testing.assert_array_equal(update(run, step, name), new - old, err_msg=f"{name} at {step}")


# ---- The loss that nobody fetches ----


def mean_squared(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean((logits - tf.one_hot(labels, 10)) ** 2)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def with_penalty(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    penalty = tf.add_n([tf.nn.l2_loss(v) for v in tf1.trainable_variables()])
    return tf1.losses.sigmoid_cross_entropy(tf.one_hot(labels, 10), logits) + 1e-3 * penalty


def with_gradient_penalty(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    (slope,) = tf.gradients(tf.reduce_sum(logits**2), logits, name="inner")
    return cross_entropy(logits, labels) + 0.01 * tf.reduce_mean(slope**2)


@pytest.mark.parametrize("make_loss", [mean_squared, cross_entropy, with_penalty, with_gradient_penalty])
@pytest.mark.parametrize("body", [network, noisy_network], ids=["plain network", "noisy network"])
@pytest.mark.core(
    "plain network-cross_entropy",
    "plain network-with_penalty",
    "noisy network-mean_squared",
    "noisy network-with_gradient_penalty",
)
def test_the_loss_is_logged_though_the_run_does_not_fetch_it(
    make_loss: Callable[[Any, Any], Any], body: Callable[[Any], Any], tmp_path: Path
) -> None:
    def run(hooks: list[Any], with_loss: bool) -> tuple[list[Any], Weights]:
        tf.keras.utils.set_random_seed(1)
        with tf1.Graph().as_default():
            tf1.set_random_seed(1)
            step = tf1.train.get_or_create_global_step()
            images, labels = graphs.next_batch()
            loss = make_loss(body(images), labels)
            train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, step)
            fetches = [train_op, loss] if with_loss else [train_op]
            variables = {v.op.name: v for v in tf1.global_variables()}
            with tf1.train.MonitoredTrainingSession(hooks=hooks) as session:
                return [session.run(fetches)[-1] for _ in range(STEPS)], session.run(variables)

    losses, _ = run([], with_loss=True)
    _, plain = run([], with_loss=False)
    _, hooked = run([LayerViewHook(tmp_path, schedule=2)], with_loss=False)
    for name, value in plain.items():
        np.testing.assert_array_equal(value, hooked[name], err_msg=name)
    logged = read(tmp_path)
    np.testing.assert_allclose(logged.scalars["loss"], losses[1::2], rtol=1e-6)
    assert sorted(logged.scalars) == ["learning_rate", "loss"]


def biased(x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Of a mean of sums, no gradient needs the bias."""
    return tf.reduce_mean(network(x))


def summed(x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """A sum that only a further sum needs, as long as nobody looks at the loss."""
    part = tf.add(network(x), dense(flat(x), 10, "other"), name="part")
    return cross_entropy(part + dense(flat(x), 10, "third"), labels) + tf.reduce_mean(part)


def noisy(x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The gradients need none of the noise."""
    return cross_entropy(network(x), labels) + tf.random.normal([], name="noise")


@pytest.mark.parametrize(
    ("make_loss", "reason"),
    [
        (biased, "the variable 'logits/bias' would be read while it is trained"),
        (summed, "looking at 'part:0' would change the training's rounding"),
        (noisy, "the operation 'noise/RandomStandardNormal' would run for it alone"),
    ],
)
def test_a_loss_that_cannot_be_had_without_changing_the_training_is_said_not_to_be_logged(
    make_loss: Callable[[Any, Any], Any], reason: str, tmp_path: Path
) -> None:
    with tf1.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        loss = make_loss(*graphs.next_batch())
        train_op = SGD().minimize(loss, step)
        with tf1.train.MonitoredTrainingSession(hooks=[LayerViewHook(tmp_path, schedule=1)]) as session:
            for _ in range(3):
                session.run(train_op)
    run = read(tmp_path)
    assert "loss" not in run.scalars
    (note,) = [note for note in run.model.notes if note.startswith("the loss")]
    assert note == f"the loss {loss.name!r} is not logged for runs that do not fetch it: {reason}"
