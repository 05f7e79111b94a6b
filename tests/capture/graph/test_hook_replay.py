"""The step that breaks a training in a session: which one it was, and in which layer, whatever the schedule logs.

Truth is planted: one bad example in one batch. What the layers gave for it is worked out by hand from the weights that
`session.run` returns right before that step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
import tensorflow as tf
from graphs import dense

from tb_layerview import Check, Finding, Keep, LayerViewHook, Schedule, Select
from tb_layerview.capture.graph import failure_log
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run

tf1 = tf.compat.v1

BATCH, FEATURES, STEPS = 16, 24, 20
BAD = 17  # the step whose batch has the bad example
EXACT = Keep(activations=10**6, weights=10**6, gradients=10**6, examples=BATCH, precision="float32")
LADDER, TENTH = Schedule(), Schedule(every=10)

_RANDOM = np.random.RandomState(3)
DATA = _RANDOM.normal(0, 1, (STEPS, BATCH, FEATURES)).astype(np.float32)
SCALES = _RANDOM.uniform(0.5, 1.5, (STEPS, BATCH, 1)).astype(np.float32)
SCALES[BAD - 1, 5] = 0
LABELS = _RANDOM.randint(0, 10, (STEPS, BATCH)).astype(np.int32)

Network = Callable[[tf.Tensor, tf.Tensor, bool], tf.Tensor]
Seen = list[dict[str, np.ndarray]]


def divides(
    x: tf.Tensor, scale: tf.Tensor, use_resource: bool = True, function: Callable[[Any], Any] = tf.nn.tanh
) -> tf.Tensor:
    """A layer in the middle divides by what is 0 in the bad example; its kernel's gradient is a large one."""
    x = tf.nn.relu(dense(x, 100, "first", use_resource))
    with tf1.variable_scope("middle"):
        x = tf.matmul(x, graphs.weight("kernel", [100, 50], use_resource)) / scale
    x = tf1.nn.dropout(x, rate=0.2) + tf.random.normal([50], stddev=0.01)
    return dense(function(dense(x, 20, "last", use_resource)), 10, "logits", use_resource)


def hides(x: tf.Tensor, scale: tf.Tensor, use_resource: bool = True) -> tf.Tensor:
    """The same, but the loss stays finite: what is NaN is replaced by 0. Weights are broken all the same."""
    return divides(x, scale, use_resource, lambda v: tf.where(tf.math.is_nan(v), tf.zeros_like(v), v))


def rectifies(x: tf.Tensor, scale: tf.Tensor, use_resource: bool = True) -> tf.Tensor:
    """The same with a ReLU, which is one kernel with the product and its bias where oneDNN fuses them: 0 of NaN there.

    Elsewhere it keeps NaN: whether oneDNN is on by default depends on the processor.
    """
    return divides(x, scale, use_resource, tf.nn.relu)


def roots(x: tf.Tensor, scale: tf.Tensor, use_resource: bool = True) -> tf.Tensor:
    """A layer in the middle takes the root of 0 in the bad example: that is finite, and its gradient is not."""
    x = tf.nn.relu(dense(x, 100, "first", use_resource))
    with tf1.variable_scope("middle"):
        x = tf.matmul(x, graphs.weight("kernel", [100, 50], use_resource))
        x = tf.sqrt(tf.abs(x) * scale)
    return dense(tf.nn.tanh(dense(x, 20, "last", use_resource)), 10, "logits", use_resource)


@dataclasses.dataclass
class Trained:
    """A model that is ready to be trained.

    Attributes:
      loss: Scalar.
      train_op: Trains it by one step.
      feeds: What to feed at a step, if its input is not a dataset.
    """

    loss: tf.Tensor
    train_op: Any
    feeds: Callable[[int], dict[Any, np.ndarray]]


@contextmanager
def model(
    network: Network = divides,
    fed: bool = False,
    use_resource: bool = True,
    minimize: Callable[[tf.Tensor, Any], Any] | None = None,
) -> Iterator[Trained]:
    with tf1.Graph().as_default():
        tf1.set_random_seed(1)
        step = tf1.train.get_or_create_global_step()
        arrays = (DATA, SCALES, LABELS)
        inputs: tuple[Any, ...]
        if fed:
            inputs = tuple(tf1.placeholder(array.dtype, [None, *array.shape[2:]]) for array in arrays)
        else:
            inputs = tf1.data.make_one_shot_iterator(tf.data.Dataset.from_tensor_slices(arrays)).get_next()
        logits = network(inputs[0], inputs[1], use_resource)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=inputs[2], logits=logits))
        minimize = minimize or (lambda loss, step: tf1.train.AdamOptimizer(0.01).minimize(loss, step))
        train_op = minimize(loss, step)
        yield Trained(loss, train_op, lambda number: {t: a[number] for t, a in zip(inputs, arrays)} if fed else {})


def train(
    t: Trained, hooks: list[Any], steps: int = STEPS, fetches: Any = None, variables: bool = True, **session: Any
) -> tuple[list[Any], Seen]:
    """What each run returns, the losses if nothing else is wanted, and all variables before each and at the end."""
    wanted = {v.op.name: v for v in tf1.global_variables()} if variables else {}
    returned: list[Any] = []
    with tf1.train.MonitoredTrainingSession(hooks=hooks, log_step_count_steps=None, **session) as s:
        seen = [s.run(wanted)] if wanted else []
        for number in range(steps):
            returned.append(s.run(fetches or [t.train_op, t.loss], t.feeds(number))[-1])
            if s.should_stop():
                break
            if wanted:
                seen.append(s.run(wanted))
    return returned, seen


def assert_same(one: tuple[list[Any], Seen], other: tuple[list[Any], Seen]) -> None:
    np.testing.assert_array_equal(one[0], other[0])
    assert len(one[1]) == len(other[1])
    for step, (a, b) in enumerate(zip(one[1], other[1])):
        assert a.keys() == b.keys()
        for name, value in a.items():
            np.testing.assert_array_equal(value, b[name], err_msg=f"{name} after step {step}")


def hook(logdir: Path, schedule: Schedule = LADDER, **check: Any) -> LayerViewHook:
    return LayerViewHook(logdir, schedule=schedule, keep=EXACT, check=Check(**{"replay": True, **check}))


def replay_of(logdir: Path) -> Run:
    return LayerReader(logdir).run("replay")


def logged(run: Run, layer: str, kind: str, name: str) -> np.ndarray:
    return run.values(run.tensor(layer, kind=kind, name=name), BAD).array


class Staged(tf1.train.SessionRunHook):  # type: ignore[misc]
    """Appends how much lies in each of the hook's staging areas after each run."""

    def __init__(self, sizes: list[list[int]]) -> None:
        self.sizes = sizes

    def after_run(self, run_context: Any, run_values: Any) -> None:
        del run_values
        session = run_context.session
        self.sizes.append(session.run([op.outputs[0] for op in of_ours(session.graph, "StageSize")]))


def of_ours(graph: Any, kind: str) -> list[Any]:
    return [op for op in graph.get_operations() if op.type == kind and op.name.startswith("layerview")]


def has_replay(logdir: Path) -> bool:
    return (logdir / "replay").exists()


# ---- Which step, which layer ----


@pytest.mark.parametrize(
    ("schedule", "fed", "use_resource"),
    [(LADDER, False, True), (TENTH, True, True), (LADDER, True, False), (TENTH, False, False)],
    ids=[
        "ladder, dataset, resource variables",
        "every tenth step, placeholders, resource variables",
        "ladder, placeholders, reference variables",
        "every tenth step, dataset, reference variables",
    ],
)
@pytest.mark.core("ladder, dataset, resource variables", "every tenth step, dataset, reference variables")
def test_a_bad_example_is_found_in_the_layer_and_at_the_step_where_it_broke_the_training(
    schedule: Schedule, fed: bool, use_resource: bool, tmp_path: Path
) -> None:
    found: list[Finding] = []
    with model(fed=fed, use_resource=use_resource) as t:
        plain = train(t, [])
    with model(fed=fed, use_resource=use_resource) as t:
        hooked = train(t, [hook(tmp_path, schedule, on_finding=found.append)])
    assert np.isfinite(plain[0][: BAD - 1]).all()
    assert not np.isfinite(plain[0][BAD - 1 :]).any()
    assert_same(plain, hooked)

    assert found[0].tensor is not None
    assert found[0].replay is not None
    assert (found[0].tensor.layer, found[0].tensor.kind, found[0].first, found[0].before) == (
        "middle",
        "activation",
        BAD,
        BAD - 1,
    )
    assert found[0].replay.step == BAD
    assert all(finding.severity == "error" for finding in found)

    run = replay_of(tmp_path)
    assert (list(run.steps), run.modes) == ([BAD], ("replay",))
    before = hooked[1][BAD - 1]
    first = np.maximum(DATA[BAD - 1] @ before["first/kernel"] + before["first/bias"], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (first @ before["middle/kernel"]) / SCALES[BAD - 1]
    np.testing.assert_allclose(logged(run, "first", "activation", "output"), first, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logged(run, "middle", "activation", "output"), middle, rtol=1e-3, atol=1e-5)
    digest = run.digest(run.tensor("middle", kind="activation"), BAD)
    assert (digest.pos_inf, digest.neg_inf) == ((middle == np.inf).sum(), (middle == -np.inf).sum())
    assert digest.pos_inf + digest.neg_inf > 0
    assert np.isnan(run.scalars["loss"]).all()
    # The gradients that came to the layer have no finite column left.
    assert run.digest(run.tensor("middle", kind="gradient", name="kernel"), BAD).nan == 100 * 50
    assert {tensor.kind for tensor in run.tensors} == {"activation", "gradient"}

    training = LayerReader(tmp_path).run(".")
    if schedule is TENTH:
        assert list(training.steps) == [10, 20]  # followed exactly
    else:
        assert BAD in training.steps
        kernel = training.tensor("middle", kind="weight", name="kernel")
        assert training.digest(kernel, BAD).nan == np.isnan(hooked[1][BAD]["middle/kernel"]).sum() == 100 * 50


def test_a_gradient_that_is_born_not_finite_is_found_at_the_step_whose_loss_is_still_finite(tmp_path: Path) -> None:
    found: list[Finding] = []
    with model(roots) as t:
        plain = train(t, [])
    with model(roots) as t:
        hooked = train(t, [hook(tmp_path, TENTH, on_finding=found.append)])
    assert_same(plain, hooked)
    assert np.isfinite(plain[0][BAD - 1])
    assert not np.isfinite(plain[0][BAD])
    assert found[0].tensor is not None
    assert (found[0].tensor.layer, found[0].tensor.kind, found[0].first) == ("middle", "gradient", BAD)
    run = replay_of(tmp_path)
    kernels = {name: run.tensor(name, kind="gradient", name="kernel") for name in ("first", "middle", "last", "logits")}
    sizes = {name: run.statistics("size")[kernel.index, 0] for name, kernel in kernels.items()}
    assert sizes["middle"] == 100 * 50
    assert run.digest(kernels["logits"], BAD).nan == run.digest(kernels["last"], BAD).nan == 0
    activations = [tensor for tensor in run.tensors if tensor.kind == "activation"]
    assert sum(run.digest(tensor, BAD).nan for tensor in activations) == 0


def turns(x: tf.Tensor, scale: tf.Tensor, use_resource: bool = True) -> tf.Tensor:
    """A layer whose channels come second; they are logged last."""
    with tf1.variable_scope("turned"):
        bias = graphs.weight("bias", [6], use_resource)
        x = tf.nn.bias_add(tf.reshape(x, [BATCH, 6, 2, 2]), bias, data_format="NCHW")
    return dense(tf.reshape(x, [BATCH, -1]) / scale, 10, "logits", use_resource)


def test_channels_that_come_second_are_logged_last_as_in_the_training(tmp_path: Path) -> None:
    with model(turns, fed=True) as t:
        train(t, [hook(tmp_path, Schedule(every=1))])
    run, training = replay_of(tmp_path), LayerReader(tmp_path).run()
    there = training.values(training.tensor("turned", kind="activation"), BAD).array
    assert there.shape == (BATCH, 2, 2, 6)
    np.testing.assert_array_equal(run.values(run.tensor("turned", kind="activation"), BAD).array, there)


@pytest.mark.parametrize("network", [hides, rectifies])
def test_what_never_reaches_the_loss_is_found_where_it_broke_the_weights(network: Network, tmp_path: Path) -> None:
    found: list[Finding] = []
    with model(network) as t:
        plain = train(t, [])
    with model(network) as t:
        hooked = train(t, [hook(tmp_path, TENTH, on_finding=found.append)])
    assert_same(plain, hooked)
    if network is hides:
        assert np.isfinite(plain[0]).all()
    assert not np.isfinite(plain[1][BAD]["middle/kernel"]).any()
    assert found[0].tensor is not None
    assert (found[0].tensor.layer, found[0].tensor.kind, found[0].first) == ("middle", "activation", BAD)


def test_the_loss_need_not_be_fetched_by_anybody(tmp_path: Path) -> None:
    found: list[Finding] = []
    with model() as t:
        plain = train(t, [], fetches=[t.train_op])
    with model() as t:
        hooked = train(t, [hook(tmp_path, TENTH, on_finding=found.append)], fetches=[t.train_op])
    assert_same(plain, hooked)
    assert found[0].tensor is not None
    assert (found[0].tensor.layer, found[0].first) == ("middle", BAD)


@pytest.mark.covers("What and when: NanTensorHook, the last step is written")
def test_the_layer_is_named_before_the_nan_hook_stops_the_training(tmp_path: Path, caplog: Any) -> None:
    """An Estimator's own NaN hook comes after those that it is given."""
    with model() as t:
        ours, nan = hook(tmp_path, TENTH), tf1.train.NanTensorHook(t.loss)
        with pytest.raises(tf1.train.NanLossDuringTrainingError):
            train(t, [ours, nan], variables=False)  # with every run that hook has the loss computed, and a batch taken
        assert f"since step {BAD}, " in caplog.text
        assert "activation 'output' of layer 'middle' (tests/capture/graph/test_hook_replay.py:" in caplog.text
    assert list(replay_of(tmp_path).steps) == [BAD]


def test_stop_on_stops_at_the_failing_step_whatever_the_schedule(tmp_path: Path) -> None:
    with model() as t:
        losses, _ = train(t, [hook(tmp_path, TENTH, stop_on="error")])
    assert len(losses) == BAD


def test_a_selection_of_layers_and_kinds_is_followed_but_all_gradients_are_looked_at(tmp_path: Path) -> None:
    ours = LayerViewHook(tmp_path, Select(include=("last",), kinds=("activation",)), TENTH, EXACT, Check(replay=True))
    with model(roots) as t:
        train(t, [ours])
    run = replay_of(tmp_path)
    assert list(run.steps) == [BAD]
    assert [(tensor.layer, tensor.kind) for tensor in run.tensors] == [("last", "activation")]


# ---- What is not a failure ----


def skips(loss: tf.Tensor, step: Any) -> Any:
    """An optimizer that leaves out steps with gradients that are not finite, as a loss scale's does."""
    optimizer = tf1.train.AdamOptimizer(0.01)
    pairs = optimizer.compute_gradients(loss)
    are_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g, _ in pairs])
    return tf.cond(
        are_finite,
        lambda: tf.group(optimizer.apply_gradients(pairs, step)),
        lambda: tf.group(tf1.assign_add(step, 1)),
    )


def test_a_step_that_the_optimizer_leaves_out_is_none_that_breaks_the_training(tmp_path: Path) -> None:
    found: list[Finding] = []
    with model(roots, minimize=skips) as t:
        plain = train(t, [])
    sizes: list[list[int]] = []
    with model(roots, minimize=skips) as t:
        ours = hook(tmp_path, Schedule(every=7), on_finding=found.append)
        hooked = train(t, [Staged(sizes), ours, Staged(sizes)])
    assert np.sum(sizes[0::2]) > 0
    assert np.sum(sizes[1::2]) == 0  # nothing stays
    assert np.isfinite(plain[0]).all()
    assert_same(plain, hooked)
    assert not has_replay(tmp_path)
    assert not found


def test_weights_that_are_broken_from_the_start_are_no_steps_doing(tmp_path: Path) -> None:
    def breaks(x: tf.Tensor, scale: tf.Tensor, use_resource: bool = True) -> tf.Tensor:
        x = dense(x, 8, "first", use_resource)
        with tf1.variable_scope("middle"):
            kernel = tf1.get_variable("kernel", initializer=np.full([8, 10], np.nan, np.float32))
        return tf.matmul(x, kernel) / scale

    with model(breaks) as t:
        train(t, [hook(tmp_path, TENTH)])
    assert not has_replay(tmp_path)


# ---- What else there is in a session ----


def test_optimizers_that_take_turns_are_looked_at_each_in_its_own_runs(tmp_path: Path) -> None:
    """A run of one trains nothing of the other's."""

    def both(hooks: list[Any]) -> tuple[list[Any], Seen, list[Finding]]:
        found: list[Finding] = []
        with tf1.Graph().as_default():
            tf1.set_random_seed(1)
            step = tf1.train.get_or_create_global_step()
            arrays = tf.data.Dataset.from_tensor_slices((DATA, SCALES, LABELS))
            x, scale, labels = tf1.data.make_one_shot_iterator(arrays).get_next()
            shared = tf.nn.relu(dense(x, 12, "shared"))
            heads = {"even": dense(shared, 10, "even"), "odd": dense(shared, 10, "odd") / scale}
            ops = []
            for name, logits in heads.items():
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
                mine = [v for v in tf1.trainable_variables() if v.op.name.split("/")[0] in ("shared", name)]
                ops.append((tf1.train.AdamOptimizer(0.01).minimize(loss, step, mine), loss))
            variables = {v.op.name: v for v in tf1.global_variables()}
            returned = []
            made = [LayerViewHook(tmp_path, schedule=TENTH, check=Check(replay=True, on_finding=found.append))]
            with tf1.train.MonitoredTrainingSession(hooks=made if hooks else []) as s:
                seen = [s.run(variables)]
                for number in range(STEPS):
                    returned.append(s.run(ops[number % 2])[1])
                    seen.append(s.run(variables))
        return returned, seen, found

    # Step 17's batch goes to the even optimizer, which does not divide by it.
    global SCALES
    plain = both([])
    hooked = both([1])
    assert np.isfinite(plain[0]).all()
    assert_same(plain[:2], hooked[:2])
    assert not has_replay(tmp_path)
    scales, SCALES = SCALES, np.roll(SCALES, 1, axis=0)  # now step 18's, the odd one's
    try:
        plain = both([])
        hooked = both([1])
    finally:
        SCALES = scales
    assert_same(plain[:2], hooked[:2])
    found = hooked[2]
    assert found[0].tensor is not None
    assert (found[0].tensor.layer, found[0].first) == ("odd", BAD + 1)


def accumulates(loss: tf.Tensor, step: Any) -> Any:
    """Adds up the gradients of three runs before it applies them: the global step rises with every third."""
    optimizer = tf1.train.AdamOptimizer(0.01)
    variables = tf1.trainable_variables()
    sums = [
        tf1.get_variable(f"sum_{i}", initializer=tf.zeros(v.shape), trainable=False) for i, v in enumerate(variables)
    ]
    count = tf1.get_variable("count", initializer=np.int32(0), trainable=False, use_resource=True)
    added = [tf1.assign_add(total, g) for total, g in zip(sums, tf.gradients(loss, variables))]
    with tf1.control_dependencies([*added, tf1.assign_add(count, 1)]):
        is_third = tf.equal(count.read_value() % 3, 0)

    def apply() -> Any:
        applied = optimizer.apply_gradients([(s.read_value(), v) for s, v in zip(sums, variables)], step)
        with tf1.control_dependencies([applied]):
            return tf.group([tf1.assign(total, tf.zeros_like(total)) for total in sums])

    return tf.cond(is_third, apply, lambda: tf.group(tf.no_op()))


@pytest.mark.parametrize("schedule", [LADDER, TENTH], ids=["ladder", "every tenth step"])
@pytest.mark.core("ladder")
def test_where_gradients_are_accumulated_the_layer_is_named_at_the_step_that_the_batch_is_part_of(
    schedule: Schedule, tmp_path: Path
) -> None:
    found: list[Finding] = []
    with model(minimize=accumulates) as t:
        plain = train(t, [])
    with model(minimize=accumulates) as t:
        hooked = train(t, [hook(tmp_path, schedule, on_finding=found.append)])
    assert_same(plain, hooked)
    assert found[0].tensor is not None
    assert (found[0].tensor.layer, found[0].first) == ("middle", (BAD + 2) // 3)


def test_a_gradient_that_breaks_the_weights_runs_later_is_blamed_on_no_layer(tmp_path: Path) -> None:
    found: list[Finding] = []
    with model(roots, minimize=accumulates) as t:
        plain = train(t, [])
    with model(roots, minimize=accumulates) as t:
        hooked = train(t, [hook(tmp_path, Schedule(every=1), on_finding=found.append)])
    assert_same(plain, hooked)
    assert not np.isfinite(plain[1][-1]["first/kernel"]).all()
    assert not has_replay(tmp_path)
    assert found
    assert all(finding.replay is None for finding in found)


def test_checkpoints_hold_nothing_of_ours_and_the_training_goes_on_from_them(tmp_path: Path) -> None:
    def names(folder: Path) -> list[Any]:
        return tf.train.list_variables(tf.train.latest_checkpoint(str(folder)))

    for name, hooks in (("plain", []), ("hooked", [hook(tmp_path / "log", TENTH)])):
        with model() as t:
            train(t, hooks, steps=8, checkpoint_dir=str(tmp_path / name))
    assert names(tmp_path / "plain") == names(tmp_path / "hooked")
    with model() as t:  # the bad batch is the 17th of the session, and makes step 25
        train(t, [hook(tmp_path / "log", TENTH)], checkpoint_dir=str(tmp_path / "hooked"))
    assert list(replay_of(tmp_path / "log").steps) == [8 + BAD]


def test_evaluation_and_prediction_are_not_looked_at(tmp_path: Path) -> None:
    with tf1.Graph().as_default() as graph:
        tf1.train.get_or_create_global_step()
        arrays = tf.data.Dataset.from_tensor_slices((DATA, SCALES))
        x, scale = tf1.data.make_one_shot_iterator(arrays).get_next()
        output = divides(x, scale)
        with tf1.train.MonitoredSession(hooks=[hook(tmp_path, Schedule())]) as session:
            for _ in range(BAD + 1):
                session.run(output)
        assert not of_ours(graph, "Stage")
    assert not has_replay(tmp_path)


# ---- What it costs ----


def test_nothing_is_added_where_it_is_not_wanted(tmp_path: Path) -> None:
    with model() as t:
        train(t, [hook(tmp_path, TENTH, replay=False)])
        assert not of_ours(tf1.get_default_graph(), "Stage")
    assert not has_replay(tmp_path)


def test_a_training_whose_steps_are_too_short_for_it_says_so_in_its_notes(tmp_path: Path) -> None:
    with model() as t:
        train(t, [hook(tmp_path, Schedule(every=10, budget=1e-9), replay=None)])
    assert not has_replay(tmp_path)
    notes = [note for note in LayerReader(tmp_path).run(".").model.notes if "Check(replay=True)" in note]
    assert len(notes) == 1
    assert notes[0].startswith("a step that breaks the training is not kept: looking at each takes ")


def test_a_training_that_can_afford_it_is_looked_at_without_being_asked(tmp_path: Path) -> None:
    with model() as t:
        train(t, [hook(tmp_path, Schedule(every=10, budget=1.0), replay=None)])
    assert list(replay_of(tmp_path).steps) == [BAD]


def test_what_looking_takes_is_part_of_what_logging_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_log, "_SECONDS", 1000.0)  # all else together takes less
    with model() as t:
        train(t, [hook(tmp_path, Schedule(every=10))], steps=11)
    cost = LayerReader(tmp_path).run(".").cost
    assert cost is not None
    assert round(cost.logging_seconds / 1000) == 9, "the nine runs before the one that is logged"


def test_only_the_run_that_fails_fills_the_staging_areas(tmp_path: Path) -> None:
    """And nothing is left in them."""
    sizes: list[list[int]] = []
    with model() as t:
        train(t, [Staged(sizes), hook(tmp_path, TENTH), Staged(sizes)])
    runs = np.array(sizes[0::2]).sum(axis=1)  # of each run: before our hook has looked
    assert list(np.flatnonzero(runs)) == [2 * BAD - 1]  # the variables are read before and after each step
    assert np.sum(sizes[1::2]) == 0


# ---- Estimators ----


def model_fn(features: Any, labels: Any, mode: str) -> Any:
    """As people write them: it knows nothing of this project."""
    x, scale = features
    x = tf1.layers.dense(x, 32, tf.nn.relu, name="first")
    with tf1.variable_scope("middle"):
        kernel = tf1.get_variable("kernel", [32, 16])
        x = tf.matmul(x, kernel) / scale
    logits = tf1.layers.dense(x, 10, name="logits")
    loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits)
    train_op = tf1.train.AdamOptimizer(0.01).minimize(loss, tf1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, {"logits": logits}, loss, train_op)


@pytest.mark.estimator
@pytest.mark.parametrize("schedule", [LADDER, TENTH], ids=["ladder", "every tenth step"])
@pytest.mark.core("ladder")
def test_an_estimator_that_stops_on_a_nan_loss_has_the_layer_named(
    schedule: Schedule, tmp_path: Path, caplog: Any
) -> None:
    def data() -> Any:
        return tf.data.Dataset.from_tensor_slices(((DATA, SCALES), LABELS))

    estimator = tf.estimator.Estimator(model_fn, str(tmp_path))
    with pytest.raises(tf1.train.NanLossDuringTrainingError):
        estimator.train(data, hooks=[hook(tmp_path, schedule)])
    assert f"since step {BAD}, " in caplog.text
    assert "activation 'output' of layer 'middle' (tests/capture/graph/test_hook_replay.py:" in caplog.text
    run = replay_of(tmp_path)
    assert (list(run.steps), run.modes) == ([BAD], ("replay",))
