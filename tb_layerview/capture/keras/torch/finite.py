"""Whether losses and weights are finite; where a device has yet to tell, that is not waited for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from tb_layerview.capture.keras.torch.variables import tensor_of


def losses_are_finite(logs: Any) -> Any:
    """Whether the losses are finite, bool, or a tensor of a device: those called so, else all that is logged.

    A mean stays NaN.
    """
    found = {name: value for name, value in logs.items() if _is_float(value)} if isinstance(logs, Mapping) else {}
    losses = {name: value for name, value in found.items() if "loss" in name} or found
    return _all_finite(torch.as_tensor(value) for value in losses.values())


def weights_are_finite(model: Any, losses: Any) -> Any:
    """Whether the trained weights are finite, too; they are looked at after every other step, as it costs a pass.

    The loss alone does not tell: a gradient may be NaN where the loss is none, and what leaves NaN out by itself, as
    max pooling does, hides it afterwards.

    Args:
      model: The Keras model.
      losses: What `losses_are_finite` gives.
    """
    iterations = getattr(getattr(model, "optimizer", None), "iterations", None)
    if iterations is None or int(tensor_of(iterations)) % 2:
        return losses
    with torch.no_grad():
        # float16 would overflow where its elements do not.
        tensors = (tensor_of(variable) for variable in model.trainable_variables)
        sums = [t.sum(dtype=torch.float64 if t.dtype == torch.float64 else torch.float32) for t in tensors]
        weights = _all_finite(sums)
    if isinstance(weights, bool):
        return losses if weights else False
    return weights & losses


def _all_finite(tensors: Iterable[torch.Tensor]) -> Any:
    found = list(tensors)
    if all(tensor.device.type == "cpu" for tensor in found):
        return all(bool(tensor.isfinite().all()) for tensor in found)
    return torch.stack([tensor.isfinite().all().to(found[0].device) for tensor in found]).all()


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, torch.Tensor) and value.is_floating_point())
