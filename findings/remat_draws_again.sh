#!/usr/bin/env bash
# Keras 3.15.1 on PyTorch 2.13.0: in a RematScope a random layer's gradients belong to another draw than its output.
#
# Guess: rematerialization computes again what it computed, so a training is the same number for number with and
# without `keras.RematScope`. PyTorch's own checkpoint, by which Keras does it, keeps the generators for that.
# Seen, one step of `fit` with `RematScope(mode="full")` against one without, from the same seed; the loss is the same
# to the last bit, and of the gradients of the Dense before the layer the cosine is
#   Dropout(0.5)              1.00   its draw is of PyTorch's global generator, which the checkpoint puts back
#   Dropout(0.5, seed=1)      0.57   its draw is of Keras' SeedGenerator, whose counter is now 2 and not 1
#   SpatialDropout1D(0.5)     0.69   the same
#   GaussianDropout(0.5)      0.42   the same
#   BatchNormalization        1.00   but its moving mean has gone two steps
# So the mask that a gradient went through is not the one that the loss came from, and no error and no loss tells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'keras==3.15.1' 'torch==2.13.0' 'numpy==2.4.6'
cat >"$folder/show.py" <<'PYTHON'
import sys

import keras
import numpy as np

layers = keras.layers
numbers = keras.ops.convert_to_numpy
random = np.random.RandomState(0)
x, y = random.randn(8, 16, 32).astype("float32") + 1, random.randn(8, 1).astype("float32")


def step(make, mode):
    """One step: the loss, the gradient of the kernel before the layer, how often the layer drew, its moving mean."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 32))
    with keras.RematScope(mode=mode):
        dense, layer = layers.Dense(32), make()
        outputs = layers.Dense(1)(layers.Flatten()(layer(dense(inputs))))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = numbers(dense.kernel).copy()
    loss = model.fit(x, y, batch_size=8, verbose=0).history["loss"][0]
    count = int(numbers(layer.seed_generator.state)[1]) if hasattr(layer, "seed_generator") else None
    mean = numbers(layer.moving_mean) if hasattr(layer, "moving_mean") else None
    return loss, (before - numbers(dense.kernel)).ravel(), count, mean


cases = {
    "Dropout(0.5)": (lambda: layers.Dropout(0.5), True, (0, 0)),
    "Dropout(0.5, seed=1)": (lambda: layers.Dropout(0.5, seed=1), False, (1, 2)),
    "SpatialDropout1D(0.5)": (lambda: layers.SpatialDropout1D(0.5), False, (1, 2)),
    "GaussianDropout(0.5)": (lambda: layers.GaussianDropout(0.5), False, (1, 2)),
    "BatchNormalization": (layers.BatchNormalization, True, (None, None)),
}
has_changed = False
for name, (make, is_same, counts) in cases.items():
    (loss, gradient, count, mean), (loss_again, gradient_again, count_again, mean_again) = (
        step(make, mode) for mode in (None, "full")
    )
    cosine = gradient @ gradient_again / np.linalg.norm(gradient) / np.linalg.norm(gradient_again)
    as_said = loss == loss_again and (cosine > 0.9999) == is_same and (cosine > 0.9) == is_same
    as_said &= (count, count_again) == counts
    more = f"draws {count}, {count_again}"
    if mean is not None:
        # momentum 0.99: from 0, one step gives 0.01 of the batch's mean, two give 0.0199
        ratio = float(np.linalg.norm(mean_again) / np.linalg.norm(mean))
        as_said &= abs(ratio - 1.99) < 1e-3
        more = f"moving mean times {ratio:.2f}"
    has_changed |= not as_said
    print(f"{name:24}losses {loss:.6f}, {loss_again:.6f}  cosine {cosine:.3f}  {more}  {'' if as_said else 'CHANGED'}")
sys.exit(has_changed)
PYTHON
KERAS_BACKEND=torch "$folder/venv/bin/python" "$folder/show.py"
