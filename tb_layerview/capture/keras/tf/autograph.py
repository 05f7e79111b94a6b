"""What autograph converts, and what it leaves alone."""

from __future__ import annotations

from typing import Any


def unconverted(function: Any) -> Any:
    """Keeps autograph from this package's code; what it calls is converted if Keras has it converted."""

    def unconverted(*args: Any) -> Any:
        return function(*args)

    unconverted.autograph_info__ = {}  # type: ignore[attr-defined]  # by which autograph knows what not to convert
    return lambda *args: unconverted(*args)
