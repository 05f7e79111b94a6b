#!/usr/bin/env bash
# optax 0.2.8: `inject_hyperparams` keeps an optimizer's numbers in the dtype of the weights; in bfloat16 Adam's b2 is 1.
#
# Guess: `inject_hyperparams(adam)(1e-3)`, by which a loop or a log reads and sets the learning rate, trains as
# `adam(1e-3)` does, whose numbers are Python's. What is documented of dtypes is an override, `hyperparam_dtype`.
# Seen, of three weights of which the last one's gradient is 0; the first step's updates:
#                                              adam               inject_hyperparams(adam)
#   weights in float32                         -0.001 0.001 0     -0.001 0.001 0
#   weights in bfloat16                        -0.001 0.001 0     nan nan nan       b2, 0.999, is 1: 0 / (1 - b2)
#   in bfloat16, and one number in float32     -0.001 0.001 0     -0.001 0.001 0    but float32, all of them
# So a model that is in bfloat16 as a whole is NaN after one step with finite gradients, and a single float32 in it keeps
# it from that: the widest dtype is taken. adamw does the same. With `hyperparam_dtype=jnp.float32` there is no NaN.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'optax==0.2.8' 'jax==0.10.2' 'numpy==2.4.6'
cat >"$folder/show.py" <<'PYTHON'
import sys

import jax.numpy as jnp
import numpy as np
import optax

GRADIENTS = (0.5, -0.25, 0.0)


def first_updates(transformation, dtype, beside):
    """Of three weights of a dtype, beside one of another; and the numbers that the state holds."""
    weights = {"kernel": jnp.ones(3, dtype), **({"scale": jnp.ones(1, beside)} if beside else {})}
    gradients = {name: jnp.asarray(GRADIENTS[: len(w)], w.dtype) for name, w in weights.items()}
    updates, state = transformation.update(gradients, transformation.init(weights), weights)
    held = {name: float(value) for name, value in getattr(state, "hyperparams", {}).items() if name == "b2"}
    return updates["kernel"], held


def is_nan(updates):
    return np.isnan(np.asarray(updates, np.float32)).tolist()


bf16, f32 = jnp.bfloat16, jnp.float32
none, all_ = [False] * 3, [True] * 3
has_changed = False
for of, dtype, beside, expected, updated in (
    ("float32", f32, None, none, f32),
    ("bfloat16", bf16, None, all_, bf16),
    ("bfloat16 beside one float32", bf16, f32, none, f32),
):
    for name, make in (("adam", optax.adam), ("adamw", optax.adamw)):
        plain, _ = first_updates(make(1e-3), dtype, beside)
        injected, held = first_updates(optax.inject_hyperparams(make)(1e-3), dtype, beside)
        told, _ = first_updates(optax.inject_hyperparams(make, hyperparam_dtype=f32)(1e-3), dtype, beside)
        as_said = is_nan(plain) == is_nan(told) == none and plain.dtype == dtype
        as_said &= is_nan(injected) == expected and injected.dtype == updated
        has_changed |= not as_said
        print(
            f"{of:28}{name:6} {np.asarray(plain, np.float32)}  injected {np.asarray(injected, np.float32)} "
            f"{injected.dtype} {held}  {'' if as_said else 'CHANGED'}"
        )
sys.exit(has_changed)
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/show.py"
