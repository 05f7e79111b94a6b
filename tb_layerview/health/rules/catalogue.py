"""The rules of health: which there are, and how their thresholds are changed.

`rule` says what a rule is; each rule's docstring has its formula and where its thresholds come from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tb_layerview.health.evidence import Evidence, Mask
from tb_layerview.health.rule import Rule, Severity
from tb_layerview.health.rules import activations as rules_activations
from tb_layerview.health.rules import attention, modes, weights
from tb_layerview.health.rules import gradients as rules_gradients

__all__ = ["RULES", "NonFinite", "Rule", "Severity", "thresholds", "with_thresholds"]


@dataclasses.dataclass(frozen=True)
class NonFinite(Rule):
    """NaN or infinities: (NaN + inf + -inf) / size > 0.

    There is no threshold to choose: none of them is wanted in a training. The one exception are gradients under a loss
    scale that is still too large for float16: the optimizer skips the step and halves the scale. So where a layer
    computes in float16 and all activations are finite, a step whose gradients hold infinities is left out. One that
    is skipped for ever shows as weights that do not move.
    """

    name: ClassVar[str] = "non_finite"
    severity: ClassVar[Severity] = "error"
    advice: ClassVar[str] = (
        "A division by zero, a logarithm of zero, a root of a negative number, an overflow (in float16 beyond "
        "65,504), or a learning rate with which the weights run away. Look at what the named layer takes: add "
        "a small constant or a clip there, lower the learning rate, or clip the gradients."
    )

    def holds(self, evidence: Evidence) -> Mask:
        held = evidence.share("nan", "pos_inf", "neg_inf") > 0
        gradients, activations = evidence.of_kind("gradient"), evidence.of_kind("activation")
        if (activations & evidence.of_dtype("float16")).any():
            overflows = (evidence.share("pos_inf", "neg_inf")[gradients] > 0).any(axis=0)
            held[gradients] &= ~(overflows & ~held[activations].any(axis=0))
        return np.asarray(held)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        parts = ("nan", "pos_inf", "neg_inf")
        counts = {name: float(evidence.statistic(name)[tensor, position]) for name in (*parts, "size")}
        share = sum(counts[name] for name in parts) / counts["size"] if counts["size"] else math.nan
        return {"non_finite": share, **counts}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        words = {"nan": "NaN", "pos_inf": "+inf", "neg_inf": "-inf"}
        found = " and ".join(f"{measured[name]:,.0f} {word}" for name, word in words.items() if measured[name])
        return f"holds {found} among its {measured['size']:,.0f} elements"


#: All rules with their default thresholds.
RULES: tuple[Rule, ...] = (
    NonFinite(),
    rules_activations.SilentLayer(),
    rules_activations.SilentUnits(),
    rules_activations.DeadUnits(),
    rules_activations.AlikeUnits(),
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
