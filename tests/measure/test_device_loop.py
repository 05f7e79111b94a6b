"""Functions that go through items, against the same done in numpy, item by item."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tb_layerview.measure.tf import on_device  # noqa: E402
from tb_layerview.measure.tf.loop import WIDTH, Loop, items  # noqa: E402
from tb_layerview.measure.tf.tap import Tap  # noqa: E402

rng = np.random.default_rng(5)


def _scaled(rows: Any, factor: Any) -> tuple[Any, Any]:
    return tf.reduce_sum(rows, 0) * factor, tf.stack([tf.reduce_min(rows), tf.reduce_max(rows)])


@pytest.fixture(scope="module")
def loop() -> Loop:
    inputs = [tf.TensorSpec([None, None], tf.float64), tf.TensorSpec([], tf.float64)]
    return Loop(_scaled, inputs, {"sums": tf.TensorSpec([None], tf.float64), "ends": tf.TensorSpec([2], tf.float64)})


def _as_called(loop: Loop, arrays: list[Any], factors: list[float]) -> Any:
    return tf.nest.map_structure(lambda t: t.numpy(), loop([tf.constant(a) for a in arrays], factors))


def _in_a_function(loop: Loop, arrays: list[Any], factors: list[float]) -> Any:
    return tf.nest.map_structure(
        lambda t: t.numpy(), tf.function(lambda: loop([tf.constant(a) for a in arrays], factors), autograph=False)()
    )


def _in_a_session(loop: Loop, arrays: list[Any], factors: list[float]) -> Any:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        return session.run(loop([tf.constant(a) for a in arrays], factors))


@pytest.mark.parametrize("run", [_as_called, _in_a_function, _in_a_session])
@pytest.mark.parametrize("count", [1, 3, WIDTH])
def test_each_item_has_its_own_outputs_whatever_their_length(loop: Loop, run: Any, count: int) -> None:
    arrays = [rng.normal(size=(2 + i, 1 + 3 * i % 7)) for i in range(count)]
    factors = [float(i) for i in range(count)]
    found = items(run(loop, arrays, factors))
    assert len(found) == count
    for item, array, factor in zip(found, arrays, factors):
        np.testing.assert_allclose(item["sums"], array.sum(0) * factor)
        np.testing.assert_array_equal(item["ends"], [array.min(), array.max()])


def test_what_a_thread_has_made_ready_is_called_as_ever(loop: Loop) -> None:
    loop.make_ready()
    loop.make_ready()
    array = rng.normal(size=(2, 3))
    (item,) = items(_as_called(loop, [array], [2.0]))
    np.testing.assert_allclose(item["sums"], array.sum(0) * 2)
    assert items(_as_called(loop, [], [])) == []


def test_what_a_thread_could_not_make_ready_is_an_error_of_the_call() -> None:
    def refused(rows: Any) -> tuple[Any]:
        with tf.device("/job:nowhere/task:7"):
            return (tf.reduce_sum(rows, keepdims=True),)

    loop = Loop(refused, [tf.TensorSpec([None])], {"sums": tf.TensorSpec([1])})
    loop.make_ready()
    with pytest.raises(tf.errors.InvalidArgumentError, match="nowhere"):
        loop([tf.constant([1.0])])


def test_a_graph_has_a_call_for_many_tensors() -> None:
    taps = {i: Tap(tf.constant(rng.normal(size=(100, 60 + i)).astype(np.float32)), units=True) for i in range(40)}
    function = tf.function(lambda: on_device.reduce(taps, on_device.prepare(taps)), autograph=False)
    calls = [op for op in function.get_concrete_function().graph.get_operations() if op.type == "PartitionedCall"]
    assert len(calls) == -(-len(taps) // WIDTH)


def test_a_session_runs_them_as_operations_of_its_own_graph() -> None:
    """A function would be instantiated by the threads that run the training, whose memory is scattered by it."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        taps = {i: Tap(tf.random.normal([300, 64]), units=True) for i in range(3)}
        metadata = tf.compat.v1.RunMetadata()
        session.run(
            on_device.reduce(taps, on_device.prepare(taps)),
            options=tf.compat.v1.RunOptions(output_partition_graphs=True),
            run_metadata=metadata,
        )
    run = {node.op for graph in metadata.partition_graphs for node in graph.node}
    assert "Bincount" in run or "DenseBincount" in run
    assert not run & {"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf"}
