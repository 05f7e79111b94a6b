"""Which layers a model calls, with what and in what order: recorded while its call is traced."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from tb_layerview.capture.passes.anatomy import Anatomy
from tb_layerview.capture.passes.paths import LayerPaths
from tb_layerview.capture.passes.scores import Scores
from tb_layerview.capture.passes.sources import source_of
from tb_layerview.format.model import Source, unused_path


class Tracing(Protocol):
    """What a framework tells of the tensors that are made while a model is traced."""

    def level(self) -> object:
        """What this thread is tracing now: another object, unequal, within a loop or a branch of the model's own."""
        ...

    def tensors(self, structure: Any, level: object) -> Sequence[Any]:
        """The tensors of a nested structure that are made at this level; of ragged and sparse ones the values."""
        ...

    def given(self, outputs: Any, seen: Sequence[Any]) -> Any:
        """What a layer's call gives on.

        Args:
          outputs: What it gave.
          seen: The tensors of that.
        """
        ...

    def converted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method of a layer as the framework would call it."""
        ...

    def scores(
        self, layer: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> Scores | str:
        """The scores of one call of the method that computes an attention layer's attention; see `scores_of`."""
        ...


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of one layer.

    Attributes:
      layer: The layer.
      path: Names of the layers within whose calls it was called, and its own, told apart from those of other layers by
        a number (`paths`); empty for the model itself.
      index: Which call of this layer at this path, from 0.
      source: Where in a person's own code it is called, if that can be told.
      inputs: The tensors it was given.
      outputs: The tensors it gave back, those that were made at the traced level itself; of a ragged or sparse one the
        values.
      names: Of the outputs: `output`, `output 1` in a list of several, and in a dict by its keys, `output mean`.
      scores: What its attention looked at, if it is an attention layer.
      remarks: What cannot be logged of it and why, without its name.
      finished: Its place in the order in which the calls ended; a layer's end comes after those of the layers within.
    """

    layer: Any
    path: str
    index: int
    source: Source | None = None
    inputs: tuple[Any, ...] = ()
    outputs: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    scores: tuple[Scores, ...] = ()
    remarks: tuple[str, ...] = ()
    finished: int = -1


@dataclasses.dataclass
class _Recording:
    """What one thread is recording."""

    model: Any
    anatomy: Anatomy
    tracing: Tracing
    level: object
    patches: contextlib.ExitStack
    paths: LayerPaths
    with_sources: bool
    calls: list[Call] = dataclasses.field(default_factory=list)
    counts: collections.Counter[tuple[str, int]] = dataclasses.field(default_factory=collections.Counter)
    stack: list[int] = dataclasses.field(default_factory=list)  # places in `calls`
    opaque: int = 0
    finished: int = 0
    root: int = 0  # the id of the frame of the model's own call


class _PerThread(threading.local):
    """What this thread is recording, if it is."""

    recording: _Recording | None = None


_this = _PerThread()
_lock = threading.Lock()
_patched: dict[tuple[type, str], tuple[Any, int]] = {}  # a class' own method, and how many recordings want it patched


@contextlib.contextmanager
def noting_calls(model: Any, anatomy: Anatomy, tracing: Tracing, with_sources: bool = True) -> Iterator[list[Call]]:
    """Records the calls of all layers on this thread, at the level that is being traced, as they begin.

    Args:
      model: The model.
      anatomy: What is known of its layers.
      tracing: What its framework tells of its tensors.
      with_sources: Whether it is wanted where the calls stand in a person's code, which takes some 50 µs a call.

    Yields:
      A list that is complete when the block has ended.
    """
    before = _this.recording
    with contextlib.ExitStack() as patches:
        current = _Recording(
            model, anatomy, tracing, tracing.level(), patches, LayerPaths(model, anatomy), with_sources
        )
        methods = anatomy.calling(model)
        for owner, name in methods:
            wrap = recorded if len(methods) == 1 else functools.partial(recorded, owner=owner)
            patches.enter_context(patched(owner, name, wrap))
        _this.recording = current
        try:
            yield current.calls
        finally:
            # The calls hold the layers and the tensors: nothing of them may stay with the thread.
            _this.recording = before


@contextlib.contextmanager
def patched(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    """Replaces a class' method while at least one recording, on whatever thread, wants it replaced."""
    with _lock:
        original, users = _patched.get((owner, name), (vars(owner)[name], 0))
        if not users:
            setattr(owner, name, wrap(original))
        _patched[owner, name] = (original, users + 1)
    try:
        yield
    finally:
        with _lock:
            original, users = _patched.pop((owner, name))
            if users > 1:
                _patched[owner, name] = (original, users - 1)
            else:
                setattr(owner, name, original)


def recorded(original: Any, owner: type | None = None) -> Any:
    """A way to call a layer, each call of which is recorded while `noting_calls` records on this thread.

    Args:
      original: The method that calls it.
      owner: The class that has this method, where a class that descends from it may have another one that calls this
        one: of the two the layer's own is recorded.
    """

    # `wraps` also gives the original's module, by which autograph knows not to convert it.
    @functools.wraps(original)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        r = _this.recording
        if r is None or r.opaque or r.tracing.level() != r.level or r.anatomy.is_hidden(self):
            return original(self, *args, **kwargs)
        if owner is not None and owner is not next(c for c in type(self).__mro__ if original.__name__ in vars(c)):
            return original(self, *args, **kwargs)
        # A `train_step` may call layers of the model without the model, which has no path itself.
        above = r.calls[r.stack[-1]].path if r.stack else ""
        path = "" if self is r.model else r.paths.of(self, above)
        position, opaque = len(r.calls), r.anatomy.is_opaque(self)
        source = source_of(self, r.root) if r.with_sources else None
        root, r.root = r.root, id(sys._getframe()) if self is r.model else r.root
        r.calls.append(Call(self, path, r.counts[path, id(self)], source))
        r.counts[path, id(self)] += 1
        method = r.anatomy.attention(self)
        if method is not None:
            r.patches.enter_context(patched(*method, functools.partial(_attending, r.tracing)))
        r.stack.append(position)
        r.opaque += opaque
        try:
            outputs = original(self, *args, **kwargs)
        finally:
            r.stack.pop()
            r.opaque, r.root = r.opaque - opaque, root
        inputs, seen = r.tracing.tensors((args, kwargs), r.level), r.tracing.tensors(outputs, r.level)
        r.calls[position] = dataclasses.replace(
            r.calls[position],
            inputs=tuple(inputs),
            outputs=tuple(seen),
            names=_names(outputs, r),
            finished=r.finished,
        )
        r.finished += 1
        return r.tracing.given(outputs, seen)

    return __call__


def note_scores(find: Callable[[Any], Scores]) -> None:
    """Adds what attention looks at to the call that is recorded on this thread, if one is.

    Args:
      find: Gives it, of what tells of the tensors that are made.
    """
    r = _this.recording
    if r is not None and r.stack and r.tracing.level() == r.level:
        found, position = find(r.tracing), r.stack[-1]
        r.calls[position] = dataclasses.replace(r.calls[position], scores=(*r.calls[position].scores, found))


def _attending(tracing: Tracing, original: Any) -> Any:
    """Keeps, of the method that computes an attention layer's attention, what it looked at.

    Other threads call it meanwhile, too.
    """

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = tracing.converted(original)(self, *args, **kwargs)
        r = _this.recording
        if r is None or r.opaque or not r.stack or r.tracing.level() != r.level:
            return outputs
        position = r.stack[-1]
        call = r.calls[position]
        if call.layer is self:
            found = r.tracing.scores(self, original, args, kwargs, outputs)
            if isinstance(found, str):
                r.calls[position] = dataclasses.replace(call, remarks=(*call.remarks, found))
            else:
                r.calls[position] = dataclasses.replace(call, scores=(*call.scores, found))
        return outputs

    method.autograph_info__ = {}  # type: ignore[attr-defined]  # by which autograph knows what not to convert
    return method


def missing(model: Any, calls: Sequence[Call], anatomy: Anatomy) -> list[tuple[str, str]]:
    """Path and class name of the layers that belong to the model, and were not seen being called."""
    called = {id(call.layer) for call in calls}
    found: list[tuple[str, str]] = []
    seen: set[int] = set()
    paths = LayerPaths(model, anatomy)

    def walk(layer: Any, path: str) -> None:
        for inner in anatomy.within(layer):
            if id(inner) in seen:
                continue
            seen.add(id(inner))
            inner_path = paths.of(inner, path)
            if id(inner) not in called:
                found.append((inner_path, type(inner).__name__))
            elif not anatomy.is_opaque(inner) and anatomy.attention(inner) is None:
                walk(inner, inner_path)

    if not anatomy.is_opaque(model):
        walk(model, "")
    return found


def _names(outputs: Any, r: _Recording) -> tuple[str, ...]:
    """A name for each of the tensors in what a layer gives."""
    paths = [path for path, leaf in leaves(outputs) if r.tracing.tensors(leaf, r.level)]
    count = len(r.tracing.tensors(outputs, r.level))
    # Whatever else the framework can flatten is no nest that we know: then they are numbered.
    if len(paths) != count or all(key.isdigit() for path in paths for key in path):
        return ("output",) if count == 1 else tuple(f"output {i}" for i in range(count))
    taken: set[str] = set()
    return tuple(unused_path(f"output {'/'.join(path)}", taken)[0] for path in paths)


def leaves(structure: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The leaves of nested dicts, lists and tuples in the frameworks' order, with their keys, fields and places."""
    if isinstance(structure, Mapping):
        for key in sorted(structure):
            yield from leaves(structure[key], (*path, str(key)))
    elif isinstance(structure, (list, tuple)):
        fields = getattr(structure, "_fields", range(len(structure)))  # of a named tuple
        for field, leaf in zip(fields, structure):
            yield from leaves(leaf, (*path, str(field)))
    else:
        yield path, structure


def producers(tensors: Sequence[Any], made_by: dict[int, int], layer: int) -> tuple[int, ...]:
    """Which other layers' outputs a layer's tensors are computed from, through whatever operations lie between.

    Args:
      tensors: What the layer puts out or takes, of one graph.
      made_by: From the id of a layer's output tensor to the layer.
      layer: The layer itself. What it puts out is gone through: that of one call may be made of another's.
    """
    found: list[int] = []
    seen: set[int] = set()
    pending = list(tensors)
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if made_by.get(id(tensor), layer) != layer:
            found.append(made_by[id(tensor)])
        else:
            pending.extend(tensor.op.inputs)
    return tuple(sorted(set(found)))
