"""The Keras callback: one line added to `model.fit`."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import keras_replicas
from tb_layerview.keras_probe import Batch, ProbePass
from tb_layerview.options import Keep, Schedule, Select, as_schedule
from tb_layerview.session import Session, in_words

_PROBE_EXAMPLES = 32


class LayerViewCallback(tf.keras.callbacks.Callback):
    """Logs a Keras model's layers while it trains.

    ```python
    model.fit(x, y, callbacks=[LayerViewCallback("logs/run1")])
    ```

    At each logged step the model is run forward and backward, in training mode, on a small fixed batch, the *probe*;
    the training's own function is left alone. Losses, weights and random states are bit for bit those of a training
    without the callback.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        probe: Any = None,
        select: Select = Select(),
        schedule: Schedule | int = Schedule(),
        keep: Keep = Keep(),
    ) -> None:
        """Makes the callback; nothing is opened yet.

        Args:
          logdir: The run's folder; the log goes into its folder `layers`.
          probe: The batch whose activations and gradients are logged: x, (x, y) or (x, y, sample_weight), arrays or
            nested structures of them as `fit` takes them. If not given, the first 32 examples of the first training
            batch, which the training gets all the same.
          select: Which layers and kinds to log.
          schedule: When to log: a `Schedule`, or N for every N steps.
          keep: How much to keep of each tensor.

        Raises:
          TypeError: An option is not of its type.
          ValueError: An option is out of its range.
        """
        super().__init__()
        for name, value, kind in (("select", select, Select), ("keep", keep, Keep)):
            if not isinstance(value, kind):
                raise TypeError(f"{name} must be a {kind.__name__}(...), not {value!r}")
        select.refuse_tensors()
        self._logdir, self._probe_data = os.fspath(logdir), probe
        self._select, self._schedule, self._keep = select, as_schedule(schedule), keep
        self._session: Session | None = None
        self._probe: ProbePass | None = None
        self._step = 0  # training steps that are complete
        self._epoch_base = 0  # what it was when the epoch began
        self._begun = -1  # the batch of this epoch that was begun last
        self._iterations_before: int | None = None  # the optimizer's count when the epoch began
        self._found_length: int | None = None  # steps of the epoch before
        self._epoch_logs: dict[str, float] = {}

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Opens the log; the first call of the training's function then brings the probe."""
        self._session = Session(self._logdir, self._schedule, self._keep)
        atexit.register(self._session.close)
        self._probe = None
        self._step = self._epoch_base = max(self._step, self._iterations() or 0)
        self._begun, self._iterations_before, self._found_length = -1, self._iterations(), None
        self._epoch_logs = {}
        self._session.begin(self._step)
        train_function = self.model.train_function

        def first_call(iterator: Any) -> Any:
            self.model.train_function = train_function
            iterator, batch, source = self._probe_batch(iterator)
            if not self.model.built:
                # Only the training itself may create the weights: else they start from other random numbers.
                if not hasattr(train_function, "get_concrete_function"):
                    logs = train_function(iterator)
                    self._set_up(batch, source)
                    return logs
                train_function.get_concrete_function(iterator)
            self._set_up(batch, source)
            self._log_first()
            return train_function(iterator)

        self.model.train_function = first_call

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the step before, which is complete now."""
        self._step, self._begun = self._epoch_base + batch, batch
        if self._probe is not None and self._session is not None and self._session.due(self._step):
            metrics = self._epoch_logs if batch == 0 else None
            self._log(metrics)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Counts the epoch's steps, and keeps its metrics for the step that ends it."""
        self._epoch_logs = _floats(logs or {})
        self._step = self._epoch_base = self._epoch_base + self._steps_of_epoch()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the last step, closes the log and says what it holds."""
        session = self._session
        if session is None:
            return
        if self._probe is not None and session.is_open and not session.is_last(self._step):
            self._log(self._epoch_logs, with_values=True)
        print(session.close())
        atexit.unregister(session.close)
        self._session = self._probe = None

    def _probe_batch(self, iterator: Any) -> tuple[Any, Batch | None, str]:
        """The iterator to train on, the probe, and where it came from."""
        assert self._session is not None
        if self._probe_data is not None:
            batch = self._given_batch()
            return iterator, batch, f"given: {batch.examples} examples"
        iterator, first = self._first_batch(iterator, self._session)
        return iterator, first, f"the first {first.examples if first else 0} examples of the first training batch"

    def _set_up(self, batch: Batch | None, source: str) -> None:
        """Traces the probe's pass and says what is logged."""
        session = self._session
        assert session is not None
        if batch is None:
            return
        traced: list[ProbePass] = []
        try:
            with session.set_up("the probe", is_fatal=self._probe_data is not None):
                traced.append(ProbePass(self.model, batch, source, self._select, self._keep))
        except Exception as error:
            session.close()
            raise ValueError(
                f"the model cannot be run on the given probe, whose inputs are {_shapes(batch.x)}: {in_words(error)}. "
                "Give a probe as `fit` takes its batches."
            ) from error
        if not traced:
            return
        (probe,) = traced
        try:
            self._select.check(probe.layers)
        except ValueError:
            session.close()
            raise
        self._probe = probe
        session.describe(dataclasses.replace(probe.model, schedule=self._schedule.in_words()))

    def _log_first(self) -> None:
        """Logs the state before the training; the first pass counts as set-up."""
        session = self._session
        assert session is not None
        if self._probe is not None and session.due(self._step):
            with session.set_up("the first pass"):
                self._write(session.values_due(self._step), {})

    def _first_batch(self, iterator: Any, session: Session) -> tuple[Any, Batch | None]:
        """Takes what the first call of the training's function would take, and an iterator that hands it on to it."""
        if isinstance(iterator, tf.distribute.DistributedIterator):
            return self._first_distributed_batch(iterator, session)
        batches: list[Any] = []
        handed_on = None
        with session.set_up("the probe"):
            if not isinstance(iterator, tf.data.Iterator):
                raise TypeError(
                    f"the first training batch cannot be taken from a {type(iterator).__name__}. "
                    "Give the callback a probe: probe=(x, y)."
                )
            handed_on = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=iterator.element_spec)
        if handed_on is None:
            return iterator, None
        # With fewer than it asks for, Keras 3 would silently train fewer steps.
        for _ in range(self._steps_per_execution()):
            with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
                batches.append(next(iterator))
        if not batches:
            return iterator, None
        return iter(handed_on), Batch.of(batches[0]).first(_PROBE_EXAMPLES)

    def _first_distributed_batch(self, iterator: Any, session: Session) -> tuple[Any, Batch | None]:
        """As `_first_batch`, of a distribution strategy: each replica gets its own part again."""
        iterator, parts = keras_replicas.take(iterator, self.model.distribute_strategy, self._steps_per_execution())
        first = None
        if parts:
            with session.set_up("the probe"):
                first = Batch.of(keras_replicas.joined(parts)).first(_PROBE_EXAMPLES)
        return iterator, first

    def _given_batch(self) -> Batch:
        try:
            batch = Batch.of(tf.nest.map_structure(_as_tensor, self._probe_data))
            if batch.examples < 1:
                raise ValueError("it has no examples")
            return batch
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"the probe is no batch: {error}. Give x, (x, y) or (x, y, sample_weight) as arrays."
            ) from error

    def _log(self, metrics: Mapping[str, float] | None, with_values: bool | None = None) -> None:
        session = self._session
        assert session is not None
        # Whatever the device still does for the training must not be counted as ours.
        self._iterations()
        with session.logging("a step"):
            if metrics is None:
                metrics = _floats(self.model.get_metrics_result())
            self._write(session.values_due(self._step) if with_values is None else with_values, metrics)

    def _write(self, with_values: bool, metrics: Mapping[str, float]) -> None:
        session, probe = self._session, self._probe
        assert session is not None and probe is not None
        fetched, scalars = probe.run(with_values)
        rate = self._learning_rate()
        if rate is not None:
            scalars["learning_rate"] = rate
        session.write(self._step, lambda: probe.measurements(fetched), {**scalars, **metrics})

    def _steps_of_epoch(self) -> int:
        """How many steps the epoch that ends had.

        Where the end of the data is only found by asking for more, the batch begun last was none, though Keras 3 has
        the optimizer count it; Keras 2 remembers the length from the first epoch on. With several steps per execution
        the optimizer's count is right, and the only one there is.
        """
        before, self._iterations_before = self._iterations_before, self._iterations()
        begun, self._begun = self._begun, -1
        if self._steps_per_execution() > 1 and before is not None and self._iterations_before is not None:
            return self._iterations_before - before
        expected = self.params.get("steps") or self._found_length
        if not self.model.stop_training and begun + 1 != expected:
            begun -= 1
        self._found_length = begun + 1
        return begun + 1

    def _iterations(self) -> int | None:
        """What the optimizer counts, which also waits for the training step before to end."""
        iterations = getattr(getattr(self.model, "optimizer", None), "iterations", None)
        return None if iterations is None else int(_number(iterations))

    def _learning_rate(self) -> float | None:
        optimizer = getattr(self.model, "optimizer", None)
        rate = getattr(optimizer, "learning_rate", None)
        if optimizer is not None and callable(rate) and not hasattr(rate, "assign"):
            rate = rate(optimizer.iterations)
        return None if rate is None else float(_number(rate))

    def _steps_per_execution(self) -> int:
        # Keras 2 has a variable under a private name, Keras 3 a number.
        for name in ("steps_per_execution", "_steps_per_execution"):
            steps = getattr(self.model, name, None)
            if steps is not None:
                return int(_number(steps))
        return 1


def _number(variable: Any) -> Any:
    """What a variable or a plain number holds. A variable of a distribution strategy is no array in Keras 2."""
    return np.asarray(tf.convert_to_tensor(variable))


def _as_tensor(leaf: Any) -> Any:
    return leaf if leaf is None or tf.is_tensor(leaf) else tf.convert_to_tensor(leaf)


def _shapes(structure: Any) -> str:
    return ", ".join(f"{tuple(leaf.shape)}" for leaf in tf.nest.flatten(structure))


def _floats(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are single numbers."""
    return {name: float(np.asarray(value)) for name, value in metrics.items() if np.ndim(value) == 0}
