"""Merging: what several writers logged into one folder becomes one history."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, takewhile
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import Layer, Mode, Model
from tb_layerview.format.places import Place
from tb_layerview.format.statistics import STATISTICS
from tb_layerview.reading.part import Part
from tb_layerview.reading.run import MOST_SCALARS, Run
from tb_layerview.reading.shard import Shard

_MOST_PROBLEMS = 100
_LONGEST_PROBLEM = 600  # characters


@dataclasses.dataclass(frozen=True, eq=False)
class WriterLog:
    """What one writer logged.

    Attributes:
      writer: Its id; a later writer's sorts after it.
      model: The newest model that it described.
      shards: In their order.
    """

    writer: str
    model: Model
    shards: tuple[Shard, ...]


def merge(
    name: str,
    writers: Iterable[WriterLog],
    *,
    payload_folder: Place | None,
    folder: Place | None,
    problems: Iterable[str] = (),
    before: Run | None = None,
) -> Run:
    """Makes one history of what several writers logged into a folder.

    A later writer hides the steps of earlier ones from its own first step on: a training that went back to a checkpoint
    logged them again. Of one writer, the later record of a step counts. Where a writer begins at the step at which the
    one before has ended, and finds the same weights, that step is one that both have logged of one training: what the
    later one has not, as the update that led to it, is the earlier one's.

    Args:
      name: The run's name.
      writers: At least one, in any order.
      payload_folder: Where the payload files lie, or None.
      folder: The run's folder, or None.
      problems: What could not be read, in sentences.
      before: The run as it was read before, to tell whether steps were only added.
    """
    logs = sorted(writers, key=lambda log: log.writer)
    steps, origin, rest, hidden = _visible(logs)
    shown = [
        log
        for i, log in enumerate(logs)
        if log is logs[-1] or (origin[:, 0] == i).any() or any(row.writer == i for row in rest)
    ]
    layers, tensors = _unify([log.model for log in shown])
    index_of = {_key(t.layer, t.call, t.kind, t.name): t.index for t in tensors}
    parts: list[Part] = []
    rests: list[Part] = []
    for i, log in enumerate(logs):
        if log not in shown:
            continue
        own_index = np.full(len(tensors), -1, np.int64)
        for own, t in enumerate(log.model.tensors):
            own_index[index_of[_key(log.model.layers[t.layer].path, t.call, t.kind, t.name)]] = own
        for j, shard in enumerate(log.shards):
            positions = np.flatnonzero((origin[:, 0] == i) & (origin[:, 1] == j))
            if len(positions):
                parts.append(Part(log.writer, shard, origin[positions, 2], positions, own_index))
        for row in (row for row in rest if row.writer == i):
            at = np.searchsorted(steps, [row.step])
            rests.append(Part(log.writer, log.shards[row.shard], np.array([row.row]), at, own_index, is_rest=True))
    wall_times = np.full(len(steps), np.nan)
    modes: list[Mode] = ["train"] * len(steps)
    ids = [""] * len(steps)
    for part in parts:
        wall_times[part.positions] = part.shard.wall_times[part.rows]
        for position, row in zip(part.positions.tolist(), part.rows.tolist()):
            modes[position] = part.shard.modes[row]
            ids[position] = part.writer
    run = Run(
        name=name,
        folder=folder,
        layers=layers,
        tensors=tensors,
        steps=steps,
        wall_times=wall_times,
        modes=tuple(modes),
        writers=tuple(ids),
        model=_newest(logs),
        hidden=hidden,
        problems=first_problems(
            chain(
                problems,
                _too_many_scalars(logs),
                (problem for log in logs for shard in log.shards for problem in shard.problems),
            )
        ),
        # Not a count: a server that starts anew must not repeat those of the one before.
        generation=secrets.token_hex(8),
        payload_folder=payload_folder,
        parts=(*parts, *_what_is_missing(parts, rests[::-1])),
    )
    if before is not None and _only_adds(run, before):
        return dataclasses.replace(run, generation=before.generation)
    return run


def _newest(logs: Sequence[WriterLog]) -> Model:
    """What the newest writer says of itself; of later ones that had nothing to log, their notes say why."""
    tried = list(takewhile(lambda log: not log.model.tensors, reversed(logs)))
    if not tried or len(tried) == len(logs):
        return logs[-1].model
    model = logs[-1 - len(tried)].model
    return dataclasses.replace(
        model, notes=(*model.notes, *(note for log in reversed(tried) for note in log.model.notes))
    )


def _too_many_scalars(logs: Sequence[WriterLog]) -> Iterator[str]:
    names = {name for log in logs for shard in log.shards for scalars in shard.scalars for name in scalars}
    if len(names) > MOST_SCALARS:
        yield f"the log has {len(names):,} scalars beside the layers; the first {MOST_SCALARS:,} are shown"


def first_problems(problems: Iterable[str]) -> tuple[str, ...]:
    """The first of them and how many more there are: a file that is damaged everywhere has as many as records."""
    rest = iter(problems)
    first = tuple(
        problem if len(problem) <= _LONGEST_PROBLEM else f"{problem[:_LONGEST_PROBLEM]}…"
        for problem in islice(rest, _MOST_PROBLEMS)
    )
    more = sum(1 for _ in rest)
    return (*first, f"{more:,} more things cannot be read") if more else first


def _what_is_missing(parts: Sequence[Part], rests: Sequence[Part]) -> Iterator[Part]:
    """Of the steps that several writers have logged, what neither the shown one has nor a later one of the others.

    Args:
      parts: What is shown.
      rests: A step each, those of later writers first.
    """
    shown = list(parts)
    for rest in rests:
        at = rest.positions[0]
        there = np.zeros(len(rest.own_index), bool)
        for part in shown:
            for row in part.rows[part.positions == at].tolist():
                there |= [part.has(row, tensor) for tensor in range(len(there))]
        shown.append(dataclasses.replace(rest, own_index=np.where(there, -1, rest.own_index)))
        yield shown[-1]


class _Row(NamedTuple):
    """A step that a writer has logged: its place among the writers, the shards of that one, and the rows of that."""

    step: int
    writer: int
    shard: int
    row: int


def _visible(
    logs: Sequence[WriterLog],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[_Row], str]:
    """What of several writers, in their order, is not hidden.

    Returns:
      The steps, int64 [steps]; for each the writer, the shard and the row that it comes from, int64 [steps, 3]; what
      other writers have logged of the same steps and is kept; and in words what is hidden.
    """
    found = [np.zeros((0, 4), np.int64)]
    for i, log in enumerate(logs):
        for j, shard in enumerate(log.shards):
            n = len(shard.steps)
            found.append(np.stack([shard.steps, np.full(n, i), np.full(n, j), np.arange(n)], axis=1))
    rows = np.concatenate(found)
    # Of one writer, the last row of each step. lexsort's last key sorts first, and it keeps the order of equals.
    rows = rows[np.lexsort((rows[:, 0], rows[:, 1]))]
    last = np.ones(len(rows), bool)
    last[:-1] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    rows = rows[last]
    # What is shown of a writer ends before the first step of any later one.
    ends = np.full(len(logs), np.iinfo(np.int64).max)
    end = np.iinfo(np.int64).max
    for i in reversed(range(len(logs))):
        ends[i] = end
        end = min([end, *rows[rows[:, 1] == i, 0].tolist()])
    shown = rows[:, 0] < ends[rows[:, 1]]
    rest = _logged_twice(logs, rows, shown)
    gone = rows[~shown & ~np.isin(np.arange(len(rows)), list(rest))]
    rows = rows[shown]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return rows[:, 0], rows[:, 1:], list(rest.values()), _say_hidden(gone)


def _logged_twice(
    logs: Sequence[WriterLog], rows: npt.NDArray[np.int64], shown: npt.NDArray[np.bool_]
) -> dict[int, _Row]:
    """Of the rows (step, writer, shard, row) those that are hidden, and of the same state as the one that is shown.

    Args:
      logs: The writers.
      rows: Sorted by writer, then by step; one a step of each.
      shown: Which of them are not hidden.
    """
    found: dict[int, _Row] = {}
    begins = np.diff(rows[:, 1], prepend=-1) != 0  # a writer's first step
    ends = np.diff(rows[:, 1], append=-1) != 0
    for i in np.flatnonzero(shown & begins):
        for j in np.flatnonzero(~shown & ends & (rows[:, 0] == rows[i, 0]) & (rows[:, 1] < rows[i, 1])):
            later, earlier = _Row(*rows[i].tolist()), _Row(*rows[j].tolist())
            if _is_same_state(logs, earlier, later):
                found[int(j)] = earlier
    return found


def _is_same_state(logs: Sequence[WriterLog], *two: _Row) -> bool:
    """Whether two writers have logged the same weights at a step, to the last digit.

    One of them must not be constant: zeros and ones are the same in all trainings. What has logged nothing at a step,
    as there is no update at a writer's first, contradicts nothing.
    """
    earlier, later = (_moments_of_weights(logs[row.writer], row) for row in two)
    shard = logs[two[1].writer].shards[two[1].shard]
    if np.isnan(shard.table[0][two[1].row]).all():
        return True
    common = earlier.keys() & later.keys()
    return all(earlier[key] == later[key] for key in common) and any(later[key][0] != later[key][1] for key in common)


def _moments_of_weights(log: WriterLog, row: _Row) -> dict[tuple[str, str], tuple[float, ...]]:
    """The minimum, maximum, mean, standard deviation and rms of the weights at a step, by layer and name."""
    shard, model = log.shards[row.shard], log.model
    places = [STATISTICS.index(name) for name in ("min", "max", "mean", "std", "rms")]
    return {
        (model.layers[t.layer].path, t.name): tuple(float(shard.table[place][row.row, own]) for place in places)
        for own, t in enumerate(model.tensors[: shard.tensors])
        if t.kind == "weight" and not np.isnan(shard.table[0][row.row, own])
    }


def _say_hidden(gone: npt.NDArray[np.int64]) -> str:
    """What is hidden, in words; `gone` has a row (step, writer, ...) for each hidden record."""
    if not len(gone):
        return ""
    count, writers = len(gone), len(np.unique(gone[:, 1]))
    steps = f"{count} step{'s' if count > 1 else ''} from {gone[:, 0].min()} on"
    by = "a writer that a later one" if writers == 1 else f"{writers} writers that later ones"
    return f"{steps}, of {by} replaced"


def _unify(models: Sequence[Model]) -> tuple[tuple[Layer, ...], tuple[LoggedTensor, ...]]:
    """The layers and tensors of all models: those of the last one in its order, then what only earlier ones have."""
    layers: dict[str, tuple[Layer, Model]] = {}
    tensors: dict[tuple[str, int, str, str], LoggedTensor] = {}
    for model in reversed(models):
        for layer in model.layers:
            layers.setdefault(layer.path, (layer, model))
        for own, t in enumerate(model.tensors):
            path = model.layers[t.layer].path
            tensors.setdefault(_key(path, t.call, t.kind, t.name), LoggedTensor.of(model, own, len(tensors)))
    place = {path: i for i, path in enumerate(layers)}
    unified = tuple(
        dataclasses.replace(layer, inputs=tuple(place[model.layers[i].path] for i in layer.inputs))
        for layer, model in layers.values()
    )
    return unified, tuple(tensors.values())


def _key(path: str, call: int, kind: str, name: str) -> tuple[str, int, str, str]:
    return path, call, kind, name


def _only_adds(run: Run, before: Run) -> bool:
    """Whether a run is the one before with perhaps more steps at its end."""
    n = len(before.steps)
    return (
        run.tensors == before.tensors
        and run.writers[:n] == before.writers
        and np.array_equal(run.steps[:n], before.steps)
        and np.array_equal(run.wall_times[:n], before.wall_times)
    )
