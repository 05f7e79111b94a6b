"""The step that breaks a training in a session: what was kept of it, logged into a run of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tb_layerview.capture.ages import CostTrial
from tb_layerview.capture.graph.digests import DigestGroup
from tb_layerview.capture.graph.failing import FailingRun
from tb_layerview.capture.graph.runs import NEVER
from tb_layerview.capture.graph.search.taps import GraphTap
from tb_layerview.format.model import Model
from tb_layerview.measure.measurement import Measure, Measurement
from tb_layerview.measure.tf import digests
from tb_layerview.writing.step import Step
from tb_layerview.writing.training_log import TrainingLog

# What it takes to notice, at each step, as measured on two cores: one more fetch, an operation a tensor, and one pass
# over the gradients.
_SECONDS, _SECONDS_A_TENSOR, _BYTES_A_SECOND = 40e-6, 1.5e-6, 2e10


@dataclasses.dataclass(frozen=True)
class Failure:
    """What was kept of the step that breaks the training.

    Attributes:
      measure: Makes the measurements of its activations and gradients, by the tensor's index in the model.
      scalars: Its loss, by name.
    """

    measure: Measure
    scalars: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Made:
    """What a function makes the measurements of."""

    make: Measure

    def measurements(self) -> dict[int, Measurement]:
        """Makes the measurements, by the tensor's index in the model."""
        return self.make()


class FailureLog:
    """Logs the first step of a session that breaks the training.

    Nothing is run again. The batch is gone, and random numbers with it; but of the run itself, all was kept.
    """

    def __init__(
        self,
        failing: FailingRun,
        taps: Mapping[int, GraphTap],
        groups: Sequence[DigestGroup],
        session: TrainingLog,
    ) -> None:
        """Takes what there is.

        Args:
          failing: What keeps the run that fails.
          taps: Activations and gradients, by the tensor's index in the model.
          groups: Their digests.
          session: The training's log.
        """
        self._failing, self._groups, self._session = failing, groups, session
        self._taps = taps
        self._is_on, self._wary = True, 0  # for how many more runs the weights themselves are looked at
        self._cost = _SECONDS + _SECONDS_A_TENSOR * failing.looked_at + failing.bytes / _BYTES_A_SECOND
        self._trial = None if session.replay else CostTrial(session.share, self._cost)

    def start(self, session: Any) -> None:
        """Begins with a session. Weights that are broken already are no step's doing."""
        self._failing.clear(session)
        self._is_on = self._is_on and self._failing.weights_are_finite(session)

    def wanted(self, optimizers: Iterable[int]) -> dict[str, Any]:
        """What to fetch with a run of these optimizers."""
        return self._failing.wanted(optimizers) if self._is_on else {}

    def saw(self, seconds: float) -> None:
        """Is told how long a run took that was not logged, and gives up if looking at it takes too large a share."""
        self._session.budget.charge_any(self._cost)
        share = self._trial.saw(seconds) if self._trial and self._is_on else None
        if share is not None:
            self._is_on = False
            self._session.note(
                f"a step that breaks the training is not kept: to look at each takes {100 * share:.2g} % of the "
                "training time. Check(replay=True) has it kept all the same"
            )

    def take(self, session: Any, fetched: Mapping[str, Any], scalars: Mapping[str, Any]) -> Failure | None:
        """What was kept of a run, if it has broken the training.

        Args:
          session: The one that ran it.
          fetched: What was `wanted`.
          scalars: Its loss and others, as tensors by name.
        """
        failed = [int(number) for number, (has_failed, _) in fetched.items() if has_failed]
        if not self._is_on:
            return None
        if not failed:
            if self._wary:
                self._wary -= 1
                self._is_on = self._failing.weights_are_finite(session)
            return None
        self._is_on = False  # what goes wrong from here on goes wrong once
        is_lost = any(loss_has for _, loss_has in fetched.values())
        if not is_lost and self._failing.weights_are_finite(session):
            # The optimizer has left the step out, as where a loss scale is too large. Or it only adds the gradients up:
            # then a later run breaks the weights, and the one after that, whose loss tells, must not be blamed.
            self._failing.clear(session)
            self._is_on, self._wary = True, NEVER
            return None
        kept = self._failing.take(session, failed)
        losses = {n: kept[t.op, t.value_index] for n, t in scalars.items() if (t.op, t.value_index) in kept}
        source = {n: (tap.source.op, tap.source.value_index) for n, tap in self._taps.items()}
        # Of what stands in a condition only what this run has computed.
        had = {
            n
            for n, s in source.items()
            if s in kept and kept.get((s,), True) and (self._taps[n].when is None or kept[(self._taps[n].when,)])
        }
        taps = {n: tap for group in self._groups for n, tap in group.taps.items() if n in had}

        def measure() -> dict[int, Measurement]:
            arrays = {n: kept[source[n]] for n in taps}
            orders = {n: self._taps[n].transpose or range(arrays[n].ndim) for n in taps}
            return digests.measure(taps, {n: array.transpose(*orders[n]) for n, array in arrays.items()})

        return Failure(measure, {name: float(value) for name, value in losses.items()})

    def log(self, step: int, failure: Failure, model: Model) -> None:
        """Logs it as a run of its own, and says what it shows.

        Args:
          step: Its number.
          failure: What was kept of it.
          model: What the training logs.
        """
        numbers = {number: i for i, number in enumerate(sorted(self._taps))}
        described = dataclasses.replace(
            model,
            tensors=tuple(model.tensors[number] for number in numbers),
            notes=(
                f"this is step {step:,} of the training itself, which broke it: activations and gradients as they "
                "were. Of large gradients only those are there that are not finite",
            ),
            schedule="the step that broke the training",
        )
        made = Made(lambda: {numbers[n]: m for n, m in failure.measure().items()})
        self._session.log_replay(described, Step(step, (made,), failure.scalars))
        self._session.log_closely(step)
