#!/usr/bin/env bash
# Keras 3.15.1: where gradients are accumulated, the average of the weights (`use_ema`) moves with every batch.
#
# Guess: `SGD(gradient_accumulation_steps=4, use_ema=True, ema_momentum=0.9)` averages the weights after each update, one
# in four batches, and with `ema_overwrite_frequency=3` weights are overwritten by it at each third update.
# Seen, of one weight that each update makes less by 1, from 0; on JAX and on PyTorch:
#   after four updates, 16 batches, the average is -2.12; once for each update would be -1.56. Momentum 0.9 is 0.9^4, 0.66
#   ema_overwrite_frequency=3    weights move with batches 4, 8, 9, 12, 16, 20, 21, 24: the first batch after two updates,
#                                whose gradient is only accumulated, overwrites them already
# So the gradients that are added up for an update are not all of the same weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'keras==3.15.1' 'jax==0.10.2' 'torch==2.13.0' 'numpy==2.4.6'
cat >"$folder/show.py" <<'PYTHON'
import sys

import keras
import numpy as np

x, y = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")


def train(batches, **keywords):
    """After each batch: the weight, the average. The loss is the weight, so that its gradient is 1."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=4, use_ema=True, ema_momentum=0.9, **keywords)
    model.compile(optimizer, lambda _, output: output)
    seen = []
    for _ in range(batches):
        model.train_on_batch(x, y)
        [average] = [v for v in optimizer.variables if v.path.endswith("_average")]
        seen.append([float(np.squeeze(keras.ops.convert_to_numpy(v))) for v in (model.layers[0].kernel, average)])
    assert int(optimizer.iterations) == batches // 4
    return np.array(seen).T


def averaged(weights):
    """Begins with the first updated weight, as Keras does."""
    average = weights[0]
    for weight in weights[1:]:
        average = 0.9 * average + 0.1 * weight
    return average


weights, averages = train(16)
by_batch, by_update = averaged(weights[3:]), averaged(weights[3::4])
print(f"average of the weights {averages[-1]:.3f}; by each batch {by_batch:.3f}, by each update {by_update:.3f}")
has_changed = not (np.isclose(averages[-1], by_batch, atol=1e-4) and not np.isclose(by_batch, by_update))

weights, _ = train(24, ema_overwrite_frequency=3)
moved = [batch + 1 for batch, by in enumerate(np.diff(weights, prepend=0.0)) if abs(by) > 1e-5]
print(f"weights moved with batches {moved}, and updates are made with {list(range(4, 25, 4))}")
has_changed |= moved != [4, 8, 9, 12, 16, 20, 21, 24]
print("CHANGED" if has_changed else "")
sys.exit(has_changed)
PYTHON
status=0
for backend in jax torch; do
  echo "$backend"
  KERAS_BACKEND=$backend JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/show.py" || status=1
done
exit $status
