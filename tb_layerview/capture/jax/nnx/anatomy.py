"""What is known of the modules of Flax NNX: what they are called, what they hold, how it is laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flax import nnx

from tb_layerview.capture.jax.nnx import axes
from tb_layerview.capture.jax.nnx.held import Place
from tb_layerview.capture.jax.nnx.optimizers import Optimizers
from tb_layerview.capture.jax.nnx.windows import window_of
from tb_layerview.capture.passes.anatomy import LaidOut, Slot
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.layout import Layout
from tb_layerview.capture.passes.nodes import first_sizes
from tb_layerview.capture.passes.placed import Placed
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.format.model import Window, default_axes
from tb_layerview.measure.activation_functions import FUNCTIONS

_MODES = ("deterministic", "use_running_average")
# Of Flax's modules, those that run what is within them in a loop of its own.
_OPAQUE = frozenset(("RNN", "Bidirectional"))


class ModuleAnatomy(Placed):
    """One model's modules; the methods are those of `passes.anatomy.Anatomy`."""

    def __init__(
        self, model: nnx.Module, places: Mapping[int, Place] | None = None, optimizers: Optimizers | None = None
    ) -> None:
        """Looks up what the modules are called.

        Args:
          model: The model.
          places: Where its variables are, by their ids; none of a model that is being traced.
          optimizers: What trains it.
        """
        self._places, self._optimizers = places or {}, optimizers or Optimizers(())
        self._modules = [(path, module) for path, module in nnx.iter_modules(model) if module is not model]
        self._paths = {id(module): "/".join(map(str, path)) for path, module in self._modules}

    # Layers.

    def calling(self, model: Any) -> Sequence[tuple[type, str]]:
        """Each class of modules has a `__call__` of its own, or that of a class that it descends from."""
        owners = (_owner(type(module)) for module in (model, *self.all_within(model)))
        return [(owner, "__call__") for owner in dict.fromkeys(owners) if owner is not None]

    def within(self, layer: Any) -> Iterable[Any]:
        """The modules directly within a module, those in its lists among them."""
        return list(self._within(layer))

    def _within(self, layer: Any) -> Iterator[Any]:
        inner = [(path, module) for path, module in nnx.iter_modules(layer) if path]
        # What cannot be called only holds others.
        paths = {path for path, module in inner if _owner(type(module)) is not None}
        for path, module in inner:
            if path in paths and not any(path[:end] in paths for end in range(1, len(path))):
                yield module

    def all_within(self, model: Any) -> Iterable[Any]:
        """All modules of a model, but itself."""
        return [module for _, module in nnx.iter_modules(model) if module is not model]

    def is_opaque(self, layer: Any) -> bool:
        """Whether nothing below this module is recorded."""
        return type(layer).__name__ in _OPAQUE and type(layer).__module__.startswith("flax.")

    def is_hidden(self, layer: Any) -> bool:
        """All modules are known."""
        return False

    def attention(self, layer: Any) -> tuple[type, str] | None:
        """No module has a method that computes its attention: a function has it."""
        return None

    def activation_function(self, layer: Any, output: Any) -> str:
        """Keras' name of the activation function whose output this is; empty if none is known."""
        return FUNCTIONS.get(output.op.type, "")

    def may_differ(self, layer: Any) -> bool:
        """Whether a module may do something else when it trains."""
        return not type(layer).__module__.startswith("flax.") or any(hasattr(layer, name) for name in _MODES)

    def window(self, call: Call) -> Window | None:
        """What of its input a module reads for one place of its output, if it is a convolution of Flax."""
        return window_of(call.layer, first_sizes(call.inputs))

    # Axes.

    def activation_axes(self, calls: Sequence[Call], inputs: Iterable[Any]) -> dict[int, tuple[str, ...]]:
        """Names of the axes of a model's inputs and all modules' outputs, by their ids."""
        return axes.activation_axes(calls, inputs)

    def laid_out(self, layer: Any, name: str, variable: Any, shape: Sequence[int], output: tuple[str, ...]) -> LaidOut:
        """How a weight is logged; see `passes.anatomy.Anatomy`."""
        is_own = "/" not in name
        layout = Layout(axes.weight_axes(layer, name, shape) if is_own else default_axes("weight", len(shape)))
        return LaidOut(layout, layout)

    def scores_layout(self, layer: Any, scores: Scores) -> Layout:
        """As they are."""
        return Layout(scores.axes)

    # Weights.

    def weights(self, layer: Any) -> Sequence[tuple[Sequence[str], Any]]:
        """The weights of a module and of those within it, with their names in it."""
        found = ((path, self._places.get(id(value))) for path, value in nnx.iter_graph(layer))
        return [(("/".join(map(str, path)),), place) for path, place in found if place is not None and place.is_weight]

    def own_weights(self, layer: Any) -> Sequence[Any]:
        """Those of a module that are of no module within it."""
        return [place for (name,), place in self.weights(layer) if "/" not in name]

    def path(self, variable: Any) -> str:
        """What a weight is called by the model."""
        return "/".join(variable.path)

    def is_own_gradient(self, variable: Any) -> bool:
        """A gradient is a gradient."""
        return False

    def slots(self, model: Any) -> Mapping[int, tuple[Slot, ...]]:
        """What the optimizers keep of each weight."""
        return self._optimizers.slots([place for _, place in self.weights(model)])

    def why_no_slots(self, model: Any, slots_: Mapping[int, tuple[Slot, ...]]) -> str:
        """Why there is nothing that optimizers keep of the weights; empty if there is."""
        if not self._optimizers.all:
            return "no optimizer state is logged: give the optimizer that trains the model, optimizer=..."
        return "" if slots_ else "no optimizer state is logged: the optimizers keep nothing of a weight"


def trains(model: nnx.Module) -> bool:
    """Whether any module of a model does now what it does in training alone."""
    return any(getattr(module, name, None) is False for _, module in nnx.iter_modules(model) for name in _MODES)


def _owner(cls: type) -> type | None:
    """The class that has the `__call__` of a class' instances."""
    return next((one for one in cls.__mro__ if "__call__" in vars(one)), None)
