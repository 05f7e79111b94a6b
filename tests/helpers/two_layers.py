"""A network of two dense layers worked out by hand: what a log of it has to say."""

from __future__ import annotations

import numpy as np

from tb_layerview.reading.run import Run

Key = tuple[str, str, str]  # layer, kind, name


def logged(run: Run, key: Key, step: int) -> np.ndarray:
    """What a run kept of a tensor."""
    layer, kind, name = key
    return run.values(run.tensor(layer, kind=kind, name=name), step).array


def by_hand(
    run: Run, step: int, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None
) -> dict[Key, np.ndarray]:
    """Activations and gradients of `hidden`, with tanh, and `scores`, with the weights that are logged at a step.

    Args:
      run: What was logged of it.
      step: Of the run.
      x: The probe.
      y: Its targets, for the mean squared error.
      weight: Of each example, if they differ: Keras weighs the examples' errors, and divides by their number.
    """
    w1, b1, w2, b2 = (
        logged(run, (layer, "weight", name), step).astype(float)
        for layer in ("hidden", "scores")
        for name in ("kernel", "bias")
    )
    hidden = np.tanh(x.astype(float) @ w1 + b1)
    scores = hidden @ w2 + b2
    error = 2 * (scores - y) / y.size * (1 if weight is None else weight[:, None])
    at_hidden = error @ w2.T * (1 - hidden**2)
    return {
        ("hidden", "activation", "output"): hidden,
        ("scores", "activation", "output"): scores,
        ("scores", "gradient", "kernel"): hidden.T @ error,
        ("scores", "gradient", "bias"): error.sum(axis=0),
        ("hidden", "gradient", "kernel"): x.T.astype(float) @ at_hidden,
        ("hidden", "gradient", "bias"): at_hidden.sum(axis=0),
    }


def assert_true(run: Run, step: int, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> None:
    """What is logged at a step is what is worked out by hand."""
    for key, truth in by_hand(run, step, x, y, weight).items():
        np.testing.assert_allclose(logged(run, key, step), truth, rtol=1e-3, atol=2e-6, err_msg=f"{step} {key}")
