"""What the layers of a model do otherwise when they do not train, told from the operations of two passes."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.layout import Layout
from tb_layerview.measure.extra import shift
from tb_layerview.measure.measurement import Measurement
from tb_layerview.writing.step import Part

Operations = Mapping[tuple[str, bool], int]


@dataclasses.dataclass(frozen=True)
class Output:
    """What a call of a layer gives back.

    Attributes:
      path: Of the layer, as it is called within the model.
      call: Which call of it.
      number: Which of the tensors that it gives back, and the names of all of them.
      layout: How it is logged.
      operations: How often each operation stands between it and what the layer takes.
    """

    path: str
    call: int
    number: tuple[int, tuple[str, ...]]
    layout: Layout
    operations: Operations

    @property
    def is_random(self) -> bool:
        """Whether random numbers enter it."""
        return any("Random" in name for name, _ in self.operations)


def operations(output: Any, inputs: Sequence[Any]) -> Operations:
    """How often each operation stands between a tensor and those that it is computed from.

    That tells whether a layer does something else when it trains. Copies do nothing; a normalisation that is one
    operation does the one or the other by its attribute.
    """
    seen = {id(tensor) for tensor in inputs}
    pending, found = [output], collections.Counter[tuple[str, bool]]()
    ops: set[Any] = set()
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen or tensor.op in ops:
            continue
        op = tensor.op
        ops.add(op)
        if op.type != "Identity":
            found[op.type, op.type.startswith("FusedBatchNorm") and op.get_attr("is_training")] += 1
        pending.extend(op.inputs)
    return dict(found)


def differing(calls: Sequence[Call], outputs: Mapping[int, Output]) -> dict[int, Any]:
    """Those of some outputs that are made in another way in this pass, as it has them.

    Args:
      calls: Of a pass.
      outputs: What another pass gives, by index.
    """
    by_place = {(call.path, call.index): call for call in calls}
    found = {}
    for index, output in outputs.items():
        call = by_place.get((output.path, output.call))
        if call is None or call.names != output.number[1]:
            continue
        tensor = call.outputs[output.number[0]]
        if operations(tensor, call.inputs) != output.operations:
            found[index] = tensor
    return found


@dataclasses.dataclass(frozen=True)
class Shifted:
    """What was found in training mode, with its distance from inference mode.

    Attributes:
      training: What was found in training mode.
      inference: What was found in inference mode of some of the same tensors.
      is_random: Whether random numbers enter a tensor, by its index.
    """

    training: Part
    inference: Part
    is_random: Mapping[int, bool]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that both hold."""
        return self.training.nbytes + self.inference.nbytes

    def measurements(self) -> dict[int, Measurement]:
        """Those of training mode, some with a `shift`."""
        measured = dict(self.training.measurements())
        for index, inference in self.inference.measurements().items():
            one, other = measured[index].units, inference.units
            if one is not None and other is not None:
                found = shift(one, other, self.is_random[index])
                measured[index] = dataclasses.replace(measured[index], sparse={**measured[index].sparse, **found})
        return measured
