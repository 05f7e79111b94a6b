"""What one step changes in the weights of a Keras model: all of most of them, and rows of those that are looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tb_layerview.capture.keras.tf.rows import LookedUp, TouchedRows
from tb_layerview.capture.keras.tf.updates import Update, WeightUpdates
from tb_layerview.capture.probe import Changed


class Changes:
    """Keeps the weights of one step, and digests how the next one has changed them.

    Attributes:
      is_wanted: Whether there is anything to keep.
    """

    def __init__(self, updates: Mapping[int, Update], looked_up: Sequence[LookedUp]) -> None:
        """Makes ready what digests the changes: the first time is slow.

        Args:
          updates: By index in the log's model.
          looked_up: Weights of which a step changes few rows.
        """
        self._updates, self._rows = WeightUpdates(updates), TouchedRows(looked_up)
        self.is_wanted = self._updates.is_wanted or self._rows.is_wanted

    def keep(self, step: int, steps: int = 1) -> None:
        """Keeps the weights as they are, at this step; so many are taken at once, at most, from here on."""
        self._updates.keep(step)
        # What it has just compared, if this step was logged: nothing has changed it since.
        self._rows.keep(step, steps)

    def forget(self) -> None:
        """Lets go of the weights that are kept."""
        self._updates.forget()
        self._rows.forget()

    def run(self, step: int, with_values: bool) -> Changed:
        """Digests what has changed; see `probe.Updates`."""
        changed, rows = self._updates.run(step, with_values), self._rows.run(step, with_values)
        return rows if changed is None else Changed((*rows.parts, changed), rows.few)
