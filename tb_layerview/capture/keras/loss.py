"""The loss that a Keras model is compiled with, whatever computes it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from tb_layerview.writing.guard import in_words

#: What is said of a model without one.
WITHOUT_LOSS = "the model is not compiled with a loss: gradients are left out"
#: By how much the loss scale is made smaller where gradients overflow.
SMALLER = 16.0


@dataclasses.dataclass(frozen=True)
class Loss:
    """The loss on the probe, or why there is none.

    Attributes:
      value: A tensor [], or None.
      note: A sentence on why there is none; empty if there is one.
      error: What kept it from being computed, in words; empty if nothing did.
    """

    value: Any
    note: str = ""
    error: str = ""

    @classmethod
    def failed(cls, error: Exception) -> Loss:
        """That there is none because of an error."""
        words = in_words(error)
        return cls(None, f"the loss could not be computed on the probe ({words}): gradients are left out", words)


def compiled_loss(
    model: Any, x: Any, y: Any, predictions: Any, sample_weight: Any, total: Callable[[Any], Any]
) -> Loss:
    """The loss of a model that trains.

    Args:
      model: The model.
      x: As Keras' `compute_loss` takes it, like those that follow.
      y: Targets.
      predictions: What the model has made of `x`.
      sample_weight: Weights of the examples.
      total: The sum of a tensor's elements, a tensor [].
    """
    if getattr(model, "optimizer", None) is None or not hasattr(model, "compute_loss"):
        return Loss(None, WITHOUT_LOSS)
    extra = {"training": True} if "training" in inspect.signature(model.compute_loss).parameters else {}
    try:
        loss = model.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=sample_weight, **extra)
        return Loss(None, WITHOUT_LOSS) if loss is None else Loss(total(loss))
    except Exception as error:  # noqa: BLE001  # whatever a user's loss raises; the rest is logged all the same
        return Loss.failed(error)
