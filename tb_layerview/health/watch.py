"""The rules while a training goes on: looks at each step as it is logged."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import Model
from tb_layerview.format.statistics import SUMMARIES, UPDATE_RATIO, Digest
from tb_layerview.health.connections import Connections
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.evidence import CHANGE, START, Evidence, changes
from tb_layerview.health.finding import Finding
from tb_layerview.health.history import Floats, History, Past
from tb_layerview.health.replay import with_replay
from tb_layerview.health.rules.catalogue import RULES, Rule

_DIGEST = tuple(field.name for field in dataclasses.fields(Digest))
_STATISTICS = (*_DIGEST, *SUMMARIES, UPDATE_RATIO, CHANGE)
_ROWS = {name: row for row, name in enumerate(_STATISTICS)}
_digested = operator.attrgetter(*_DIGEST)


class Watch:
    """Keeps the last steps' statistics, as many as the rules look back, and says what is new at each.

    What it finds is what `diagnose` finds in the whole log, as soon as it can be known.

    Attributes:
      tensors: What is logged.
    """

    def __init__(self, model: Model, rules: Sequence[Rule] = RULES) -> None:
        """Keeps nothing yet.

        Args:
          model: What is logged.
          rules: Which rules to look with.
        """
        self._rules = tuple(rules)
        self._length = max(START + 1, *(rule.lookback for rule in rules))
        self._told: dict[tuple[str, int | None], int] = {}
        self._count = 0  # how many were told
        self._replay: Finding | None = None
        self.describe(model)

    def describe(self, model: Model) -> None:
        """Says what is logged from here on; what was before is forgotten."""
        self.tensors = tensors = [LoggedTensor.of(model, i, i) for i in range(len(model.tensors))]
        # Twice as long as what is looked at, which moves along in it and back to its beginning: nothing else is copied.
        self._table: Floats = np.full((len(_STATISTICS), len(tensors), 2 * self._length), np.nan)
        self._first = 0  # where in the table the oldest step is
        # Of the steps that are no longer in the table.
        self._largest = {name: np.full(len(tensors), np.nan) for name in ("rms", UPDATE_RATIO, CHANGE)}
        self._start: Floats = np.full(len(tensors), np.nan)
        self._shift = History.of(len(tensors))
        self._gone = 0  # how many they are
        self._steps: list[int] = []
        self._scalars: list[Mapping[str, float]] = []
        self._connections = Connections(model.layers, tensors)
        self._model = model

    def explain(self, replay: Finding) -> None:
        """Takes note of what a replay has shown, one more find: what is found from its step on follows from it."""
        if self._replay is None:
            self._replay = replay
        self._tell(replay)

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
          What is found now and was not found before. `follows` is an index among all finds, those of earlier steps
          first.
        """
        if not self._steps or step > self._steps[-1]:
            if len(self._steps) == self._length:
                self._forget_oldest()
            self._steps.append(step)
            self._scalars.append({})
        self._scalars[-1] = {**self._scalars[-1], **scalars}
        self._enter(digests, summaries)
        if self._gone + len(self._steps) <= START:
            self._start = np.fmax.reduce(self._column("rms"), axis=1)
        return self._look(ended=False)

    def end(self) -> list[Finding]:
        """Takes note that no step comes after the last; returns what can be said by that, as `see` does.

        While a training goes on, nobody knows that of any step.
        """
        return self._look(ended=True) if self._steps else []

    def _look(self, ended: bool) -> list[Finding]:
        evidence = Evidence(
            self._connections,
            np.array(self._steps, np.int64),
            self._column,
            self._scalars,
            self._model.probe,
            self._model.logs_batches,
            ended,
            self._past(),
        )
        found = with_replay(diagnose(evidence, self._rules), self._replay)
        new = [finding for finding in found if finding.replay is None and self._key(finding) not in self._told]
        for finding in new:
            self._tell(finding)
        place = {i: self._told[self._key(finding)] for i, finding in enumerate(found)}
        return [f if f.follows is None else dataclasses.replace(f, follows=place[f.follows]) for f in new]

    def _tell(self, finding: Finding) -> None:
        self._told[self._key(finding)] = self._count
        self._count += 1

    def _forget_oldest(self) -> None:
        self._largest = {name: np.fmax(largest, self._column(name)[:, 0]) for name, largest in self._largest.items()}
        self._shift = self._shift.and_then(np.array(self._steps[:1]), self._column("shift")[:, :1])
        self._gone += 1
        self._first += 1
        del self._steps[0], self._scalars[0]
        if self._first + self._length > self._table.shape[-1]:
            self._table[..., : len(self._steps)] = self._table[..., self._first :]
            self._table[..., len(self._steps) :] = np.nan
            self._first = 0

    def _past(self) -> Past:
        return Past(self._gone, self._largest.__getitem__, self._start, {"shift": self._shift}.__getitem__)

    def _enter(self, digests: Mapping[int, Digest], summaries: npt.NDArray[np.float32] | None) -> None:
        """Enters what is measured at the last step."""
        if not digests:
            return
        now = self._table[..., self._first + len(self._steps) - 1]
        order = sorted(digests)
        now[: len(_DIGEST), order] = np.array([_digested(digests[index]) for index in order], float).T
        if summaries is not None:
            now[len(_DIGEST) : _ROWS[UPDATE_RATIO], order] = summaries
        of, weights = self._connections.updated
        with np.errstate(invalid="ignore", divide="ignore"):  # a weight that is all zero
            now[_ROWS[UPDATE_RATIO], of] = now[_ROWS["rms"], of] / now[_ROWS["rms"], weights]
        last = np.array(self._steps[-2:], np.int64)

        def of_last(statistic: str, tensors: npt.NDArray[np.int64]) -> Floats:
            return self._column(statistic)[tensors, -len(last) :]

        changed = changes(last, of_last("rms", of), lambda name: of_last(name, weights))
        now[_ROWS[CHANGE], of] = changed[:, -1]

    def _column(self, statistic: str) -> Floats:
        return self._table[_ROWS[statistic], :, self._first : self._first + len(self._steps)]

    @staticmethod
    def _key(finding: Finding) -> tuple[str, int | None]:
        return finding.rule, None if finding.tensor is None else finding.tensor.index
