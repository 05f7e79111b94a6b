"""Weights of which a step changes few rows, as tables that are looked up: what is logged of them without a look at all.

Their gradient has the rows that were looked up. Which rows a step has changed is not read off that: an optimizer with
momentum goes on moving what earlier steps looked up. It is seen by comparing the weight with what it was before the
step, bit by bit, block by block, which takes a tenth of what a digest takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_layerview.capture.probe import Changed
from tb_layerview.format.histogram import Cells
from tb_layerview.format.statistics import Digest
from tb_layerview.format.units import Units
from tb_layerview.format.values import Axis
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.merge import merge
from tb_layerview.measure.tf import digests
from tb_layerview.measure.tf.digests import Digests
from tb_layerview.measure.tf.tap import Tap, as_difference
from tb_layerview.writing.step import Part

# A step that changes more of the rows than this has changed the weight as a whole.
_FEW = 1 / 8
_BLOCK = 1 << 20  # elements that are compared at a time, so that they stay in the cache


@dataclasses.dataclass(frozen=True)
class LookedUp:
    """A weight of which a step changes few rows.

    Attributes:
      variable: TensorFlow's variable.
      taps: How each of `tensors` is digested.
      tensors: Indices in the log's model, by what they are of it: `weight` and `update`, the whole ones, and `touched
        weight` and `touched update`, of the rows that a step has changed. What is not selected is not there.
    """

    variable: tf.Variable
    taps: Mapping[int, Tap]
    tensors: Mapping[str, int]

    def without_tensor(self) -> LookedUp:
        """The same, without what would hold the graph in which it was found."""
        return dataclasses.replace(self, taps={i: tap.without_tensor() for i, tap in self.taps.items()})


class TouchedRows:
    """Keeps weights that are looked up as they were at one step, and logs of the next step which rows it has changed.

    Attributes:
      is_wanted: Whether there is anything to keep.
    """

    def __init__(self, weights: Sequence[LookedUp]) -> None:
        """Makes ready what digests the rows."""
        self.is_wanted = bool(weights)
        self._weights = tuple(weights)
        self._kept: tuple[range, list[tf.Tensor]] | None = None
        digests.make_ready({i: tap for weight in weights for i, tap in weight.taps.items()})

    def keep(self, step: int, steps: int = 1) -> None:
        """Keeps the weights as they are, at this step; so many are taken at once, at most, from here on."""
        self._kept = range(step + 1, step + steps + 1), self._values()

    def forget(self) -> None:
        """Lets go of the weights that are kept."""
        self._kept = None

    def _values(self) -> list[tf.Tensor]:
        # TensorFlow copies a weight whenever it is read, once an optimizer has scattered into it.
        return [weight.variable.read_value() for weight in self._weights]

    def run(self, step: int, with_values: bool) -> Changed:
        """Digests what has changed since the step before this one, or the first of those that were taken at once.

        Args:
          step: The step that is complete now.
          with_values: Whether values are wanted too.

        Returns:
          Nothing of weights that were not kept then.
        """
        kept, self._kept = self._kept, None
        if kept is None or step not in kept[0]:
            return Changed()
        found = [_run(*of_one, with_values) for of_one in zip(self._weights, kept[1], self._values())]
        few = {weight.tensors.get("weight") for weight, (_, is_few) in zip(self._weights, found) if is_few}
        parts = tuple(part for part, _ in found if part is not None)
        return Changed(parts, frozenset(i for i in few if i is not None))


def _run(weight: LookedUp, before: tf.Tensor, now: tf.Tensor, with_values: bool) -> tuple[Part | None, bool]:
    """What has changed of one weight, and whether that is a few rows."""
    rows = changed_rows(now, before)
    if rows.shape[0] > _FEW * before.shape[0]:
        return _whole_update(weight, before, now, with_values), False
    new, old = tf.gather(now, rows), tf.gather(before, rows)
    tensors = {"touched weight": new, "touched update": as_difference(new) - as_difference(old)}
    # Without the rows' changes there is no telling what the whole changes by.
    source = weight.tensors.get("touched update")
    taps = {
        index: dataclasses.replace(weight.taps[index], tensor=tensors[what])
        for what, index in weight.tensors.items()
        if what in tensors
    }
    of_rows = digests.digest(taps, with_values)
    whole = weight.tensors.get("update")
    if whole is None or source is None:
        return of_rows, True
    size, axes = before.shape.num_elements(), weight.taps[whole].keep if with_values else None
    kept = None if axes is None else _kept(before, now, axes).numpy()
    return _OfRows(of_rows, source, whole, size, kept, axes or ()), True


@dataclasses.dataclass(frozen=True)
class _OfRows:
    """What a step has changed of a weight, where that is a few rows.

    Attributes:
      rows: The rows.
      source: The index of their change.
      whole: The index of the change of the whole.
      size: How many elements that has.
      kept: What is kept of it.
      axes: What of its axes that is.
    """

    rows: Digests
    source: int
    whole: int
    size: int
    kept: npt.NDArray[np.generic] | None
    axes: Sequence[Axis]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return self.rows.nbytes

    def measurements(self) -> dict[int, Measurement]:
        """Those of the rows, and of the whole change, which is zero elsewhere."""
        found = self.rows.measurements()
        found[self.whole] = with_unchanged(found[self.source], self.size, self.kept, self.axes)
        return found


def _whole_update(weight: LookedUp, before: tf.Tensor, now: tf.Tensor, with_values: bool) -> Part | None:
    """The change of a weight that has changed as a whole."""
    index = weight.tensors.get("update")
    if index is None:
        return None
    change = as_difference(now) - as_difference(before)
    return digests.digest({index: dataclasses.replace(weight.taps[index], tensor=change)}, with_values)


def changed_rows(now: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Which rows of a weight are not, bit by bit, what they were: int64 [rows], ascending."""
    count, per_row = int(before.shape[0]), max(1, before.shape[1:].num_elements() or 1)
    step = max(1, _BLOCK // per_row)
    same = {2: tf.uint16, 4: tf.int32, 8: tf.int64}.get(before.dtype.size)  # NaN is NaN, and is not equal to itself
    differ = []
    for start in range(0, count, step):
        stop = min(count, start + step)
        pair = [now[start:stop], before[start:stop]]
        new, old = pair if same is None else (tf.bitcast(tensor, same) for tensor in pair)
        differ.append(tf.reduce_any(tf.reshape(tf.not_equal(new, old), [stop - start, per_row]), 1))
    return tf.where(tf.concat(differ, 0))[:, 0] if differ else tf.zeros([0], tf.int64)


def _kept(before: tf.Tensor, now: tf.Tensor, axes: Sequence[Axis]) -> tf.Tensor:
    """What is kept of the whole change."""
    kept = tuple(axis.as_slice() for axis in axes)
    return as_difference(now[kept]) - as_difference(before[kept])


def with_unchanged(
    touched: Measurement, size: int, kept: npt.NDArray[np.generic] | None = None, axes: Sequence[Axis] = ()
) -> Measurement:
    """What a change measures as a whole of which some rows are known and all others are zero.

    Args:
      touched: Of the rows that have changed, [touched rows, ..., units].
      size: How many elements the whole has.
      kept: What is kept of the whole.
      axes: What of its axes that is.
    """
    units = 0 if touched.units is None else len(touched.units.mean)
    rest = size - touched.digest.size
    cells = Cells(np.zeros(min(rest, 1), np.uint16), np.full(min(rest, 1), rest, np.int64))
    none, all_of_them = np.zeros(units), np.ones(units)
    unchanged = Measurement(
        digest=Digest(rest, 0, 0, 0, zero=rest, negative=0, min=0.0, max=0.0, mean=0.0, std=0.0, rms=0.0),
        cells=cells,
        units=None if touched.units is None else Units(mean=none, rms=none, zero=all_of_them, peak=none),
    )
    whole = unchanged if not touched.digest.size else merge(touched, unchanged)
    return dataclasses.replace(whole, kept=kept, kept_axes=tuple(axes))
