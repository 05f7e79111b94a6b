"""The Keras callback: one line added to `model.fit`."""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview.about import logger
from tb_layerview.capture.choice import Choice
from tb_layerview.capture.cluster import has_other_processes, logs_model
from tb_layerview.capture.given import Given, floats
from tb_layerview.capture.keras.backends import backend_of
from tb_layerview.capture.keras.recording import Recording
from tb_layerview.capture.keras.steps import Place, StepCounter
from tb_layerview.capture.keras.tf.batch import given_batch
from tb_layerview.capture.keras.tf.first_batch import Taken, taking
from tb_layerview.capture.keras.tf.last_batch import KeepingBatches, build, kerass, why_no_last_batch
from tb_layerview.capture.keras.tf.stand_in import StandIn
from tb_layerview.capture.keras.tf.train_step import is_own
from tb_layerview.capture.keras.versions import (
    CallbackOfEitherKeras,
    is_built,
    number,
    require_tensorflow,
    steps_per_execution,
)
from tb_layerview.format.model import Kind, Mode
from tb_layerview.format.storage import local_folder
from tb_layerview.health.check import Check
from tb_layerview.options import CopiedUnused, Keep, Schedule, Select

_GIVE_A_PROBE = "Give the callback a batch that the model takes: probe=(x, y)"
# What there is to log where nothing is trained.
_INFERENCE_KINDS: tuple[Kind, ...] = ("activation", "weight")


class LayerViewCallback(CopiedUnused, CallbackOfEitherKeras, tf.keras.callbacks.Callback):
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

    A step is what the model is right after it, before other callbacks change anything. In a loop of one's own with a
    `keras.callbacks.CallbackList`, steps are logged that `train_on_batch` takes; those of a `GradientTape` are for
    `LayerRecorder`.

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
          ValueError: An option is out of its range, or the folder is not on this machine.
        """
        self._model_ref: weakref.ref[Any] | None = None
        super().__init__()
        # Keras 2 else reads all logs on the host at each batch, and lets no callback near a ParameterServerStrategy.
        self._supports_tf_logs = True
        self._given = Given.of(select, schedule, keep, check)
        select.refuse_tensors()
        self._logdir, self._probe_data = local_folder(logdir), probe
        self._training: Recording | None = None
        self._inference: _Inference | None = None  # the evaluation or prediction that is under way
        self._deputies: dict[str, StandIn] = {}
        self._logs = False
        self._counter = StepCounter()
        self._place: Place | None = None
        self._notes: list[str] = []
        self._probe: Choice | Taken | None = None  # until it is set up
        self._returned: Any = None  # by the training's function
        self._metrics: dict[str, float] = {}  # of the epoch, once it is over

    def _options(self) -> dict[str, Any]:
        return {"logdir": self._logdir, "probe": self._probe_data, **self._given.as_arguments()}

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
        if self._training is None or model is not self.model:  # else it is an evaluation within the training
            self._dismiss()
        require_tensorflow(model)
        self.model = model
        self._logs = model is not None and logs_model(model)
        self._stand_in_for_evaluation()

    def _stand_in_for_evaluation(self) -> None:
        """Keras 2 asks for its function before it says that an evaluation begins."""
        model = self.model
        is_compiled = getattr(model, "compiled", getattr(model, "_is_compiled", False))
        if self._logs and is_compiled and self._inference_kinds and "evaluate" not in self._deputies:
            self._deputies["evaluate"] = StandIn(model, "test_function", self._infer)

    # Training.

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log; the first call of the training's function then brings the probe."""
        if self._training is not None:
            self._training.close()  # of a training that ended on an error
            self._training = None
        if not self._logs:
            return
        steps_per_call = steps_per_execution(self.model)
        given, notes = self._given, []
        kinds = given.select.kinds
        if steps_per_call > 1 and "update" in kinds:
            if kinds == ("update",):
                raise ValueError(
                    f"Select(kinds=('update',)) leaves nothing to log: with steps_per_execution={steps_per_call} "
                    "the change over exactly one step cannot be had. Select other kinds, or compile with 1."
                )
            given = given.with_kinds(*(kind for kind in kinds if kind != "update"))
            notes.append(
                f"steps_per_execution={steps_per_call}: the change over exactly one step cannot be had, updates "
                "are left out"
            )
        training = self._training = Recording(self.model, self._logdir, given, backend_of(self.model))
        self._notes = notes
        self._counter.begin(self.model)
        self._place = Place(self.model, getattr(self, "params", None) or {})
        self._metrics, self._returned = {}, None
        training.log.begin(self._counter.step)
        self._stand_in_for_evaluation()
        self._dismiss("train")  # of a training that ended on an error
        self._deputies["train"] = StandIn(self.model, "train_function", self._train)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes which epoch it is."""
        self._begin_if_untold()
        if self._place is not None:
            self._place.epoch(epoch)
        self._say_what_is_unseen()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Has the step before written, with the scalars that there are by now."""
        self._begin_if_untold()
        if self._place is not None:
            self._place.batch(batch)
        if self._training is not None:
            self._hand_over(self._training)
            self._stand_in_again(self._training)
        self._say_what_is_unseen()

    def _begin_if_untold(self) -> None:
        if self._logs and self._training is None:
            self.on_train_begin()

    def _train(self, function: Any, iterator: Any) -> Any:
        """Is called in place of the training's function: a step is what the weights are right after it.

        Not at the hook after it: other callbacks may have changed them by then.
        """
        training, place, model = self._training, self._place, self.model
        if training is None or place is None:
            return function(iterator)
        place.call(model)
        if place.calls == 1:
            function, iterator = self._begin(function, iterator, training)
        counter, batches = self._counter, None
        ends_epoch, is_last = place.ends_epoch, place.ends_training
        with training.log.guard("the step before"):  # whatever fails, the step is made
            batches = place.batches(iterator)
            self._hand_over(training)
            training.before(counter.step, counter.steps_next, is_last, place.is_beyond)
        try:
            self._returned = returned = function(iterator)
        except (StopIteration, tf.errors.OutOfRangeError):
            with training.log.guard("the end of the data"):
                place.ended()
                counter.ended(model)
                training.hold(counter.step, is_late=True)
            raise
        with training.log.guard("the step"):
            place.returned()
            counter.returned(model, batches)
            self._metrics = {}
            if not training.is_ready:
                self._set_up_late(training)
            training.look(counter.step, at_once=is_last)
            is_last |= self._stop_if_asked(training)
            training.take(counter.step, self._metrics_now, is_last)
            if ends_epoch:
                training.hold(counter.step)
        return returned

    def _begin(self, function: Any, iterator: Any, training: Recording) -> tuple[Any, Any]:
        """Makes ready at the first call, and logs the state before it; returns what to call, and with what.

        Only here are the weights those that the training begins with: a callback behind this one may have restored
        them when the training began.
        """
        model, prepared = self.model, training.log.before_step_0
        with prepared("counting steps"):
            before = self._counter.step
            self._counter.begin(model)
            if self._counter.step != before:
                training.log.begin(self._counter.step)
        given = None if self._probe_data is None else Choice.given(given_batch(self._probe_data))
        take = None
        with prepared("the probe"):
            take = None if given is not None else taking(iterator, model)
        # Handed on before it is looked at: whatever fails from here on, the training has its batches.
        taken = None if take is None else take()
        iterator = iterator if taken is None else taken.iterator
        self._probe = given if taken is None or not taken.parts else taken
        with prepared("what a replay needs"):
            self._keep_batches(function, training, self._notes)
        function = self._deputies["train"].function
        with prepared("the probe"):
            # Only the training itself may create the weights: else they start from other random numbers. And what the
            # optimizers and metrics of a `train_step` create, the training creates; the probe's pass then uses that.
            is_alone = model.distribute_strategy.num_replicas_in_sync == 1
            if self._probe is not None and (not is_built(model) or (is_own(model) and is_alone)):
                with training.log.guard("tracing the function that trains"):
                    build(function, iterator, () if taken is None else taken.parts)
            if is_built(model):
                self._set_up(training)
        with prepared("the first step"):
            training.take(self._counter.step, self._rate)
            training.hand_over()
        return function, iterator

    def _set_up(self, training: Recording) -> None:
        """Traces the probe's pass.

        Raises:
          Refused: What was asked for cannot be had.
        """
        probe, self._probe = self._probe, None
        if isinstance(probe, Taken):
            first = probe.first()
            choice = None if first is None else Choice.of(first, "the first training batch", _GIVE_A_PROBE)
        else:
            choice = probe
        if choice is not None:
            training.set_up(choice, self._probe_data is not None, self._notes)
            training.keep_batches()

    def _set_up_late(self, training: Recording) -> None:
        """Of a model that its first step has built, and that could not be traced before."""
        if self._probe is None or not training.log.is_open:
            return
        self._notes.append("the first step built the model: the state before it is not logged")
        with training.log.before_step_0("the probe"):
            self._set_up(training)

    def _stand_in_again(self, training: Recording) -> None:
        """Takes the place of a function that was made anew, as after layers were unfrozen."""
        deputy = self._deputies.get("train")
        if deputy is None or deputy.is_in_place or getattr(self.model, "train_function", None) is None:
            return
        deputy.dismiss()
        deputy = self._deputies["train"] = StandIn(self.model, "train_function", self._train)
        if training.is_ready:
            self._keep_batches(deputy.function, training, [])

    def _hand_over(self, training: Recording) -> None:
        """Has the step that was measured last written; one that ended an epoch, with the epoch's metrics."""
        training.hand_over(lambda metrics: {**self._rate(), **(self._metrics or metrics)})

    def _stop_if_asked(self, training: Recording) -> bool:
        """Stops the training if it is to stop; whether it was stopped now."""
        if not training.log.should_stop or self.model.stop_training:
            return False
        if has_other_processes(self.model.distribute_strategy):
            training.log.report(
                "Check(stop_on=...)", "one of several processes cannot stop by itself. The training goes on"
            )
            return False
        self.model.stop_training = True
        return True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keeps the epoch's metrics for the step that ended it."""
        self._metrics = floats(logs or {})
        if self._training is not None:
            self._training.hold(self._counter.step, is_late=True)
        self._say_what_is_unseen(is_known=True)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the last step, closes the log and says what it holds."""
        self._say_what_is_unseen(is_known=True)
        training, self._training = self._training, None
        if training is None:
            return
        self._hand_over(training)
        training.hold(self._counter.step, is_late=True)
        training.last_step(self._counter.step, self._metrics_now)
        self._hand_over(training)
        self._counter.end(self.model)
        self._place = self._probe = self._returned = None
        self._dismiss()
        self._end_inference()
        self._tell(training.close())

    def _tell(self, message: str) -> None:
        """Prints it, unless `fit` was asked to be silent."""
        # Keras 2 has no such attribute where nobody sets it, as in a loop of the user's own.
        if (getattr(self, "params", None) or {}).get("verbose") == 0:
            logger.info("%s", message)
        else:
            print(message)

    def _say_what_is_unseen(self, is_known: bool = False) -> None:
        """Says that a loop of one's own cannot be logged, as soon as that is known."""
        if self._training is not None and self._place is not None and self._place.is_unseen(is_known):
            self._training.log.report(
                "the training",
                "the model's train_function, which fit and train_on_batch call, is not called: nothing can be logged. "
                "In a loop of your own: LayerRecorder",
            )

    def _keep_batches(self, train_function: Any, training: Recording, notes: list[str]) -> None:
        """Has the last batches kept for a replay where they can be had."""
        train_function = kerass(train_function)
        why_not = why_no_last_batch(self.model, train_function)
        wants_replay = self._given.check.replay is not False
        if wants_replay and why_not is None:
            self._deputies["train"].function = KeepingBatches(self.model, train_function, training, self._counter)
        elif wants_replay:
            notes.append(f"a batch that breaks the training cannot be run again: {why_not}")

    def _metrics_now(self) -> dict[str, float]:
        if self._metrics:
            return self._metrics  # of the epoch that is over: the model's own are perhaps those of a validation
        if has_other_processes(self.model.distribute_strategy):
            # To add the metrics up would ask the other workers; the training's function has done so.
            return floats(self._returned) if isinstance(self._returned, Mapping) else {}
        return floats(self.model.get_metrics_result())

    def _rate(self) -> dict[str, float]:
        optimizer = getattr(self.model, "optimizer", None)
        rate = getattr(optimizer, "learning_rate", None)
        if optimizer is not None and callable(rate) and not hasattr(rate, "assign"):
            rate = rate(optimizer.iterations)
        return {} if rate is None else {"learning_rate": float(number(rate))}

    # Evaluation and prediction.

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log of the evaluation."""
        if self._training is None:
            self._begin_inference("evaluate")
            return
        self._training.hold(self._counter.step, is_late=True)
        if self._inference is None:
            with self._training.log.guard("the log of the validation"):
                self._begin_inference("evaluate")
        if self._inference is not None:
            self._inference.is_awaited = True

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Has the evaluation written, with its metrics."""
        self._hand_over_inference(logs)
        if self._training is None:
            self._end_inference()
            self._dismiss()

    def on_predict_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log of the prediction."""
        if self._training is None:
            self._dismiss()
            self._begin_inference("predict")
        else:
            with self._training.log.guard("the log of the prediction"):
                self._begin_inference("predict")
        if self._inference is not None:
            self._deputies["predict"] = StandIn(self.model, "predict_function", self._infer)

    def on_predict_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Has the prediction written."""
        self._hand_over_inference(None)
        self._end_inference()
        self._dismiss(*(() if self._training is None else ("predict",)))

    @property
    def _inference_kinds(self) -> tuple[Kind, ...]:
        """What is selected of what there is to log where nothing is trained."""
        return tuple(kind for kind in self._given.select.kinds if kind in _INFERENCE_KINDS)

    def _begin_inference(self, mode: Mode) -> None:
        self._end_inference()
        if not self._logs:
            return
        if not self._inference_kinds:
            if self._training is None:
                logger.warning(
                    "tb_layerview: nothing is logged: of the kinds %s there are none where nothing is trained.",
                    ", ".join(self._given.select.kinds),
                )
            return
        given = dataclasses.replace(self._given.with_kinds(*self._inference_kinds), schedule=Schedule(every=1))
        folder = os.path.join(self._logdir, mode)
        self._inference = _Inference(Recording(self.model, folder, given, backend_of(self.model), mode))

    def _infer(self, function: Any, iterator: Any) -> Any:
        """Is called in place of the function that evaluates or predicts: with the weights that it is called with."""
        inference, training = self._inference, self._training
        if inference is None or not inference.is_awaited:
            return function(iterator)
        inference.is_awaited = False
        iterator = inference.take(iterator, self.model)
        returned = function(iterator)  # which may build the model
        log = inference.recording.log if training is None else training.log
        with log.guard("the first batch" if training is None else "the validation"):
            if training is None:
                self._counter.begin(self.model)
            inference.measure(self._counter.step)
        return returned

    def _hand_over_inference(self, logs: Mapping[str, Any] | None) -> None:
        if self._inference is not None:
            recording = self._inference.recording
            with recording.log.guard("a step"):
                recording.hand_over(lambda _: floats(logs or {}))

    def _end_inference(self) -> None:
        inference, self._inference = self._inference, None
        if inference is not None:
            logger.info(inference.recording.close())

    def _dismiss(self, *names: str) -> None:
        """Takes back from the model what stands in for its functions: of all of them, if none is named."""
        for name in names or tuple(self._deputies):
            deputy = self._deputies.pop(name, None)
            if deputy is not None:
                deputy.dismiss()


class _Inference:
    """The log of evaluations or predictions: one fixed batch, a step for each.

    Attributes:
      recording: Where it goes.
      is_awaited: Whether the next batch is the first one of an evaluation or a prediction.
      taken: Its first batch, once it was taken.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording, self.is_awaited = recording, True
        self.taken: Taken | None = None

    def take(self, iterator: Any, model: Any) -> Any:
        """Takes the first batch if there is none yet, and returns what Keras goes on with."""
        if self.taken is not None:
            return iterator
        take = None
        with self.recording.log.before_step_0("the first batch"):
            take = taking(iterator, model)
        taken = None if take is None else take()
        if taken is not None and taken.parts:
            iterator, self.taken = taken.iterator, dataclasses.replace(taken, iterator=None)
        return iterator

    def measure(self, step: int) -> None:
        """Runs the batch at the training's step."""
        recording = self.recording
        if self.taken is None or not recording.log.is_open:
            return
        if not recording.is_ready:
            recording.log.begin(step)
            first = self.taken.first()
            self.taken = Taken(None, ())  # its probe is all that is needed
            if first is not None:
                recording.set_up(Choice.of(first, "the first batch"), is_fatal=False)
        recording.look(step)
        recording.take(step, dict)
