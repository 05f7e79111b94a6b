#!/usr/bin/env bash
# Keras 3.15.1 on JAX 0.10.2: jax.block_until_ready does not wait for arrays in a list or dict that a model holds.
#
# Guess: `jax.block_until_ready(model.seen)`, where `seen` is a list of arrays, waits for them: a list is a pytree.
# Seen, of an array that takes a while, made right before:
#   [array]                           waits
#   model.seen = array                waits
#   model.seen = (array,)             waits
#   model.seen = [array]              returns at once, without a word
#   model.seen = {"name": array}      returns at once
# Setting the attribute made a TrackedList or TrackedDict of it. They are a list and a dict, yet
# not JAX's: each is one leaf, and block_until_ready passes over a leaf that is no array. `_jax_state`, which
# holds a model's arrays within `fit`, is such a dict: who waits for it waits for nothing. `keras.tree` looks within.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'keras==3.15.1' 'jax==0.10.2' 'numpy==2.4.6'
cat >"$folder/show.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import keras
import numpy as np

inputs = keras.Input((4,))
model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
x = jnp.full((600, 600), 0.001)
slow = jax.jit(lambda x: jax.lax.fori_loop(0, 200, lambda _, y: jnp.tanh(y @ x), x))
slow(x).block_until_ready()


def held(value):
    model.seen = value
    return model.seen


cases = {
    "[array]": (lambda array: [array], True),
    "model.seen = array": (lambda array: held(array), True),
    "model.seen = (array,)": (lambda array: held((array,)), True),
    "model.seen = [array]": (lambda array: held([array]), False),
    "model.seen = {'name': array}": (lambda array: held({"name": array}), False),
}
has_changed = False
for name, (make, expected) in cases.items():
    array = slow(x)
    value = make(array)
    jax.block_until_ready(value)
    waits = array.is_ready()
    array.block_until_ready()
    [leaf] = jax.tree.leaves(value)
    as_said = waits == expected == (leaf is array) and keras.tree.flatten(value)[0] is array
    has_changed |= not as_said
    print(f"{name:32}leaf {type(leaf).__name__:14}{'waits' if waits else 'returns at once':18}{'' if as_said else 'CHANGED'}")


class Leaves(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.seen = jax.tree.leaves(self.model._jax_state)


callback = Leaves()
model.compile("adam", "mse")
model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0, callbacks=[callback])
names = [type(leaf).__name__ for leaf in callback.seen]
as_said = names == ["TrackedDict"]
print(f"{'_jax_state in fit':32}leaves {names} {'' if as_said else 'CHANGED'}")
sys.exit(has_changed or not as_said)
PYTHON
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/show.py"
