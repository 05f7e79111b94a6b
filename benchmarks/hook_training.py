"""Trains an Estimator bare, with the hook, and bare again: `python -m benchmarks.hook_training SECONDS`.

It prints the seconds of a step, [with the hook, before, after], as JSON, and runs where tf.estimator is.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview import LayerViewHook
from tb_layerview.demo_estimator import model_fn

SET_UP = 5  # steps that are not counted


class Until(tf.compat.v1.train.SessionRunHook):
    """Ends a training after a time.

    Attributes:
      per_step: Seconds of a step after the first ones.
    """

    def __init__(self, duration: float) -> None:
        self._duration, self._steps, self._began, self.per_step = duration, 0, 0.0, 0.0

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self._steps += 1
        now = time.perf_counter()
        if self._steps == SET_UP:
            self._began = now
        elif self._steps > SET_UP:
            self.per_step = (now - self._began) / (self._steps - SET_UP)
            if now - self._began > self._duration:
                run_context.request_stop()


def main() -> None:
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    warnings.filterwarnings("ignore", "`tf.layers")
    duration = float(sys.argv[1])
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1280, 8, 8, 1)).astype(np.float32)
    digits = rng.integers(0, 10, 1280).astype(np.int32)

    def data() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(({"pixels": images}, digits)).repeat().batch(64)

    def train(share: float, logs: bool = False) -> float:
        with tempfile.TemporaryDirectory() as folder:
            config = tf.estimator.RunConfig(
                save_checkpoints_steps=None, save_checkpoints_secs=None, save_summary_steps=None
            )
            until = Until(share * duration)
            hooks = [LayerViewHook(folder), until] if logs else [until]
            tf.estimator.Estimator(model_fn, folder, config=config).train(data, hooks=hooks)
            return until.per_step

    train(0.02)
    before = train(0.5)
    logged = train(1.0, logs=True)
    print(json.dumps([logged, before, train(0.5)]))


if __name__ == "__main__":
    main()
