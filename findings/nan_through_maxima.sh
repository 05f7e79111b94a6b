#!/usr/bin/env bash
# TensorFlow 2.21.0 on x86-64: whether NaN survives an operation that takes a maximum depends on how it is run.
#
# Guess: a ReLU and a max pooling keep NaN, or lose it, always in the same way.
# Seen:
#   operation                   eager       tf.function  tf.function, XLA
#   matmul + bias + relu        NaN         0 (oneDNN)   NaN       oneDNN fuses the three; with TF_ENABLE_ONEDNN_OPTS=0 it is NaN
#   matmul + bias + relu6       NaN         0 (oneDNN)   NaN
#   relu alone                  NaN         NaN          NaN
#   max_pool2d, float32         -3.4028e38  -3.4028e38   -inf      finite, so that a check for NaN or infinity passes it
#   reduce_max                  NaN         NaN          -inf
#   unsorted_segment_max        NaN         NaN          -3.4028e38
# So a loss may be finite while half of the network is NaN, and a function that Keras compiles with XLA (jit_compile="auto")
# shows other numbers behind a NaN than the same layers called eagerly.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tensorflow-cpu==2.21.0'
cat >"$folder/show.py" <<'PYTHON'
import os
import sys

import numpy as np
import tensorflow as tf

nan = tf.constant(np.full((4, 8), np.nan, "float32"))
image = tf.constant(np.full((1, 4, 4, 2), np.nan, "float32"))
kernel, bias = tf.ones((8, 3)), tf.zeros(3)
one_dnn = os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
least = np.finfo("float32").min
operations = {
    "matmul + bias + relu": (lambda: tf.nn.relu(tf.nn.bias_add(nan @ kernel, bias)), np.nan, 0.0 if one_dnn else np.nan, np.nan),
    "matmul + bias + relu6": (lambda: tf.nn.relu6(tf.nn.bias_add(nan @ kernel, bias)), np.nan, 0.0 if one_dnn else np.nan, np.nan),
    "relu": (lambda: tf.nn.relu(nan), np.nan, np.nan, np.nan),
    "max_pool2d, float32": (lambda: tf.nn.max_pool2d(image, 2, 2, "VALID"), least, least, -np.inf),
    "reduce_max": (lambda: tf.reduce_max(image, [1, 2]), np.nan, np.nan, -np.inf),
    "unsorted_segment_max": (lambda: tf.math.unsorted_segment_max(nan, tf.constant([0, 0, 1, 1]), 2), np.nan, np.nan, least),
}
changed = 0
for name, (operation, *expected) in operations.items():
    ways = operation, tf.function(operation), tf.function(operation, jit_compile=True)
    seen = [float(np.ravel(way())[0]) for way in ways]
    holds = np.array_equal(np.float32(seen), np.float32(expected), equal_nan=True)
    changed += not holds
    print(f"oneDNN {'on ' if one_dnn else 'off'}  {name:24}{seen[0]:>14.5g}{seen[1]:>14.5g}{seen[2]:>14.5g}{'' if holds else '   CHANGED'}")
sys.exit(bool(changed))
PYTHON
status=0
for one_dnn in 1 0; do
  TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=$one_dnn "$folder/venv/bin/python" "$folder/show.py" 2>"$folder/stderr" || { status=1; cat "$folder/stderr" >&2; }
done
exit $status
