"""The runs of a session: which of them to log, what to fetch with them, and how they raise the global step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from operator import is_
from typing import Any

import tensorflow as tf

from tb_layerview.capture.graph.additions import Additions
from tb_layerview.capture.graph.digests import DigestGroup
from tb_layerview.capture.graph.global_step import NEVER
from tb_layerview.capture.graph.search.index import GraphIndex
from tb_layerview.capture.graph.search.losses import Losses, RunLosses
from tb_layerview.capture.graph.search.taps import GraphTaps

_ELEMENTS = (tf.Tensor, tf.Operation, type(None))


@dataclasses.dataclass
class KnownRun:
    """A kind of run: same fetches, same feeds.

    Attributes:
      is_logged: Whether it trains or, in evaluation and prediction, runs the model.
      groups: Which digests it may fetch, by number.
      scalars: Loss, learning rate and what the run itself fetches, by name.
      tells_step: Whether the global step after the run can be fetched with it.
      optimizers: The numbers of the optimizers whose guards it can fetch: see `FailingRun`.
      rise: By how much it raised the global step the last time that it did.
      period: How many runs there were from one rise to the next: more than one where gradients are accumulated.
      since: How many runs there were since the last rise.
      remark: What is not logged of it and why; empty if there is nothing to say.
    """

    is_logged: bool
    groups: tuple[int, ...] = ()
    scalars: dict[str, Any] = dataclasses.field(default_factory=dict)
    tells_step: bool = False
    optimizers: tuple[int, ...] = ()
    rise: int = 1
    period: int = 1
    since: int = 0
    remark: str = ""

    def next_step(self, step: int) -> int:
        """The global step that is to be expected after the next run."""
        is_due = self.since + 1 >= self.period and self.since < NEVER
        return step + self.rise if is_due else step

    def follow(self, before: int, after: int) -> None:
        """Takes note of what a run did to the global step."""
        self.since += 1
        if after > before:
            self.rise, self.period, self.since = after - before, self.since, 0


class KnownRuns:
    """What is known of each kind of run that a session has seen."""

    def __init__(
        self,
        index: GraphIndex,
        found: GraphTaps,
        added: Additions,
        is_training: bool,
        selected: frozenset[tuple[Any, int]],
    ) -> None:
        """Takes what there is to fetch.

        Args:
          index: The graph.
          found: What was found in it.
          added: What there is to fetch.
          is_training: Whether only runs that train are logged; otherwise those that reach a layer's output.
          selected: The tensors, as (operation, output index), that were selected by hand. They are computed even for a
            run that does not need them, if that takes nothing but what the run has.
        """
        self._selected = selected
        self._index, self._found, self._added, self._is_training = index, found, added, is_training
        self._losses = Losses(index, found.losses, is_training)
        self._outputs = {tap.source.op for tap in found.taps if tap.tensor.kind == "activation"}
        self._runs: dict[Any, KnownRun] = {}
        self._last: tuple[tuple[Any, ...], KnownRun] | None = None  # what the last run fetched and fed, and what it was

    def look_up(self, args: Any) -> KnownRun:
        """What is known of runs that fetch and feed the same."""
        elements = _elements(args)
        if elements and self._last and len(elements) == len(self._last[0]) and all(map(is_, elements, self._last[0])):
            return self._last[1]  # almost always, and a third of what a run pays that is not logged
        run = self._look_up(args)
        self._last = (elements, run) if elements else None
        return run

    def _look_up(self, args: Any) -> KnownRun:
        graph = self._index.graph
        fetched: list[tuple[str, Any]] = []
        for name, leaf in _leaves(args.fetches):
            fetched.append((name, graph.as_graph_element(leaf, allow_tensor=True, allow_operation=True)))
        fed = frozenset(
            graph.as_graph_element(leaf, allow_tensor=True, allow_operation=False).name
            for key in (args.feed_dict or {})
            for _, leaf in _leaves(key)
        )
        key = (tuple((name, element.name) for name, element in fetched), fed)
        if key not in self._runs:
            self._runs[key] = self._examine(fetched, fed)
        return self._runs[key]

    def _examine(self, fetched: list[tuple[str, Any]], fed_names: frozenset[str]) -> KnownRun:
        """What a run reaches: only what it computes anyway is fetched, or it would take a batch of its own."""
        fed = frozenset((t.op, t.value_index) for t in map(self._index.graph.get_tensor_by_name, fed_names))
        reached = self._index.ancestors(
            [element if isinstance(element, tf.Operation) else element.op for _, element in fetched], fed
        )
        if self._is_training and not reached & self._found.triggers:
            return KnownRun(is_logged=False)
        if not self._is_training and not reached & self._outputs:
            return KnownRun(is_logged=False)
        raiser = self._added.global_step.raiser
        groups = tuple(i for i, group in enumerate(self._added.groups) if self._may_fetch(group, reached, fed))
        losses = self._losses.of(reached, fed)
        return KnownRun(
            is_logged=True,
            groups=groups,
            scalars=self._scalars(fetched, reached, losses),
            remark=losses.remark,
            optimizers=self._added.failing.usable(reached, fed) if self._added.failing else (),
            tells_step=raiser is not None and raiser in reached,
        )

    def _may_fetch(self, group: DigestGroup, reached: frozenset[Any], fed: frozenset[tuple[Any, int]]) -> bool:
        """Whether a run may fetch a group's digests."""
        if not all(self._is_at_hand(source, reached, fed) for source in group.sources):
            return False
        # A copy would not take what is fed on the way to a tensor.
        is_reached = any(source[0] in reached for source in group.sources)
        return not is_reached or all(border[0] in reached or border in fed for border in group.borders)

    def _is_at_hand(self, tensor: tuple[Any, int], reached: frozenset[Any], fed: frozenset[tuple[Any, int]]) -> bool:
        """Whether a run may fetch a tensor: no state changes, no batch is taken, and no placeholder is missing."""
        if tensor[0] in reached or tensor in fed:
            return True
        if tensor not in self._selected:
            return False
        more = self._index.ancestors([tensor[0]], fed) - reached
        return not any(op.op_def.is_stateful or op.type == "Placeholder" for op in more)

    def _scalars(self, fetched: list[tuple[str, Any]], reached: frozenset[Any], losses: RunLosses) -> dict[str, Any]:
        """Loss, learning rates, and what else the run fetches that is a single number."""
        rates = {name: t for name, t in self._found.learning_rates.items() if t.op in reached}
        own: dict[str, Any] = {}
        for name, tensor in fetched:
            if isinstance(tensor, tf.Tensor) and tensor.dtype.is_floating and tensor.shape.rank == 0:
                own.setdefault(name or tensor.op.name, tensor)
        # Of several losses the one that the run itself fetches is the one that is minimised, as an Estimator's is.
        asked = {t.name: t for t in own.values() if t.name in losses.known} or losses.minimised or losses.known
        if len(asked) == 1 and "loss" not in own:
            (loss,) = asked.values()
            own = {name: t for name, t in own.items() if t.name != loss.name}
            own["loss"] = loss
        elif "loss" not in own:
            own.update({t.op.name: t for t in asked.values()})
        return {**own, **rates}


def _elements(args: Any) -> tuple[Any, ...]:
    """What a run fetches and feeds, if it is one list of operations and tensors; else nothing."""
    fetches = args.fetches if type(args.fetches) in (list, tuple) else (args.fetches,)
    elements = (*fetches, None, *(args.feed_dict or ()))
    return elements if all(isinstance(each, _ELEMENTS) for each in elements) else ()


def _leaves(fetches: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The single elements of what is given to `Session.run`, with their keys if they are in a dictionary."""
    if fetches is None:
        return
    if isinstance(fetches, Mapping):
        for key, value in fetches.items():
            yield from _leaves(value, f"{name}/{key}" if name else str(key))
        return
    if isinstance(fetches, (list, tuple)):
        for value in fetches:
            yield from _leaves(value)
        return
    flat = tf.nest.flatten(fetches, expand_composites=not isinstance(fetches, tf.Variable))
    if len(flat) == 1:
        yield name, flat[0]
    else:
        for value in flat:
            yield from _leaves(value)
