"""By which path each layer of a model is logged: layers of the same names are told apart by a number."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Any

from tb_layerview.capture.passes.anatomy import Anatomy
from tb_layerview.format.model import unused_path

_Given = dict[tuple[str, int], tuple["weakref.ref[Any]", str]]

# What the layers of each model were given, by the model's id: a model need not be hashable.
_known: dict[int, tuple[weakref.ref[Any], _Given]] = {}
_lock = threading.Lock()


class LayerPaths:
    """The paths of the layers in one pass of a model.

    A layer's path is that of the layer within whose call it is called, and its own name. Where another layer has that
    path already, `#2` is added, and so on, in the order in which they are first called. A layer that belongs to the
    model keeps for good what it was given first: in inference mode layers may be called in another order, and not all.
    """

    def __init__(self, model: Any, anatomy: Anatomy) -> None:
        """Takes up what the model's layers were given in the passes before.

        Args:
          model: The model; it is not kept.
          anatomy: What is known of its layers.
        """
        self._anatomy = anatomy
        self._own = {id(layer) for layer in anatomy.all_within(model)}
        with _lock:
            for gone in [number for number, (of_model, _) in _known.items() if of_model() is None]:
                del _known[gone]
            self._kept = _known.setdefault(id(model), (weakref.ref(model), {}))[1]
            # A layer that is gone, or belongs to another model by now, holds no path any more.
            for key in [key for key, (layer, _) in self._kept.items() if layer() is None or key[1] not in self._own]:
                del self._kept[key]
            self._given = {key: path for key, (_, path) in self._kept.items()}
        self._taken = set(self._given.values())
        self._numbers: dict[str, int] = {}

    def of(self, layer: Any, above: str) -> str:
        """The path of a layer.

        Args:
          layer: The layer. One that does not belong to the model must live as long as this object.
          above: The path of the layer within whose call it is called; empty at the top.
        """
        above = self._anatomy.above(layer, above)
        key = above, id(layer)
        if key not in self._given:
            own = self._anatomy.name(layer)
            name = f"{above}/{own}" if above else own
            # Where a thousand layers have one name, the search goes on behind the last one's number.
            path, self._numbers[name] = unused_path(name, self._taken, self._numbers.get(name, 1))
            self._given[key] = path
            if id(layer) in self._own:
                with _lock:
                    self._kept[key] = weakref.ref(layer), path
        return self._given[key]


def say_numbered(paths: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence about the layers that got a number, if there are any.

    Args:
      paths: Of each layer the path, and its own name, with which the path ends unless it got a number.
    """
    found = dict.fromkeys(path for path, name in paths if path != name and not path.endswith(f"/{name}"))
    if not found:
        return []
    groups: dict[str, list[str]] = {}
    for path in found:
        groups.setdefault(path.rpartition("#")[0], []).append(path)
    named = "; ".join(", ".join((name, *numbers)) for name, numbers in groups.items())
    return [f"layers of the same name are told apart by a number, in the order in which they are called: {named}"]
