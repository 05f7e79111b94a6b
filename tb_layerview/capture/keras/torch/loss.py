"""The loss that a Keras model is compiled with, on the probe, and the scale under which gradients are finite."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import torch

from tb_layerview.capture.keras.host.batch import Batch
from tb_layerview.writing.guard import in_words

_WITHOUT = "the model is not compiled with a loss: gradients are left out"
# By how much the loss scale is made smaller where gradients overflow.
_SMALLER = 16.0


@dataclasses.dataclass(frozen=True)
class Loss:
    """The loss on the probe, or why there is none.

    Attributes:
      value: A tensor [], or None.
      note: A sentence on why there is none; empty if there is one.
      error: What kept it from being computed, in words; empty if nothing did.
    """

    value: torch.Tensor | None
    note: str = ""
    error: str = ""


def compiled_loss(model: Any, batch: Batch, predictions: Any) -> Loss:
    """The loss of a model that trains, on what it has made of a batch."""
    if getattr(model, "optimizer", None) is None:
        return Loss(None, _WITHOUT)
    extra = {"training": True} if "training" in inspect.signature(model.compute_loss).parameters else {}
    try:
        loss = model.compute_loss(x=batch.x, y=batch.y, y_pred=predictions, sample_weight=batch.sample_weight, **extra)
        value = None if loss is None else torch.as_tensor(loss).sum()
    except Exception as error:  # noqa: BLE001  # whatever a user's loss raises; the rest is logged all the same
        words = in_words(error)
        return Loss(None, f"the loss could not be computed on the probe ({words}): gradients are left out", words)
    return Loss(None, _WITHOUT) if value is None else Loss(value)


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
    return max(scale / _SMALLER, 1.0)


def unscaled(gradient: torch.Tensor, scale: float | None) -> torch.Tensor:
    """The gradient of the loss itself, in float32 if that is more than it had: float16 would not hold it."""
    if scale is None:
        return gradient
    return gradient.to(gradient.dtype if gradient.dtype == torch.float64 else torch.float32) / scale
