"""What the things are called that optimizers keep of each weight, whatever those call them who made them."""

from __future__ import annotations

# Where Keras 2, Keras 3, TensorFlow 1, PyTorch and Optax have several names for one thing: that of Keras 3, so that
# runs compare.
_NAMES = {
    "m": "momentum",
    "v": "velocity",
    "u": "norm",
    "vhat": "velocity_hat",
    "rms": "velocity",
    "ms": "velocity",
    "mg": "average_gradient",
    "mom": "momentum",
    "accum": "accumulator",
    "accum_grad": "accumulated_grad",
    "accum_var": "accumulated_delta_var",
    "accum_update": "accumulated_delta_var",
    "model_variables_moving_average": "average",
    "accumulated_gradients": "gradient_accumulator",
    # Of PyTorch.
    "exp_avg": "momentum",
    "exp_avg_sq": "velocity",
    "max_exp_avg_sq": "velocity_hat",
    "momentum_buffer": "momentum",
    "square_avg": "velocity",
    "grad_avg": "average_gradient",
    "exp_inf": "norm",
    "acc_delta": "accumulated_delta_var",
    "sum": "accumulator",
    # Of Optax.
    "mu": "momentum",
    "nu": "velocity",
    "trace": "momentum",
    "sum_of_squares": "accumulator",
    "e_g": "accumulated_grad",
    "e_x": "accumulated_delta_var",
}
# The same of some optimizers alone.
_NAMES_OF = {
    "adamax": {"v": "norm"},  # which is no mean of squares there
    "momentum": {"accum": "momentum"},
    "kerasmomentum": {"accum": "momentum"},
    "adadelta": {"accum": "accumulated_grad", "square_avg": "accumulated_grad"},
}


def slot_name(name: str, optimizer: str = "") -> str:
    """What a slot is called: `m`, `_m` and `_momentums` are `momentum`.

    Args:
      name: What it is called by whoever has made it.
      optimizer: By which optimizer: the name of its class, or of its operation without `Apply`.
    """
    name = name.strip("_").lower()
    found = _NAMES_OF.get(optimizer.lower(), {}).get(name) or _NAMES.get(name)
    if found:
        return found
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name
