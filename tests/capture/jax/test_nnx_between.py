"""What lies between modules of Flax is known to keep places just where it does: held against what a changed place
changes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from receptive_fields import keeps_places

import tb_layerview as lv
from tb_layerview import LayerReader, Select
from tb_layerview.format.model import Layer

# Square: what is transposed has the same shape.
SIZES = (5, 5)
Between = Callable[[Any], Any]


@jax.jit
def add_v2(x: Any) -> Any:
    """Is called as an operation is, and does something else."""
    return jnp.roll(x, 1, 1)


@jax.custom_vjp
def identity(x: Any) -> Any:
    """The same."""
    return jnp.roll(x, 1, 1)


identity.defvjp(lambda x: (identity(x), None), lambda _, gradient: (jnp.roll(gradient, -1, 1),))

#: What a model computes between two modules, of the same shape.
BETWEEN: dict[str, Between] = {
    "nothing": lambda x: x,
    "relu": nnx.relu,
    "gelu": nnx.gelu,
    "silu": nnx.silu,
    "elu": nnx.elu,
    "leaky_relu": nnx.leaky_relu,
    "softplus": nnx.softplus,
    "sum": lambda x: x + jnp.sin(x) * 2 - 1,
    "clip": lambda x: jnp.clip(x, -0.5, 1.5),
    "where": lambda x: jnp.where(x > 0, x, 0.5 * x),
    "placed": lambda x: x + jnp.arange(50.0).reshape(1, 5, 5, 2),
    "in a function": jax.jit(lambda x: jnp.tanh(x) + x),
    "roll": lambda x: jnp.roll(x, 1, 1),
    "roll on one way": lambda x: x + jnp.roll(x, 1, 1),
    "a function called as an operation": add_v2,
    "a function with a gradient of its own": identity,
    "flip": lambda x: x[:, :, ::-1],
    "transposition": lambda x: x.transpose(0, 2, 1, 3),
    "pooling": lambda x: nnx.max_pool(x, (3, 3), (1, 1), "SAME"),
    "softmax over space": lambda x: nnx.softmax(x, 1),
    "excitation": lambda x: x * nnx.sigmoid(x.mean((1, 2), keepdims=True)),
    "loop": lambda x: jax.lax.fori_loop(0, 2, lambda _, y: jnp.roll(y, 1, 2), x),
    "sorted": lambda x: jnp.sort(x, 1),
}


class Beside(nnx.Module):
    """Each function between two convolutions, on the same input."""

    def __init__(self, between: dict[str, Between]) -> None:
        rngs = nnx.Rngs(0)
        self.between = tuple(between.values())
        self.first = nnx.List([nnx.Conv(2, 2, (1, 1), rngs=rngs) for _ in between])
        self.second = nnx.List([nnx.Conv(2, 2, (3, 3), rngs=rngs) for _ in between])

    def __call__(self, x: Any) -> Any:
        return [b(f(a(x))) for a, f, b in zip(self.first, self.between, self.second)]


def logged(model: nnx.Module, folder: Path, select: Select | None = None) -> dict[str, Layer]:
    """The layers by path, of a model that takes [example, 5, 5, 2]."""
    probe = jnp.asarray(np.random.default_rng(0).normal(size=(2, *SIZES, 2)), jnp.float32)
    with lv.LayerRecorder(model, folder, probe=probe, select=select or Select()) as recorder:
        recorder.record(0)
    return {layer.path: layer for layer in LayerReader(folder).run().layers}


def _keeps_places(function: Between) -> bool:
    return keeps_places(lambda x: np.asarray(function(jnp.asarray(x))), SIZES)


def test_what_lies_between_two_modules_is_said_to_keep_places_where_it_does(tmp_path: Path) -> None:
    layers = logged(Beside(BETWEEN), tmp_path)
    said = {name: layers[f"second/{i}"].direct for i, name in enumerate(BETWEEN)}
    assert said == {name: _keeps_places(function) for name, function in BETWEEN.items()}
    assert set(said.values()) == {True, False}
    assert not any(layer.in_place for layer in layers.values())
    assert all(layers[f"first/{i}"].direct for i in range(len(BETWEEN)))


class Residual(nnx.Module):
    """Two convolutions, and what it takes added to what they give."""

    def __init__(self, added: Between, rngs: nnx.Rngs) -> None:
        self.one, self.two = (nnx.Conv(2, 2, (3, 3), rngs=rngs) for _ in range(2))
        self.norm, self.added = nnx.BatchNorm(2, rngs=rngs), added

    def __call__(self, x: Any) -> Any:
        return nnx.relu(self.two(nnx.relu(self.norm(self.one(x)))) + self.added(x))


def test_a_module_that_only_adds_what_others_make_works_in_place(tmp_path: Path) -> None:
    rngs = nnx.Rngs(0)
    blocks = [Residual(BETWEEN[name], rngs) for name in ("nothing", "roll")]
    layers = logged(nnx.Sequential(*blocks, nnx.Conv(2, 2, (1, 1), rngs=rngs)), tmp_path)
    assert [layers[f"layers/{i}"].in_place for i in range(3)] == [True, False, False]
    assert all(layers[path].direct for path in ("layers/0/norm", "layers/0/two", "layers/1/one", "layers/2"))


def test_behind_a_module_that_is_left_out_nothing_is_known(tmp_path: Path) -> None:
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(*(nnx.Conv(2, 2, (size, size), rngs=rngs) for size in (1, 3, 3)))
    assert logged(model, tmp_path / "all")["layers/2"].direct
    layers = logged(model, tmp_path / "some", Select(exclude=("layers/1",)))
    assert list(layers) == ["input", "layers/0", "layers/2"] and layers["layers/2"].inputs == (1,)
    assert layers["layers/0"].direct and not layers["layers/2"].direct
