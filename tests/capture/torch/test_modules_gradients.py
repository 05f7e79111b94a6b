"""Gradients of what modules put out are those that PyTorch's own hooks see, whatever is written to in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional

import tb_layerview as lv

ALL = lv.Keep(activations=1 << 20, weights=1 << 20, gradients=1 << 20, examples=8, precision="float32")


class Block(nn.Module):
    """A residual block: one activation for both places, in place or not."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace)
        self.inplace = inplace

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.inplace:
            h += x
        else:
            h = h + x
        result: torch.Tensor = self.relu(h)
        return result


def network(inplace: bool) -> nn.Module:
    torch.manual_seed(1)
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 3))
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), Block(inplace), nn.Sequential(Block(inplace)), head)


def by_hooks(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[tuple[str, int], npt.NDArray[Any]]:
    """The gradients of all modules' outputs, by path and call, as autograd leaves them at the tensors."""
    outputs: dict[tuple[str, int], torch.Tensor] = {}
    calls: dict[str, int] = {}
    handles = []
    for name, module in model.named_modules():

        def keep(_: Any, __: Any, output: torch.Tensor, path: str = name.replace(".", "/")) -> None:
            output.retain_grad()
            outputs[path, calls.setdefault(path, 0)] = output
            calls[path] += 1

        handles.append(module.register_forward_hook(keep))
    functional.cross_entropy(model(x), y).backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    return {key: output.grad.numpy().copy() for key, output in outputs.items() if output.grad is not None}


@pytest.mark.parametrize("inplace", [False, True])
def test_gradients_of_outputs_are_those_of_the_same_network_without_operations_in_place(
    inplace: bool, tmp_path: Path
) -> None:
    x, y = torch.randn(8, 2, 6, 6), torch.randint(0, 3, (8,))
    expected = by_hooks(network(inplace=False), x, y)
    model = network(inplace)
    with lv.LayerRecorder(model, tmp_path, (x, y), keep=ALL, loss=functional.cross_entropy) as recorder:
        recorder.record(0)
    run = lv.LayerReader(tmp_path).run()
    found = {}
    for tensor in run.tensors:
        if tensor.kind == "gradient" and "example" in tensor.axes:
            values = run.values(tensor, 0).array
            array = np.moveaxis(values, -1, 1) if values.ndim == 4 else values
            found[tensor.layer, tensor.call] = array
    # What a container puts out is the last module's.
    inner = {key for key in expected if key[0] in {"0", "1/conv1", "1/bn1", "1/conv2", "1/bn2", "3/0", "3/1"}}
    assert inner <= found.keys()
    assert {key for key in found if "relu" in key[0]} == {(f"{b}/relu", i) for b in ("1", "2/0") for i in (0, 1)}
    for key, gradient in found.items():
        np.testing.assert_array_equal(gradient, expected[key], err_msg=str(key))
    # An activation that was written to afterwards is what its module gave.
    bn = next(t for t in run.tensors if t.layer == "1/bn1" and t.kind == "activation")
    assert run.values(bn, 0).array.min() < 0
