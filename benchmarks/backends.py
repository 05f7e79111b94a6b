"""Keras on JAX and on PyTorch, each in its environment: whole trainings, and set-up.

`python -m benchmarks.backends every ROUNDS EPOCHS`, in an environment of a backend, prints seconds of trainings with
every step logged and of bare ones; `python -m benchmarks.backends set-up bare|logged|warm` those of the first training
step, of our set-up, or of a warm step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.in_turn import in_turn, turns_row
from benchmarks.measuring import Options, Row, ratio_row, ratios, seconds

_ROOT = Path(__file__).resolve().parent.parent
# What each is called, what its set-up is measured by, how many of that it may take.
_BACKENDS = {
    "jax": ("JAX", "bare", "the model's own first training step", 0.8),
    "torch": ("PyTorch", "warm", "a warm training step", 4.0),
}


def rows(options: Options) -> list[Row]:
    """Every step logged, and set-up."""
    found = []
    for name, (called, measure, against, most) in _BACKENDS.items():
        epochs = 1 if options.quick else 5
        logged, bare = json.loads(_said(name, "every", str(options.rounds(5)), str(epochs)))
        what = (
            f"training the CNN of 3.3 million parameters on {called} for {10 * epochs} steps, every step logged, all "
        )
        what += "kinds, set-up and the closing of the log included"
        found.append(ratio_row(what, "bare training", logged, bare, most=2.0))
        times = [[float(_said(name, "set-up", how)) for how in ("logged", measure)] for _ in range(options.rounds(3))]
        ours, theirs = zip(*times)
        what = f"set-up (tracing and the first logged step), {called}: CNN, 3.3 million parameters"
        found.append(ratio_row(what, against, ours, theirs, most=most))
    return found


def default_schedule(options: Options) -> list[Row]:
    """The callback on its default schedule, in turn with a bare training."""
    found = []
    for name, (called, *_) in _BACKENDS.items():
        command = ["env", *(f"{k}={v}" for k, v in _environment(name).items()), *_command(name, "callback_training")]
        pairs = in_turn([*command, "default"], [*command, "bare"], 60 * options.minutes)
        what = f"a step of a training of {options.minutes:g} minutes on the default schedule, {called}, without set-up"
        found.append(turns_row(what, "bare training, in turns of 5 s", pairs, most=1.02))
    return found


def _command(name: str, module: str) -> list[str]:
    return [str(_ROOT / f".venv-{name}" / "bin" / "python"), "-m", f"benchmarks.{module}"]


def _environment(name: str) -> dict[str, str]:
    # Two threads that wait for each other on the processor take what another process needs.
    return {"KERAS_BACKEND": name, **({"OMP_NUM_THREADS": "1"} if name == "torch" else {})}


def _said(name: str, *arguments: str) -> str:
    environment = {**os.environ, **_environment(name)}
    command = [*_command(name, "backends"), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.splitlines()[-1]


def main() -> None:
    from benchmarks import models
    from tb_layerview import LayerReader, LayerViewCallback

    what, *arguments = sys.argv[1:]
    model = models.cnn()
    data: dict[str, Any] = {"x": models.IMAGES, "y": models.LABELS, "batch_size": models.BATCH}
    with tempfile.TemporaryDirectory() as folder:
        if what == "every":
            rounds, epochs = map(int, arguments)

            def train(callbacks: list[Any]) -> float:
                return models.training_seconds(model, callbacks, **data, epochs=epochs)

            actions = [lambda: train([LayerViewCallback(folder, schedule=1)]), lambda: train([])]
            print(json.dumps(ratios(actions, rounds, clock=lambda action: action())))
            return
        warm = models.one_layer()  # what a framework sets up once is nobody's
        warm.fit(models.np.zeros((8, 16), "float32"), models.LABELS[:8], verbose=0)
        batch = models.IMAGES[: models.BATCH], models.LABELS[: models.BATCH]
        if arguments[0] == "logged":
            model.fit(*batch, batch_size=models.BATCH, verbose=0, callbacks=[LayerViewCallback(folder)])
            cost = LayerReader(folder).run().cost
            assert cost is not None
            print(cost.set_up_seconds)
            return
        first = seconds(lambda: model.train_on_batch(*batch))
        print(first if arguments[0] == "bare" else min(seconds(lambda: model.train_on_batch(*batch)) for _ in range(5)))


if __name__ == "__main__":
    main()
