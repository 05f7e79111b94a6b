"""The logging of one graph in one session: what is fetched with which run, and what becomes of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.about import logger
from tb_layerview.capture.graph.additions import add_to_graph
from tb_layerview.capture.graph.digests import Fetched
from tb_layerview.capture.graph.failure_log import FailureLog
from tb_layerview.capture.graph.merged_batches import MERGED, MergedBatches
from tb_layerview.capture.graph.run_times import RunTimes
from tb_layerview.capture.graph.runs import KnownRun, KnownRuns
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.taps import GraphTap, GraphTaps, listed
from tb_layerview.options import Keep, Schedule
from tb_layerview.writing.step import Part, Step
from tb_layerview.writing.training_log import TrainingLog


@dataclasses.dataclass(frozen=True)
class _Pending:
    """A run that is under way.

    Attributes:
      run: Which kind it is.
      step: The global step that is expected after it.
      is_due: Whether it is logged.
      groups: Which digests were fetched, by number.
      with_values: Whether values were fetched too.
      is_looked_at: Whether what was fetched tells if it has failed.
    """

    run: KnownRun
    step: int
    is_due: bool
    groups: tuple[int, ...]
    with_values: bool
    is_looked_at: bool

    @property
    def kind(self) -> Any:
        """What it fetches."""
        return id(self.run), self.groups, self.with_values, self.is_looked_at


@dataclasses.dataclass(frozen=True)
class _Recorded:
    """The step that was logged last.

    Attributes:
      step: Its number.
      groups: Which digests were logged of it, by number.
    """

    step: int
    groups: frozenset[int] = frozenset()


class GraphRecording:
    """The logging of one graph in one session."""

    def __init__(
        self,
        index: GraphIndex,
        found: GraphTaps,
        selected: tuple[GraphTap, ...],
        schedule: Schedule,
        keep: Keep,
        log: TrainingLog,
    ) -> None:
        """Adds the digests to the graph, and describes to the log what they are of.

        Args:
          index: The graph.
          found: What of it is to be logged.
          selected: Those of its taps that were selected by hand.
          schedule: When to log.
          keep: How much to keep.
          log: The log.
        """
        self._schedule, self._log = schedule, log
        self._batches = None if log.mode == "train" else MergedBatches(log, schedule)
        self._times = RunTimes(log.budget)
        self._pending: _Pending | None = None
        self._step = 0
        self._recorded: _Recorded | None = None
        self._fetched_after: set[tuple[bool, bool]] = set()  # with values, with updates
        self._has_jumped = False
        self._noted: set[str] = set()
        self._replay: FailureLog | None = None
        self._is_close = False
        self._never_logged: dict[int, str] = {}  # by the tensor's index: what was selected by hand
        with log.set_up("adding digests to the graph"):
            is_training = self._batches is None
            in_words = schedule.in_words() if is_training else f"the first {MERGED} batches"
            added = add_to_graph(index, found, keep, in_words, is_training, is_training and log.replay is not False)
            self._added = added
            if added.failing:
                self._replay = FailureLog(added.failing, added.in_run, added.groups, log)
            by_hand = frozenset((t.source.op, t.source.value_index) for t in selected if t.tensor.kind != "weight")
            self._runs = KnownRuns(index, found, added, is_training, by_hand)
            ids = {id(tap) for tap in selected}
            self._never_logged = {i: found.layers[t.tensor.layer].path for i, t in added.taps.items() if id(t) in ids}
            log.describe(added.model)

    def start(self, session: Any) -> None:
        """Takes up the step from which the training continues."""
        if not self._log.is_open:
            return  # nothing was added to the graph
        with self._log.set_up("reading the global step"):
            self._step = self._added.global_step.read(session) or 0
            self._added.updates.start(session)
            if self._replay:
                self._replay.start(session)
            self._log.begin(self._step)

    def before_run(self, session: Any, args: Any) -> Any:
        """The fetches to add to a run; None if there are none."""
        self._pending = request = None
        if self._log.is_open:
            with self._times.asking(), self._log.guard("looking at what a run fetches"):
                request = self._request(session, args)
        return request

    def _request(self, session: Any, args: Any) -> Any:
        run = self._runs.look_up(args)
        if not run.is_logged:
            return None
        added = self._added
        step = self._step if self._batches else run.next_step(self._step)
        is_due, groups = self._due(run, step)
        with_values = is_due and (self._batches or self._log).values_due(step)
        fetches: dict[str, Any] = {"step": added.global_step.after} if run.tells_step else {}
        if is_due:
            fetches["scalars"] = {name: added.looks.get((t.op, t.value_index), t) for name, t in run.scalars.items()}
            fetches["digests"] = {str(i): added.groups[i].wanted(with_values) for i in groups}
        failed = self._replay.wanted(run.optimizers) if self._replay else {}
        if failed:
            fetches["failed"] = failed
        # The step after this one is a step of ours, whether or not this run is the one that completes it.
        if added.updates.is_wanted and run.rise == 1 and self._log.due(self._step + 1):
            with self._times.keeping(), self._log.guard("keeping the weights"):
                added.updates.keep(session, self._step)
        self._pending = _Pending(run, step, is_due, groups, with_values, bool(failed))
        return tf.compat.v1.train.SessionRunArgs(fetches) if fetches else None

    def _due(self, run: KnownRun, step: int) -> tuple[bool, tuple[int, ...]]:
        """Whether to log a run after which the global step is `step`, and which digests to fetch."""
        if self._batches:
            return self._batches.due(step), run.groups
        if self._recorded is None or step != self._recorded.step:
            return self._log.due(step), run.groups
        # One record a step. But optimizers that take turns within a step each add their own gradients.
        more = tuple(i for i in run.groups if i not in self._recorded.groups)
        return bool(more), more

    def after_run(self, session: Any, results: Mapping[str, Any] | None) -> None:
        """Follows the global step, and logs what was fetched."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        results = results or {}
        with self._times.following():
            if self._replay and pending.is_looked_at:
                with self._log.guard("keeping the step that breaks the training"):
                    self._look(session, self._replay, pending, results)
            if not pending.is_due and not self._batches:
                with self._log.guard("following the global step"):
                    self._follow(session, pending.run, self._step_after(session, pending, results))
        if not pending.is_due:
            self._times.add(pending.kind, is_logged=False)
            self._times.charge_other()
        elif self._batches and self._batches.count:
            with self._log.logging("logging a step"):
                self._add_batch(self._batches, pending, results)
        else:
            self._log_run(session, pending, results)
            self._times.add(pending.kind, is_logged=True)
            self._times.charge_logged()

    def _step_after(self, session: Any, pending: _Pending, results: Mapping[str, Any]) -> int | None:
        """The global step after a run that has just ended; None if the graph has none."""
        return int(results["step"]) if pending.run.tells_step else self._added.global_step.read(session)

    def _look(self, session: Any, replay: FailureLog, pending: _Pending, results: Mapping[str, Any]) -> None:
        """Logs a run that has broken the training: as a replay and, where the schedule gives no steps, as any other."""
        failure = replay.take(session, results["failed"], pending.run.scalars)
        if failure is None:
            if not pending.is_due:
                replay.saw(self._times.seconds)
            return
        now = self._step_after(session, pending, results)
        # Where gradients are accumulated, it may be part of a step that is not complete.
        step = max(self._step + 1, now or 0)
        is_complete = now is None or now == step
        with self._log.apart("the step that breaks the training"):
            replay.log(step, failure, self._added.model)
            if self._schedule.is_ladder and is_complete and not pending.is_due:
                weights = session.run(self._added.weights.wanted(with_values=True))
                self._write(
                    step, (Fetched.of(self._added.weights, weights, with_values=True), failure), failure.scalars
                )
                self._recorded = _Recorded(step, frozenset(pending.run.groups))
            self._log.flush()  # what is broken may be stopped at once

    def act_on_findings(self) -> bool:
        """Does what is to be done about what was found; returns whether the training is to stop."""
        if any(finding.severity == "error" for finding in self._log.act_on_findings()) and not self._is_close:
            self._is_close = True
            self._log.log_closely(self._step)
        return self._log.should_stop

    def _log_run(self, session: Any, pending: _Pending, results: Mapping[str, Any]) -> None:
        """Logs a run: what was fetched with it, and what is fetched after it."""
        added = self._added
        updates = added.updates.wanted(pending.with_values)
        fetches: dict[str, Any] = {"weights": added.weights.wanted(pending.with_values), "updates": updates}
        if added.global_step.now is not None:
            fetches["step"] = added.global_step.now
        # The first time, the session optimises the graph for what is fetched.
        key = pending.with_values, bool(updates)
        is_first = key not in self._fetched_after
        self._fetched_after.add(key)
        with (self._log.set_up if is_first else self._log.logging)("logging a step"):
            after = session.run(fetches)
            if self._batches:
                weights = Fetched.of(added.weights, after["weights"], pending.with_values)
                self._write(self._step, (weights,), _scalars(results))
                self._recorded = _Recorded(self._step)
                self._add_batch(self._batches, pending, results)
                return
            changes = added.updates.fetched(after["updates"], pending.with_values)
            if not self._follow(session, pending.run, after.get("step")):
                changes = ()
            self._log_step(pending, results, after, changes)

    def _log_step(
        self, pending: _Pending, results: Mapping[str, Any], after: Mapping[str, Any], changes: Sequence[Part]
    ) -> None:
        """Writes a step of a training, or adds to the one that was written last."""
        step, recorded = self._step, self._recorded
        if recorded is None or step != recorded.step:
            recorded = None  # it is new
        groups = tuple(i for i in pending.groups if recorded is None or i not in recorded.groups)
        if step != pending.step and not (self._log.is_scheduled(step) and (recorded is None or groups)):
            return  # the global step moved otherwise than before: this is not a step that was to be logged
        parts: list[Part] = [*self._fetched(pending, groups, results)]
        if recorded is None:
            weights = Fetched.of(self._added.weights, after["weights"], pending.with_values)
            parts = [weights, *changes, *parts]
        if pending.run.remark:
            self._note(pending.run.remark)
        scalars = _scalars(results)
        self._write(step, parts, scalars)
        self._recorded = _Recorded(step, (recorded.groups if recorded else frozenset()).union(groups))
        self._note_logged(groups)
        # A loss that is not finite may be the last that is seen: the Estimator stops at once, and calls no `end`.
        if not all(math.isfinite(value) for value in scalars.values()):
            self._log.flush()

    def _add_batch(self, batches: MergedBatches, pending: _Pending, results: Mapping[str, Any]) -> None:
        """Writes a batch of an evaluation or prediction, merged with those before it."""
        merged, scalars = batches.add(self._fetched(pending, pending.groups, results), _scalars(results))
        self._write(self._step, (merged,), scalars)
        self._note_logged(pending.groups)
        self._log.flush()  # a prediction that is closed early calls no `end`

    def _fetched(self, pending: _Pending, groups: tuple[int, ...], results: Mapping[str, Any]) -> list[Fetched]:
        """What was fetched of some groups of digests with a run."""
        found = results["digests"]
        return [Fetched.of(self._added.groups[i], found[str(i)], pending.with_values) for i in groups]

    def _write(self, step: int, parts: Sequence[Part], scalars: Mapping[str, float]) -> None:
        self._log.write(Step(step, tuple(parts), scalars))

    def _note_logged(self, groups: tuple[int, ...]) -> None:
        for group in (self._added.weights, *(self._added.groups[i] for i in groups)):
            for i in group.taps:
                self._never_logged.pop(i, None)

    def close(self) -> None:
        """Closes the log and says what was logged."""
        if self._recorded is None and self._log.is_open:
            reached = "a layer's output" if self._batches else "an optimizer at a step of the schedule"
            self._log.report("no run was logged", f"none reached {reached}")
        elif self._never_logged and self._log.is_open:
            logger.warning(
                "tb_layerview: no logged run computed %s: it needs a batch, a placeholder or a variable of its own.",
                ", ".join(self._never_logged.values()),
            )
        message = self._log.close()
        if self._batches:
            logger.info(message)
        else:
            print(message)

    def _note(self, sentence: str) -> None:
        """Says what is not logged and why, unless that was said before."""
        if sentence not in self._noted:
            self._noted.add(sentence)
            self._log.note(sentence)

    def _follow(self, session: Any, run: KnownRun, step: Any | None) -> bool:
        """Takes note of the global step after a run.

        Returns:
          Whether the weights of the step right before it were kept.
        """
        before, self._step = self._step, self._step + 1 if step is None else int(step)
        run.follow(before, self._step)
        updates, model = self._added.updates, self._added.model
        if self._step > before + 1 and updates.is_wanted and not self._has_jumped:
            self._has_jumped = True
            weights = [t for t in model.tensors if t.kind == "update"]
            names = listed([f"{model.layers[t.layer].path}/{t.name}" for t in weights])
            self._note(
                f"no update is logged for {names} where a run raises the global step by more than 1, as from {before} "
                f"to {self._step}: the change over exactly one step cannot be had"
            )
        return updates.follow(session, self._step)


def _scalars(results: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers that were fetched with a run."""
    return {name: float(value) for name, value in results["scalars"].items()}
