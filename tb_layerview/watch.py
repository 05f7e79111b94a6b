"""The rules while a training goes on: looks at each step as it is logged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.diagnosis import Finding, diagnose
from tb_layerview.digest import Digest
from tb_layerview.evidence import Evidence, Floats
from tb_layerview.logged import LoggedTensor
from tb_layerview.model import Model
from tb_layerview.record import SUMMARIES
from tb_layerview.rules import RULES, Rule

_DIGEST = tuple(field.name for field in dataclasses.fields(Digest))
_STATISTICS = (*_DIGEST, *SUMMARIES)


class Watch:
    """Keeps the last steps' statistics, as many as the rules look back, and says what is new at each.

    What it finds is what `diagnose` finds in the whole log, as soon as it can be known.
    """

    def __init__(self, model: Model, rules: Sequence[Rule] = RULES) -> None:
        """Keeps nothing yet.

        Args:
          model: What is logged.
          rules: Which rules to look with.
        """
        self._rules = tuple(rules)
        self._length = max(rule.lookback for rule in rules)
        self._seen: set[tuple[str, int | None]] = set()
        self.describe(model)

    def describe(self, model: Model) -> None:
        """Says what is logged from here on; what was before is forgotten."""
        tensors = [
            LoggedTensor(i, model.layers[t.layer].path, t.call, t.kind, t.name, t.shape, t.dtype, t.axes)
            for i, t in enumerate(model.tensors)
        ]
        self._table: Floats = np.full((len(_STATISTICS), len(tensors), self._length), np.nan)
        self._largest: Floats = np.full(len(tensors), np.nan)  # rms of the steps that are no longer in the table
        self._gone = 0  # how many they are
        self._steps: list[int] = []
        self._scalars: list[Mapping[str, float]] = []
        self._evidence = Evidence(model.layers, tensors, np.array(self._steps, np.int64), self._column, self._scalars)
        self._evidence.weights_come_after = model.logs_batches

    def see(
        self,
        step: int,
        digests: Mapping[int, Digest],
        scalars: Mapping[str, float],
        summaries: npt.NDArray[np.float32] | None = None,
    ) -> list[Finding]:
        """Looks at a step.

        Args:
          step: Its number, not smaller than any before; what is measured at the last one is added to it.
          digests: By index of the tensor in the model.
          scalars: Loss and metrics by name.
          summaries: float32 [SUMMARIES, digests], the digests in ascending order of their index; None if not known.

        Returns:
          What is found now and was not found before.
        """
        if not self._steps or step > self._steps[-1]:
            if len(self._steps) == self._length:
                self._largest = np.fmax(self._largest, self._column("rms")[:, 0])
                self._gone += 1
                self._table = np.roll(self._table, -1, axis=-1)
                self._table[..., -1] = np.nan
                del self._steps[0], self._scalars[0]
            self._steps.append(step)
            self._scalars.append({})
        self._scalars[-1] = {**self._scalars[-1], **scalars}
        last = len(self._steps) - 1
        for index, digest in digests.items():
            self._table[: len(_DIGEST), index, last] = [getattr(digest, name) for name in _DIGEST]
        if summaries is not None:
            self._table[len(_DIGEST) :, sorted(digests), last] = summaries
        steps = np.array(self._steps, np.int64)
        evidence = self._evidence.at(steps, self._column, self._scalars, self._gone, {"rms": self._largest})
        found = diagnose(evidence, self._rules)
        new = [finding for finding in found if self._key(finding) not in self._seen]
        self._seen.update(map(self._key, new))
        return new

    def _column(self, statistic: str) -> Floats:
        return self._table[_STATISTICS.index(statistic), :, : len(self._steps)]

    @staticmethod
    def _key(finding: Finding) -> tuple[str, int | None]:
        return finding.rule, None if finding.tensor is None else finding.tensor.index
