"""What the routes answer, as data: see `docs/http_api.md`."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tb_layerview.format import units as unit_statistics
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.format.model import TENSOR_FIELDS, Kind, Probe
from tb_layerview.format.statistics import SECTIONS, Section
from tb_layerview.health.finding import headline, led_to
from tb_layerview.health.finding import since as since_when
from tb_layerview.health.of_run import diagnose_run, evidence_of
from tb_layerview.health.rules.catalogue import Rule, labels, thresholds
from tb_layerview.reading.payload_file import PayloadError
from tb_layerview.reading.run import Run, target_array
from tb_layerview.serving import columns

_T = TypeVar("_T")
_COURSE_STEPS = 1000


def runs(found: Sequence[Run], unreadable: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """`/runs`, of the runs that can be read, and what is wrong with the others."""
    return {
        "runs": [
            {
                "run": run.name,
                "steps": len(run.steps),
                "last_step": int(run.steps[-1]),
                "tensors": len(run.tensors),
                "wall_time": float(run.wall_times[-1]),
                "notes": len(_notes(run)),
            }
            for run in found
            if len(run.steps)
        ],
        "without_steps": [
            {"run": run.name, "notes": notes} for run in found if not len(run.steps) and (notes := _notes(run))
        ],
        "unreadable": [{"run": name, "problems": problems} for name, problems in unreadable.items()],
    }


def run(found: Run) -> dict[str, Any]:
    """`/run`."""
    place = {layer.path: i for i, layer in enumerate(found.layers)}
    return {
        "run": found.name,
        "layers": [dataclasses.asdict(layer) for layer in found.layers],
        "tensors": [
            {**{name: getattr(tensor, name) for name in TENSOR_FIELDS}, "layer": place[tensor.layer]}
            for tensor in found.tensors
        ],
        "probe": None if found.model.probe is None else _probe(found.model.probe),
        "notes": _notes(found),
        "schedule": found.model.schedule,
        "software": found.model.software,
        "folder": None if found.folder is None else str(found.folder),
        "hidden": found.hidden,
        "cost": _cost(found),
    }


def _probe(found: Probe) -> dict[str, Any]:
    """The probe, the values of its targets as lists of numbers in C order."""
    targets = []
    for target in found.targets:
        array = target_array(target).ravel()
        numbers = array.astype(np.uint8) if array.dtype == bool else array
        targets.append({**dataclasses.asdict(target), "values": numbers.tolist()})
    return {**dataclasses.asdict(found), "targets": targets}


def steps(found: Run) -> dict[str, Any]:
    """`/steps`."""
    return {
        "generation": found.generation,
        "steps": found.steps.tolist(),
        "wall_times": found.wall_times.tolist(),
        "modes": found.modes,
        "scalars": {name: [scalars.get(name) for scalars in found.scalars_by_step] for name in found.scalars},
        "notes": _notes(found),
        "cost": _cost(found),
    }


def statistics(found: Run, kind: Kind, names: Sequence[str], since: int, tensor: int | None = None) -> bytes:
    """`/statistics`: float32 [statistics, tensors of that kind or the one that is asked for, steps from `since` on].

    Raises:
      NotLoggedError: There is no such tensor of that kind.
    """
    tensors = _of_kind(found, kind)
    if tensor is not None:
        if tensor not in tensors:
            raise NotLoggedError(f"tensor {tensor} is not one of this run's tensors of kind {kind!r}.")
        tensors = np.array([tensor], np.int64)
    return b"".join(columns.by_step(found, name, tensors, since).tobytes() for name in names)


def grouped_statistics(found: Run, kind: Kind, names: Sequence[str], since: int) -> tuple[bytes, int]:
    """`/statistics` in groups: float32 [statistics, tensors of that kind, lows and highs, groups from `since` on].

    Returns:
      The answer, and how many groups there are.
    """
    tensors = _of_kind(found, kind)
    answer = b"".join(columns.by_group(found, name, tensors, since).tobytes() for name in names)
    return answer, columns.count_groups(len(found.steps))


def findings(found: Run, replays: Run | None, chosen: Sequence[Rule]) -> dict[str, Any]:
    """`/findings`, of a run and the one that holds its replays, if there is one."""
    diagnosed = diagnose_run(found, replays, chosen)
    led = led_to(diagnosed)
    return {
        "generation": found.generation,
        "steps": len(found.steps),
        "rules": [
            {
                "name": rule.name,
                "severity": rule.severity,
                "panel": rule.panel,
                "thresholds": thresholds(rule),
                "defaults": thresholds(type(rule)()),
                "labels": labels(rule),
                "advice": rule.advice,
            }
            for rule in chosen
        ],
        "findings": [
            {
                **{name: value for name, value in dataclasses.asdict(finding).items() if name != "short"},
                "headline": headline(finding),
                "tensor": None if finding.tensor is None else finding.tensor.index,
                "since": since_when(finding),
                "led_to": led.get(i),
            }
            for i, finding in enumerate(diagnosed)
        ],
    }


def course(found: Run, rule: Rule, index: int) -> dict[str, Any]:
    """`/course`.

    Raises:
      NotLoggedError: There is no such tensor.
    """
    found.kept_steps("histogram", index)  # says it if there is no such tensor
    evidence = evidence_of(found)
    held = rule.holds(evidence)[index]
    shown = _shown(held)
    went = rule.course(evidence, index, shown.tolist())
    return {
        "generation": found.generation,
        "steps": evidence.steps[shown].tolist(),
        "measure": went.name,
        "values": went.values,
        "compared": went.compared,
        "held": held[shown].tolist(),
    }


def _shown(held: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The positions of a course: all; of many some that lie evenly, and those between which `held` changes."""
    turns = np.flatnonzero(np.diff(held))
    some = np.linspace(0, len(held) - 1, min(len(held), _COURSE_STEPS)).round().astype(np.int64)
    return np.unique(np.concatenate([some, turns, turns + 1]))


def tensor(found: Run, index: int, step: int) -> dict[str, Any]:
    """`/tensor`.

    Raises:
      NotLoggedError: There is no such tensor, or it was not logged at that step.
    """
    digest = found.digest(index, step)
    kept = {section: found.kept_steps(section, index) for section in SECTIONS}
    try:
        quantiles = found.stored_quantiles(index, step)
    except PayloadError:
        # The statistics are still true, and `/payload` says what is wrong with the histogram.
        quantiles = None
    return {
        "step": step,
        **dataclasses.asdict(digest),
        "quantiles": quantiles,
        **{section: bool(step in kept[section]) for section in SECTIONS},
        "values_step": found.kept_near("values", index, step),
    }


def payload(found: Run, index: int, step: int, section: Section) -> bytes:
    """`/payload`.

    Raises:
      NotLoggedError: There is no such tensor, or it keeps no such section at that step.
      PayloadError: The payload file is missing, cut off or damaged.
    """
    return found.payload(section, index, step)


def histograms(found: Run, index: int, since: int) -> tuple[bytes, int]:
    """`/histograms`.

    Returns:
      The answer, and how many histograms are left out of it because they cannot be read.

    Raises:
      NotLoggedError: There is no such tensor.
      PayloadError: None of its histograms can be read.
    """
    steps, failed = _each(found, "histogram", index, since, bytes)
    return b"".join(struct.pack("<I", len(data or b"")) + (data or b"") for data in steps), failed


def units(found: Run, index: int, statistic: str, since: int) -> tuple[bytes, int]:
    """`/units`: of the steps that keep them how many there are, how many units, the steps' indices, and the statistic.

    Returns:
      The answer, and how many steps are left out of it because their units cannot be read.

    Raises:
      NotLoggedError: There is no such tensor.
      PayloadError: None of its units can be read.
    """
    read, failed = _each(found, "units", index, since, lambda data: unit_statistics.decode_one(data, statistic))
    kept = {since + i: column for i, column in enumerate(read) if column is not None}
    newest = len(next(reversed(kept.values()), ()))
    kept = {i: column for i, column in kept.items() if len(column) == newest}
    # They are of finite elements: what is infinite is only beyond float32.
    table = np.clip(np.array(list(kept.values())), -columns.LARGEST, columns.LARGEST).astype("<f4")
    return struct.pack(f"<{2 + len(kept)}I", len(kept), newest, *kept) + table.tobytes(), failed


def _each(
    found: Run, section: Section, index: int, since: int, decode: Callable[[bytes], _T]
) -> tuple[list[_T | None], int]:
    """A section at each step from `since` on, None where there is none; and how many of them cannot be read.

    Raises:
      NotLoggedError: There is no such tensor.
      PayloadError: None of them can be read.
    """
    read = found.each(section, index, since, decode)
    errors = [one for one in read if isinstance(one, PayloadError)]
    if errors and len(errors) == sum(one is not None for one in read):
        raise errors[-1]
    return [None if isinstance(one, PayloadError) else one for one in read], len(errors)


def _of_kind(found: Run, kind: Kind) -> npt.NDArray[np.int64]:
    return np.array([tensor.index for tensor in found.tensors if tensor.kind == kind], np.int64)


def _notes(found: Run) -> list[str]:
    """What is left out, and what cannot be read."""
    return [*found.model.notes, *found.problems]


def _cost(found: Run) -> dict[str, Any] | None:
    cost = found.cost
    if cost is None:
        return None
    share = cost.share if cost.own_seconds else None
    return {**dataclasses.asdict(cost), "own_seconds": cost.own_seconds, "share": share}
