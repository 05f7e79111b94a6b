"""`tb-layerview check LOGDIR`: the findings of all runs, for people and for CI jobs."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from tb_layerview.health.finding import Finding, counted, led_to, since, with_place
from tb_layerview.health.of_run import diagnose_runs
from tb_layerview.health.rules.catalogue import RULES, Rule
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run


def check(logdir: str, as_json: bool, with_all: bool, rules: Sequence[Rule] = RULES) -> int:
    """Prints the findings of all runs below a folder.

    Args:
      logdir: The folder.
      as_json: Whether to print JSON.
      with_all: Whether to print in words also what follows from what is printed.
      rules: What to look for.

    Returns:
      0 if nothing was found, 1 if something was, 2 if there is no run.
    """
    try:
        found_runs = tuple(LayerReader(logdir).runs())
    except NotADirectoryError as error:
        print(f"tb-layerview check: {error}", file=sys.stderr)
        return 2
    runs = tuple(run for run in found_runs if len(run.steps))
    for run in found_runs:
        if not len(run.steps):
            notes = "; ".join(run.model.notes) or "nothing is logged yet"
            print(f"tb-layerview check: the run {run.name!r} has no steps: {notes}.", file=sys.stderr)
    if not runs:
        print(f"tb-layerview check: there is no run with layers below {logdir!r}.", file=sys.stderr)
        return 2
    found = {run.name: found for run, found in diagnose_runs(runs, rules)}
    if as_json:
        print(json.dumps([_as_data(name, finding) for name in found for finding in found[name]], indent=1))
    else:
        for run in runs:
            if run.name in found:
                print(_in_words(run, found[run.name], with_all))
    return int(any(found.values()))


def _in_words(run: Run, findings: tuple[Finding, ...], with_all: bool) -> str:
    if not findings:
        return f"{run.name}: nothing found in {len(run.tensors):,} tensors at {len(run.steps):,} steps"
    lines, led = [f"{run.name}: {counted(findings)}"], led_to(findings)
    for i, finding in enumerate(findings):
        if finding.follows is not None:
            if with_all:
                lines.append(f"    follows: {_line(finding)}")
            continue
        following = sum(other.follows == i for other in findings)
        more = f" ({following:,} more follow from it)" if following and not with_all else ""
        lines.append(f"  {_line(finding, more)}")
        if i in led and not with_all:
            lines.append(f"    which led to: {_line(findings[led[i]])}")
    return "\n".join(lines)


def _line(finding: Finding, more: str = "") -> str:
    return f"{finding.severity}, {since(finding)}: {with_place(finding)}{more} [{finding.rule}]"


def _as_data(run: str, finding: Finding) -> dict[str, Any]:
    tensor = finding.tensor
    data = dataclasses.asdict(finding)
    data["tensor"] = tensor and {
        **{name: getattr(tensor, name) for name in ("layer", "kind", "name", "call")},
        "source": None if tensor.source is None else str(tensor.source),
    }
    data["measured"] = {name: value if math.isfinite(value) else str(value) for name, value in finding.measured.items()}
    return {"run": run, **data}
