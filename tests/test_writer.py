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
