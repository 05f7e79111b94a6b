"""Histograms and statistics per unit as they are stored, of all tensors of a step at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tb_layerview.format import histogram, units
from tb_layerview.format.histogram import Counted
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.native import library

_Part = TypeVar("_Part")


def histograms(measurements: Sequence[Measurement]) -> list[bytes]:
    """The encoded histogram of each; empty where nothing was counted."""
    native = library.engine()
    return _encoded([m.counted for m in measurements], _histograms if native is None else native.histograms)


def statistics_per_unit(measurements: Sequence[Measurement]) -> list[bytes]:
    """The encoded statistics per unit of each; empty where there are none, or more than are kept."""
    native = library.engine()
    kept = [None if m.units is None or len(m.units.mean) > units.MOST else m.units for m in measurements]
    return _encoded(kept, _units if native is None else native.encode_units)


def _encoded(parts: Sequence[_Part | None], encode: Callable[[Sequence[_Part]], list[bytes]]) -> list[bytes]:
    there = [part for part in parts if part is not None]
    encoded = iter(encode(there) if there else ())
    return [b"" if part is None else next(encoded) for part in parts]


def _histograms(counted: Sequence[Counted]) -> list[bytes]:
    return [histogram.encode(*one) for one in counted]


def _units(kept: Sequence[units.Units]) -> list[bytes]:
    return [units.encode(one) for one in kept]
