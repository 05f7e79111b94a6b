"""Networks of Flax NNX, and loops that train them, bare or logged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

STEPS, BATCH = 5, 8
_rng = np.random.default_rng(11)
ROWS = _rng.normal(size=(STEPS, BATCH, 6)).astype(np.float32)
IMAGES = _rng.normal(size=(STEPS, BATCH, 6, 6, 1)).astype(np.float32)
TOKENS = _rng.integers(0, 9, size=(STEPS, BATCH, 5))
LABELS = _rng.integers(0, 3, size=(STEPS, BATCH))

#: Is told of each step: its number, the loss, and what it was trained on.
Told = Callable[[int, Any, Any], None]


def cross_entropy(logits: Any, labels: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


class Mlp(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.hidden, self.out = nnx.Linear(6, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.out(jnp.tanh(self.hidden(x)))


class Cnn(nnx.Module):
    """With moving statistics and a random generator."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv, self.norm = nnx.Conv(1, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, rngs=rngs)
        self.drop, self.out = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = nnx.relu(self.norm(self.conv(x))).mean((1, 2))
        return self.out(self.drop(x))


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            num_heads=2, in_features=8, dropout_rate=0.1, deterministic=False, decode=False, rngs=rngs
        )
        self.mlp, self.drop = nnx.Linear(8, 8, rngs=rngs), nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = x + self.attention(self.norm(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.drop(nnx.relu(self.mlp(x)))


class Transformer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(9, 8, rngs=rngs)
        self.blocks, self.out = nnx.List([Block(rngs)]), nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean(1))


class Scaled(nnx.Linear):
    """Calls the method that it overrides, and is told its mode by an argument."""

    def __call__(self, x: Any, train: bool = True) -> Any:
        return super().__call__(x) * (2.0 if train else 1.0)


class Shared(nnx.Module):
    """Calls a module twice, and has it under two names."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.inner, self.out = Scaled(6, 6, rngs=rngs), nnx.Linear(6, 6, rngs=rngs), Mlp(rngs)
        self.again = self.inner

    def __call__(self, x: Any, train: bool) -> Any:
        return self.out(jnp.tanh(self.again(jnp.tanh(self.inner(self.first(x, train))))))


class Stacked(nnx.Module):
    """Has a stack of layers that are made by `vmap` and called by `scan`, and one that is computed twice."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=0, out_axes=0)
        def make(rngs: nnx.Rngs) -> Any:
            return nnx.Linear(6, 6, rngs=rngs)

        self.stack, self.checkpointed, self.out = make(rngs), nnx.Linear(6, 6, rngs=rngs), Mlp(rngs)

    def __call__(self, x: Any) -> Any:
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def forward(x: Any, layer: Any) -> Any:
            return jnp.tanh(layer(x))

        x = forward(x, self.stack)
        x = nnx.remat(lambda layer, x: layer(x))(self.checkpointed, x)
        return self.out(x)


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained, and on what.

    Attributes:
      make: Makes the network.
      x: The inputs of all steps.
      optimizers: Makes what trains it.
      jit: What a step is compiled by.
    """

    make: Callable[[nnx.Rngs], nnx.Module]
    x: np.ndarray
    optimizers: Callable[[Any], list[nnx.Optimizer[Any]]] = lambda model: [
        nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    ]
    jit: Callable[..., Any] = nnx.jit


def of_biases_and_others(model: Any) -> list[nnx.Optimizer[Any]]:
    biases = nnx.All(nnx.Param, nnx.PathContains("bias"))
    others = nnx.All(nnx.Param, nnx.Not(nnx.PathContains("bias")))
    rate = optax.inject_hyperparams(optax.sgd)(0.1, momentum=0.9)
    return [nnx.Optimizer(model, rate, wrt=others), nnx.Optimizer(model, optax.adamw(1e-2), wrt=biases)]


def not_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def donating(function: Callable[..., Any]) -> Callable[..., Any]:
    return nnx.jit(function, donate_argnums=(0, 1))


TRAININGS = {
    "mlp": Training(Mlp, ROWS),
    "donated": Training(Mlp, ROWS, jit=donating),
    "cnn": Training(Cnn, IMAGES),
    "transformer": Training(Transformer, TOKENS),
    "shared": Training(Shared, ROWS),
    "two optimizers, eager": Training(Mlp, ROWS, of_biases_and_others, not_compiled),
    "stacked": Training(Stacked, ROWS),
}


def trained(training: Training, log: Callable[[Any, list[Any]], Told] | None = None, steps: int = STEPS) -> list[Any]:
    """Trains; returns the losses, and all that is left in model and optimizers, as numbers of numpy."""
    model = training.make(nnx.Rngs(params=0, dropout=1))
    optimizers = training.optimizers(model)
    extra = (True,) if isinstance(model, Shared) else ()

    def step(model: Any, optimizers: Any, x: Any, y: Any) -> Any:
        def loss_of(model: Any) -> Any:
            return cross_entropy(model(x, *extra), y)

        losses = []
        for optimizer in optimizers:
            loss, gradients = nnx.value_and_grad(loss_of, argnums=nnx.DiffState(0, optimizer.wrt))(model)
            optimizer.update(model, gradients)
            losses.append(loss)
        return jnp.stack(losses)

    step = training.jit(step)
    told = None if log is None else log(model, optimizers)
    losses = []
    for number in range(steps):
        batch = training.x[number % STEPS], LABELS[number % STEPS]
        loss = step(model, tuple(optimizers), *batch)
        if told is not None:
            told(number + 1, loss[0], batch)
        losses.append(np.array(loss))
    return [*losses, *arrays(model), *(array for one in optimizers for array in arrays(one))]


def arrays(node: Any) -> list[np.ndarray]:
    """All that a module or an optimizer holds; of keys their bits."""
    leaves = jax.tree.leaves(nnx.split(node)[1])
    return [
        np.array(jax.random.key_data(one) if jnp.issubdtype(one.dtype, jax.dtypes.prng_key) else one) for one in leaves
    ]
