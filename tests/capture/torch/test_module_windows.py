"""The window that is logged of a module is what it reads: held against what it makes of single ones."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from receptive_fields import by_impulses, by_window
from torch import nn

import tb_layerview as lv
from tb_layerview import LayerReader
from tb_layerview.format.model import Window

CHANNELS = 2
SIZES: dict[int, list[tuple[int, ...]]] = {1: [(11,), (8,)], 2: [(7, 6), (8, 9)], 3: [(5, 4, 6)]}


def modules(axes: int) -> list[nn.Module]:
    """Modules of as many axes of space as that, of all kinds that have a window."""
    conv, transposed = getattr(nn, f"Conv{axes}d"), getattr(nn, f"ConvTranspose{axes}d")
    pool, mean = getattr(nn, f"MaxPool{axes}d"), getattr(nn, f"AvgPool{axes}d")
    found = [conv(2, 2, 3, padding=mode) for mode in ("same", "valid", 1, 2)]
    found += [conv(2, 2, 2, padding="same", dilation=2), conv(2, 2, 2, padding="same"), conv(2, 2, 3, 2, 1)]
    found += [conv(2, 2, (3, 2, 1)[:axes], (1, 2, 3)[:axes], (1, 0, 2)[:axes], (1, 2, 1)[:axes], groups=2)]
    found += [getattr(nn, f"LazyConv{axes}d")(2, 3, stride=2, padding=1)]
    for mode in ("reflect", "replicate", "circular"):
        found += [conv(2, 2, 3, padding=1, padding_mode=mode), conv(2, 2, 2, padding="same", padding_mode=mode)]
    for size, stride, padding, added in ((3, 1, 0, 0), (3, 2, 1, 1), (2, 3, 0, 1), (4, 2, 1, 0)):
        found += [transposed(2, 2, size, stride, padding, added)]
    found += [transposed(2, 2, 2, 2, dilation=2), getattr(nn, f"LazyConvTranspose{axes}d")(2, 3)]
    for ceil_mode in (False, True):
        for size, stride, padding in ((2, None, 0), (3, 2, 1), (2, 3, 0), (3, 3, 1)):
            found += [kind(size, stride, padding, ceil_mode=ceil_mode) for kind in (pool, mean)]
    found += [pool(2, 1, dilation=2), getattr(nn, f"ZeroPad{axes}d")((1, 2, 0, 3, 2, 0)[: 2 * axes])]
    found += [getattr(nn, f"{kind}Pad{axes}d")(1) for kind in ("Reflection", "Replication", "Circular")]
    return [*found, nn.Upsample(scale_factor=2), nn.Upsample(size=tuple(2 * n for n in SIZES[axes][0]))]


class Beside(nn.Module):
    """All modules, each on the same input."""

    def __init__(self, inner: list[nn.Module]) -> None:
        super().__init__()
        self.inner = nn.ModuleList(inner)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [one(x) for one in self.inner]


def logged(model: nn.Module, x: torch.Tensor, folder: Path) -> dict[str, Window | None]:
    with lv.LayerRecorder(model, folder, probe=x) as recorder:
        recorder.record(0)
    return {layer.path: layer.window for layer in LayerReader(folder).run().layers}


@pytest.mark.parametrize("sizes", [size for axes in SIZES.values() for size in axes], ids=str)
def test_a_modules_window_is_what_it_reads(sizes: tuple[int, ...], tmp_path: Path) -> None:
    model = Beside(modules(len(sizes)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lazy modules warn of themselves, and odd padding of its cost
        model(torch.ones(2, CHANNELS, *sizes))
        windows = logged(model, torch.ones(2, CHANNELS, *sizes), tmp_path)
    for name, module in model.inner.named_children():
        window = windows[f"inner/{name}"]
        if isinstance(module, nn.Upsample) and any(m % n for m, n in zip(module.size or (0,), sizes)):
            assert window is None
            continue
        with torch.no_grad():
            for key, parameter in module.named_parameters():
                parameter.copy_(torch.zeros_like(parameter) if key == "bias" else parameter.abs() + 0.5)

            def compute(impulses: npt.NDArray[np.float32], module: nn.Module = module) -> npt.NDArray[Any]:
                out: npt.NDArray[Any] = module(torch.tensor(np.stack([impulses] * CHANNELS, axis=1))).sum(1).numpy()
                return out

            found = by_impulses(compute, sizes)
        assert window is not None, module
        assert np.array_equal(by_window(window, sizes), found), (module, sizes, window)


class Sized(nn.Module):
    """Says what size its transposed convolution is to give."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.up(x, output_size=(10, 9))


class Own(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(super().forward(x))


def test_what_a_call_is_told_counts_and_what_somebodys_own_module_does_is_not_known(tmp_path: Path) -> None:
    x = torch.ones(2, 2, 5, 5)
    assert logged(Sized(), x, tmp_path / "sized")["up"] == Window((3, 3), (2, 2), (1, 1), (1, 1), (0, 1), True)
    others = [Own(2, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Upsample(scale_factor=2, mode="bilinear")]
    found = logged(Beside([*others, nn.Linear(5, 2), nn.FractionalMaxPool2d(2, 3)]), x, tmp_path / "others")
    assert [window for path, window in found.items() if path.startswith("inner/")] == [None] * 5
