"""Rules of activations: silent, dead and saturated units, outputs that tell no examples apart, scales that run away."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tb_layerview.evidence import Evidence, Floats, Mask
from tb_layerview.rule import Rule, Severity, grown, smallest_before

#: What most units of a layer being silent leads to, in that layer and around it.
_BEHIND_SILENCE = (
    "silent_layer",
    "constant_output",
    "collapsed_representation",
    "zero_gradient",
    "vanishing_gradient",
    "fading_gradient",
    "unmoved_weight",
    "small_update",
)


@dataclasses.dataclass(frozen=True)
class SilentLayer(Rule):
    """An activation that is zero everywhere: rms = 0, while not all that the layer takes is zero.

    At the last step of a run one step will do: what is zero there stays so. Not of a layer without weights and without
    an activation function: it is as alive as what it takes, or silent by chance.

    Attributes:
      patience: Three training steps: a pass in which a Dropout drops all of a tiny layer is no fault.
    """

    name: ClassVar[str] = "silent_layer"
    severity: ClassVar[Severity] = "error"
    advice: ClassVar[str] = (
        "ReLU units whose input is negative for every example pass nothing and get no gradient, so they do "
        "not recover by themselves. Usual causes are biases far below zero, a learning rate that was too high "
        "for one step, or inputs that are not scaled. Restart with a lower rate, or use a leaky activation."
    )
    more_than: ClassVar[tuple[str, ...]] = ("silent_units", "dead_units")
    patience: int = 3

    def lasts(self, evidence: Evidence) -> Mask:
        has_function = np.array([bool(tensor.function) for tensor in evidence.tensors], bool)
        return np.asarray(has_function | ~evidence.without_weights)

    def holds(self, evidence: Evidence) -> Mask:
        rms = evidence.statistic("rms")
        silent = (rms == 0) & (evidence.of_kind("activation") & evidence.of_rank(2) & ~evidence.is_input)[:, None]
        for tensor in np.flatnonzero(silent.any(axis=1)):
            fed = evidence.fed_by(int(evidence.place[tensor]))
            if len(fed):
                silent[tensor] &= (rms[fed] > 0).any(axis=0)
        return np.asarray(silent)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {name: float(evidence.statistic(name)[tensor, position]) for name in ("rms", "size")}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is zero in all its {measured['size']:,.0f} elements: nothing passes this layer {evidence.of_what}"


@dataclasses.dataclass(frozen=True)
class SilentUnits(Rule):
    """An activation most of whose units are zero for all examples: silent units / units > share.

    Of a layer without weights only those units count that are not silent yet in what it takes: a Flatten, a pooling or
    a Dropout behind a silent layer passes on what that layer does. Where all units are silent from the first such step
    on, `silent_layer` says it.

    Healthy networks have many: of dense ReLU layers with 99.7 % accuracy on digits 23 to 33 % of the units were silent
    on all 1,797 pictures. On a probe of 32 examples it is more: a unit that few examples need is silent there too.

    Attributes:
      share: 0.9.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "silent_units"
    severity: ClassVar[Severity] = "warning"
    leads_to: ClassVar[tuple[str, ...]] = ("dead_units", *_BEHIND_SILENCE)
    advice: ClassVar[str] = (
        "Most of the layer does nothing on the batch that is logged. Whether these units are dead for good shows in "
        "their incoming weights: those of a dead unit no longer move. A lower learning rate, another initialisation of "
        "the biases or a leaky activation keep units alive; a layer that is too wide may simply not need them."
    )
    share: float = 0.9
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        wanted = evidence.of_kind("activation") & ~evidence.is_input & ~evidence.is_attention
        return np.asarray(wanted[:, None] & (_silenced(evidence, self.share) > self.share))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"silent": float(evidence.statistic("silent")[tensor, position]), "share": self.share}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"has {100 * measured['silent']:.3g} % of its units silent {evidence.of_what}"


@dataclasses.dataclass(frozen=True)
class DeadUnits(Rule):
    """Units that are silent on the probe and whose incoming weights no longer move.

    min(silent of the activation, silent of the update of the layer's kernel) > share. The update is of a batch that is
    not the probe, so both together are more than either: a unit whose incoming weights stay exactly as they are got no
    gradient from that batch and has no momentum left. Steps that change no weight at all, as those that a loss scale
    has the optimizer skip, tell nothing. Under Adam it takes some hundred steps until they stay; under weight decay
    they always move, by decay alone, and only `silent_units` can be said. That both shares are of the same units is
    likely, and not known. A finding whose last step is not the last logged one tells of a revival. What is said at
    `silent_units` of layers without weights, and of layers that are silent as a whole, holds here too.

    Attributes:
      share: 0.5, as SageMaker's rule for layers; a quarter to a third is seen in healthy networks.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "dead_units"
    severity: ClassVar[Severity] = "warning"
    leads_to: ClassVar[tuple[str, ...]] = ("silent_units", *_BEHIND_SILENCE)
    advice: ClassVar[str] = (
        "ReLU units that are below zero for every example get no gradient and cannot come back by themselves: the "
        "layer is smaller than it looks. Usual causes are a learning rate that was too high for some steps and biases "
        "far below zero. Use a lower rate, a leaky activation, or a narrower layer if it learns all the same."
    )
    share: float = 0.5
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        _, still = self._shares(evidence)
        return np.asarray((_silenced(evidence, self.share) > self.share) & (still > self.share))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        silent, still = self._shares(evidence)
        shares = {"silent": float(silent[tensor, position]), "unmoved": float(still[tensor, position])}
        return {**shares, "share": self.share}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return (
            f"has {100 * measured['silent']:.3g} % of its units silent {evidence.of_what}, and the incoming weights of "
            f"{100 * measured['unmoved']:.3g} % no longer move: they are dead"
        )

    def _shares(self, evidence: Evidence) -> tuple[Floats, Floats]:
        silent, updates = evidence.statistic("silent"), evidence.incoming_updates
        some_move = (evidence.statistic("rms")[evidence.of_kind("update")] > 0).any(axis=0)
        return silent, np.where((updates >= 0)[:, None] & some_move, silent[updates], np.nan)


def _silenced(evidence: Evidence, least: float) -> Floats:
    """The share of units that a layer silences, float64 [tensors, steps]; shares of `least` and below may be too large.

    Where a layer has no weights, that is the share among the units that it takes alive. Units that are others than
    those it takes, as those of a Flatten, are silenced by it only where it makes elements zero that were not.
    """
    silent = evidence.statistic("silent")
    candidates = np.flatnonzero(evidence.without_weights)
    candidates = candidates[(silent[candidates] > least).any(axis=1)]
    if not len(candidates):
        return silent
    silent, zero = silent.copy(), evidence.share("zero")
    for tensor in candidates.tolist():
        taken = np.zeros(silent.shape[1])
        for fed in evidence.fed_by(int(evidence.place[tensor])).tolist():
            if evidence.tensors[fed].shape[-1:] == evidence.tensors[tensor].shape[-1:]:
                taken = np.fmax(taken, evidence.statistic("silent")[fed])
            else:
                taken = np.where(zero[tensor] <= zero[fed], 1.0, taken)
        alive = 1 - taken
        silent[tensor] = np.divide(silent[tensor] - taken, alive, out=np.zeros(len(alive)), where=alive > 0)
    return silent


@dataclasses.dataclass(frozen=True)
class AlikeUnits(Rule):
    """Units that do the same as another of their layer: alike > share.

    Of the output of a layer with a kernel: units of an input may well be the same. Units that start from the same
    numbers, and are read with the same weights, get the same gradient, and stay alike; a training does not tell them
    apart.

    Attributes:
      share: 0.2. In healthy trainings there are none, but by chance in very narrow layers.
      patience: Five training steps.
    """

    name: ClassVar[str] = "alike_units"
    severity: ClassVar[Severity] = "warning"
    advice: ClassVar[str] = (
        "The layer is narrower than it looks. Units that start from the same numbers get the same gradient and stay "
        "alike: use an initialiser that draws at random (not a constant one), and draw anew for units that are added "
        "to a trained layer by copying."
    )
    share: float = 0.2
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        return np.asarray((evidence.statistic("alike") > self.share) & evidence.has_own_kernel[:, None])

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"alike": float(evidence.statistic("alike")[tensor, position]), "share": self.share}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return (
            f"has {100 * measured['alike']:.3g} % of its units doing {evidence.of_what} what another one does already"
        )


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
    advice: ClassVar[str] = (
        "The layer's activation function is saturated, its weights are zero or its input is constant, so what "
        "follows learns nothing about single examples. Look at the layers before it, and at how the inputs "
        "are scaled."
    )
    tolerance: float = 1e-6
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        mean, std, size = (evidence.statistic(name) for name in ("mean", "std", "size"))
        wanted = evidence.of_kind("activation") & evidence.of_rank(2) & ~evidence.is_input & ~evidence.is_attention
        return np.asarray(wanted[:, None] & (size > 1) & (mean != 0) & (std <= self.tolerance * np.abs(mean)))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {name: float(evidence.statistic(name)[tensor, position]) for name in ("std", "mean")}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is {measured['mean']:.4g} everywhere: it tells no example from another"

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
    most: float = 1e-6
    apart: float = 1e-2
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        spread = evidence.statistic("spread")
        low = (spread < self.most) & ~evidence.is_input[:, None]
        if low.any():
            some = (spread > self.apart).any(axis=0)
            before = low.copy()
            for tensor in np.flatnonzero(low.any(axis=1)):
                place = int(evidence.place[tensor])
                fed, takers = evidence.fed_by(place), evidence.taken_by(place)
                low[tensor] &= some & ~(spread[takers] >= self.most).any(axis=0)
                if len(fed):
                    low[tensor] &= ~before[fed].all(axis=0)
        return np.asarray(low)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        spread = evidence.statistic("spread")[:, position]
        return {
            "spread": float(spread[tensor]),
            "rank": float(evidence.statistic("rank")[tensor, position]),
            "largest": float(np.fmax.reduce(spread)),
            "most": self.most,
        }

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return (
            f"is the same for all examples but for {measured['spread']:.1g} of its second moment, while elsewhere "
            f"they differ by {measured['largest']:.2g} of it"
        )


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
    share: float = 0.9
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        return np.asarray((evidence.statistic("saturated") > self.share) & ~evidence.is_output[:, None])

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"saturated": float(evidence.statistic("saturated")[tensor, position]), "share": self.share}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        function = evidence.tensors[tensor].function or "its function"
        return f"has {100 * measured['saturated']:.3g} % of its elements where {function} lets no gradient through"


@dataclasses.dataclass(frozen=True)
class DepthScale(Rule):
    """A scale that runs away with depth.

    In each of `layers` layers with a kernel, one behind the other, rms(activation) is more than `grows` times, or less
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
    is_of_way: ClassVar[bool] = True
    leads_to: ClassVar[tuple[str, ...]] = (
        "non_finite",
        "depth_scale",
        "saturated_activation",
        "silent_units",
        "dead_units",
        *_BEHIND_SILENCE,
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
    grows: float = 10**0.5
    shrinks: float = 0.1
    total: float = 1e4
    layers: int = 3
    patience: int = 1

    def holds(self, evidence: Evidence) -> Mask:
        in_all = grown(evidence.statistic("rms"), evidence.forward_links, self.grows, self.total)
        return in_all | self._in_each(evidence)

    def _in_each(self, evidence: Evidence) -> Mask:
        ratio, before = self._ratio(evidence), evidence.kernel_before
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
                before = int(evidence.kernel_before[before])
        else:
            before, layers = smallest_before(rms, evidence.forward_links, tensor)
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

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        return {"before": measured["before"]}

    def _ratio(self, evidence: Evidence) -> Floats:
        rms, before = evidence.statistic("rms"), evidence.kernel_before
        smaller = np.where((before >= 0)[:, None], rms[before], np.nan)
        return np.asarray(np.divide(rms, smaller, out=np.full(rms.shape, np.nan), where=smaller > 0))
