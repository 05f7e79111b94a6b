"""What optimizers keep of the weights of a network of two dense layers, worked out by numpy; and what each keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Arrays = Sequence[np.ndarray]
#: The layer and the name of each weight, in the order of the model's.
WEIGHTS = (("hidden", "kernel"), ("hidden", "bias"), ("scores", "kernel"), ("scores", "bias"))


def gradients(weights: Arrays, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Of the mean squared error of a network with tanh between its layers, float64.

    Args:
      weights: Kernel and bias of the first layer, and of the second.
      x: The batch.
      y: Its targets.
    """
    w1, b1, w2, b2 = (weight.astype(float) for weight in weights)
    hidden = np.tanh(x.astype(float) @ w1 + b1)
    error = 2 * (hidden @ w2 + b2 - y) / y.size
    at_hidden = error @ w2.T * (1 - hidden**2)
    return [x.T.astype(float) @ at_hidden, at_hidden.sum(axis=0), hidden.T @ error, error.sum(axis=0)]


def moments(of_steps: Sequence[Arrays], betas: tuple[float, float] = (0.9, 0.999)) -> Iterator[tuple[Arrays, Arrays]]:
    """Adam's two moments after each step: (1 - b) times the sum of b^(n - i) times the gradients, and their squares.

    Args:
      of_steps: The gradients of each step.
      betas: Both rates of decay.
    """
    for n in range(1, len(of_steps) + 1):
        first, second = (
            [
                (1 - beta) * sum(beta ** (n - 1 - i) * gradient[j] ** power for i, gradient in enumerate(of_steps[:n]))
                for j in range(len(of_steps[0]))
            ]
            for beta, power in zip(betas, (1, 2))
        )
        yield first, second


def told_apart(
    make: Callable[[], Any],
    weights: Callable[[], list[Any]],
    apply: Callable[[Any, list[np.ndarray], list[Any]], list[np.ndarray]],
    count: int = 2,
) -> list[set[int]]:
    """For each of the first weights the places, among an optimizer's variables, of what its gradient alone changes.

    Args:
      make: Makes the optimizer.
      weights: Makes the variables that it trains.
      apply: Has an optimizer train variables with gradients; gives what its own variables then hold.
      count: Of how many weights.
    """

    def after(chosen: int | None) -> list[np.ndarray]:
        variables = weights()
        of_weights = [np.full(tuple(v.shape), float(i == chosen), np.float32) for i, v in enumerate(variables)]
        return apply(make(), of_weights, variables)

    nothing = after(None)
    return [
        {i for i, (one, other) in enumerate(zip(nothing, after(chosen))) if not np.array_equal(one, other)}
        for chosen in range(count)
    ]


def variables_of(optimizer: Any) -> list[Any]:
    """An optimizer's variables; Keras 2 has a method for them."""
    found = optimizer.variables
    return list(found() if callable(found) else found)


def value_of(variable: Any) -> np.ndarray:
    """What a variable holds, whatever computes it."""
    value = variable.value if not callable(getattr(variable, "value", None)) else variable.value()
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
