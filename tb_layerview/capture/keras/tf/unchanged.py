"""What a pass of a Keras model changes beside its outputs, and how it is put back."""

from __future__ import annotations

import contextlib
import inspect
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tb_layerview.capture.keras.python_state import PythonState
from tb_layerview.capture.keras.tf.variables import WrittenVariable

# What `compile` makes of losses and metrics, and keeps in the model: Keras 2's, then Keras 3's.
_COMPILED = ("compiled_loss", "compiled_metrics", "_compile_loss", "_compile_metrics", "_loss_tracker", "loss")


@contextlib.contextmanager
def put_back_after(written: Sequence[WrittenVariable]) -> Iterator[None]:
    """Gives variables the values back that they had."""
    before = [(variable, variable.read()) for variable in written]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


def written_variables(function: Any) -> list[WrittenVariable]:
    """The variables that a traced function may write, directly or in functions that it calls."""
    handles = {id(inner): outer for outer, inner in function.graph.captures if outer.dtype == tf.resource}
    read_only = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}
    written: dict[int, Any] = {}
    for op in function.graph.get_operations():
        if op.type in read_only:
            continue
        untouched: set[int] = set()
        with contextlib.suppress(ValueError):  # ops without the attribute
            untouched = set(op.get_attr("_read_only_resource_inputs"))
        for i, tensor in enumerate(op.inputs):
            if id(tensor) in handles and i not in untouched:
                written[id(handles[id(tensor)])] = handles[id(tensor)]
    found = ((handle, getattr(handle, "_handle_data", None)) for handle in written.values())
    # Look-up tables and the like are resources without a shape and a type.
    return [
        WrittenVariable(handle, tf.as_dtype(data.shape_and_type[0].dtype))
        for handle, data in found
        if data is not None and data.is_set and len(data.shape_and_type) == 1
    ]


@contextlib.contextmanager
def unchanged_by_tracing(model: Any) -> Iterator[list[Any]]:
    """Leaves what tracing a model changes in Python as it was.

    That is: the states of Python's random generators, from which Keras draws seeds; in Keras 2 the next seed of layers
    that were given one; the losses and metrics that the layers keep
    of their last call, tensors that would hold the traced graph; in Keras 3, the generator behind unseeded random
    numbers and the counts by which it names new layers; and what the model was compiled with, which its first use
    builds: that is left to the training.

    Yields:
      A list that in the end holds what was taken back: who keeps what was traced has to keep its variables, too.
    """
    held: list[Any] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(_random_states(model))
        stack.enter_context(_seeds_of_layers(model))
        stack.enter_context(_kept_losses(model, held))
        stack.enter_context(_global_state(model))
        stack.enter_context(_compiled(model, held))
        yield held


@contextlib.contextmanager
def _compiled(model: Any, held: list[Any]) -> Iterator[None]:
    """Keeps losses and metrics as they are: with them built, Keras takes its metrics for what a train_step returned."""
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else ()
    # Keras 2 has its metrics among the layers.
    leave = [layer for layer in layers if not hasattr(layer, "update_state")]
    state = PythonState([(name, getattr(model, name, None)) for name in _COMPILED], leave)
    try:
        yield
    finally:
        held += [change.after for change in state.put_back()]


@contextlib.contextmanager
def _random_states(model: Any) -> Iterator[None]:
    generators: list[Any] = [random]
    for cls in type(model).__mro__:
        backend = getattr(inspect.getmodule(cls), "backend", None)
        seeds = getattr(getattr(backend, "_SEED_GENERATOR", None), "generator", None)
        if seeds is not None and seeds not in generators:
            generators.append(seeds)
    states = [generator.getstate() for generator in generators]
    numpy_state = np.random.get_state()
    try:
        yield
    finally:
        for generator, state in zip(generators, states):
            generator.setstate(state)
        np.random.set_state(numpy_state)


@contextlib.contextmanager
def _seeds_of_layers(model: Any) -> Iterator[None]:
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else ()
    generators: list[Any] = [getattr(layer, "_random_generator", None) for layer in layers]
    seeds = [(generator, generator._seed) for generator in generators if hasattr(generator, "_seed")]
    try:
        yield
    finally:
        for generator, seed in seeds:
            generator._seed = seed


@contextlib.contextmanager
def _kept_losses(model: Any, held: list[Any]) -> Iterator[None]:
    layers = list(model._flatten_layers()) if hasattr(model, "_flatten_layers") else []
    found = [getattr(layer, name, None) for layer in layers for name in ("_losses", "_callable_losses", "_metrics")]
    lists = [(losses, list(losses)) for losses in found if isinstance(losses, list)]
    # In Keras 2 the losses of a call inside a tf.function are kept per thread.
    places = [vars(layer._thread_local) for layer in layers if hasattr(layer, "_thread_local")]
    per_thread = [(place, place.get("_eager_losses", [])) for place in places]
    try:
        yield
    finally:
        for losses, before in lists:
            held.append(list(losses))
            losses[:] = before
        for place, before in per_thread:
            place["_eager_losses"] = before


@contextlib.contextmanager
def _global_state(model: Any) -> Iterator[None]:
    modules = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    known = [sys.modules.get(f"{name}.src.backend.common.global_state") for name in modules]
    trackers = [getattr(module, "GLOBAL_STATE_TRACKER", None) for module in known]
    states: list[dict[str, Any]] = [tracker.__dict__ for tracker in trackers if tracker is not None]
    names = ("object_name_uids", "global_seed_generator")
    kept = [(state, {name: _copy(state[name]) for name in names if name in state}) for state in states]
    try:
        yield
    finally:
        for state, before in kept:
            for name in names:
                state.pop(name, None)
            state.update(before)


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, dict) else value
