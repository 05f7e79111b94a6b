"""The rules of health: which there are, and how their thresholds are changed.

`rule` says what a rule is; each rule's docstring has its formula and where its thresholds come from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tb_layerview.health.rule import Rule, Severity
from tb_layerview.health.rules import activations as rules_activations
from tb_layerview.health.rules import attention, modes, units, weights
from tb_layerview.health.rules import gradients as rules_gradients
from tb_layerview.health.rules.non_finite import NonFinite

__all__ = ["RULES", "NonFinite", "Rule", "Severity", "labels", "thresholds", "with_thresholds"]


#: All rules with their default thresholds.
RULES: tuple[Rule, ...] = (
    NonFinite(),
    units.SilentLayer(),
    units.SilentUnits(),
    units.DeadUnits(),
    units.AlikeUnits(),
    rules_activations.ConstantOutput(),
    rules_activations.CollapsedRepresentation(),
    rules_activations.SaturatedActivation(),
    rules_activations.DepthScale(),
    modes.TrainInferenceShift(),
    rules_gradients.ZeroGradient(),
    rules_gradients.VanishingGradient(),
    rules_gradients.FadingGradient(),
    rules_gradients.ExplodingGradient(),
    rules_gradients.GradientSpike(),
    weights.UnmovedWeight(),
    weights.UpdateRatio(),
    weights.UpdateSpike(),
    weights.SmallUpdate(),
    attention.CollapsedAttention(),
    attention.UniformAttention(),
    attention.AlikeHeads(),
)


def with_thresholds(given: Mapping[str, float], rules: Sequence[Rule] = RULES) -> tuple[Rule, ...]:
    """The rules with other thresholds.

    Args:
      given: By `rule.threshold`, `vanishing_gradient.ratio`; those that are not given stay as they are.
      rules: Which rules.

    Raises:
      ValueError: There is no such threshold, or the value cannot be one.
    """
    changed: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        rule_name, _, threshold = name.partition(".")
        rule = next((rule for rule in rules if rule.name == rule_name), None)
        if rule is None or threshold not in thresholds(rule):
            known = ", ".join(f"{rule.name}.{threshold}" for rule in rules for threshold in thresholds(rule))
            raise ValueError(f"there is no threshold {name!r}; there are {known}")
        is_count = isinstance(thresholds(rule)[threshold], int)
        least = 1 if is_count else 0
        if not (math.isfinite(value) and value >= least and (not is_count or value == int(value))):
            what = "a whole number from 1 on" if is_count else "a number from 0 on"
            raise ValueError(f"the threshold {name} must be {what}, not {value!r}")
        changed.setdefault(rule_name, {})[threshold] = int(value) if is_count else value
    return tuple(dataclasses.replace(rule, **changed.get(rule.name, {})) for rule in rules)


def thresholds(rule: Rule) -> dict[str, float]:
    """A rule's thresholds by name."""
    return {field.name: getattr(rule, field.name) for field in dataclasses.fields(rule)}


def labels(rule: Rule) -> dict[str, str]:
    """What is held against each of a rule's thresholds, and how, in words; by default the threshold's own name."""
    found = {field.name: field.name.replace("_", " ") for field in dataclasses.fields(rule)}
    for of in reversed(type(rule).__mro__):
        if dataclasses.is_dataclass(of):
            found |= {field.name: field.metadata["label"] for field in dataclasses.fields(of) if field.metadata}
    return found
