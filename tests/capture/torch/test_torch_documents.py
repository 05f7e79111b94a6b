"""What the README and the manual say of PyTorch's modules is so, and the examples run as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT, environment
from torch import nn
from torch.nn import functional

import tb_layerview as lv
from tb_layerview.options import CORE, is_rung


def blocks(document: str) -> list[str]:
    """The Python that stands in a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def names() -> dict[str, Any]:
    """A model and what to train it on, as the documents take for granted."""
    torch.manual_seed(0)
    x, y = torch.randn(32, 1, 6, 6), torch.arange(32) % 3
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    data = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 32, 8)]
    optimizer = torch.optim.Adam(model.parameters())
    return {"lv": lv, "model": model, "x": x, "y": y, "data": data, "optimizer": optimizer} | {
        "loss_of": functional.cross_entropy
    }


@pytest.mark.parametrize("document", ["README.md", "docs/logging.md"])
def test_the_line_for_a_module_logs(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks(document) if "lv.watch(" in block)
    given = names()
    loop = "" if "for batch" in block else "loss_of(model(x), y).backward()\noptimizer.step()\n"
    exec(f"watching = {block}{loop}", given)
    given["watching"].close()
    run = lv.LayerReader("logs").run("run1")
    assert [*run.steps] == [*range(5 if "for batch" in block else 2)]
    assert {tensor.kind for tensor in run.tensors} == {"activation", "weight", "gradient", "update"}


@pytest.mark.covers(
    "Keras: LayerRecorder in a custom loop",
)
def test_a_loop_that_records_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks("docs/logging.md") if "loss=loss_of" in block)
    exec(block, names())
    run = lv.LayerReader("logs").run("run2")
    assert ([*run.steps], len(run.scalars["loss"])) == ([0, 1, 2, 3, 4], 5)
    assert run.tensor("0", kind="gradient", name="output").shape == (32, 4, 4, 4)


def test_the_line_for_every_rank_logs_into_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks("docs/logging.md") if 'ranks="all"' in block)
    given = names()
    given |= {"F": functional, "probe": (given["x"], given["y"])}
    exec(f"recorder = {block}", given)
    given["recorder"].record(0)
    given["recorder"].close()
    assert [run.name for run in lv.LayerReader("logs").runs()] == ["run1/rank-0"]


def test_the_lines_for_trainers_make_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lightning, transformers = pytest.importorskip("lightning"), pytest.importorskip("transformers")
    (block,) = (block for block in blocks("docs/logging.md") if "LightningCallback(" in block)
    arguments = transformers.TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)
    given = {**names(), "lightning": lightning, "transformers": transformers, "arguments": arguments}
    exec(block, given)
    added = given["trainer"].callback_handler.callbacks
    assert [type(one) for one in added].count(lv.TrainerCallback) == 1


@pytest.mark.parametrize(
    ("name", "needs", "steps", "layer"),
    [
        ("torch_loop.py", (), 2 * 29, "0"),
        ("lightning_fit.py", ("lightning",), 2 * 29, "conv"),
        ("hf_trainer.py", ("transformers", "accelerate"), 29, "bert/encoder/layer/0/attention/self"),
    ],
)
def test_an_example_runs_and_logs_its_training(
    name: str, needs: tuple[str, ...], steps: int, layer: str, tmp_path: Path
) -> None:
    for package in needs:
        pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name],
        cwd=tmp_path,
        env=environment(needs=["sklearn"], OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{steps} steps, loss " in done.stdout
    assert "tb_layerview: look at them with" in done.stdout
    run = lv.LayerReader(tmp_path / "logs").run(name.removesuffix(".py"))
    assert {step for step in range(steps) if is_rung(step, per_octave=CORE)} | {steps} <= {*run.steps}
    assert {tensor.kind for tensor in run.tensors} == {"activation", "weight", "gradient", "update"}
    assert run.tensor(layer, kind="activation", name="output").shape
