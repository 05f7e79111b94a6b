"""What the manual says of modules of Flax NNX is so: its lines run, and so does the example."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import optax
import pytest
from flax import nnx
from nnx_networks import LABELS, ROWS, Mlp, cross_entropy
from places import ROOT, environment

import tb_layerview as lv
from tb_layerview.options import CORE, is_rung


def test_the_lines_of_the_manual_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manual = (ROOT / "docs" / "logging.md").read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```$", manual, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in found if "nnx.Optimizer(" in block)
    names = {"lv": lv, "nnx": nnx, "optax": optax, "model": Mlp(nnx.Rngs(0)), "x": ROWS[0], "y": LABELS[0]}

    @nnx.jit
    def train_step(model: Mlp, optimizer: nnx.Optimizer[Mlp], x: object, y: object) -> object:
        loss, gradients = nnx.value_and_grad(lambda model: cross_entropy(model(x), y))(model)
        optimizer.update(model, gradients)
        return loss

    data = list(zip(ROWS, LABELS))[:3]
    exec(block, {**names, "data": data, "train_step": train_step, "cross_entropy": cross_entropy})
    run = lv.LayerReader("logs").run("run3")
    assert (run.steps.tolist(), len(run.scalars["loss"])) == ([0, 1, 2, 3], 4)
    assert {one.kind for one in run.model.tensors} == {"activation", "weight", "gradient", "update"}


def test_the_example_runs_and_logs_its_training(tmp_path: Path) -> None:
    steps = 2 * 29
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "nnx_loop.py"],
        cwd=tmp_path,
        env=environment(needs=["sklearn"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{steps} steps, loss " in done.stdout
    assert "tb_layerview: look at them with" in done.stdout
    run = lv.LayerReader(tmp_path / "logs").run("nnx_loop")
    assert {step for step in range(steps) if is_rung(step, per_octave=CORE)} | {steps} <= {*run.steps}
    assert {one.kind for one in run.tensors} == {"activation", "weight", "gradient", "update"}
    assert run.tensor("conv", kind="activation", name="output").shape == (32, 8, 8, 16)
