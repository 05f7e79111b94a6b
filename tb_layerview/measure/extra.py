"""Statistics that only some tensors have: of examples, of what an activation function bounds, and of attention.

All are of activations. Where a formula has nothing to say (no examples that differ, nothing finite), there is
no number.

- `spread`: the share of the second moment that differs between examples, sum((x - mean over examples)^2) / sum(x^2), 0
  to 1. 0 is a layer that gives the same for every example.
- `rank`: the effective rank among the examples, tr(G)^2 / tr(G^2) of the examples' Gram matrix G after their mean is
  taken off (the participation ratio of its eigenvalues): 1 is one direction, at most examples - 1.
- `saturated`: the share of elements where the derivative of the activation function is below a hundredth of its
  largest (`activation_functions`).
- `positions`: how many keys a query looks at, (sum p)^2 / sum(p^2), mean over the queries that look anywhere; of the
  head that looks at the fewest.
- `evenness`: the same by the number of keys that are open to the query, mean over the queries to which more than one
  is; of the least even head: 1 is uniform under the mask. A key is masked for a query where every head gives it exactly
  0.
- `shift`: how far what a unit gives in training mode is from what it gives in inference mode:
  sqrt(sum(d_mean^2 + d_std^2) / min(sum(m2), sum(m2'))), over units, where d is the difference of the modes and m2, m2'
  are the second moments in the one and in the other. This is the 2-Wasserstein distance of normal distributions by the
  smaller of both sizes. Where a layer is random when it trains, as a Dropout, there is no d_std: its noise is by
  design. Only of layers that do something else when they train, in trainings with a probe, at steps with values, where
  units are measured.
- `alike`: the share of units that give what another unit before them gives, to four digits in mean, rms, largest
  magnitude and share of zeros. Units of one value, as those that are silent, or of two of one size, or of one beside 0,
  as those that are saturated, are not compared: which examples have which, these statistics do not tell.
- `heads_alike`: how alike the heads' matrices P_h are after the uniform one is taken off: the mean inner product of two
  different heads by the mean of one with itself. 1 is all heads alike, 0 unrelated; only with more than one head.
- `taken_non_finite`: the share that is not finite of what a layer's call takes and no layer has put out: a layer around
  it, or the model, has computed it by itself, and it is in no log. Only of Keras layers, and only where there is any.

`spread` and `rank` look at up to 32 examples and about 2,048 features of each, at regular strides. The features' stride
has no divisor in common with the number of units, so that all units have their turn. Both are ratios of sums over
features, so a sample of them estimates the same, as long as more features are looked at than there are directions.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from tb_layerview.format import values
from tb_layerview.format.model import Tensor
from tb_layerview.format.units import Units
from tb_layerview.measure.activation_functions import BOUNDS
from tb_layerview.measure.native import library
from tb_layerview.measure.native.library import Engine

#: What is counted where a layer is called, and not of what it puts out.
TAKEN = "taken_non_finite"

#: So many examples are looked at.
EXAMPLES = 32
_FEATURES = 2048
_SCORES = 1 << 20  # so many scores are looked at
_ALIKE = 1e-4  # by so much of their size statistics of units differ at least that are not alike
_ONE_SIZE = 0.01  # so much at most are elements of one size apart, and what their mean would be if all others were 0
#: Scores are even, and no deviation is left by which heads could be told apart, from here on.
EVEN = 1 - 1e-5


@dataclasses.dataclass(frozen=True)
class Extra:
    """What is measured of a tensor beside what all have.

    Attributes:
      features: Stride between the features looked at for `spread` and `rank`; 0 if these are not wanted.
      bounds: The outputs beyond which it is saturated, or None.
      attention: Of scores, how many axes are of examples, heads, queries and keys, in this order, or None.
      every: Stride between the examples of scores looked at.
    """

    features: int = 0
    bounds: tuple[float, float] | None = None
    attention: tuple[int, int, int, int] | None = None
    every: int = 1

    @classmethod
    def of(cls, tensor: Tensor) -> Extra | None:
        """What is measured of a tensor; None if it is nothing."""
        rank = len(tensor.shape)
        if tensor.kind != "activation" or rank < 2 or 0 in tensor.shape:
            return None
        sizes = values.assume(tensor.shape, tensor.axes)
        if tensor.is_attention:
            every = max(1, math.ceil(math.prod(sizes) / _SCORES))
            return cls(attention=_attention(tensor.axes, rank), every=every) if rank >= 3 else None
        features = 0
        if not tensor.axes or tensor.axes[0] == "example":  # without names the first one is, in Keras and graphs
            features = _coprime(math.ceil(math.prod(sizes[1:]) / _FEATURES), sizes[-1])
        bounds = BOUNDS.get(tensor.function)
        return cls(features, bounds) if features or bounds else None


def _attention(axes: tuple[str, ...], rank: int) -> tuple[int, int, int, int]:
    keys = sum(axis.startswith("key") for axis in axes) or 1
    heads = int("head" in axes) if "key" in axes[-1:] or keys > 1 else int(rank > 3)
    return rank - 2 * keys - heads, heads, keys, keys


def _coprime(least: int, units: int) -> int:
    """The smallest stride from `least` on that shares no divisor with the number of units."""
    while math.gcd(least, units) > 1:
        least += 1
    return least


def measure(array: npt.NDArray[np.generic], wanted: Extra) -> dict[str, float]:
    """Measures an array on the host, by name; what has no number is not there."""
    return _measure(array, wanted, library.engine() or _Numpy()) if array.size else {}


def of_examples(rows: npt.NDArray[np.generic]) -> dict[str, float]:
    """`spread` and `rank` of the examples and features, [examples, features], where they are numbers."""
    return _measure(rows, Extra(features=1), library.engine() or _Numpy()) if rows.size else {}


def _measure(array: npt.NDArray[np.generic], wanted: Extra, engine: Engine | _Numpy) -> dict[str, float]:
    found: dict[str, float] = {}
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if wanted.features:
            every = -(-len(array) // EXAMPLES)
            found |= zip(("spread", "rank"), engine.examples(array, every, wanted.features))
        if wanted.bounds is not None:
            found["saturated"] = engine.bounded(array, *wanted.bounds) / array.size
        if wanted.attention is not None:
            sizes = grouped((-(-len(array) // wanted.every), *array.shape[1:]), wanted)
            names = ("positions", "evenness", "heads_alike")
            found |= zip(names, engine.scores(array, wanted.every, sizes, EVEN))
    return finite(found)


def grouped(shape: tuple[int, ...], wanted: Extra) -> tuple[int, int, int, int]:
    """The sizes of scores as [examples, heads, queries, keys]."""
    assert wanted.attention is not None
    free, heads, queries, _ = wanted.attention
    first, second = free + heads, free + heads + queries
    return (
        math.prod(shape[:free]),
        math.prod(shape[free:first]),
        math.prod(shape[first:second]),
        math.prod(shape[second:]),
    )


def finite(found: dict[str, float]) -> dict[str, float]:
    """Those that are numbers."""
    return {name: value for name, value in found.items() if math.isfinite(value)}


def shift(training: Units, inference: Units, is_random: bool) -> dict[str, float]:
    """How far one layer's outputs in both modes are apart, by name; empty where that is no number.

    Args:
      training: Of what it gives in training mode.
      inference: Of what it gives in inference mode.
      is_random: Whether it draws random numbers in training mode.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        modes = [(np.asarray(u.mean, np.float64), np.asarray(u.rms, np.float64) ** 2) for u in (training, inference)]
        (mean, square), (other_mean, other_square) = modes
        std, other_std = (np.sqrt(np.maximum(second - first**2, 0)) for first, second in modes)
        apart = np.sum((mean - other_mean) ** 2)
        if not is_random:
            apart += np.sum((std - other_std) ** 2)
        return finite({"shift": float(np.sqrt(apart / min(np.sum(square), np.sum(other_square))))})


def alike(units: Units) -> dict[str, float]:
    """The share of units that are like another, by name; empty where there are fewer than two."""
    if len(units.rms) < 2:
        return {}
    rms, mean, peak, zero = np.array([units.rms, units.mean, units.peak, units.zero], np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        features = np.array([np.log(rms), mean / rms, np.log(peak / rms), zero])
        varies = rms - np.abs(mean) > _ALIKE * rms  # and has finite elements
        varies &= (rms < (1 - _ONE_SIZE) * peak) & (np.abs(np.abs(mean) * peak / rms**2 - 1) > _ONE_SIZE)
    found = np.round(features[:, varies] / _ALIKE).astype(np.int64)
    # One number for each unit: that two which are not alike get the same is one chance in 2**64.
    numbers = np.sort(found.T @ np.array([1, 0x9E3779B97F4A7C1, 0x3F58476D1CE4E5B, 0x14D049BB133111F]))
    return {"alike": np.count_nonzero(numbers[1:] == numbers[:-1]) / len(rms)}


class _Numpy:
    """What is true, and what measures where there is no native library; `library.Engine` explains the arguments."""

    def examples(self, array: npt.NDArray[np.generic], every: int, features: int) -> tuple[float, float]:
        rows = array.reshape(len(array), -1)[::every, ::features].astype(np.float64, order="C")
        scale = max(rows.max(), -rows.min())
        if len(rows) < 2 or not 0 < scale < np.inf:
            return math.nan, math.nan
        # A power of two divides exactly: examples that are equal stay so.
        rows = np.ldexp(rows, -np.frexp(scale)[1])
        centred = rows - rows.mean(axis=0)
        gram = centred @ centred.T
        differs, flat = np.trace(gram), rows.ravel()
        return float(differs / np.dot(flat, flat)), float(1 / np.sum((gram / differs) ** 2))

    def bounded(self, array: npt.NDArray[np.generic], low: float, high: float) -> int:
        elements = array.astype(np.float64)
        return int(np.count_nonzero((elements <= low) | (elements >= high)))

    def scores(
        self, array: npt.NDArray[np.generic], every: int, sizes: tuple[int, int, int, int], even: float
    ) -> tuple[float, float, float]:
        return _scores(array[::every].astype(np.float64).reshape(sizes), even)


def _scores(p: npt.NDArray[np.float64], even: float) -> tuple[float, float, float]:
    """Positions, evenness and likeness of heads of [examples, heads, queries, keys]."""
    open_keys = (p != 0).any(axis=1, keepdims=True)
    count = open_keys.sum(axis=-1)  # [examples, 1, queries]
    looks = (p**2).sum(axis=-1) > 0
    at = np.where(looks, p.sum(axis=-1) ** 2 / (p**2).sum(axis=-1), 0)
    positions = float(np.min(at.sum(axis=(0, 2)) / looks.sum(axis=(0, 2))))
    has_choice = looks & (count > 1)
    by_open = np.where(has_choice, at / np.maximum(count, 1), 0)
    evenness = float(np.min(by_open.sum(axis=(0, 2)) / has_choice.sum(axis=(0, 2))))
    heads = p.shape[1]
    if heads < 2 or evenness > even:
        return positions, evenness, math.nan
    deviation = np.where(open_keys & (count > 1)[..., None], p - 1 / np.maximum(count, 1)[..., None], 0)
    common, own = np.sum(deviation.mean(axis=1) ** 2), np.sum(deviation**2) / heads
    return positions, evenness, float((heads * common / own - 1) / (heads - 1))
