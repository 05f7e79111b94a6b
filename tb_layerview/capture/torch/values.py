"""Tensors of PyTorch as numpy arrays, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch

# Numpy has none of these: their bits are handed over as integers of the same size.
_BITS = {
    torch.bfloat16: (torch.int16, ml_dtypes.bfloat16),
    torch.float8_e4m3fn: (torch.uint8, ml_dtypes.float8_e4m3fn),
    torch.float8_e5m2: (torch.uint8, ml_dtypes.float8_e5m2),
    torch.float8_e4m3fnuz: (torch.uint8, ml_dtypes.float8_e4m3fnuz),
    torch.float8_e5m2fnuz: (torch.uint8, ml_dtypes.float8_e5m2fnuz),
}


def to_host(tensor: torch.Tensor) -> npt.NDArray[np.generic]:
    """A tensor as an array, of the same memory where that is the host's; of a sparse one the values.

    Torch writes to that memory where it changes the tensor in place, as optimizers do to weights.
    """
    found = tensor.detach()
    if found.layout == torch.sparse_coo:
        found = found.coalesce().values()
    found = found.cpu().resolve_conj().resolve_neg()
    if found.dtype in _BITS:
        bits, dtype = _BITS[found.dtype]
        viewed: npt.NDArray[np.generic] = found.view(bits).numpy().view(dtype)
        return viewed
    array: npt.NDArray[np.generic] = found.numpy()
    return array


def from_host(array: npt.NDArray[np.generic]) -> torch.Tensor:
    """The opposite: a tensor of the same memory, or of a copy if the array may not be written to."""
    array = np.asarray(array)
    for dtype, (bits, name) in _BITS.items():
        if array.dtype == name:
            return from_host(array.view(np.dtype(str(bits).removeprefix("torch.")))).view(dtype)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def owned(tensor: torch.Tensor) -> npt.NDArray[np.generic]:
    """A tensor as an array of memory that nobody else writes to."""
    return to_host(tensor.detach().clone() if tensor.device.type == "cpu" else tensor)


def copied(leaf: Any) -> Any:
    """A tensor in memory of its own, outside of any graph; anything else as it is."""
    return leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf


def read(tensors: Iterable[torch.Tensor]) -> list[npt.NDArray[np.generic]]:
    """Values of tensors, in memory of their own: optimizers change them in place."""
    return [owned(tensor) for tensor in tensors]


def write(tensors: Iterable[torch.Tensor], values: Sequence[npt.NDArray[np.generic]]) -> None:
    """Sets values of tensors, to the last bit."""
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(from_host(value))


def synchronize(tensors: Iterable[torch.Tensor]) -> None:
    """Returns when the devices of these tensors have done what they were given before."""
    for device in {tensor.device for tensor in tensors}:
        if device.type not in ("cpu", "meta"):
            torch.get_device_module(device).synchronize(device)
