"""The variables of Keras models, as TensorFlow has them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf


def tf_variable(variable: Any) -> Any:
    """TensorFlow's variable of a Keras variable, which in Keras 2 is one."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def number(variable: Any) -> Any:
    """What a variable or a plain number holds. A variable of a distribution strategy is no array in Keras 2."""
    return np.asarray(tf.convert_to_tensor(variable))


@dataclasses.dataclass(frozen=True)
class WrittenVariable:
    """A variable by its handle: not every one that a function writes is among those that its graph knows.

    Keras 2 adds to its metrics under mixed precision without reading them, and TensorFlow notes only what is read.

    Attributes:
      handle: The resource, an eager tensor.
      dtype: The type of its value.
    """

    handle: Any
    dtype: tf.DType

    def read(self) -> tf.Tensor:
        """A copy of its value."""
        return tf.identity(tf.raw_ops.ReadVariableOp(resource=self.handle, dtype=self.dtype))

    def assign(self, value: tf.Tensor) -> None:
        """Sets its value."""
        tf.raw_ops.AssignVariableOp(resource=self.handle, value=value)
