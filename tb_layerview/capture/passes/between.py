"""Whether only what keeps places lies between the layers of a traced pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tb_layerview.capture.passes.nodes import dtype_name, sizes

#: Operations each place of whose result is made of the same place of each thing that they take of the result's shape:
#: TensorFlow's names, and those of torch for what TensorFlow has no operation of.
ELEMENT_WISE = frozenset(
    (
        *("Identity", "IdentityN", "StopGradient", "PreventGradient", "CheckNumerics", "Cast"),
        *("Add", "AddV2", "AddN", "BiasAdd", "Sub", "Mul", "MulNoNan", "RealDiv", "DivNoNan", "Xdivy", "Xlogy"),
        *("Maximum", "Minimum", "ClipByValue", "Pow", "SquaredDifference", "Atan2", "FloorDiv", "FloorMod"),
        *("Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Tanh", "Sigmoid", "Softplus", "Softsign"),
        *("Abs", "Neg", "Sign", "Reciprocal", "Inv", "Square", "Sqrt", "Rsqrt", "Exp", "Expm1", "Log", "Log1p"),
        *("Erf", "Erfc", "Erfinv", "ErfInv", "Ceil", "Floor", "Round", "Rint"),
        *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"),
        *("Select", "SelectV2", "Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual"),
        *("LogicalAnd", "LogicalOr", "LogicalNot", "LogicalXor", "IsFinite", "IsNan", "IsInf"),
        *("silu", "gelu", "mish", "celu", "prelu", "hardtanh", "hardtanh of other bounds", "hardswish", "hardsigmoid"),
        *("hardshrink", "softshrink", "tanhshrink", "threshold", "logsigmoid", "log_sigmoid", "lerp", "addcmul"),
        *("addcdiv", "nan_to_num", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not"),
        *("isfinite", "isnan", "isinf", "sign", "round", "floor", "ceil", "sin", "cos", "erf", "expm1", "log1p"),
        *("Randomdropout", "Randomdropout2d", "Randomalpha_dropout", "Randomfeature_alpha_dropout", "Randomrrelu"),
    )
)
# What looks at the shape of what it takes, and not at its values.
_OF_SHAPES = frozenset(
    (
        *("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "zeros_like", "ones_like", "full_like"),
        *("Randomrand_like", "Randomrandn_like"),
    )
)


def keeps_places(tensors: Sequence[Any], made_by: Mapping[int, int], layer: int) -> bool:
    """Whether each place of some tensors is made of the same place of other layers' outputs alone.

    What does not depend on the model's inputs, as a weight, may lie between whatever its shape. All else must have the
    shape of what is made of it: where it is spread over the places, each sees what all see.

    Args:
      tensors: What a layer puts out or takes, of one graph.
      made_by: From the id of a layer's output tensor to the layer.
      layer: The layer itself.
    """
    seen: set[int] = set()
    pending = list(tensors)
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen or made_by.get(id(tensor), layer) != layer:
            continue
        seen.add(id(tensor))
        op = tensor.op
        if op.type in _OF_SHAPES or not _depends(op, made_by):
            continue
        shape = sizes(tensor)
        if op.type not in ELEMENT_WISE or shape is None or getattr(op, "is_partly_unseen", False):
            return False
        for one in op.inputs:
            if sizes(one) == shape:
                pending.append(one)
            elif id(one) in made_by or _depends(one.op, made_by):
                return False
    return True


def _depends(op: Any, made_by: Mapping[int, int]) -> bool:
    """Whether an operation may give other values where the model's inputs are others."""
    seen: set[Any] = set()
    pending = [op]
    while pending:
        one = pending.pop()
        if one in seen or one.type in _OF_SHAPES:
            continue
        seen.add(one)
        # A variable's handle is a placeholder in TensorFlow's functions.
        is_given = one.type == "Placeholder" and dtype_name(one.outputs[0]) != "resource"
        if is_given or getattr(one, "is_partly_unseen", False):
            return True
        for tensor in one.inputs:
            if id(tensor) in made_by:
                return True
            pending.append(tensor.op)
    return False
