"""Rules of attention: on one position, on all alike, and heads that all do the same."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from tb_layerview.health.evidence import Evidence
from tb_layerview.health.history import Mask
from tb_layerview.health.rule import Panel, Rule, Severity


@dataclasses.dataclass(frozen=True)
class CollapsedAttention(Rule):
    """A head that looks at one position only: positions < most, of more than two keys.

    Attributes:
      most: 1.02 positions. Its softmax then has 99 % on one key, and lets about a hundredth of the gradient through.
        Heads that look at the token before, or at the first, are seen in healthy transformers with more.
      patience: Five training steps.
    """

    name: ClassVar[str] = "collapsed_attention"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "picture"
    leads_to: ClassVar[tuple[str, ...]] = (
        "vanishing_gradient",
        "fading_gradient",
        "zero_gradient",
        "unmoved_weight",
        "small_update",
    )
    advice: ClassVar[str] = (
        "The scores before the softmax have grown large: a query looks at one position only, and no "
        "gradient flows back through the softmax. Check the scale of queries and keys, lower the learning "
        "rate, or normalise them."
    )
    most: float = dataclasses.field(default=1.02, metadata={"label": "positions below"})
    patience: int = 5

    def holds(self, evidence: Evidence) -> Mask:
        return np.asarray((evidence.statistic("positions") < self.most) & (evidence.connections.keys > 2)[:, None])

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        positions = evidence.statistic("positions")[tensor, position]
        return {"positions": float(positions), "of": float(evidence.connections.keys[tensor]), "most": self.most}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"looks at {measured['positions']:.3g} of {measured['of']:.0f} positions in the head with the fewest"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        count = f"{measured['positions']:.2g}"
        return f"a head of {evidence.tensors[tensor].short} looks at {count} position{'s' * (count != '1')}"


@dataclasses.dataclass(frozen=True)
class UniformAttention(Rule):
    """Attention that makes no choice: evenness of all heads > least.

    Attributes:
      least: 0.999999 of the positions that are open under the mask, as far as float32 can tell. A healthy transformer
        with Keras' default embeddings (on a task that it solves without attention) was still at 0.99999 after
        100 steps.
      after: 100 logged steps: with small embeddings attention starts even, and a training may stay there for a while.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "uniform_attention"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "picture"
    advice: ClassVar[str] = (
        "The layer gives the mean of all positions, whatever they are. Queries or keys are too small to tell positions "
        "apart: their weights start, or have decayed, near zero, or what they take is tiny. Check their scale and what "
        "arrives there; a normalisation layer before the attention helps."
    )
    least: float = dataclasses.field(default=0.999999, metadata={"label": "evenness above"})
    after: int = dataclasses.field(default=100, metadata={"label": "logged steps before"})
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        late = evidence.steps_before + np.arange(len(evidence.steps)) >= self.after
        return np.asarray((evidence.statistic("evenness") > self.least) & late)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"evenness": float(evidence.statistic("evenness")[tensor, position]), "least": self.least}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"looks at all open positions alike, in all heads ({100 * measured['evenness']:.7g} % even)"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} looks at all positions alike"


@dataclasses.dataclass(frozen=True)
class AlikeHeads(Rule):
    """Heads that all do the same: heads_alike > least.

    Attributes:
      least: 0.999.
      patience: Ten training steps.
    """

    name: ClassVar[str] = "alike_heads"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "picture"
    advice: ClassVar[str] = (
        "Several heads are worth one. Usually their weights were made equal at the start (a constant initialiser, "
        "copied weights), and equal heads get equal gradients for ever. Initialise them at random."
    )
    least: float = dataclasses.field(default=0.999, metadata={"label": "likeness above"})
    patience: int = 10

    def holds(self, evidence: Evidence) -> Mask:
        return np.asarray(evidence.statistic("heads_alike") > self.least)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"heads_alike": float(evidence.statistic("heads_alike")[tensor, position]), "least": self.least}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"is the same in all heads ({100 * measured['heads_alike']:.4g} % alike)"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"all heads of {evidence.tensors[tensor].short} do the same"
