"""The findings of a run that was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import Layer, Mode, Model
from tb_layerview.format.names import replay_name
from tb_layerview.health.connections import Connections
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.finding import Finding
from tb_layerview.health.history import Floats
from tb_layerview.health.replay import cause, with_replay
from tb_layerview.health.rules.catalogue import RULES, Rule
from tb_layerview.health.rules.non_finite import NonFinite


class LoggedRun(Protocol):
    """What is asked of a run that was read; `reading.run.Run` is one."""

    @property
    def name(self) -> str:
        """TensorBoard's name of the run without the folder `layers`."""

    @property
    def layers(self) -> Sequence[Layer]:
        """In the order in which they run."""

    @property
    def tensors(self) -> Sequence[LoggedTensor]:
        """What is logged."""

    @property
    def model(self) -> Model:
        """What whoever logged says of the run: its probe, and whether it logs batches."""

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """The logged steps, int64 [steps], ascending."""

    @property
    def wall_times(self) -> Floats:
        """When each was logged, in seconds since 1970, float64 [steps]."""

    @property
    def modes(self) -> Sequence[Mode]:
        """What the model was doing at each step."""

    @property
    def writers(self) -> Sequence[str]:
        """Id of the writer that logged each step."""

    @property
    def scalars_by_step(self) -> Sequence[Mapping[str, float]]:
        """Loss and metrics by name, for each step."""

    @property
    def ended(self) -> bool:
        """Whether it is known that no step comes after the last."""

    def statistics(self, statistic: str) -> Floats:
        """One of `format.statistics.NAMES`, float64 [tensors, steps], NaN where a tensor has none."""


_Run = TypeVar("_Run", bound=LoggedRun)


def evidence_of(run: LoggedRun) -> Evidence:
    """Of all that a run has logged."""
    return Evidence.whole(
        Connections(run.layers, run.tensors),
        run.steps,
        run.statistics,
        run.scalars_by_step,
        run.model.probe,
        run.model.logs_batches,
        run.ended,
    )


def diagnose_runs(runs: Iterable[_Run], rules: Sequence[Rule] = RULES) -> Iterator[tuple[_Run, tuple[Finding, ...]]]:
    """What went wrong in each of these runs. What replays show is told of the training that they belong to."""
    by_name = {run.name: run for run in runs}
    replays = {name: by_name.get(replay_name(name)) for name in by_name}
    told = {run.name for run in replays.values() if run is not None and set(run.modes) == {"replay"}}
    for name, run in by_name.items():
        if name not in told:
            yield run, diagnose_run(run, replays[name], rules)


def diagnose_run(run: LoggedRun, replays: LoggedRun | None, rules: Sequence[Rule] = RULES) -> tuple[Finding, ...]:
    """What went wrong in a training, with what its replays show of it.

    Args:
      run: The training.
      replays: The run that holds its replays, if there is one.
      rules: What to look for.
    """
    found = diagnose(evidence_of(run), rules)
    if replays is None:
        return found
    name = replays.name
    for position in range(len(replays.steps)):
        if not _belongs(run, replays, position):
            continue
        at = slice(position, position + 1)

        def statistic(column: str, at: slice = at) -> np.ndarray:
            return replays.statistics(column)[:, at]

        steps, scalars = replays.steps[at], replays.scalars_by_step[at]
        evidence = Evidence.whole(Connections(replays.layers, replays.tensors), steps, statistic, scalars)
        shown = cause(diagnose(evidence, [rule for rule in rules if rule.name == NonFinite.name]), run.tensors, name)
        if shown is not None:
            return with_replay(found, shown)
    return found


def _belongs(run: LoggedRun, replays: LoggedRun, position: int) -> bool:
    """Whether a replay is of the training whose steps are shown: one that was replaced leaves its replays behind."""
    if replays.modes[position] != "replay" or not len(run.steps):
        return False
    place = min(int(np.searchsorted(run.steps, replays.steps[position])), len(run.steps) - 1)
    writer = run.writers[place]
    began = float(run.wall_times[np.array(run.writers) == writer].min())
    # A replay of the first step that is logged is written before it. A writer's id tells when it began, unless the
    # clock was put back.
    since = writer.partition("-")[0]
    if since.isdigit():
        began = min(began, int(since) / 1e9)
    return bool(replays.wall_times[position] >= began)
