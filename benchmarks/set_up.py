"""What logging takes before its first step is logged, each time in a process of its own.

`python -m benchmarks.set_up MODEL bare|logged` prints the seconds of the first training step, or of our set-up. Of deep
models it is the first two steps.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.measuring import Options, Row, ratio_row, seconds

MODELS = {
    "digits": ("digits CNN", 0.4),
    "cnn": ("CNN, 3.3 million parameters", 0.4),
    "resnet": ("ResNet-50, 96 px", 0.5),
    "deep400": ("400 dense layers and ReLUs", 1.0),
    "deep1000": ("1,000 dense layers and ReLUs", 1.0),
}


def rows(options: Options) -> list[Row]:
    """Set-up against the model's own first training step."""
    found = []
    for model, (name, most) in MODELS.items():
        rounds = [[_process(model, how) for how in ("logged", "bare")] for _ in range(options.rounds(3))]
        logged, bare = zip(*rounds)
        what = f"set-up (tracing and the first logged step): {name}"
        steps = "two training steps" if model.startswith("deep") else "training step"
        found.append(ratio_row(what, f"the model's own first {steps}", logged, bare, most=most))
    return found


def _process(model: str, how: str) -> float:
    command = [sys.executable, "-m", "benchmarks.set_up", model, how]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    from benchmarks import models
    from tb_layerview import LayerReader, LayerViewCallback

    name, how = sys.argv[1:]
    rng = models.np.random.default_rng(0)
    made: dict[str, tuple[Any, Any, Any]] = {
        "digits": (models.digits_cnn, rng.normal(size=(64, 8, 8, 1)).astype("float32"), models.LABELS[:64]),
        "cnn": (models.cnn, models.IMAGES[:64], models.LABELS[:64]),
        "resnet": (models.resnet, models.RESNET_IMAGES, models.RESNET_LABELS),
        "deep400": (lambda: models.deep(400), rng.normal(size=(64, 8)).astype("float32"), models.LABELS[:64]),
        "deep1000": (lambda: models.deep(1000), rng.normal(size=(64, 8)).astype("float32"), models.LABELS[:64]),
    }
    make, images, labels = made[name]
    model = make()
    warm = models.one_layer()  # what TensorFlow sets up once is nobody's
    warm.fit(models.np.zeros((8, 16), "float32"), models.LABELS[:8], verbose=0)
    if how == "bare":
        steps = 2 if name.startswith("deep") else 1
        print(seconds(lambda: [model.train_on_batch(images, labels) for _ in range(steps)]))
        return
    with tempfile.TemporaryDirectory() as folder:
        model.fit(images, labels, batch_size=len(images), verbose=0, callbacks=[LayerViewCallback(folder)])
        cost = LayerReader(folder).run().cost
        assert cost is not None
        print(cost.set_up_seconds)


if __name__ == "__main__":
    main()
