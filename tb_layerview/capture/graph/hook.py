"""Logs the layers of a TensorFlow 1 graph: Estimators and monitored sessions."""

from __future__ import annotations

import os
import time
import weakref
from typing import Any

import tensorflow as tf

from tb_layerview.about import logger
from tb_layerview.capture.cluster import logs_graph
from tb_layerview.capture.given import Given
from tb_layerview.capture.graph.folders import folder_for
from tb_layerview.capture.graph.recording import GraphRecording
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.search import find_layers
from tb_layerview.capture.graph.search.select import narrow
from tb_layerview.capture.graph.search.taps import GraphTaps
from tb_layerview.format.addresses import checked
from tb_layerview.format.model import Mode
from tb_layerview.health.check import Check
from tb_layerview.options import CopiedUnused, Keep, Schedule, Select
from tb_layerview.writing.guard import in_this_process
from tb_layerview.writing.training_log import TrainingLog

_KEYS = tf.compat.v1.GraphKeys


class LayerViewHook(CopiedUnused, tf.compat.v1.train.SessionRunHook):
    """Logs the layers of a TensorFlow 1 graph while an Estimator or a monitored session runs.

    ```python
    hook = lv.LayerViewHook(estimator.model_dir)
    estimator.train(input_fn, hooks=[hook])
    estimator.evaluate(input_fn, hooks=[hook])  # logged below it, in `evaluate`
    with tf.compat.v1.train.MonitoredTrainingSession(hooks=[lv.LayerViewHook("logs/run1")]) as session: ...
    ```

    The layers are searched in the finished graph: the `model_fn` stays as it is. While training, activations and
    gradients are those of the batch that was trained on; weights are those after the step, updates what that one step
    has changed in them, and the step is the global step after it, as in the Estimator's own summaries. Runs that do not
    train are left alone. In evaluation and prediction the first batch is logged at once, and the statistics and scalars
    of the next nine are merged with its own; values stay those of the first. They are logged into runs of their own,
    `<logdir>/evaluate` and `<logdir>/predict`, where `logdir` is a training's: this hook has logged one, or there is a
    log or a checkpoint of one. Any other folder, such as `estimator.eval_dir()`, holds them itself.

    A training's runs are looked at one by one: where the loss or the weights become not finite, the activations and
    gradients of that very step are logged into the run `<logdir>/replay`, whatever the schedule says, and the finding
    names the layer.

    Of a cluster's processes the chief alone logs, and the evaluator. Each may be given the hook.

    List it before hooks that may raise an error to stop the training: what comes after them does not see that step.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        select: Select = Select(),
        schedule: Schedule | int = Schedule(),
        keep: Keep = Keep(),
        check: Check = Check(),
    ) -> None:
        """Takes the options; the graph is searched, and the log opened, when a session begins.

        Args:
          logdir: The run's folder, such as `estimator.model_dir`, or its address in a store. If nothing that is
            installed opens it, a warning says so and nothing is logged.
          select: Which layers and kinds to log, and which other tensors. Updates take a copy of the trained weights, on
            their devices, while a step is logged.
          schedule: When to log while training, or a number: every so many steps. Evaluation and prediction are always
            logged, unless the schedule gives steps.
          keep: How much to keep of each tensor.
          check: What to look for, and what to do about it. In a cluster the chief alone stops.

        Raises:
          TypeError: An option is not of its type.
          ValueError: The schedule's interval is not at least 1.
        """
        self._given = Given.of(select, schedule, keep, check)
        self._logdir = os.fspath(logdir)
        self._has_trained = False
        self._recording: GraphRecording | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def _options(self) -> dict[str, Any]:
        return {"logdir": self._logdir, **self._given.as_arguments()}

    def begin(self) -> None:
        """Searches the graph, opens the log and adds the digests to the graph.

        Raises:
          ValueError: A pattern matches no layer, a selected tensor is not there, or the folder cannot be written to.
        """
        self._close()
        try:
            folder = checked(self._logdir)
        except ValueError as error:  # an Estimator's own `model_dir` may be anywhere
            logger.warning("tb_layerview: %s Nothing is logged; the training goes on.", error)
            return
        began = time.perf_counter()
        select, schedule, keep = self._given.select, self._given.schedule, self._given.keep
        graph = tf.compat.v1.get_default_graph()
        if not logs_graph(graph):
            return
        index = GraphIndex(graph)
        found = find_layers(index)
        if not found.layers and not select.names_tensors:
            logger.warning("tb_layerview: the graph has no layers with variables; nothing is logged.")
            return
        if found.layers:
            select.check([(layer.path, layer.class_name) for layer in found.layers])
        found, selected = narrow(index, found, select)
        mode = _mode(index, found)
        folder = folder_for(folder, mode, self._has_trained)
        self._has_trained = self._has_trained or mode == "train"
        log = TrainingLog(folder, schedule, keep, mode, self._given.check)
        # A process that ends on an error does not call `end`: what is still in the queue is written all the same.
        self._finalizer = weakref.finalize(self, in_this_process(log.close))
        log.budget.set_up += time.perf_counter() - began
        self._recording = GraphRecording(index, found, selected, schedule, keep, log)

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Reads the step from which the training continues."""
        del coord
        if self._recording:
            self._recording.start(session)

    def before_run(self, run_context: Any) -> Any:
        """Asks for digests if the run is one to log."""
        if not self._recording:
            return None
        return self._recording.before_run(run_context.session, run_context.original_args)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Logs what was fetched."""
        if self._recording:
            self._recording.after_run(run_context.session, run_values.results)
            if self._recording.act_on_findings():
                run_context.request_stop()

    def end(self, session: Any) -> None:
        """Closes the log and says what was logged."""
        del session
        self._close()

    def _close(self) -> None:
        recording, self._recording = self._recording, None
        if recording:
            if self._finalizer:
                self._finalizer.detach()
            recording.close()


def _mode(index: GraphIndex, found: GraphTaps) -> Mode:
    """What the graph is for. An Estimator's `model_fn` may build its optimizer for an evaluation, too."""
    collection = index.graph.get_collection
    if collection(_KEYS.EVAL_STEP):
        return "evaluate"
    if found.triggers:
        return "train"
    return "evaluate" if collection(_KEYS.LOSSES) or collection(_KEYS.METRIC_VARIABLES) else "predict"
