"""What TensorFlow taps of a Keras model's pass: of what is logged, the tensors as they are digested."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.tf.layouts import laid_out
from tb_layerview.capture.keras.tf.rows import LookedUp
from tb_layerview.capture.keras.tf.updates import Update
from tb_layerview.capture.passes.candidates import ASSUMED, Pass, SomeRows
from tb_layerview.capture.passes.chosen import Pick, Weight, choose
from tb_layerview.capture.passes.modes import Output
from tb_layerview.format.model import Model
from tb_layerview.measure.tf.tap import Tap, as_difference


def read(weight: Weight) -> tf.Tensor:
    """A weight's value as it is logged."""
    return laid_out(tf.convert_to_tensor(weight.variable), weight.layout)


@dataclasses.dataclass(frozen=True)
class Taps:
    """What is logged of a pass.

    Attributes:
      model: Its description.
      layers: Path and class name of all layers that the model calls, logged or not.
      taps: By index in the description's tensors; all but the updates and what is `looked_up` or `still`.
      weights: Those of the taps that are weights, by index.
      updates: By index in the description's tensors.
      looked_up: Weights of which a step changes few rows.
      wholes: Those weights as a whole, by index in the description's tensors: how each is read and digested.
      still: The same of large weights that the training does not change.
      outputs: By index in the description's tensors: of activations but inputs and scores, how they come about; none
        where no layer does anything else when it trains.
    """

    model: Model
    layers: list[tuple[str, str]]
    taps: dict[int, Tap]
    weights: dict[int, Weight]
    updates: dict[int, Update]
    outputs: dict[int, Output]
    looked_up: list[LookedUp]
    wholes: dict[int, tuple[Weight, Tap]]
    still: dict[int, tuple[Weight, Tap]]

    @property
    def apart(self) -> dict[int, tuple[Weight, Tap]]:
        """The weights that the pass itself does not measure."""
        return {**self.wholes, **self.still}

    def without_tensors(self) -> Taps:
        """The same, without what would hold the graph in which it was found."""
        return dataclasses.replace(
            self,
            taps={i: tap.without_tensor() for i, tap in self.taps.items()},
            updates={i: update.without_tensor() for i, update in self.updates.items()},
            looked_up=[weight.without_tensor() for weight in self.looked_up],
            wholes={i: (weight, tap.without_tensor()) for i, (weight, tap) in self.wholes.items()},
            still={i: (weight, tap.without_tensor()) for i, (weight, tap) in self.still.items()},
        )


def find_taps(traced: Pass, given: Given) -> Taps:
    """Chooses what to tap, and describes it; the description's notes say what is left out and why."""
    chosen = choose(traced, given)
    taps = {index: _tap(pick) for index, pick in chosen.picks.items()}
    return Taps(
        chosen.model,
        chosen.layers,
        {index: taps[index] for index in chosen.passed},
        chosen.weights,
        {i: Update(v, chosen.picks[i].candidate.layout, taps[i]) for i, v in chosen.updates.items()},
        chosen.outputs,
        [LookedUp(r.variable, {i: taps[i] for i in r.tensors.values()}, r.tensors) for r in chosen.looked_up],
        {index: (weight, taps[index]) for index, weight in chosen.wholes.items()},
        {index: (weight, taps[index]) for index, weight in chosen.still.items()},
    )


def _tap(pick: Pick) -> Tap:
    """How a tensor is digested."""
    candidate = pick.candidate
    tensor = candidate.tensor
    if candidate.are_some_rows:
        tensor = tensor[: tf.shape(tensor)[0]]  # as many as it takes
    if candidate.kind == "update":
        tensor = as_difference(tensor)
    tensor = laid_out(tensor, candidate.layout)
    return Tap(tensor, units=pick.units, keep=pick.keep, sparse=pick.extra, taken=_share(pick.taken))


def _share(tensors: tuple[tf.Tensor, ...]) -> tf.Tensor | None:
    """The largest share that is not finite of some tensors, float32; None of none."""
    shares = [tf.reduce_mean(tf.cast(tf.logical_not(tf.math.is_finite(t)), tf.float32)) for t in tensors]
    return tf.reduce_max(tf.stack(shares)) if shares else None


def some_rows(gradient: tf.IndexedSlices, rows: int | None) -> SomeRows:
    """A gradient of some rows: each touched one once, the gradients of those that were looked up more than once added.

    Args:
      gradient: Of a weight.
      rows: How many the weight has, if that is known.
    """
    unique = tf.unique(gradient.indices)
    summed = tf.math.unsorted_segment_sum(gradient.values, unique.idx, tf.size(unique.y))
    most = [size for size in (rows, gradient.values.shape[0]) if size]
    return SomeRows(summed, min(most, default=ASSUMED))
