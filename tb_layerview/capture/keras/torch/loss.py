"""The loss that a Keras model is compiled with, on the probe, and the scale under which gradients are finite."""

from __future__ import annotations

from typing import Any

import torch

from tb_layerview.capture.keras import loss
from tb_layerview.capture.keras.batch import Batch


def compiled_loss(model: Any, batch: Batch, predictions: Any) -> loss.Loss:
    """The loss of a model that trains, on what it has made of a batch."""
    given = batch.x, batch.y, predictions, batch.sample_weight
    return loss.compiled_loss(model, *given, total=lambda value: torch.as_tensor(value).sum())


def loss_scale(optimizer: Any) -> float | None:
    """What the optimizer multiplies the loss by now, so that float16 gradients do not vanish; None if it does not."""
    if not hasattr(optimizer, "scale_loss"):
        return None
    with torch.no_grad():
        scale = float(optimizer.scale_loss(torch.tensor(1.0)))  # optimizers that do not scale leave it
    is_fixed = not hasattr(optimizer, "inner_optimizer")
    return None if is_fixed and scale == 1.0 else scale


def smaller(scale: float) -> float:
    """The next loss scale to try where gradients overflow."""
    return max(scale / loss.SMALLER, 1.0)
