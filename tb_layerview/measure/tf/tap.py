"""What there is to digest of a training that TensorFlow computes."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tb_layerview.format.values import Axis
from tb_layerview.measure.extra import Extra


@dataclasses.dataclass(frozen=True)
class Tap:
    """A tensor to digest.

    Attributes:
      tensor: Of any shape; its type is one that `digest.can_measure`.
      units: Whether to measure each unit (index of the last axis) too; wants rank 2 or more.
      keep: What of each axis to keep, or None. Counts beyond an axis' real size at run time keep what is there.
      sparse: What to measure beside what all tensors have, or None.
      taken: `taken_non_finite` (`measure.extra`), a float32 number, or None.
    """

    tensor: tf.Tensor
    units: bool = False
    keep: tuple[Axis, ...] | None = None
    sparse: Extra | None = None
    taken: tf.Tensor | None = None

    def without_tensor(self) -> Tap:
        """The same, with only what the tensors look like: they would hold their graph."""
        taken = None if self.taken is None else tf.TensorSpec([], tf.float32)
        return dataclasses.replace(self, tensor=tf.TensorSpec(self.tensor.shape, self.tensor.dtype), taken=taken)


def difference_dtype(dtype: tf.DType) -> tf.DType:
    """The type in which a weight's change is computed: half precision would round what is left of a difference."""
    return tf.float32 if dtype.base_dtype in (tf.float16, tf.bfloat16) else dtype.base_dtype


def as_difference(tensor: tf.Tensor) -> tf.Tensor:
    """A weight in the type in which its change is computed."""
    return tf.cast(tensor, difference_dtype(tensor.dtype))
