"""The Keras callback: one line added to `model.fit`."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import Any

from tb_layerview.about import logger
from tb_layerview.capture.given import Given, floats
from tb_layerview.capture.keras.backends import KerasBackend, backend_of
from tb_layerview.capture.keras.evaluation import Evaluation, kinds_selected
from tb_layerview.capture.keras.stand_in import StandIn
from tb_layerview.capture.keras.steps import StepCounter
from tb_layerview.capture.keras.training import Training
from tb_layerview.capture.keras.versions import CallbackOfEitherKeras, callback_class
from tb_layerview.format.addresses import checked
from tb_layerview.format.model import Mode
from tb_layerview.health.check import Check
from tb_layerview.options import CopiedUnused, Keep, Schedule, Select


class LayerViewCallback(CopiedUnused, CallbackOfEitherKeras, callback_class()):  # type: ignore[misc]
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
          logdir: The run's folder, or its address: `s3://bucket/run`; the log goes into its folder `layers`.
          probe: The batch whose activations and gradients are logged in training: x, (x, y) or (x, y, sample_weight),
            arrays or nested structures of them as `fit` takes them. If not given, the first 32 examples of the first
            training batch, which the training gets all the same; where the model takes no part of a batch, all of it.
          select: Which layers and kinds to log.
          schedule: When to log while training: a `Schedule`, or N for every N steps.
          keep: How much to keep of each tensor.
          check: What to look for, and what to do about it.

        Raises:
          TypeError: An option is not of its type.
          ValueError: An option is out of its range, or nothing that is installed opens the folder.
        """
        self._model_ref: weakref.ref[Any] | None = None
        super().__init__()
        # Keras 2 else reads all logs on the host at each batch, and lets no callback near a ParameterServerStrategy.
        self._supports_tf_logs = True
        self._given = Given.of(select, schedule, keep, check)
        select.refuse_tensors()
        self._logdir, self._probe_data = checked(logdir), probe
        self._training: Training | None = None
        self._evaluation: Evaluation | None = None  # or the prediction that is under way
        self._deputies: dict[str, StandIn] = {}  # of the functions that evaluate and predict
        self._logs = False
        self._backend: KerasBackend | None = None  # until there is a model
        self._counter = StepCounter()

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
          ValueError: A framework computes the model that is not known.
        """
        if self._training is None or model is not self.model:  # else it is an evaluation within the training
            self._dismiss()
        if model is not None and (self._backend is None or model is not self.model):
            self._backend = backend_of(model)
            self._counter.number = self._backend.number
        self.model = model
        self._logs = model is not None and self._backend is not None and self._backend.logs(model)
        self._stand_in_for_evaluation()

    def _stand_in_for_evaluation(self) -> None:
        """Keras 2 asks for its function before it says that an evaluation begins."""
        model = self.model
        is_compiled = getattr(model, "compiled", getattr(model, "_is_compiled", False))
        if self._logs and is_compiled and kinds_selected(self._given) and "evaluate" not in self._deputies:
            self._deputies["evaluate"] = self._stand_in("test_function")

    def _stand_in(self, name: str) -> StandIn:
        backend = self._backend
        assert backend is not None  # as there is a model
        return StandIn(self.model, name, self._infer, backend.ends_of_data)

    # Training.

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log; the first call of the training's function then brings the probe."""
        training, self._training = self._training, None
        if training is not None:  # one that ended on an error
            training.recording.close()
            training.dismiss()
        backend = self._backend
        if not self._logs or backend is None:
            return
        params = getattr(self, "params", None) or {}
        training = Training(self.model, self._logdir, self._given, backend, self._probe_data, self._counter, params)
        self._training = training
        self._stand_in_for_evaluation()
        training.stand_in()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes which epoch it is."""
        training = self._under_way()
        if training is not None:
            training.begin_epoch(epoch)
            training.say_what_is_unseen()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Has the step before written, with the scalars that there are by now."""
        training = self._under_way()
        if training is not None:
            training.begin_batch(batch)
            training.say_what_is_unseen()

    def _under_way(self) -> Training | None:
        """The training; it begins, if nobody has told."""
        if self._logs and self._training is None:
            self.on_train_begin()
        return self._training

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keeps the epoch's metrics for the step that ended it."""
        if self._training is not None:
            self._training.end_epoch(logs)
            self._training.say_what_is_unseen(is_known=True)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the last step, closes the log and says what it holds."""
        training, self._training = self._training, None
        if training is None:
            return
        training.say_what_is_unseen(is_known=True)
        training.end()
        self._dismiss()
        self._end_inference()
        self._tell(training.recording.close())

    def _tell(self, message: str) -> None:
        """Prints it, unless `fit` was asked to be silent."""
        # Keras 2 has no such attribute where nobody sets it, as in a loop of the user's own.
        if (getattr(self, "params", None) or {}).get("verbose") == 0:
            logger.info("%s", message)
        else:
            print(message)

    # Evaluation and prediction.

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log of the evaluation."""
        if self._training is None:
            self._begin_inference("evaluate")
            return
        self._training.hold()
        if self._evaluation is None:
            with self._training.recording.log.guard("the log of the validation"):
                self._begin_inference("evaluate")
        if self._evaluation is not None:
            self._evaluation.is_awaited = True

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
            with self._training.recording.log.guard("the log of the prediction"):
                self._begin_inference("predict")
        if self._evaluation is not None:
            self._deputies["predict"] = self._stand_in("predict_function")

    def on_predict_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Has the prediction written."""
        self._hand_over_inference(None)
        self._end_inference()
        self._dismiss(*(() if self._training is None else ("predict",)))

    def _begin_inference(self, mode: Mode) -> None:
        self._end_inference()
        if not self._logs or self._backend is None:
            return
        if kinds_selected(self._given):
            self._evaluation = Evaluation(self.model, self._logdir, self._given, self._backend, mode)
        elif self._training is None:
            logger.warning(
                "tb_layerview: nothing is logged: of the kinds %s there are none where nothing is trained.",
                ", ".join(self._given.select.kinds),
            )

    def _infer(self, function: Any, *arguments: Any) -> Any:
        """Is called in place of the function that evaluates or predicts: with the weights that it is called with."""
        evaluation, training, backend = self._evaluation, self._training, self._backend
        if evaluation is None or backend is None or not evaluation.is_awaited:
            return function(*arguments)
        evaluation.is_awaited = False
        *state, iterator = arguments
        log = evaluation.recording.log if training is None else training.recording.log
        with log.guard("the weights"):
            backend.called(self.model, arguments)
        try:
            iterator = evaluation.take(iterator, self.model)
        except BaseException:  # of the data, or an interrupt
            backend.not_called(self.model)
            raise
        returned = function(*state, iterator)  # which may build the model
        with log.guard("the first batch" if training is None else "the validation"):
            backend.returned(self.model, returned)
            if training is None:
                self._counter.begin(self.model)
            evaluation.measure(self._counter.step)
        return returned

    def _hand_over_inference(self, logs: Mapping[str, Any] | None) -> None:
        if self._evaluation is not None:
            recording = self._evaluation.recording
            with recording.log.guard("a step"):
                recording.hand_over(lambda _: floats(logs or {}))

    def _end_inference(self) -> None:
        evaluation, self._evaluation = self._evaluation, None
        if evaluation is not None:
            logger.info(evaluation.recording.close())

    def _dismiss(self, *names: str) -> None:
        """Takes back from the model what stands in for its functions: of all of them, if none is named."""
        if not names and self._training is not None:
            self._training.dismiss()
        for name in names or tuple(self._deputies):
            deputy = self._deputies.pop(name, None)
            if deputy is not None:
                deputy.dismiss()
