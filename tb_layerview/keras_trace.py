"""Which layers a Keras model calls, with what and in what order: recorded while its call is traced.

The same code serves Keras 3, Keras 2 and tf_keras: a layer is whatever class named `Layer` the model's class descends
from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

# Their cells run in loops, in graphs of their own or once per timestep: what the whole layer puts out says it all.
_OPAQUE = ("RNN", "TimeDistributed")


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of one layer.

    Attributes:
      layer: The Keras layer.
      path: Names of the layers within whose calls it was called, and its own; empty for the model itself.
      index: Which call of this layer at this path, from 0.
      inputs: The tensors it was given.
      outputs: The tensors it gave back, those that live in the traced graph itself.
    """

    layer: Any
    path: str
    index: int
    inputs: tuple[tf.Tensor, ...]
    outputs: tuple[tf.Tensor, ...]


class _Recorder(threading.local):
    """What this thread is recording, if it is."""

    graph: tf.Graph | None = None
    calls: list[Call]
    stack: list[Any]
    opaque: int = 0


_recorder = _Recorder()
_lock = threading.Lock()
_patched: dict[type, tuple[Any, int]] = {}  # a base class's own __call__, and how many threads are recording


@contextlib.contextmanager
def recording(model: Any) -> Iterator[list[Call]]:
    """Records the calls of all layers on this thread, in the graph that is being built, as they begin.

    Yields:
      A list that is complete when the block has ended.
    """
    base = next(c for c in type(model).__mro__ if c.__name__ == "Layer" and "__call__" in vars(c))
    _recorder.graph, _recorder.calls, _recorder.stack, _recorder.opaque = tf.compat.v1.get_default_graph(), [], [], 0
    _patch(base)
    try:
        yield _recorder.calls
    finally:
        _unpatch(base)
        # What stays here would keep the model alive; the list that was handed out is the caller's.
        _recorder.graph, _recorder.calls, _recorder.stack = None, [], []


def _patch(base: Any) -> None:
    with _lock:
        original, users = _patched.get(base, (vars(base)["__call__"], 0))
        _patched[base] = (original, users + 1)
        if not users:
            base.__call__ = _recorded(original)


def _unpatch(base: Any) -> None:
    with _lock:
        original, users = _patched.pop(base)
        if users > 1:
            _patched[base] = (original, users - 1)
        else:
            base.__call__ = original


def _recorded(original: Any) -> Any:
    # `wraps` also gives the original's module, by which autograph knows not to convert it.
    @functools.wraps(original)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        r = _recorder
        if r.graph is None or r.opaque or tf.compat.v1.get_default_graph() is not r.graph:
            return original(self, *args, **kwargs)
        path = "/".join(str(layer.name) for layer in [*r.stack[1:], self]) if r.stack else ""
        opaque = any(c.__name__ in _OPAQUE for c in type(self).__mro__)
        position = len(r.calls)
        r.calls.append(Call(self, path, sum(c.path == path and c.layer is self for c in r.calls), (), ()))
        r.stack.append(self)
        r.opaque += opaque
        try:
            outputs = original(self, *args, **kwargs)
        finally:
            r.stack.pop()
            r.opaque -= opaque
        r.calls[position] = dataclasses.replace(
            r.calls[position],
            inputs=_tensors((args, kwargs), r.graph),
            outputs=_tensors(outputs, r.graph),
        )
        return outputs

    return __call__


def _tensors(structure: Any, graph: tf.Graph) -> tuple[tf.Tensor, ...]:
    """The tensors of a nested structure that live in this graph."""
    flat: list[Any] = []
    for leaf in tf.nest.flatten(structure, expand_composites=True):
        if tf.is_tensor(leaf) and getattr(leaf, "graph", None) is graph:
            flat.append(leaf)
    return tuple(flat)


def producers(tensors: Sequence[tf.Tensor], made_by: dict[int, int]) -> tuple[int, ...]:
    """Which layers' outputs the tensors are computed from, through whatever operations lie between.

    Args:
      tensors: Of one graph.
      made_by: From the id of a layer's output tensor to the layer.
    """
    found: list[int] = []
    seen: set[int] = set()
    pending = list(tensors)
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if id(tensor) in made_by:
            found.append(made_by[id(tensor)])
        else:
            pending.extend(tensor.op.inputs)
    return tuple(sorted(set(found)))
