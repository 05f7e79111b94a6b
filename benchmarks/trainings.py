"""Whole trainings, with and without logging."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.measuring import Options, Row, ratio_row, ratios
from benchmarks.models import BATCH, IMAGES, LABELS, cnn, one_layer, training_seconds
from tb_layerview import LayerViewCallback, Schedule


def every_step(options: Options) -> list[Row]:
    """Every step logged, all kinds and values, and Debugger V2 in processes of its own."""
    model, epochs = cnn(), 1 if options.quick else 10

    def train(callbacks: list[Any]) -> float:
        return training_seconds(model, callbacks, x=IMAGES, y=LABELS, batch_size=BATCH, epochs=epochs)

    with tempfile.TemporaryDirectory() as folder:
        timed = ratios(
            [lambda: train([LayerViewCallback(folder, schedule=1)]), lambda: train([])],
            options.rounds(7),
            clock=lambda action: action(),
        )
    what = f"training the CNN of 3.3 million parameters for {10 * epochs} steps, every step logged, all kinds, "
    what += "set-up and the closing of the log included"
    found = [ratio_row(what, "bare training", *timed, most=2.0)]
    for mode in ("CURT_HEALTH", "FULL_HEALTH"):
        command = [sys.executable, "-m", "benchmarks.debugger", mode, str(options.rounds(5))]
        bare, dumped = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        against = "bare training, before it in the same process: it cannot be undone"
        found.append(ratio_row(f"the same with TensorFlow's Debugger V2, `{mode}`", against, dumped, bare))
    return found


class Empty(tf.keras.callbacks.Callback):
    """What any callback costs that is told of batches."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None: ...


def unlogged_step(options: Options) -> list[Row]:
    """Steps that are not logged, of a model that is so small that little time hides it."""
    model, steps = one_layer(), 200 if options.quick else 4000
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(steps * 8, 16)).astype(np.float32), "y": rng.integers(0, 10, steps * 8)}

    def train(callback: Any) -> float:
        return training_seconds(model, [callback], after=50, batch_size=8, **data)

    with tempfile.TemporaryDirectory() as folder:
        silent = Schedule(steps=(0,))
        timed = ratios(
            [lambda: train(LayerViewCallback(folder, schedule=silent)), lambda: train(Empty())],
            options.rounds(11),
            clock=lambda action: action(),
        )
    milliseconds = 1e3 * float(np.median(timed[1])) / (steps - 50)
    what = f"a step that is not logged, of a model whose training step takes {milliseconds:.2g} ms; {steps:,} steps, "
    return [ratio_row(what + "the last one logged", "an empty batch callback", *timed, most=1.02)]


class _Until(tf.keras.callbacks.Callback):
    """Ends a training after a time, and says how long a step took from the sixth on, the logging included."""

    def __init__(self, duration: float) -> None:
        super().__init__()
        self._duration, self._steps, self._began = duration, 0, 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._steps += 1
        now = time.perf_counter()
        if self._steps == 6:
            self._began = now
        elif self._steps > 6 and now - self._began > self._duration:
            self.model.stop_training = True
        self.per_step = (now - self._began) / max(self._steps - 6, 1)


def default_schedule(options: Options) -> list[Row]:
    """The callback on its default schedule between two bare trainings, each as long as was asked."""
    model, duration = cnn(), 60 * options.minutes
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat().batch(BATCH)

    def train(callbacks: list[Any], share: float) -> float:
        until = _Until(duration * share)
        model.fit(data, steps_per_epoch=10**9, epochs=1, verbose=0, callbacks=[*callbacks, until])
        return until.per_step

    with tempfile.TemporaryDirectory() as folder:
        train([], 0.02)
        before = train([], 0.5)
        logged = train([LayerViewCallback(folder)], 1.0)
        after = train([], 0.5)
    return [_default_row("callback", options.minutes, logged, before, after)]


def hook_on_default_schedule(options: Options) -> list[Row]:
    """The same with the hook in an Estimator, on the other stack, and what it costs where nothing is logged."""
    logged, before, after = _hook(options, "cnn", "default", 60 * options.minutes)
    found = [_default_row("hook", options.minutes, logged, before, after)]
    logged, before, after = _hook(options, "digits", "silent", 20 * options.minutes)
    what = f"a step that is not logged, hook, of a network whose step takes {1e3 * before:.2g} ms"
    return [*found, ratio_row(what, "bare training before and after it", [logged] * 2, [before, after])]


def _hook(options: Options, *arguments: str | float) -> list[float]:
    """Seconds of a step with the hook, bare before, and bare after."""
    command = [options.estimator_python, "-m", "benchmarks.hook_training", *map(str, arguments)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds: list[float] = json.loads(printed.splitlines()[-1])
    return seconds


def _default_row(what: str, minutes: float, logged: float, before: float, after: float) -> Row:
    what = f"a step of a training of {minutes:g} minutes on the default schedule, {what}, without set-up"
    return ratio_row(what, "bare training before and after it", [logged] * 2, [before, after], most=1.02)
