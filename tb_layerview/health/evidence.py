"""What the rules look at: every statistic of every tensor at every logged step, and how the layers are connected."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import KINDS, TOUCHED, Kind, Layer, Probe, is_attention
from tb_layerview.health.history import Floats, History, Mask, Past
from tb_layerview.reading.run import Run

#: So many logged steps are the start of a training.
START = 10
#: The one statistic that is of updates alone and is not logged: see `changes`.
CHANGE = "change"

_T = TypeVar("_T")


def _once(method: Callable[..., _T]) -> Callable[..., _T]:
    """Works out what depends on the tensors alone once, for an evidence and all that it is at other steps."""

    @functools.wraps(method)
    def known(self: Evidence, *args: Any) -> _T:
        key = (method.__name__, *args)
        if key not in self._known:
            self._known[key] = method(self, *args)
        return cast("_T", self._known[key])

    return known


@np.errstate(invalid="ignore")  # of what is not finite there is no difference
def changes(steps: npt.NDArray[np.int64], updates: Floats, weights: Callable[[str], Floats]) -> Floats:
    """By how much weights changed in one training step, at least: the update, or what shows in the weight itself.

    Who writes a weight between two steps leaves it out of the update. From one logged step to the next it has changed
    by no less than sqrt((mean - mean before)^2 + (std - std before)^2), whatever its elements did.

    Args:
      steps: int64 [steps], ascending.
      updates: Their rms, float64 [tensors, steps].
      weights: Gives a statistic, by name, of the weight of each, float64 [tensors, steps].

    Returns:
      float64 [tensors, steps]; NaN where there is no update and nothing before.
    """
    apart = np.full(updates.shape, np.nan)
    apart[:, 1:] = np.hypot(*(np.diff(weights(name), axis=1) for name in ("mean", "std"))) / np.diff(steps)
    return np.asarray(np.fmax(updates, apart))


class Evidence:
    """Statistics over steps.

    Attributes:
      layers: In the order in which they run; `inputs` are indices in here.
      tensors: What the rows of all statistics are.
      steps: int64 [steps], ascending: what their columns are.
      scalars: Loss and metrics by name, for each step.
      place: int64 [tensors]: the index of each tensor's layer in `layers`.
      weights_come_after: Whether the weights of a step are those that it made, as a hook logs them, and its activations
        come from those of the step before. A probe's come from the weights that are logged with them.
      probe: What activations and gradients are of; None where they are of the batch that was run.
      ended: Whether it is known that no step comes after the last of these.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        tensors: Sequence[LoggedTensor],
        steps: npt.NDArray[np.int64],
        statistic: Callable[[str], Floats],
        scalars: Sequence[Mapping[str, float]],
        probe: Probe | None = None,
    ) -> None:
        """Takes what was logged.

        Args:
          layers: In the order in which they run.
          tensors: What is logged.
          steps: int64 [steps], ascending.
          statistic: Gives a statistic by its name, float64 [tensors, steps], NaN where a tensor has none.
          scalars: Loss and metrics by name, for each step.
          probe: What activations and gradients are of; None where they are of the batch that was run.
        """
        self.layers, self.tensors, self.steps = tuple(layers), tuple(tensors), steps
        self.scalars, self.probe = scalars, probe
        by_path = {layer.path: i for i, layer in enumerate(self.layers)}
        self.place = np.array([by_path[tensor.layer] for tensor in self.tensors], np.int64)
        self._statistic = functools.cache(lambda name: self._changes(statistic) if name == CHANGE else statistic(name))
        self._largest_before = functools.cache(self._find_largest_before)
        self._history = functools.cache(self._find_history)
        self._known: dict[tuple[Any, ...], Any] = {}  # of the tensors, whatever the steps
        self.weights_come_after = self.ended = False
        self._past: Past | None = None
        self._start: Floats | None = None

    @classmethod
    def of(cls, run: Run) -> Evidence:
        """Of all that a run has logged."""
        evidence = cls(run.layers, run.tensors, run.steps, run.statistics, run.scalars_by_step, run.model.probe)
        evidence.weights_come_after, evidence.ended = run.model.logs_batches, run.ended
        return evidence

    def at(
        self,
        steps: npt.NDArray[np.int64],
        statistic: Callable[[str], Floats],
        scalars: Sequence[Mapping[str, float]],
        past: Past,
        ended: bool = False,
    ) -> Evidence:
        """Of the same tensors at other steps; what is known of their connections is not worked out anew.

        Args:
          steps: int64 [steps], ascending.
          statistic: Gives a statistic by its name, float64 [tensors, steps].
          scalars: Loss and metrics by name, for each step.
          past: What came before these.
          ended: Whether it is known that no step comes after them.
        """
        other = copy.copy(self)
        other.ended = ended
        other.steps, other.scalars, other._statistic = steps, scalars, functools.cache(statistic)
        other._largest_before = functools.cache(other._find_largest_before)
        other._history = functools.cache(other._find_history)
        other._past, other._start = past, past.start
        return other

    def windows(self, length: int, positions: Sequence[int]) -> Iterator[Evidence]:
        """The last `length` steps up to each of these, as they were known then: fewer where fewer had been logged."""
        for position in positions:
            some = slice(max(0, position + 1 - length), position + 1)
            is_whole = self._past is not None or some.stop > START
            start = self.largest_at_start if is_whole else self._largest_at_start(some.stop)
            past = Past(
                self.steps_before + some.start,
                lambda name, some=some: self.largest_before(name)[:, some.start],  # type: ignore[misc]
                start,
                lambda name, some=some: self._history_before(name, some.start),  # type: ignore[misc]
            )
            yield self.at(
                self.steps[some],
                lambda name, some=some: self.statistic(name)[:, some],  # type: ignore[misc]
                self.scalars[some],
                past,
            )

    @property
    def steps_before(self) -> int:
        """How many logged steps came before these."""
        return self._past.count if self._past else 0

    @property
    def of_what(self) -> str:
        """What activations and gradients are of, for a sentence."""
        return "on this batch" if self.probe is None else "on the probe"

    def largest_before(self, name: str) -> Floats:
        """The largest of a statistic at all logged steps before each, float64 [tensors, steps]; NaN if none has it."""
        return self._largest_before(name)

    def _find_largest_before(self, name: str) -> Floats:
        values = self.statistic(name)
        earlier = self._past.largest(name) if self._past else np.full(len(values), np.nan)
        return np.fmax.accumulate(np.column_stack([earlier, values])[:, :-1], axis=1)

    @property
    def largest_at_start(self) -> Floats:
        """The largest rms at the first `START` logged steps, float64 [tensors]; NaN if there is none."""
        if self._start is None:
            self._start = self._largest_at_start(START)
        return self._start

    def _largest_at_start(self, steps: int) -> Floats:
        return np.asarray(np.fmax.reduce(self.statistic("rms")[:, :steps], axis=1))

    def history(self, name: str) -> History:
        """A statistic that is not measured at every step, up to the last of these steps."""
        return self._history(name)

    def _find_history(self, name: str) -> History:
        before = self._past.history(name) if self._past else History.of(len(self.tensors))
        return before.and_then(self.steps, self.statistic(name))

    def _history_before(self, name: str, position: int) -> History:
        whole = self.history(name)
        count = int(np.searchsorted(whole.steps, self.steps[position]))
        return History(whole.steps[:count], whole.values[:, :count])

    @property
    def is_past_start(self) -> Mask:
        """Which steps come after the first `START` logged ones, bool [steps]."""
        return np.asarray(self.steps_before + np.arange(len(self.steps)) >= START)

    def statistic(self, name: str) -> Floats:
        """One of `Run.statistics` or `CHANGE`, float64 [tensors, steps]."""
        return self._statistic(name)

    def _changes(self, statistic: Callable[[str], Floats]) -> Floats:
        updates, weights = self.updated
        found = np.full((len(self.tensors), len(self.steps)), np.nan)
        found[updates] = changes(self.steps, statistic("rms")[updates], lambda name: statistic(name)[weights])
        return found

    @property
    @_once
    def updated(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The updates whose weight is logged, and these weights, as indices of tensors."""
        updates = np.flatnonzero(self.of_kind("update") & (self.weights >= 0))
        return updates, self.weights[updates]

    def share(self, *counts: str) -> Floats:
        """The share of elements that are counted, 0 to 1, float64 [tensors, steps]; NaN where there are no elements."""
        size = self.statistic("size")
        total = np.sum([self.statistic(name) for name in counts], axis=0)
        return np.asarray(np.divide(total, size, out=np.full(size.shape, np.nan), where=size > 0))

    @_once
    def of_kind(self, *kinds: Kind) -> Mask:
        """Which tensors are of these kinds, bool [tensors]."""
        return np.array([tensor.kind in kinds for tensor in self.tensors], bool)

    @_once
    def of_dtype(self, dtype: str) -> Mask:
        """Which tensors' elements are of this type, bool [tensors]."""
        return np.array([tensor.dtype == dtype for tensor in self.tensors], bool)

    @_once
    def of_rank(self, least: int) -> Mask:
        """Which tensors have at least so many axes, bool [tensors]."""
        return np.array([len(tensor.shape) >= least for tensor in self.tensors], bool)

    @_once
    def named(self, start: str) -> Mask:
        """Which tensors' names start so, bool [tensors]."""
        return np.array([tensor.name.startswith(start) for tensor in self.tensors], bool)

    @property
    @_once
    def is_attention(self) -> Mask:
        """Which tensors are what attention looks at, bool [tensors]."""
        return np.array([is_attention(t.kind, t.name, t.axes) for t in self.tensors], bool)

    @_once
    def of_kernels(self, kind: Kind) -> Mask:
        """Which tensors are of this kind and of a weight of two axes or more that is no bias, bool [tensors].

        The rows of it that a step has changed are others at each step: they are not.
        """
        whole = np.array([not tensor.name.endswith(TOUCHED) for tensor in self.tensors], bool)
        return np.asarray(self.of_kind(kind) & self.of_rank(2) & ~self.named("bias") & whole)

    @property
    @_once
    def is_input(self) -> Mask:
        """Which tensors are the model's inputs, bool [tensors]."""
        return np.array([self.layers[place].class_name == "Input" for place in self.place], bool)

    @property
    @_once
    def is_output(self) -> Mask:
        """Which tensors are of a layer that feeds no other; where none feeds any, of the last. Bool [tensors]."""
        feeding = {i for layer in self.layers for i in layer.inputs}
        if not feeding:
            return np.asarray(self.place == len(self.layers) - 1)
        return np.array([place not in feeding for place in self.place.tolist()], bool)

    @property
    @_once
    def without_weights(self) -> Mask:
        """Which tensors are of a layer that takes another's output and has no weights, nor any within. Bool [tensors].

        Such a layer can only pass on what it takes, or do the same to it at every step. Where no weights are logged,
        or no connections, nobody knows which layers these are, and there are none.
        """
        having = {tensor.layer for tensor in self.tensors if tensor.kind != "activation"}
        if not having:
            return np.zeros(len(self.tensors), bool)
        for path in tuple(having):
            parts = path.split("/")
            having.update("/".join(parts[:n]) for n in range(1, len(parts)))
        takes = [bool(self.layers[place].inputs) for place in self.place.tolist()]
        return np.array([t.layer not in having and some for t, some in zip(self.tensors, takes)], bool)

    @property
    @_once
    def has_own_kernel(self) -> Mask:
        """Which tensors are the output of a layer with a kernel, bool [tensors]."""
        found = np.zeros(len(self.tensors), bool)
        found[list(self._first_activations(self.of_kernels("weight")).values())] = True
        return found

    @property
    @_once
    def keys(self) -> Floats:
        """The sizes of the last axes, float64 [tensors]; 0 where there is none or it differs from step to step."""
        return np.array([max(tensor.shape[-1], 0) if tensor.shape else 0 for tensor in self.tensors], float)

    @property
    @_once
    def activations_of(self) -> tuple[npt.NDArray[np.int64], ...]:
        """By layer the indices of its activations."""
        is_activation = self.of_kind("activation")
        return tuple(np.flatnonzero(is_activation & (self.place == i)) for i in range(len(self.layers)))

    @_once
    def fed_by(self, layer: int) -> npt.NDArray[np.int64]:
        """The activations that a layer takes, as indices of tensors."""
        return self._activations(self.layers[layer].inputs)

    @_once
    def taken_by(self, layer: int) -> npt.NDArray[np.int64]:
        """The activations of the layers that take a layer's, as indices of tensors."""
        return self._activations([i for i, other in enumerate(self.layers) if layer in other.inputs])

    @_once
    def computed_from(self, layer: int) -> npt.NDArray[np.int64]:
        """The activations of all layers that a layer is computed from, as indices of tensors."""
        pending, seen = list(self.layers[layer].inputs), set[int]()
        while pending:
            before = pending.pop()
            if before not in seen:
                seen.add(before)
                pending.extend(self.layers[before].inputs)
        return self._activations(sorted(seen - {layer}))

    def _activations(self, layers: Sequence[int]) -> npt.NDArray[np.int64]:
        found = [self.activations_of[i] for i in layers]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    @property
    @_once
    def kernel_before(self) -> npt.NDArray[np.int64]:
        """int64 [tensors]: for the activation of a layer with a kernel that of the nearest such layer before it.

        That is the latest of those from which it is computed without another such layer in between; -1 where there is
        none. Without connections, the one before in the order of the layers.
        """
        own = self._first_activations(self.of_kernels("weight"))
        is_connected = any(layer.inputs for layer in self.layers)
        nearest: list[int] = []  # by layer: itself if it has a kernel, else the latest that it is computed from
        found = np.full(len(self.tensors), -1, np.int64)
        for i, layer in enumerate(self.layers):
            inputs = layer.inputs if is_connected else range(i)
            before = max((nearest[j] for j in inputs if j < i), default=-1)
            if i in own and before >= 0:
                found[own[i]] = own[before]
            nearest.append(i if i in own else before)
        return found

    @property
    @_once
    def forward_links(self) -> tuple[tuple[int, int], ...]:
        """Each activation that has a `kernel_before`, behind it, in forward order."""
        after = sorted(np.flatnonzero(self.kernel_before >= 0).tolist(), key=lambda i: self.place[i])
        return tuple((int(self.kernel_before[i]), i) for i in after)

    @property
    @_once
    def backward_links(self) -> tuple[tuple[int, int], ...]:
        """The same of the gradients of these layers' kernels, in backward order."""
        of_layer = {int(self.place[i]): int(i) for i in np.flatnonzero(self.of_kernels("gradient"))[::-1]}
        places = [(int(self.place[before]), int(self.place[after])) for before, after in reversed(self.forward_links)]
        return tuple((of_layer[j], of_layer[i]) for i, j in places if i in of_layer and j in of_layer)

    @property
    @_once
    def incoming_updates(self) -> npt.NDArray[np.int64]:
        """int64 [tensors]: for an activation the update of the kernel whose units are its units; -1 if none is.

        That is of its own layer or, as for a ReLU that is a layer, of the one before it as long as there is only one.
        """
        updates = {int(self.place[i]): i for i in np.flatnonzero(self.of_kernels("update"))}
        found = np.full(len(self.tensors), -1, np.int64)
        for tensor in np.flatnonzero(self.of_kind("activation") & self.of_rank(2) & ~self.is_attention):
            layer, seen = int(self.place[tensor]), set[int]()
            while layer not in updates and len(self.layers[layer].inputs) == 1 and layer not in seen:
                seen.add(layer)
                layer = self.layers[layer].inputs[0]
            update = updates.get(layer, -1)
            if update >= 0 and self.tensors[update].shape[-1] == self.tensors[tensor].shape[-1]:
                found[tensor] = update
        return found

    def _first_activations(self, of: Mask) -> dict[int, int]:
        """By layer with any of these tensors its first activation of two axes or more that is no scores."""
        layers = set(self.place[of].tolist())
        is_output = self.of_kind("activation") & self.of_rank(2) & ~self.is_attention
        return {int(self.place[i]): int(i) for i in np.flatnonzero(is_output)[::-1] if self.place[i] in layers}

    @property
    @_once
    def depth(self) -> npt.NDArray[np.int64]:
        """int64 [tensors]: the order in which causes act within a step.

        Weights come first, since a pass starts from them; then activations in the order in which they are made, which
        is that of the tensors: where layers are called several times, or within another one's call, that of the layers
        tells nothing. Then come gradients in backward order, and last the updates that are made of them.
        """
        count = len(self.layers) + len(self.tensors)
        within = [
            i if t.kind == "activation" else count - 1 - place if t.kind == "gradient" else place
            for i, (t, place) in enumerate(zip(self.tensors, self.place.tolist()))
        ]
        order: dict[Kind, int] = {"weight": 0, "activation": 1, "gradient": 2, "update": 3}
        assert set(order) == set(KINDS)
        return np.array([order[t.kind] * count + w for t, w in zip(self.tensors, within)], np.int64)

    @property
    @_once
    def weights(self) -> npt.NDArray[np.int64]:
        """int64 [tensors]: the weight of the same layer, name and call; -1 where there is none."""
        known = {(t.layer, t.name, t.call): i for i, t in enumerate(self.tensors) if t.kind == "weight"}
        return np.array([known.get((t.layer, t.name, t.call), -1) for t in self.tensors], np.int64)
