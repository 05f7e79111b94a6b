"""The change of each weight over exactly one training step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tb_layerview import device_digest
from tb_layerview.device_digest import Tap
from tb_layerview.digest import Measurement


def as_difference(tensor: tf.Tensor) -> tf.Tensor:
    """A weight in the type in which its change is computed: half precision would round what is left of a difference."""
    return tf.cast(tensor, tf.float32) if tensor.dtype.base_dtype in (tf.float16, tf.bfloat16) else tensor


class WeightUpdates:
    """Keeps the weights of one step, and digests on the device how the next step has changed them.

    TensorFlow copies a variable when it is assigned while somebody holds its value: keeping a value costs that copy, in
    time and in device memory, and changes nothing in what is trained.

    Attributes:
      is_wanted: Whether there is anything to keep.
    """

    def __init__(self, updates: Mapping[int, tuple[tf.Variable, Tap]]) -> None:
        """Traces the digests.

        Args:
          updates: By index in the log's model each update's variable, and how to digest it.
        """
        self.is_wanted = bool(updates)
        self._variables = [variable for variable, _ in updates.values()]
        self._taps = {index: tap for index, (_, tap) in updates.items()}
        self._kept: tuple[int, list[tf.Tensor]] | None = None
        if self.is_wanted:
            specs = [tf.TensorSpec(v.shape, v.dtype) for v in self._variables]
            self._function = tf.function(self._digest, autograph=False).get_concrete_function(specs, specs)
            values = self._values()
            self._function(values, values)  # the first call is slow

    def keep(self, step: int) -> None:
        """Keeps the weights as they are, at this step."""
        self._kept = step, self._values()

    def forget(self) -> None:
        """Lets go of the weights that are kept."""
        self._kept = None

    def run(self, step: int, with_values: bool) -> Mapping[str, Any] | None:
        """Digests the change since the step before this one.

        Args:
          step: The step that is complete now.
          with_values: Whether values are wanted too.

        Returns:
          What to give to `measurements`; None if the weights of the step before were not kept.
        """
        kept, self._kept = self._kept, None
        if kept is None or kept[0] != step - 1:
            return None
        fetched = self._function(kept[1], self._values())
        wanted = ("digests", "values") if with_values else ("digests",)
        arrays: Mapping[str, Any] = tf.nest.map_structure(lambda t: t.numpy(), {name: fetched[name] for name in wanted})
        return arrays

    def measurements(self, fetched: Mapping[str, Any] | None) -> dict[int, Measurement]:
        """Makes measurements, by index in the log's model, of what `run` returned. Needs no device."""
        return {} if fetched is None else device_digest.measurements(self._taps, fetched)

    @property
    def values_kept(self) -> int:
        """How many elements are kept of all updates together, when values are wanted."""
        return device_digest.values_kept(self._taps)

    def _values(self) -> list[tf.Tensor]:
        return [variable.read_value() for variable in self._variables]

    def _digest(self, before: list[tf.Tensor], after: list[tf.Tensor]) -> device_digest.Fetches:
        changes = [as_difference(new) - as_difference(old) for old, new in zip(before, after)]
        return device_digest.reduce(
            {i: dataclasses.replace(tap, tensor=change) for (i, tap), change in zip(self._taps.items(), changes)}
        )
