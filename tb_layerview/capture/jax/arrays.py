"""Arrays of JAX that may lie with several processes, or be gone."""

from __future__ import annotations

from typing import Any

import jax

from tb_layerview.writing.guard import NotSupported


def here(array: Any, name: str = "a part of the batch") -> Any:
    """What this process has of an array of several processes, who alone can compute with it: one copy.

    Raises:
      NotSupported: It has only a part.
    """
    if not isinstance(array, jax.Array) or array.is_fully_addressable:
        return array
    if not array.is_fully_replicated:
        raise NotSupported(f"{name} is spread over several processes: no single one can log the model")
    return array.addressable_data(0)
