"""Modules are called by their places in a model, whoever calls them: PyTorch's and those of Flax alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Placed:
    """The methods are those of `passes.anatomy.Anatomy`."""

    _paths: Mapping[int, str]  # by the ids of the modules

    def root_name(self, model: Any) -> str:
        """What its class is called."""
        return type(model).__name__

    def name(self, layer: Any) -> str:
        """What a module is called within the model, or, of one that is no part of it, its class."""
        return self._paths.get(id(layer)) or type(layer).__name__

    def above(self, layer: Any, above: str) -> str:
        """A module of the model has its place, whoever calls it."""
        return "" if id(layer) in self._paths else above
