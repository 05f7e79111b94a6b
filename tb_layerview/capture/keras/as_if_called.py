"""The layers of a Keras model that is not called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tb_layerview.capture.keras.calls import Call, is_opaque
from tb_layerview.capture.keras.paths import LayerPaths


def as_if_called(model: Any) -> list[Call]:
    """The model and its layers, in the order in which they were made, as if each were called once."""
    return list(_as_if_called(model, "", LayerPaths(model), set()))


def _as_if_called(layer: Any, path: str, paths: LayerPaths, seen: set[int]) -> Iterator[Call]:
    seen.add(id(layer))
    yield Call(layer, path, 0)
    if is_opaque(layer):
        return
    for inner in getattr(layer, "_flatten_layers", lambda **_: ())(include_self=False, recursive=False):
        if id(inner) not in seen and type(inner).__name__ != "InputLayer":
            yield from _as_if_called(inner, paths.of(inner, path), paths, seen)
