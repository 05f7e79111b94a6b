"""The layers of a model that is not called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tb_layerview.capture.passes.anatomy import Anatomy
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.paths import LayerPaths


def as_if_called(model: Any, anatomy: Anatomy) -> list[Call]:
    """The model and its layers, in the order in which they were made, as if each were called once."""
    return list(_as_if_called(model, "", anatomy, LayerPaths(model, anatomy), set()))


def _as_if_called(layer: Any, path: str, anatomy: Anatomy, paths: LayerPaths, seen: set[int]) -> Iterator[Call]:
    seen.add(id(layer))
    yield Call(layer, path, 0)
    if anatomy.is_opaque(layer):
        return
    for inner in anatomy.within(layer):
        if id(inner) not in seen:
            yield from _as_if_called(inner, paths.of(inner, path), anatomy, paths, seen)
