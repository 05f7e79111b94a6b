"""Rules of units: silent, dead, and those that all do the same."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from tb_layerview.health.evidence import Evidence
from tb_layerview.health.history import Floats, Mask
from tb_layerview.health.rule import Panel, Rule, Severity

#: What most units of a layer being silent leads to, in that layer and around it.
AFTER_SILENCE = (
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
    panel: ClassVar[Panel] = "picture"
    advice: ClassVar[str] = (
        "ReLU units whose input is negative for every example pass nothing and get no gradient, so they do "
        "not recover by themselves. Usual causes are biases far below zero, a learning rate that was too high "
        "for one step, or inputs that are not scaled. Restart with a lower rate, or use a leaky activation."
    )
    more_than: ClassVar[tuple[str, ...]] = ("silent_units", "dead_units")
    patience: int = 3

    def lasts(self, evidence: Evidence) -> Mask:
        has_function = np.array([bool(tensor.function) for tensor in evidence.tensors], bool)
        return np.asarray(has_function | ~evidence.connections.without_weights)

    def holds(self, evidence: Evidence) -> Mask:
        rms, connections = evidence.statistic("rms"), evidence.connections
        wanted = connections.of_kind("activation") & connections.of_rank(2) & ~connections.is_input
        silent = (rms == 0) & wanted[:, None]
        for tensor in np.flatnonzero(silent.any(axis=1)):
            fed = connections.fed_by(int(connections.place[tensor]))
            if len(fed):
                silent[tensor] &= (rms[fed] > 0).any(axis=0)
        return np.asarray(silent)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {name: float(evidence.statistic(name)[tensor, position]) for name in ("rms", "size")}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is zero in all its {measured['size']:,.0f} elements: nothing passes this layer {evidence.of_what}"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} is dead: all its elements are zero"


@dataclasses.dataclass(frozen=True)
class SilentUnits(Rule):
    """An activation most of whose units are zero for all examples: silent units / units > share.

    Of a layer without weights only those units count that are not silent yet in what it takes: a Flatten, a pooling or
    a Dropout after a silent layer passes on what that layer does. Where all units are silent from the first such step
    on, `silent_layer` says it.

    Healthy networks have many: of dense ReLU layers with 99.7 % accuracy on digits 23 to 33 % of the units were silent
    on all 1,797 pictures. On a probe of 32 examples it is more: a unit that few examples need is silent there too.

    Attributes:
      share: 0.9.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "silent_units"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "units"
    leads_to: ClassVar[tuple[str, ...]] = ("dead_units", *AFTER_SILENCE)
    advice: ClassVar[str] = (
        "Most of the layer does nothing on the batch that is logged. Whether these units are dead for good shows in "
        "their incoming weights: those of a dead unit no longer move. A lower learning rate, another initialisation of "
        "the biases or a leaky activation keep units alive; a layer that is too wide may simply not need them."
    )
    share: float = dataclasses.field(default=0.9, metadata={"label": "share of units"})
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        connections = evidence.connections
        wanted = connections.of_kind("activation") & ~connections.is_input & ~connections.is_attention
        return np.asarray(wanted[:, None] & (_silenced(evidence, self.share) > self.share))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"silent": float(evidence.statistic("silent")[tensor, position]), "share": self.share}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"has {100 * measured['silent']:.3g} % of its units silent {evidence.of_what}"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{100 * measured['silent']:.3g} % of the units of {evidence.tensors[tensor].short} are silent"


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
    panel: ClassVar[Panel] = "units"
    leads_to: ClassVar[tuple[str, ...]] = ("silent_units", *AFTER_SILENCE)
    advice: ClassVar[str] = (
        "ReLU units that are below zero for every example get no gradient and cannot come back by themselves: the "
        "layer is smaller than it looks. Usual causes are a learning rate that was too high for some steps and biases "
        "far below zero. Use a lower rate, a leaky activation, or a narrower layer if it learns all the same."
    )
    share: float = dataclasses.field(default=0.5, metadata={"label": "share of units"})
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

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        share = min(measured["silent"], measured["unmoved"])
        return f"{100 * share:.3g} % of the units of {evidence.tensors[tensor].short} are dead"

    def _shares(self, evidence: Evidence) -> tuple[Floats, Floats]:
        silent, updates = evidence.statistic("silent"), evidence.connections.incoming_updates
        some_move = (evidence.statistic("rms")[evidence.connections.of_kind("update")] > 0).any(axis=0)
        return silent, np.where((updates >= 0)[:, None] & some_move, silent[updates], np.nan)


def _silenced(evidence: Evidence, least: float) -> Floats:
    """The share of units that a layer silences, float64 [tensors, steps]; shares of `least` and below may be too large.

    Where a layer has no weights, that is the share among the units that it takes alive. Units that are others than
    those it takes, as those of a Flatten, are silenced by it only where it makes elements zero that were not.
    """
    silent = evidence.statistic("silent")
    connections = evidence.connections
    candidates = np.flatnonzero(connections.without_weights)
    candidates = candidates[(silent[candidates] > least).any(axis=1)]
    if not len(candidates):
        return silent
    silent, zero = silent.copy(), evidence.share("zero")
    for tensor in candidates.tolist():
        taken = np.zeros(silent.shape[1])
        for fed in connections.fed_by(int(connections.place[tensor])).tolist():
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
    panel: ClassVar[Panel] = "units"
    advice: ClassVar[str] = (
        "The layer is narrower than it looks. Units that start from the same numbers get the same gradient and stay "
        "alike: use an initialiser that draws at random (not a constant one), and draw anew for units that are added "
        "to a trained layer by copying."
    )
    share: float = dataclasses.field(default=0.2, metadata={"label": "share of units"})
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        return np.asarray((evidence.statistic("alike") > self.share) & evidence.connections.has_own_kernel[:, None])

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"alike": float(evidence.statistic("alike")[tensor, position]), "share": self.share}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return (
            f"has {100 * measured['alike']:.3g} % of its units doing {evidence.of_what} what another one does already"
        )

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{100 * measured['alike']:.3g} % of the units of {evidence.tensors[tensor].short} are duplicates"
