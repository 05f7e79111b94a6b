"""The step that breaks a training in a session: what was kept of it, logged into a run of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from tb_layerview.capture.ages import CostTrial
from tb_layerview.capture.graph.digests import DigestGroup
from tb_layerview.capture.graph.failing import FailingRun
from tb_layerview.capture.graph.global_step import NEVER
from tb_layerview.capture.graph.search.taps import GraphTap
from tb_layerview.format.model import Model
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.tf import digests
from tb_layerview.measure.tf.tap import Tap
from tb_layerview.writing.cost_warning import two_digits
from tb_layerview.writing.step import Step
from tb_layerview.writing.training_log import TrainingLog

# What it takes at each step to notice, measured on two cores: one more fetch, an operation per tensor, and one pass
# over the gradients.
_SECONDS, _SECONDS_A_TENSOR, _BYTES_A_SECOND = 40e-6, 1.5e-6, 2e10


@dataclasses.dataclass(frozen=True)
class Failure:
    """What was kept of the step that breaks the training, its activations and gradients: a part of a step.

    Attributes:
      taps: How each is digested, by the tensor's index in the model.
      arrays: What was kept of it, by the same.
      scalars: Its loss, by name.
    """

    taps: dict[int, Tap]
    arrays: dict[int, npt.NDArray[Any]]
    scalars: dict[str, float]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return sum(array.nbytes for array in self.arrays.values())

    def measurements(self) -> dict[int, Measurement]:
        """Makes measurements of it, by the tensor's index in the model."""
        return digests.measure(self.taps, self.arrays)

    def renumbered(self, numbers: Mapping[int, int]) -> Failure:
        """The same with other indices, of a model with fewer tensors."""
        taps = {numbers[n]: tap for n, tap in self.taps.items()}
        return Failure(taps, {numbers[n]: array for n, array in self.arrays.items()}, self.scalars)


class FailureLog:
    """Logs the first step of a session that breaks the training.

    Nothing is run again: the batch and the random numbers are gone, but everything that the run computed was kept.
    """

    def __init__(
        self,
        failing: FailingRun,
        taps: Mapping[int, GraphTap],
        groups: Sequence[DigestGroup],
        log: TrainingLog,
    ) -> None:
        """Takes what is to be logged.

        Args:
          failing: What keeps the run that fails.
          taps: Activations and gradients, by the tensor's index in the model.
          groups: Their digests.
          log: The training's log.
        """
        self._failing, self._groups, self._log = failing, groups, log
        self._taps = taps
        self._is_on, self._wary = True, 0  # for how many more runs the weights themselves are looked at
        self._cost = _SECONDS + _SECONDS_A_TENSOR * failing.looked_at + failing.bytes / _BYTES_A_SECOND
        self._trial = None if log.replay else CostTrial(log.share, self._cost)

    def start(self, session: Any) -> None:
        """Begins with a session; does nothing in it if the weights are broken already, which is no step's doing."""
        self._failing.clear(session)
        self._is_on = self._is_on and self._failing.weights_are_finite(session)

    def wanted(self, optimizers: Iterable[int]) -> dict[str, Any]:
        """What to fetch with a run of these optimizers."""
        return self._failing.wanted(optimizers) if self._is_on else {}

    def saw(self, seconds: float) -> None:
        """Takes note of how long an unlogged run took; gives up if looking at runs takes too large a share."""
        self._log.budget.charge_any(self._cost)
        share = self._trial.saw(seconds) if self._trial and self._is_on else None
        if share is not None:
            self._is_on = False
            self._log.note(
                f"a step that breaks the training is not kept: looking at each takes {two_digits(100 * share)} % of "
                "the training time. Check(replay=True) keeps it anyway"
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
        # Of tensors in conditions only those that this run has computed.
        had = {
            n
            for n, s in source.items()
            if s in kept and kept.get((s,), True) and (self._taps[n].when is None or kept[(self._taps[n].when,)])
        }
        taps = {n: tap for group in self._groups for n, tap in group.taps.items() if n in had}
        arrays = {n: kept[source[n]] for n in taps}
        orders = {n: self._taps[n].transpose or range(arrays[n].ndim) for n in taps}
        arrays = {n: array.transpose(*orders[n]) for n, array in arrays.items()}
        return Failure(taps, arrays, {name: float(value) for name, value in losses.items()})

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
                "were. Of the large gradients only those that are not finite are shown",
            ),
            schedule="the step that broke the training",
        )
        renumbered = failure.renumbered(numbers)
        self._log.log_replay(described, Step(step, (renumbered,), renumbered.scalars))
        self._log.log_closely(step)
