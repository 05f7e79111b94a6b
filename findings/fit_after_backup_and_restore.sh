#!/usr/bin/env bash
# Keras 3.15.1 on TensorFlow 2.21.0: what `fit` does on a model that BackupAndRestore has once restored.
#
# Guess: a later fit(epochs=N), without the callback, trains N epochs.
# Seen: the epoch at which the restored training went on stays on the model (`model._initial_epoch`), and every later fit
# begins there. After a restore at epoch 2, fit(epochs=1) and fit(epochs=2) return at once with an empty History, without a
# word, and fit(epochs=3) trains one epoch. So whoever counts on N epochs, as a search or a second phase does, trains
# less or nothing; passing initial_epoch=0 does not help, as the attribute wins.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tensorflow-cpu==2.21.0' 'keras==3.15.1' 2>"$folder/stderr"
cat >"$folder/show.py" <<'PYTHON'
import sys

import keras
import numpy as np

x = np.random.RandomState(0).randn(64, 4).astype("float32")
y = x.sum(1, keepdims=True)


class Interrupted(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise RuntimeError("interrupted")


def new_model():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    return model


backup = keras.callbacks.BackupAndRestore(sys.argv[1])
try:
    new_model().fit(x, y, epochs=4, verbose=0, callbacks=[backup, Interrupted()])
except RuntimeError:
    pass
model = new_model()
restored = model.fit(x, y, epochs=4, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(sys.argv[1])])
seen = [restored.epoch]
print(f"restored: epochs {restored.epoch}")
for arguments in ({"epochs": 1}, {"epochs": 1, "initial_epoch": 0}, {"epochs": 2}, {"epochs": 3}):
    seen.append(model.fit(x, y, verbose=0, **arguments).epoch)
    print(f"fit({arguments}): epochs {seen[-1]}")
sys.exit(seen != [[2, 3], [], [], [], [2]])
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/show.py" "$folder/backup" 2>"$folder/stderr" || {
  cat "$folder/stderr" >&2
  exit 1
}
