#!/usr/bin/env bash
# Keras 3.15.1 on JAX 0.10.2, 64 bits allowed: some functions give float32 of float64, and most do not.
#
# Guess: with `jax_enable_x64`, and layers of dtype float64, all is computed in float64.
# Seen: keras.ops.tanh and sin of float64 are float32; exp, log, sqrt, sigmoid, softmax, gelu, matmul, mean are float64.
# So `Dense(5, "tanh", dtype="float64")` gives float32, and what comes after it is float64 again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'keras==3.15.1' 'jax==0.10.2'
cat >"$folder/show.py" <<'PYTHON'
import sys

import jax

jax.config.update("jax_enable_x64", True)

import keras
import numpy as np

x = keras.ops.convert_to_tensor(np.ones((3, 3)))
narrow = {"tanh", "sin"}
wide = {"exp", "log", "sqrt", "sigmoid", "softmax", "gelu", "mean"}
seen = {name: str(getattr(keras.ops, name)(x).dtype) for name in sorted(narrow | wide)}
seen["matmul"] = str(keras.ops.matmul(x, x).dtype)
seen["Dense(tanh)"] = str(keras.layers.Dense(5, "tanh", dtype="float64")(x).dtype)
expected = {name: "float32" if name in narrow | {"Dense(tanh)"} else "float64" for name in seen}
for name, found in seen.items():
    print(f"{name:14}{found:10}{'' if found == expected[name] else 'CHANGED'}")
sys.exit(seen != expected)
PYTHON
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/show.py"
