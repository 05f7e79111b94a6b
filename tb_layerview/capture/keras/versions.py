"""Which Keras a model is of, and what each of them wants: Keras 3, Keras 2, and tf_keras beside Keras 3."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from tb_layerview.about import software

#: Keras' names of the frameworks whose models can be logged.
BACKENDS = ("tensorflow", "jax", "torch")


def keras_of(model: Any) -> ModuleType | None:
    """The package that a model's class comes from, `keras` or `tf_keras`."""
    packages = (cls.__module__.partition(".")[0] for cls in type(model).__mro__)
    package = next((name for name in packages if name in ("keras", "tf_keras")), None)
    return None if package is None else importlib.import_module(package)


def is_keras(model: Any) -> bool:
    """Whether a model is one of Keras'."""
    return any(cls.__module__.partition(".")[0] in ("keras", "tf_keras") for cls in type(model).__mro__)


def software_of(model: Any, **framework: str) -> str:
    """What a log of a model is made with, in words.

    Args:
      model: The Keras model.
      **framework: The version of what computes it, by the name to be shown.
    """
    return software(Keras=getattr(keras_of(model), "__version__", "unknown"), **framework)


def is_built(model: Any) -> bool:
    """Whether a Keras model has its weights.

    One without a `call`, whose `train_step` calls its parts, is never built itself: all its layers are.
    """
    flatten = getattr(model, "_flatten_layers", None)
    layers = [] if flatten is None else list(flatten(include_self=False, recursive=True))
    return bool(model.built) or (bool(layers) and all(layer.built for layer in layers))


def steps_per_execution(model: Any) -> int:
    """How many batches one call of the model's functions takes."""
    # Keras 2 has a variable under a private name, Keras 3 a number.
    for name in ("steps_per_execution", "_steps_per_execution"):
        steps = getattr(model, name, None)
        if steps is not None:
            return int(steps.numpy() if hasattr(steps, "numpy") else steps)
    return 1


def callback_class() -> Any:
    """Keras' class of callbacks: that of `tf.keras` where TensorFlow is loaded, as it may not be that of `keras`."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None and os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        tensorflow = importlib.import_module("tensorflow")
    keras = importlib.import_module("keras") if tensorflow is None else tensorflow.keras
    return keras.callbacks.Callback


class CallbackOfEitherKeras:
    """What tf_keras, and Keras 2, ask of a callback, for one whose base class may be that of Keras 3."""

    def _implements_train_batch_hooks(self) -> bool:
        return self._overrides("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")

    def _implements_test_batch_hooks(self) -> bool:
        return self._overrides("on_test_batch_begin", "on_test_batch_end")

    def _implements_predict_batch_hooks(self) -> bool:
        return self._overrides("on_predict_batch_begin", "on_predict_batch_end")

    def _overrides(self, *methods: str) -> bool:
        return any(getattr(type(self), name) is not getattr(callback_class(), name) for name in methods)
