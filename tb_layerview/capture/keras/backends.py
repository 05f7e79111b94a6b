"""Which framework computes a Keras model."""

from __future__ import annotations

from typing import Any

from tb_layerview.capture.keras.versions import require_tensorflow
from tb_layerview.capture.probe import Backend


def backend_of(model: Any) -> Backend:
    """What computes a model.

    Raises:
      ValueError: Another backend of Keras does than those whose models can be logged.
    """
    require_tensorflow(model)
    from tb_layerview.capture.keras.tf.backend import TensorFlow

    return TensorFlow()
