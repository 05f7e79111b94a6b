"""`/ridges`: how the distributions of many tensors went, as a few small densities each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format import histogram
from tb_layerview.format.histogram import Histogram
from tb_layerview.reading import payload_file
from tb_layerview.reading.payload_file import PayloadError
from tb_layerview.reading.run import Run
from tb_layerview.serving.lru import Lru
from tb_layerview.serving.past import Past, Reach

#: The most steps of one tensor, and how many if nobody says.
MOST, USUAL = 64, 12
#: How many places a ridge has.
BINS = 64

_HIGHEST = 255
_PLACES = np.linspace(0, 1, BINS + 1)
_CACHED = 16 << 20
_SPIKE = 4.0  # a ridge so many times as high as the median one does not count for the scale
#: Of numbers below this a bin's count by its width is no float: they and their range are multiplied by 2 to this power.
_SMALL, _LIFT = 1e-200, 600
_WIDER = 0.05  # by so much of its own width the range is wider than the percentiles, at each end


class Ridge(NamedTuple):
    """The distribution of a tensor at one step, within a range.

    Attributes:
      mass: float64 [BINS]: which share of the elements that are finite and not 0 lies in each place.
      zero: The share of zeros among the finite elements.
      outside: The share of the others that lies beyond the range, among the finite elements.
    """

    mass: npt.NDArray[np.float64]
    zero: float
    outside: float


class Ridges:
    """Makes ridges, and keeps those that it made lately. May be used from many threads."""

    def __init__(self, past_of_runs: Past, most: int = _CACHED) -> None:
        """Holds so many bytes of ridges at most."""
        self._past = past_of_runs
        self._made: Lru[Ridge] = Lru(most)

    def answer(self, run: Run, tensors: Sequence[int], most: int = USUAL) -> tuple[dict[str, Any], bytes]:
        """`/ridges`.

        Args:
          run: The run.
          tensors: Indices of the run's tensors.
          most: Of how many steps there is a ridge at most.

        Returns:
          The head, as `docs/http_api.md` describes it, and the heights that the lanes' offsets point into.

        Raises:
          NotLoggedError: There is no such tensor.
        """
        steps = [spread(run.kept_steps("histogram", tensor), most).tolist() for tensor in tensors]
        reaches = self._past.reaches(run, tensors)
        lanes = [_Lane(one, own, *widened(reach)) for one, own, reach in zip(tensors, steps, reaches)]
        for lane in lanes:
            for step in lane.steps:
                found = self._made.get((run.generation, step, lane.tensor, lane.low, lane.high))
                if found is not None:
                    lane.ridges[step] = found
            if not lane.steps:
                lane.problem = f"{run.tensors[lane.tensor]} keeps no histogram at any step."
        missing = [(lane, step) for lane in lanes for step in lane.steps if step not in lane.ridges]
        pieces = (run.piece("histogram", lane.tensor, step) for lane, step in missing)
        for (lane, step), data in zip(missing, payload_file.read_all(run.payload_folder, pieces)):
            try:
                if isinstance(data, PayloadError):
                    raise data
                found = ridge(payload_file.decoded(histogram.decode, data), lane.low, lane.high)
            except PayloadError as error:
                lane.problem = str(error)
                continue
            lane.ridges[step] = found
            self._made.put((run.generation, step, lane.tensor, lane.low, lane.high), found, found.mass.nbytes)
        described, heights, offset = [], [], 0
        for lane in lanes:
            described.append({**lane.described(), "offset": offset})
            heights.append(heights_of([one.mass for one in lane.in_order()]).tobytes())
            offset += len(heights[-1])
        return {"generation": run.generation, "steps": len(run.steps), "lanes": described}, b"".join(heights)


@dataclasses.dataclass(eq=False)
class _Lane:
    """A tensor whose ridges are made.

    Attributes:
      tensor: Its index.
      steps: Of which steps.
      low: Where the ridges begin.
      high: Where they end.
      ridges: By step, those that could be made.
      problem: Why one could not.
    """

    tensor: int
    steps: list[int]
    low: float
    high: float
    ridges: dict[int, Ridge] = dataclasses.field(default_factory=dict)
    problem: str = ""

    def in_order(self) -> list[Ridge]:
        """The ridges, ascending in their steps."""
        return [self.ridges[step] for step in self.steps if step in self.ridges]

    def described(self) -> dict[str, Any]:
        """Its part of the head, without the offset."""
        return {
            "tensor": self.tensor,
            "problem": "" if self.ridges else self.problem,
            "steps": [step for step in self.steps if step in self.ridges],
            "low": self.low,
            "high": self.high,
            "bins": BINS,
            "zero": [one.zero for one in self.in_order()],
            "outside": [one.outside for one in self.in_order()],
        }


def spread(steps: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Some of the steps, at most so many, evenly over their indices: the first and the last among them."""
    if most == 1:  # then the last alone
        return steps[-1:]
    return steps[np.unique(np.linspace(0, max(0, len(steps) - 1), min(most, len(steps))).round().astype(np.int64))]


def widened(reach: Reach | None) -> Reach:
    """The range of ridges, a little wider than what they reach over; never of no width."""
    if reach is None:
        return 0.0, 1.0
    low, high = reach
    half = high / 2 - low / 2  # which is a float
    more = 2 * _WIDER * half or 0.1 * abs(low) or 1.0
    largest = float(np.finfo(np.float64).max)
    return max(low - more, -largest), min(high + more, largest)


def ridge(of: Histogram, low: float, high: float) -> Ridge:
    """Shares the mass of a histogram out over `BINS` places from low to high; that of a wide bin over all it covers."""
    total = int(of.counts.sum())
    if not total:
        return Ridge(np.zeros(BINS), 0.0, 0.0)
    if max(abs(low), abs(high)) < _SMALL:
        # What a bin holds by its width would be no float.
        lower, upper = (np.clip(np.ldexp(ends, _LIFT), -1e300, 1e300) for ends in (of.lower, of.upper))
        of = dataclasses.replace(of, lower=lower, upper=upper)
        low, high = (float(np.ldexp(end, _LIFT)) for end in (low, high))
    zero = (of.lower == 0) & (of.upper == 0)
    edges = low * (1 - _PLACES) + high * _PLACES  # their difference may be no float
    wide = of.lower < of.upper
    mass = np.zeros(BINS)
    if wide.any():
        # Bins do not overlap, so their edges ascend, and the share below a value is linear between these.
        ends = np.cumsum(of.counts[wide])
        places, below = np.empty((2, 2 * len(ends)))
        places[::2], places[1::2] = of.lower[wide], of.upper[wide]
        below[::2], below[1::2] = ends - of.counts[wide], ends
        within = np.interp(edges, places, below)
        mass += within[1:] - within[:-1]
    # All elements of a bin of one value, other than 0, are in one place: those of a tensor that is constant.
    single = ~wide & ~zero & (of.lower >= low) & (of.lower <= high)
    place = np.minimum(np.searchsorted(edges, of.lower[single], side="right") - 1, BINS - 1)
    np.add.at(mass, place, of.counts[single])
    zeros = int(of.counts[zero].sum())
    others = total - zeros
    outside = max(0.0, others - float(mass.sum())) / total
    return Ridge(mass / max(others, 1), zeros / total, outside)


def heights_of(masses: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.uint8]:
    """Heights of ridges, uint8 [ridges, BINS]: 255 is as high as `_usual_peak`, and what is higher is cut off there.

    Args:
      masses: One a ridge: float64 [BINS].
    """
    if not masses:
        return np.zeros((0, BINS), np.uint8)
    table = np.array(masses)
    unit = np.minimum(table / (_usual_peak(table) or 1.0), 1.0)
    return np.asarray(np.floor(unit * _HIGHEST + 0.5).astype(np.uint8))


def _usual_peak(table: npt.NDArray[np.float64]) -> float:
    """How high the highest of the ridges is, without those that would press all others flat, or be too low to count.

    A tensor that starts constant, or nearly so, is a spike many times as high as what it becomes; one that left its
    range has hardly anything in it.

    Args:
      table: float64 [ridges, BINS], at least one ridge.
    """
    in_range = table.sum(axis=1) >= 0.5
    spread_out = np.count_nonzero(table, axis=1) > 1
    counting = next(one for one in (in_range & spread_out, spread_out, np.ones(len(table), bool)) if one.any())
    peaks = np.sort(table[counting].max(axis=1))
    median = peaks[(len(peaks) - 1) // 2]  # of two the lower, which is not the spike
    return float(peaks[peaks <= _SPIKE * median][-1])
