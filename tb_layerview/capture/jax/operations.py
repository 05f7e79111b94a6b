"""TensorFlow's names of what JAX computes with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jax.extend import core

from tb_layerview.capture.passes.between import ELEMENT_WISE

# JAX's primitives, by their names.
_TYPES = {
    "abs": "Abs",
    "add": "AddV2",
    "add_any": "AddV2",
    "and": "LogicalAnd",
    "argmax": "ArgMax",
    "argmin": "ArgMin",
    "broadcast_in_dim": "BroadcastTo",
    "ceil": "Ceil",
    "clamp": "ClipByValue",
    "concatenate": "ConcatV2",
    "conv_general_dilated": "Conv2D",
    "convert_element_type": "Cast",
    "copy": "Identity",
    "copy_p": "Identity",
    "cos": "Cos",
    "cumsum": "Cumsum",
    "device_put": "Identity",
    "div": "RealDiv",
    "dot_general": "BatchMatMulV2",
    "dynamic_slice": "Slice",
    "dynamic_update_slice": "TensorScatterUpdate",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "expm1": "Expm1",
    "floor": "Floor",
    "gather": "GatherV2",
    "ge": "GreaterEqual",
    "gt": "Greater",
    "integer_pow": "Pow",
    "is_finite": "IsFinite",
    "le": "LessEqual",
    "log": "Log",
    "log1p": "Log1p",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Maximum",
    "min": "Minimum",
    "mul": "Mul",
    "ne": "NotEqual",
    "neg": "Neg",
    "not": "LogicalNot",
    "optimization_barrier": "Identity",
    "or": "LogicalOr",
    "pad": "PadV2",
    "pow": "Pow",
    "reduce_and": "All",
    "reduce_max": "Max",
    "reduce_min": "Min",
    "reduce_or": "Any",
    "reduce_precision": "Cast",
    "reduce_prod": "Prod",
    "reduce_sum": "Sum",
    "reduce_window_max": "MaxPool",
    "reduce_window_sum": "AvgPool",
    "reshape": "Reshape",
    "rev": "ReverseV2",
    "round": "Round",
    "rsqrt": "Rsqrt",
    "scan": "While",
    "scatter": "ScatterNd",
    "scatter-add": "ScatterNd",
    "select_n": "SelectV2",
    "sharding_constraint": "Identity",
    "sign": "Sign",
    "sin": "Sin",
    "slice": "StridedSlice",
    "sort": "Sort",
    "sqrt": "Sqrt",
    "square": "Square",
    "squeeze": "Squeeze",
    "stop_gradient": "StopGradient",
    "sub": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
    "top_k": "TopKV2",
    "transpose": "Transpose",
    "while": "While",
    "cond": "If",
}
# Functions that are one operation in TensorFlow, by the name under which JAX has them compiled: of one output, which
# looks as the first input does.
_FUNCTIONS = {
    "relu": "Relu",
    "relu6": "Relu6",
    "leaky_relu": "LeakyRelu",
    "elu": "Elu",
    "selu": "Selu",
    "softplus": "Softplus",
    "soft_sign": "Softsign",
    "softmax": "Softmax",
    "_softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "sigmoid": "Sigmoid",
}
# What only calls a jaxpr of its own, which may stand in its place.
_CALLS = frozenset(("jit", "pjit", "closed_call", "core_call"))
_RANDOM = ("random_", "threefry", "rng_")


def called(equation: Any) -> core.ClosedJaxpr | None:
    """What an equation calls that may as well stand in its place; None if it is an operation."""
    if equation.primitive.name not in _CALLS or _function(equation) is not None:
        return None
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    return inner if isinstance(inner, core.ClosedJaxpr) else None


def type_of(equation: Any) -> str:
    """TensorFlow's name of an operation, where it has one."""
    name = equation.primitive.name
    function = _function(equation)
    if function is not None:
        return function
    if name.startswith(_RANDOM):
        return "RandomBits"
    sizes = {math.prod(atom.aval.shape) for atom in (*equation.invars, *equation.outvars)}
    if name == "broadcast_in_dim" and len(equation.invars) == 1 and len(sizes) == 1:
        return "Reshape"  # as `expand_dims` has it
    if name == "max" and any(_is_zero(atom) for atom in equation.invars):
        return "Relu"
    found = _TYPES.get(name)
    if found is None:
        function = _capitalized(equation.params.get("name") or name)
        # Somebody's own function may be called as an operation is, and do something else.
        found = _capitalized(name) if function in ELEMENT_WISE else function
    return f"Random{found}" if _draws(equation) else found


def _capitalized(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))


def _function(equation: Any) -> str | None:
    """The function that an equation is a call of, if it is one operation in TensorFlow."""
    name = equation.params.get("name")
    if not isinstance(name, str) or name not in _FUNCTIONS:
        within = [inner for jaxpr in _within(equation.params) for inner in jaxpr.eqns]
        # One with a derivative of its own may have a name within alone.
        return _function(within[0]) if equation.primitive.name.startswith("custom_") and len(within) == 1 else None
    if len(equation.outvars) != 1 or not equation.invars:
        return None
    taken, given = equation.invars[0].aval, equation.outvars[0].aval
    return _FUNCTIONS[name] if taken.shape == given.shape else None


def _is_zero(atom: Any) -> bool:
    return isinstance(atom, core.Literal) and np.ndim(atom.val) == 0 and float(atom.val) == 0.0


def _draws(equation: Any) -> bool:
    """Whether random numbers are drawn within a loop, a branch, a checkpoint or the like."""
    return any(
        inner.primitive.name.startswith(_RANDOM) or _draws(inner)
        for jaxpr in _within(equation.params)
        for inner in jaxpr.eqns
    )


def _within(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(one, core.ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, core.Jaxpr):
                yield one
