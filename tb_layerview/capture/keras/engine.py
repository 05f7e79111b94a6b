"""What of an engine is Keras' own affair, whatever computes its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tb_layerview.capture.keras.anatomy import KERAS, KerasAnatomy
from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.versions import software_of


class KerasEngine:
    """The methods are some of those of `host.engine.Engine`.

    Attributes:
      anatomy: What is known of Keras' layers.
      batch: What its batches are.
      framework: The version of what computes, by the name to be shown: `PyTorch`, `JAX`.
    """

    anatomy: KerasAnatomy = KERAS
    batch: type[Batch] = Batch
    framework: Mapping[str, str]

    def software_of(self, model: Any) -> str:
        """What a log of a model is made with, in words."""
        return software_of(model, **self.framework)

    def trained(self, model: Any) -> Sequence[Any]:
        """The variables that the training changes."""
        trained: Sequence[Any] = model.trainable_variables
        return trained

    def applied(self) -> Mapping[int, Any]:
        """None: gradients are those of the pass."""
        return {}

    def variables(self, model: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        """What is trained, moving statistics and states of random generators; and of these what metrics have."""
        of_metrics = [variable for metric in model.metrics for variable in metric.variables]
        return [*model.variables, *model.weights], of_metrics
