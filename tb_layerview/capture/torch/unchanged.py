"""What a pass of a model changes beside its outputs, and how it is put back.

An eager pass runs the layers' own Python code: beside moving statistics and the states of random generators it may
change whatever a layer holds.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import operator
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from tb_layerview.capture.torch.operations import is_state
from tb_layerview.capture.torch.recorder import version

# Tensors of so many elements are copied before each pass, whether or not one has been seen to write to them.
_SMALL = 1 << 14
# Tensors that a module holds beside its parameters and buffers are copied up to so many elements.
_MOST = 1 << 20
# Of a module's containers most are of hooks, which are for others than the module itself to register.
_HOOKS = frozenset(name for name in vars(torch.nn.Module()) if "_hooks" in name)
# Whose objects are not looked into: other threads may use them meanwhile.
_FRAMEWORKS = frozenset(
    ("torch", "torchmetrics", "lightning", "pytorch_lightning", "transformers", "keras", "tf_keras")
)
# In which a module has its parameters, buffers and modules.
_OWN = ("_parameters", "_buffers", "_modules")
# Containers within the attributes of a layer are looked into so deep.
_DEPTH = 3

Undo = Callable[[], None]
Saved = tuple[torch.Tensor, int, torch.Tensor]  # a tensor, its version, and a copy


@contextlib.contextmanager
def _same_versions(tensors: Sequence[torch.Tensor]) -> Iterator[None]:
    """Has autograd find them unwritten afterwards, as they hold the same again.

    A graph that the training has made, and not gone back through yet, may hold them: it raises an error where it finds
    another version.
    """
    counted = tuple(tensor for tensor in tensors if not tensor.is_inference())
    versions = tuple(tensor._version for tensor in counted)
    try:
        yield
    finally:
        torch._C._autograd._unsafe_set_version_counter(counted, versions)


class Unchanged:
    """Leaves a model as it was when a pass of it has ended: all tensors, all flags, all random generators.

    Which of the large tensors a pass writes to is learned from the first one, before which all are copied.

    Attributes:
      tensors: All that the last pass could have written to.
    """

    def __init__(self, model: Any) -> None:
        """Has seen no pass yet."""
        self._model = model
        self.tensors = self.state(self.modules())
        self._written: set[int] | None = None  # ids of large tensors that a pass writes to; None before the first one
        self._held: list[torch.Tensor] = []  # those: their ids must not be given again
        self._saved: dict[int, Saved] = {}  # by the pass that is run
        self._undo: list[Undo] = []

    def modules(self) -> list[torch.nn.Module]:
        """All modules whose attributes are kept."""
        return list(self._model.modules())

    def state(self, modules: Sequence[torch.nn.Module]) -> list[torch.Tensor]:
        """All tensors that a pass may write to."""
        return tensors_of(modules)

    def owners(self, modules: Sequence[torch.nn.Module]) -> list[Any]:
        """Whose attributes are kept."""
        return list(modules)

    def others(self) -> list[Undo]:
        """Keeps what else may change."""
        return []

    def watching(self, saved: dict[int, Saved]) -> AbstractContextManager[Any]:
        """Adds to what is saved, right before it is written to, what no pass before has written to."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def put_back_after(self) -> Iterator[None]:
        """Puts back what is changed within.

        Raises:
          RuntimeError: A large tensor was written to that no pass has written to before, and that was not kept
            in time: what it held is lost.
        """
        modules = self.modules()
        self.tensors = self.state(modules)
        with _same_versions(self.tensors):
            yield from self._put_back_after(modules)

    def _put_back_after(self, modules: Sequence[torch.nn.Module]) -> Iterator[None]:
        # That is `training`, losses that a layer adds, counters of calls, random generators of its own, and the like.
        attributes = attributes_of(self.owners(modules))
        self._undo = [*self.others(), _generators(), attributes]
        chosen = [tensor for tensor in self.tensors if self._is_copied(tensor)]
        saved = self._saved = {id(tensor): (tensor, version(tensor), tensor.detach().clone()) for tensor in chosen}
        others = [(tensor, version(tensor)) for tensor in self.tensors if id(tensor) not in saved]
        if self._written is None:
            self._written = set()
        try:
            with self.watching(saved):
                yield
        finally:
            undo, self._undo, self._saved = self._undo, [], {}
            self._restore(saved)
            for one in undo:
                one()
        self._refuse_lost(saved, others)

    def _is_copied(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is copied before a pass: all before the first one, small ones, buffers, and known ones."""
        if self._written is None or tensor.numel() <= _SMALL or not is_state(tensor):
            return True
        return id(tensor) in self._written

    def _restore(self, saved: dict[int, Saved]) -> None:
        assert self._written is not None
        with torch.no_grad():
            for tensor, before, copy in saved.values():
                # Not every function tells: that of batch normalisation moves statistics, and no version, and what is
                # written through `.data` does not either.
                is_written = version(tensor) != before or not torch.equal(tensor, copy)
                if is_written:
                    tensor.copy_(copy)
                if is_written and tensor.numel() > _SMALL and id(tensor) not in self._written:
                    self._written.add(id(tensor))
                    self._held.append(tensor)

    def _refuse_lost(self, saved: dict[int, Any], others: list[tuple[torch.Tensor, int]]) -> None:
        lost = [tensor for tensor, before in others if id(tensor) not in saved and version(tensor) != before]
        if lost:
            sizes = ", ".join(str(tuple(tensor.shape)) for tensor in lost)
            raise RuntimeError(f"a layer writes to its tensors of shape {sizes} at some calls only")


def tensors_of(modules: Iterable[torch.nn.Module]) -> list[torch.Tensor]:
    """The parameters and buffers of modules, but not of those within, each once."""
    found: dict[int, torch.Tensor] = {}
    for module in modules:
        for own in (module.named_buffers, module.named_parameters):
            found.update((id(tensor), tensor) for _, tensor in own(recurse=False, remove_duplicate=False))
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


def attributes_of(owners: Sequence[Any]) -> Undo:
    """Keeps the attributes of some objects, and what is in those of them that are containers.

    So are objects of a user's own among them kept, of classes that come from where those of the owners do.
    """
    roots = {type(owner).__module__.partition(".")[0] for owner in owners} - _FRAMEWORKS
    attributes = [(vars(owner), dict(vars(owner))) for owner in owners]
    keeping: dict[int, tuple[Any, Undo]] = {}
    objects: dict[int, Any] = {}
    for _, kept in attributes:
        _keep_within([kept[name] for name in _OWN if name in kept], keeping, 1)  # their tensors are kept apart
        others = [value for name, value in kept.items() if name not in _HOOKS and name not in _OWN]
        _keep_within(others, keeping, _DEPTH)
        if roots:
            objects.update((id(value), value) for value in others if _is_object(value, roots))
    for one in objects.values():
        attributes.append((vars(one), dict(vars(one))))
        _keep_within(list(vars(one).values()), keeping, _DEPTH)

    def undo() -> None:
        for now, before in attributes:
            if not _is_same(now, before):  # never without them: other threads may look
                for name in now.keys() - before.keys():
                    del now[name]
                now.update(before)
        for _, put_back in keeping.values():
            put_back()

    return undo


def _is_object(value: Any, roots: set[str]) -> bool:
    """Whether this is an object with attributes, of a class that comes from one of these packages or scripts."""
    if isinstance(value, (torch.nn.Module, torch.Tensor, type)) or callable(value):
        return False
    return type(value).__module__.partition(".")[0] in roots and type(getattr(value, "__dict__", None)) is dict


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


def _keep_tensor(one: Any) -> tuple[Undo, Iterable[Any]]:
    """What a module holds beside its buffers, as the sums of a metric, to which it may add in place."""
    if one.is_meta or one.layout != torch.strided or one.is_inference() or one.numel() > _MOST:
        return _nothing, ()
    before, known = one.detach().clone(), version(one)

    def undo() -> None:
        if version(one) != known:
            with torch.no_grad():
                one.copy_(before)

    return undo, ()


def _nothing() -> None:
    """Puts nothing back."""


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
    torch.Tensor: _keep_tensor,
}
_keep_by_class: dict[type, Any] = {}  # by class: a layer's attributes are of some dozens
