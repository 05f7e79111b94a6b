"""One training on TensorFlow, JAX and PyTorch is one log: three that know nothing of each other say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import program_on_any_backend as program
import pytest

pytest.importorskip("tensorflow")

from sklearn.datasets import load_digits

from tb_layerview import LayerReader
from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.statistics import COUNTS, QUANTILES, STATISTICS, SUMMARIES
from tb_layerview.reading.run import Run

MISSING = ", ".join(str(python.relative_to(program.ROOT)) for python in program.missing().values())
pytestmark = [
    pytest.mark.once,  # it is the modern stack's TensorFlow that trains
    pytest.mark.long,
    pytest.mark.skipif(bool(MISSING), reason=f"not set up: {MISSING}"),
]

STEPS = 3
#: A normalisation takes out again what a bias before it adds: its gradient is zero, and what is computed is rounding
#: alone, of another kind with each framework. So are what the optimizer keeps of it, and its updates.
ROUNDING = {("conv", "gradient", "bias"), ("conv", "update", "bias"), ("conv", "optimizer", "bias/momentum")}
others = pytest.mark.parametrize("backend", ["jax", "torch"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The runs of one log folder, by backend."""
    folder = tmp_path_factory.mktemp("logs")
    digits = load_digits()
    examples = slice(STEPS * program.BATCH)
    program.train(folder, (digits.images[examples, ..., np.newaxis] / 16).astype(np.float32), digits.target[examples])
    return {run.name: run for run in LayerReader(folder).runs()}


def told(tensor: LoggedTensor) -> tuple[str, str, str]:
    return tensor.layer, tensor.kind, tensor.name


def scale_of(run: Run, tensor: LoggedTensor, step: int) -> float:
    """The tensor's own largest value."""
    digest = run.digest(tensor, step)
    return max(abs(digest.min), abs(digest.max))


def those(run: Run, *kinds: str) -> list[LoggedTensor]:
    """The tensors of some kinds that are more than rounding."""
    return [tensor for tensor in run.tensors if tensor.kind in kinds and told(tensor) not in ROUNDING]


def test_each_was_computed_by_its_own_framework(runs: dict[str, Run]) -> None:
    software = {name: run.model.software for name, run in runs.items()}
    assert set(software) == {"tensorflow", "jax", "torch"}
    for name, word in (("tensorflow", "TensorFlow"), ("jax", "JAX"), ("torch", "PyTorch")):
        assert [other for other in software if f", {word} " in software[other]] == [name]


@others
def test_layers_tensors_names_axes_types_functions_and_neighbours_are_the_same(
    backend: str, runs: dict[str, Run]
) -> None:
    one, other = runs["tensorflow"], runs[backend]
    assert one.layers == other.layers and one.tensors == other.tensors
    assert [layer.path for layer in one.layers] == ["input", *(layer.name for layer in program.model().layers[1:])]
    assert [f"{t.layer}/{t.name}" for t in one.tensors if t.kind == "weight"] == list(program.WEIGHTS)
    for kind, name in (("gradient", "{}"), ("update", "{}"), ("optimizer", "{}/momentum")):
        expected = [name.format(weight) for weight in program.TRAINED]
        assert [f"{t.layer}/{t.name}" for t in one.tensors if t.kind == kind] == expected
    assert {t.layer: t.function for t in one.tensors if t.function} == {"relu": "relu", "hidden": "tanh"}
    assert list(one.steps) == list(other.steps) == list(range(STEPS + 1))
    assert one.modes == other.modes and one.model.notes == other.model.notes == ()
    # JAX is given labels in half the bits, as it has no others by default.
    bits = {"tensorflow": "int64", "torch": "int64", "jax": "int32"}
    for run in (one, other):
        (target,) = run.model.probe.targets
        assert (target.dtype, target.shape) == (bits[run.name], (program.BATCH,))
    assert replace(one.model.probe, targets=()) == replace(other.model.probe, targets=())


@others
def test_at_the_first_step_statistics_and_values_are_the_same(backend: str, runs: dict[str, Run]) -> None:
    one, other = runs["tensorflow"], runs[backend]
    found = those(one, "activation", "weight", "gradient")
    assert len(found) == 8 + len(program.WEIGHTS) + len(program.TRAINED) - 1
    for tensor in found:
        scale = scale_of(one, tensor, 0)
        assert scale > 1e-3
        here, there = ([getattr(run.digest(tensor, 0), name) for name in STATISTICS] for run in (one, other))
        assert here[:COUNTS] == there[:COUNTS], tensor
        np.testing.assert_allclose(there[COUNTS:], here[COUNTS:], rtol=0, atol=1e-5 * scale, err_msg=f"{tensor}")
        values, others = (run.values(tensor, 0).array for run in (one, other))
        assert values.size == here[0] and values.dtype == others.dtype == np.float32
        np.testing.assert_allclose(others, values, rtol=0, atol=1e-5 * scale, err_msg=f"{tensor}")
        for name in SUMMARIES:
            here, there = (float(run.statistics(name)[tensor, 0]) for run in (one, other))
            within = 1e-5 * scale if name in QUANTILES else 1e-5
            assert there == pytest.approx(here, rel=1e-5, abs=within, nan_ok=True), f"{name} of {tensor}"


@others
def test_at_the_first_step_weights_are_those_that_were_given_to_the_last_bit(
    backend: str, runs: dict[str, Run]
) -> None:
    given = program.weights()
    for name in ("tensorflow", backend):
        for tensor in those(runs[name], "weight"):
            array = given[f"{tensor.layer}/{tensor.name}"]
            np.testing.assert_array_equal(runs[name].values(tensor, 0).array, array)


@others
def test_losses_are_the_same_at_each_step(backend: str, runs: dict[str, Run]) -> None:
    one, other = runs["tensorflow"].scalars, runs[backend].scalars
    assert set(one) == set(other) == {"loss", "probe_loss", "learning_rate"}
    assert np.isnan(one["loss"]).tolist() == [True] + [False] * STEPS
    assert not np.isnan(one["probe_loss"]).any()
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-5, err_msg=name)


@others
def test_all_that_the_next_steps_log_is_the_same_up_to_rounding(backend: str, runs: dict[str, Run]) -> None:
    one, other = runs["tensorflow"], runs[backend]
    for step in range(1, STEPS + 1):
        for tensor in those(one, "activation", "weight", "gradient", "update", "optimizer"):
            values, others = (run.values(tensor, step).array for run in (one, other))
            scale = scale_of(one, tensor, step)
            assert scale > 1e-4
            np.testing.assert_allclose(others, values, rtol=0, atol=1e-4 * scale, err_msg=f"{step} {tensor}")


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_gradient_of_a_bias_before_a_normalisation_is_rounding(backend: str, runs: dict[str, Run]) -> None:
    run = runs[backend]
    bias, kernel = (run.tensor("conv", kind="gradient", name=name) for name in ("bias", "kernel"))
    for step in range(STEPS + 1):
        assert scale_of(run, bias, step) < 1e-5 * scale_of(run, kernel, step)
