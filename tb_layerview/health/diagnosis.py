"""What went wrong, where first and since when: the rules' findings, ordered by cause."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.health.causes import first_non_finite, with_causes
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.finding import Finding
from tb_layerview.health.history import Mask
from tb_layerview.health.rules.catalogue import RULES, Rule
from tb_layerview.health.rules.non_finite import NonFinite


@np.errstate(over="ignore", invalid="ignore")  # what runs away is too large to be squared: infinite will do
def diagnose(evidence: Evidence, rules: Sequence[Rule] = RULES) -> tuple[Finding, ...]:
    """All findings, causes before what follows from them; what an error belongs to before what is a warning alone."""
    found: list[tuple[tuple[int, ...], Finding]] = []
    for rule in rules:
        if not len(evidence.steps) or not evidence.tensors:
            break
        held = rule.holds(evidence)
        if not held.any():
            continue
        is_first = rule.makes_weights and evidence.probe is not None
        for tensor, position in _onsets(held, rule, evidence):
            order = (position, -1 if is_first else int(evidence.connections.depth[tensor]), tensor)
            found.append((order, _finding(evidence, rule, held, tensor, position)))
    found.sort(key=lambda entry: entry[0])
    by_name = {rule.name: rule for rule in rules}
    findings = [*_without_what_says_less([finding for _, finding in found], by_name), *_scalars(evidence)]
    lead = first_non_finite(evidence, findings)
    if lead is not None:
        others = [f for f in findings if not (f.rule == lead.rule and f.tensor == lead.tensor)]
        place = sum(f.first < lead.first for f in others if f.rule != lead.rule)
        findings = [*others[:place], lead, *others[place:]]
    return with_causes(evidence, findings, by_name)


def _onsets(held: Mask, rule: Rule, evidence: Evidence) -> Iterator[tuple[int, int]]:
    """For each tensor the first position from which the rule holds over its patience, or to the end of the run."""
    lasts = rule.lasts(evidence) if evidence.ended else np.zeros(len(held), bool)
    for tensor in np.flatnonzero(held.any(axis=1)).tolist():
        edges = np.flatnonzero(np.diff(held[tensor], prepend=False, append=False))
        begins, ends = edges[::2], edges[1::2] - 1
        steps = evidence.steps[ends] - evidence.steps[begins] + 1
        is_found = (steps >= rule.patience) & ((ends > begins) | (rule.patience == 1))
        if lasts[tensor]:
            is_found |= ends == held.shape[1] - 1
        if is_found.any():
            yield tensor, int(begins[np.argmax(is_found)])


def _finding(evidence: Evidence, rule: Rule, held: Mask, tensor: int, position: int) -> Finding:
    steps, where = evidence.steps, evidence.tensors[tensor]
    measured = rule.measure(evidence, tensor, position)
    known = np.flatnonzero(~np.isnan(evidence.statistic("size")[tensor, :position]))
    return Finding(
        rule.name,
        rule.severity,
        where,
        int(steps[position]),
        int(steps[known[-1]]) if len(known) else None,
        int(steps[np.flatnonzero(held[tensor])[-1]]),
        measured,
        f"{where} {rule.in_words(evidence, tensor, measured)}",
        rule.in_short(evidence, tensor, measured),
    )


def _without_what_says_less(findings: Sequence[Finding], rules: Mapping[str, Rule]) -> list[Finding]:
    """Those of which no other says more of the same tensor at the same steps."""
    more: dict[tuple[str, LoggedTensor | None], list[Finding]] = {}
    for finding in findings:
        for name in rules[finding.rule].more_than:
            more.setdefault((name, finding.tensor), []).append(finding)

    def says_less(f: Finding) -> bool:
        return any(other.first <= f.first and f.last <= other.last for other in more.get((f.rule, f.tensor), ()))

    return [finding for finding in findings if not says_less(finding)]


def _scalars(evidence: Evidence) -> Iterator[Finding]:
    """Losses and metrics that are not finite."""
    for name in dict.fromkeys(name for scalars in evidence.scalars for name in scalars):
        logged = [(i, scalars[name]) for i, scalars in enumerate(evidence.scalars) if name in scalars]
        bad = [(i, value) for i, value in logged if not math.isfinite(value)]
        if bad:
            first, value = bad[0]
            before = [i for i, _ in logged if i < first]
            said = f"{name} is {'NaN' if math.isnan(value) else f'{value:+}'}"
            yield Finding(
                NonFinite.name,
                NonFinite.severity,
                None,
                int(evidence.steps[first]),
                int(evidence.steps[before[-1]]) if before else None,
                int(evidence.steps[bad[-1][0]]),
                {name: value},
                said,
                said,
            )
