"""What a pass of a Keras model changes beside its outputs, and how it is put back.

An eager pass runs the layers' own Python code: beside moving statistics and the states of random generators it may
change whatever a layer holds.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import operator
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from keras.src.backend.common import global_state
from keras.src.backend.torch.core import Variable

from tb_layerview.capture.keras.calls import patched
from tb_layerview.capture.keras.torch.operations import is_state
from tb_layerview.capture.keras.torch.recorder import version
from tb_layerview.capture.keras.torch.values import tensor_of

# Tensors of so many elements are copied before each pass, whether or not one has been seen to write to them.
_SMALL = 1 << 14
# What Keras keeps for all models: by how many objects of a kind it has named, and from what it draws seeds.
_GLOBAL = ("object_name_uids", "global_seed_generator")
# Where a layer lists its variables once more, for torch.
_OF_VARIABLES = "_torch_params"
# Of a module's containers most are of hooks, which are for others than the module itself to register.
_HOOKS = frozenset(name for name in vars(torch.nn.Module()) if "_hooks" in name)
# Containers within the attributes of a layer are looked into so deep.
_DEPTH = 3

Undo = Callable[[], None]
_Saved = tuple[torch.Tensor, int, torch.Tensor]  # a tensor, its version, and a copy


class Unchanged:
    """Leaves a model as it was when a pass of it has ended: all tensors, all flags, all random generators.

    Which of the large tensors a pass writes to is learned from the first one, before which all are copied. Where a
    later pass is about to write to another one by Keras' own `assign`, that is copied then.

    Attributes:
      tensors: All that the last pass could have written to: variables, metrics' too, and buffers.
    """

    def __init__(self, model: Any, with_optimizer: bool = False) -> None:
        """Has seen no pass yet.

        Args:
          model: A Keras model that is built.
          with_optimizer: Whether a pass may write to the variables of its optimizer, too.
        """
        self._model, self._with_optimizer = model, with_optimizer
        self.tensors = self._state(modules_of(model))
        self._written: set[int] | None = None  # ids of large tensors that a pass writes to; None before the first one
        self._held: list[torch.Tensor] = []  # those: their ids must not be given again
        self._saved: dict[int, _Saved] = {}  # by the pass that is run
        self._undo: list[Undo] = []

    def keep(self, optimizer: Any, variables: Iterable[Any]) -> None:
        """Has what an optimizer is about to write put back, too: within `put_back_after`.

        Args:
          optimizer: The Keras optimizer, which may be built only now.
          variables: The model's, which it is about to change.
        """
        parts = [optimizer, getattr(optimizer, "inner_optimizer", None)]
        self._undo.append(_attributes_of([vars(part) for part in parts if part is not None]))
        for tensor in map(tensor_of, (*optimizer.variables, *variables)):
            self._saved.setdefault(id(tensor), (tensor, version(tensor), tensor.detach().clone()))

    @contextlib.contextmanager
    def put_back_after(self) -> Iterator[None]:
        """Puts back what is changed within.

        Raises:
          RuntimeError: A large tensor was written to that no pass has written to before, and not by Keras: what it held
            is lost.
        """
        modules = modules_of(self._model)
        self._undo = [_global_state(), _generators(), _attributes(self._model, modules)]
        self.tensors = self._state(modules)
        chosen = [tensor for tensor in self.tensors if self._is_copied(tensor)]
        saved = self._saved = {id(tensor): (tensor, version(tensor), tensor.detach().clone()) for tensor in chosen}
        others = [(tensor, version(tensor)) for tensor in self.tensors if id(tensor) not in saved]
        if self._written is None:
            self._written = set()
        try:
            with _copying_before_assign(saved):
                yield
        finally:
            undo, self._undo, self._saved = self._undo, [], {}
            self._restore(saved)
            for one in undo:
                one()
        self._refuse_lost(saved, others)

    def _state(self, modules: Sequence[torch.nn.Module]) -> list[torch.Tensor]:
        found = state_of(self._model, modules)
        optimizer = getattr(self._model, "optimizer", None) if self._with_optimizer else None
        return found if optimizer is None else [*found, *map(tensor_of, optimizer.variables)]

    def _is_copied(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is copied before a pass: all before the first one, small ones, buffers, and known ones."""
        if self._written is None or tensor.numel() <= _SMALL or not is_state(tensor):
            return True
        return id(tensor) in self._written

    def _restore(self, saved: dict[int, _Saved]) -> None:
        assert self._written is not None
        with torch.no_grad():
            for tensor, before, copy in saved.values():
                is_written = version(tensor) != before or before < 0
                # Not every function tells: that of batch normalisation moves statistics, and no version.
                if is_written or not tensor.requires_grad:
                    tensor.copy_(copy)
                if is_written and tensor.numel() > _SMALL and id(tensor) not in self._written:
                    self._written.add(id(tensor))
                    self._held.append(tensor)

    def _refuse_lost(self, saved: dict[int, Any], others: list[tuple[torch.Tensor, int]]) -> None:
        lost = [tensor for tensor, before in others if id(tensor) not in saved and version(tensor) != before]
        if lost:
            sizes = ", ".join(str(tuple(tensor.shape)) for tensor in lost)
            raise RuntimeError(f"a layer writes to its tensors of shape {sizes} at some calls only")


def state_of(model: Any, modules: Sequence[torch.nn.Module]) -> list[torch.Tensor]:
    """All tensors of a model: variables, those of metrics and of Keras' own generator, and buffers of wrapped modules.

    Those buffers are in none of Keras' lists, nor in `model.buffers()`: Keras hides its layers from torch.

    Args:
      model: The Keras model.
      modules: What `modules_of` gives of it.
    """
    variables = [*model.variables, *(variable for metric in model.metrics for variable in metric.variables)]
    generator = global_state.get_global_attribute("global_seed_generator")
    variables += [] if generator is None else [generator.state]
    found = {id(tensor): tensor for tensor in map(tensor_of, variables)}
    for module in modules:
        for own in (module._buffers, module._parameters):
            found.update((id(tensor), tensor) for tensor in own.values() if tensor is not None)
    return list(found.values())


def buffers_of(model: Any) -> list[torch.Tensor]:
    """The tensors of a model that Keras does not list: buffers of torch's own modules within it."""
    variables = {id(tensor_of(variable)) for variable in model.variables}
    found = {id(b): b for module in modules_of(model) for b in module._buffers.values() if b is not None}
    return [tensor for key, tensor in found.items() if key not in variables]


def modules_of(model: Any) -> list[torch.nn.Module]:
    """The layers of a model, and torch's own modules within them, which Keras does not list."""
    found: dict[int, torch.nn.Module] = {}
    for layer in model._flatten_layers():
        found[id(layer)] = layer
        own = {name: module for name, module in layer._modules.items() if name != _OF_VARIABLES}
        for value in (*own.values(), *vars(layer).values()):
            if isinstance(value, torch.nn.Module) and not hasattr(value, "_flatten_layers"):
                found.update((id(module), module) for module in value.modules())
    return list(found.values())


def _generators() -> Undo:
    """Keeps the states of the random generators that everybody has: torch's, numpy's and Python's."""
    states: list[tuple[Callable[[Any], Any], Any]] = [
        (torch.set_rng_state, torch.get_rng_state()),
        (np.random.set_state, np.random.get_state()),
        (random.setstate, random.getstate()),
    ]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    if hasattr(torch, "xpu") and torch.xpu.is_available() and torch.xpu.is_initialized():
        states.append((torch.xpu.set_rng_state_all, torch.xpu.get_rng_state_all()))
    if torch.backends.mps.is_available():
        states.append((torch.mps.set_rng_state, torch.mps.get_rng_state()))

    def undo() -> None:
        for put, state in states:
            put(state)

    return undo


def _global_state() -> Undo:
    """Keeps Keras' own generator of seeds and its counts of names; the generator's state is among the variables."""
    attributes = global_state.GLOBAL_STATE_TRACKER.__dict__
    before = {name: _copied(attributes[name]) for name in _GLOBAL if name in attributes}

    def undo() -> None:
        for name in _GLOBAL:
            if name in before:
                attributes[name] = before[name]
            else:
                attributes.pop(name, None)

    return undo


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, dict) else value


def _attributes(model: Any, modules: Sequence[torch.nn.Module]) -> Undo:
    """Keeps what Python holds of the layers: which objects their attributes are, and what is in their containers.

    That is `training`, losses that a layer adds, counters of calls, random generators of its own, and whatever the
    first use of the compiled loss makes.
    """
    owners = [*modules, getattr(model, "_compile_loss", None), getattr(model, "_compile_metrics", None)]
    return _attributes_of([vars(owner) for owner in owners if owner is not None])


def _attributes_of(owners: Sequence[dict[str, Any]]) -> Undo:
    """Keeps the attributes of some objects, and what is in those of them that are containers."""
    attributes = [(owner, dict(owner)) for owner in owners]
    keeping: dict[int, tuple[Any, Undo]] = {}
    for _, kept in attributes:
        _keep_within([value for name, value in kept.items() if name not in _HOOKS], keeping, _DEPTH)

    def undo() -> None:
        for now, before in attributes:
            if not _is_same(now, before):  # never without them: other threads may look
                for name in now.keys() - before.keys():
                    del now[name]
                now.update(before)
        for _, put_back in keeping.values():
            put_back()

    return undo


def _is_same(now: dict[Any, Any], before: dict[Any, Any]) -> bool:
    return len(now) == len(before) and all(map(operator.is_, now.values(), before.values())) and [*now] == [*before]


def _keep_within(values: Iterable[Any], keeping: dict[int, tuple[Any, Undo]], depth: int) -> None:
    """Keeps the contents of those containers and the states of those generators that are among some values.

    Args:
      values: Attributes of a layer, or what is in one.
      keeping: Gets them, by their ids, and what puts them back.
      depth: How deep containers are looked into.
    """
    for value in values:
        cls = value.__class__
        keep = _keep_by_class.get(cls, _UNKNOWN)
        if keep is _UNKNOWN:  # of most classes there is nothing to keep, and a model has thousands of such attributes
            keep = next((function for base, function in _KEEP.items() if issubclass(cls, base)), None)
            _keep_by_class[cls] = keep
        if keep is None or id(value) in keeping:
            continue
        undo, within = keep(value)
        keeping[id(value)] = value, undo
        if depth > 1 and within:
            _keep_within(within, keeping, depth - 1)


# Past the methods by which Keras' own kinds of containers tell their trackers, which are put back themselves.


def _keep_dict(one: Any) -> tuple[Undo, Iterable[Any]]:
    before = dict(dict.items(one))
    methods: Any = collections.OrderedDict if isinstance(one, collections.OrderedDict) else dict

    def undo() -> None:
        if not _is_same(dict(dict.items(one)), before):
            methods.clear(one)
            methods.update(one, before)

    return undo, before.values()


def _keep_list(one: Any) -> tuple[Undo, Iterable[Any]]:
    before = list(list.__iter__(one))

    def undo() -> None:
        if len(one) != len(before) or not all(map(operator.is_, list.__iter__(one), before)):
            list.__setitem__(one, slice(None), before)

    return undo, before


def _keep_set(one: Any) -> tuple[Undo, Iterable[Any]]:
    before = set(set.__iter__(one))

    def undo() -> None:
        if {*map(id, set.__iter__(one))} != {*map(id, before)}:
            set.clear(one)
            set.update(one, before)

    return undo, ()


def _keep_deque(one: Any) -> tuple[Undo, Iterable[Any]]:
    before = list(one)

    def undo() -> None:
        if len(one) != len(before) or not all(map(operator.is_, one, before)):
            one.clear()
            one.extend(before)

    return undo, before


def _keep_generator(one: Any) -> tuple[Undo, Iterable[Any]]:
    if isinstance(one, torch.Generator):
        return functools.partial(one.set_state, one.get_state()), ()
    if isinstance(one, random.Random):
        return functools.partial(one.setstate, one.getstate()), ()
    if isinstance(one, np.random.RandomState):
        return functools.partial(one.set_state, one.get_state()), ()
    return functools.partial(setattr, one.bit_generator, "state", one.bit_generator.state), ()


def _keep_array(one: Any) -> tuple[Undo, Iterable[Any]]:
    before = one.copy() if one.size <= _SMALL else one
    return functools.partial(np.copyto, one, before), ()


_UNKNOWN: Any = object()
_KEEP: dict[type, Callable[[Any], tuple[Undo, Iterable[Any]]]] = {
    dict: _keep_dict,
    list: _keep_list,
    set: _keep_set,
    collections.deque: _keep_deque,
    torch.Generator: _keep_generator,
    random.Random: _keep_generator,
    np.random.RandomState: _keep_generator,
    np.random.Generator: _keep_generator,
    np.ndarray: _keep_array,
}
_keep_by_class: dict[type, Any] = {}  # by class: a layer's attributes are of some dozens


class _PerThread(threading.local):
    """Where this thread's pass keeps copies of what it writes to."""

    saved: dict[int, _Saved] | None = None


_this = _PerThread()


@contextlib.contextmanager
def _copying_before_assign(saved: dict[int, _Saved]) -> Iterator[None]:
    """Copies whatever Keras' `assign` is about to write to on this thread: a `train_step` reaches beyond its model."""
    before = _this.saved
    with patched(Variable, "_direct_assign", _copying):
        _this.saved = saved
        try:
            yield
        finally:
            _this.saved = before


def _copying(original: Any) -> Any:
    @functools.wraps(original)
    def _direct_assign(self: Any, value: Any) -> None:
        tensor, saved = getattr(self, "_value", None), _this.saved
        if saved is not None and isinstance(tensor, torch.Tensor) and id(tensor) not in saved:
            saved[id(tensor)] = tensor, version(tensor), tensor.detach().clone()
        original(self, value)

    return _direct_assign
