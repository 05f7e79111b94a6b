"""Rules of weights and their updates: what does not move, moves too much, or too little."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tb_layerview.health.evidence import CHANGE, Evidence
from tb_layerview.health.history import Mask
from tb_layerview.health.rule import Panel, Rule, Severity
from tb_layerview.health.rules.gradients import TOO_MUCH
from tb_layerview.health.rules.growth import times


@dataclasses.dataclass(frozen=True)
class UnmovedWeight(Rule):
    """A weight that the training does not change: rms(update) = 0, while there is something to change weights by.

    That is, while other weights change at that step, or a gradient is not zero: then the learning rate is zero, or a
    clip leaves nothing. Where all gradients are zero there is nothing left to learn, unless none has ever been anything
    else: then nothing reaches the weights at all.

    Attributes:
      patience: Ten training steps.
    """

    name: ClassVar[str] = "unmoved_weight"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    is_common: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "The weight's gradient is zero, its learning rate is zero, or its update is too small for its number "
        "format and is lost in rounding."
    )
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        rms = evidence.statistic("rms")
        of_kind = evidence.connections.of_kind
        updates, moving = of_kind("update")[:, None], of_kind("update", "gradient")[:, None]
        now, ever = ((moving & (values > 0)).any(axis=0) for values in (rms, evidence.largest_before("rms")))
        return np.asarray(updates & (rms == 0) & (now | ~ever))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        is_some = evidence.statistic("rms")[:, position] > 0
        found = {name: float(evidence.statistic(name)[tensor, position]) for name in ("rms", "size")}
        moved, gradients = (
            float(np.count_nonzero(is_some & evidence.connections.of_kind(kind))) for kind in ("update", "gradient")
        )
        return {**found, "moved": moved, "gradients": gradients}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        others = "nor any other, and no gradient reaches it"
        if measured["moved"] or measured["gradients"]:
            others = "while it changes others" if measured["moved"] else "nor any other, though there are gradients"
        return f"is zero: the optimizer does not change this weight, {others}"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} is zero"


@dataclasses.dataclass(frozen=True)
class UpdateRatio(Rule):
    """Weights that change by too much in one step: rms(update) / rms(weight) > most, for kernels (two axes or more).

    About 1e-3 is what is usually aimed at (DL4J's and Karpathy's rule of thumb); Adam's first steps change a kernel of
    rms 0.05 by 1e-3, a ratio of 0.02, at its usual rate.

    Attributes:
      most: 0.2, above what Adam does at ten times its usual rate.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "update_ratio"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    leads_to: ClassVar[tuple[str, ...]] = TOO_MUCH
    is_common: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "The learning rate is too high for this weight, or the weight is still close to zero. About a "
        "thousandth of the weight in each step is usual."
    )
    most: float = dataclasses.field(default=0.2, metadata={"label": "update ratio above"})
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        wanted = evidence.connections.of_kernels("update")  # a bias starts at zero
        return np.asarray(wanted[:, None] & (evidence.statistic("update_ratio") > self.most))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"ratio": float(evidence.statistic("update_ratio")[tensor, position]), "most": self.most}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is {measured['ratio']:.2g} of the weight in one step (rms to rms), more than {self.most:g}"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} is too large: {100 * measured['ratio']:,.0f} %"


@dataclasses.dataclass(frozen=True)
class UpdateSpike(Rule):
    """A weight that changes by far more than it ever did: change > factor * the largest change of all steps before.

    The change is rms(update). A weight that is written between two steps changes without an update. From one logged
    step to the next it has changed by sqrt((mean - mean before)^2 + (std - std before)^2) at least; by training step,
    that counts as well, where it is more. Of weights of any number of axes.

    Attributes:
      factor: 10, as for `gradient_spike`.
      least: 10 logged steps must have come before: some optimizers begin with small steps.
    """

    name: ClassVar[str] = "update_spike"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    leads_to: ClassVar[tuple[str, ...]] = TOO_MUCH
    is_common: ClassVar[bool] = True
    makes_weights: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "Of one layer alone: something has written its weights, as a `set_weights`, an assignment or a checkpoint of a "
        "part of the model. Of all layers: a batch that is unlike the others, a jump of the learning rate, or a "
        "restored checkpoint. Clip the gradients' norm, or look at what runs at that step."
    )
    factor: float = dataclasses.field(default=10.0, metadata={"label": "times the largest before"})
    least: int = dataclasses.field(default=10, metadata={"label": "logged steps before"})

    def holds(self, evidence: Evidence) -> Mask:
        largest = evidence.largest_before(CHANGE)
        late = evidence.steps_before + np.arange(len(evidence.steps)) >= self.least
        return np.asarray(late & (largest > 0) & (evidence.statistic(CHANGE) > self.factor * largest))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {
            "change": float(evidence.statistic(CHANGE)[tensor, position]),
            "rms": float(evidence.statistic("rms")[tensor, position]),
            "before": float(evidence.largest_before(CHANGE)[tensor, position]),
        }

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        factor = measured["change"] / measured["before"]
        if measured["rms"] >= measured["change"]:
            return f"jumps to {factor:,.0f} times the largest that it was before"
        return (
            f"is not all that changed the weight: since the step before it changed {factor:,.0f} times as much as ever "
            "in one step"
        )

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        of = evidence.tensors[tensor]
        if measured["rms"] >= measured["change"]:
            return f"{of.short} jumps: {times(measured['change'] / measured['before'])} larger"
        return f"{of.name} of {of.layer!r} changes by more than its update"

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        return {"before": measured["before"], "threshold": self.factor * measured["before"]}


@dataclasses.dataclass(frozen=True)
class SmallUpdate(Rule):
    """A weight that hardly moves: 0 < update_ratio < least, while another weight's is above 100 * least, or although it
    has never been more since the first logged step. Of weights of two axes or more but biases.

    Where a learning rate decays to zero, and where a training has converged, all weights come to rest after they have
    moved; that is no finding.

    Attributes:
      least: 1e-7, the resolution of float32, below which most of an update is lost in rounding. (DL4J calls 1e-4
        suspicious, SageMaker 1e-8.)
      patience: Twenty training steps.
    """

    name: ClassVar[str] = "small_update"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    leads_to: ClassVar[tuple[str, ...]] = ("unmoved_weight",)  # what is smaller yet is lost in rounding
    is_common: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "The weight stays as it was made. Its gradient is tiny beside the others', or its learning rate is: raise the "
        "rate, use an optimizer that scales each weight's update (Adam), or see why so little gradient arrives."
    )
    least: float = dataclasses.field(default=1e-7, metadata={"label": "update ratio below"})
    patience: int = 20

    def holds(self, evidence: Evidence) -> Mask:
        ratio = evidence.statistic("update_ratio")
        small = evidence.connections.of_kernels("update")[:, None] & (ratio > 0) & (ratio < self.least)
        if small.any():
            others_move = (ratio[evidence.connections.of_kernels("update")] > 100 * self.least).any(axis=0)
            small &= others_move | ~(evidence.largest_before("update_ratio") >= self.least)
        return np.asarray(small)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"ratio": float(evidence.statistic("update_ratio")[tensor, position]), "least": self.least}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is {measured['ratio']:.1g} of the weight in one step (rms to rms): it hardly moves"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} hardly moves the weight"
