#!/usr/bin/env bash
# Keras 3.15.1: where gradients are accumulated, a learning rate schedule is given batches, and `iterations` counts steps.
#
# Guess: `SGD(schedule, gradient_accumulation_steps=4)` has the rate `schedule(optimizer.iterations)`.
# Seen: after 8 batches `iterations` is 2, and the rate is `schedule(8)`. A schedule made for 1,000 steps has ended after
# 250.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'keras==3.15.1' 'jax==0.10.2'
cat >"$folder/show.py" <<'PYTHON'
import sys

import keras
import numpy as np

schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 16, 0.0)  # 1 - step / 16
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
optimizer = keras.optimizers.SGD(schedule, gradient_accumulation_steps=4)
model.compile(optimizer, "mse")
x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
moved, before = [], model.get_weights()[0]
for _ in range(8):
    model.train_on_batch(x, y)
    after = model.get_weights()[0]
    moved.append(bool((after != before).any()))
    before = after
seen = {
    "batches after which weights moved": [i + 1 for i, m in enumerate(moved) if m],
    "iterations": int(optimizer.iterations),
    "learning_rate": float(optimizer.learning_rate),
    "schedule(iterations)": float(schedule(int(optimizer.iterations))),
}
expected = {
    "batches after which weights moved": [4, 8],
    "iterations": 2,
    "learning_rate": 0.5,
    "schedule(iterations)": 0.875,
}
for name, found in seen.items():
    print(f"{name:36}{found}{'' if found == expected[name] else '   CHANGED'}")
sys.exit(seen != expected)
PYTHON
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/show.py"
