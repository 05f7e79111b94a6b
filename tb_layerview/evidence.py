"""What the rules look at: every statistic of every tensor at every logged step, and how the layers are connected."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.logged import LoggedTensor
from tb_layerview.model import KINDS, Kind, Layer
from tb_layerview.run import Run

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Evidence:
    """Statistics over steps.

    Attributes:
      layers: In the order in which they run; `inputs` are indices in here.
      tensors: What the rows of all statistics are.
      steps: int64 [steps], ascending: what their columns are.
      scalars: Loss and metrics by name, for each step.
      place: int64 [tensors]: the index of each tensor's layer in `layers`.
      steps_before: How many logged steps came before these.
      weights_come_after: Whether the weights of a step are those that it made, as a hook logs them, and its activations
        come from those of the step before. A probe's come from the weights that are logged with them.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        tensors: Sequence[LoggedTensor],
        steps: npt.NDArray[np.int64],
        statistic: Callable[[str], Floats],
        scalars: Sequence[Mapping[str, float]],
    ) -> None:
        """Takes what was logged.

        Args:
          layers: In the order in which they run.
          tensors: What is logged.
          steps: int64 [steps], ascending.
          statistic: Gives a statistic by its name, float64 [tensors, steps], NaN where a tensor has none.
          scalars: Loss and metrics by name, for each step.
        """
        self.layers, self.tensors, self.steps = tuple(layers), tuple(tensors), steps
        self.scalars = scalars
        by_path = {layer.path: i for i, layer in enumerate(self.layers)}
        self.place = np.array([by_path[tensor.layer] for tensor in self.tensors], np.int64)
        self._statistic = functools.cache(statistic)
        self.steps_before = 0
        self.weights_come_after = False
        self._earlier: Mapping[str, Floats] = {}

    @classmethod
    def of(cls, run: Run) -> Evidence:
        """Of all that a run has logged."""
        evidence = cls(run.layers, run.tensors, run.steps, run.statistics, run.scalars_by_step)
        evidence.weights_come_after = run.model.logs_batches
        return evidence

    def at(
        self,
        steps: npt.NDArray[np.int64],
        statistic: Callable[[str], Floats],
        scalars: Sequence[Mapping[str, float]],
        steps_before: int,
        earlier: Mapping[str, Floats],
    ) -> Evidence:
        """Of the same tensors at other steps; what is known of their connections is not worked out anew.

        Args:
          steps: int64 [steps], ascending.
          statistic: Gives a statistic by its name, float64 [tensors, steps].
          scalars: Loss and metrics by name, for each step.
          steps_before: How many logged steps came before these.
          earlier: The largest of some statistics at those, float64 [tensors], NaN where there is none.
        """
        other = copy.copy(self)
        other.steps, other.scalars, other._statistic = steps, scalars, functools.cache(statistic)
        other.steps_before, other._earlier = steps_before, earlier
        return other

    def largest_before(self, name: str) -> Floats:
        """The largest of a statistic at all logged steps before each, float64 [tensors, steps]; NaN if none has it."""
        values = self.statistic(name)
        earlier = self._earlier.get(name, np.full(len(values), np.nan))
        return np.fmax.accumulate(np.column_stack([earlier, values])[:, :-1], axis=1)

    def statistic(self, name: str) -> Floats:
        """One of `Run.statistics`, float64 [tensors, steps]."""
        return self._statistic(name)

    def share(self, *counts: str) -> Floats:
        """The share of elements that are counted, 0 to 1, float64 [tensors, steps]; NaN where there are no elements."""
        size = self.statistic("size")
        total = np.sum([self.statistic(name) for name in counts], axis=0)
        return np.asarray(np.divide(total, size, out=np.full(size.shape, np.nan), where=size > 0))

    def of_kind(self, *kinds: Kind) -> Mask:
        """Which tensors are of these kinds, bool [tensors]."""
        return np.array([tensor.kind in kinds for tensor in self.tensors], bool)

    def of_dtype(self, dtype: str) -> Mask:
        """Which tensors' elements are of this type, bool [tensors]."""
        return np.array([tensor.dtype == dtype for tensor in self.tensors], bool)

    def of_rank(self, least: int) -> Mask:
        """Which tensors have at least so many axes, bool [tensors]."""
        return np.array([len(tensor.shape) >= least for tensor in self.tensors], bool)

    def named(self, start: str) -> Mask:
        """Which tensors' names start so, bool [tensors]."""
        return np.array([tensor.name.startswith(start) for tensor in self.tensors], bool)

    @functools.cached_property
    def is_input(self) -> Mask:
        """Which tensors are the model's inputs, bool [tensors]."""
        return np.array([self.layers[place].class_name == "Input" for place in self.place], bool)

    @functools.cached_property
    def activations_of(self) -> tuple[npt.NDArray[np.int64], ...]:
        """By layer the indices of its activations."""
        is_activation = self.of_kind("activation")
        return tuple(np.flatnonzero(is_activation & (self.place == i)) for i in range(len(self.layers)))

    def fed_by(self, layer: int) -> npt.NDArray[np.int64]:
        """The activations that a layer takes, as indices of tensors."""
        found = [self.activations_of[i] for i in self.layers[layer].inputs]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    @functools.cached_property
    def depth(self) -> npt.NDArray[np.int64]:
        """int64 [tensors]: the order in which causes act within a step.

        Weights come first, since a pass starts from them; then activations in forward order, gradients in backward
        order, and last the updates that are made of them.
        """
        count = len(self.layers)
        within = [count - 1 - p if t.kind == "gradient" else p for t, p in zip(self.tensors, self.place.tolist())]
        order: dict[Kind, int] = {"weight": 0, "activation": 1, "gradient": 2, "update": 3}
        assert set(order) == set(KINDS)
        return np.array([order[t.kind] * count + w for t, w in zip(self.tensors, within)], np.int64)

    @functools.cached_property
    def weights(self) -> npt.NDArray[np.int64]:
        """int64 [tensors]: the weight of the same layer, name and call; -1 where there is none."""
        known = {(t.layer, t.name, t.call): i for i, t in enumerate(self.tensors) if t.kind == "weight"}
        return np.array([known.get((t.layer, t.name, t.call), -1) for t in self.tensors], np.int64)
