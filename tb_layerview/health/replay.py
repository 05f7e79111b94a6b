"""What a replay adds to the findings: the layer and the step at which what is not finite was born."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.health.finding import Finding, Replay
from tb_layerview.health.rules.non_finite import NonFinite


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


def _key(tensor: LoggedTensor) -> tuple[str, int, str, str]:
    return tensor.layer, tensor.call, tensor.kind, tensor.name
