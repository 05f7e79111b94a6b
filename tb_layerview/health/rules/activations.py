"""Rules of activations: silent, dead and saturated units, outputs that tell no examples apart, scales that run away."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tb_layerview.health.evidence import Evidence
from tb_layerview.health.history import Floats, Mask
from tb_layerview.health.rule import Panel, Rule, Severity
from tb_layerview.health.rules.growth import grown, smallest_before
from tb_layerview.health.rules.units import AFTER_SILENCE


@dataclasses.dataclass(frozen=True)
class ConstantOutput(Rule):
    """An activation that is the same everywhere: std <= tolerance * |mean|, with a mean that is not zero.

    Not attention scores, which are even where queries and keys say nothing.

    Attributes:
      tolerance: 1e-6, a few units in the last place of float32.
      patience: Five training steps.
    """

    name: ClassVar[str] = "constant_output"
    severity: ClassVar[Severity] = "error"
    panel: ClassVar[Panel] = "picture"
    advice: ClassVar[str] = (
        "The layer's activation function is saturated, its weights are zero or its input is constant, so what "
        "follows learns nothing about single examples. Look at the layers before it, and at how the inputs "
        "are scaled."
    )
    tolerance: float = dataclasses.field(default=1e-6, metadata={"label": "std / |mean| up to"})
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        mean, std, size = (evidence.statistic(name) for name in ("mean", "std", "size"))
        connections = evidence.connections
        is_output = connections.of_kind("activation") & connections.of_rank(2)
        wanted = is_output & ~connections.is_input & ~connections.is_attention
        return np.asarray(wanted[:, None] & (size > 1) & (mean != 0) & (std <= self.tolerance * np.abs(mean)))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {name: float(evidence.statistic(name)[tensor, position]) for name in ("std", "mean")}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is {measured['mean']:.4g} everywhere: it tells no example from another"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} is the same everywhere"

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        return {"threshold": self.tolerance * abs(measured["mean"])}


@dataclasses.dataclass(frozen=True)
class CollapsedRepresentation(Rule):
    """An activation that is nearly the same for all examples: spread < most, while another's spread is above `apart`.

    It has to be so in all that takes the activation too: an embedding of positions is the same for every example by
    design, and what it is added to is not. Named is the first: something that it takes still tells examples apart. The
    rank of the examples is no criterion: in a healthy classifier of two classes it falls to 1. Each layer takes part of
    the examples' differences, so that the first that has none left moves to the front as the layers go on.

    Attributes:
      most: 1e-6, examples that differ by a thousandth of the activation's size.
      apart: 1e-2, as any input that is worth training on.
      patience: Five training steps.
    """

    name: ClassVar[str] = "collapsed_representation"
    severity: ClassVar[Severity] = "warning"
    is_of_way: ClassVar[bool] = True
    panel: ClassVar[Panel] = "picture"
    leads_to: ClassVar[tuple[str, ...]] = (
        "collapsed_representation",
        "constant_output",
        "vanishing_gradient",
        "fading_gradient",
        "zero_gradient",
        "unmoved_weight",
        "small_update",
    )
    advice: ClassVar[str] = (
        "What follows sees the same for every example. Usual causes are many saturating layers in a row, weights that "
        "start too small beside their biases, weight decay that is too strong, or a loss that is least when all are "
        "mapped to one point. Normalisation layers, residual connections or another initialiser help."
    )
    most: float = dataclasses.field(default=1e-6, metadata={"label": "spread below"})
    apart: float = dataclasses.field(default=1e-2, metadata={"label": "another’s above"})
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        spread, connections = evidence.statistic("spread"), evidence.connections
        low = (spread < self.most) & ~connections.is_input[:, None]
        if low.any():
            some = (spread > self.apart).any(axis=0)
            before = low.copy()
            for tensor in np.flatnonzero(low.any(axis=1)):
                place = int(connections.place[tensor])
                fed, takers = connections.fed_by(place), connections.taken_by(place)
                low[tensor] &= some & ~(spread[takers] >= self.most).any(axis=0)
                if len(fed):
                    low[tensor] &= ~before[fed].all(axis=0)
        return np.asarray(low)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        spread, rank = evidence.statistic("spread")[:, position], evidence.statistic("rank")[tensor, position]
        return {
            "spread": float(spread[tensor]),
            **({"rank": float(rank)} if np.isfinite(rank) else {}),  # what is equal for all examples has none
            "largest": float(np.fmax.reduce(spread)),
            "most": self.most,
        }

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return (
            f"is the same for all examples but for {measured['spread']:.1g} of its second moment, while elsewhere "
            f"they differ by {measured['largest']:.2g} of it"
        )

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} is the same for all examples (collapsed)"


@dataclasses.dataclass(frozen=True)
class SaturatedActivation(Rule):
    """A bounded activation function that lets no gradient through: saturated > share.

    Not of the model's outputs, where being sure is what is wanted. An element is saturated where the derivative is
    below a hundredth of its largest; for the sigmoid beyond |x| = 6, for tanh beyond |x| = 3 (`activation_functions`).

    Attributes:
      share: 0.9: less than a hundredth of the gradient passes in nine of ten elements.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "saturated_activation"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    leads_to: ClassVar[tuple[str, ...]] = (
        "constant_output",
        "collapsed_representation",
        "vanishing_gradient",
        "fading_gradient",
        "zero_gradient",
        "unmoved_weight",
        "small_update",
    )
    advice: ClassVar[str] = (
        "What the activation function takes is too large, so that its output hardly changes and hardly any gradient "
        "passes. Check how the inputs are scaled and how large the weights are at the start, lower the learning rate, "
        "put a normalisation layer before it, or use a function that does not saturate."
    )
    share: float = dataclasses.field(default=0.9, metadata={"label": "share of elements"})
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        return np.asarray((evidence.statistic("saturated") > self.share) & ~evidence.connections.is_output[:, None])

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"saturated": float(evidence.statistic("saturated")[tensor, position]), "share": self.share}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        function = evidence.tensors[tensor].function or "its function"
        return f"has {100 * measured['saturated']:.3g} % of its elements where {function} lets no gradient through"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} is saturated in {100 * measured['saturated']:.3g} % of its elements"


@dataclasses.dataclass(frozen=True)
class DepthScale(Rule):
    """A scale that runs away with depth.

    In each of `layers` layers with a kernel, one after another, rms(activation) is more than `grows` times, or less
    than `shrinks` times, that of the one before: of the nearest layer with a kernel that it is computed from, whatever
    lies between. Normalisation layers, which put every scale right, thus make the next one start anew. Or it has become
    more than `total` times larger over any number of them, each counted for at most `grows`. What is wrong with
    gradients that run away with depth is said by `vanishing_gradient` and `exploding_gradient`.

    Attributes:
      grows: The square root of 10, a variance ratio of 10 (SageMaker's rule for poor initialisation). Residual blocks
        without normalisation grow by up to 2.
      shrinks: 0.1. It is lower than 1 / grows: stacked LSTMs start at about a quarter a layer.
      total: 10,000. In 15 healthy trainings it was at most 16.
      layers: 3, so that a small last layer, or one that is gated by a small factor on purpose, is no finding.
      patience: One training step: under Adam the biases hide weights that start too small after a step or two.
    """

    name: ClassVar[str] = "depth_scale"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    is_of_way: ClassVar[bool] = True
    leads_to: ClassVar[tuple[str, ...]] = (
        "non_finite",
        "depth_scale",
        "saturated_activation",
        "silent_units",
        "dead_units",
        *AFTER_SILENCE,
        "exploding_gradient",
        "gradient_spike",
        "update_ratio",
        "update_spike",
    )
    advice: ClassVar[str] = (
        "The weights start too large or too small for the width of the layers, so that signals, and with them "
        "gradients, explode or vanish with depth. Use an initialiser that fits the activation function (He for ReLU, "
        "Glorot for tanh), or normalisation layers."
    )
    grows: float = dataclasses.field(default=10**0.5, metadata={"label": "grows by more than"})
    shrinks: float = dataclasses.field(default=0.1, metadata={"label": "shrinks to less than"})
    total: float = 1e4
    layers: int = dataclasses.field(default=3, metadata={"label": "layers in a row"})
    patience: int = 1

    def holds(self, evidence: Evidence) -> Mask:
        in_all = grown(evidence.statistic("rms"), evidence.connections.forward_links, self.grows, self.total)
        return in_all | self._in_each(evidence)

    def _in_each(self, evidence: Evidence) -> Mask:
        ratio, before = self._ratio(evidence), evidence.connections.kernel_before
        held = np.zeros(ratio.shape, bool)
        for one in (ratio > self.grows, (ratio > 0) & (ratio < self.shrinks)):
            run = one
            for _ in range(self.layers - 1):
                if not run.any():
                    break
                run = one & (before >= 0)[:, None] & run[before]
            held |= run
        return held

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        rms = evidence.statistic("rms")[:, position]
        if self._in_each(evidence)[tensor, position]:
            before, layers = tensor, self.layers
            for _ in range(layers):
                before = int(evidence.connections.kernel_before[before])
        else:
            before, layers = smallest_before(rms, evidence.connections.forward_links, tensor)
        return {"rms": float(rms[tensor]), "before": float(rms[before]), "layers": float(layers)}

    def is_too_small(self, measured: Mapping[str, float]) -> bool:
        return measured["rms"] < measured["before"]

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        is_larger = measured["rms"] > measured["before"]
        factor = measured["rms"] / measured["before"] if is_larger else measured["before"] / measured["rms"]
        return (
            f"is {factor:,.3g} times {'larger' if is_larger else 'smaller'} (rms {measured['rms']:.2g}) than what "
            f"{measured['layers']:.0f} layers before it give"
        )

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        is_larger = measured["rms"] > measured["before"]
        return f"activations {'grow' if is_larger else 'shrink'} with depth, up to {evidence.tensors[tensor].short}"

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        return {"before": measured["before"]}

    def _ratio(self, evidence: Evidence) -> Floats:
        rms, before = evidence.statistic("rms"), evidence.connections.kernel_before
        smaller = np.where((before >= 0)[:, None], rms[before], np.nan)
        return np.asarray(np.divide(rms, smaller, out=np.full(rms.shape, np.nan), where=smaller > 0))
