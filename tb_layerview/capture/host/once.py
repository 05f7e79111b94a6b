"""Reads each weight once, where it is wanted several times at one moment of the training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from tb_layerview.capture.host.engine import Array, Engine


class ReadOnce:
    """Reads variables; of what is read again at the same moment it gives the same arrays, which nobody writes to.

    At a logged step a weight is measured itself, its change since the step before is, and where the next step is to be
    logged, it is kept for that one's change.
    """

    def __init__(self, engine: Engine) -> None:
        """Has read nothing yet."""
        self._engine = engine
        self._read: dict[int, tuple[Any, Array]] | None = None  # by the variable's id; None between two moments

    @contextlib.contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Within it no variable changes, as far as it shows between two reads."""
        if self._read is not None:  # within one already
            yield
            return
        self._read = {}
        try:
            yield
        finally:
            self._read = None

    def read(self, variables: Sequence[Any]) -> list[Array]:
        """Values of variables as they are now, in memory that the training does not write to."""
        known = self._read
        if known is None:
            return self._engine.read(variables)
        lacking = [variable for variable in variables if id(variable) not in known]
        known.update((id(one), (one, array)) for one, array in zip(lacking, self._engine.read(lacking)))
        return [known[id(variable)][1] for variable in variables]
