"""The rule of NaN and infinities."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np

from tb_layerview.health.evidence import Evidence
from tb_layerview.health.history import Mask
from tb_layerview.health.rule import Panel, Rule, Severity


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
    panel: ClassVar[Panel] = "picture"
    advice: ClassVar[str] = (
        "A division by zero, a logarithm of zero, a root of a negative number, an overflow (in float16 beyond "
        "65,504), or a learning rate with which the weights run away. Look at what the named layer takes: add "
        "a small constant or a clip there, lower the learning rate, or clip the gradients."
    )

    def holds(self, evidence: Evidence) -> Mask:
        held = evidence.share("nan", "pos_inf", "neg_inf") > 0
        connections = evidence.connections
        gradients = connections.of_kind("gradient") | connections.is_gradient_of_activation
        activations = connections.of_kind("activation")
        if (activations & connections.of_dtype("float16")).any():
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

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        kinds = ["NaN"] * (measured["nan"] > 0) + ["inf"] * (measured["pos_inf"] + measured["neg_inf"] > 0)
        return f"{' and '.join(kinds)} in {evidence.tensors[tensor].short}"
