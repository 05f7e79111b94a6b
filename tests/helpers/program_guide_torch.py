"""The guide's training of a PyTorch module, whose loss becomes NaN: a picture that is empty is divided by its size.

`python program_guide_torch.py FOLDER` logs it into `FOLDER/training`, prints the loss every tenth step as a loop of
one's own would, and writes the batch that broke it to `FOLDER/batch.npy`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import tb_layerview as lv
from tb_layerview.commands import demo

BATCH, STEPS = 32, 50
#: Which picture is empty; that of batch 36, which makes step 37.
EMPTY = 36 * BATCH + 5


class Standardize(nn.Module):
    """Each picture less its mean, by its standard deviation: 0 / 0 for one that is the same everywhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


class Block(nn.Module):
    """Two layers, and beside them what they take."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(32, 32), nn.Linear(32, 32), nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.second(self.relu(self.first(x)))
        hidden += x
        result: torch.Tensor = self.relu(hidden)
        return result


def main(folder: Path) -> None:
    images, labels = demo.digits()
    images = images.reshape(len(images), -1)[: STEPS * BATCH].copy()
    images[EMPTY] = 0
    x, y = torch.from_numpy(images), torch.from_numpy(labels[: STEPS * BATCH]).long()
    torch.manual_seed(7)
    parts = [
        ("standardize", Standardize()),
        ("features", nn.Linear(64, 32)),
        ("relu", nn.ReLU(inplace=True)),
        ("dropout", nn.Dropout(0.1)),
        ("block", Block()),
        ("classes", nn.Linear(32, 10)),
    ]
    model = nn.Sequential(OrderedDict(parts))
    optimizer = torch.optim.Adam(model.parameters())
    loss_of = functional.cross_entropy
    check = lv.Check(replay=True)
    probe = x[:BATCH], y[:BATCH]
    recorder = lv.LayerRecorder(
        model, folder / "training", probe, loss=loss_of, optimizer=optimizer, schedule=10, check=check
    )
    with recorder:
        recorder.record(0)
        for step in range(1, STEPS + 1):
            rows = slice((step - 1) * BATCH, step * BATCH)
            optimizer.zero_grad()
            loss = loss_of(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            recorder.record(step, {"loss": loss}, batch=(x[rows], y[rows]))
            if step % 10 == 0:
                print(f"step {step}: loss {float(loss.detach()):.2f}")
    first = EMPTY // BATCH * BATCH
    np.save(folder / "batch.npy", images[first : first + BATCH])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
