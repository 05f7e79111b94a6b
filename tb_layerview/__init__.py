"""See what every layer does at every step: log a training's layers, and look at them in TensorBoard's Layers tab.

Wrong options are Python's own `TypeError` and `ValueError`, before the first step. These errors are the package's
own; the message of each is a sentence that says what is wrong:

- `NotLoggedError` (a `LookupError`): what is asked of a log is not in it. Whoever reads a log gets it; over HTTP `404`.
- `PayloadError`: what a log keeps of a tensor is missing, cut off or damaged. Whoever reads a log gets it; over HTTP
  `410`.
- `Refused` (a `ValueError`): what was asked for cannot be had, such as a probe that is not a batch. Like wrong options
  it keeps a training from beginning; one that goes on is ended by no error of logging.
- `NotSupported`: what cannot be logged, whatever is given. It is reported once, and the training goes on.
- `RequestError`: an HTTP request is wrong. The answer is `400`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select

if TYPE_CHECKING:
    from tb_layerview.about import __version__
    from tb_layerview.capture.graph.hook import LayerViewHook
    from tb_layerview.capture.keras.callback import LayerViewCallback
    from tb_layerview.capture.recorder import LayerRecorder
    from tb_layerview.capture.torch.lightning import LightningCallback
    from tb_layerview.capture.torch.trainer import TrainerCallback
    from tb_layerview.capture.torch.watch import watch
    from tb_layerview.commands.notebook import show
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
    "LightningCallback",
    "NotLoggedError",
    "PayloadError",
    "Schedule",
    "Select",
    "TrainerCallback",
    "__version__",
    "show",
    "watch",
]

# Loaded when first used: callback, hook and recorder need TensorFlow, which someone who only reads logs need not have.
_LAZY = {
    "__version__": "tb_layerview.about",
    "LayerViewCallback": "tb_layerview.capture.keras.callback",
    "LayerViewHook": "tb_layerview.capture.graph.hook",
    "LayerRecorder": "tb_layerview.capture.recorder",
    "Finding": "tb_layerview.health.finding",
    "LightningCallback": "tb_layerview.capture.torch.lightning",
    "TrainerCallback": "tb_layerview.capture.torch.trainer",
    "LayerReader": "tb_layerview.reading.reader",
    "LayerWriter": "tb_layerview.writing.writer",
    "NotLoggedError": "tb_layerview.format.logged",
    "PayloadError": "tb_layerview.reading.payload_file",
    "show": "tb_layerview.commands.notebook",
    "watch": "tb_layerview.capture.torch.watch",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
