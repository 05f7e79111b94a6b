"""Rules of gradients: zero, vanishing, fading, exploding, and jumping."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tb_layerview.health.evidence import Evidence
from tb_layerview.health.history import Floats, Mask
from tb_layerview.health.rule import Panel, Rule, Severity
from tb_layerview.health.rules.growth import grown, smallest_before, times

#: What a gradient or an update that is far too large leads to.
TOO_MUCH = (
    "non_finite",
    "silent_layer",
    "silent_units",
    "dead_units",
    "constant_output",
    "collapsed_representation",
    "saturated_activation",
    "depth_scale",
    "zero_gradient",
    "exploding_gradient",
    "gradient_spike",
    "update_ratio",
    "update_spike",
)
_TOO_LITTLE = ("zero_gradient", "unmoved_weight", "small_update")


@dataclasses.dataclass(frozen=True)
class ZeroGradient(Rule):
    """A gradient that is exactly zero everywhere: rms = 0, while other gradients of the same step are not.

    Attributes:
      patience: Five training steps.
    """

    name: ClassVar[str] = "zero_gradient"
    severity: ClassVar[Severity] = "error"
    panel: ClassVar[Panel] = "picture"
    advice: ClassVar[str] = (
        "The loss does not depend on this weight on the batch that is logged: a silent layer or a full stop lies "
        "between them, a clip cuts all of it off, or the layer is not connected to the output."
    )
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        rms = evidence.statistic("rms")
        gradients = evidence.connections.of_kind("gradient")[:, None]
        some = (gradients & (rms > 0)).any(axis=0)
        return np.asarray(gradients & (rms == 0) & some)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {name: float(evidence.statistic(name)[tensor, position]) for name in ("rms", "size")}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return "is exactly zero: no training reaches this weight"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} is exactly zero"


@dataclasses.dataclass(frozen=True)
class VanishingGradient(Rule):
    """A gradient far smaller than that of other layers: 0 < rms(gradient) < ratio * the largest layer's at that step.

    Compared are weights of at least two axes but biases: biases and scales have gradients of another size, and that of
    attention's key biases is zero but for rounding, since a softmax does not see what all its inputs have in common. An
    absolute floor (SageMaker's 1e-7) would depend on the loss' scale; here it does not.

    Attributes:
      ratio: 1e-6: beyond that, one learning rate cannot serve both layers, in float32, with plain gradient descent.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "vanishing_gradient"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    leads_to: ClassVar[tuple[str, ...]] = ("vanishing_gradient", "fading_gradient", *_TOO_LITTLE)
    advice: ClassVar[str] = (
        "Many saturating activation functions in a row, or weights that start too small. ReLU-like functions, "
        "residual connections, normalisation layers and a fitting initialiser (He for ReLU, Glorot for tanh) "
        "help."
    )
    ratio: float = dataclasses.field(default=1e-6, metadata={"label": "of the largest layer’s"})
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        rms = evidence.statistic("rms")
        return np.asarray(
            evidence.connections.of_kernels("gradient")[:, None] & (rms > 0) & (rms < self.ratio * _largest(evidence))
        )

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        rms = evidence.statistic("rms")[tensor, position]
        return {"rms": float(rms), "largest": float(_largest(evidence)[position]), "ratio": self.ratio}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        factor = measured["largest"] / measured["rms"]
        return f"is {times(factor)} smaller than the largest layer's (rms {measured['rms']:.2g})"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        factor = measured["largest"] / measured["rms"]
        return f"{evidence.tensors[tensor].short} vanishes: {times(factor)} below others"

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        return {"largest": measured["largest"], "threshold": self.ratio * measured["largest"]}


@dataclasses.dataclass(frozen=True)
class FadingGradient(Rule):
    """A gradient that vanishes over time while another one stays.

    0 < rms < ratio * its largest before, while that of at least one other layer is above `stays` times its own largest.
    All gradients fall as a training converges; that alone is no finding.

    Attributes:
      ratio: 1e-5.
      stays: 0.1.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "fading_gradient"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "picture"
    leads_to: ClassVar[tuple[str, ...]] = ("fading_gradient", "vanishing_gradient", *_TOO_LITTLE)
    advice: ClassVar[str] = (
        "The layer learned and does so no more, while others do: something between it and the loss has closed, usually "
        "an activation function that is saturated by now, or a gate. Look at the activations of the layers after it."
    )
    ratio: float = dataclasses.field(default=1e-5, metadata={"label": "of its largest before"})
    stays: float = dataclasses.field(default=0.1, metadata={"label": "another’s stays above"})
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        fallen = np.where(evidence.connections.of_kernels("gradient")[:, None], self._fallen(evidence), np.nan)
        return np.asarray((fallen > 0) & (fallen < self.ratio) & (fallen > self.stays).any(axis=0))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {
            "rms": float(evidence.statistic("rms")[tensor, position]),
            "before": float(evidence.largest_before("rms")[tensor, position]),
        }

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        factor = measured["before"] / measured["rms"]
        return f"has become {times(factor)} smaller than it was (rms {measured['rms']:.2g}), while others have not"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} fades while others stay"

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        return {"before": measured["before"], "threshold": self.ratio * measured["before"]}

    def _fallen(self, evidence: Evidence) -> Floats:
        rms, largest = evidence.statistic("rms"), evidence.largest_before("rms")
        return np.asarray(np.divide(rms, largest, out=np.full(rms.shape, np.nan), where=largest > 0))


@dataclasses.dataclass(frozen=True)
class ExplodingGradient(Rule):
    """A gradient far larger than any was at the start: rms > growth * the largest layer's at the first ten steps.

    Steps are logged ones. Measured against other layers and over time at once: a layer whose gradient starts near zero
    (before a last layer of zeros) may well grow a thousandfold, but not beyond what the others began with. One that
    jumps is a `gradient_spike`; this one may have grown little by little. Or, from the first step on, a gradient that
    is more than `total` times that of a layer after it, each layer with a kernel on the way counted for at most
    `grows`.

    Attributes:
      growth: 100.
      total: 1,000. In 15 healthy trainings it was at most 14, in a transformer.
      grows: The square root of 10, as for `depth_scale`.
      patience: Three training steps.
    """

    name: ClassVar[str] = "exploding_gradient"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    leads_to: ClassVar[tuple[str, ...]] = TOO_MUCH
    is_common: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "The training runs away: the learning rate is too high, weights grow without bound, or a recurrent layer "
        "multiplies its gradient at every timestep. Lower the rate, clip the gradients' norm, or normalise."
    )
    growth: float = dataclasses.field(default=100.0, metadata={"label": "times the start’s"})
    total: float = 1e3
    grows: float = 10**0.5
    patience: int = 3

    def holds(self, evidence: Evidence) -> Mask:
        return self._over_time(evidence) | grown(
            evidence.statistic("rms"), evidence.connections.backward_links, self.grows, self.total
        )

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        rms = evidence.statistic("rms")[:, position]
        behind, _ = smallest_before(rms, evidence.connections.backward_links, tensor)
        return {"rms": float(rms[tensor]), "start": self._at_start(evidence), "behind": float(rms[behind])}

    def is_against_start(self, measured: Mapping[str, float]) -> bool:
        return 0 < measured["start"] * self.growth < measured["rms"]

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        if self.is_against_start(measured):
            what, factor = "the largest of any layer at the start", measured["rms"] / measured["start"]
        else:
            what, factor = "that of a layer after it", measured["rms"] / measured["behind"]
        return f"is {factor:,.0f} times {what} (rms {measured['rms']:.2g})"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        against = "start" if self.is_against_start(measured) else "behind"
        return f"{evidence.tensors[tensor].short} explodes: {times(measured['rms'] / measured[against])} larger"

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        return {name: measured[name] for name in ("start", "behind")} | {"threshold": self.growth * measured["start"]}

    def _over_time(self, evidence: Evidence) -> Mask:
        start = self._at_start(evidence)
        if not start > 0:
            return np.zeros(evidence.statistic("rms").shape, bool)
        wanted = evidence.connections.of_kernels("gradient")[:, None] & evidence.is_past_start
        return np.asarray(wanted & (evidence.statistic("rms") > self.growth * start))

    def _at_start(self, evidence: Evidence) -> float:
        rms = evidence.largest_at_start[evidence.connections.of_kernels("gradient")]
        return float(np.fmax.reduce(rms, initial=0.0))


@dataclasses.dataclass(frozen=True)
class GradientSpike(Rule):
    """A gradient far larger than it ever was: rms > factor * the largest rms of all logged steps before.

    Compared with a median it would cry wolf: of single batches late in a healthy training, where most gradients have
    become small, one in some hundred is 100 times the median of the 20 before, but none was larger than at the start
    (seen: at most 0.7 of the largest before, over six trainings).

    Attributes:
      factor: 10.
      least: 10 logged steps must have come before.
    """

    name: ClassVar[str] = "gradient_spike"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "distribution"
    leads_to: ClassVar[tuple[str, ...]] = TOO_MUCH
    is_common: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "A batch that is unlike the others, or a learning rate at the edge of what is stable. Clip the gradients' "
        "norm, lower the rate, or look at that batch."
    )
    factor: float = dataclasses.field(default=10.0, metadata={"label": "times the largest before"})
    least: int = dataclasses.field(default=10, metadata={"label": "logged steps before"})

    def holds(self, evidence: Evidence) -> Mask:
        wanted = (evidence.connections.of_kind("gradient") & evidence.connections.of_rank(2))[:, None]
        largest = evidence.largest_before("rms")
        late = evidence.steps_before + np.arange(len(evidence.steps)) >= self.least
        return np.asarray(wanted & late & (largest > 0) & (evidence.statistic("rms") > self.factor * largest))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {
            "rms": float(evidence.statistic("rms")[tensor, position]),
            "before": float(evidence.largest_before("rms")[tensor, position]),
        }

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        factor = measured["rms"] / measured["before"]
        return f"jumps to {factor:,.0f} times the largest that it was before"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} jumps: {times(measured['rms'] / measured['before'])} larger"

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        return {"before": measured["before"], "threshold": self.factor * measured["before"]}


def _largest(evidence: Evidence) -> Floats:
    """The largest rms of any layer's gradient at each step, float64 [steps]."""
    return np.asarray(
        np.fmax.reduce(evidence.statistic("rms")[evidence.connections.of_kernels("gradient")], axis=0, initial=0.0)
    )
