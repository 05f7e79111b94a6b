"""Which Keras a model is of, and what each of them wants: Keras 3, Keras 2, and tf_keras beside Keras 3."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview.about import software


def keras_of(model: Any) -> ModuleType | None:
    """The package that a model's class comes from, `keras` or `tf_keras`."""
    packages = (cls.__module__.partition(".")[0] for cls in type(model).__mro__)
    package = next((name for name in packages if name in ("keras", "tf_keras")), None)
    return None if package is None else importlib.import_module(package)


def software_of(model: Any) -> str:
    """What a log of a model is made with, in words."""
    keras = getattr(keras_of(model), "__version__", "unknown")
    return software(Keras=keras, TensorFlow=tf.__version__)


def require_tensorflow(model: Any) -> None:
    """Makes sure that TensorFlow computes the model.

    Raises:
      ValueError: Another backend of Keras does.
    """
    config = getattr(keras_of(model), "config", None)  # of Keras 3, which alone has backends to choose from
    backend = "tensorflow" if config is None else config.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"Keras computes this model with {backend}, and only what TensorFlow computes can be logged from within. "
            "Set KERAS_BACKEND=tensorflow before Keras is imported, or log arrays with LayerWriter."
        )


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
            return int(number(steps))
    return 1


def number(variable: Any) -> Any:
    """What a variable or a plain number holds. A variable of a distribution strategy is no array in Keras 2."""
    return np.asarray(tf.convert_to_tensor(variable))


class CallbackOfEitherKeras:
    """What tf_keras, and Keras 2, ask of a callback, for one whose base class may be that of Keras 3."""

    def _implements_train_batch_hooks(self) -> bool:
        return self._overrides("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")

    def _implements_test_batch_hooks(self) -> bool:
        return self._overrides("on_test_batch_begin", "on_test_batch_end")

    def _implements_predict_batch_hooks(self) -> bool:
        return self._overrides("on_predict_batch_begin", "on_predict_batch_end")

    def _overrides(self, *methods: str) -> bool:
        return any(getattr(type(self), name) is not getattr(tf.keras.callbacks.Callback, name) for name in methods)
