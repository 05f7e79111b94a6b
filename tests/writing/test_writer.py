"""`LayerWriter`, read back through `LayerReader`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.format.model import KINDS, Kind

rng = np.random.default_rng(4)


@pytest.mark.covers("What and when: LayerWriter, numpy")
def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    activations = rng.normal(size=(5, 8, 6)).astype(np.float32)
    kernels = rng.normal(size=(5, 6, 3))
    with LayerWriter(tmp_path / "run1", keep=Keep(precision="float64")) as writer:
        for step in range(5):
            writer.write(step, {"encoder/attention": activations[step]}, scalars={"loss": 1.0 / (step + 1)})
            writer.write(step, {"encoder/attention": kernels[step]}, kind="weight")
    (run,) = LayerReader(tmp_path).runs()
    assert run.name == "run1"
    assert list(run.steps) == [0, 1, 2, 3, 4]
    assert run.scalars["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    activation = run.tensor("encoder/attention", kind="activation", name="output")
    kernel = run.tensor("encoder/attention", kind="weight", name="kernel")
    for tensor, truth in ((activation, activations.astype(np.float64)), (kernel, kernels)):
        np.testing.assert_allclose(run.statistics("mean")[tensor], truth.mean(axis=(1, 2)), rtol=1e-9)
        for step in range(5):
            assert np.array_equal(run.values(tensor, step).array, truth[step])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_back(tmp_path: Path, kind: Kind) -> None:
    array = rng.normal(size=(6, 3))
    with LayerWriter(tmp_path, keep=Keep(gradients=18, precision="float64")) as writer:
        writer.write(0, {"dense": np.zeros((4, 3))})
        writer.write(1, {"dense": array}, kind=kind, name="kernel/momentum")
    (run,) = LayerReader(tmp_path).runs()
    tensor = run.tensor("dense", kind=kind, name="kernel/momentum")
    assert np.array_equal(run.values(tensor, 1).array, array)
    assert tensor.axes == (("example", "unit") if kind == "activation" else ("input", "unit"))


def test_a_step_is_on_disk_when_write_returns_even_if_the_process_is_killed(tmp_path: Path) -> None:
    script = """
        import sys, numpy as np
        from tb_layerview import LayerWriter
        writer = LayerWriter(sys.argv[1])
        for step in range(10_000):
            writer.write(step, {"a": np.full((4, 5), float(step))})
            print(step, flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 40:
            process.send_signal(signal.SIGKILL)
            break
    rest = process.stdout.read().split()
    process.wait()
    returned = int(rest[-1]) if rest else 40
    run = LayerReader(tmp_path).run()
    assert run.steps[-1] >= returned
    tensor = run.tensor("a", kind="activation", name="output")
    for step in run.steps:
        assert run.values(tensor, step).array[0, 0] == step


def test_steps_that_go_back_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(5, {"a": np.ones(3)})
        with pytest.raises(ValueError, match="step 3 comes after step 5.*Open a new writer"):
            writer.write(3, {"a": np.ones(3)})


def test_a_later_writer_replaces_the_steps_that_it_logs_again(tmp_path: Path) -> None:
    for first, value in ((0, 1.0), (6, 2.0)):
        with LayerWriter(tmp_path) as writer:
            for step in range(first, 10):
                writer.write(step, {"a": np.full((2, 2), value)})
    run = LayerReader(tmp_path).run()
    means = run.statistics("mean")[run.tensor("a")]
    assert means.tolist() == [1.0] * 6 + [2.0] * 4


def test_tensors_may_appear_later(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.ones((2, 2))})
        writer.write(1, {"a": np.ones((2, 2)), "b": np.ones((2, 2))})
    run = LayerReader(tmp_path).run()
    assert np.isnan(run.statistics("mean")[run.tensor("b")]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arrays": {"a": np.ones(2)}, "kind": "weights"}, "no kind 'weights'; the kinds are"),
        ({"arrays": {"a": np.array(["x"])}}, "holds no real numbers"),
        ({"arrays": {"a": np.ones((2, 2))}, "axes": ("row",)}, "names 1 axes, but the array of 'a' has 2"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(tmp_path: Path, arguments: dict, message: str) -> None:
    with LayerWriter(tmp_path) as writer, pytest.raises((ValueError, TypeError), match=message):
        writer.write(0, **arguments)


TRUTH = rng.normal(size=(4, 3)).astype(np.float32)
# Numbers that bfloat16 holds exactly.
COARSE = rng.integers(-64, 64, size=(4, 3)).astype(np.float32)


def _tensorflow() -> dict[str, tuple[object, np.ndarray]]:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    return {
        "tensor": (tf.constant(TRUTH), TRUTH),
        "variable": (tf.Variable(TRUTH), TRUTH),
        "keras": (tf.keras.layers.Dense(3, kernel_initializer=lambda *_, **__: tf.constant(TRUTH)), TRUTH),
        "bfloat16": (tf.constant(COARSE, tf.bfloat16), COARSE),
    }


def _torch() -> dict[str, tuple[object, np.ndarray]]:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    linear = torch.nn.Parameter(torch.tensor(TRUTH))
    return {
        "tensor": (torch.tensor(TRUTH), TRUTH),
        "parameter": (linear, TRUTH),
        "with gradient": (linear * 2, TRUTH * 2),
        "transposed": (torch.tensor(TRUTH).T, TRUTH.T),
        "bfloat16": (torch.tensor(COARSE, dtype=torch.bfloat16, requires_grad=True), COARSE),
        "integers": (torch.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3)),
    }


def _jax() -> dict[str, tuple[object, np.ndarray]]:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    return {"array": (jax.numpy.asarray(TRUTH), TRUTH), "bfloat16": (jax.numpy.asarray(COARSE, "bfloat16"), COARSE)}


def _plain() -> dict[str, tuple[object, np.ndarray]]:
    class Own:
        """What numpy asks: https://numpy.org/doc/stable/user/basics.interoperability.html."""

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return TRUTH

    return {
        "array": (TRUTH, TRUTH),
        "strided": (TRUTH[::2, ::-1], TRUTH[::2, ::-1]),
        "list": (TRUTH.tolist(), TRUTH),
        "tuples": (((1, 2), (3, 4)), np.array([[1, 2], [3, 4]])),
        "memory": (memoryview(TRUTH), TRUTH),
        "own": (Own(), TRUTH),
        "booleans": (TRUTH > 0, TRUTH > 0),
        "number": (3.5, np.array(3.5)),
    }


@pytest.mark.parametrize(
    "library",
    [
        pytest.param(_plain, id="numpy", marks=pytest.mark.covers("What and when: LayerWriter, numpy")),
        pytest.param(_tensorflow, id="tensorflow", marks=pytest.mark.covers("What and when: LayerWriter, TensorFlow")),
        pytest.param(_torch, id="torch", marks=pytest.mark.covers("What and when: LayerWriter, PyTorch")),
        pytest.param(_jax, id="jax", marks=pytest.mark.covers("What and when: LayerWriter, JAX")),
    ],
)
def test_anything_with_an_array_interface_is_logged_with_its_values(library: object, tmp_path: Path) -> None:
    cases = library()  # type: ignore[operator]
    if "keras" in cases:
        layer, truth = cases["keras"]
        layer.build((None, 4))
        cases["keras"] = (layer.kernel, truth)
    with LayerWriter(tmp_path, keep=Keep(precision="float64")) as writer:
        writer.write(0, {name: array for name, (array, _) in cases.items()})
    run = LayerReader(tmp_path).run()
    for name, (_, truth) in cases.items():
        logged = run.tensor(name)
        assert run.tensors[int(logged.index)].shape == truth.shape
        assert run.digest(logged, 0).mean == pytest.approx(truth.astype(np.float64).mean(), rel=1e-6), name
        if truth.ndim:
            assert np.array_equal(run.values(logged, 0).array, truth.astype(np.float64)), name


class OnADevice:
    """An array that numpy cannot read, as those on a GPU are."""

    def __init__(self, message: str | None) -> None:
        self.message = message

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise TypeError(self.message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"logged as 'a', a builtins\.object, is no array of numbers: .* tensor\.cpu\(\) in PyTorch"),
        (OnADevice("it lies on cuda:0."), r"make no array .*OnADevice: it lies on cuda:0\. Copy it to the host"),
        ([[1.0, 2.0], [3.0]], r"logged as 'a', a builtins\.list"),
    ],
)
def test_what_numpy_cannot_read_is_refused_with_the_way_out(tmp_path: Path, value: object, message: str) -> None:
    with LayerWriter(tmp_path) as writer, pytest.raises(TypeError, match=message):
        writer.write(0, {"a": value})


def test_a_torch_tensor_on_another_device_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with LayerWriter(tmp_path) as writer, pytest.raises(TypeError, match=r"torch\.Tensor: .*tensor\.cpu\(\)"):
        writer.write(0, {"a": torch.ones(2, 2, device="meta")})
