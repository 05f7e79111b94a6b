"""At which of the logged steps a large weight that a step changes little is measured as a whole."""

from __future__ import annotations

# Octaves begin with this step: those before it are one, or a short training measured the whole at every second step.
_FIRST_OCTAVE = 8


class Octaves:
    """At which of the logged steps the whole is measured: the first, the last, the first of each octave from 8 on."""

    def __init__(self) -> None:
        self._last: int | None = None

    def want(self, step: int, is_last: bool = False) -> bool:
        """Whether the whole is measured at this step; then it is taken to be.

        Args:
          step: Not smaller than any before. At the same one as before, it is not wanted again.
          is_last: Whether it is the training's last.
        """
        last = self._last
        if last is not None and (step == last or (_octave(step) == _octave(last) and not is_last)):
            return False
        self._last = step
        return True


def _octave(step: int) -> int:
    return max(step, _FIRST_OCTAVE - 1).bit_length()
