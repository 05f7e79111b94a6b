"""Logs a module of Flax NNX from a training loop of one's own.

    python examples/nnx_loop.py [LOGDIR]    # logs/nnx_loop if none is given
    tensorboard --logdir logs               # then open the Layers tab

Needs Flax, and scikit-learn for its 1,797 handwritten digits.
"""

from __future__ import annotations

import sys

import jax
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import tb_layerview as lv

BATCH = 64


class Network(nnx.Module):
    """A convolution, normalised, dropped in part, and a classifier."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(1, 16, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.drop = nnx.Dropout(0.25, rngs=rngs)
        self.out = nnx.Linear(16 * 64, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """The logits of pictures."""
        x = nnx.relu(self.norm(self.conv(x)))
        return self.out(self.drop(x.reshape(len(x), -1)))


def loss_of(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@nnx.jit
def train(model: Network, optimizer: nnx.Optimizer, pixels: jax.Array, labels: jax.Array) -> jax.Array:
    """Trains one step, and returns the loss."""
    loss, gradients = nnx.value_and_grad(lambda model: loss_of(model(pixels), labels))(model)
    optimizer.update(model, gradients)
    return loss


def main(logdir: str = "logs/nnx_loop") -> None:
    """Trains for two epochs and logs every module."""
    rng = np.random.default_rng(0)
    digits = load_digits()
    pixels, labels = (digits.images / 16).astype("float32")[..., None], digits.target
    model = Network(nnx.Rngs(params=0, dropout=1))
    model.train()
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    probe = pixels[:32], labels[:32]
    step = 0
    with lv.LayerRecorder(model, logdir, probe, loss=loss_of, optimizer=optimizer) as recorder:
        recorder.record(step)
        for _ in range(2):
            for rows in np.array_split(rng.permutation(len(labels)), range(BATCH, len(labels), BATCH)):
                loss = train(model, optimizer, pixels[rows], labels[rows])
                step += 1
                # With its batch, a step that breaks the training can be run again, and the layer is named.
                recorder.record(step, {"loss": loss}, batch=(pixels[rows], labels[rows]))
    print(f"{step} steps, loss {loss.item():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
