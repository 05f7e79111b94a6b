"""What attention looks at, as it is logged."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Scores:
    """How much each query position looks at each key position, in shares of 1; before dropout where the layer tells.

    Attributes:
      tensor: One axis for each name.
      axes: `example`, `head`, `query`, `key`; without `head` for layers that have none, and with numbers behind
        `query` and `key` where attention goes over several axes.
    """

    tensor: Any
    axes: tuple[str, ...]
