"""What a replay adds to the findings: the layer and the step at which what is not finite was born."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.names import replay_name
from tb_layerview.health.diagnosis import Finding, Replay, diagnose
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.rules.catalogue import RULES, NonFinite, Rule
from tb_layerview.reading.run import Run


def cause(found: Sequence[Finding], tensors: Iterable[LoggedTensor], run: str) -> Finding | None:
    """Of what the rules find in one replayed step, the first that is not finite, as a finding of the training.

    Args:
      found: The findings in the replay, in their order.
      tensors: Those of the training: what is found is one of them, if it is there.
      run: The name of the replay's run.
    """
    for finding in found:
        tensor = finding.tensor
        if finding.rule != NonFinite.name or tensor is None or tensor.kind not in ("activation", "gradient"):
            continue
        same = [t for t in tensors if (t.layer, t.call, t.kind, t.name) == _key(tensor)]
        return dataclasses.replace(
            finding,
            tensor=same[0] if same else None,
            before=finding.first - 1,
            last=finding.first,
            words=f"replayed: {finding.words}",
            follows=None,
            replay=Replay(run, finding.first),
        )
    return None


def with_replay(findings: Sequence[Finding], replay: Finding | None) -> tuple[Finding, ...]:
    """The findings with what a replay has shown, before those that follow from it: NaN spread to everything.

    What explains the training's NaN explains those of the replay, too: what ran away at earlier steps. Where the probe
    has shown the same at an earlier step, that finding is the cause, and has the replay.

    Args:
      findings: Of the training, in their order.
      replay: What `cause` made of its first replay that has any, or None.
    """
    if replay is None:
        return tuple(findings)
    explained = [f.first >= replay.first for f in findings]
    for i, known in enumerate(findings):
        if not explained[i] and known.tensor is not None and (known.rule, known.tensor) == (replay.rule, replay.tensor):
            root = i if known.follows is None else known.follows
            others = [dataclasses.replace(f, follows=root) if is_so else f for f, is_so in zip(findings, explained)]
            return (*others[:i], dataclasses.replace(known, replay=replay.replay), *others[i + 1 :])
    ran_away = (f.follows for i, f in enumerate(findings) if explained[i] and f.rule == replay.rule)
    earlier = next((i for i in ran_away if i is not None and not explained[i]), None)
    if earlier is None:
        place = next(
            (i for i, f in enumerate(findings) if explained[i] or f.severity != replay.severity), len(findings)
        )
    else:
        place = earlier + 1

    def follows(f: Finding, is_explained: bool) -> int | None:
        if is_explained:
            return place if earlier is None else earlier
        return None if f.follows is None else f.follows + (f.follows >= place)

    moved = [dataclasses.replace(f, follows=follows(f, is_so)) for f, is_so in zip(findings, explained)]
    last = max((f.last for i, f in enumerate(findings) if explained[i] and f.rule == replay.rule), default=0)
    return (*moved[:place], dataclasses.replace(replay, last=max(last, replay.last), follows=earlier), *moved[place:])


def diagnose_runs(runs: Iterable[Run], rules: Sequence[Rule] = RULES) -> Iterator[tuple[Run, tuple[Finding, ...]]]:
    """What went wrong in each of these runs. What replays show is told of the training that they belong to."""
    by_name = {run.name: run for run in runs}
    replays = {name: by_name.get(replay_name(name)) for name in by_name}
    told = {run.name for run in replays.values() if run is not None and set(run.modes) == {"replay"}}
    for name, run in by_name.items():
        if name not in told:
            yield run, diagnose_run(run, replays[name], rules)


def diagnose_run(run: Run, replays: Run | None, rules: Sequence[Rule] = RULES) -> tuple[Finding, ...]:
    """What went wrong in a training, with what its replays show of it.

    Args:
      run: The training.
      replays: The run that holds its replays, if there is one.
      rules: What to look for.
    """
    found = diagnose(Evidence.of(run), rules)
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
        evidence = Evidence(replays.layers, replays.tensors, steps, statistic, scalars)
        shown = cause(diagnose(evidence, [rule for rule in rules if rule.name == NonFinite.name]), run.tensors, name)
        if shown is not None:
            return with_replay(found, shown)
    return found


def _belongs(run: Run, replays: Run, position: int) -> bool:
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


def _key(tensor: LoggedTensor) -> tuple[str, int, str, str]:
    return tensor.layer, tensor.call, tensor.kind, tensor.name
