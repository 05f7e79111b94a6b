"""Tensors of PyTorch and the variables of Keras models as numpy arrays, and back."""

from __future__ import annotations

from typing import Any

import keras
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


def as_tensor(leaf: Any) -> torch.Tensor | None:
    """A leaf of a batch as a tensor of the same memory where that can be; what there is not, is None.

    Raises:
      Exception: It is nothing that torch makes a tensor of.
    """
    if leaf is None or isinstance(leaf, torch.Tensor):
        return leaf
    if hasattr(leaf, "todense"):  # a sparse matrix of scipy, which Keras makes dense, too
        leaf = np.asarray(leaf.todense())
    tensor: torch.Tensor = keras.ops.convert_to_tensor(leaf)
    return tensor


def tensor_of(variable: Any) -> torch.Tensor:
    """The tensor of a Keras variable, whatever type a layer sees it as; of a tensor itself."""
    if isinstance(variable, torch.Tensor):
        return variable
    found = getattr(variable, "_value", None)
    return found if isinstance(found, torch.Tensor) else variable.value
