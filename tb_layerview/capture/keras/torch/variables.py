"""The variables of Keras models, and the leaves of their batches, as PyTorch's tensors."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import torch


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
