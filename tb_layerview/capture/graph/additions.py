"""What is added to a graph so that its runs can be logged, and how the log describes it."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from tb_layerview.about import software
from tb_layerview.capture.graph.apart import Apart, Source
from tb_layerview.capture.graph.digests import DigestGroup, add_digests, add_weight_digests, find_needs, own_scope
from tb_layerview.capture.graph.failing import FailingRun
from tb_layerview.capture.graph.global_step import GlobalStep
from tb_layerview.capture.graph.search.index import GraphIndex, can_fetch
from tb_layerview.capture.graph.search.taps import GraphTap, GraphTaps
from tb_layerview.capture.graph.updates import GraphUpdates
from tb_layerview.format.model import Kind, Model
from tb_layerview.options import Keep


@dataclasses.dataclass(frozen=True)
class Additions:
    """What there is to fetch in a graph, once it was added.

    Attributes:
      taps: What is logged, by the tensor's index in the model.
      in_run: Of these the activations and gradients, which are fetched with a run.
      groups: Digests of them.
      weights: Digests of weights and of what optimizers keep of them, each of which reads its variable anew.
      updates: What each weight is changed by in one step.
      global_step: Reads of the global step.
      looks: What to fetch for losses and learning rates, by (operation, output index); not for those that cannot be
        fetched without a change to a run.
      failing: What notices the run that breaks the training; None if it is not wanted.
      model: What is logged, for the log.
    """

    taps: dict[int, GraphTap]
    in_run: dict[int, GraphTap]
    groups: tuple[DigestGroup, ...]
    weights: DigestGroup
    updates: GraphUpdates
    global_step: GlobalStep
    looks: dict[Source, Any]
    failing: FailingRun | None
    model: Model


def add_to_graph(
    index: GraphIndex, found: GraphTaps, keep: Keep, schedule: str, is_training: bool, keeps_failing: bool
) -> Additions:
    """Adds to a graph what is fetched when one of its runs is logged.

    Args:
      index: The graph.
      found: What of it is to be logged.
      keep: How much to keep.
      schedule: When, in words.
      is_training: Whether the graph is trained.
      keeps_failing: Whether the run that breaks the training is to be kept.
    """
    needed_by = find_needs(index, found.triggers if is_training else frozenset())
    apart = Apart(index, needed_by)
    logged, notes = _logged(found, apart, is_training)
    taps = dict(enumerate(logged))
    weights, updates = _of_kind(taps, "weight", "optimizer"), _of_kind(taps, "update")
    in_run = {i: tap for i, tap in taps.items() if i not in weights and i not in updates}
    groups = add_digests(index, in_run, keep, needed_by, apart)
    weight_group, reads = add_weight_digests(index, weights, keep)
    graph_updates = GraphUpdates(index, updates, keep, reads)
    global_step = GlobalStep(index)
    if is_training and global_step.now is None:
        notes.append("the graph has no global step, so the steps count the runs that train")
    failing = FailingRun(index, found, in_run.values(), needed_by, apart) if keeps_failing else None
    looks = _look_at_scalars(index, found, apart)
    model = Model(
        layers=found.layers,
        tensors=tuple(tap.tensor for tap in logged),
        notes=(*found.notes, *notes),
        schedule=schedule,
        software=software(TensorFlow=tf.__version__),
    )
    return Additions(taps, in_run, groups, weight_group, graph_updates, global_step, looks, failing, model)


def _of_kind(taps: dict[int, GraphTap], *kinds: Kind) -> dict[int, GraphTap]:
    return {i: tap for i, tap in taps.items() if tap.tensor.kind in kinds}


def _logged(found: GraphTaps, apart: Apart, is_training: bool) -> tuple[list[GraphTap], list[str]]:
    """What is logged of what was found; and what is not and why, a sentence each."""
    logged, notes = [], []
    for tap in found.taps:
        kind = tap.tensor.kind
        if kind in ("gradient", "update", "optimizer") and not is_training:
            continue
        reason = apart.cannot(tap.source) if kind in ("activation", "gradient") else ""
        if reason:
            path = found.layers[tap.tensor.layer].path
            notes.append(
                f"layer {path!r}: {kind} {tap.tensor.name} is left out. {reason}; looking at it would change the "
                "training's rounding"
            )
        else:
            logged.append(tap)
    return logged, notes


def _look_at_scalars(index: GraphIndex, found: GraphTaps, apart: Apart) -> dict[Source, Any]:
    """What to fetch for losses and learning rates: see `Additions.looks`."""
    scalars = [*found.losses.values(), *found.learning_rates.values()]
    scalars += [t for t in index.graph.get_collection(tf.compat.v1.GraphKeys.LOSSES) if can_fetch(t)]
    with own_scope(index.graph):
        return {(t.op, t.value_index): apart.look(t).tensor for t in scalars if not apart.cannot(t)}
