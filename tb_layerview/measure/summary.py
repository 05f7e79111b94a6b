"""Summaries: what is kept of distributions and units as columns, so that neither need be read for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tb_layerview.format import histogram
from tb_layerview.format.statistics import QUANTILES, SUMMARIES
from tb_layerview.format.units import Units
from tb_layerview.measure.extra import alike
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.native import library

_ROWS = {name: row for row, name in enumerate(SUMMARIES)}
_LARGEST = float(np.finfo(np.float32).max)


def summarise(measurements: Mapping[int, Measurement]) -> npt.NDArray[np.float32]:
    """The summaries of all tensors of one step.

    Quantiles are within the error that `Histogram.quantiles` states, and not beyond float32's largest number. A unit is
    silent if all its finite elements are zero.

    Args:
      measurements: Of the tensors, by their index.

    Returns:
      float32 [SUMMARIES, tensors], tensors in ascending order of their index; NaN where a tensor has no finite element,
      its elements were not counted, its units not measured, or it has no such statistic.
    """
    ordered = [measurements[index] for index in sorted(measurements)]
    found = np.full((len(SUMMARIES), len(ordered)), np.nan)
    native = library.engine()
    counted = {i: one for i, one in enumerate(m.counted for m in ordered) if one is not None}
    if counted:
        quantiles_of = histogram.quantiles_of if native is None else native.quantiles
        quantiles = quantiles_of(list(counted.values()), list(QUANTILES.values()))
        low, high = ([getattr(ordered[i].digest, name) for i in counted] for name in ("min", "max"))
        # A cell may reach beyond the outermost element in it.
        found[: len(QUANTILES), list(counted)] = np.clip(quantiles.T, low, high)
    for i, m in enumerate(ordered):
        for name, value in m.sparse.items():
            found[_ROWS[name], i] = value
    with_units = {i: m.units for i, m in enumerate(ordered) if m.units is not None and len(m.units.peak)}
    if with_units:
        shares = _silent_and_alike if native is None else native.silent_and_alike
        found[np.ix_([_ROWS["silent"], _ROWS["alike"]], list(with_units))] = shares(list(with_units.values()))
    return np.asarray(np.clip(found, -_LARGEST, _LARGEST), np.float32)


def _silent_and_alike(of_tensors: Sequence[Units]) -> npt.NDArray[np.float64]:
    """What the engine gives: the shares of each tensor, float64 [2, tensors]."""
    shares = [(np.count_nonzero(u.peak == 0) / len(u.peak), alike(u).get("alike", np.nan)) for u in of_tensors]
    return np.array(shares, np.float64).T
