#!/usr/bin/env bash
# TensorFlow 2.21.0, CPU: what TensorFlow gives back may be memory that the program itself writes to.
#
# Guess: what `Session.run`, a call or a data set gives has memory of its own, so that a tool can look at it later.
# Seen, for arrays that begin at a multiple of 64 bytes:
#   Session.run of a placeholder that is fed                    the very array that was fed (any alignment)
#   Session.run of tf.identity, tf.reshape of it                memory of its own
#   Session.run of a resource variable, twice                   two copies
#   tf.numpy_function that returns its buffer, eager            memory of its own
#   the same within a tf.function                               a view of the buffer
#   an element of Dataset.from_generator                        a view of the array that the generator yields
#   tf.constant, tf.convert_to_tensor of an array               memory of its own
#   np.asarray of a variable's value                            the variable's memory, until somebody assigns to it
# So a generator, a Python function or a feed that fills one buffer again and again changes what was handed out before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tensorflow-cpu==2.21.0'
cat >"$folder/show.py" <<'PYTHON'
import sys

import numpy as np
import tensorflow as tf

raw = np.zeros(64 * 100 * 4 + 64, np.uint8)
at = -raw.ctypes.data % 64
array = raw[at : at + 64 * 100 * 4].view(np.float32).reshape(64, 100)


def shares(result):
    return np.shares_memory(np.asarray(result), array)


def filled(_):
    array[...] += 1
    return array


called = tf.function(lambda x: tf.numpy_function(filled, [x], tf.float32))
seen = {}
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    x = tf.compat.v1.placeholder(tf.float32, [64, 100])
    seen["a fed placeholder"] = shares(session.run(x, {x: array})), True
    seen["an identity of it"] = shares(session.run(tf.identity(x), {x: array})), False
    seen["a reshape of it"] = shares(session.run(tf.reshape(x, [-1]), {x: array})), False
    variable = tf.compat.v1.get_variable("v", [1000], use_resource=True)
    session.run(variable.initializer)
    seen["a variable, twice"] = np.shares_memory(session.run(variable), session.run(variable)), False
seen["numpy_function, eager"] = shares(tf.numpy_function(filled, [1.0], tf.float32)), False
seen["numpy_function, in a function"] = shares(called(tf.constant(1.0))), True
data = tf.data.Dataset.from_generator(lambda: iter([array]), output_signature=tf.TensorSpec([64, 100]))
seen["an element of from_generator"] = shares(next(iter(data))), True
seen["a constant"] = shares(tf.constant(array)), False
seen["a converted array"] = shares(tf.convert_to_tensor(array)), False
variable = tf.Variable(tf.zeros([1000]))
before = np.asarray(variable.read_value())
seen["a variable's value"] = np.shares_memory(before, np.asarray(variable.read_value())), True
variable.assign_add(tf.ones([1000]))
seen["the same, once it was assigned to"] = np.shares_memory(before, np.asarray(variable.read_value())), False
for name, (is_shared, expected) in seen.items():
    print(f"{name:36}{'shared' if is_shared else 'its own':10}{'' if is_shared == expected else 'CHANGED'}")
sys.exit(any(is_shared != expected for is_shared, expected in seen.values()))
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/show.py" 2>"$folder/stderr" || { cat "$folder/stderr" >&2; exit 1; }
