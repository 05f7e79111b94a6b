"""What lies between modules is known to keep places just where it does: held against what a changed place changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from receptive_fields import keeps_places
from torch import nn
from torch.nn import functional as F  # noqa: N812

import tb_layerview as lv
from tb_layerview import LayerReader, Select
from tb_layerview.format.model import Layer

# Square: what is transposed has the same shape.
SIZES = (5, 5)
Between = Callable[[torch.Tensor], torch.Tensor]
KERNEL = torch.rand(2, 2, 3, 3) + 0.5


class Rolled(torch.autograd.Function):
    """Torch does not show that this was called."""

    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.roll(x, 1, 2)

    @staticmethod
    def backward(_: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return torch.roll(gradients[0], -1, 2)


def _written(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y.transpose(2, 3).add_(x)
    return y


def _cleared(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[:, :, 1:] = x[:, :, :-1]
    return y


#: What a model computes between two modules, of the same shape.
BETWEEN: dict[str, Between] = {
    "nothing": lambda x: x,
    "relu": F.relu,
    "relu in place": lambda x: F.relu(x.clone(), inplace=True),
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": lambda x: x.tanh(),
    "leaky_relu": F.leaky_relu,
    "sum": lambda x: x + x.sin() * 2 - 1,
    "added in place": lambda x: x.clone().add_(x, alpha=0.5),
    "clamp": lambda x: x.clamp(-0.5, 1.5),
    "where": lambda x: torch.where(x > 0, x, 0.5 * x),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "placed": lambda x: x + torch.arange(50.0).reshape(1, 2, 5, 5),
    "roll": lambda x: torch.roll(x, 1, 2),
    "roll on one way": lambda x: x + torch.roll(x, 1, 2),
    "unseen roll": Rolled.apply,
    "unseen roll on one way": lambda x: x + Rolled.apply(x),
    "by numpy on one way": lambda x: x + torch.from_numpy(x.detach().numpy()[:, :, ::-1].copy()),
    "flip": lambda x: x.flip(3),
    "transposition": lambda x: x.transpose(2, 3),
    "written through a transposition": _written,
    "written at other places": _cleared,
    "convolution": lambda x: F.conv2d(x, KERNEL, padding=1),
    "pooling": lambda x: F.max_pool2d(x, 3, 1, 1),
    "softmax over space": lambda x: F.softmax(x, 2),
    "softmax of the last axis": lambda x: F.softmax(x, -1),
    "excitation": lambda x: x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1)),
    "mean": lambda x: x - x.mean((2, 3), keepdim=True),
    "scattered": lambda x: torch.zeros_like(x).masked_scatter(x > 0, x),
    "sorted": lambda x: x.sort(dim=2).values,
}


class Beside(nn.Module):
    """Each function between two convolutions, on the same input."""

    def __init__(self, between: dict[str, Between]) -> None:
        super().__init__()
        self.between = list(between.values())
        self.first = nn.ModuleList(nn.Conv2d(2, 2, 1) for _ in between)
        self.second = nn.ModuleList(nn.Conv2d(2, 2, 3) for _ in between)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [b(f(a(x))) for a, f, b in zip(self.first, self.between, self.second)]


def logged(model: nn.Module, folder: Path, select: Select | None = None) -> dict[str, Layer]:
    """The layers by path, of a model that takes [example, 2, 5, 5]."""
    probe = torch.randn(2, 2, *SIZES, generator=torch.Generator().manual_seed(0))
    with lv.LayerRecorder(model, folder, probe=probe, select=select or Select()) as recorder:
        recorder.record(0)
    return {layer.path: layer for layer in LayerReader(folder).run().layers}


def _keeps_places(function: Between) -> bool:
    def compute(x: np.ndarray) -> np.ndarray:
        out = function(torch.tensor(x).permute(0, 3, 1, 2).contiguous())
        return out.permute(0, 2, 3, 1).numpy()

    return keeps_places(compute, SIZES)


def test_what_lies_between_two_modules_is_said_to_keep_places_where_it_does(tmp_path: Path) -> None:
    layers = logged(Beside(BETWEEN), tmp_path)
    said = {name: layers[f"second/{i}"].direct for i, name in enumerate(BETWEEN)}
    assert said == {name: _keeps_places(function) for name, function in BETWEEN.items()}
    assert set(said.values()) == {True, False}
    assert not any(layer.in_place for layer in layers.values())
    assert all(layers[f"first/{i}"].direct for i in range(len(BETWEEN)))


class Residual(nn.Module):
    """Two convolutions, and what it takes added to what they give."""

    def __init__(self, added: Between) -> None:
        super().__init__()
        self.one, self.norm, self.two = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3, padding=1)
        self.added = added

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.two(F.relu(self.norm(self.one(x)))) + self.added(x))


@pytest.mark.parametrize("name", ["nothing", "gelu", "roll", "convolution", "unseen roll"])
def test_a_module_that_only_adds_what_others_make_works_in_place(name: str, tmp_path: Path) -> None:
    act = nn.ReLU(inplace=True)
    model = nn.Sequential(nn.Conv2d(2, 2, 1), Residual(BETWEEN[name]), nn.Conv2d(2, 2, 1), act, nn.Softmax(2))
    layers = logged(model, tmp_path)
    assert layers["1"].in_place is _keeps_places(BETWEEN[name])
    assert all(layers[path].direct for path in ("1/one", "1/norm", "1/two", "2", "3", "4"))
    in_place = {path: layers[path].in_place for path in ("1/one", "1/two", "2", "3", "4")}
    assert in_place == {**dict.fromkeys(("1/one", "1/two", "2", "4"), False), "3": True}


def test_behind_a_module_that_is_left_out_nothing_is_known(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3))
    assert logged(model, tmp_path / "all")["2"].direct
    layers = logged(model, tmp_path / "some", Select(exclude=("1",)))
    assert list(layers) == ["input", "0", "2"] and layers["2"].inputs == (1,)
    assert layers["0"].direct and not layers["2"].direct
