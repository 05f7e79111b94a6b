"""In healthy trainings of PyTorch's modules the rules find nothing, however they are logged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch_trainings import BATCH, Case, in_words, problem, trained

STEPS = 40


def seeded() -> None:
    torch.manual_seed(3)


def dense() -> Case:
    seeded()
    return Case(nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)), *problem(STEPS))


def convolutional() -> Case:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images[: STEPS * BATCH] / 16, dtype=torch.float32)[:, None]
    seeded()
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(512, 10)
    )
    return Case(model, images, torch.tensor(digits.target[: STEPS * BATCH]), functional.cross_entropy)


class Sequences(nn.Module):
    """A recurrent network over the features, one by one."""

    def __init__(self, cells: nn.Module) -> None:
        super().__init__()
        self.cells, self.out = cells, nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.out(self.cells(x[..., None])[0][:, -1])
        return result


def recurrent_lstm() -> Case:
    seeded()
    return Case(Sequences(nn.LSTM(1, 16, batch_first=True)), *problem(STEPS))


def recurrent_gru() -> Case:
    seeded()
    return Case(Sequences(nn.GRU(1, 16, batch_first=True)), *problem(STEPS))


class Encoder(nn.Module):
    """A transformer's encoder over the features."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 16)
        self.place = nn.Parameter(0.1 * torch.randn(8, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
        self.encoder, self.out = nn.TransformerEncoder(layer, 1), nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.out(self.encoder(self.embed(x[..., None]) + self.place).mean(1))
        return result


def encoder() -> Case:
    seeded()
    return Case(Encoder(), *problem(STEPS))


def autoencoder() -> Case:
    x, _ = problem(STEPS)
    seeded()
    return Case(nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 8)), x, x)


@pytest.mark.parametrize(
    "healthy",
    [dense, convolutional, recurrent_lstm, recurrent_gru, encoder, autoencoder],
    ids=lambda healthy: healthy.__name__,
)
def test_nothing_is_found_in_a_healthy_training(healthy: Callable[[], Case], tmp_path: Path) -> None:
    case = healthy()
    with torch.no_grad():
        before = float(case.loss(case.model(case.x), case.y))
    for way, found in trained(case, tmp_path).items():
        assert not found, f"{way}:\n{in_words(found)}"
    with torch.no_grad():
        assert float(case.loss(case.model(case.x), case.y)) < before
