"""What one eager pass of a model has come to."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.torch.recorder import Recorder
from tb_layerview.capture.torch.tracing import Seen


@dataclasses.dataclass
class Ran:
    """What one eager pass has come to.

    Attributes:
      calls: Of its layers; their tensors are `Seen`.
      x: Its inputs, `Seen`, in the order of the structure's leaves.
      structure: Its inputs as the model was given them.
      loss: On the batch; None if there is none.
      gradients: By the id of a variable; None if they are not wanted, or cannot be had.
      output_gradients: By the call's place in `calls` and the output's number.
      notes: What cannot be had and why.
      loss_error: What kept the loss from being computed.
      recorder: What recorded its operations, if they were wanted.
    """

    calls: list[Call]
    x: list[Seen]
    structure: Any
    loss: torch.Tensor | None = None
    gradients: dict[int, torch.Tensor | None] | None = None
    output_gradients: dict[tuple[int, int], torch.Tensor] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    loss_error: str = ""
    recorder: Recorder | None = None
