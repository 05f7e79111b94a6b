"""The rules of health: what each looks for in the statistics, with its formula and where its thresholds come from.

A rule says of every tensor and every logged step whether it *holds* there. A finding is where a rule has held at
`patience` logged steps in a row. Rules look at statistics alone, of whole tensors; they need neither TensorFlow nor
payloads.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from tb_layerview.evidence import Evidence, Floats, Mask

Severity = Literal["error", "warning"]


@dataclasses.dataclass(frozen=True)
class Rule(abc.ABC):
    """What is looked for.

    Attributes:
      name: As in `tb-layerview check`.
      severity: `error` where the training cannot be what is wanted, `warning` where it may be.
      advice: What it usually means, and what people usually do about it.
      leads_to: The names of rules that hold further on because this one does. An error leads to whatever does.
      patience: At how many logged steps in a row it has to hold.
    """

    name: ClassVar[str]
    severity: ClassVar[Severity]
    advice: ClassVar[str]
    leads_to: ClassVar[tuple[str, ...]] = ()
    patience: int = 1

    @property
    def lookback(self) -> int:
        """How many logged steps it takes to tell that it holds, and that it did not at the one before."""
        return self.patience + 1

    @abc.abstractmethod
    def holds(self, evidence: Evidence) -> Mask:
        """Where it holds, bool [tensors, steps]."""

    @abc.abstractmethod
    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        """The numbers behind it at one tensor and step, by name."""

    @abc.abstractmethod
    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        """What is wrong, as the end of a sentence that begins with the tensor's name."""


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
        counts = ("nan", "pos_inf", "neg_inf", "size")
        return {name: float(evidence.statistic(name)[tensor, position]) for name in counts}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        words = {"nan": "NaN", "pos_inf": "+inf", "neg_inf": "-inf"}
        found = " and ".join(f"{measured[name]:,.0f} {word}" for name, word in words.items() if measured[name])
        return f"holds {found} among its {measured['size']:,.0f} elements"


@dataclasses.dataclass(frozen=True)
class SilentLayer(Rule):
    """An activation that is zero everywhere: rms = 0, while not all that the layer takes is zero.

    Attributes:
      patience: Three logged steps: a pass in which a Dropout drops all of a tiny layer is no fault.
    """

    name: ClassVar[str] = "silent_layer"
    severity: ClassVar[Severity] = "error"
    advice: ClassVar[str] = (
        "ReLU units whose input is negative for every example pass nothing and get no gradient, so they do "
        "not recover by themselves. Usual causes are biases far below zero, a learning rate that was too high "
        "for one step, or inputs that are not scaled. Restart with a lower rate, or use a leaky activation."
    )
    patience: int = 3

    def holds(self, evidence: Evidence) -> Mask:
        rms = evidence.statistic("rms")
        silent = (rms == 0) & (evidence.of_kind("activation") & evidence.of_rank(2) & ~evidence.is_input)[:, None]
        for tensor in np.flatnonzero(silent.any(axis=1)):
            fed = evidence.fed_by(int(evidence.place[tensor]))
            if len(fed):
                silent[tensor] &= (rms[fed] > 0).any(axis=0)
        return np.asarray(silent)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"size": float(evidence.statistic("size")[tensor, position])}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is zero in all its {measured['size']:,.0f} elements: nothing passes this layer on the probe"


@dataclasses.dataclass(frozen=True)
class SilentUnits(Rule):
    """An activation most of whose units are zero for all examples: silent units / units > share, but not all of them.

    Healthy networks have many: of dense ReLU layers with 99.7 % accuracy on digits 23 to 33 % of the units were silent
    on all 1,797 pictures. On a probe of 32 examples it is more: a unit that few examples need is silent there too.

    Attributes:
      share: 0.9.
      patience: Ten logged steps.
    """

    name: ClassVar[str] = "silent_units"
    severity: ClassVar[Severity] = "warning"
    advice: ClassVar[str] = (
        "Most of the layer does nothing on the probe. Whether these units are dead for good shows in their "
        "incoming weights: those of a dead unit no longer move. A lower learning rate, another initialisation of "
        "the biases or a leaky activation keep units alive; a layer that is too wide may simply not need them."
    )
    share: float = 0.9
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        silent = evidence.statistic("silent")
        wanted = evidence.of_kind("activation") & ~evidence.is_input & ~evidence.named("scores")
        return np.asarray(wanted[:, None] & (silent > self.share) & (silent < 1))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"silent": float(evidence.statistic("silent")[tensor, position]), "share": self.share}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"has {100 * measured['silent']:.3g} % of its units silent on the probe"


@dataclasses.dataclass(frozen=True)
class ConstantOutput(Rule):
    """An activation that is the same everywhere: std <= tolerance * |mean|, with a mean that is not zero.

    Not attention scores, which are even where queries and keys say nothing.

    Attributes:
      tolerance: 1e-6, a few units in the last place of float32.
      patience: Five logged steps.
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
        wanted = evidence.of_kind("activation") & evidence.of_rank(2) & ~evidence.is_input & ~evidence.named("scores")
        return np.asarray(wanted[:, None] & (size > 1) & (mean != 0) & (std <= self.tolerance * np.abs(mean)))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {name: float(evidence.statistic(name)[tensor, position]) for name in ("mean", "std")}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is {measured['mean']:.4g} everywhere: it tells no example from another"


@dataclasses.dataclass(frozen=True)
class ZeroGradient(Rule):
    """A gradient that is exactly zero everywhere: rms = 0, while other gradients of the same step are not.

    Attributes:
      patience: Five logged steps.
    """

    name: ClassVar[str] = "zero_gradient"
    severity: ClassVar[Severity] = "error"
    advice: ClassVar[str] = (
        "The loss does not depend on this weight on the probe: a silent layer or a full stop lies between "
        "them, a clip cuts all of it off, or the layer is not connected to the output."
    )
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        rms = evidence.statistic("rms")
        gradients = evidence.of_kind("gradient")[:, None]
        some = (gradients & (rms > 0)).any(axis=0)
        return np.asarray(gradients & (rms == 0) & some)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"size": float(evidence.statistic("size")[tensor, position])}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return "is exactly zero: no training reaches this weight"


@dataclasses.dataclass(frozen=True)
class VanishingGradient(Rule):
    """A gradient far smaller than that of other layers: 0 < rms(gradient) < ratio * the largest layer's at that step.

    Compared are weights of at least two axes but biases: biases and scales have gradients of another size, and that of
    attention's key biases is zero but for rounding, since a softmax does not see what all its inputs have in common. An
    absolute floor (SageMaker's 1e-7) would depend on the loss' scale; here it does not.

    Attributes:
      ratio: 1e-6: beyond that, one learning rate cannot serve both layers, in float32, with plain gradient descent.
      patience: Ten logged steps.
    """

    name: ClassVar[str] = "vanishing_gradient"
    severity: ClassVar[Severity] = "warning"
    advice: ClassVar[str] = (
        "Many saturating activation functions in a row, or weights that start too small. ReLU-like functions, "
        "residual connections, normalisation layers and a fitting initialiser (He for ReLU, Glorot for tanh) "
        "help."
    )
    ratio: float = 1e-6
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        rms = evidence.statistic("rms")
        return np.asarray(self._compared(evidence) & (rms > 0) & (rms < self.ratio * self._largest(evidence)))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        rms = evidence.statistic("rms")[tensor, position]
        return {"rms": float(rms), "largest": float(self._largest(evidence)[position]), "ratio": self.ratio}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        factor = measured["largest"] / measured["rms"]
        return f"is {factor:.1g} times smaller than the largest layer's (rms {measured['rms']:.2g})"

    def _compared(self, evidence: Evidence) -> Mask:
        return np.asarray((evidence.of_kind("gradient") & evidence.of_rank(2) & ~evidence.named("bias"))[:, None])

    def _largest(self, evidence: Evidence) -> Floats:
        rms = np.where(self._compared(evidence), evidence.statistic("rms"), np.nan)
        return np.fmax.reduce(rms, axis=0) if len(rms) else np.zeros(rms.shape[1])


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
    leads_to: ClassVar[tuple[str, ...]] = ("silent_layer", "constant_output", "zero_gradient")
    advice: ClassVar[str] = (
        "A batch that is unlike the others, or a learning rate at the edge of what is stable. Clip the gradients' "
        "norm, lower the rate, or look at that batch."
    )
    factor: float = 10.0
    least: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        wanted = (evidence.of_kind("gradient") & evidence.of_rank(2))[:, None]
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


@dataclasses.dataclass(frozen=True)
class UnmovedWeight(Rule):
    """A weight that the training does not change: rms(update) = 0, while there is something to change weights by.

    That is, while other weights change at that step, or a gradient is not zero: then the learning rate is zero, or a
    clip leaves nothing. Where all gradients are zero there is nothing left to learn.

    Attributes:
      patience: Ten logged steps.
    """

    name: ClassVar[str] = "unmoved_weight"
    severity: ClassVar[Severity] = "warning"
    advice: ClassVar[str] = (
        "The weight's gradient is zero, its learning rate is zero, or its update is too small for its number "
        "format and is lost in rounding."
    )
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        rms = evidence.statistic("rms")
        updates, moving = evidence.of_kind("update")[:, None], evidence.of_kind("update", "gradient")[:, None]
        return np.asarray(updates & (rms == 0) & (moving & (rms > 0)).any(axis=0))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        moved = evidence.statistic("rms")[evidence.of_kind("update"), position] > 0
        size = float(evidence.statistic("size")[tensor, position])
        return {"size": size, "moved": float(np.count_nonzero(moved))}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        others = "while it changes others" if measured["moved"] else "nor any other, though there are gradients"
        return f"is zero: the optimizer does not change this weight, {others}"


@dataclasses.dataclass(frozen=True)
class UpdateRatio(Rule):
    """Weights that change by too much in one step: rms(update) / rms(weight) > most, for weights of two axes or more.

    About 1e-3 is what is usually aimed at (DL4J's and Karpathy's rule of thumb); Adam's first steps change a kernel of
    rms 0.05 by 1e-3, a ratio of 0.02, at its usual rate.

    Attributes:
      most: 0.2, above what Adam does at ten times its usual rate.
      patience: Ten logged steps.
    """

    name: ClassVar[str] = "update_ratio"
    severity: ClassVar[Severity] = "warning"
    leads_to: ClassVar[tuple[str, ...]] = ("silent_layer", "constant_output", "zero_gradient")
    advice: ClassVar[str] = (
        "The learning rate is too high for this weight, or the weight is still close to zero. About a "
        "thousandth of the weight in each step is usual."
    )
    most: float = 0.2
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        wanted = evidence.of_kind("update") & evidence.of_rank(2)
        return np.asarray(wanted[:, None] & (self._ratio(evidence) > self.most))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        rms = evidence.statistic("rms")[:, position]
        return {"ratio": float(rms[tensor] / rms[evidence.weights[tensor]]), "most": self.most}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is {measured['ratio']:.2g} of the weight in one step (rms to rms), more than {self.most:g}"

    def _ratio(self, evidence: Evidence) -> Floats:
        rms, weight = evidence.statistic("rms"), evidence.weights
        of_weight = np.where((weight >= 0)[:, None], rms[weight], np.nan)
        return np.asarray(np.divide(rms, of_weight, out=np.full(rms.shape, np.nan), where=of_weight > 0))


@dataclasses.dataclass(frozen=True)
class CollapsedAttention(Rule):
    """Attention that looks at one position: positions = 1 / (T * rms^2) < most, of T > 2 positions.

    For a softmax over T positions T * rms^2 is the mean of the sum of squared weights, whose inverse is the number of
    positions that are looked at (inverse participation ratio); 1 is all on one, T is uniform.

    Attributes:
      most: 1.05 positions.
      patience: Five logged steps.
    """

    name: ClassVar[str] = "collapsed_attention"
    severity: ClassVar[Severity] = "warning"
    advice: ClassVar[str] = (
        "The scores before the softmax have grown large: every query looks at one position only, and no "
        "gradient flows back through the softmax. Check the scale of queries and keys, lower the learning "
        "rate, or normalise them."
    )
    most: float = 1.05
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        wanted = evidence.of_kind("activation") & evidence.named("scores") & (_keys(evidence) > 2)
        return np.asarray(wanted[:, None] & (self._positions(evidence) < self.most))

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        positions = self._positions(evidence)[tensor, position]
        return {"positions": float(positions), "of": float(_keys(evidence)[tensor])}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"look at {measured['positions']:.3g} of {measured['of']:.0f} positions: all heads are on one"

    def _positions(self, evidence: Evidence) -> Floats:
        weight = _keys(evidence)[:, None] * evidence.statistic("rms") ** 2
        return np.asarray(np.divide(1.0, weight, out=np.full(weight.shape, np.nan), where=weight > 0))


#: All rules with their default thresholds.
RULES: tuple[Rule, ...] = (
    NonFinite(),
    SilentLayer(),
    SilentUnits(),
    ConstantOutput(),
    ZeroGradient(),
    VanishingGradient(),
    GradientSpike(),
    UnmovedWeight(),
    UpdateRatio(),
    CollapsedAttention(),
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


def _keys(evidence: Evidence) -> Floats:
    """The sizes of the last axes, float64 [tensors]; 0 where there is none or it differs from step to step."""
    return np.array([max(tensor.shape[-1], 0) if tensor.shape else 0 for tensor in evidence.tensors], float)
