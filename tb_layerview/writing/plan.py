"""How much of a run is kept: planned from the tensors' shapes before the first step, so that the byte cap holds."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tb_layerview.format import arrays, histogram, values
from tb_layerview.format.arrays import Precision
from tb_layerview.format.model import Tensor
from tb_layerview.format.statistics import DENSE
from tb_layerview.format.wire import varint_size
from tb_layerview.measure.activation_functions import RECTIFIERS
from tb_layerview.measure.measurement import Measurement
from tb_layerview.options import Keep, Schedule, age, interval, is_rung

#: The training that is planned for, in steps. What a longer one logs beyond is held by `Plan.fit`.
PLANNED_STEPS = 100_000
# How much of the cap is planned: estimates are off by some, and a training may be longer.
_PLANNED_SHARE = 0.9

# From which share of the cap on a part is left out, whatever was planned. Where nothing is planned, as the steps are
# given, the parts share the cap by these alone, and values thin out from the first share on.
_END_OF_PLANNED = {"values": 0.94, "units": 0.96, "histograms": 0.98}
_END_OF_UNPLANNED = {"values": 0.85, "units": 0.85, "histograms": 0.92}
_VALUES_THIN_FROM = 0.5

# Bytes, measured on what is written; `tests/writing/test_plan.py` holds them against real runs.
_SUMMARIES = 4 * len(DENSE)  # a float each
_SPARSE = 3 * 5  # of an activation: up to three statistics that not all have
_ALIKE = 5  # of a tensor that has units
_EVENT = 450  # an event without tensors: tag, plugin, scalars, cost
_UNITS, _PER_UNIT = 85, 5.2  # four float16 blocks, deflated
_DEFLATED, _RECTIFIED = 0.92, 0.58  # floats, of their size: any, and a ReLU's, of which every other one is zero
# log2 of a tensor's elements, and the bytes of its histogram: normally distributed ones'.
_HISTOGRAM = ((0, 4, 6, 8, 10, 12, 14, 16), (15, 42, 105, 265, 430, 576, 760, 900))

# How often a part may be kept, most often first: so many times per octave of steps; below 1, at each second and fourth
# power of two; 0 at the first and the last step only.
_NEVER = -1
_RATES: dict[str, tuple[float, ...]] = {
    "values": (8, 4, 2, 1, 1 / 2, 1 / 4, 0, _NEVER),
    "units": (64, 32, 16, 8, 4, 2, 1, 0, _NEVER),
    "histograms": (64, 32, 16, 8, 4, 2, 1, 0, _NEVER),
    "steps": (64, 32, 16, 8, 4, 2, 1),
}
# In which order parts give way, and down to which rate each time: no part is given up altogether while the next one
# is still kept at every step.
_GIVE_WAY = (
    *(("values", 1), ("units", 8), ("histograms", 8)),
    *(("values", _NEVER), ("units", _NEVER), ("histograms", _NEVER), ("steps", 1)),
)
_WORDS = {"values": "values", "units": "statistics per unit", "histograms": "histograms", "steps": "steps"}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What one step takes on disk, in bytes, part by part.

    Attributes:
      steps: The event with the digests of all tensors; it is there at each logged step.
      histograms: All histograms.
      units: All statistics per unit.
      values: All values that are kept.
    """

    steps: float
    histograms: float
    units: float
    values: float

    @classmethod
    def of(cls, tensors: Sequence[Tensor], keep: Keep) -> Sizes:
        """Estimates them from the tensors' shapes; where a size differs from step to step, one is assumed."""
        steps, histograms, units, kept = float(_EVENT), 0.0, 0.0, 0.0
        for index, tensor in enumerate(tensors):
            shape = values.assume(tensor.shape, tensor.axes)
            elements = math.prod(shape)
            steps += _digest_bytes(index, elements) + _SPARSE * (tensor.kind == "activation")
            histograms += float(np.interp(math.log2(max(1, elements)), *_HISTOGRAM))
            if keep.units and len(shape) > 1:
                steps += _ALIKE
                units += _UNITS + _PER_UNIT * shape[-1]
            budget = keep.budget(tensor.kind)
            if budget and shape and elements:
                count = math.prod(a.count for a in values.choose(shape, tensor.axes, budget, keep.examples))
                kept += count * (_RECTIFIED if tensor.function in RECTIFIERS else _DEFLATED)
        return cls(steps, histograms, units, kept * np.dtype(keep.precision).itemsize)


@dataclasses.dataclass(frozen=True)
class Plan:
    """At which steps what is kept of a run.

    Attributes:
      schedule: When steps are logged.
      keep: How much is kept, and the cap.
      sizes: What one step is expected to take.
      rates: How often each part is kept, in times per octave of steps; empty where nothing is planned, that is where
        the schedule gives the steps: then each part is kept at each of them until the cap nears.
      since: At which step the training began; its octaves are counted from there.
    """

    schedule: Schedule
    keep: Keep
    sizes: Sizes = Sizes(0, 0, 0, 0)
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    since: int = 0

    @classmethod
    def of(cls, tensors: Sequence[Tensor], schedule: Schedule, keep: Keep) -> Plan:
        """Plans a training of 100,000 steps.

        Parts give way in this order: values, units, histograms, and at last rungs of the ladder.

        Args:
          tensors: What is logged at each step.
          schedule: When.
          keep: How much of each tensor, and the cap.
        """
        plan = cls(schedule, keep, Sizes.of(tensors, keep))
        if not schedule.is_ladder:
            return plan
        plan = dataclasses.replace(plan, rates={part: rates[0] for part, rates in _RATES.items()})
        room = _PLANNED_SHARE * keep.max_bytes
        for part, least in _GIVE_WAY:
            while plan.bytes > room and plan.rates[part] > least:
                plan = plan._with_rate(part, -1)
        # A last halving may have freed more than was needed: it goes to what is worth most.
        for part in reversed(_RATES):
            while plan.rates[part] < _RATES[part][0] and plan._with_rate(part, 1).bytes <= room:
                plan = plan._with_rate(part, 1)
        return plan

    def _with_rate(self, part: str, change: int) -> Plan:
        """The plan that keeps a part one notch more or less often."""
        rate = _RATES[part][_RATES[part].index(self.rates[part]) - change]
        return dataclasses.replace(self, rates={**self.rates, part: rate})

    def wants(self, step: int) -> bool:
        """Whether a step is logged, the schedule's overhead budget apart."""
        return self.schedule.wants(step, self.since) and self._keeps("steps", step)

    def wants_values(self, step: int, written: int = 0) -> bool:
        """Whether values are kept at a step that is logged.

        Args:
          step: The step.
          written: How many bytes are written already. Where nothing is planned, values thin out as the cap nears.
        """
        used = written / self.keep.max_bytes
        if used > self._end["values"] or not self._keeps("values", step):
            return False
        if self.rates or used <= _VALUES_THIN_FROM:
            return True
        # Three quarters through what is left for values, every fourth of them is kept, and so on.
        level = 1 + int(4 * (used - _VALUES_THIN_FROM) / (self._end["values"] - _VALUES_THIN_FROM))
        return step % ((self.schedule.every or 1) << level) == 0

    def fit(
        self, step: int, measurements: Mapping[int, Measurement], written: int, precision: Precision
    ) -> dict[int, Measurement] | None:
        """Leaves out of a step what is not kept at it, and whatever would not fit under the cap.

        A step that comes with values, and one that is not on the schedule (a training's last), is kept whole as long as
        it fits.

        Args:
          step: The step.
          measurements: Of the tensors, by their index.
          written: How many bytes are written already.
          precision: How values are stored.

        Returns:
          What to write; None if not even the digests fit.
        """
        cap = self.keep.max_bytes
        kept = dict(measurements)
        is_whole = not self.wants(step) or any(m.kept is not None for m in kept.values())
        most = _most_bytes(kept, precision)
        fields = (("values", "kept"), ("units", "units"), ("histograms", "cells"))
        ends = {part: share * cap for part, share in self._end.items()}
        if written + most["steps"] > cap:
            return None
        total = sum(most.values())
        for part, field in fields:
            is_planned = self._keeps(part, step) or (is_whole and self.rates[part] != _NEVER)
            if not is_planned or written > ends[part] or written + total > cap:
                nothing: dict[str, Any] = {field: None}
                kept = {i: dataclasses.replace(m, **nothing) for i, m in kept.items()}
                total -= most[part]
        return kept

    @property
    def bytes(self) -> float:
        """How many bytes a training of 100,000 steps is expected to write; 0 where nothing is planned."""
        if not self.rates:
            return 0.0
        counts = {part: _count(rate) for part, rate in self.rates.items()}
        # The last step, which need not be a rung, is kept whole, but for what is never kept.
        return float(
            sum(
                getattr(self.sizes, part) * (min(count, counts["steps"]) + (self.rates[part] != _NEVER))
                for part, count in counts.items()
            )
        )

    def in_words(self) -> tuple[str, ...]:
        """What the cap leaves out, a sentence each, for the screen; none if it leaves out nothing."""
        cap = f"{self.keep.max_bytes / 1e6:,.4g} MB"
        thinned = [
            f"{_WORDS[part]} {_how_often(self.rates[part])}"
            for part in _RATES
            if part in self.rates and self.rates[part] < _RATES[part][0] and getattr(self.sizes, part)
        ]
        if not thinned:
            return ()
        sentences = [
            f"to stay below {cap} in {PLANNED_STEPS:,} steps not everything is kept at each logged step: "
            f"{'; '.join(thinned)}. Keep(max_bytes=...) raises the cap, Select(...) leaves out layers"
        ]
        if self.bytes > self.keep.max_bytes:
            sentences.append(
                f"{self.bytes / 1e6:,.4g} MB would be needed for the least that is logged in {PLANNED_STEPS:,} steps: "
                f"logging will end early, when {cap} are written"
            )
        return tuple(sentences)

    def _keeps(self, part: str, step: int) -> bool:
        return not self.rates or _is_kept(step, self.since, self.rates[part])

    @property
    def _end(self) -> Mapping[str, float]:
        return _END_OF_PLANNED if self.rates else _END_OF_UNPLANNED


def _is_kept(step: int, since: int, per_octave: float) -> bool:
    """Whether what is kept so many times per octave is kept at this step. Sparser rates are parts of denser ones."""
    steps = age(step, since)
    if steps == 0:
        return per_octave != _NEVER
    if per_octave >= 1:
        return is_rung(step, since, int(per_octave))
    octave = steps.bit_length() - 1
    return per_octave > 0 and octave % round(1 / per_octave) == 0 and step % (1 << octave) == 0


@functools.cache
def _count(per_octave: float) -> int:
    """How many rungs such a ladder has in the training that is planned for."""
    return sum(_is_kept(step, 0, per_octave) for step in _ladder())


@functools.lru_cache(maxsize=1)
def _ladder() -> tuple[int, ...]:
    steps, step = [], 0
    while step < PLANNED_STEPS:
        steps.append(step)
        step += interval(step)
    return tuple(steps)


def _how_often(per_octave: float) -> str:
    if per_octave == _NEVER:
        return "never"
    if per_octave == 0:
        return "at the first and the last step only"
    if per_octave < 1:
        return f"at every {'second' if per_octave == 1 / 2 else 'fourth'} power of two and the last step"
    return "at powers of two and the last step" if per_octave == 1 else f"{per_octave:g} times per octave"


def _digest_bytes(index: int, elements: int) -> int:
    """One tensor's entries in the columns of an event: see `layerview.proto`."""
    size = varint_size(elements)
    counts = size + 3 + 2 * size  # all; none that is not finite; zeros and negative ones
    return varint_size(index) + counts + 5 * 8 + _SUMMARIES + 3 * 4 + (2 + 2 + 3)


def _most_bytes(measurements: Mapping[int, Measurement], precision: Precision) -> dict[str, int]:
    """The most bytes that each part of a step can take: what cannot be deflated grows a little."""
    most = {"steps": 2 * _EVENT, "histograms": 0, "units": 0, "values": 0}
    for index, m in measurements.items():
        most["steps"] += varint_size(index) + 6 * varint_size(m.digest.size) + 5 * 8 + _SUMMARIES + 3 * (4 + 4)
        most["steps"] += len(m.sparse) * (varint_size(index) + 4)
        is_wide = max(-m.digest.min, m.digest.max) > arrays.WIDE  # stored as float32, instead of float16
        itemsize = max(np.dtype(precision).itemsize, 4 if is_wide else 2)
        if m.cells is not None:
            most["histograms"] += min(histogram.MAX_BYTES, 16 + 8 * m.digest.size)
        if m.units is not None:
            most["units"] += 4 * ((4 if is_wide else 2) * len(m.units.mean) + 32)
        if m.kept is not None:
            most["values"] += m.kept.size * itemsize * 1001 // 1000 + 16 * m.kept.ndim + 64
    return most
