"""Which of the findings is a cause of which."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tb_layerview.health.evidence import Evidence
from tb_layerview.health.finding import Finding
from tb_layerview.health.rules.catalogue import Rule
from tb_layerview.health.rules.non_finite import NonFinite


def first_non_finite(evidence: Evidence, findings: Sequence[Finding]) -> Finding | None:
    """The finding that all others with NaN or infinities follow from.

    At the first step that has any: an activation whose layer takes only finite ones, with finite weights, made them;
    where it takes what the layer around it has computed by itself, and that is not finite already, that layer did. If
    all activations are finite, the gradient that comes last in the model did. If weights have them already, the batch
    of a step before broke them, and a probe cannot tell in which layer. Where what is logged is the batch itself, and
    the step before is logged too, its activations and gradients came from weights that were still finite.
    """
    of_rule = [f for f in findings if f.rule == NonFinite.name and f.tensor is not None]
    if not of_rule:
        return None
    step = min(f.first for f in of_rule)
    at_first = [f for f in of_rule if f.first == step]
    weights = [f for f in at_first if f.tensor is not None and f.tensor.kind in ("weight", "update")]
    if evidence.weights_come_after and at_first[0].before == step - 1:
        made = [f for f in at_first if f not in weights]
        at_first, weights = (made, []) if made else (at_first, weights)
    broken = {f.tensor.layer for f in weights if f.tensor is not None}
    for finding in at_first:
        assert finding.tensor is not None
        if finding.tensor.kind != "activation" or finding.tensor.layer in broken:
            continue
        index, connections = finding.tensor.index, evidence.connections
        fed = connections.fed_by(int(connections.place[index]))
        # What comes later, of a layer that is called several times, this one was not made of.
        fed = fed[connections.depth[fed] < connections.depth[index]]
        bad = {f.tensor.index for f in at_first if f.tensor is not None}
        if not bad & set(fed.tolist()) and not connections.is_fed_by(index, broken):
            position = int(np.searchsorted(evidence.steps, step))
            return _or_what_is_around(evidence, finding, at_first, fed, position)
    if weights:
        logged = len({t.layer for t in evidence.tensors if t.kind == "weight"})
        return dataclasses.replace(
            weights[0],
            tensor=None if len(broken) == logged > 1 else weights[0].tensor,
            words=f"the weights of {len(broken)} of {logged} layers are not finite: the training step broke them"
            f"{', on a batch that is not the probe' * (evidence.probe is not None)}, and which layer did it first "
            "cannot be seen from here",
            short=f"the training step broke {len(broken)} of {logged} layers' weights",
        )
    return at_first[0]


def _or_what_is_around(
    evidence: Evidence, finding: Finding, at_first: Sequence[Finding], fed: np.ndarray, position: int
) -> Finding:
    """The finding of the first activation, or of the layer around it where that one's own operations did it.

    Args:
      evidence: Where it was found.
      finding: The first of an activation.
      at_first: All at the same step.
      fed: The activations that its layer takes, as indices of tensors; they are finite.
      position: That of the step.
    """
    of_taken = evidence.statistic("taken_non_finite")[:, position]

    def takes_finite(other: Finding) -> bool:
        return other.tensor is not None and not of_taken[other.tensor.index] > 0

    assert finding.tensor is not None
    if takes_finite(finding):
        words = f"{finding.words}{_is_finite(evidence, fed, position)}"
        return dataclasses.replace(finding, words=words, follows=None)
    inner = finding.tensor.layer
    # What was broken before it came to a layer, that layer only handed on.
    around = [
        f
        for f in at_first
        if f.tensor and f.tensor.kind == "activation" and inner.startswith(f"{f.tensor.layer}/") and takes_finite(f)
    ]
    if around:
        finding = max(around, key=lambda f: len(f.tensor.layer) if f.tensor else 0)
        words = f"{finding.words}; what it computes by itself, and {inner!r} takes, is not finite"
    else:
        words = f"{finding.words}; what it takes is computed outside all layers, and is not finite"
    made_of = _is_finite(evidence, fed, position, "what that is made of")
    return dataclasses.replace(finding, words=f"{words}{made_of}", follows=None)


def _is_largest_before(evidence: Evidence, tensor: int, step: int) -> bool:
    """Whether a tensor was larger than ever before when it was logged last before a step."""
    rms = evidence.statistic("rms")[tensor]
    known = np.flatnonzero((evidence.steps < step) & ~np.isnan(rms))
    return bool(len(known)) and not rms[known[-1]] < evidence.largest_before("rms")[tensor, known[-1]]


def _is_finite(evidence: Evidence, fed: np.ndarray, position: int, what: str = "what it takes") -> str:
    """That what a layer takes is finite, as the end of a sentence."""
    fed = fed[~np.isnan(evidence.statistic("min")[fed, position])]
    if not len(fed):
        return ""  # none of it was logged at this step, or it has no elements
    zero = evidence.share("zero")[fed, position]
    low, high = evidence.statistic("min")[fed, position], evidence.statistic("max")[fed, position]
    names = ", ".join(dict.fromkeys(repr(evidence.tensors[i].layer) for i in fed))
    zeros = f", {100 * np.nanmax(zero):.3g} % of it zero" if np.nanmax(zero) > 0 else ""
    return f"; {what}, from {names}, is finite ({np.nanmin(low):.4g} to {np.nanmax(high):.4g}{zeros})"


def with_causes(evidence: Evidence, findings: Sequence[Finding], rules: Mapping[str, Rule]) -> tuple[Finding, ...]:
    """Says of each finding which earlier one explains it, and puts first what the errors and their causes are.

    What is wrong with a whole way of layers is not over as long as anything lasts that it led to there: biases that
    grow hide that the weights beside them are too small, and mend nothing.
    """
    roots: list[int] = []
    lasting = list(findings)
    for i, finding in enumerate(findings):
        found = (
            roots[j]
            for j, cause in enumerate(findings[:i] if finding.rule == NonFinite.name else lasting[:i])
            if _is_one_with(cause, finding, rules)
            or (_may_lead_to(cause, finding, rules) and _explains(evidence, cause, finding, rules))
        )
        root = next(found, i)
        roots.append(root)
        rule = rules.get(lasting[root].rule)
        if rule is not None and rule.is_of_way and finding.rule in rule.leads_to:
            lasting[root] = dataclasses.replace(lasting[root], last=max(lasting[root].last, finding.last))
    with_errors = {root for root, finding in zip(roots, findings) if finding.severity == "error"}
    order = sorted(range(len(findings)), key=lambda i: (roots[i] not in with_errors, i))
    place = {old: new for new, old in enumerate(order)}
    follows = [None if root == i else place[root] for i, root in enumerate(roots)]
    return tuple(dataclasses.replace(findings[i], follows=follows[i]) for i in order)


def _is_one_with(cause: Finding, effect: Finding, rules: Mapping[str, Rule]) -> bool:
    """Whether both are of a rule that finds one thing in several places at once, as a learning rate that is zero."""
    if cause.rule != effect.rule or cause.first != effect.first:
        return False
    return cause.rule in rules and rules[cause.rule].is_common


def _may_lead_to(cause: Finding, effect: Finding, rules: Mapping[str, Rule]) -> bool:
    """Whether findings of the one's rule may be why there are such of the other's: errors lead to all but NaN."""
    if cause.rule == NonFinite.name or (cause.rule in rules and effect.rule in rules[cause.rule].leads_to):
        return True
    return cause.severity == "error" and effect.rule != NonFinite.name


def _is_beside_too_little(cause: Finding, effect: Finding, rules: Mapping[str, Rule]) -> bool:
    """Whether one finding is of what was too small, and the other measured against the start."""
    if cause.rule not in rules or effect.rule not in rules:
        return False
    return rules[cause.rule].is_too_small(cause.measured) and rules[effect.rule].is_against_start(effect.measured)


def _explains(evidence: Evidence, cause: Finding, effect: Finding, rules: Mapping[str, Rule]) -> bool:
    """Whether a cause came not after an effect, while it lasted, and lies on its way.

    NaN spread to everything. What else is wrong with an activation reaches the layers that it feeds, their gradients,
    and the gradients and updates of those that feed it. Numbers overflow because of what ran away at earlier steps,
    and did so still at the last one before. What is too small from the first step on makes all that is measured against
    the start too large, also when it is over.
    """
    if cause.first > effect.first:
        return False
    was_over = cause.last < (effect.first if effect.before is None else effect.before)
    if was_over and not (cause.before is None and _is_beside_too_little(cause, effect, rules)):
        return False
    if cause.rule == NonFinite.name:
        return True
    if cause.tensor is None:
        return False
    if effect.rule == NonFinite.name and not (
        cause.first < effect.first and _is_largest_before(evidence, cause.tensor.index, effect.first)
    ):
        return False
    if effect.tensor is None:
        return True
    if cause.tensor.layer == effect.tensor.layer:
        return True
    is_fed_by = evidence.connections.is_fed_by
    if is_fed_by(effect.tensor.index, {cause.tensor.layer}):
        return True
    is_of_way = effect.tensor.kind != "activation" or rules[cause.rule].is_of_way
    return is_of_way and is_fed_by(cause.tensor.index, {effect.tensor.layer})
