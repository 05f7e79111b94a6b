"""The training run that fails: a TensorFlow graph keeps on its devices what the run has computed.

A run fails if its loss or one of its gradients is not finite. The run itself notices, and only then hands its
activations and gradients, by reference, to staging areas. Nothing is kept of other runs.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from tb_layerview.capture.graph.apart import Apart, Source
from tb_layerview.capture.graph.digests import own_scope, read_variable
from tb_layerview.capture.graph.search.branches import Branch
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.losses import Losses
from tb_layerview.capture.graph.search.taps import GraphTap, GraphTaps
from tb_layerview.measure.tf.on_device import SMALL

# What was kept, by the source of a tensor; and whether a condition had it computed, by the source, or its branch, in a
# tuple of one.
Kept = dict[Any, npt.NDArray[Any]]


class FailingRun:
    """Notices the run that fails, and keeps what is logged of it.

    Attributes:
      looked_at: How many tensors it looks at in a run, or would keep.
      bytes: The size of the gradients that it sums, as far as it is known.
    """

    def __init__(
        self,
        index: GraphIndex,
        found: GraphTaps,
        taps: Iterable[GraphTap],
        needed_by: Mapping[Any, frozenset[Any]],
        apart: Apart,
    ) -> None:
        """Adds to the graph what looks at its runs.

        Args:
          index: The graph.
          found: What was found in it.
          taps: The activations and gradients to keep, if a run computes them.
          needed_by: For each operation the optimizers that need it, each as one of the operations that train.
          apart: What looks at them.
        """
        self._index, self.looked_at, self.bytes = index, 0, 0
        taps = [tap for tap in taps if not apart.cannot(tap.source, is_for_each_run=True)]
        branches = {tap.when: tap.source.op for tap in taps if tap.when is not None}
        self._guards: list[_Guard] = []
        losses = Losses(index, found.losses, is_training=True)
        optimizers: dict[Any, list[Any]] = {}
        for trigger in sorted(found.triggers, key=index.position.__getitem__):
            optimizers.setdefault(next(iter(needed_by[trigger])), []).append(trigger)
        sources = {(tap.source.op, tap.source.value_index) for tap in taps}
        wanted = sorted(sources, key=lambda source: (index.position[source[0]], source[1]))
        name = f"layerview/{secrets.token_hex(8)}"  # several processes may share a device
        with own_scope(index.graph), tf.device(None):
            for optimizer, triggers in optimizers.items():
                reached = index.ancestors(triggers)
                of_run = losses.of(reached, frozenset())
                minimised = {
                    (t.op, t.value_index): t
                    for t in (of_run.minimised or of_run.known).values()
                    if not apart.cannot(t, is_for_each_run=True)
                }
                gradients = [
                    g
                    for g in found.gradients
                    if g.dtype.is_floating
                    and optimizer in needed_by.get(g.op, frozenset())
                    and not apart.cannot(g, is_for_each_run=True)
                ]
                if not minimised and not gradients:
                    continue
                kept = [source for source in wanted if optimizer in needed_by.get(source[0], frozenset())]
                kept += [source for source in minimised if source not in kept]
                added = index.ancestors(op for op, _ in minimised) - reached
                here = f"{name}/{len(self._guards)}"
                of_guard = [branch for branch, op in branches.items() if optimizer in needed_by.get(op, frozenset())]
                self._guards.append(_guard(here, apart, list(minimised.values()), gradients, kept, of_guard, added))
                self.looked_at += len(gradients) + len(kept)
                self.bytes += sum((g.shape.num_elements() or 0) * g.dtype.size for g in gradients)
            self._weights_are_finite = _all_finite(found.trained)

    def usable(self, reached: frozenset[Any], fed: frozenset[Source]) -> tuple[int, ...]:
        """The numbers of the optimizers whose guard a kind of run can fetch: it computes all that the guard looks at.

        Args:
          reached: The operations that it runs.
          fed: The tensors that it feeds.
        """
        found = []
        for number, guard in enumerate(self._guards):
            needed = self._index.ancestors([guard.failed.op], fed)
            if all(op in reached or op in guard.added for op in needed if op in self._index.position):
                found.append(number)
        return tuple(found)

    def wanted(self, numbers: Iterable[int]) -> dict[str, Any]:
        """What to fetch with a run, bool [2] each: whether it has failed, and whether its loss is not finite."""
        return {str(number): self._guards[number].failed for number in numbers}

    def weights_are_finite(self, session: Any) -> bool:
        """Looks at all weights that are trained."""
        return self._weights_are_finite is None or bool(session.run(self._weights_are_finite))

    def take(self, session: Any, numbers: Iterable[int]) -> Kept:
        """Takes what was kept of a run that has failed off the devices.

        Args:
          session: The one that ran it.
          numbers: Those of the guards that have noticed.
        """
        areas = [area for number in numbers for area in self._guards[number].areas]
        sizes = session.run([area.size for area in areas])
        filled = [area for area, size in zip(areas, sizes) if size]  # an empty one would be waited for
        kept: Kept = {}
        for area, values in zip(filled, session.run([area.contents for area in filled])):
            kept.update(zip(area.sources, values))
        return kept

    def clear(self, session: Any) -> None:
        """Drops whatever is kept."""
        session.run([area.clear for guard in self._guards for area in guard.areas])


@dataclasses.dataclass(frozen=True)
class _Area:
    """A staging area.

    Attributes:
      sources: What it is given, as the keys of `Kept`.
      size: How many times it was given them.
      contents: Takes them out.
      clear: Drops them.
    """

    sources: tuple[Any, ...]
    size: Any
    contents: Any
    clear: Any


@dataclasses.dataclass(frozen=True)
class _Guard:
    """What looks at the runs of one optimizer.

    Attributes:
      failed: bool [2]: whether the run with which it is fetched fails, and whether its loss does. When it is there, all
        is kept that is to be kept.
      areas: Where it is kept.
      added: The user's operations that run only for this: the end of the loss.
    """

    failed: Any
    areas: tuple[_Area, ...]
    added: frozenset[Any]


def _guard(
    name: str,
    apart: Apart,
    losses: list[Any],
    gradients: list[Any],
    sources: list[Source],
    branches: list[Branch],
    added: frozenset[Any],
) -> _Guard:
    of_gradients = {(g.op, g.value_index): g for g in gradients}
    # A large gradient is held only until it is known to be finite. Holding all of them until the run is over takes a
    # copy of the weights: 8 % of a training step of 65 ms with 10 million. Small ones are looked at all together.
    large = {s for s, g in of_gradients.items() if (g.shape.num_elements() or SMALL + 1) > SMALL}
    areas: list[_Area] = []

    def stage(failed: Any, members: list[Source], of_branches: list[Branch], tells: Any) -> Any:
        """Returns `tells`, which is there once the members are kept, if they are."""
        switch = tf.raw_ops.Switch(data=tells, pred=failed)
        values: dict[Any, Any] = {(branch,): branch.is_taken() for branch in of_branches}
        for op, number in members:
            # A copy is made of what fails alone.
            look = apart.look(op.outputs[number], lambda t: tf.raw_ops.Switch(data=t, pred=failed).output_true)
            values[op, number] = look.tensor
            if look.present is not None:
                values[((op, number),)] = look.present
        by_device: dict[str, dict[Any, Any]] = {}
        for key, value in values.items():
            by_device.setdefault(key[0].device if len(key) > 1 else "", {})[key] = value
        staged = []
        for device, staging in by_device.items():
            # What waits for the side of a condition that is not taken does not run.
            with tf.control_dependencies([tf.identity(switch.output_true)]), tf.device(device):
                here = f"{name}/{len(areas)}"
                staged.append(tf.raw_ops.Stage(values=list(staging.values()), shared_name=here))
                areas.append(_area(here, tuple(staging), list(staging.values())))
        with tf.control_dependencies(staged):
            done = tf.identity(switch.output_true)
        return tf.raw_ops.Merge(inputs=[switch.output_false, done]).output

    is_lost = (
        tf.reduce_any([_is_not_finite(apart.look(loss).tensor) for loss in losses]) if losses else tf.constant(False)
    )
    failed = [is_lost]
    sums: dict[Any, list[Any]] = {}  # by type
    for source, gradient in of_gradients.items():
        with tf.device(gradient.device):
            total = _sum(apart.look(gradient).tensor)
        if source in large and source in sources:
            of_this = _is_not_finite(total)
            failed.append(stage(of_this, [source], [], of_this))
        else:
            sums.setdefault(total.dtype, []).append(total)
    failed += [tf.reduce_any(_is_not_finite(tf.stack(totals))) for totals in sums.values()]
    has_failed = tf.reduce_any(tf.stack(failed))
    others = [source for source in sources if source not in large]
    return _Guard(stage(has_failed, others, branches, tf.stack([has_failed, is_lost])), tuple(areas), added)


def _area(name: str, sources: tuple[Any, ...], values: list[Any]) -> _Area:
    """The operations that look into a staging area, made where the area is."""
    dtypes = [value.dtype.base_dtype for value in values]
    with tf.control_dependencies(None):
        return _Area(
            sources,
            tf.raw_ops.StageSize(dtypes=dtypes, shared_name=name),
            tf.raw_ops.Unstage(dtypes=dtypes, shared_name=name),
            tf.raw_ops.StageClear(dtypes=dtypes, shared_name=name),
        )


def _all_finite(holders: Iterable[Any]) -> Any | None:
    """A bool: whether all elements of these variables are finite; None if there are no variables."""
    are_finite = []
    for holder in holders:
        with tf.device(holder.device):
            are_finite.append(tf.math.is_finite(_sum(read_variable(holder))))
    return tf.reduce_all(tf.stack(are_finite)) if are_finite else None


def _is_not_finite(tensor: Any) -> Any:
    return tf.logical_not(tf.math.is_finite(tensor))


def _sum(tensor: Any) -> Any:
    """A sum that is not finite if an element is not. It may also overflow: then the weights tell."""
    return tf.reduce_sum(tf.cast(tensor, tf.float32) if tensor.dtype.size < 4 else tensor)
