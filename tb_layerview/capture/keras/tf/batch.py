"""What a Keras model is trained on, as tensors."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview.capture.keras.tf import examples as keras_examples
from tb_layerview.capture.passes.fingerprint import fingerprint
from tb_layerview.writing.guard import Refused


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a model is trained on: inputs, targets and sample weights, each a nested structure of tensors, or None."""

    x: Any
    y: Any = None
    sample_weight: Any = None
    parts: int = 0  # of the tuple that it came as; 0 if x came alone

    @classmethod
    def of(cls, data: Any) -> Batch:
        """From what `fit` takes as an element of a data set: x, (x,), (x, y) or (x, y, sample_weight)."""
        if not isinstance(data, tuple):
            return cls(data)
        if not 1 <= len(data) <= 3:
            raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight), not a tuple of {len(data)}")
        x, y, sample_weight = (*data, None, None, None)[:3]
        return cls(x, y, sample_weight, len(data))

    def first(self, examples: int) -> Batch:
        """Its first examples.

        Raises:
          Exception: It cannot be cut into examples.
        """
        parts = (self.x, self.y, self.sample_weight)
        rows = sorted({rows for leaf in tf.nest.flatten(parts) if (rows := keras_examples.count(leaf)) is not None})
        if len(rows) > 1:
            numbers = ", ".join(f"{number:,}" for number in rows)
            raise ValueError(f"its parts have {numbers} rows, so a row is not an example")
        x, y, sample_weight = (
            tf.nest.map_structure(lambda leaf: keras_examples.first(leaf, examples), part) for part in parts
        )
        return Batch(x, y, sample_weight, self.parts)

    @property
    def examples(self) -> int:
        """How many examples it has: rows of its first input, or of the first part that this is made of."""
        found = tf.nest.flatten(self.x)[0]
        if isinstance(found, (tf.SparseTensor, tf.RaggedTensor)):
            return keras_examples.count(found) or 0
        return int(tf.nest.flatten(found, expand_composites=True)[0].shape[0])

    @property
    def shapes(self) -> str:
        """The shapes of its inputs, in words."""
        return ", ".join(f"{tuple(leaf.shape)}" for leaf in tf.nest.flatten(self.x))

    @property
    def bytes(self) -> int:
        """What it takes in memory; of strings the references."""
        leaves = tf.nest.flatten((self.x, self.y, self.sample_weight), expand_composites=True)
        return sum(leaf.dtype.size * int(tf.size(leaf)) for leaf in leaves if leaf is not None)

    def copied(self) -> Batch:
        """The same in memory of its own: an array or a generator's buffer that it came from may be written to."""
        parts = (self.x, self.y, self.sample_weight)
        x, y, sample_weight = (tf.nest.map_structure(_copied, part, expand_composites=True) for part in parts)
        return Batch(x, y, sample_weight, self.parts)

    def hash(self) -> str:
        """What tells it from other inputs: see `fingerprint`."""
        leaves = tf.nest.flatten((self.x, self.y, self.sample_weight), expand_composites=True)
        return fingerprint(np.asarray(leaf) for leaf in leaves if leaf is not None)


def _copied(leaf: Any) -> Any:
    if leaf is None or leaf.dtype in (tf.resource, tf.variant) or "CPU" not in leaf.device:
        return leaf  # what lies on an accelerator is nobody else's
    return tf.constant(np.asarray(leaf), leaf.dtype)


def given_batch(data: Any) -> Batch:
    """The probe that somebody gave: x, (x, y) or (x, y, sample_weight), as tensors.

    Raises:
      Refused: It is none.
    """
    try:
        batch = Batch.of(tf.nest.map_structure(as_tensor, data))
        if batch.examples < 1:
            raise ValueError("it has no examples")
        return batch
    except Exception as error:  # whatever else somebody gives than arrays
        raise Refused(f"the probe is no batch: {error}. Give x, (x, y) or (x, y, sample_weight) as arrays.") from error


def as_tensor(leaf: Any) -> Any:
    """A leaf of a batch as a tensor, or whatever else data sets are made of; what there is not, is None."""
    if leaf is None or isinstance(leaf, tf.experimental.Optional):  # which Keras takes for None
        return None
    if tf.is_tensor(leaf) or isinstance(leaf, tf.__internal__.CompositeTensor):
        return leaf
    return tf.convert_to_tensor(leaf)


def target_array(leaf: Any) -> npt.NDArray[np.generic] | str:
    """One of the targets of a batch as an array; or why it is none, after its name."""
    if not isinstance(leaf, (tf.Tensor, tf.Variable)):
        return f"it is a {type(leaf).__name__}, no array of numbers"
    if leaf.dtype in (tf.string, tf.resource, tf.variant) or leaf.dtype.is_quantized:
        return f"it is of dtype {leaf.dtype.name}"
    return np.asarray(leaf)
