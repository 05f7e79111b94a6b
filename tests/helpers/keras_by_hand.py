"""What layers of Keras 3 compute, layer by layer, and gradients of it by the framework's own means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras_trainings import BACKEND, numpy_of


def gradients(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Gradients of a function's one number with respect to its arguments: of `jax.grad`, or of `backward`."""
    if BACKEND == "jax":
        import jax

        found = jax.grad(function, tuple(range(len(arrays))))(*map(jax.numpy.asarray, arrays))
    else:
        import torch

        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        function(*tensors).backward()
        found = [tensor.grad for tensor in tensors]
    return [numpy_of(gradient) for gradient in found]


def chain(model: Any, trained: Sequence[Any], x: Any, training: bool = True) -> dict[str, Any]:
    """What each layer of a chain of layers gives, each called by itself.

    Args:
      model: Its layers, and what they hold beside their trained weights.
      trained: The trained weights instead of the model's, in its order.
      x: What goes in.
      training: The mode of those layers that have one.
    """
    given, found = list(trained), dict[str, Any]()
    for layer in model.layers[1:]:
        own = [given.pop(0) for _ in layer.trainable_variables]
        mode = {"training": training} if layer._call_has_training_arg else {}
        x, _ = layer.stateless_call(own, [v.value for v in layer.non_trainable_variables], x, **mode)
        found[layer.name] = x
    return found


class Weights(keras.callbacks.Callback):
    """What `get_weights()` returns at each step that is complete, and the logs of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[list[np.ndarray]] = []
        self.logs: list[Mapping[str, float]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.at.append([np.array(array) for array in self.model.get_weights()])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.logs.append({name: float(value) for name, value in logs.items()})

    def on_train_end(self, logs: Any = None) -> None:
        self.at.append([np.array(array) for array in self.model.get_weights()])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
