"""Arrays of any kind, type, shape and place in memory: a strategy for hypothesis."""

from __future__ import annotations

import sys

import numpy as np
from hypothesis import strategies as st
from kinds_of_arrays import KINDS, TYPES, of

#: Around what the code decides by: rows and columns of a tile, columns of a piece, and rows that are drawn together.
SIZES = (1, 2, 3, 7, 8, 9, 16, 17, 63, 100, 127, 128, 129, 255, 256, 257, 300, 511, 512, 1023, 1024, 1025, 2100)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    kind, dtype = draw(st.sampled_from(KINDS)), draw(st.sampled_from(TYPES))
    shape = draw(st.lists(st.sampled_from(SIZES), min_size=0, max_size=4))
    while np.prod(shape) > 1 << 18:
        shape.remove(max(shape))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    array = np.array(of(kind, dtype, tuple(shape), random))
    place = draw(
        st.sampled_from(
            ("plain", "unaligned", "transposed", "permuted", "every second", "backwards", "swapped", "read-only")
        )
    )
    if place == "unaligned":
        held = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        held[...] = array
        assert array.itemsize == 1 or not held.flags.aligned or sys.platform != "linux"
        return held
    if place == "transposed":
        return array.T
    if place == "permuted":  # as PyTorch's convolutions leave their channels, and what else there may be
        axes = draw(st.permutations(range(array.ndim)))
        return np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes)) if axes else array
    if place == "every second" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if place == "backwards":
        return array[tuple(slice(None, None, -1) for _ in shape)]
    if place == "swapped" and dtype != "bfloat16":
        return array.astype(array.dtype.newbyteorder())
    array.flags.writeable = place != "read-only"
    return array
