"""The Keras callback: one line added to `model.fit`."""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.cluster import has_other_processes, logs_model
from tb_layerview.keras_batches import Choice, Deputy, Taken, number, steps_per_execution, taking
from tb_layerview.keras_last_batch import KeepingBatches, obstacle
from tb_layerview.keras_steps import StepCounter
from tb_layerview.keras_versions import CallbackOfEitherKeras, require_tensorflow
from tb_layerview.model import Kind, Mode
from tb_layerview.options import Check, Keep, Schedule, Select, as_schedule
from tb_layerview.recorder import Recording, check_options, floats
from tb_layerview.session import logger

_GIVE_A_PROBE = "Give the callback a batch that the model takes: probe=(x, y)"
# What there is to log where nothing is trained.
_INFERENCE_KINDS: tuple[Kind, ...] = ("activation", "weight")


class LayerViewCallback(CallbackOfEitherKeras, tf.keras.callbacks.Callback):
    """Logs a Keras model's layers while it trains.

    ```python
    model.fit(x, y, callbacks=[LayerViewCallback("logs/run1")])
    ```

    At each logged step the model is run forward and backward, in training mode, on a small fixed batch, the *probe*;
    the training's own function is left alone. Losses, weights and random states are bit for bit those of a training
    without the callback.

    Each validation within `fit` is logged too, at the training's step, into a run of its own: `<logdir>/evaluate`. So
    are `model.evaluate` and `model.predict` with this callback, one step each, the latter into `<logdir>/predict`.
    There the model is run in inference mode, on the first 32 examples of the first batch, or on all of it.

    Where several processes train one model, the chief alone logs; each may be given the callback.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        probe: Any = None,
        select: Select = Select(),
        schedule: Schedule | int = Schedule(),
        keep: Keep = Keep(),
        check: Check = Check(),
    ) -> None:
        """Makes the callback; nothing is opened yet.

        Args:
          logdir: The run's folder; the log goes into its folder `layers`.
          probe: The batch whose activations and gradients are logged in training: x, (x, y) or (x, y, sample_weight),
            arrays or nested structures of them as `fit` takes them. If not given, the first 32 examples of the first
            training batch, which the training gets all the same; where the model takes no part of a batch, all of it.
          select: Which layers and kinds to log.
          schedule: When to log while training: a `Schedule`, or N for every N steps.
          keep: How much to keep of each tensor.
          check: What to look for, and what to do about it.

        Raises:
          TypeError: An option is not of its type.
          ValueError: An option is out of its range.
        """
        self._model_ref: weakref.ref[Any] | None = None
        super().__init__()
        # Keras 2 else reads all logs on the host at each batch, and lets no callback near a ParameterServerStrategy.
        self._supports_tf_logs = True
        check_options(select, keep, check)
        self._logdir, self._probe_data = os.fspath(logdir), probe
        self._select, self._schedule, self._keep, self._check = select, as_schedule(schedule), keep, check
        self._training: Recording | None = None
        self._inference: _Inference | None = None  # the evaluation or prediction that is under way
        self._deputies: dict[str, Deputy] = {}
        self._logs = False
        self._counter = StepCounter()
        self._epoch = 0
        self._epoch_is_over = True
        self._metrics: dict[str, float] = {}  # of the epoch before

    # Keras itself would have the callback hold the model for ever.

    @property
    def model(self) -> Any:
        """The Keras model, as long as there is one."""
        return None if self._model_ref is None else self._model_ref()

    @model.setter
    def model(self, model: Any) -> None:
        self._model_ref = None if model is None else weakref.ref(model)

    def set_model(self, model: Any) -> None:
        """Is told which model is trained, evaluated or run; None: none any more.

        Raises:
          ValueError: It is a model of Keras 3 that TensorFlow does not compute.
        """
        self._dismiss()
        require_tensorflow(model)
        self.model = model
        self._logs = model is not None and logs_model(model)
        is_compiled = getattr(model, "compiled", getattr(model, "_is_compiled", False))
        if self._logs and is_compiled and self._inference_select() is not None:
            # Keras 2 asks for its function before it says that an evaluation begins.
            self._deputies["evaluate"] = Deputy(model, "test_function", self._first_call_of_inference)

    # Training.

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log; the first call of the training's function then brings the probe."""
        if self._training is not None:
            self._training.close()  # of a training that ended on an error
            self._training = None
        if not self._logs:
            return
        steps_per_call = steps_per_execution(self.model)
        select, notes = self._select, []
        if steps_per_call > 1 and "update" in select.kinds:
            if select.kinds == ("update",):
                raise ValueError(
                    f"Select(kinds=('update',)) leaves nothing to log: with steps_per_execution={steps_per_call} "
                    "the change over exactly one step cannot be had. Select other kinds, or compile with 1."
                )
            select = dataclasses.replace(select, kinds=tuple(kind for kind in select.kinds if kind != "update"))
            notes.append(
                f"steps_per_execution={steps_per_call}: the change over exactly one step cannot be had, updates "
                "are left out"
            )
        training = self._training = Recording(self.model, self._logdir, select, self._schedule, self._keep, self._check)
        self._counter.begin(self.model)
        self._metrics, self._epoch_is_over = {}, True
        training.session.begin(self._counter.step)

        def first_call(train_function: Any, iterator: Any) -> Any:
            given = None if self._probe_data is None else Choice.given(self._probe_data)
            prepared, take = training.session.before_step_0, None
            with prepared("the probe"):
                take = None if given is not None else taking(iterator, self.model)
            # Handed on before it is looked at: whatever fails from here on, the training has its batches.
            taken = None if take is None else take()
            iterator = iterator if taken is None else taken.iterator
            with prepared("what a replay needs"):
                self._keep_batches(train_function, training, notes)
            function: Any = self._deputies["train"].function
            # Only the training itself may create the weights: else they start from other random numbers.
            builds = not self.model.built
            if builds and not hasattr(train_function, "get_concrete_function"):
                logs = function(iterator)
                with prepared("the probe"):
                    self._set_up(training, given, taken, notes)
                return logs
            with prepared("the probe"):
                if builds:
                    traced = function if function is train_function else function.returning
                    traced.get_concrete_function(iterator)
                self._set_up(training, given, taken, notes)
            with prepared("the first step"):
                training.step(self._counter.step, self._rate, self._is_last_batch(0))
            return function(iterator)

        self._deputies["train"] = Deputy(self.model, "train_function", first_call, stays=True)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes which epoch it is."""
        self._epoch, self._epoch_is_over = epoch, False

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the step before, which is complete now."""
        self._counter.batch(batch)
        if self._training is not None:
            self._training.step(self._counter.step, lambda: self._scalars(batch), self._is_last_batch(batch))
            self._stop_if_asked(self._training)

    def _stop_if_asked(self, training: Recording) -> None:
        if not training.session.should_stop or self.model.stop_training:
            return
        if has_other_processes(self.model.distribute_strategy):
            training.session.report(
                "Check(stop_on=...)", "one of several processes cannot stop by itself. The training goes on"
            )
        else:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Counts the epoch's steps, and keeps its metrics for the step that ends it."""
        self._metrics = floats(logs or {})
        self._end_epoch()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the last step, closes the log and says what it holds."""
        training, self._training = self._training, None
        if training is None:
            return
        training.last_step(self._counter.step, lambda: {**self._rate(), **self._metrics})
        self._counter.end(self.model)
        self._dismiss()
        self._end_inference()
        print(training.close())

    def _keep_batches(self, train_function: Any, training: Recording, notes: list[str]) -> None:
        """Has the last batches kept for a replay where they can be had."""
        why_not = obstacle(self.model, train_function)
        if self._check.replay is not False and why_not is None:
            self._deputies["train"].function = KeepingBatches(self.model, train_function, training, self._counter)
        elif self._check.replay is not False:
            notes.append(f"a batch that breaks the training cannot be run again: {why_not}")

    def _set_up(self, training: Recording, given: Choice | None, taken: Taken | None, notes: Sequence[str]) -> None:
        """Traces the probe's pass.

        Raises:
          Refused: What was asked for cannot be had.
        """
        first = None if taken is None else taken.first()
        choice = given if first is None else Choice.of(first, "the first training batch", _GIVE_A_PROBE)
        if choice is not None:
            training.set_up(choice, given is not None, notes)
            training.keep_batches()

    def _scalars(self, batch: int) -> dict[str, float]:
        return {**self._rate(), **(self._metrics if batch == 0 else self._metrics_now())}

    def _metrics_now(self) -> dict[str, float]:
        if has_other_processes(self.model.distribute_strategy):
            # To add the metrics up would ask the other workers; the training's function has done so.
            returned = self._deputies["train"].returned
            return floats(returned) if isinstance(returned, Mapping) else {}
        return floats(self.model.get_metrics_result())

    def _rate(self) -> dict[str, float]:
        optimizer = getattr(self.model, "optimizer", None)
        rate = getattr(optimizer, "learning_rate", None)
        if optimizer is not None and callable(rate) and not hasattr(rate, "assign"):
            rate = rate(optimizer.iterations)
        return {} if rate is None else {"learning_rate": float(number(rate))}

    def _is_last_batch(self, batch: int) -> bool:
        params = self.params or {}
        return self._epoch + 1 == params.get("epochs") and batch + 1 == params.get("steps")

    def _end_epoch(self) -> None:
        """Counts the epoch's steps once: a validation comes before the epoch's end."""
        if not self._epoch_is_over:
            self._epoch_is_over = True
            self._counter.end_epoch(self.model, (self.params or {}).get("steps"))

    # Evaluation and prediction.

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log of the evaluation."""
        if self._training is None:
            self._begin_inference("evaluate")
            return
        self._end_epoch()
        if self._inference is None:
            with self._training.session.guard("the log of the validation"):
                self._begin_inference("evaluate")

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the evaluation, which had its first batch taken."""
        if self._training is not None:
            with self._training.session.guard("the validation"):
                self._log_inference(logs)
            return
        self._log_inference(logs)
        self._end_inference()
        self._dismiss()

    def on_predict_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log of the prediction."""
        self._dismiss()
        self._begin_inference("predict")
        if self._inference is not None:
            self._deputies["predict"] = Deputy(self.model, "predict_function", self._first_call_of_inference)

    def on_predict_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the prediction."""
        self._log_inference(None)
        self._end_inference()
        self._dismiss()

    def _inference_select(self) -> Select | None:
        """What to log where nothing is trained; None if nothing of it is selected."""
        kinds = tuple(kind for kind in self._select.kinds if kind in _INFERENCE_KINDS)
        return dataclasses.replace(self._select, kinds=kinds) if kinds else None

    def _begin_inference(self, mode: Mode) -> None:
        self._end_inference()
        if not self._logs:
            return
        select = self._inference_select()
        if select is None:
            if self._training is None:
                logger.warning(
                    "tb_layerview: nothing is logged: of the kinds %s there are none where nothing is trained.",
                    ", ".join(self._select.kinds),
                )
            return
        recording = Recording(
            self.model, os.path.join(self._logdir, mode), select, Schedule(every=1), self._keep, self._check, mode
        )
        self._inference = _Inference(recording)

    def _first_call_of_inference(self, function: Any, iterator: Any) -> Any:
        inference = self._inference
        if inference is not None and inference.taken is None:
            take = None
            with inference.recording.session.before_step_0("the first batch"):
                take = taking(iterator, self.model)
            taken = None if take is None else take()
            if taken is not None and taken.parts:
                iterator, inference.taken = taken.iterator, dataclasses.replace(taken, iterator=None)
        return function(iterator)

    def _log_inference(self, logs: Mapping[str, Any] | None) -> None:
        if self._inference is not None:
            with self._inference.recording.session.guard("the first batch"):
                if self._training is None:
                    self._counter.begin(self.model)
                self._inference.log(self._counter.step, floats(logs or {}))

    def _end_inference(self) -> None:
        inference, self._inference = self._inference, None
        if inference is not None:
            logger.info(inference.recording.close())

    def _dismiss(self) -> None:
        """Takes back from the model what was not called."""
        deputies, self._deputies = self._deputies, {}
        for deputy in deputies.values():
            deputy.dismiss()


class _Inference:
    """The log of evaluations or predictions: one fixed batch, a step for each.

    Attributes:
      recording: Where it goes.
      taken: Its first batch, once it was taken.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.taken: Taken | None = None

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs the batch at the training's step."""
        recording = self.recording
        if self.taken is None or not recording.session.is_open:
            return
        if not recording.is_ready:
            recording.session.begin(step)
            first = self.taken.first()
            if first is not None:
                recording.set_up(Choice.of(first, "the first batch"), is_fatal=False)
        recording.step(step, lambda: metrics)
