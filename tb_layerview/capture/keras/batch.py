"""Batches of Keras' backends whose tensors are handed over to the host."""

from __future__ import annotations

from typing import ClassVar

import keras

from tb_layerview.capture.host import batch


class Batch(batch.Batch):
    """What a Keras model is trained on, as its framework has it."""

    tree: ClassVar[batch.Tree] = keras.tree
