"""See what every layer does at every step: log a training's layers, and look at them in TensorBoard's Layers tab."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tb_layerview.about import __version__
from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select

if TYPE_CHECKING:
    from tb_layerview.capture.graph.hook import LayerViewHook
    from tb_layerview.capture.keras.callback import LayerViewCallback
    from tb_layerview.capture.keras.recorder import LayerRecorder
    from tb_layerview.format.logged import NotLoggedError
    from tb_layerview.health.finding import Finding
    from tb_layerview.reading.payload_file import PayloadError
    from tb_layerview.reading.reader import LayerReader
    from tb_layerview.writing.writer import LayerWriter

__all__ = [
    "Check",
    "Finding",
    "Keep",
    "LayerReader",
    "LayerRecorder",
    "LayerViewCallback",
    "LayerViewHook",
    "LayerWriter",
    "NotLoggedError",
    "PayloadError",
    "Schedule",
    "Select",
    "__version__",
]

# Loaded when first used: the first three need TensorFlow, which someone who only reads or views logs need not have.
_LAZY = {
    "LayerViewCallback": "tb_layerview.capture.keras.callback",
    "LayerViewHook": "tb_layerview.capture.graph.hook",
    "LayerRecorder": "tb_layerview.capture.keras.recorder",
    "Finding": "tb_layerview.health.finding",
    "LayerReader": "tb_layerview.reading.reader",
    "LayerWriter": "tb_layerview.writing.writer",
    "NotLoggedError": "tb_layerview.format.logged",
    "PayloadError": "tb_layerview.reading.payload_file",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
