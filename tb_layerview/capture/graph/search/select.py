"""What a person selects of a TensorFlow graph: layers, and any other tensors by hand."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.search.activation_functions import with_activation_function
from tb_layerview.capture.graph.search.index import HOLDERS, GraphIndex, can_look
from tb_layerview.capture.graph.search.layer import shape_of
from tb_layerview.capture.graph.search.taps import GraphTap, GraphTaps
from tb_layerview.format.model import Kind, Layer, Tensor, default_axes
from tb_layerview.measure.measurement import can_measure
from tb_layerview.options import Select

#: The class of the layers that stand for selected tensors.
CLASS_NAME = "Tensor"


def narrow(index: GraphIndex, found: GraphTaps, select: Select) -> tuple[GraphTaps, tuple[GraphTap, ...]]:
    """What is selected of what was found, with the tensors that are selected by hand, and the taps of these alone.

    The layers are connected past those that are left out.
    """
    numbers: dict[int, int] = {}  # the new ones by the old ones
    for old, layer in enumerate(found.layers):
        if select.takes(layer.path, layer.class_name):
            numbers[old] = len(numbers)

    def nearest(old: int) -> set[int]:
        reads: set[int] = set()
        seen: set[int] = set()
        stack = list(found.layers[old].inputs)
        while stack:
            number = stack.pop()
            if number in numbers:
                reads.add(numbers[number])
            elif number not in seen:
                seen.add(number)
                stack += found.layers[number].inputs
        return reads

    layers = tuple(dataclasses.replace(found.layers[old], inputs=tuple(sorted(nearest(old)))) for old in numbers)
    taps = tuple(
        dataclasses.replace(tap, tensor=dataclasses.replace(tap.tensor, layer=numbers[tap.tensor.layer]))
        for tap in found.taps
        if tap.tensor.layer in numbers and tap.tensor.kind in select.kinds
    )
    by_hand, notes = select_tensors(index, select, layers)
    if "optimizer" in select.kinds and found.trained and not any(tap.tensor.kind == "optimizer" for tap in taps):
        notes.append("no optimizer state is logged: nothing was found that an optimizer keeps of a weight")
    narrowed = dataclasses.replace(
        found,
        layers=layers + layers_of(by_hand, layers),
        taps=(*taps, *by_hand),
        notes=(*found.notes, *notes),
    )
    return narrowed, tuple(by_hand)


def select_tensors(index: GraphIndex, select: Select, layers: tuple[Layer, ...]) -> tuple[list[GraphTap], list[str]]:
    """Finds what is selected by name, by regular expression, as a tensor, or by collection.

    What depends on variables alone is logged after the step, as a weight is; what depends on data, with the run.

    Args:
      index: The graph.
      select: What is selected.
      layers: Those that were found in the graph; the numbers of the new ones continue after theirs.

    Returns:
      A tap for each tensor, in a layer of its own; and what is left out and why, a sentence each.

    Raises:
      ValueError: A name, expression or collection matches nothing, or a tensor is of another graph.
    """
    chosen: dict[tuple[Any, int], Any] = {}
    notes: list[str] = []
    for item in select.tensors:
        for tensor in _matched(index, item):
            chosen.setdefault((tensor.op, tensor.value_index), tensor)
    for name in select.collections:
        for tensor in _collected(index, name, notes):
            chosen.setdefault((tensor.op, tensor.value_index), tensor)
    taps: list[GraphTap] = []
    for tensor in chosen.values():
        reason = _cannot_log(index, tensor)
        if reason:
            notes.append(f"tensor {tensor.name!r} {reason} and is left out")
            continue
        joined = with_activation_function(index, tensor)
        if joined is not tensor:
            notes.append(
                f"tensor {tensor.name!r}: TensorFlow would compute it and {joined.op.name!r} at once; where nothing "
                "else in a run needs it, what is logged is computed once more, apart from the training"
            )
        taps.append(_tap(index, tensor, len(layers) + len(taps)))
    return taps, notes


def layers_of(taps: list[GraphTap], layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """A layer for each selected tensor, called like its operation."""
    taken = {layer.path for layer in layers}
    made = []
    for tap in taps:
        is_tensor = isinstance(tap.source, tf.Tensor)
        op = tap.source.op if is_tensor else tap.source
        path = f"{op.name}:{tap.source.value_index}" if is_tensor and tap.source.value_index else op.name
        path = f"{path}:0" if path in taken else path
        taken.add(path)
        made.append(Layer(path, CLASS_NAME))
    return tuple(made)


def _matched(index: GraphIndex, item: Any) -> Iterator[Any]:
    """The tensors that a name, an expression or a tensor stands for."""
    if isinstance(item, str):
        op = index.by_name.get(item.rpartition(":")[0] or item)
        number = item.rpartition(":")[2] if ":" in item else "0"
        if op is None or not number.isdecimal() or int(number) >= len(op.outputs):
            names = [t.name for op in index.ops for t in op.outputs]
            near = difflib.get_close_matches(item, names, 3, 0.5)
            raise ValueError(
                f"Select(tensors=...): the graph has no tensor {item!r}"
                + (f"; the nearest names are {', '.join(near)}." if near else ". Names are like 'dense/Relu:0'.")
            )
        yield op.outputs[int(number)]
    elif isinstance(item, re.Pattern):
        found = [t for op in index.ops for t in op.outputs if item.search(t.name)]
        if not found:
            raise ValueError(
                f"Select(tensors=...): the expression {item.pattern!r} matches none of the graph's tensors, whose "
                "names are like 'dense/Relu:0'."
            )
        # Whoever writes `dense` does not mean the strings that save its variables.
        yield from (t for t in found if not _cannot_log(index, t)) if len(found) > 1 else found
    else:
        yield from _of_graph(index, item)


def _of_graph(index: GraphIndex, item: Any) -> Iterator[Any]:
    if isinstance(item, (tf.SparseTensor, tf.IndexedSlices)):
        item = item.values
    if hasattr(item, "handle"):
        item = item.handle  # a variable
    tensor = item if isinstance(item, tf.Tensor) else getattr(item, "_variable", None)
    if tensor is None:
        tensor = index.graph.as_graph_element(item, allow_operation=False)
    if tensor.graph is not index.graph:
        raise ValueError(
            f"Select(tensors=...): tensor {tensor.name!r} is of another graph than the one that runs. Give its name: "
            f"tensors=({tensor.name!r},)."
        )
    yield tensor


def _collected(index: GraphIndex, name: str, notes: list[str]) -> Iterator[Any]:
    members = index.graph.get_collection(name)
    if not members:
        keys = sorted(map(str, index.graph.get_all_collection_keys()))
        filled = ", ".join(key for key in keys if index.graph.get_collection(key))
        raise ValueError(f"Select(collections=...): collection {name!r} is empty; those that are not are {filled}.")
    for member in members:
        try:
            yield from _of_graph(index, member)
        except TypeError:
            notes.append(
                f"collection {name!r} holds {getattr(member, 'name', member)!r}, which is not a tensor and is left out"
            )


def _cannot_log(index: GraphIndex, tensor: Any) -> str:
    """Why a tensor cannot be logged; empty if it can."""
    holder = index.holder_of(tensor)
    dtype = tensor.dtype.base_dtype if holder is None else tf.as_dtype(holder.get_attr("dtype"))
    if not can_look(tensor.op):
        return "is inside a loop"
    if not can_measure(dtype.name):
        return f"has dtype {dtype.name}"
    if (tensor.shape if holder is None else shape_of(holder)).rank is None:
        return "has no known number of axes"
    return ""


def _tap(index: GraphIndex, tensor: Any, layer: int) -> GraphTap:
    is_of_variables = _depends_on_variables_alone(index, tensor)
    holder = index.holder_of(tensor) if is_of_variables else None
    if holder is not None:
        shape, dtype = shape_of(holder), tf.as_dtype(holder.get_attr("dtype"))
    else:
        shape, dtype = tensor.shape, tensor.dtype.base_dtype
    kind: Kind = "weight" if is_of_variables else "activation" if index.is_forward(tensor.op) else "gradient"
    sizes = tuple(-1 if size is None else size for size in shape)
    name = "output" if kind == "activation" else "value"
    described = Tensor(layer, kind, name, sizes, dtype.name, axes=default_axes(kind, len(sizes)))
    return GraphTap(described, tensor if holder is None else holder)


def _depends_on_variables_alone(index: GraphIndex, tensor: Any) -> bool:
    """Whether nothing but reading variables happens when the tensor is fetched by itself."""
    return not index.is_from_data(tensor.op) and all(
        op.type in HOLDERS or op.type == "ReadVariableOp" or not op.op_def.is_stateful
        for op in index.ancestors([tensor.op])
    )
