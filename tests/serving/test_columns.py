"""Columns in groups of steps, against groups that are cut and searched by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import messages as record
from tb_layerview.format import names
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.statistics import STATISTICS
from tb_layerview.reading.folder_log import FolderLog
from tb_layerview.reading.run import Run
from tb_layerview.reading.step_record import Message
from tb_layerview.serving import columns

pytestmark = pytest.mark.once

#: Two tensors' values by step; NaN where one is not logged.
Values = npt.NDArray[np.float64]


def values_of(steps: int) -> Values:
    """float64 [2, steps]: the second tensor is not logged at two of three steps, and at none from 1100 to 1200."""
    found = np.random.default_rng(0).normal(size=(2, steps))
    found[1, np.arange(steps) % 3 > 0] = np.nan
    found[1, 1100:1200] = np.nan
    return found


def run_of(values: Values, writers: Sequence[int] = (0,), shard: int = 512) -> Run:
    """A run in which a tensor's mean is its value; a writer begins at each of the steps, with shards of its own."""
    model = Model(
        (Layer("a"), Layer("b")), tuple(Tensor(i, "activation", "output", (10,), "float32") for i in range(2))
    )
    messages: dict[str, list[Message]] = {}
    for i, (first, end) in enumerate(zip(writers, (*writers[1:], values.shape[1]))):
        messages[names.model_tag(f"{i}-w")] = [Message(0, 0.0, record.model_to_proto(model).SerializeToString())]
        for step in range(first, end):
            there = np.flatnonzero(~np.isnan(values[:, step])).tolist()
            column = {name: [0] * len(there) for name in STATISTICS}
            column.update(size=[10] * len(there), zero=[step % 11 % 10] * len(there))
            entries = pb.Columns(tensor=there, **{**column, "mean": values[there, step].tolist()})
            data = pb.StepRecord(step=step, mode=pb.TRAIN, columns=[entries]).SerializeToString()
            tag = names.shard_tag(f"{i}-w", (step - first) // shard)
            messages.setdefault(tag, []).append(Message(step, float(step), data))
    run = FolderLog("run", folder=None, payload_folder=None).update(messages, list(messages))
    assert run is not None
    assert run.problems == ()
    assert run.steps.tolist() == list(range(values.shape[1]))
    return run


def cut(steps: int) -> list[range]:
    """Groups as the documentation has them: 1,024 single steps, then pairs up to 2048, fours up to 4096, and so on."""
    groups = [range(i, i + 1) for i in range(min(steps, 1024))]
    start, size = 1024, 2
    while start < steps:
        groups += [range(i, min(i + size, steps)) for i in range(start, min(2 * start, steps), size)]
        start, size = 2 * start, 2 * size
    return groups


def by_hand(values: Values, groups: list[range]) -> npt.NDArray[np.float32]:
    """float32 [tensors, lows and highs, groups]."""
    found = np.full((len(values), 2, len(groups)), np.nan, np.float32)
    for i, row in enumerate(values):
        for g, group in enumerate(groups):
            there = [row[step] for step in group if not math.isnan(row[step])]
            if there:
                found[i, :, g] = min(there), max(there)
    return found


BOTH = np.arange(2)


@pytest.mark.parametrize("steps", [1, 1023, 1024, 1025, 1026, 1027, 2048, 2049, 5003])
def test_groups_hold_the_smallest_and_the_largest_of_their_steps(steps: int) -> None:
    values = values_of(steps)
    found = columns.by_group(run_of(values), "mean", BOTH)
    groups = cut(steps)
    assert columns.count_groups(steps) == len(groups)
    np.testing.assert_array_equal(found, by_hand(values, groups))
    if steps > 1:
        assert np.isnan(found[1, 0]).any()


def test_the_size_of_a_group_follows_from_its_steps() -> None:
    # 2**(floor(log2 i) - 9) for step i from 1024 on.
    for group in cut(40_000)[1024:]:
        assert len(group) == 2 ** (math.floor(math.log2(group.start)) - 9) or group.stop == 40_000
    assert columns.count_groups(10_000) == 1024 + 3 * 512 + math.ceil((10_000 - 8192) / 16)
    assert columns.count_groups(0) == 0


@pytest.mark.parametrize(("writers", "shard"), [((0, 1037, 2051, 3001), 100), ((0,), 7), ((0, 1025), 4096)])
def test_a_group_may_lie_in_several_shards_and_writers(writers: tuple[int, ...], shard: int) -> None:
    values = values_of(4200)
    found = columns.by_group(run_of(values, writers, shard), "mean", BOTH)
    np.testing.assert_array_equal(found, by_hand(values, cut(4200)))


def test_whole_groups_stay_as_they_are_when_steps_are_added() -> None:
    values = values_of(2600)
    whole = columns.by_group(run_of(values), "mean", BOTH)
    for steps in (1, 1024, 1025, 1300, 2047, 2048, 2050, 2599):
        before = columns.by_group(run_of(values[:, :steps]), "mean", BOTH)
        np.testing.assert_array_equal(before[..., :-1], whole[..., : before.shape[2] - 1])


@pytest.mark.parametrize("since", [0, 1, 511, 512, 1023, 1024, 1025, 1535, 1536, 1537, 1600, 1673, 1674, 10**17])
def test_asked_again_from_a_group_on_the_rest_is_the_same(since: int) -> None:
    run = run_of(values_of(2600))
    whole = columns.by_group(run, "mean", BOTH)
    assert whole.shape == (2, 2, 1674)
    np.testing.assert_array_equal(columns.by_group(run, "mean", BOTH, since), whole[..., since:])
    np.testing.assert_array_equal(columns.by_step(run, "mean", BOTH, since), values_of(2600)[:, since:].astype("<f4"))


def test_a_share_in_a_group_is_that_of_one_of_its_steps() -> None:
    values = values_of(1500)
    shares = np.where(np.isnan(values), np.nan, np.arange(1500) % 11 % 10 / 10)
    found = columns.by_group(run_of(values), "zero", BOTH)
    np.testing.assert_array_equal(found, by_hand(shares, cut(1500)))


def test_in_a_group_too_what_is_finite_stays_finite_and_what_is_infinite_stays_infinite() -> None:
    values = np.zeros((2, 1030))
    values[0, 1024:1026], values[1, 1026:1030] = (1e100, -1e100), (np.inf, 1.0, np.nan, np.nan)
    found = columns.by_group(run_of(values), "mean", BOTH)
    largest = np.finfo(np.float32).max
    assert found[0, :, 1024].tolist() == [-largest, largest]
    assert found[1, :, 1025].tolist() == [1.0, np.inf]
    assert np.isnan(found[1, :, 1026]).all()


@pytest.mark.parametrize("name", ["mean", "zero", "size"])
def test_one_step_is_that_of_all_steps(name: str) -> None:
    run = run_of(values_of(1300), writers=(0, 700), shard=256)
    tensors = np.array([1, -1, 0], np.int64)
    every = columns.by_step(run, name, tensors)
    for place in (0, 1, 255, 256, 699, 700, 1150, 1299):
        np.testing.assert_array_equal(columns.at_step(run, name, tensors, place), every[:, place])
    assert np.isnan(columns.at_step(run, name, tensors, -1)).all()
    assert not np.isnan(every[2]).any() and np.isnan(every[1]).all()


def test_tensors_come_in_the_order_asked_for_and_none_is_none() -> None:
    values = values_of(1100)
    run = run_of(values)
    np.testing.assert_array_equal(columns.by_group(run, "mean", BOTH[::-1]), by_hand(values[::-1], cut(1100)))
    assert columns.by_group(run, "mean", BOTH[:0]).shape == (0, 2, 1062)


def test_a_row_that_was_logged_in_another_order_is_found() -> None:
    """One writer's later record of a step counts: the rows of its shard are then not in the order of the steps."""
    model = Model((Layer("a"),), (Tensor(0, "activation", "output", (10,), "float32"),))
    messages = {names.model_tag("0-w"): [Message(0, 0.0, record.model_to_proto(model).SerializeToString())]}
    for i, (step, mean) in enumerate([(0, 0), (2, 20), (1, 10), (3, 30)]):
        entries = pb.Columns(tensor=[0], **{name: [mean if name == "mean" else 1] for name in STATISTICS})
        data = pb.StepRecord(step=step, mode=pb.TRAIN, columns=[entries]).SerializeToString()
        messages.setdefault(names.shard_tag("0-w", 0), []).append(Message(step, float(i), data))
    run = FolderLog("run", folder=None, payload_folder=None).update(messages, list(messages))
    assert run is not None
    assert columns.by_step(run, "mean", BOTH[:1]).tolist() == [[0, 10, 20, 30]]
    assert run.statistics("mean").tolist() == [[0, 10, 20, 30]]
