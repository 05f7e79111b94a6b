"""The rule of what a layer does when it trains, and what it does else."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from tb_layerview.health.evidence import Evidence
from tb_layerview.health.history import History, Mask
from tb_layerview.health.rule import Panel, Rule, Severity


@dataclasses.dataclass(frozen=True)
class TrainInferenceShift(Rule):
    """A layer whose output in inference mode is far from that in training mode, and does not come nearer.

    shift(n) > most and shift(n) > shift(n / 2) * momentum^(n / 4), `after` training steps or later, at `measured` steps
    in a row; and no layer that it is computed from is as far, whose finding says it. n counts training steps from the
    first that is logged; looked at are logged steps with values or, where there are many, those at which n has grown by
    a sixteenth since the last. A finding begins at the last of these steps.

    The moving statistics of a fresh BatchNormalization with momentum m come nearer to the batches' as m^n. The error of
    a mean falls by m^(n / 2) from n / 2 to n; a variance that starts too large makes the output too small by m^(n / 2),
    and the shift falls by m^(n / 4). So it is slower than any moving statistics of that momentum that are found.

    Attributes:
      most: 3. A BatchNormalization that has converged has less than 1, and up to 2 on a probe of a single class.
      momentum: 0.995, between Keras' 0.99, which takes some hundred steps, and 0.999, which takes some thousand and
        is found while it is too far.
      after: 50 training steps.
      measured: 3.
    """

    name: ClassVar[str] = "train_inference_shift"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "picture"
    advice: ClassVar[str] = (
        "What the model gives when it is evaluated or used has little to do with what is trained. Moving statistics of "
        "a BatchNormalization do not fit: its momentum is too high for so few steps (0.9 or 0.99 is quicker), its "
        "batches are too small or too unlike each other (LayerNormalization or GroupNormalization need none), or it "
        "was frozen with others. Or a Dropout drops nearly everything."
    )
    most: float = 3.0
    momentum: float = 0.995
    after: int = 50
    measured: int = 3

    def holds(self, evidence: Evidence) -> Mask:
        held = np.zeros(evidence.statistic("shift").shape, bool)
        history = evidence.history("shift")
        if len(history.steps) < self.measured:
            return held
        far = self._is_far(history)
        for tensor in np.flatnonzero(far.any(axis=1)):
            origins = evidence.connections.computed_from(int(evidence.connections.place[tensor]))
            far[tensor] &= ~(history.values[origins] > self.most).any(axis=0)
        lasting = np.logical_and.reduce(
            [far[:, i : far.shape[1] + 1 - self.measured + i] for i in range(self.measured)]
        )
        own = np.flatnonzero(np.isin(evidence.steps, history.steps[self.measured - 1 :]))
        if len(own):
            held[:, own] = lasting[:, -len(own) :]
        return held

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        history = evidence.history("shift")
        found = np.flatnonzero(history.steps <= evidence.steps[position])
        before = float(history.at_half()[tensor, found[-1]]) if len(found) else np.nan
        return {"shift": float(evidence.statistic("shift")[tensor, position]), "at_half": before, "most": self.most}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return (
            f"is {measured['shift']:.3g} times its size away from what it is in inference mode {evidence.of_what}, "
            f"after {measured['at_half']:.3g} times at half as many steps"
        )

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"{evidence.tensors[tensor].short} differs between training and inference"

    def _is_far(self, history: History) -> Mask:
        n = history.since_first
        slow = history.values > history.at_half() * self.momentum ** (n / 4)
        return np.asarray((history.values > self.most) & slow & (n >= self.after))
