"""The weights of a Keras model on PyTorch as arrays that can be kept and put back, torch's own buffers among them."""

from __future__ import annotations

from typing import Any

from tb_layerview.capture.keras.host.engine import Engine
from tb_layerview.capture.keras.host.state import ModelState
from tb_layerview.capture.keras.torch.unchanged import buffers_of


class TorchState(ModelState):
    """All variables of a model, and the buffers of the modules that it wraps: Keras lists those nowhere."""

    def __init__(self, model: Any, engine: Engine) -> None:
        """Looks up the variables and the buffers of a model that is built."""
        super().__init__(model, engine, buffers_of(model))
