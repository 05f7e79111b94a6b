"""The ranks of one training: runs that several processes have logged, each its own, beside each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format.logged import LoggedTensor, NotLoggedError
from tb_layerview.format.model import Kind
from tb_layerview.health.finding import Finding
from tb_layerview.health.finding import since as since_when
from tb_layerview.reading.run import Run
from tb_layerview.serving import columns

_RANK = re.compile(r"(.*/|)rank-(0|[1-9][0-9]{0,8})", re.DOTALL)


class Rank(NamedTuple):
    """A run that one of several processes has logged.

    Attributes:
      number: Which process, from 0 on.
      run: The run's name.
    """

    number: int
    run: str


def ranks_of(name: str, names: Iterable[str]) -> list[Rank]:
    """The ranks of the training that a run is a rank of, in their order.

    Args:
      name: The run's name.
      names: Those of all runs.

    Raises:
      NotLoggedError: It is no rank, by its name.
    """
    own = _RANK.fullmatch(name)
    if own is None:
        raise NotLoggedError(f'run {name!r} is not one of several ranks: those are what ranks="all" has logged.')
    found = (_RANK.fullmatch(one) for one in names)
    return sorted(Rank(int(match[2]), match[0]) for match in found if match is not None and match[1] == own[1])


def described(rank: Rank, run: Run, findings: Sequence[Finding]) -> dict[str, Any]:
    """A rank in `/ranks`: how far it has come, and what is wrong with it.

    Args:
      rank: The rank.
      run: Its run.
      findings: What the rules find in it.
    """
    worst = next((one for one in findings if one.severity == "error"), next(iter(findings), None))
    return {
        "rank": rank.number,
        "run": rank.run,
        "steps": len(run.steps),
        "last_step": int(run.steps[-1]) if len(run.steps) else None,
        "findings": len(findings),
        "worst": None
        if worst is None
        else {
            "rule": worst.rule,
            "severity": worst.severity,
            "words": worst.words,
            "since": since_when(worst),
            "first": worst.first,
        },
    }


def statistics(
    of: Run, ranks: Sequence[tuple[Rank, Run]], kind: Kind, names: Sequence[str], step: int
) -> dict[str, Any]:
    """`/rank_statistics`: statistics of all ranks at a step, beside each other.

    Args:
      of: The run whose tensors are asked for.
      ranks: The ranks and their runs.
      kind: The tensors' kind.
      names: Of `columns.COLUMNS`.
      step: The step; each rank gives its latest logged one up to it.
    """
    wanted = [tensor for tensor in of.tensors if tensor.kind == kind]
    at = [int(np.searchsorted(run.steps, step, side="right")) - 1 for _, run in ranks]
    own = [_own_indices(run, wanted) for _, run in ranks]
    return {
        "ranks": [rank.number for rank, _ in ranks],
        "steps": [int(run.steps[place]) if place >= 0 else None for (_, run), place in zip(ranks, at)],
        "tensors": [tensor.index for tensor in wanted],
        "statistics": {
            name: [
                columns.at_step(run, name, indices, place).tolist() for (_, run), indices, place in zip(ranks, own, at)
            ]
            for name in names
        },
    }


def _own_indices(run: Run, wanted: Sequence[LoggedTensor]) -> npt.NDArray[np.int64]:
    """Which tensors of a run are those of another one, int64 [tensors]; -1 for none."""
    own = {(t.layer, t.kind, t.name, t.call): t.index for t in run.tensors}
    return np.array([own.get((t.layer, t.kind, t.name, t.call), -1) for t in wanted], np.int64)
