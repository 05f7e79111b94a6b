"""What all of Keras' backends answer alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.versions import is_built


class Loops:
    """Some of the methods of `backends.KerasBackend`."""

    def is_ready(self, model: Any, given: Given, is_trained: bool) -> bool:
        """Whether a model has its weights."""
        return is_built(model)

    def is_other(self) -> bool:
        """A pass is what the model and its policies say."""
        return False

    def notes(self, model: Any) -> Sequence[str]:
        """None that the model does not tell itself."""
        return ()

    def scalars(self) -> Mapping[str, float]:
        """Nothing: a loop of one's own tells its learning rate, and Keras' are asked."""
        return {}
