"""Whole trainings, with and without logging."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.in_turn import Turns, in_turn, turns_row
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
    found = [ratio_row(what, "bare training", *timed, most=1.9)]
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


def default_schedule(options: Options) -> list[Row]:
    """The callback on its default schedule, in turn with a bare training."""
    command = [sys.executable, "-m", "benchmarks.callback_training"]
    pairs = in_turn([*command, "default"], [*command, "bare"], 60 * options.minutes)
    return [_default_row("callback", options.minutes, pairs)]


def hook_on_default_schedule(options: Options) -> list[Row]:
    """The same with the hook in an Estimator, on the other stack, and what it costs where nothing is logged."""
    command = [options.estimator_python, "-m", "benchmarks.hook_training"]
    pairs = in_turn([*command, "cnn", "default"], [*command, "cnn", "bare"], 60 * options.minutes)
    silent = in_turn([*command, "digits", "silent"], [*command, "digits", "bare"], 20 * options.minutes)
    what = f"a step that is not logged, hook, of a network whose step takes {1e3 * silent[0][1].per_step():.2g} ms"
    return [_default_row("hook", options.minutes, pairs), turns_row(what, _BARE, silent)]


_BARE = "bare training, in turns of 5 s"


def _default_row(what: str, minutes: float, pairs: Sequence[tuple[Turns, Turns]]) -> Row:
    what = f"a step of a training of {minutes:g} minutes on the default schedule, {what}, without set-up"
    return turns_row(what, _BARE, pairs, most=1.02)
