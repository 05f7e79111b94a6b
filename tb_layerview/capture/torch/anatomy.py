"""What is known of PyTorch's modules by what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from tb_layerview.capture.passes.anatomy import LaidOut, Slot
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.layout import Layout
from tb_layerview.capture.passes.nodes import first_sizes
from tb_layerview.capture.passes.placed import Placed
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.capture.slots import slot_name
from tb_layerview.capture.torch.axes import activation_axes, class_names, weight_layout
from tb_layerview.capture.torch.held import Held, Kept, Places
from tb_layerview.capture.torch.windows import window_of
from tb_layerview.format.model import Window
from tb_layerview.measure.activation_functions import FUNCTIONS

# What functions and modules of torch are that are activation functions, by Keras' names for them.
_FUNCTIONS = {
    "gelu": "gelu",
    "silu": "silu",
    "mish": "mish",
    "celu": "celu",
    "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_silu",
    "logsigmoid": "log_sigmoid",
    "log_sigmoid": "log_sigmoid",
    "LogSoftmax": "log_softmax",
}
# Modules that only hold others, and are not called.
_HOLDING = (torch.nn.ModuleList, torch.nn.ModuleDict, torch.nn.ParameterList, torch.nn.ParameterDict)
# By their names: what stands around a module and is no part of the network, and what the module in it is called.
_AROUND = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
}
# What computes a parameter of others ones whenever it is asked for.
_PARAMETRIZATIONS = "parametrizations"
# Of these all that is random or learns statistics is known; what somebody else's module does, its code alone tells.
_OF_TORCH = "torch.nn.modules."
_WITH_MODES = frozenset(
    (
        *("_DropoutNd", "_BatchNorm", "_InstanceNorm", "RReLU", "RNNBase", "MultiheadAttention", "SyncBatchNorm"),
        *("TransformerEncoderLayer", "TransformerDecoderLayer"),
    )
)


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The network itself, within what `torch.compile`, data parallelism and the like have put around it."""
    while (inside := _AROUND.get(type(model).__name__)) is not None and inside in model._modules:
        found = model._modules[inside]
        assert found is not None
        model = found
    return model


class ModuleAnatomy(Placed):
    """One model's modules; the methods are those of `passes.anatomy.Anatomy`."""

    def __init__(self, model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer] = ()) -> None:
        """Looks up what the modules are called, and where their parameters are.

        Args:
          model: The network itself.
          optimizers: Those that train it, as far as that is known.
        """
        self.places = Places(model)
        self._optimizers = tuple(optimizers)
        self._paths: dict[int, str] = {}
        self._hidden: set[int] = set()
        self._kept: dict[tuple[int, int, str], Kept] = {}
        self._walk(model, "")

    def _walk(self, module: torch.nn.Module, path: str) -> None:
        """Names the modules as those who wrote them do, by the attributes; what stands around one has no name."""
        if id(module) in self._paths:
            return
        self._paths[id(module)] = path
        around = _AROUND.get(type(module).__name__)
        for name, inner in module._modules.items():
            if inner is None:
                continue
            if name == _PARAMETRIZATIONS and isinstance(inner, torch.nn.ModuleDict):
                self._hidden |= {id(one) for one in inner.modules()}
            elif name == around:
                self._hidden.add(id(module))
                self._walk(inner, path)
            else:
                self._walk(inner, f"{path}/{name}" if path else name)

    # Layers.

    def calling(self, model: Any) -> Sequence[tuple[type, str]]:
        """All modules are called by one method."""
        return ((torch.nn.Module, "__call__"),)

    def within(self, layer: Any) -> Iterable[Any]:
        """The modules directly within a module, those in its lists among them."""
        return list(self._within(layer))

    def _within(self, layer: torch.nn.Module) -> Iterator[torch.nn.Module]:
        for inner in layer.children():
            if (id(inner) in self._hidden and id(inner) in self._paths) or isinstance(inner, _HOLDING):
                yield from self._within(inner)
            elif id(inner) not in self._hidden:
                yield inner

    def all_within(self, model: Any) -> Iterable[Any]:
        """All modules of a model, but itself."""
        return [module for module in model.modules() if module is not model]

    def is_opaque(self, layer: Any) -> bool:
        """Whether nothing below is recorded: multi-head attention does not call its output's projection."""
        return isinstance(layer, torch.nn.MultiheadAttention)

    def is_hidden(self, layer: Any) -> bool:
        """Whether this is no layer that anybody knows of: what stands around one, or computes a parameter."""
        return id(layer) in self._hidden or type(layer).__name__ in _AROUND

    def attention(self, layer: Any) -> tuple[type, str] | None:
        """No module has a method that computes its attention: `torch.nn.functional` has it."""
        return None

    def activation_function(self, layer: Any, output: Any) -> str:
        """Keras' name of the activation function whose output this is; empty if none is known."""
        kind = output.op.type
        return FUNCTIONS.get(kind) or _FUNCTIONS.get(kind, "")

    def may_differ(self, layer: Any) -> bool:
        """Whether a module may do something else when it trains."""
        if type(layer).__module__.startswith(_OF_TORCH):
            return bool(class_names(layer) & _WITH_MODES) or _PARAMETRIZATIONS in layer._modules
        return True

    def window(self, call: Call) -> Window | None:
        """What of its input a module reads for one place of its output, if it is torch's own."""
        return window_of(call.layer, first_sizes(call.inputs), first_sizes(call.outputs))

    # Axes.

    def activation_axes(self, calls: Sequence[Call], inputs: Iterable[Any]) -> dict[int, tuple[str, ...]]:
        """Names of the axes of a model's inputs and all modules' outputs, by their ids."""
        return activation_axes(calls, inputs)

    def laid_out(self, layer: Any, name: str, variable: Any, shape: Sequence[int], output: tuple[str, ...]) -> LaidOut:
        """How a parameter or a buffer is logged; see `passes.anatomy.Anatomy`."""
        layout = weight_layout(layer, name, shape, output)
        return LaidOut(layout, layout)

    def scores_layout(self, layer: Any, scores: Scores) -> Layout:
        """With heads of their own, where multi-head attention has them beside the examples."""
        size = tuple(scores.tensor.shape)
        heads = getattr(layer, "num_heads", 0)
        if not isinstance(layer, torch.nn.MultiheadAttention) or len(size) != 3 or size[0] % heads:
            return Layout(scores.axes)
        return Layout(("example", "head", "query", "key"), shape=(size[0] // heads, heads, *size[1:]))

    # Weights.

    def weights(self, layer: Any) -> Sequence[tuple[Sequence[str], Any]]:
        """The parameters and buffers of a module and of those within it, with the parts of their names."""
        return [(_readable(parts), held) for parts, held in self.places.of(layer)]

    def path(self, variable: Any) -> str:
        """What a parameter or a buffer is called by the model."""
        return str(variable.path)

    def is_own_gradient(self, variable: Any) -> bool:
        """A gradient is a gradient."""
        return False

    def slots(self, model: Any) -> Mapping[int, tuple[Slot, ...]]:
        """What the optimizers keep of each parameter: they make it when they first change it."""
        found: dict[int, tuple[Slot, ...]] = {}
        for held in self.places.parameters():
            slots = [slot for optimizer in self._optimizers for slot in self._slots(optimizer, held)]
            if slots:
                found[id(held)] = tuple(slots)
        return found

    def _slots(self, optimizer: torch.optim.Optimizer, held: Held) -> Iterator[Slot]:
        tensor = held.tensor
        for key, value in (optimizer.state.get(tensor) or {}).items():
            # A number in place of what a parameter has, as the count of its steps, says nothing of it.
            if isinstance(value, torch.Tensor) and (value.dim() or not tensor.dim()) and value.dtype != torch.bool:
                place = id(optimizer), id(held), str(key)
                kept = self._kept.setdefault(place, Kept(optimizer, held, str(key)))
                yield Slot(slot_name(str(key), type(optimizer).__name__), kept)

    def why_no_slots(self, model: Any, slots_: Mapping[int, tuple[Slot, ...]]) -> str:
        """Why there is nothing that optimizers keep of the parameters; empty if there is."""
        if not self._optimizers:
            return "no optimizer state is logged: give the optimizer that trains the model, optimizer=..."
        if not slots_:
            names = ", ".join(type(optimizer).__name__ for optimizer in self._optimizers)
            return f"no optimizer state is logged: {names} keeps nothing of a parameter"
        return ""


def _readable(parts: Sequence[str]) -> tuple[str, ...]:
    """The parts of a name, where a parametrization has changed it: `weight original` for what a weight is made of."""
    if _PARAMETRIZATIONS in parts:
        at = list(parts).index(_PARAMETRIZATIONS)
        parts = (*parts[:at], " ".join(parts[at + 1 :]))
    return ("/".join(parts),)  # all of it: what a module has that it does not call, is told by its place
