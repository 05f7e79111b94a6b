"""Activation functions: how they are told, and where they let no gradient through."""

from __future__ import annotations

import math

#: The activation functions that are one operation each, by its type: Keras' names for them.
FUNCTIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "LeakyRelu": "leaky_relu",
    "Elu": "elu",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Softmax": "softmax",
}

_LOW_DERIVATIVE = 1e-2  # by the largest
_ROOT = math.sqrt(1 - _LOW_DERIVATIVE)
#: By activation function the outputs beyond which its derivative is below a hundredth of its largest. The derivative of
#: the sigmoid is y(1 - y), at most 1/4; of tanh 1 - y^2; of softsign (1 - |y|)^2. The others have corners. What a ReLU
#: cuts off at 0 is no saturation: that is what `zero` and `silent` count.
BOUNDS: dict[str, tuple[float, float]] = {
    "sigmoid": ((1 - _ROOT) / 2, (1 + _ROOT) / 2),
    "tanh": (-_ROOT, _ROOT),
    "softsign": (-(1 - math.sqrt(_LOW_DERIVATIVE)), 1 - math.sqrt(_LOW_DERIVATIVE)),
    "hard_sigmoid": (0.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "relu6": (-math.inf, 6.0),
}

#: Those that give zero for whatever is negative.
RECTIFIERS = ("relu", "relu6")
