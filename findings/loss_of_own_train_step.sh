#!/usr/bin/env bash
# Keras 3.15.1 and 2.15.0: what History says of a train_step of one's own that returns {"loss": loss} and updates no metric.
#
# Guess: the loss that train_step returned.
# Seen:
#   Keras 2.15.0                                        the loss that was returned
#   Keras 2.15.0, compute_loss called once before fit   0.0 at every epoch
#   Keras 3.15.1                                        0.0 at every epoch, whether or not compute_loss was called
# compute_loss builds the container of the compiled loss, whose mean then stands among the model's metrics as "loss". fit
# reports the metrics' results and not what train_step returned, and nothing ever updates that mean. In Keras 3 it always
# stands there. So a tool that computes the loss once, to look at it, silently makes EarlyStopping, ReduceLROnPlateau and
# ModelCheckpoint of a Keras 2 training act on 0.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/keras2"
"$folder/keras2/bin/pip" install --quiet --disable-pip-version-check 'tensorflow-cpu==2.15.1' 'keras==2.15.0' 2>"$folder/stderr"
python3.11 -m venv "$folder/keras3"
"$folder/keras3/bin/pip" install --quiet --disable-pip-version-check 'tensorflow-cpu==2.21.0' 'keras==3.15.1' 2>"$folder/stderr"
cat >"$folder/show.py" <<'PYTHON'
import sys

import numpy as np
import tensorflow as tf

keras = tf.keras
random = np.random.RandomState(0)
x = random.randn(64, 4).astype("float32")
y = x.sum(1, keepdims=True)


class Model(keras.Model):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.trainable_variables), self.trainable_variables))
        return {"loss": loss}


def losses(is_asked):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    model = Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    if is_asked:
        model.compute_loss(x=tf.constant(x), y=tf.constant(y), y_pred=model(x))
    return model.fit(x, y, epochs=2, verbose=0).history["loss"]


expected_zero = {"2": (False, True), "3": (True, True)}[sys.argv[1]]
seen = [losses(is_asked) for is_asked in (False, True)]
for is_asked, found in zip((False, True), seen):
    print(f"Keras {sys.argv[1]}, compute_loss {'called' if is_asked else 'not called'} before: {found}")
sys.exit(tuple(found == [0.0, 0.0] for found in seen) != expected_zero)
PYTHON
status=0
for keras in 2 3; do
  TF_CPP_MIN_LOG_LEVEL=3 "$folder/keras$keras/bin/python" "$folder/show.py" $keras 2>"$folder/stderr" || { status=1; cat "$folder/stderr" >&2; }
done
exit $status
