"""What TensorFlow calls the functions of PyTorch, by which the analysis of a pass tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

#: By the function's name without underscores around it: `add`, `add_`, `__add__` and `Tensor.add` are one.
_TYPES = {
    **dict.fromkeys(("add", "iadd", "radd"), "AddV2"),
    **dict.fromkeys(("sub", "subtract", "isub", "rsub"), "Sub"),
    **dict.fromkeys(("mul", "multiply", "imul", "rmul"), "Mul"),
    **dict.fromkeys(("div", "divide", "true_divide", "truediv", "itruediv", "rtruediv", "idiv", "rdiv"), "RealDiv"),
    **dict.fromkeys(("clamp", "clip", "maximum", "clamp_min"), "Maximum"),
    **dict.fromkeys(("minimum", "clamp_max"), "Minimum"),
    **dict.fromkeys(("where", "masked_fill"), "SelectV2"),
    **dict.fromkeys(("linear", "mm", "mv", "dot", "matmul", "rmatmul", "imatmul", "bmm"), "MatMul"),
    **dict.fromkeys(("einsum", "tensordot", "bilinear"), "Einsum"),
    **dict.fromkeys(("conv1d", "conv2d"), "Conv2D"),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), "Conv2DBackpropInput"),
    "conv3d": "Conv3D",
    "conv_transpose3d": "Conv3DBackpropInputV2",
    **dict.fromkeys(
        ("reshape", "view", "flatten", "unflatten", "ravel", "view_as", "reshape_as", "atleast_1d", "atleast_2d"),
        "Reshape",
    ),
    **dict.fromkeys(("T", "mT", "H", "mH", "t", "transpose", "permute", "swapaxes", "swapdims"), "Transpose"),
    **dict.fromkeys(("movedim", "moveaxis"), "Transpose"),
    "squeeze": "Squeeze",
    "unsqueeze": "ExpandDims",
    **dict.fromkeys(
        ("clone", "detach", "contiguous", "alias", "data", "cpu", "cuda", "positive", "pin_memory", "requires_grad"),
        "Identity",
    ),
    **dict.fromkeys(("broadcast_to", "expand", "expand_as"), "BroadcastTo"),
    **dict.fromkeys(("getitem", "narrow", "select"), "StridedSlice"),
    **dict.fromkeys(("embedding", "index_select", "take", "take_along_dim", "gather"), "GatherV2"),
    **dict.fromkeys(("cat", "concat", "concatenate", "hstack", "vstack"), "ConcatV2"),
    "stack": "Pack",
    "unbind": "Unpack",
    **dict.fromkeys(("split", "chunk", "tensor_split", "split_with_sizes"), "SplitV"),
    "pad": "PadV2",
    **dict.fromkeys(("max_pool1d", "max_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"), "MaxPool"),
    **dict.fromkeys(("max_pool3d", "adaptive_max_pool3d"), "MaxPool3D"),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"), "AvgPool"),
    **dict.fromkeys(("avg_pool3d", "adaptive_avg_pool3d"), "AvgPool3D"),
    "log_softmax": "LogSoftmax",
    "relu": "Relu",
    "relu6": "Relu6",
    "leaky_relu": "LeakyRelu",
    "elu": "Elu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "softsign": "Softsign",
    **dict.fromkeys(("pow", "ipow", "rpow"), "Pow"),
    "neg": "Neg",
    "abs": "Abs",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "rsqrt": "Rsqrt",
    "square": "Square",
    "reciprocal": "Reciprocal",
    "sum": "Sum",
    "mean": "Mean",
    "amax": "Max",
    "amin": "Min",
    "prod": "Prod",
    "cumsum": "Cumsum",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "rms_norm": "RmsNorm",
    "one_hot": "OneHot",
}
# What changes the type, or, if it has it already, nothing.
_CASTS = frozenset(("to", "type", "type_as", "float", "half", "bfloat16", "double", "int", "long", "bool"))
# What draws random numbers, whatever it is given.
_RANDOM = frozenset(
    (
        *("bernoulli", "multinomial", "normal", "poisson", "uniform", "exponential", "geometric", "log_normal"),
        *("cauchy", "random", "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
        *("gumbel_softmax", "fractional_max_pool2d", "fractional_max_pool3d", "standard_gamma", "binomial"),
    )
)
# What draws them where it is told to train; by that argument's place.
_DROPPING = {
    "dropout": 2,
    "dropout1d": 2,
    "dropout2d": 2,
    "dropout3d": 2,
    "alpha_dropout": 2,
    "feature_alpha_dropout": 2,
    "feature_dropout": 2,
    "rrelu": 3,
    "native_dropout": 2,
}
# Normalisations that are told whether to use what they see or what they have learned; by that argument's place.
_NORMALISING = {"batch_norm": ("training", 5), "instance_norm": ("use_input_stats", 5)}


# The arguments of `hardtanh`: names, places, and what they are unless somebody says otherwise.
_BOUNDS = (("min_val", 1, -1.0), ("max_val", 2, 1.0))


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function of torch, of a tensor's method or of its attribute, without underscores around it."""
    name = str(getattr(function, "__name__", ""))
    if name == "__get__":
        name = str(getattr(getattr(function, "__self__", None), "__name__", ""))
    return name.strip("_")


def type_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], tensors: Sequence[Any], result: Any) -> str:
    """TensorFlow's name of an operation, or torch's own where it has none.

    Args:
      name: What `name_of` gives.
      args: Of the call.
      kwargs: Of the call, by name.
      tensors: The tensors among them.
      result: The first tensor that came of it.
    """
    if name in _RANDOM:
        return f"Random{name}"
    if name in _DROPPING:
        # Torch's own functions train if nobody says otherwise, but for `rrelu`.
        place = _DROPPING[name]
        trains = kwargs.get("training", args[place] if len(args) > place else name != "rrelu")
        return f"Random{name}" if trains else "Identity"
    if name in _NORMALISING:
        keyword, place = _NORMALISING[name]
        of_batch = kwargs.get(keyword, args[place] if len(args) > place else name == "instance_norm")
        return f"{name} of the batch" if of_batch else name
    if name == "scaled_dot_product_attention":
        dropped = kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
        return f"Random{name}" if dropped else name
    if name in _CASTS or name == "view":
        if tensors and result.dtype != tensors[0].dtype:
            return "Bitcast" if name == "view" else "Cast"
        return "Reshape" if name == "view" else "Identity"
    if name == "hardtanh":
        low, high = (kwargs.get(k, args[i] if len(args) > i else d) for k, i, d in _BOUNDS)
        return {(0.0, 6.0): "Relu6", (-1.0, 1.0): name}.get((float(low), float(high)), f"{name} of other bounds")
    if name == "softmax":
        axis = kwargs.get("dim", args[1] if len(args) > 1 else -1)
        return "Softmax" if axis in (-1, result.ndim - 1) else "softmax over another axis"
    found = _TYPES.get(name, name)
    return "BatchMatMulV2" if found == "MatMul" and name != "linear" and result.ndim > 2 else found


#: Products that also add something: what is added comes first.
ADDING_PRODUCTS = frozenset(("addmm", "addbmm", "baddbmm", "addmv"))


def is_state(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a weight by its class."""
    return isinstance(tensor, torch.nn.Parameter)
