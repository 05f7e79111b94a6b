"""The change of each weight over exactly one training step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview.capture.keras.tf.layouts import laid_out
from tb_layerview.capture.passes.layout import Layout
from tb_layerview.measure.handed import Differences
from tb_layerview.measure.tf import digests, in_memory
from tb_layerview.measure.tf.digests import Digests
from tb_layerview.measure.tf.tap import Tap, as_difference


@dataclasses.dataclass(frozen=True)
class Update:
    """How one weight's change is measured.

    Attributes:
      variable: TensorFlow's variable.
      layout: How the change is logged.
      tap: How it is digested.
    """

    variable: tf.Variable
    layout: Layout
    tap: Tap

    def without_tensor(self) -> Update:
        """The same, without what would hold the graph in which it was found."""
        return dataclasses.replace(self, tap=self.tap.without_tensor())

    def change(self, before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
        """The change as it is logged."""
        return laid_out(as_difference(after) - as_difference(before), self.layout)


class WeightUpdates:
    """Keeps the weights of one step, and digests how the next step has changed them.

    TensorFlow copies a variable when it is assigned while somebody holds its value: keeping a value costs that copy, in
    time and in device memory, and changes nothing in what is trained.

    Attributes:
      is_wanted: Whether there is anything to keep.
    """

    def __init__(self, updates: Mapping[int, Update]) -> None:
        """Makes ready what digests the changes: the first time is slow.

        Args:
          updates: By index in the log's model.
        """
        self.is_wanted = bool(updates)
        self._updates = dict(updates)
        self._kept: tuple[int, list[tf.Tensor]] | None = None
        digests.make_ready({index: update.tap for index, update in updates.items()})

    def keep(self, step: int) -> None:
        """Keeps the weights as they are, at this step."""
        self._kept = step, self._values()

    def forget(self) -> None:
        """Lets go of the weights that are kept."""
        self._kept = None

    def run(self, step: int, with_values: bool) -> Digests | None:
        """Digests the change since the step before this one.

        Args:
          step: The step that is complete now.
          with_values: Whether values are wanted too.

        Returns:
          By index in the log's model; None if the weights of the step before were not kept.
        """
        kept, self._kept = self._kept, None
        return None if kept is None or kept[0] != step - 1 else self._digested(kept[1], with_values)

    def _values(self) -> list[tf.Tensor]:
        return [update.variable.read_value() for update in self._updates.values()]

    def _digested(self, before: list[tf.Tensor], with_values: bool) -> Digests:
        """The digests of how the weights have changed since."""
        if in_memory.is_possible():
            return self._in_memory(before, with_values)
        taps = {
            index: dataclasses.replace(update.tap, tensor=update.change(old, new))
            for (index, update), old, new in zip(self._updates.items(), before, self._values())
        }
        return digests.digest(taps, with_values)

    def _in_memory(self, before: list[tf.Tensor], with_values: bool) -> Differences:
        """The same, to be measured later."""

        def as_logged(values: list[tf.Tensor]) -> dict[int, npt.NDArray[np.generic]]:
            return {i: u.layout.view(np.asarray(value)) for (i, u), value in zip(self._updates.items(), values)}

        taps = {index: update.tap for index, update in self._updates.items()}
        return Differences(taps, as_logged(before), as_logged(self._values()), with_values)
