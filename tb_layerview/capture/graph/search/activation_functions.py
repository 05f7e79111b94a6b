"""Activation functions in a TensorFlow graph, and what TensorFlow computes together with one."""

from __future__ import annotations

from typing import Any

from tb_layerview.capture.graph.search.index import GraphIndex, can_look

#: Operations that are activation functions, and Keras' name for a layer of each.
NONLINEAR = {
    "Relu": "ReLU",
    "Relu6": "ReLU",
    "LeakyRelu": "LeakyReLU",
    "Elu": "ELU",
    "Selu": "Activation",
    "Sigmoid": "Activation",
    "Tanh": "Activation",
    "Softplus": "Activation",
    "Softsign": "Activation",
    "Softmax": "Softmax",
}
#: Those that TensorFlow may compute in one kernel with what they take.
FUSED = frozenset(NONLINEAR) - {"Softmax"}


def with_activation_function(index: GraphIndex, tensor: Any) -> Any:
    """The output of the activation function that is the only user of a layer's output; without one, the output itself.

    TensorFlow computes such a pair in one kernel, unless something looks at what is between: the training would then no
    longer be the same to the last bit (tried: batch normalisation and ReLU, dense and tanh, convolution and ELU).
    """
    consumers = index.consumers(tensor)
    if len(consumers) == 1 and consumers[0].type in FUSED and can_look(consumers[0]):
        return consumers[0].outputs[0]
    return tensor
