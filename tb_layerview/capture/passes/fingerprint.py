"""What tells whether two runs were given the same inputs, whatever computes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

#: JAX holds numbers of 64 bits in 32 unless it is told to; where others keep them, the inputs are the same.
_AS_ONE: dict[npt.DTypeLike, npt.DTypeLike] = {
    np.dtype(np.int32): np.dtype(np.int64),  # and not the other way: what 32 bits do not hold is another number
    np.dtype(np.uint32): np.dtype(np.uint64),
    np.dtype(np.float64): np.dtype(np.float32),
}


def fingerprint(arrays: Iterable[npt.NDArray[np.generic]]) -> str:
    """SHA-256 of arrays, hexadecimal: of their elements' bytes, their shapes and types.

    Integers of 32 and of 64 bits that are equal are the same here, and floats that are equal in single precision.

    Args:
      arrays: Numbers, or of dtype object bytes.
    """
    digest = hashlib.sha256()
    for array in arrays:
        with np.errstate(over="ignore"):  # beyond single precision all are infinite
            one = array.astype(_AS_ONE.get(array.dtype, array.dtype), copy=False)
        digest.update(f"{one.dtype}{one.shape}".encode())
        digest.update(b"\0".join(one.ravel().tolist()) if one.dtype == object else one.tobytes())
    return digest.hexdigest()
