"""Summaries: what is kept of distributions and units as columns, so that neither need be read for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tb_layerview.format import histogram
from tb_layerview.format.statistics import QUANTILES, SUMMARIES
from tb_layerview.measure.extra import alike
from tb_layerview.measure.measurement import Measurement

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
    counted = {
        i: histogram.Counted(m.code_counts, m.center, m.shift)
        for i, m in enumerate(ordered)
        if m.code_counts is not None
    }
    if counted:
        quantiles = histogram.quantiles_of(list(counted.values()), list(QUANTILES.values()))
        low, high = ([getattr(ordered[i].digest, name) for i in counted] for name in ("min", "max"))
        # A cell may reach beyond the outermost element in it.
        found[: len(QUANTILES), list(counted)] = np.clip(quantiles.T, low, high)
    for i, m in enumerate(ordered):
        if m.units is not None and len(m.units.peak):
            found[len(QUANTILES), i] = np.count_nonzero(m.units.peak == 0) / len(m.units.peak)
        of_units = {} if m.units is None else alike(m.units)
        for name, value in {**m.sparse, **of_units}.items():
            found[SUMMARIES.index(name), i] = value
    return np.asarray(np.clip(found, -_LARGEST, _LARGEST), np.float32)
