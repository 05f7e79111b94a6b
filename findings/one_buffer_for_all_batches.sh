#!/usr/bin/env bash
# Keras 3.15.1 on JAX 0.10.2, on processors: a generator that fills one array again and again trains on other batches.
#
# Guess: `fit` has used a batch when it asks for the next one, so the generator may write to its array again.
# Seen: `fit` takes two batches before it trains, to see their shapes: the first step is made on the second batch. And a
# step returns before it has read its batch, which JAX takes where it lies if that begins at a multiple of 64 bytes, and
# copies later if not: the generator writes the next batch meanwhile, and how the training goes is by chance.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'keras==3.15.1' 'jax==0.10.2'
cat >"$folder/show.py" <<'PYTHON'
import sys

import jax
import keras
import numpy as np

STEPS, ROWS, FEATURES = 12, 256, 512
random = np.random.default_rng(0)
batches = [random.normal(size=(ROWS, FEATURES)).astype("float32") for _ in range(STEPS)]
target = np.zeros((ROWS, 1), "float32")

memory = np.empty(batches[0].nbytes + 64, np.uint8)
begin = -memory.ctypes.data % 64
room = memory[begin : begin + batches[0].nbytes].view("float32").reshape(ROWS, FEATURES)


def loss(given, is_reused=False, waits=False):
    """Of a training on these batches, each in memory of its own, or one after the other in the same room."""
    keras.utils.set_random_seed(1)
    wide = [keras.layers.Dense(1024, "relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((FEATURES,)), *wide, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    model.train_on_batch(batches[0], target)  # is compiled here

    def generator():
        for batch in given:
            if waits:
                jax.block_until_ready(jax.live_arrays())
            if is_reused:
                room[:] = batch
            yield (room if is_reused else batch.copy()), target

    return model.fit(generator(), steps_per_epoch=STEPS, verbose=0).history["loss"][0]


own, second_for_first = loss(batches), loss([batches[1], *batches[1:]])
waited, at_once = loss(batches, is_reused=True, waits=True), loss(batches, is_reused=True)
print("in memory of their own                  ", own)
print("the same, the second batch for the first", second_for_first)
print("in one array, once all is computed      ", waited)
print("in one array                            ", at_once)


def is_same(one, other):
    return abs(one - other) < 1e-6  # XLA's threads round by chance


holds = is_same(waited, second_for_first) and not is_same(waited, own)
holds = holds and not is_same(at_once, second_for_first) and not is_same(at_once, own)
print("" if holds else "CHANGED")
sys.exit(not holds)
PYTHON
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore "$folder/show.py"
