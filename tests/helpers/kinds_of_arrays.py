"""Arrays of every kind and type that a tensor may be of."""

from __future__ import annotations

import ml_dtypes
import numpy as np

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
TYPES = (*FLOATS, *INTEGERS, "bool")


def dtype_of(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def of(kind: str, dtype: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """An array of a kind; of integers it is what of it they can hold."""
    normal = random.normal(size=shape)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-40, 5e-324, -5e-324, 1.0])
    values = {
        "normal": lambda: normal,
        "far from zero": lambda: 100 + 0.5 * normal,
        "hardly spread": lambda: 1 + 0.22 * normal,  # where the mean is taken off for little more, and not for more
        "spread": lambda: 1 + 0.28 * normal,
        "sparse": lambda: np.maximum(normal, 0),
        "of both zeros": lambda: np.where(random.random(shape) < 0.5, -0.0, np.maximum(normal, 0)),
        "constant": lambda: np.full(shape, 0.1),
        "close": lambda: 1 + np.finfo(np.float32).eps * random.integers(0, 2, shape),
        "large": lambda: 1e38 * normal,
        "tiny": lambda: 1e-41 * normal,
        "at float64's ends": lambda: np.where(random.random(shape) < 0.5, 1e-300, 1e300) * normal,
        "huge and close": lambda: 1e300 * (100 + 0.5 * normal),
        "tiny and close": lambda: 1e-300 * (100 + 0.5 * normal),
        "special": lambda: random.choice(special, shape),
        "some special": lambda: np.where(random.random(shape) < 0.02, random.choice(special, shape), normal),
        "of NaN alone": lambda: np.full(shape, np.nan),
    }[kind]()
    if dtype in FLOATS:
        with np.errstate(all="ignore"):
            return values.astype(dtype_of(dtype))
    if dtype == "bool":
        return values > 0
    ends = np.iinfo(dtype)
    if kind == "large":
        return random.integers(ends.min, ends.max, shape, dtype, endpoint=True)
    return np.clip(np.nan_to_num(30 * values), max(ends.min, -1e6), min(ends.max, 1e6)).astype(dtype)


KINDS = (
    "normal",
    "far from zero",
    "hardly spread",
    "spread",
    "sparse",
    "of both zeros",
    "constant",
    "close",
    "large",
    "tiny",
    "at float64's ends",
    "huge and close",
    "tiny and close",
    "special",
    "some special",
    "of NaN alone",
)
