#!/usr/bin/env bash
# Keras 3.15.1 on JAX 0.10.2: one batch of the wrong shape, given to `predict`, and a trained model has no weights.
#
# Guess: a model that has refused a batch is afterwards what it was.
# Seen: an error in the first step of `predict`, `evaluate` or `fit` leaves the variables without values, and nothing else
# has these: `get_weights`, `save`, `predict` and `fit` raise "TypeError: 'NoneType' object is not callable" from then on.
# After an error in a later step of `predict` or `evaluate`, or in a callback there, the values are still in the loop's
# own state, and `model.jax_state_sync()` brings them back; `fit` does that by itself. So: save before you predict.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'keras==3.15.1' 'jax==0.10.2'
cat >"$folder/show.py" <<'PYTHON'
import sys

import keras
import numpy as np

x, y = np.ones((64, 8), "float32"), np.ones((64, 1), "float32")
of_nine, targets = np.ones((64, 9), "float32"), np.ones((64, 3, 2), "float32")


def broken():
    for _ in range(4):
        yield x, y
    raise OSError("a file that cannot be read")


class Raises(keras.callbacks.Callback):
    def on_test_batch_end(self, batch, logs=None):
        raise RuntimeError("a callback")


THERE, SYNC, LOST = "the weights are there", "the weights are there after jax_state_sync()", "the weights are lost"
CASES = {
    "predict, nine features for eight": (LOST, lambda model: model.predict(of_nine, verbose=0)),
    "evaluate, targets of another shape": (LOST, lambda model: model.evaluate(x, targets, verbose=0)),
    "fit, targets of another shape": (LOST, lambda model: model.fit(x, targets, verbose=0)),
    "predict, the fifth batch raises": (SYNC, lambda model: model.predict(broken(), verbose=0)),
    "evaluate, a callback raises": (SYNC, lambda model: model.evaluate(x, y, callbacks=[Raises()], verbose=0)),
    "fit, the fifth batch raises": (THERE, lambda model: model.fit(broken(), verbose=0)),
}


def has_weights(model):
    try:
        model.get_weights()
    except TypeError as error:
        assert str(error) == "'NoneType' object is not callable"
        return False
    return True


holds = True
for name, (expected, call) in CASES.items():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    try:
        call(model)
    except (ValueError, OSError, RuntimeError) as error:
        raised = type(error).__name__
    seen = THERE
    if not has_weights(model):
        model.jax_state_sync()
        seen = SYNC if has_weights(model) else LOST
        if seen == SYNC:
            assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights()))
    print(f"{name:36} {raised:12} {seen}")
    holds = holds and seen == expected
print("" if holds else "CHANGED")
sys.exit(not holds)
PYTHON
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore "$folder/show.py"
