"""What was taken of a Keras loop's batches."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Taken:
    """What one call of Keras' function would have taken.

    Attributes:
      iterator: What to give to the function instead: it hands on all that was taken.
      parts: The first batch, of each replica that was given a part of it; nothing if there is no batch.
    """

    iterator: Any
    parts: tuple[Any, ...]
