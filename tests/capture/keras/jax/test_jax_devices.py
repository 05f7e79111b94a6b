"""Keras on JAX over several devices and processes: the training is the same, and what is logged is the whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ports import free_ports

from tb_layerview import LayerReader

SCRIPT = Path(__file__).parent / "over_devices.py"
TWO_DEVICES = "--xla_force_host_platform_device_count=2"


def start(how: str, folder: Path | str, process: int = 0, port: int = 0) -> subprocess.Popen[str]:
    flags = {} if how == "processes" else {"XLA_FLAGS": TWO_DEVICES}
    arguments = [sys.executable, str(SCRIPT), how, str(folder), str(process), str(port)]
    return subprocess.Popen(arguments, env={**os.environ, **flags}, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Any:
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0
    return json.loads(out.strip().splitlines()[-1])


@pytest.mark.core("data-*")
@pytest.mark.parametrize(("how", "spec"), [("data", "(None, None)"), ("model", "(None, 'model')")])
def test_a_training_over_two_devices_is_the_same(how: str, spec: str, tmp_path: Path) -> None:
    bare = result(start(how, ""))
    logged = result(start(how, tmp_path))
    assert logged == bare
    assert bare[2].endswith(spec)
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(11))
    assert {tensor.kind for tensor in run.tensors} == {"activation", "weight", "gradient", "update"}
    kernel = run.tensor("hidden", kind="weight", name="kernel")
    np.testing.assert_array_equal(run.values(kernel, 10).array, np.array(bare[3]))
    output = run.tensor("hidden", kind="activation")
    x = run.values(run.tensor("input", kind="activation"), 10).array
    bias = run.values(run.tensor("hidden", kind="weight", name="bias"), 10).array
    truth = np.maximum(x.astype(float) @ np.array(bare[3]) + bias, 0)
    np.testing.assert_allclose(run.values(output, 10).array, truth, atol=1e-5)


@pytest.mark.long
def test_of_two_processes_the_first_logs(tmp_path: Path) -> None:
    results = []
    for folders in (("", ""), (tmp_path / "0", tmp_path / "1")):
        (port,) = free_ports(1)
        both = [start("processes", folder, i, port) for i, folder in enumerate(folders)]
        results.append([result(process) for process in both])
    assert results[1] == results[0]
    assert results[0][0][0] == results[0][1][0]  # both have the same weights
    assert not (tmp_path / "1").exists()
    run = LayerReader(tmp_path / "0").run()
    assert list(run.steps) == list(range(11))
    assert {tensor.kind for tensor in run.tensors} == {"activation", "weight", "gradient", "update"}
    kernel = run.tensor("hidden", kind="weight", name="kernel")
    np.testing.assert_array_equal(run.values(kernel, 10).array, np.array(results[0][0][3]))
    assert any("several processes" in note for note in run.model.notes)
