"""Logs a `LightningModule` while a `Trainer` fits it: one callback.

    python examples/lightning_fit.py [LOGDIR]    # logs/lightning_fit if none is given
    tensorboard --logdir logs                    # then open the Layers tab

Needs Lightning, and scikit-learn for its 1,797 handwritten digits.
"""

from __future__ import annotations

import sys
from typing import Any

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import tb_layerview as lv


class Digits(pl.LightningModule):
    """A small convolutional network."""

    def __init__(self) -> None:
        """Makes the layers."""
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.head = nn.Linear(16 * 64, 10)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """The loss on a batch."""
        images, labels = batch
        features = functional.relu(self.norm(self.conv(images)), inplace=True)
        loss = functional.cross_entropy(self.head(features.flatten(1)), labels)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as it is."""
        return torch.optim.Adam(self.parameters())


def main(logdir: str = "logs/lightning_fit") -> None:
    """Trains for two epochs and logs every module."""
    pl.seed_everything(0, verbose=False)
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
    data = DataLoader(TensorDataset(images, torch.tensor(digits.target)), batch_size=64, shuffle=True)
    trainer = pl.Trainer(
        max_epochs=2,
        callbacks=[lv.LightningCallback(logdir)],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(), data)
    print(f"{trainer.global_step} steps, loss {float(trainer.callback_metrics['loss']):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
