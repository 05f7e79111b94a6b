"""See what every layer does at every step: log a training's layers, and look at them in TensorBoard's Layers tab."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tb_layerview.options import Check, Keep, Schedule, Select
from tb_layerview.version import __version__

if TYPE_CHECKING:
    from tb_layerview.callback import LayerViewCallback
    from tb_layerview.diagnosis import Finding
    from tb_layerview.hook import LayerViewHook
    from tb_layerview.logged import NotLoggedError
    from tb_layerview.payload_file import PayloadError
    from tb_layerview.reader import LayerReader
    from tb_layerview.recorder import LayerRecorder
    from tb_layerview.writer import LayerWriter

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
    "LayerViewCallback": "tb_layerview.callback",
    "LayerViewHook": "tb_layerview.hook",
    "LayerRecorder": "tb_layerview.recorder",
    "Finding": "tb_layerview.diagnosis",
    "LayerReader": "tb_layerview.reader",
    "LayerWriter": "tb_layerview.writer",
    "NotLoggedError": "tb_layerview.logged",
    "PayloadError": "tb_layerview.payload_file",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
