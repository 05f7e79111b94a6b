"""What one eager pass of a model has come to."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from tb_layerview.capture.keras.calls import Call
from tb_layerview.capture.keras.torch.recorder import Recorder
from tb_layerview.capture.keras.torch.tracing import Seen


@dataclasses.dataclass
class Ran:
    """What one eager pass has come to.

    Attributes:
      calls: Of its layers; their tensors are `Seen`.
      x: Its inputs, `Seen`, in the order of the structure's leaves.
      structure: Its inputs as the model was given them.
      loss: On the batch; None if there is none.
      gradients: By the id of a Keras variable; None if they are not wanted, or cannot be had.
      notes: What cannot be had and why.
      loss_error: What kept the loss from being computed.
      recorder: What recorded its operations, if they were wanted.
    """

    calls: list[Call]
    x: list[Seen]
    structure: Any
    loss: torch.Tensor | None = None
    gradients: dict[int, torch.Tensor | None] | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    loss_error: str = ""
    recorder: Recorder | None = None
