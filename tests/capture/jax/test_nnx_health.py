"""Planted faults are found in modules of Flax NNX: the right module, from the right step on; a healthy one has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import tb_layerview as lv
from tb_layerview.health.finding import Finding
from tb_layerview.health.of_run import diagnose_runs

STEPS, BATCH, BAD = 40, 32, 21


def problem() -> tuple[np.ndarray, np.ndarray]:
    """As many examples as the steps take: normal features, and a smooth function of two of them."""
    x = np.random.default_rng(0).normal(size=(STEPS * BATCH, 8)).astype(np.float32)
    return x, np.tanh(x[:, :1] * x[:, 1:2])


class Divides(nnx.Module):
    """Divides by what it takes: by zero where an example is all zero."""

    def __call__(self, x: Any) -> Any:
        return x / jnp.abs(x).max(1, keepdims=True)


class Network(nnx.Module):
    def __init__(self, first: Callable[[Any], Any] | None = None) -> None:
        rngs = nnx.Rngs(3)
        self.first = first
        self.hidden, self.act, self.out = nnx.Linear(8, 16, rngs=rngs), Relu(), nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = x if self.first is None else self.first(x)
        return self.out(self.act(self.hidden(x)))


class Relu(nnx.Module):
    def __call__(self, x: Any) -> Any:
        return nnx.relu(x)


def mean_square(outputs: Any, y: Any) -> Any:
    return jnp.mean((outputs - y) ** 2)


@nnx.jit
def train(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
    loss, gradients = nnx.value_and_grad(lambda model: mean_square(model(x), y))(model)
    optimizer.update(model, gradients)
    return loss


def found_in(model: nnx.Module, x: np.ndarray, y: np.ndarray, folder: Path) -> tuple[Finding, ...]:
    """Trains, and gives what the rules find in all that was logged, the replay included."""
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    probe = x[:BATCH], y[:BATCH]
    options: dict[str, Any] = {"loss": mean_square, "schedule": 1, "check": lv.Check(replay=True)}
    with lv.LayerRecorder(model, folder, probe, optimizer=optimizer, **options) as recorder:
        recorder.record(0)
        for step in range(STEPS):
            batch = tuple(part[step * BATCH : (step + 1) * BATCH] for part in (x, y))
            loss = train(model, optimizer, *batch)
            recorder.record(step + 1, {"loss": loss}, batch=batch)
    return {run.name: found for run, found in diagnose_runs(lv.LayerReader(folder).runs())}["."]


def test_a_healthy_training_has_no_findings(tmp_path: Path) -> None:
    assert found_in(Network(), *problem(), tmp_path) == ()


def test_units_that_are_dead_from_the_beginning_are_found(tmp_path: Path) -> None:
    model = Network()
    model.hidden.bias.set_value(jnp.full(16, -50.0))
    found = found_in(model, *problem(), tmp_path)
    of_units = [one for one in found if one.tensor is not None and one.tensor.layer == "act" and not one.first]
    assert {one.rule for one in of_units} & {"silent_layer", "dead_units", "silent_units"}, found


def test_an_example_that_breaks_a_module_outside_the_probe_is_found_by_a_replay(tmp_path: Path) -> None:
    x, y = problem()
    x[(BAD - 1) * BATCH + 5] = 0
    found = found_in(Network(Divides()), x, y, tmp_path)
    (first,) = (one for one in found if one.replay is not None and one.follows is None)
    assert first.tensor is not None
    assert (first.rule, first.tensor.layer, first.first) == ("non_finite", "first", BAD)
