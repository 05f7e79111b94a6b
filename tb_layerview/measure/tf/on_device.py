"""Digests as TensorFlow operations, so that kilobytes leave the device and not tensors.

`prepare` and `reduce` add the operations, to a graph or as they are called, and `measurements` makes values of what
they return. TensorFlow instantiates a function once for all the times that it is called, but again within each graph
that calls it, which takes as long as tracing it: where tensors can leave their graph prepared, they are digested as the
digests are called.

Small tensors, which are most of a model's, are joined to one vector per type, copied over, and measured on the host:
that is one operation for all of them. The larger ones go through one shared function, some at a call, in a loop over
blocks that stay in the cache. 120 digests as operations of a ResNet-50's probe, each traced by itself, took 21.7 s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview.measure import host
from tb_layerview.measure.extra import TAKEN
from tb_layerview.measure.measurement import Measurement, with_kept
from tb_layerview.measure.tf import extra
from tb_layerview.measure.tf.kernel import BLOCK, Variant, loop_of, rows, to_measurement
from tb_layerview.measure.tf.loop import WIDTH, items
from tb_layerview.measure.tf.tap import Tap

#: Tensors of up to so many elements are measured on the host.
SMALL = 4096

Fetches = dict[str, Any]


def make_ready(taps: Mapping[int, Tap]) -> None:
    """Traces what digests such tensors, and has threads make it ready to be called in no graph, which is slow.

    Args:
      taps: By any index, with or without the tensors.
    """
    for what, _ in _parts(taps):
        if isinstance(what, Variant):
            loop_of(what).make_ready()
        elif what.is_sparse:
            extra.make_ready(what.name)


def prepare(taps: Mapping[int, Tap]) -> Fetches:
    """Adds what makes of tensors what the digests take.

    Args:
      taps: By any index.

    Returns:
      Tensors, as a nested structure, for `reduce`.
    """
    parts = {
        str(number): _prepare(what, [taps[index] for index in indices])
        for number, (what, indices) in enumerate(_parts(taps))
    }
    return {"parts": parts, "kept": {str(i): tap.tensor for i, tap in taps.items() if tap.keep is not None}}


def reduce(taps: Mapping[int, Tap], prepared: Fetches, with_values: bool = True) -> Fetches:
    """Adds the digests.

    Args:
      taps: What was given to `prepare`, with or without the tensors.
      prepared: What it returned, or what that has evaluated to, as tensors.
      with_values: Whether to add what is kept of the tensors, too.

    Returns:
      Tensors to fetch, as a nested structure: `"digests"`, and if there are values `"values"`, and `"shapes"` of those
      whose values are kept and whose shape is not known. Of these fetch what is `wanted`, and pass what comes back, as
      numpy arrays, to `measurements`.
    """
    digests = {
        str(number): _reduce(what, prepared["parts"][str(number)], [taps[index] for index in indices])
        for number, (what, indices) in enumerate(_parts(taps))
    }
    if not with_values:
        return {"digests": digests}
    tensors = prepared["kept"].items()
    return {
        "digests": digests,
        "values": {i: t[tuple(axis.as_slice() for axis in taps[int(i)].keep or ())] for i, t in tensors},
        "shapes": {i: tf.shape(t) for i, t in tensors if not taps[int(i)].tensor.shape.is_fully_defined()},
    }


def wanted(fetches: Fetches, with_values: bool) -> Fetches:
    """What to fetch of `reduce`'s structure at a step with or without values."""
    return fetches if with_values else {"digests": fetches["digests"]}


@dataclasses.dataclass(frozen=True)
class Digested:
    """Digests that have left the device.

    Attributes:
      taps: How the tensors were digested, without the tensors, by index.
      fetched: What came of that: see `measurements`.
    """

    taps: Mapping[int, Tap]
    fetched: Mapping[str, Any]
    nbytes = 0  # what waits with it is small

    def measurements(self) -> dict[int, Measurement]:
        """The measurements of the tensors, by index; needs no device."""
        return measurements(self.taps, self.fetched)


def digested(taps: Mapping[int, Tap], prepared: Fetches, with_values: bool) -> Digested:
    """Digests what is there.

    Args:
      taps: What was given to `prepare`, without the tensors.
      prepared: What it returned, as tensors.
      with_values: Whether what is kept of the tensors is wanted, too.
    """
    fetched = tf.nest.map_structure(lambda tensor: tensor.numpy(), reduce(taps, prepared, with_values))
    return Digested(taps, fetched)


def measure(taps: Mapping[int, Tap], arrays: Mapping[int, npt.NDArray[np.generic]]) -> dict[int, Measurement]:
    """Measures what is on the host already, block by block on the processor, in a graph of its own.

    Args:
      taps: By any index; what tensors they hold does not matter.
      arrays: What to measure for each, of any shape that the tap's tensor may have.
    """
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.compat.v1.Session() as session:
        tensors = {i: tf.compat.v1.placeholder(array.dtype, array.shape) for i, array in arrays.items()}
        fed = {i: dataclasses.replace(taps[i], tensor=tensor) for i, tensor in tensors.items()}
        fetched = session.run(reduce(fed, prepare(fed)), {tensors[i]: array for i, array in arrays.items()})
        return measurements(fed, fetched)


def measurements(taps: Mapping[int, Tap], fetched: Mapping[str, Any]) -> dict[int, Measurement]:
    """Makes measurements of what `reduce`'s tensors evaluated to.

    Args:
      taps: What was given to `prepare`, with or without the tensors.
      fetched: What is `wanted` of `reduce`'s structure, as numpy arrays.
    """
    measured: dict[int, Measurement] = {}
    for number, (what, indices) in enumerate(_parts(taps)):
        arrays = fetched["digests"][str(number)]
        if isinstance(what, Variant):
            measured.update(zip(indices, map(to_measurement, items(arrays)), strict=True))
        elif what.is_sparse:
            for index, found in zip(indices, extra.statistics(what.name, arrays), strict=True):
                measured[index] = dataclasses.replace(measured[index], sparse={**measured[index].sparse, **found})
        else:
            offset = 0
            for index in indices:
                tap = taps[index]
                size = tap.tensor.shape.num_elements()
                array = arrays[offset : offset + size].reshape(tap.tensor.shape)
                measured[index] = host.measure(array, units=tap.units, sparse=tap.sparse)
                offset += size
    for name, kept in fetched.get("values", {}).items():
        tap = taps[int(name)]
        shape = fetched["shapes"].get(name, tap.tensor.shape)  # which is known, then
        measured[int(name)] = with_kept(measured[int(name)], kept, tap.keep or (), shape)
    return measured


class _Named(NamedTuple):
    """What else is done to tensors: small ones of one type are joined, or a kind of `device_sparse` is measured."""

    name: str
    is_sparse: bool


def _parts(taps: Mapping[int, Tap]) -> list[tuple[Variant | _Named, list[int]]]:
    """What is done together, and to which taps: the same for the same taps, whether they hold tensors or not.

    What `device_sparse` measures comes after all digests.
    """
    # A loop over a single block takes nothing that shows; another variant of the function takes 160 ms to be made.
    one_block = all((tap.tensor.shape.num_elements() or BLOCK + 1) <= BLOCK for tap in taps.values())
    digests: dict[Variant | _Named, list[int]] = {}
    others: dict[Variant | _Named, list[int]] = {}
    for index, tap in sorted(taps.items()):
        if tap.taken is not None:
            others.setdefault(_Named(TAKEN, is_sparse=True), []).append(index)
        if (tap.tensor.shape.num_elements() or SMALL + 1) <= SMALL:
            digests.setdefault(_Named(tap.tensor.dtype.base_dtype.name, is_sparse=False), []).append(index)
            continue
        single = tap.tensor.dtype.base_dtype.name not in ("float64", "int32", "uint32", "int64", "uint64")
        digests.setdefault(Variant(single, _has_units(tap), one_block), []).append(index)
        for kind in () if tap.sparse is None else extra.kinds(tap.sparse):
            others.setdefault(_Named(kind, is_sparse=True), []).append(index)
    parts: list[tuple[Variant | _Named, list[int]]] = []
    for what, indices in (digests | others).items():
        is_loop = isinstance(what, Variant) or what.is_sparse
        size = WIDTH if is_loop else len(indices)
        parts += [(what, indices[start : start + size]) for start in range(0, len(indices), size)]
    return parts


def _has_units(tap: Tap) -> bool:
    return tap.units and tap.tensor.shape.rank is not None and tap.tensor.shape.rank > 1


def _prepare(what: Variant | _Named, taps: Sequence[Tap]) -> list[tf.Tensor]:
    """What is taken of these taps."""
    if isinstance(what, Variant):
        return [rows(tap.tensor, what) for tap in taps]
    if what.name == TAKEN:
        return [tf.stack([tap.taken for tap in taps])]
    if what.is_sparse:
        return [extra.prepare(what.name, tap.tensor, tap.sparse) for tap in taps if tap.sparse is not None]
    flat = tf.constant([-1])  # one for all: each is an operation of the graph
    return [tf.concat([tap.tensor if tap.tensor.shape.rank == 1 else tf.reshape(tap.tensor, flat) for tap in taps], 0)]


def _reduce(what: Variant | _Named, prepared: list[tf.Tensor], taps: Sequence[Tap]) -> Any:
    """Adds what is done to these taps."""
    if isinstance(what, Variant):
        return loop_of(what)(prepared)
    if what.name == TAKEN:
        return prepared[0]
    if what.is_sparse:
        return extra.reduce(what.name, prepared, [tap.sparse for tap in taps if tap.sparse is not None])
    return prepared[0]
