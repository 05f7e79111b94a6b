"""The logging of one graph in one session: what is fetched with which run, and what becomes of it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.about import logger, software
from tb_layerview.capture.graph.apart import Apart, Source
from tb_layerview.capture.graph.digests import DigestGroup, add_digests, add_weight_digests, find_needs, own_scope
from tb_layerview.capture.graph.failing import FailingRun
from tb_layerview.capture.graph.failure_log import FailureLog, Made
from tb_layerview.capture.graph.global_step import GlobalStep
from tb_layerview.capture.graph.merged_batches import MERGED, Batches
from tb_layerview.capture.graph.run_times import RunTimes
from tb_layerview.capture.graph.runs import KnownRun, KnownRuns
from tb_layerview.capture.graph.search.index import GraphIndex, can_fetch
from tb_layerview.capture.graph.search.taps import GraphTap, GraphTaps, listed
from tb_layerview.capture.graph.updates import GraphUpdates
from tb_layerview.format.model import Model
from tb_layerview.measure.measurement import Measurement
from tb_layerview.options import Keep, Schedule
from tb_layerview.writing.step import Step
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
      is_looked_at: Whether it is told whether it fails.
      began: When, in seconds of `time.perf_counter`.
    """

    run: KnownRun
    step: int
    is_due: bool
    groups: tuple[int, ...]
    with_values: bool
    is_looked_at: bool
    began: float

    @property
    def kind(self) -> Any:
        """What it fetches."""
        return id(self.run), self.groups, self.with_values, self.is_looked_at


class GraphRecording:
    """The logging of one graph in one session."""

    def __init__(
        self,
        index: GraphIndex,
        found: GraphTaps,
        selected: tuple[GraphTap, ...],
        schedule: Schedule,
        keep: Keep,
        session: TrainingLog,
    ) -> None:
        """Adds the digests to the graph, and describes to the log what they are of.

        Args:
          index: The graph.
          found: What of it is to be logged.
          selected: Those of its taps that were selected by hand.
          schedule: When to log.
          keep: How much to keep.
          session: The log.
        """
        self._index, self._found, self._schedule, self._session = index, found, schedule, session
        self._is_training = session.mode == "train"
        # An evaluation has one record, at whatever step: the ladder is for trainings.
        self._always = not self._is_training and schedule.is_ladder
        self._times = RunTimes()
        self._pending: _Pending | None = None
        self._step = 0
        self._recorded: int | None = None
        self._recorded_groups: set[int] = set()
        self._batches = Batches()
        self._fetched_after: set[tuple[bool, bool]] = set()  # with values, with updates
        self._keeping = 0.0  # seconds, since the last logged step
        self._asking = 0.0  # seconds, before the run that is under way, keeping apart
        self._has_jumped = False
        self._noted: set[str] = set()
        self._replay: FailureLog | None = None
        self._is_close = False
        self._never_logged: dict[int, str] = {}  # by the tensor's index: what was selected by hand
        with session.set_up("adding digests to the graph"):
            self._add(selected, keep)

    def _add(self, selected: tuple[GraphTap, ...], keep: Keep) -> None:
        needed_by = find_needs(self._index, self._found.triggers if self._is_training else frozenset())
        apart, notes = Apart(self._index, needed_by), list(self._found.notes)
        logged = self._logged(apart, notes)
        taps = dict(enumerate(logged))
        weights = {i: tap for i, tap in taps.items() if tap.tensor.kind == "weight"}
        updates = {i: tap for i, tap in taps.items() if tap.tensor.kind == "update"}
        in_run = {i: tap for i, tap in taps.items() if i not in weights and i not in updates}
        self._groups: tuple[DigestGroup, ...] = add_digests(self._index, in_run, keep, needed_by, apart)
        self._weights: DigestGroup = add_weight_digests(self._index, weights, keep)
        self._updates = GraphUpdates(self._index, updates, keep)
        by_hand = frozenset((t.source.op, t.source.value_index) for t in selected if t.tensor.kind != "weight")
        self._global_step = GlobalStep(self._index)
        if self._is_training and self._global_step.now is None:
            notes.append("the graph has no global step, so the steps count the runs that train")
        failing = None
        if self._is_training and self._session.replay is not False:
            failing = FailingRun(self._index, self._found, in_run.values(), needed_by, apart)
            self._replay = FailureLog(failing, in_run, self._groups, self._session)
        self._looks = self._look_at_scalars(apart)
        self._runs = KnownRuns(
            self._index, self._found, self._groups, self._is_training, self._global_step.raiser, failing, by_hand
        )
        ids = {id(tap) for tap in selected}
        self._never_logged = {i: self._found.layers[t.tensor.layer].path for i, t in taps.items() if id(t) in ids}
        self._model = Model(
            layers=self._found.layers,
            tensors=tuple(tap.tensor for tap in taps.values()),
            notes=tuple(notes),
            schedule=self._schedule.in_words() if self._is_training else f"the first {MERGED} batches",
            software=software(TensorFlow=tf.__version__),
        )
        self._session.describe(self._model)

    def _logged(self, apart: Apart, notes: list[str]) -> list[GraphTap]:
        """What is logged of what was found; why something is not, is added to the notes."""
        logged = []
        for tap in self._found.taps:
            kind = tap.tensor.kind
            if kind in ("gradient", "update") and not self._is_training:
                continue
            reason = apart.cannot(tap.source) if kind in ("activation", "gradient") else ""
            if reason:
                path = self._found.layers[tap.tensor.layer].path
                notes.append(
                    f"layer {path!r}: {kind} {tap.tensor.name} is left out. {reason}; to look at it would change the "
                    "training's rounding"
                )
            else:
                logged.append(tap)
        return logged

    def _look_at_scalars(self, apart: Apart) -> dict[Source, Any]:
        """What to fetch for losses and learning rates that cannot be fetched themselves without a change to a run."""
        scalars = [*self._found.losses.values(), *self._found.learning_rates.values()]
        scalars += [t for t in self._index.graph.get_collection(tf.compat.v1.GraphKeys.LOSSES) if can_fetch(t)]
        with own_scope(self._index.graph):
            return {(t.op, t.value_index): apart.look(t).tensor for t in scalars if not apart.cannot(t)}

    def start(self, session: Any) -> None:
        """Takes up the step from which the training goes on."""
        with self._session.set_up("reading the global step"):
            self._step = self._global_step.read(session) or 0
            self._updates.start(session)
            if self._replay:
                self._replay.start(session)
            self._session.begin(self._step)

    def before_run(self, session: Any, args: Any) -> Any:
        """The fetches to add to a run; None if there are none."""
        self._pending = None
        if not self._session.is_open:
            return None
        request = None
        began, keeping = time.perf_counter(), self._keeping
        with self._session.guard("looking at what a run fetches"):
            request = self._request(session, args)
        self._asking = time.perf_counter() - began - (self._keeping - keeping)
        return request

    def _request(self, session: Any, args: Any) -> Any:
        run = self._runs.look_up(args)
        if not run.is_logged:
            return None
        step = run.next_step(self._step) if self._is_training else self._step
        is_due, groups = self._due(run, step)
        with_values = is_due and self._values_due(step)
        fetches: dict[str, Any] = {"step": self._global_step.after} if run.tells_step else {}
        if is_due:
            fetches["scalars"] = {name: self._looks.get((t.op, t.value_index), t) for name, t in run.scalars.items()}
            fetches["digests"] = {str(i): self._groups[i].wanted(with_values) for i in groups}
        failed = self._replay.wanted(run.optimizers) if self._replay else {}
        if failed:
            fetches["failed"] = failed
        # The step after this one is a step of ours, whether or not this run is the one that completes it.
        if self._updates.is_wanted and run.rise == 1 and self._session.due(self._step + 1):
            self._keep_weights(session)
        self._pending = _Pending(run, step, is_due, groups, with_values, bool(failed), time.perf_counter())
        return tf.compat.v1.train.SessionRunArgs(fetches) if fetches else None

    def after_run(self, session: Any, results: Mapping[str, Any] | None) -> None:
        """Follows the global step, and logs what was fetched."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        results, budget = results or {}, self._session.budget
        ended, set_up = time.perf_counter(), budget.set_up
        seconds = ended - pending.began
        if self._replay and pending.is_looked_at:
            with self._session.guard("keeping the step that breaks the training"):
                self._look(session, self._replay, pending, results, seconds)
        if not pending.is_due:
            with self._session.guard("following the global step"):
                self._times.add(pending.kind, pending.is_due, seconds)
                if self._is_training:
                    now = results["step"] if pending.run.tells_step else self._global_step.read(session)
                    self._follow(session, pending.run, now)
            budget.charge_any(self._asking + time.perf_counter() - ended - (budget.set_up - set_up))
            return
        if not self._is_training and self._recorded is not None:
            with self._session.logging("logging a step"):
                self._write_batch(pending, results)
            return
        updates = self._updates.wanted(pending.with_values)
        fetches: dict[str, Any] = {"weights": self._weights.wanted(pending.with_values), "updates": updates}
        if self._global_step.now is not None:
            fetches["step"] = self._global_step.now
        # The first time, the session optimises the graph for what is fetched.
        key = pending.with_values, bool(updates)
        is_first = key not in self._fetched_after
        self._fetched_after.add(key)
        with (self._session.set_up if is_first else self._session.logging)("logging a step"):
            after = session.run(fetches)
            if self._is_training and not self._follow(session, pending.run, after.get("step")):
                after["updates"] = {}
            self._write(pending, results, after)
        budget.charge_late(self._keeping, 1)
        self._keeping = 0.0
        self._times.add(pending.kind, pending.is_due, seconds)
        self._times.charge(self._session)

    def _look(
        self, session: Any, replay: FailureLog, pending: _Pending, results: Mapping[str, Any], seconds: float
    ) -> None:
        """Logs a run that has broken the training: as a replay and, where the schedule gives no steps, as any other."""
        failure = replay.take(session, results["failed"], pending.run.scalars)
        if failure is None:
            if not pending.is_due:
                replay.saw(seconds)
            return
        now = results["step"] if pending.run.tells_step else self._global_step.read(session)
        # Where gradients are accumulated, it may be part of a step that is not complete.
        step = max(self._step + 1, 0 if now is None else int(now))
        is_complete = now is None or int(now) == step
        with self._session.apart("the step that breaks the training"):
            replay.log(step, failure, self._model)
            if self._schedule.is_ladder and is_complete and not pending.is_due:
                weights = session.run(self._weights.wanted(with_values=True))
                parts = Made(lambda: self._weights.measurements(weights)), Made(failure.measure)
                self._session.write(Step(step, parts, failure.scalars))
                self._recorded, self._recorded_groups = step, set(pending.run.groups)
            self._session.flush()  # what is broken may be stopped at once

    def heed(self) -> bool:
        """Does what is to be done about what was found; returns whether the training is to stop."""
        if any(finding.severity == "error" for finding in self._session.heed()) and not self._is_close:
            self._is_close = True
            self._session.log_closely(self._step)
        return self._session.should_stop

    def _write(self, pending: _Pending, results: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        step = self._step
        is_new = step != self._recorded
        groups = pending.groups if is_new else tuple(i for i in pending.groups if i not in self._recorded_groups)
        if step != pending.step and not (self._schedule.wants(step) and (is_new or groups)):
            return  # the global step moved otherwise than before: this is not a step that was to be logged
        digests = results["digests"]
        scalars = {name: float(value) for name, value in results["scalars"].items()}
        if not self._is_training:
            self._session.write(Step(step, (Made(lambda: self._weights.measurements(after["weights"])),), scalars))
            self._recorded = step
            self._write_batch(pending, results)
            return

        def measure() -> dict[int, Measurement]:
            measured: dict[int, Measurement] = {}
            if is_new:
                measured.update(self._weights.measurements(after["weights"]))
                measured.update(self._updates.measurements(after["updates"]))
            for i in groups:
                measured.update(self._groups[i].measurements(digests[str(i)]))
            return measured

        if pending.run.remark:
            self._note(pending.run.remark)
        self._session.write(Step(step, (Made(measure),), scalars))
        if is_new:
            self._recorded, self._recorded_groups = step, set()
        self._recorded_groups.update(groups)
        self._note_logged(groups)
        # A loss that is not finite may be the last that is seen: the Estimator stops at once, and calls no `end`.
        if not all(math.isfinite(value) for value in scalars.values()):
            self._session.flush()

    def _write_batch(self, pending: _Pending, results: Mapping[str, Any]) -> None:
        """Merges a batch of an evaluation or prediction with those before it, and writes them as one."""
        assert self._recorded is not None
        groups, digests = [self._groups[i] for i in pending.groups], results["digests"]
        scalars = self._batches.add_scalars({name: float(value) for name, value in results["scalars"].items()})

        def measure() -> dict[int, Measurement]:
            measured: dict[int, Measurement] = {}
            for i, group in zip(pending.groups, groups):
                measured.update(group.measurements(digests[str(i)]))
            return self._batches.add(measured)

        self._session.write(Step(self._recorded, (Made(measure),), scalars))
        self._note_logged(pending.groups)
        self._session.flush()  # a prediction that is closed early calls no `end`

    def _note_logged(self, groups: tuple[int, ...]) -> None:
        for group in (self._weights, *(self._groups[i] for i in groups)):
            for i in group.taps:
                self._never_logged.pop(i, None)

    def close(self) -> None:
        """Closes the log and says what was logged."""
        if self._recorded is None and self._session.is_open:
            reached = "an optimizer at a step of the schedule" if self._is_training else "a layer's output"
            self._session.report("no run was logged", f"none reached {reached}")
        elif self._never_logged and self._session.is_open:
            logger.warning(
                "tb_layerview: no logged run computed %s: it needs a batch, a placeholder or a variable of its own.",
                ", ".join(self._never_logged.values()),
            )
        message = self._session.close()
        if self._is_training:
            print(message)
        else:
            logger.info(message)

    def _due(self, run: KnownRun, step: int) -> tuple[bool, tuple[int, ...]]:
        """Whether to log a run after which the global step is `step`, and which digests to fetch."""
        if step == self._recorded:
            if not self._is_training:
                return self._batches.count < MERGED, run.groups
            # One record a step. But optimizers that take turns within a step each add their own gradients.
            more = tuple(i for i in run.groups if i not in self._recorded_groups)
            return bool(more), more
        return self._always or self._session.due(step), run.groups

    def _values_due(self, step: int) -> bool:
        return self._always or self._session.values_due(step)

    def _note(self, sentence: str) -> None:
        """Says what is not logged and why; of what was said before, nothing."""
        if sentence not in self._noted:
            self._noted.add(sentence)
            self._session.note(sentence)

    def _keep_weights(self, session: Any) -> None:
        began = time.perf_counter()
        with self._session.guard("keeping the weights"):
            self._updates.keep(session, self._step)
        self._keeping += time.perf_counter() - began

    def _follow(self, session: Any, run: KnownRun, step: Any | None) -> bool:
        """Takes note of the global step after a run.

        Returns:
          Whether the weights of the step right before it were kept.
        """
        before, self._step = self._step, self._step + 1 if step is None else int(step)
        run.follow(before, self._step)
        if self._step > before + 1 and self._updates.is_wanted and not self._has_jumped:
            self._has_jumped = True
            weights = [t for t in self._model.tensors if t.kind == "update"]
            names = listed([f"{self._model.layers[t.layer].path}/{t.name}" for t in weights])
            self._note(
                f"no update is logged of {names} where a run raises the global step by more than 1, as from {before} "
                f"to {self._step}: the change over exactly one step cannot be had"
            )
        return self._updates.follow(session, self._step)
