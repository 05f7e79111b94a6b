"""Which tensors a run logs, and how to say that something is not among what is logged."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence

from tb_layerview.format.model import TOUCHED, Kind, Model, Source


class NotLoggedError(LookupError):
    """What was asked for is not in the log; the message says what is."""


@dataclasses.dataclass(frozen=True)
class LoggedTensor:
    """One thing that a run logs. It can be used as an index: `run.statistics("rms")[tensor]`.

    Attributes:
      index: Its place in `Run.tensors`.
      layer: The path of its layer.
      call: Which call of the layer made it.
      kind: `activation`, `weight`, `gradient` or `update`.
      name: Which one of its kind: `output`, `kernel`, ...
      shape: Sizes of its axes; -1 where a size differs from step to step.
      dtype: numpy's (or ml_dtypes') name of its element type.
      axes: One name an axis.
      function: Of an activation, the activation function that made it; empty if none is known.
      source: Where the call of the layer stands in somebody's code; None where that is not known.
    """

    index: int
    layer: str
    call: int
    kind: Kind
    name: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...]
    function: str = ""
    source: Source | None = dataclasses.field(default=None, compare=False)

    @classmethod
    def of(cls, model: Model, own: int, index: int) -> LoggedTensor:
        """The tensor `own` of a writer's model, as number `index` of a run."""
        tensor = model.tensors[own]
        layer = model.layers[tensor.layer]
        source = layer.sources[tensor.call] if tensor.call < len(layer.sources) else None
        return cls(**{**vars(tensor), "index": index, "layer": layer.path, "source": source})

    def __index__(self) -> int:
        return self.index

    @property
    def short(self) -> str:
        """Its layer, and what of it if it is no activation, in at most four words: `kernel gradient of 'conv'`."""
        if self.kind == "activation":
            return repr(self.layer)
        name = self.name.removesuffix(TOUCHED)
        return f"{name}{f' {self.kind}' * (self.kind in ('gradient', 'update'))} of {self.layer!r}"

    def __str__(self) -> str:
        call = f", call {self.call}" if self.call else ""
        return f"{self.kind} {self.name!r} of layer {self.layer!r}{call}"


def list_tensors(tensors: Sequence[LoggedTensor]) -> str:
    """Names tensors of one layer, the first eight of them."""
    named = [f"kind={t.kind!r} name={t.name!r}" + (f" call={t.call}" if t.call else "") for t in tensors[:8]]
    return "; ".join(named) + ("; ..." if len(tensors) > 8 else "")


def nearest(name: str, names: Sequence[str]) -> str:
    """Says which names there are, those like `name` first."""
    if not names:
        return "there are none"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    if close:
        return f"nearest: {', '.join(close)}"
    return f"there are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
