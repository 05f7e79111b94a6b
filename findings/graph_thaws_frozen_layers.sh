#!/usr/bin/env bash
# PyTorch 2.13.0, torchinfo 1.8.0: to write a model's graph or its summary puts its frozen layers back into training.
#
# Guess: `SummaryWriter.add_graph` and `torchinfo.summary` leave every module in the mode in which it was.
# Seen, of a model in training with one BatchNorm in `eval()`, as in fine-tuning; after the call that BatchNorm is
#   SummaryWriter.add_graph       in training: its running statistics move from then on
#   torchinfo.summary             in training, the same
#   torch.jit.trace               in eval, as it was
#   torch.export.export           in eval, as it was
#   Lightning's ModelSummary      in eval, as it was
# The first two keep the outermost module's flag alone, and set all others by it. Called before the training, as both
# are, they make another training of it: the frozen statistics are no longer what was loaded.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'numpy==2.4.6' 'tensorboard==2.21.0' 'torchinfo==1.8.0' 'lightning==2.6.6'
cat >"$folder/show.py" <<'PYTHON'
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")
import torch
import torchinfo
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_summary import summarize
from torch.utils.tensorboard import SummaryWriter

x = torch.randn(8, 4)


class Wrapped(LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model, self.example_input_array = model, x

    def forward(self, x):
        return self.model(x)


def add_graph(model):
    with SummaryWriter(tempfile.mkdtemp(dir=sys.argv[1])) as writer:
        writer.add_graph(model, x)


cases = {
    "nothing": (lambda model: None, False),
    "add_graph": (add_graph, True),
    "torchinfo.summary": (lambda model: torchinfo.summary(model, input_data=x, verbose=0), True),
    "torch.jit.trace": (lambda model: torch.jit.trace(model, x, check_trace=False), False),
    "torch.export.export": (lambda model: torch.export.export(model, (x,)), False),
    "Lightning's ModelSummary": (lambda model: str(summarize(Wrapped(model), max_depth=-1)), False),
}
has_changed = False
for name, (call, expected) in cases.items():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)).train()
    frozen = model[1].eval()
    loaded = frozen.running_mean.clone()
    call(model)
    assert torch.equal(frozen.running_mean, loaded)
    model(x)  # the training's first batch
    moves, trains = not torch.equal(frozen.running_mean, loaded), frozen.training
    as_said = (moves, trains) == (expected, expected) and model.training
    has_changed |= not as_said
    print(f"{name:26}in training {trains!s:7}moves {moves!s:7}{'' if as_said else 'CHANGED'}")
sys.exit(has_changed)
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder" 2>"$folder/stderr" || { cat "$folder/stderr" >&2; exit 1; }
