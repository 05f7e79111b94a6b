"""Nested structures of whatever has no library for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tb_layerview.capture.passes.calls import leaves


class NestedTree:
    """Nested dicts, lists and tuples, and whatever else is a mapping; None is a leaf."""

    def map_structure(self, function: Callable[[Any], Any], structure: Any) -> Any:
        """The same structure of what a function makes of its leaves; of a mapping a dict."""
        if isinstance(structure, Mapping):
            return {key: self.map_structure(function, value) for key, value in structure.items()}
        if isinstance(structure, tuple) and hasattr(structure, "_fields"):
            return type(structure)(*(self.map_structure(function, value) for value in structure))
        if isinstance(structure, (list, tuple)):
            return type(structure)(self.map_structure(function, value) for value in structure)
        return function(structure)

    def flatten(self, structure: Any) -> list[Any]:
        """The leaves of a structure."""
        return [leaf for _, leaf in leaves(structure)]
