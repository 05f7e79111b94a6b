"""Logs every process of a PyTorch training over several of them.

    torchrun --nproc-per-node 2 examples/torch_ranks.py [LOGDIR]    # logs/torch_ranks if none is given
    tensorboard --logdir logs                                       # then open the Layers tab, and choose Ranks

Needs PyTorch, and scikit-learn for its 1,797 handwritten digits. With `--unscaled 1` the process of rank 1 forgets to
scale its pixels, as a worker with another version of the data would: in the tab it is unlike the others.
"""

from __future__ import annotations

import argparse

import torch
import torch.distributed
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import tb_layerview as lv

BATCH = 32


def main() -> None:
    """Trains for three epochs; each process logs its own examples' activations and gradients."""
    parser = argparse.ArgumentParser()
    parser.add_argument("logdir", nargs="?", default="logs/torch_ranks")
    parser.add_argument("--unscaled", type=int, default=None, metavar="RANK")
    arguments = parser.parse_args()
    torch.distributed.init_process_group("gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    torch.manual_seed(0)
    digits = load_digits()
    # Each process has every so many of them.
    pixels = torch.tensor(digits.images[rank::ranks], dtype=torch.float32)[:, None]
    if rank != arguments.unscaled:
        pixels = pixels / 16
    labels = torch.tensor(digits.target[rank::ranks])
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 10)
    )
    together = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.Adam(together.parameters())
    steps = len(digits.images) // (BATCH * ranks)  # as many for each, or some would wait for ever
    recorder = lv.LayerRecorder(
        together,
        arguments.logdir,
        probe=(pixels[:BATCH], labels[:BATCH]),
        loss=functional.cross_entropy,
        optimizer=optimizer,
        ranks="all",
    )
    recorder.record(0)
    for step in range(1, 3 * steps + 1):
        rows = torch.randperm(len(labels))[:BATCH]
        optimizer.zero_grad()
        loss = functional.cross_entropy(together(pixels[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        recorder.record(step, {"loss": loss})
    recorder.close()
    torch.distributed.destroy_process_group()
    print(f"rank {rank}: {3 * steps} steps, loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
