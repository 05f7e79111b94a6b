"""The change of each weight over exactly one training step, where weights are handed over to the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tb_layerview.capture.host.engine import Array
from tb_layerview.capture.host.once import ReadOnce
from tb_layerview.capture.passes.chosen import Chosen
from tb_layerview.capture.probe import Changed
from tb_layerview.measure.handed import Differences
from tb_layerview.measure.tap import HostTap


class Updates:
    """Keeps the weights of one step, and hands over how the next step has changed them.

    Attributes:
      is_wanted: Whether there is anything to keep.
    """

    def __init__(self, chosen: Chosen, reading: ReadOnce) -> None:
        """Looks up whose changes are logged."""
        self._reading = reading
        self._variables: dict[int, Any] = dict(chosen.updates)
        picks = {i: chosen.picks[i] for i in self._variables}
        self._layouts = {i: pick.candidate.layout for i, pick in picks.items()}
        self._taps = {i: HostTap(pick.units, pick.keep, pick.extra) for i, pick in picks.items()}
        self.is_wanted = bool(self._variables)
        self._kept: tuple[int, Sequence[Array]] | None = None

    def keep(self, step: int, steps: int = 1) -> None:
        """Keeps the weights as they are, at this step."""
        self._kept = step, self._read()

    def forget(self) -> None:
        """Lets go of the weights that are kept."""
        self._kept = None

    def run(self, step: int, with_values: bool) -> Changed:
        """Hands over the change since the step before this one; see `probe.Updates`."""
        kept, self._kept = self._kept, None
        if kept is None or kept[0] != step - 1:
            return Changed()
        before, after = self._as_logged(kept[1]), self._as_logged(self._read())
        return Changed((Differences(self._taps, before, after, with_values),))

    def _read(self) -> Sequence[Array]:
        return self._reading.read(list(self._variables.values()))

    def _as_logged(self, values: Sequence[Array]) -> dict[int, Array]:
        return {i: self._layouts[i].view(value) for i, value in zip(self._variables, values)}
