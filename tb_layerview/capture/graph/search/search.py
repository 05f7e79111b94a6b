"""Finds the layers of a TensorFlow graph and what can be logged of them, with no help from the code that built it.

Variables give the layers: `block/conv/kernel` belongs to a layer `block/conv`. `variables` finds these and, with
`outputs` and `chains`, their activations; `between` what stands between them, `optimizers` their gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.between import with_sums, with_weightless
from tb_layerview.capture.graph.search.index import GraphIndex, can_fetch
from tb_layerview.capture.graph.search.layer import FoundLayer
from tb_layerview.capture.graph.search.optimizers import Update, find_updates
from tb_layerview.capture.graph.search.slots import all_slots
from tb_layerview.capture.graph.search.taps import GraphTaps
from tb_layerview.capture.graph.search.tensors import find_taps
from tb_layerview.capture.graph.search.variables import find_with_variables, holders_in, without_layer
from tb_layerview.capture.graph.search.windows import window_of
from tb_layerview.format.model import Layer, unused_path


def find_layers(index: GraphIndex) -> GraphTaps:
    """Searches a graph for layers, their activations, weights and gradients, and for what trains them.

    Args:
      index: That of a graph whose model, and optimizer if it is to be trained, are complete.
    """
    trainable = holders_in(index, (tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES,))
    found, notes = find_with_variables(index, trainable)
    found, of_sums = with_sums(index, found)
    found = with_weightless(index, found)
    found.sort(key=lambda layer: layer.first(index))
    taken: set[str] = set()
    for layer in found:  # scopes have names of their own, but a bare variable may be called like a scope
        layer.path, _ = unused_path(layer.path, taken)
    updates = find_updates(index, frozenset(trainable.values()))
    by_holder: dict[Any, Update] = {}
    for update in updates:
        known = by_holder.get(update.holder)
        if known is None or known.gradient is None:
            by_holder[update.holder] = update
        if known is not None:  # optimizers that take turns each keep something of it
            by_holder[update.holder] = dataclasses.replace(
                by_holder[update.holder], slots=all_slots(known.slots, update.slots)
            )
    taps, of_taps = find_taps(index, found, by_holder)
    return GraphTaps(
        layers=tuple(
            Layer(layer.path, layer.class_name, inputs, layer.sources(), window_of(index, layer))
            for layer, inputs in zip(found, _connections(index, found))
        ),
        taps=taps,
        triggers=frozenset(update.trigger for update in updates),
        trained=tuple(by_holder),
        gradients=tuple({u.gradient.name: u.gradient for u in updates if u.gradient is not None}.values()),
        losses={
            scope: op.outputs[0]
            for scope, op in index.gradient_scopes.items()
            if op.outputs and op.outputs[0].shape.rank == 0 and can_fetch(op.outputs[0])
        },
        learning_rates=_learning_rates(updates, found),
        notes=(*notes, *of_sums, *without_layer(found, trainable), *of_taps),
    )


def _connections(index: GraphIndex, found: list[FoundLayer]) -> list[tuple[int, ...]]:
    """For each layer the layers whose outputs it reads, going back from its own outputs to the nearest others."""
    owner: dict[tuple[Any, int], int] = {}
    for number, layer in enumerate(found):
        for tensor in layer.outputs():
            owner.setdefault((tensor.op, tensor.value_index), number)
    connections: list[tuple[int, ...]] = []
    for number, layer in enumerate(found):
        reads: set[int] = set()
        seen: set[Any] = set()
        stack = [t for tensor in layer.outputs() for t in tensor.op.inputs]
        while stack:
            tensor = stack.pop()
            before = owner.get((tensor.op, tensor.value_index))
            if before is not None and before != number:
                reads.add(before)
            elif tensor.op not in seen and index.is_from_data(tensor.op):
                seen.add(tensor.op)
                stack += tensor.op.inputs
        connections.append(tuple(sorted(reads)))
    return connections


def _learning_rates(updates: Iterable[Update], found: list[FoundLayer]) -> dict[str, Any]:
    """The learning rates by name; optimizers are told apart by the first layer that they train."""
    rates: dict[str, Any] = {}
    first: dict[str, str] = {}
    paths = {holder: layer.path for layer in found for holder in layer.weights.values()}
    for update in updates:
        rate = update.learning_rate
        if rate is not None and rate.shape.rank == 0 and can_fetch(rate):
            rates.setdefault(rate.name, rate)
            first.setdefault(rate.name, paths.get(update.holder, update.holder.name))
    if len(rates) == 1:
        return {"learning_rate": next(iter(rates.values()))}
    return {f"learning_rate of {first[name]}": rate for name, rate in rates.items()}
