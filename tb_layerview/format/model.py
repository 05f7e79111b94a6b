"""What a writer logs: the layers of a model and their tensors."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Literal, get_args

Kind = Literal["activation", "weight", "gradient", "update", "optimizer"]
Mode = Literal["train", "evaluate", "predict", "replay"]

KINDS: tuple[Kind, ...] = get_args(Kind)
#: Those that are logged unless somebody says otherwise.
USUAL_KINDS: tuple[Kind, ...] = ("activation", "weight", "gradient", "update")
MODES: tuple[Mode, ...] = get_args(Mode)

#: What is added to the name of a weight for those of its rows that a step has changed.
TOUCHED = " (touched rows)"

# What a log says beyond these is damaged or hostile: so much is allocated for it at most.
#: The most layers of a model, and the most tensors.
MOST_TENSORS = 1 << 16
#: The most values that are kept of a tensor at a step.
MOST_VALUES = 1 << 26
#: The most axes of a tensor: as many as every version of numpy has.
MOST_AXES = 32


#: Of so many calls of a layer it is told at most where they stand.
MOST_SOURCES = 64
#: The most bytes of all targets of a probe, and the most of them that there are.
MOST_TARGET_BYTES, MOST_TARGETS = 1 << 16, 1 << 10
#: The types that targets have.
TARGET_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)


@dataclasses.dataclass(frozen=True)
class Source:
    """A place in somebody's code.

    Attributes:
      file: Its file, relative to the working folder or to where it was imported from: `nets/unet.py`.
      line: From 1 on.
      is_class: Whether it is not where a layer is called, but where its class defines what it does.
    """

    file: str
    line: int
    is_class: bool = False

    def __str__(self) -> str:
        # A log may come from anybody: what a terminal would obey is spelled out.
        file = self.file if self.file.isprintable() else ascii(self.file)[1:-1]
        return f"{'defined in ' if self.is_class else ''}{file}:{self.line}"


@dataclasses.dataclass(frozen=True)
class Window:
    """What of its input a layer reads for one place of its output, an entry for each axis of space.

    With `n` places of input, `extent = (size - 1) * dilation + 1` and `k` from 0 to `size - 1`: output `i` reads the
    inputs `i * stride - padding_before + k * dilation`, and there are
    `(n + padding_before + padding_after - extent) // stride + 1` outputs. Transposed: input `j` is read by the outputs
    `j * stride - padding_before + k * dilation`, of which there are
    `(n - 1) * stride + extent - padding_before - padding_after`.

    Attributes:
      size: Of the kernel or the pool, at least 1.
      strides: At least 1.
      dilation: The distance between two of the inputs that a window reads, at least 1.
      padding_before: For the logged inputs, negative where places are cut off; empty where it depends on an input size
        that is not known, or that differs from call to call.
      padding_after: The same behind the input.
      transposed: Whether it is that of a transposed convolution, or of upsampling that repeats.
      padding_mode: What stands outside of the input: empty for a constant or nothing, else `reflect`, `replicate` or
        `circular`.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding_before: tuple[int, ...] = ()
    padding_after: tuple[int, ...] = ()
    transposed: bool = False
    padding_mode: str = ""

    @property
    def extent(self) -> tuple[int, ...]:
        """How many places there are from the first to the last that it reads, those between included."""
        return tuple((size - 1) * dilation + 1 for size, dilation in zip(self.size, self.dilation))


@dataclasses.dataclass(frozen=True)
class Layer:
    """A named part of a model.

    Attributes:
      path: Its name below the model, `encoder/block_1/conv`.
      class_name: `Conv2D`; empty if unknown.
      inputs: Indices, in `Model.layers`, of the layers whose outputs it reads, layers that it calls among them.
      sources: Where it is called, by call; none where that is not known, or of a layer that is called more often.
      window: Of a convolution, a pooling and the like; None where it has none, or none is known.
      direct: Whether it is known that each place of what it takes is made of the same place of its inputs' outputs
        alone, by nothing but element-wise operations.
      in_place: Whether it is known that each place of what it puts out is so made.
    """

    path: str
    class_name: str = ""
    inputs: tuple[int, ...] = ()
    sources: tuple[Source, ...] = ()
    window: Window | None = None
    direct: bool = False
    in_place: bool = False


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One thing that is logged at each logged step.

    Attributes:
      layer: Index of its layer in `Model.layers`.
      call: Which call of the layer made it, from 0; 0 for what has no calls.
      kind: What it is: `activation`, `weight`, `gradient`, `update`; or `optimizer`, what one keeps of a weight.
      name: Which one of its kind: `output`, `kernel`, `bias`, ...; of an optimizer `kernel/momentum`.
      shape: Sizes of its axes; -1 where a size differs from step to step.
      dtype: numpy's (or ml_dtypes') name of its element type.
      axes: One name an axis: `example`, `row`, `column`, `channel`, `timestep`, `unit`, ...
      function: Of an activation, the activation function that made it: `relu`, `tanh`, ...; empty if none is known.
    """

    layer: int
    kind: Kind
    name: str
    shape: tuple[int, ...]
    dtype: str
    call: int = 0
    axes: tuple[str, ...] = ()
    function: str = ""

    @property
    def is_attention(self) -> bool:
        """Whether it is what attention looks at: scores by their name, or a softmax over keys."""
        return is_attention(self.kind, self.name, self.axes)


#: The fields of a tensor, by one name each in the message, in `LoggedTensor` and in what is served.
TENSOR_FIELDS = tuple(field.name for field in dataclasses.fields(Tensor))


@dataclasses.dataclass(frozen=True)
class Target:
    """What a model is trained to give for the probe, at one of its outputs.

    Attributes:
      name: Of the output; empty if there is one only.
      dtype: One of `TARGET_DTYPES`; narrower floats lie as `float32`.
      shape: Its sizes, the examples' axis first, if it has one.
      values: Little-endian bytes of the elements, in C order.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Probe:
    """The fixed batch whose activations and gradients a Keras run logs.

    Attributes:
      hash: SHA-256, hexadecimal: equal hashes, equal inputs, whatever computes the model.
      examples: How many examples it has.
      training: Whether the layers ran in training mode.
      source: Where it came from, in words.
      targets: Of its first examples, as many as are kept of the activation of which most are; none where it has none,
        or they are left out.
    """

    hash: str
    examples: int
    training: bool
    source: str
    targets: tuple[Target, ...] = ()


@dataclasses.dataclass(frozen=True)
class Model:
    """What a writer logs.

    Attributes:
      layers: In the order in which they run: a layer that calls others comes after them, as what it puts out does.
      tensors: Records refer to these by their index. Activations are in the order in which they are made.
      probe: The probe, or None where activations are those of the batch that was run.
      notes: What is not logged and why, a sentence each.
      schedule: When steps are logged, in words.
      software: Names and versions of what wrote this.
    """

    layers: tuple[Layer, ...]
    tensors: tuple[Tensor, ...]
    probe: Probe | None = None
    notes: tuple[str, ...] = ()
    schedule: str = ""
    software: str = ""

    @property
    def logs_batches(self) -> bool:
        """Whether activations are those of the batch that was trained on, and the weights those after it, as of a hook.

        What a `LayerWriter` is given has neither a probe nor connections.
        """
        return self.probe is None and any(layer.inputs for layer in self.layers)


def is_attention(kind: Kind, name: str, axes: tuple[str, ...]) -> bool:
    """Whether a tensor with this name and these axes is what attention looks at."""
    return kind == "activation" and (name.startswith("scores") or axes[-1:] == ("key",))


def bytes_of(dtype: str) -> int:
    """Bytes of an element of a type in `TARGET_DTYPES`."""
    return 1 if dtype == "bool" else int("".join(filter(str.isdigit, dtype))) // 8


def as_kind(name: str) -> Kind:
    """The kind of this name.

    Raises:
      ValueError: There is none.
    """
    for kind in KINDS:
        if kind == name:
            return kind
    raise ValueError(f"there is no kind {name!r}; the kinds are {', '.join(KINDS)}")


def unused_path(name: str, taken: set[str], start: int = 1) -> tuple[str, int]:
    """A path of this name that no other layer has: it is taken then.

    Args:
      name: What it is called; a number is added where another layer is called so: `conv`, `conv#2`, `conv#3`.
      taken: The paths that there are.
      start: The first number to try.

    Returns:
      The path and its number, which is 1 without one.
    """
    numbers = itertools.count(start)
    path, number = next((p, i) for i in numbers if (p := f"{name}#{i}" if i > 1 else name) not in taken)
    taken.add(path)
    return path, number


def default_axes(kind: Kind, rank: int) -> tuple[str, ...]:
    """What the axes of a tensor of this kind and rank are in Keras and TensorFlow (channels last), a name each."""
    if kind == "activation":
        inner = {
            1: ("unit",),
            2: ("timestep", "unit"),
            3: ("row", "column", "channel"),
            4: ("depth", "row", "column", "channel"),
        }
        if rank == 0:
            return ()
        return ("example", *inner.get(rank - 1, tuple(f"axis {i}" for i in range(1, rank))))
    known = {
        0: (),
        1: ("unit",),
        2: ("input", "unit"),
        3: ("position", "input channel", "channel"),
        4: ("row", "column", "input channel", "channel"),
        5: ("depth", "row", "column", "input channel", "channel"),
    }
    return known.get(rank, tuple(f"axis {i}" for i in range(rank)))


@dataclasses.dataclass(frozen=True)
class Cost:
    """What logging has cost since its process began to train.

    Attributes:
      set_up_seconds: Tracing and the first pass.
      logging_seconds: Time that the training took longer for logging, beyond set-up.
      training_seconds: Time since the start of the training, logging and set-up included.
      bytes: Written, events and payloads.
      skipped: Steps of the schedule that the budget left out.
    """

    set_up_seconds: float = 0.0
    logging_seconds: float = 0.0
    training_seconds: float = 0.0
    bytes: int = 0
    skipped: int = 0

    @property
    def own_seconds(self) -> float:
        """Seconds that the training alone would have taken, without logging and its set-up."""
        return max(0.0, self.training_seconds - self.set_up_seconds - self.logging_seconds)

    @property
    def share(self) -> float:
        """What logging costs: its time over the training's own, set-up apart; NaN where the training took none."""
        return self.logging_seconds / self.own_seconds if self.own_seconds else math.nan
