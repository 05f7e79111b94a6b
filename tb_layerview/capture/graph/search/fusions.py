"""What TensorFlow may compute at once: an operation, and another one that takes what it computes.

Grappler's remapper, its arithmetic optimizer and oneDNN put such operations into one kernel, or in another order, where
nothing else takes what is between them. A look at it parts them, and the training is rounded differently. What they
join depends on version, device and processor, so the pairs here are what any of TensorFlow 2.15 to 2.21 may join, and
some more: a pair too many costs an operation at logged steps, one too few changes the training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tb_layerview.capture.graph.search.index import GraphIndex

# What multiplies matrices; the remapper starts most of its patterns from these.
_CONTRACTIONS = re.compile(r"MatMul(V2|V3)?$|^Conv\dD|^DepthwiseConv2d|^Einsum$")
_ACTIVATIONS = frozenset(
    {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf", "Erfc"}
)
# Chains of these become one operation (`_UnaryOpsComposition`), or are simplified (the square of a difference, the
# exponential less one, a quotient by a square root).
_UNARY = _ACTIVATIONS | frozenset(
    {
        *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Conj", "Cos", "Cosh", "Exp", "Expm1"),
        *("Floor", "Inv", "Log", "Log1p", "Neg", "Pow", "Reciprocal", "Rint", "Round", "Rsqrt", "Sign", "Sin", "Sinh"),
        *("Sqrt", "Square", "Tan"),
    }
)
_SUMS = frozenset({"Add", "AddV2", "AddN", "BiasAdd", "BiasAddV1", "Sub"})
_PRODUCTS = frozenset({"Mul", "MulNoNan", "RealDiv", "Div", "DivNoNan"})
# Products of these are joined only in a pattern that takes them at several places: x * sigmoid(x).
_IN_SEVERAL = re.compile(r"^(BiasAdd(V1)?|Add(V2|N)?|MatMul|Conv\dD\w*|DepthwiseConv2d\w*|FusedBatchNorm(V2|V3)?)$")
_EXTREMES = frozenset({"Maximum", "Minimum"})
_ELEMENTWISE = _UNARY | _SUMS | _PRODUCTS | _EXTREMES
# The same function before or after the largest of several elements is the same, and cheaper after.
_LARGEST = re.compile(r"^(MaxPool\w*|Max|Min|ArgMax|ArgMin)$")
_NORMALIZATION = re.compile(r"^FusedBatchNorm(V2|V3)?$")
# Functions that are only ever added to something as a part of a larger pattern, or as a difference.
_ADDED = frozenset({"Neg", "Tanh", "Erf", "Erfc", "Exp", "Square", "Pow", "Log"})
# What a contraction's kernel can do to what it takes.
_ARRANGED = frozenset(
    {"Pad", "PadV2", "MirrorPad", "Transpose", "ConjugateTranspose", "SpaceToBatchND", "BatchToSpaceND"}
)
# What only hands on numbers or arranges them differently; TensorFlow removes it where it turns out to do nothing.
_HANDED_ON = _ARRANGED | frozenset(
    {
        *("Identity", "IdentityN", "RefIdentity", "StopGradient", "PreventGradient", "Snapshot", "Cast", "Reshape"),
        *("Squeeze", "ExpandDims", "Slice", "StridedSlice", "Tile", "Switch", "RefSwitch"),
    }
)
# What looks at a tensor's shape alone; where that is known, nothing takes the tensor any more.
_OF_SHAPE = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "BroadcastGradientArgs"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


def may_be_joined(maker: str, user: str, is_alone: bool = False, have_constants: bool = True) -> bool:
    """Whether TensorFlow may compute an operation together with one that takes its output, by their types.

    Args:
      maker: The type of the first one.
      user: The type of the second.
      is_alone: Whether nothing else takes that output.
      have_constants: Whether each of them takes a constant too: two factors that are constants become one.
    """
    if maker in _PRODUCTS and user in _PRODUCTS:
        return maker == user == "Mul" or have_constants
    if is_alone and user in _PRODUCTS and _IN_SEVERAL.search(maker):
        return False
    if _NORMALIZATION.search(maker):
        return user in _ELEMENTWISE
    if _CONTRACTIONS.search(maker):
        return user in _ELEMENTWISE or bool(_NORMALIZATION.search(user))
    if maker in _ARRANGED:
        return bool(_CONTRACTIONS.search(user))
    if maker not in _ELEMENTWISE:
        return (maker, user) == ("SquaredDifference", "Mean")
    if user in _SUMS:
        return maker in _SUMS | _PRODUCTS | _ADDED
    if _LARGEST.search(user):
        return maker in _UNARY | _EXTREMES
    if _NORMALIZATION.search(user):
        return maker in _SUMS | _PRODUCTS
    return user in _ELEMENTWISE


class Fusions:
    """What may be computed at once in one graph."""

    def __init__(self, index: GraphIndex, needed_by: Mapping[Any, frozenset[Any]]) -> None:
        """Takes the graph.

        Args:
          index: The graph.
          needed_by: For each operation the optimizers that need it; empty if the graph is not trained.
        """
        self._index, self._needed_by = index, needed_by

    def may_part(self, tensor: Any, reached: frozenset[Any] | None = None) -> bool:
        """Whether a look at a tensor may part what TensorFlow would compute at once.

        It cannot where each run that trains takes the tensor for something else too, which then has to be there anyway:
        as a rule for a gradient.

        Args:
          tensor: The tensor.
          reached: The operations of the one run that is asked about; None for any run that trains.
        """
        if not (tensor.dtype.is_floating or tensor.dtype.is_complex):
            return False
        makers = [tensor]
        while makers[-1].op.type in _HANDED_ON and makers[-1].op.inputs:
            op = makers[-1].op
            makers.append(op.inputs[makers[-1].value_index if op.type == "IdentityN" else 0])
        users = [use for use in self._users(makers[-1]) if reached is None or use[0] in reached]
        is_alone = sum(self._index.is_forward(op) and op.type not in _OF_SHAPE for op, _ in users) < 2
        joined = {op for op, number in users if self._is_joined(makers, op, number, is_alone)}
        is_forward, runs = self._index.is_forward(tensor.op), self._needed_by.get(tensor.op, frozenset())

        def holds(user: Any) -> bool:
            """Whether it takes the tensor in each run, and is not computed together with it."""
            if user.type in _OF_SHAPE | _CALLS or (
                user in joined and not (is_forward and not self._index.is_forward(user))
            ):
                return False
            return reached is not None or (bool(runs) and runs <= self._needed_by.get(user, frozenset()))

        return bool(joined) and not any(holds(op) for op, _ in users)

    def _users(self, tensor: Any) -> Iterator[tuple[Any, int]]:
        """What takes a tensor, and as which of its inputs; operations that only hand it on are passed over."""
        seen: set[tuple[Any, int]] = set()
        stack = [tensor]
        while stack:
            current = stack.pop()
            for op in self._index.users(current):
                taken = [
                    i for i, t in enumerate(op.inputs) if (t.op, t.value_index) == (current.op, current.value_index)
                ]
                for number in taken:
                    if (op, number) in seen:
                        continue
                    seen.add((op, number))
                    if op.type in _HANDED_ON and (op.type == "IdentityN" or number == 0):
                        stack += op.outputs
                    else:
                        yield op, number

    def _is_joined(self, makers: list[Any], user: Any, number: int, is_alone: bool) -> bool:
        """Whether an operation may be computed together with one that makes its input, whose number is given."""
        types = self._taken_by(user.get_attr("f").name, number) if user.type in _CALLS else {user.type}
        has_constant = user.type in _CALLS or _takes_constant(user)
        for tensor in makers:
            maker = self._made_by(tensor.op, tensor.value_index)
            have_constants = has_constant and (tensor.op.type in _CALLS or _takes_constant(tensor.op))
            if any(may_be_joined(maker, each, is_alone, have_constants) for each in types):
                return True
            # A constant factor goes into the constant that is convolved with.
            if maker in _PRODUCTS and has_constant and any(map(_CONTRACTIONS.search, types)):
                return True
        return False

    # A session replaces a call of a function by the function's operations.

    def _made_by(self, op: Any, number: int) -> str:
        """The type of the operation that makes an output; that of a call is made by an operation of the function."""
        kind = str(op.type)
        function = self._index.functions.get(op.get_attr("f").name) if kind in _CALLS else None
        while function is not None:
            nodes = {node.name: node for node in function.node_def}
            name = function.ret[function.signature.output_arg[number].name]
            node = nodes.get(name.split(":")[0])
            while node is not None and node.op in _HANDED_ON and node.input:
                name = node.input[0]
                node = nodes.get(name.split(":")[0])
            kind, function = ("", None) if node is None else (node.op, None)
            if kind in _CALLS and node is not None:
                function, number = self._index.functions.get(node.attr["f"].func.name), int(name.split(":")[-1])
        return kind

    def _taken_by(self, function_name: str, number: int) -> set[str]:
        """The types of the operations that take an argument of a function."""
        function = self._index.functions.get(function_name)
        if function is None or number >= len(function.signature.input_arg):
            return set()
        found: set[str] = set()
        seen: set[str] = set()
        stack = [function.signature.input_arg[number].name]
        while stack:
            name = stack.pop()
            for node in function.node_def:
                taken = [i for i, given in enumerate(node.input) if given == name or given.split(":")[0] == name]
                if not taken:
                    continue
                if node.op in _CALLS:
                    found.update(*(self._taken_by(node.attr["f"].func.name, i) for i in taken))
                elif node.op not in _HANDED_ON:
                    found.add(node.op)
                elif node.name not in seen:
                    seen.add(node.name)
                    stack.append(node.name)
        return found


def _takes_constant(op: Any) -> bool:
    for tensor in op.inputs:
        while tensor.op.type in _HANDED_ON and tensor.op.inputs:
            tensor = tensor.op.inputs[0]
        if tensor.op.type == "Const":
            return True
    return False
