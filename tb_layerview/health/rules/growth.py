"""What rules of growing and shrinking statistics share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tb_layerview.health.history import Floats, Mask

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def times(factor: float) -> str:
    """A factor as people write it: "8,600 times" in two digits, from a million on "10⁸ times"."""
    if not 0 < factor < math.inf:
        return f"{factor} times"
    power = round(math.log10(factor))
    if factor >= 1e6:
        return f"10{str(power).translate(_RAISED)} times"
    return f"{float(f'{factor:.2g}'):,.0f} times"


@np.errstate(all="ignore")  # of what is zero, or was not logged, there is no ratio
def grown(rms: Floats, links: Sequence[tuple[int, int]], most: float, total: float) -> Mask:
    """Where a size has grown by more than `total` along links, each of which counts for at most `most`.

    What has fallen in between is made up for first.

    Args:
      rms: float64 [tensors, steps].
      links: From which tensor to which, in the order of the way.
      most: A factor.
      total: A factor.
    """
    held = np.zeros(rms.shape, bool)
    sizes = rms[sorted({i for link in links for i in link})]
    sizes = np.where(sizes > 0, sizes, np.nan)
    if not len(sizes) or not (np.fmax.reduce(sizes) > total * np.fmin.reduce(sizes)).any():
        return held
    grown: dict[int, Floats] = {}
    for before, after in links:
        ratio = np.log(rms[after] / rms[before])
        so_far = grown.get(before, np.zeros(rms.shape[1]))
        here = np.maximum(so_far + np.where(np.isfinite(ratio), np.minimum(ratio, np.log(most)), -np.inf), 0)
        grown[after] = np.maximum(grown.get(after, here), here)
        held[after] |= here > np.log(total)
    return held


def smallest_before(sizes: Floats, links: Sequence[tuple[int, int]], tensor: int) -> tuple[int, int]:
    """What a size that has `grown` is compared with: nothing beyond a size that is zero or not finite.

    Args:
      sizes: float64 [tensors], at one step.
      links: As for `grown`.
      tensor: The one that has grown.

    Returns:
      Which tensor is the smallest on the ways to it, and over how many links, at least, it lies before: 0 for itself.
    """
    far = {tensor: 0}
    for before, after in reversed(links):
        if after in far and 0 < sizes[before] < math.inf:
            far[before] = min(far.get(before, len(links)), far[after] + 1)
    smallest = min(far, key=lambda i: float(sizes[i]))
    return smallest, far[smallest]
