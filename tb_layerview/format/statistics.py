"""The statistics: what each tensor has at each step, what only some have, and where what is kept of one lies."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

#: The quantiles that are stored as columns, and the fraction of the elements that lies below each.
QUANTILES = {"p1": 0.01, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
#: Statistics that only some tensors have: of examples, of what an activation function bounds, of attention,
#: of layers that do something else when they train, of units that do the same as others, and of what a layer takes.
SPARSE = (
    *("spread", "rank", "saturated", "positions", "evenness", "heads_alike", "shift", "alike"),
    "taken_non_finite",
)
#: The columns that all tensors have but older writers do not write: quantiles, and the share of units that are silent.
DENSE = (*QUANTILES, "silent")
#: All that is not in the digest.
SUMMARIES = (*DENSE, *SPARSE)


@dataclasses.dataclass(frozen=True)
class Digest:
    """Exact statistics of one tensor at one step.

    Attributes:
      size: How many elements the tensor has.
      nan: How many of them are NaN; like the infinities they enter no other statistic.
      pos_inf: How many are +inf.
      neg_inf: How many are -inf.
      zero: How many are zero, of either sign.
      negative: How many finite ones are below zero.
      min: The smallest finite element, in the tensor's own unit, like all below; NaN if none is finite.
      max: The largest finite element.
      mean: Mean of the finite elements.
      std: Standard deviation of the finite elements (population, divided by their number).
      rms: Root mean square of the finite elements.
    """

    size: int
    nan: int
    pos_inf: int
    neg_inf: int
    zero: int
    negative: int
    min: float
    max: float
    mean: float
    std: float
    rms: float


Section = Literal["histogram", "units", "values"]
#: Counts of elements, then statistics of the finite elements: the order of `Shard.table`.
STATISTICS = tuple(field.name for field in dataclasses.fields(Digest))
#: How many of the statistics are counts.
COUNTS = STATISTICS.index("min")
SECTIONS: tuple[Section, ...] = get_args(Section)
#: The one statistic that is not stored: that of an update and a weight.
UPDATE_RATIO = "update_ratio"
#: All that `Run.statistics` gives.
NAMES = (*STATISTICS, *SUMMARIES, UPDATE_RATIO)
