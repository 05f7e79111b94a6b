"""Logs the layers of a TensorFlow 1 graph: Estimators and monitored sessions."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import time
import weakref
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.cluster import logs_graph
from tb_layerview.digest import Measurement, merge
from tb_layerview.graph_digests import DigestGroup, add_digests, add_weight_digests
from tb_layerview.graph_index import GraphIndex, can_run
from tb_layerview.graph_runs import KnownRun, KnownRuns
from tb_layerview.graph_search import GraphTap, GraphTaps, find_layers
from tb_layerview.graph_select import layers_of, select_tensors
from tb_layerview.model import Mode, Model
from tb_layerview.options import Keep, Schedule, Select, as_schedule
from tb_layerview.session import Session, logger
from tb_layerview.version import __version__

# How many batches of an evaluation or prediction are one record.
_MERGED = 10

_KEYS = tf.compat.v1.GraphKeys


class LayerViewHook(tf.compat.v1.train.SessionRunHook):
    """Logs the weights, activations and gradients of all layers while an Estimator or a monitored session runs.

    ```python
    estimator.train(input_fn, hooks=[lv.LayerViewHook(estimator.model_dir)])
    estimator.evaluate(input_fn, hooks=[lv.LayerViewHook(os.path.join(estimator.model_dir, "eval"))])
    with tf.compat.v1.train.MonitoredTrainingSession(hooks=[lv.LayerViewHook("logs/run1")]) as session: ...
    ```

    The layers are searched in the finished graph: the `model_fn` stays as it is. While training, activations and
    gradients are those of the batch that was trained on; weights are those after the step, and the step is the global
    step after it, as in the Estimator's own summaries. Runs that do not train are left alone. In evaluation and
    prediction the first batch is logged at once, and the statistics and scalars of the next nine are merged with its
    own; values stay those of the first.

    Of a cluster's processes the chief alone logs, and the evaluator. Each may be given the hook.

    List it before hooks that may raise an error to stop the training: what comes after them does not see that step.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        select: Select = Select(),
        schedule: Schedule | int = Schedule(),
        keep: Keep = Keep(),
    ) -> None:
        """Takes the options; the graph is searched, and the log opened, when a session begins.

        Args:
          logdir: The run's folder: `estimator.model_dir` for training, one of its own for each evaluation.
          select: Which layers and kinds to log, and which other tensors. The hook has no kind `update`.
          schedule: When to log while training, or a number: every so many steps. Evaluation and prediction are always
            logged, unless the schedule gives steps.
          keep: How much to keep of each tensor.

        Raises:
          TypeError: An option is not of its type.
          ValueError: An option is out of its range, or `select` only has kinds that the hook cannot log.
        """
        for name, value, kind in (("select", select, Select), ("keep", keep, Keep)):
            if not isinstance(value, kind):
                raise TypeError(f"{name} must be a {kind.__name__}(...), not {value!r}")
        if set(select.kinds) == {"update"}:
            raise ValueError(
                "Select(kinds=('update',)) leaves the hook nothing to log: it logs activations, weights and gradients. "
                "Updates are logged by LayerViewCallback."
            )
        self._logdir = os.fspath(logdir)
        self._select, self._schedule, self._keep = select, as_schedule(schedule), keep
        self._logging: _Logging | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def begin(self) -> None:
        """Searches the graph, opens the log and adds the digests to the graph.

        Raises:
          ValueError: A pattern matches no layer, a selected tensor is not there, or the folder cannot be written to.
        """
        self._close()
        began = time.perf_counter()
        graph = tf.compat.v1.get_default_graph()
        if not logs_graph(graph):
            return
        index = GraphIndex(graph)
        found = find_layers(index)
        if not found.layers and not self._select.names_tensors:
            logger.warning("tb_layerview: the graph has no layers with variables; nothing is logged.")
            return
        if found.layers:
            self._select.check([(layer.path, layer.class_name) for layer in found.layers])
        found, selected = _narrowed(index, found, self._select)
        mode = _mode(index, found)
        session = Session(self._logdir, self._schedule, self._keep, mode)
        # A process that ends on an error does not call `end`: what is still in the queue is written all the same.
        self._finalizer = weakref.finalize(self, session.close)
        session.budget.set_up += time.perf_counter() - began
        self._logging = _Logging(index, found, selected, self._schedule, self._keep, session)

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Reads the step from which the training goes on."""
        del coord
        if self._logging:
            self._logging.start(session)

    def before_run(self, run_context: Any) -> Any:
        """Asks for digests if the run is one to log."""
        return self._logging.before_run(run_context.original_args) if self._logging else None

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Logs what was fetched."""
        if self._logging:
            self._logging.after_run(run_context.session, run_values.results)

    def end(self, session: Any) -> None:
        """Closes the log and says what was logged."""
        del session
        self._close()

    def _close(self) -> None:
        logging, self._logging = self._logging, None
        if logging:
            if self._finalizer:
                self._finalizer.detach()
            logging.close()


@dataclasses.dataclass(frozen=True)
class _Pending:
    """A run that is under way.

    Attributes:
      run: Which kind it is.
      step: The global step that is expected after it.
      is_due: Whether it is logged.
      groups: Which digests were fetched, by number.
      with_values: Whether values were fetched too.
      began: When, in seconds of `time.perf_counter`.
    """

    run: KnownRun
    step: int
    is_due: bool
    groups: tuple[int, ...]
    with_values: bool
    began: float


class _Logging:
    """The logging of one graph in one session."""

    def __init__(
        self,
        index: GraphIndex,
        found: GraphTaps,
        selected: tuple[GraphTap, ...],
        schedule: Schedule,
        keep: Keep,
        session: Session,
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
        self._times = _RunTimes()
        self._pending: _Pending | None = None
        self._step = 0
        self._recorded: int | None = None
        self._recorded_groups: set[int] = set()
        self._batches = _Batches()
        self._weights_read: set[bool] = set()
        self._step_now: Any | None = None
        self._step_after: Any | None = None
        self._never_logged: dict[int, str] = {}  # by the tensor's index: what was selected by hand
        with session.set_up("adding digests to the graph"):
            self._add(selected, keep)

    def _add(self, selected: tuple[GraphTap, ...], keep: Keep) -> None:
        taps = dict(enumerate(tap for tap in self._found.taps if self._is_training or tap.tensor.kind != "gradient"))
        weights = {i: tap for i, tap in taps.items() if tap.tensor.kind == "weight"}
        in_run = {i: tap for i, tap in taps.items() if tap.tensor.kind != "weight"}
        triggers = self._found.triggers if self._is_training else frozenset()
        notes = list(self._found.notes)
        self._groups: tuple[DigestGroup, ...] = add_digests(self._index, in_run, keep, triggers)
        self._weights: DigestGroup = add_weight_digests(self._index, weights, keep)
        by_hand = frozenset((t.source.op, t.source.value_index) for t in selected if t.tensor.kind != "weight")
        raiser = self._add_step(notes)
        self._runs = KnownRuns(self._index, self._found, self._groups, self._is_training, raiser, by_hand)
        ids = {id(tap) for tap in selected}
        self._never_logged = {i: self._found.layers[t.tensor.layer].path for i, t in taps.items() if id(t) in ids}
        self._session.describe(
            Model(
                layers=self._found.layers,
                tensors=tuple(tap.tensor for tap in taps.values()),
                notes=tuple(notes),
                schedule=self._schedule.in_words() if self._is_training else f"the first {_MERGED} batches",
                software=f"tb_layerview {__version__}, tensorflow {tf.__version__}",
            )
        )

    def _add_step(self, notes: list[str]) -> Any | None:
        """Adds reads of the global step: one for any time, one for right after the operation that raises it.

        Returns:
          That operation, if there is just one and it does not stand in a condition.
        """
        graph = self._index.graph
        variable = tf.compat.v1.train.get_global_step(graph)
        if variable is None:
            if self._is_training:
                notes.append("the graph has no global step, so the steps count the runs that train")
            return None
        holder = self._index.by_name.get(variable.name.rsplit(":", 1)[0])
        assignments = [] if holder is None else self._index.assignments_to(holder)
        raisers = [op for op in assignments if op.type.startswith("AssignAdd")]
        with graph.control_dependencies(None), tf.name_scope("layerview"):
            self._step_now = _read(variable)
            if len(raisers) != 1 or not can_run(raisers[0]):
                return None
            with graph.control_dependencies(raisers):
                self._step_after = _read(variable)
        return raisers[0]

    def start(self, session: Any) -> None:
        """Takes up the step from which the training goes on."""
        with self._session.set_up("reading the global step"):
            if self._step_now is not None:
                self._step = int(session.run(self._step_now))
            self._session.begin(self._step)

    def before_run(self, args: Any) -> Any:
        """The fetches to add to a run; None if there are none."""
        self._pending = None
        if not self._session.is_open:
            return None
        request = None
        with self._session.guard("looking at what a run fetches"):
            request = self._request(args)
        return request  # noqa: RET504 (None where the guard caught an error)

    def _request(self, args: Any) -> Any:
        run = self._runs.look_up(args)
        if not run.is_logged:
            return None
        step = run.next_step(self._step) if self._is_training else self._step
        is_due, groups = self._due(run, step)
        with_values = is_due and self._values_due(step)
        fetches: dict[str, Any] = {"step": self._step_after} if run.tells_step else {}
        if is_due:
            fetches["scalars"] = run.scalars
            fetches["digests"] = {str(i): self._groups[i].wanted(with_values) for i in groups}
        self._pending = _Pending(run, step, is_due, groups, with_values, time.perf_counter())
        return tf.compat.v1.train.SessionRunArgs(fetches) if fetches else None

    def after_run(self, session: Any, results: Mapping[str, Any] | None) -> None:
        """Follows the global step, and logs what was fetched."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        results = results or {}
        seconds = time.perf_counter() - pending.began
        if not pending.is_due:
            with self._session.guard("following the global step"):
                self._times.add(pending, seconds)
                if self._is_training:
                    self._follow(pending.run, results["step"] if pending.run.tells_step else self._read_step(session))
            return
        if not self._is_training and self._recorded is not None:
            with self._session.logging("logging a step"):
                self._write_batch(pending, results)
            return
        # The first time, the session optimises the graph for the weights' digests.
        is_first = pending.with_values not in self._weights_read
        self._weights_read.add(pending.with_values)
        with (self._session.set_up if is_first else self._session.logging)("logging a step"):
            fetches: dict[str, Any] = {"weights": self._weights.wanted(pending.with_values)}
            if self._step_now is not None:
                fetches["step"] = self._step_now
            after = session.run(fetches)
            if self._is_training:
                self._follow(pending.run, after.get("step"))
            self._write(pending, results, after["weights"])
        self._times.add(pending, seconds)
        self._times.charge(self._session)

    def _write(self, pending: _Pending, results: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
        step = self._step
        is_new = step != self._recorded
        groups = pending.groups if is_new else tuple(i for i in pending.groups if i not in self._recorded_groups)
        if step != pending.step and not (self._schedule.wants(step) and (is_new or groups)):
            return  # the global step moved otherwise than before: this is not a step that was to be logged
        digests = results["digests"]
        scalars = {name: float(value) for name, value in results["scalars"].items()}
        if not self._is_training:
            self._session.write(step, lambda: self._weights.measurements(weights), scalars)
            self._recorded = step
            self._write_batch(pending, results)
            return

        def measure() -> dict[int, Measurement]:
            measured = self._weights.measurements(weights) if is_new else {}
            for i in groups:
                measured.update(self._groups[i].measurements(digests[str(i)]))
            return measured

        self._session.write(step, measure, scalars)
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

        self._session.write(self._recorded, measure, scalars)
        self._note_logged(pending.groups)
        self._session.flush()  # a prediction that is closed early calls no `end`

    def _note_logged(self, groups: tuple[int, ...]) -> None:
        for group in (self._weights, *(self._groups[i] for i in groups)):
            for i in group.taps:
                self._never_logged.pop(i, None)

    def close(self) -> None:
        """Closes the log and says what was logged."""
        if self._recorded is None and self._session.is_open:
            logger.warning(
                "tb_layerview: no run was logged: none %s.",
                "reached an optimizer at a step of the schedule" if self._is_training else "reached a layer's output",
            )
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
                return self._batches.count < _MERGED, run.groups
            # One record a step. But optimizers that take turns within a step each add their own gradients.
            more = tuple(i for i in run.groups if i not in self._recorded_groups)
            return bool(more), more
        return self._always or self._session.due(step), run.groups

    def _values_due(self, step: int) -> bool:
        return self._always or self._session.values_due(step)

    def _follow(self, run: KnownRun, step: Any | None) -> None:
        """Takes note of the global step after a run."""
        now = self._step + 1 if step is None else int(step)
        run.follow(self._step, now)
        self._step = now

    def _read_step(self, session: Any) -> Any | None:
        return None if self._step_now is None else session.run(self._step_now)


class _Batches:
    """What is merged of the batches of an evaluation or prediction.

    Attributes:
      count: How many batches there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, tuple[float, int]] = {}
        self._merged: dict[int, Measurement] = {}

    def add_scalars(self, scalars: Mapping[str, float]) -> dict[str, float]:
        """Counts a batch, and returns the means of the scalars over all."""
        self.count += 1
        for name, value in scalars.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, count + 1
        return {name: total / count for name, (total, count) in self._sums.items()}

    def add(self, measured: Mapping[int, Measurement]) -> dict[int, Measurement]:
        """Merges the measurements of a batch, by the tensor's index, with those before; called on one thread only."""
        for i, measurement in measured.items():
            self._merged[i] = merge(self._merged[i], measurement) if i in self._merged else measurement
        return dict(self._merged)


class _RunTimes:
    """How much longer runs take because digests are fetched with them.

    A run's digests cannot be timed by themselves, so runs with them are compared with runs without.
    """

    def __init__(self) -> None:
        self._seconds: dict[bool, list[float]] = {True: [], False: []}
        self._first: dict[Any, float] = {}  # by kind of run
        self._set_up = 0.0
        self._uncharged = 0

    def add(self, pending: _Pending, seconds: float) -> None:
        """Notes how long a run took."""
        key = (id(pending.run), pending.is_due, pending.groups, pending.with_values)
        self._uncharged += pending.is_due
        if key not in self._first:
            # The session optimises the graph for each set of fetches anew; once it would do so without us.
            self._first[key] = seconds if self._first else 0.0
            return
        first, self._first[key] = self._first[key], 0.0
        self._set_up += max(0.0, first - seconds)
        self._seconds[pending.is_due] = [*self._seconds[pending.is_due][-30:], seconds]

    def charge(self, session: Session) -> None:
        """Counts the difference as the cost of the logged runs, as soon as there is something to compare."""
        session.budget.set_up += self._set_up
        self._set_up = 0.0
        if min(map(len, self._seconds.values())) >= 3:
            extra = statistics.median(self._seconds[True]) - statistics.median(self._seconds[False])
            session.budget.charge_late(max(0.0, extra), self._uncharged)
            self._uncharged = 0


def _mode(index: GraphIndex, found: GraphTaps) -> Mode:
    """What the graph is for. An Estimator's `model_fn` may build its optimizer in evaluation too."""
    collection = index.graph.get_collection
    if collection(_KEYS.EVAL_STEP):
        return "evaluate"
    if found.triggers:
        return "train"
    return "evaluate" if collection(_KEYS.LOSSES) or collection(_KEYS.METRIC_VARIABLES) else "predict"


def _narrowed(index: GraphIndex, found: GraphTaps, select: Select) -> tuple[GraphTaps, tuple[GraphTap, ...]]:
    """What is selected of what was found, with the tensors that are selected by hand, and the taps of these alone.

    The layers are connected past those that are left out.
    """
    numbers: dict[int, int] = {}  # the new ones by the old ones
    for old, layer in enumerate(found.layers):
        if select.takes(layer.path, layer.class_name):
            numbers[old] = len(numbers)

    def nearest(old: int) -> set[int]:
        reads: set[int] = set()
        seen: set[int] = set()
        stack = list(found.layers[old].inputs)
        while stack:
            number = stack.pop()
            if number in numbers:
                reads.add(numbers[number])
            elif number not in seen:
                seen.add(number)
                stack += found.layers[number].inputs
        return reads

    layers = tuple(dataclasses.replace(found.layers[old], inputs=tuple(sorted(nearest(old)))) for old in numbers)
    taps = tuple(
        dataclasses.replace(tap, tensor=dataclasses.replace(tap.tensor, layer=numbers[tap.tensor.layer]))
        for tap in found.taps
        if tap.tensor.layer in numbers and tap.tensor.kind in select.kinds
    )
    by_hand, notes = select_tensors(index, select, layers)
    narrowed = dataclasses.replace(
        found,
        layers=layers + layers_of(by_hand, layers),
        taps=(*taps, *by_hand),
        notes=(*found.notes, *notes),
    )
    return narrowed, tuple(by_hand)


def _read(variable: Any) -> Any:
    """A read of a variable of either kind, made here and now."""
    return variable.read_value() if hasattr(variable, "read_value") else tf.identity(variable)
