"""Large weights that the training does not change, as frozen tables: measured anew only once somebody changes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from tb_layerview.capture.keras.tf.rows import changed_rows
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.tf import digests
from tb_layerview.measure.tf.tap import Tap
from tb_layerview.writing.step import Measured


class StillWeights:
    """Remembers what was measured of weights, and what they were then.

    TensorFlow copies a variable when it is assigned while somebody holds its value; of one that nobody assigns, what is
    held is the variable's own memory. To compare takes a quarter of what a digest takes.
    """

    def __init__(self, taps: Mapping[int, Tap]) -> None:
        """Begins with nothing.

        Args:
          taps: How each is digested, by index in the log's model.
        """
        self._taps = dict(taps)
        self._known: dict[tuple[int, bool], tuple[tf.Tensor, Mapping[int, Measurement]]] = {}

    def measure(self, values: Mapping[int, tf.Tensor], with_values: bool) -> Measured:
        """Measures the weights.

        Args:
          values: Each as it is logged.
          with_values: Whether values are wanted too.
        """
        found = [self._measured(index, value, with_values) for index, value in values.items()]
        return Measured({index: measured for of_one in found for index, measured in of_one.items()})

    def _measured(self, index: int, value: tf.Tensor, with_values: bool) -> Mapping[int, Measurement]:
        known = self._known.get((index, with_values))
        if known is not None and not changed_rows(value, known[0]).shape[0]:
            return known[1]
        tap = dataclasses.replace(self._taps[index], tensor=value)
        measured = digests.digest({index: tap}, with_values).measurements()
        self._known[index, with_values] = value, measured
        return measured
