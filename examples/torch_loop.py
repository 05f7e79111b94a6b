"""Logs a PyTorch module from a training loop of one's own.

    python examples/torch_loop.py [LOGDIR]    # logs/torch_loop if none is given
    tensorboard --logdir logs                 # then open the Layers tab

Needs PyTorch, and scikit-learn for its 1,797 handwritten digits.
"""

from __future__ import annotations

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import tb_layerview as lv

BATCH = 64


def main(logdir: str = "logs/torch_loop") -> None:
    """Trains for two epochs and logs every module."""
    torch.manual_seed(0)
    digits = load_digits()
    pixels = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
    labels = torch.tensor(digits.target)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 10)
    )
    optimizer = torch.optim.Adam(model.parameters())
    probe = pixels[:32], labels[:32]
    step = 0
    with lv.LayerRecorder(model, logdir, probe, loss=functional.cross_entropy, optimizer=optimizer) as recorder:
        recorder.record(step)
        for _ in range(2):
            for rows in torch.randperm(len(labels)).split(BATCH):
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(pixels[rows]), labels[rows])
                loss.backward()
                optimizer.step()
                step += 1
                # With its batch, a step that breaks the training can be run again, and the layer is named.
                recorder.record(step, {"loss": loss}, batch=(pixels[rows], labels[rows]))
    print(f"{step} steps, loss {loss.item():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
