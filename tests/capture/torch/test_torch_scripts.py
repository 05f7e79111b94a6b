"""`python -m tb_layerview SCRIPT.py` with PyTorch: real scripts in processes of their own, with and without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from places import environment

from tb_layerview import LayerReader

PLAIN = """
import os, sys
print("imported", sorted({"numpy", "torch"} & set(sys.modules)))
os.environ["OMP_NUM_THREADS"] = "1"
import torch
from torch import nn
from torch.nn import functional

torch.manual_seed(0)
x = torch.randn(64, 6)
y = (x.sum(1) > 0).long()
model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))

def train(optimizer):
    for i in range(0, 64, 16):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x[i:i + 16]), y[i:i + 16])
        loss.backward()
        optimizer.step()
        print(loss.item().hex())

model.eval()(x)  # before it trains
train(torch.optim.Adam(model.train().parameters(), 1e-2))
train(torch.optim.SGD(model.parameters(), 1e-2))
print(torch.rand(1).item().hex(), [float(value.sum()).hex() for value in model.state_dict().values()])
print(len(model._forward_pre_hooks))
"""

#: One module whose parameters cannot be asked for; and one that is trained, of which a script is made before.
ODD = """
import os, sys
import torch
from torch import nn

class Refusing(nn.Module):
    def parameters(self, recurse=True):
        raise RuntimeError("asked")

refusing, model = Refusing(), nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
x = torch.ones(2, 3)
print(torch.jit.script(model)(x).sum().item() == torch.jit.trace(model, x)(x).sum().item())
model(x).mean().backward()
optimizer.step()
if os.fork() == 0:
    sys.exit()  # which closes what is its own
os.wait()
model(x).mean().backward()
optimizer.step()
"""

#: Two networks with an optimizer each, one that the script logs itself, and an optimizer of two networks.
SEVERAL = """
import torch
from torch import nn

import tb_layerview as lv

x = torch.randn(8, 3)
makes, judges, watched = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), nn.Linear(3, 1)
optimizers = [torch.optim.SGD(model.parameters(), 0.1) for model in (makes, judges)]
for step in range(3):
    for optimizer, sign in zip(optimizers, (1, -1)):
        for one in optimizers:
            one.zero_grad()
        (sign * judges(makes(x)).mean()).backward()
        optimizer.step()

own = torch.optim.SGD(watched.parameters(), 0.1)
lv.watch(watched, "own", own)
watched(x).mean().backward()
own.step()

left, right = nn.Linear(3, 1), nn.Linear(3, 1)
both = torch.optim.SGD([*left.parameters(), *right.parameters()], 0.1)
(left(x) + right(x)).mean().backward()
both.step()
"""

#: Logs of which nobody closes any, read after all that is done when a process ends.
UNCLOSED = """
import atexit

@atexit.register  # before all others: it comes last
def look():
    for name in ("watched", "recorded", "written"):
        run = lv.LayerReader(f"{WHERE}/{name}").run()
        print(name, run.ended, run.steps.tolist())

import sys
import torch
from torch import nn

import tb_layerview as lv

WHERE = sys.argv[1]
x, models = torch.randn(8, 3), [nn.Linear(3, 1), nn.Linear(3, 1)]
optimizers = [torch.optim.SGD(model.parameters(), 0.1) for model in models]
lv.watch(models[0], f"{WHERE}/watched", optimizers[0])
recorder = lv.LayerRecorder(models[1], f"{WHERE}/recorded", probe=x)
writer = lv.LayerWriter(f"{WHERE}/written")
for step in range(3):
    for model, optimizer in zip(models, optimizers):
        model(x).mean().backward()
        optimizer.step()
    recorder.record(step)
    writer.write(step, {"a": x.numpy()})
"""

#: A module that calls no `forward` of its own, and a model with an optimizer that was made before its trainer.
TRAINERS = """
import lightning
import torch
import transformers
from torch import nn

class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 1)
    def training_step(self, batch, index):
        return self.net(batch[0]).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 1)
    def forward(self, x):
        return {"loss": self.net(x).square().mean()}

data = torch.utils.data.TensorDataset(torch.randn(12, 3))
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = lightning.Trainer(max_steps=3, accelerator="cpu", **quiet)
before = [*trainer.callbacks]
trainer.fit(Module(), torch.utils.data.DataLoader(data, 4))
assert trainer.callbacks == before

arguments = transformers.TrainingArguments("out", max_steps=3, report_to=[], use_cpu=True, save_strategy="no",
                                           per_device_train_batch_size=4, disable_tqdm=True)
model = Model()
optimizer = torch.optim.SGD(model.parameters(), 0.1)
examples = [{"x": row} for row in torch.randn(12, 3)]
trainer = transformers.Trainer(model, arguments, train_dataset=examples, optimizers=(optimizer, None))
before = [*trainer.callback_handler.callbacks]
trainer.train()
assert trainer.callback_handler.callbacks == before
"""

#: A search, which lets go of each model before it makes the next one.
SEARCH = """
import gc, weakref
import torch
from torch import nn

models = []

def train(rate):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    models.append(weakref.ref(model))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).mean().backward()
        optimizer.step()

for rate in (0.1, 0.2, 0.3, 0.4):
    train(rate)
    gc.collect()
    print(sum(model() is not None for model in models))
"""


#: A module that is compiled after its optimizer was made, and one that only a compiled function calls.
COMPILED = """
import torch
from torch import nn

called = []
def backend(graph, inputs):
    called.append(graph)
    return graph.forward

def train(how):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters())
    compiled = torch.compile(model if how == "module" else lambda x: model(x), backend=backend, fullgraph=True)
    for _ in range(3):
        optimizer.zero_grad()
        loss = compiled(torch.ones(2, 3)).mean()
        loss.backward()
        optimizer.step()
        print(how, loss.item().hex(), len(called))

train("module")
train("function")
"""


def run(folder: Path, script: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a folder, by what stands before its name."""
    (folder / "train.py").write_text(script, encoding="utf-8")
    return subprocess.run(
        [sys.executable, *before, "train.py"],
        cwd=folder,
        env=environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )


def ours(text: str) -> list[str]:
    """The lines of an output that are not this package's."""
    return [line for line in text.splitlines() if not line.startswith("tb_layerview: ")]


def kinds(folder: Path) -> dict[str, set[str]]:
    """Which kinds each run has."""
    return {run.name: {tensor.kind for tensor in run.tensors} for run in LayerReader(folder).runs()}


def test_a_script_with_a_loop_of_its_own_prints_the_same_and_each_of_its_trainings_is_logged(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "logged").mkdir()
    bare = run(tmp_path / "bare", PLAIN)
    logged = run(tmp_path / "logged", PLAIN, "-m", "tb_layerview", "--schedule", "1")
    assert ours(logged.stdout) == bare.stdout.splitlines()
    assert bare.stdout.splitlines()[0] == "imported []" and len(bare.stdout.splitlines()) == 11
    every = {"activation", "weight", "gradient", "update"}
    assert kinds(tmp_path / "logged" / "logs") == {"train": every, "train/train-2": every}
    for one in LayerReader(tmp_path / "logged" / "logs").runs():
        assert one.steps.tolist() == [0, 1, 2, 3, 4]
        assert "16 examples" in str(one.model.probe)
    assert not (tmp_path / "bare" / "logs").exists()


def test_what_a_script_compiles_is_logged_and_compiled_as_often(tmp_path: Path) -> None:
    for name in ("bare", "logged"):
        (tmp_path / name).mkdir()
    bare = run(tmp_path / "bare", COMPILED)
    logged = run(tmp_path / "logged", COMPILED, "-m", "tb_layerview", "--schedule", "1")
    assert ours(logged.stdout) == bare.stdout.splitlines() and len(ours(logged.stdout)) == 6
    without = {"weight", "gradient", "update"}
    assert kinds(tmp_path / "logged" / "logs") == {"train": {"activation", *without}, "train/train-2": without}
    assert "nobody was heard calling the model" in logged.stderr


def test_each_network_is_a_run_and_what_the_script_logs_itself_is_not_logged_twice(tmp_path: Path) -> None:
    done = run(tmp_path, SEVERAL, "-m", "tb_layerview")
    assert sorted(kinds(tmp_path / "logs")) == ["train", "train/train-2"]
    reader = LayerReader(tmp_path / "logs")
    layers = [{tensor.layer for tensor in reader.run(name).tensors} for name in ("train", "train/train-2")]
    assert layers[1] >= {"0", "1", "2"} and not layers[0] & {"0", "1", "2"}
    assert kinds(tmp_path / "own").keys() == {"."}
    assert "no one module has all parameters of its optimizer" in done.stderr


def test_a_model_that_the_script_lets_go_of_is_freed_once_the_next_one_is_trained(tmp_path: Path) -> None:
    done = run(tmp_path, SEARCH, "-m", "tb_layerview", "--schedule", "0,2,100")
    assert ours(done.stdout) == ["1"] * 4
    logged = [one.steps.tolist() for one in LayerReader(tmp_path / "logs").runs()]
    # The last one is held until the script ends, and its last step logged.
    assert sorted(logged) == [[0, 2], [0, 2], [0, 2], [0, 2, 3]]


def test_what_is_odd_in_a_script_is_no_matter(tmp_path: Path) -> None:
    done = run(tmp_path, ODD, "-m", "tb_layerview", "--schedule", "1")
    assert "not logged" not in done.stderr
    assert ours(done.stdout) == ["True"]
    assert done.stdout.count("steps logged") == 1
    assert LayerReader(tmp_path / "logs").run("train").steps.tolist() == [0, 1, 2]


def test_trainers_get_their_callbacks_while_they_train(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    pytest.importorskip("transformers")
    run(tmp_path, TRAINERS, "-m", "tb_layerview", "--schedule", "1")
    reader = LayerReader(tmp_path / "logs")
    assert [one.name for one in reader.runs()] == ["train", "train/train-2"]
    for name in ("train", "train/train-2"):
        logged = reader.run(name)
        assert logged.steps.tolist() == [0, 1, 2, 3]
        assert {tensor.layer for tensor in logged.tensors} >= {"net"}
        assert {tensor.kind for tensor in logged.tensors} >= {"activation", "weight", "gradient", "update"}


def test_a_script_that_trains_nothing_is_said_to(tmp_path: Path) -> None:
    done = run(tmp_path, "print(1)", "-m", "tb_layerview")
    assert "trained nothing with Keras' Model.fit, an Estimator's train or an optimizer of PyTorch's" in done.stderr


@pytest.mark.parametrize("where", ["logs", "memory://logs"])
def test_what_nobody_closes_is_whole_when_the_process_has_ended(tmp_path: Path, where: str) -> None:
    """In a store as in a folder: who closes a log at the end comes before what sends it last."""
    found = subprocess.run(
        [sys.executable, "-c", UNCLOSED, where], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    said = [line for line in found.stdout.splitlines() if not line.startswith("tb_layerview: ")]
    assert said == ["watched True [0, 1, 2, 3]", "recorded True [0, 1, 2]", "written False [0, 1, 2]"], found.stderr
    assert found.returncode == 0
    assert "Error" not in found.stderr and "cannot" not in found.stderr
