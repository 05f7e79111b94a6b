"""One training of a Keras model: what stands in for the function that trains, and what is logged around each call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tb_layerview.capture.choice import Choice
from tb_layerview.capture.given import Given, floats
from tb_layerview.capture.keras.backends import KerasBackend
from tb_layerview.capture.keras.slots import are_made
from tb_layerview.capture.keras.stand_in import StandIn
from tb_layerview.capture.keras.steps import Place, StepCounter
from tb_layerview.capture.keras.taken import Taken
from tb_layerview.capture.keras.versions import is_built, steps_per_execution
from tb_layerview.capture.recording import Recording

_GIVE_A_PROBE = "Give the callback a batch that the model takes: probe=(x, y)"


class Training:
    """Logs one training, from the first call of its function to the last.

    Attributes:
      recording: The log.
    """

    def __init__(
        self,
        model: Any,
        logdir: str,
        given: Given,
        backend: KerasBackend,
        probe: Any,
        counter: StepCounter,
        params: Mapping[str, Any],
    ) -> None:
        """Opens the log.

        Args:
          model: The Keras model.
          logdir: The run's folder.
          given: The options.
          backend: What computes the model.
          probe: The batch that is logged, as somebody gave it, or None.
          counter: Counts the steps of this training and of those before it.
          params: What Keras tells its callbacks of the training.

        Raises:
          ValueError: The folder cannot be written to, or nothing is left to log.
        """
        self._model, self._given, self._backend, self._probe_data = model, given, backend, probe
        self._notes: list[str] = []
        self.recording = Recording(model, logdir, self._without_updates(), backend)
        self._counter = counter
        counter.begin(model)
        self._place = Place(model, params)
        self._probe: Choice | Taken | None = None  # until it is set up
        self._returned: Any = None  # by the training's function
        self._metrics: dict[str, float] = {}  # of the epoch, once it is over
        self._deputy: StandIn | None = None
        self.recording.log.begin(counter.step)

    def _without_updates(self) -> Given:
        """What is logged, where the change over exactly one step cannot be had."""
        steps_per_call, kinds = steps_per_execution(self._model), self._given.select.kinds
        if steps_per_call == 1 or "update" not in kinds:
            return self._given
        if kinds == ("update",):
            raise ValueError(
                f"Select(kinds=('update',)) leaves nothing to log: with steps_per_execution={steps_per_call} "
                "the change over exactly one step cannot be had. Select other kinds, or compile with 1."
            )
        self._notes.append(
            f"steps_per_execution={steps_per_call}: the change over exactly one step cannot be had, updates "
            "are left out"
        )
        return self._given.without_kinds("update")

    def stand_in(self) -> None:
        """Takes the place of the function that trains."""
        self._deputy = StandIn(self._model, "train_function", self._train, self._backend.ends_of_data)

    def dismiss(self) -> None:
        """Takes back from the model what stands in for its function."""
        deputy, self._deputy = self._deputy, None
        if deputy is not None:
            deputy.dismiss()

    # What Keras tells.

    def begin_epoch(self, epoch: int) -> None:
        """Notes which epoch it is."""
        self._place.epoch(epoch)

    def begin_batch(self, batch: int) -> None:
        """Has the step before written, with the scalars that there are by now."""
        self._place.batch(batch)
        self._hand_over()
        self._stand_in_again()

    def end_epoch(self, logs: Mapping[str, Any] | None) -> None:
        """Keeps the epoch's metrics for the step that ended it."""
        self._metrics = floats(logs or {})
        self.hold()

    def hold(self) -> None:
        """Holds the weights after what may be the last step, though others may have changed them since."""
        self.recording.hold(self._counter.step, is_late=True)

    def end(self) -> None:
        """Logs the last step."""
        self._hand_over()
        self.hold()
        self.recording.last_step(self._counter.step, self._metrics_now)
        self._hand_over()
        self._counter.end(self._model)
        self._probe = self._returned = None
        self.dismiss()

    def say_what_is_unseen(self, is_known: bool = False) -> None:
        """Says that a loop of one's own cannot be logged, as soon as that is known."""
        if self._place.is_unseen(is_known):
            self.recording.log.report(
                "the training",
                "the model's train_function, which fit and train_on_batch call, is not called: nothing can be logged. "
                "In a loop of your own: LayerRecorder",
            )

    # The function that trains.

    def _train(self, function: Any, *arguments: Any) -> Any:
        """Is called in place of the training's function: a step is what the weights are right after it.

        Not at the hook after it: other callbacks may have changed them by then.
        """
        recording, place, model, backend = self.recording, self._place, self._model, self._backend
        *state, iterator = arguments
        place.call(model)
        with recording.log.guard("the weights before the step"):
            backend.called(model, arguments)
        if place.calls == 1:
            try:
                function, iterator = self._begin(function, iterator)
            except BaseException:
                backend.not_called(model)
                raise
        counter, batches = self._counter, None
        ends_epoch, is_last = place.ends_epoch, place.ends_training
        with recording.log.guard("the step before"):  # whatever fails, the step is made
            batches = place.batches(backend.gives_several(iterator))
            self._hand_over()
            recording.before(counter.step, counter.steps_next, is_last, place.is_beyond)
        try:
            returned = function(*state, iterator)
        except backend.ends_of_data:
            with recording.log.guard("the end of the data"):
                place.ended()
                counter.ended(model)
                recording.hold(counter.step, is_late=True)
            raise
        with recording.log.guard("the step"):
            self._returned = backend.returned(model, returned)
            place.returned()
            counter.returned(model, batches)
            self._metrics = {}
            if not recording.is_ready:
                self._set_up_late()
            recording.look(counter.step, at_once=is_last)
            is_last |= self._stop_if_asked()
            recording.take(counter.step, self._metrics_now, is_last)
            if ends_epoch:
                recording.hold(counter.step)
        return returned

    def _begin(self, function: Any, iterator: Any) -> tuple[Any, Any]:
        """Makes ready at the first call, and logs the state before it; returns what to call, and with what.

        Only here are the weights those that the training begins with: a callback behind this one may have restored
        them when the training began.
        """
        recording, model = self.recording, self._model
        prepared = recording.log.before_step_0
        with prepared("counting steps"):
            before = self._counter.step
            self._counter.begin(model)
            if self._counter.step != before:
                recording.log.begin(self._counter.step)
        given = None if self._probe_data is None else Choice.given(self._backend.given_batch(self._probe_data))
        take = None
        with prepared("the probe"):
            take = None if given is not None else self._backend.taking(iterator, model)
        # Handed on before it is looked at: whatever fails from here on, the training has its batches.
        taken = None if take is None else take()
        iterator = iterator if taken is None else taken.iterator
        self._probe = given if taken is None or not taken.parts else taken
        with prepared("what a replay needs"):
            self._keep_batches(function, self._notes)
        function = function if self._deputy is None else self._deputy.function
        with prepared("the probe"):
            if self._probe is not None and (self._backend.builds(model) or self._lacks_optimizer_state()):
                with recording.log.guard("tracing the function that trains"):
                    self._backend.build(function, iterator, taken)
            if is_built(model):
                self._set_up()
        with prepared("the first step"):
            recording.take(self._counter.step, self._rate)
            recording.hand_over()
        return function, iterator

    def _lacks_optimizer_state(self) -> bool:
        """Whether optimizers have not made yet what is to be logged of them: the function that trains makes it."""
        return "optimizer" in self._given.select.kinds and not are_made(self._model)

    def _set_up(self) -> None:
        """Traces the probe's pass.

        Raises:
          Refused: What was asked for cannot be had.
        """
        probe, self._probe = self._probe, None
        if isinstance(probe, Taken):
            first = self._backend.first_batch(probe)
            choice = None if first is None else Choice.of(first, "the first training batch", _GIVE_A_PROBE)
        else:
            choice = probe
        if choice is not None:
            self.recording.set_up(choice, self._probe_data is not None, self._notes)
            self.recording.keep_batches()

    def _set_up_late(self) -> None:
        """Of a model that its first step has built, and that could not be traced before."""
        if self._probe is None or not self.recording.log.is_open:
            return
        self._notes.append("the first step built the model: the state before it is not logged")
        with self.recording.log.before_step_0("the probe"):
            self._set_up()

    def _stand_in_again(self) -> None:
        """Takes the place of a function that was made anew, as after layers were unfrozen."""
        deputy = self._deputy
        if deputy is None or deputy.is_in_place or getattr(self._model, "train_function", None) is None:
            return
        deputy.dismiss()
        deputy = self._deputy = StandIn(self._model, "train_function", self._train, self._backend.ends_of_data)
        if self.recording.is_ready:
            self._keep_batches(deputy.function, [])

    def _keep_batches(self, train_function: Any, notes: list[str]) -> None:
        """Has the last batches kept for a replay where they can be had."""
        train_function = self._backend.without_ours(train_function)
        why_not = self._backend.why_no_last_batch(self._model, train_function)
        if self._given.check.replay is False:
            return
        if why_not is not None:
            notes.append(f"a batch that breaks the training cannot be run again: {why_not}")
        elif self._deputy is not None:
            keeping = self._backend.keeping_batches(self._model, train_function, self.recording, self._counter)
            self._deputy.function = keeping

    def _hand_over(self) -> None:
        """Has the step that was measured last written; one that ended an epoch, with the epoch's metrics."""
        self.recording.hand_over(lambda metrics: {**self._rate(), **(self._metrics or metrics)})

    def _stop_if_asked(self) -> bool:
        """Stops the training if it is to stop; whether it was stopped now."""
        log = self.recording.log
        if not log.should_stop or self._model.stop_training:
            return False
        if self._backend.has_other_processes(self._model):
            log.report("Check(stop_on=...)", "one of several processes cannot stop by itself. The training goes on")
            return False
        self._model.stop_training = True
        return True

    def _metrics_now(self) -> dict[str, float]:
        if self._metrics:
            return self._metrics  # of the epoch that is over: the model's own are perhaps those of a validation
        return floats(self._backend.metrics(self._model, self._returned))

    def _rate(self) -> dict[str, float]:
        optimizer = getattr(self._model, "optimizer", None)
        if optimizer is None:
            return {}
        with self._backend.counted(optimizer):
            rate = getattr(optimizer, "learning_rate", None)
            if callable(rate) and not hasattr(rate, "assign"):
                rate = rate(optimizer.iterations)
        return {} if rate is None else {"learning_rate": float(self._backend.number(rate))}
