"""Makes fixtures.json: payloads as docs/http_api.md defines them, and what numpy says of the same numbers.

Written on the document and numpy alone, on no code of this project: run it after a change of the document.
"""

from __future__ import annotations

import base64
import json
import pathlib
import struct
import zlib

import numpy as np


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def listed(array: np.ndarray) -> list:
    """The elements in C order, with names for what JSON has no numbers for."""
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [names.get(repr(float(x)), float(x)) for x in np.asarray(array, np.float64).ravel()]


def block(array: np.ndarray, shift: int = 0) -> bytes:
    code = {"float16": 0, "float32": 1, "float64": 2}[array.dtype.name]
    body = zlib.compress(array.astype(array.dtype.newbyteorder("<")).tobytes())
    head = struct.pack("<BBh", code, array.ndim, shift) + struct.pack(f"<{array.ndim}I", *array.shape)
    return head + struct.pack("<I", len(body)) + body


def values(array: np.ndarray, axes: list[tuple[int, int, int]], shift: int = 0) -> bytes:
    head = bytes([array.ndim]) + b"".join(struct.pack("<III", *axis) for axis in axes)
    return head + block(array, shift)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def histogram(data: np.ndarray, center: float = 0.0, shift: int = 0) -> bytes:
    """Counts cells of the float32's bits, one bin a cell."""
    scaled = ((data.astype(np.float64) - center) / 2.0**shift).astype(np.float32)
    code = scaled.view(np.uint32) >> 19
    magnitude = (code & 4095).astype(np.int64)
    cells, counts = np.unique(np.where(code >= 4096, -magnitude, magnitude), return_counts=True)
    out, end = b"", -4080
    for cell, count in zip(cells.tolist(), counts.tolist()):
        out += varint(2 * (cell - end)) + varint(count)
        end = cell + 1
    return struct.pack("<dhH", center, shift, len(cells)) + out


def main() -> None:
    random = np.random.default_rng(7)
    fractions = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    distributions = {
        "normal": (random.normal(0, 1, 4000), 0.0, 0),
        "relu": (np.maximum(0, random.normal(0, 1, 4000)), 0.0, 0),
        "log-normal": (random.lognormal(0, 2, 4000), 0.0, 0),
        "tiny": (random.normal(0, 1e-30, 4000), 0.0, -100),
        "far from zero": (random.normal(100, 0.5, 4000), 100.0, 0),
        "constant": (np.full(50, 3.0), 3.0, 0),
    }
    histograms = {
        name: {
            "bytes": text(histogram(data, center, shift)),
            "total": len(data),
            "zeros": int(np.sum(data == 0)),
            "std": float(np.std(data)),
            "fractions": fractions,
            "quantiles": np.quantile(data, fractions).tolist(),
        }
        for name, (data, center, shift) in distributions.items()
    }

    half = random.normal(0, 3, (2, 3, 4)).astype(np.float16)
    half[0, 1, 2], half[1, 2, 3], half[1, 0, 0] = np.nan, np.inf, -np.inf
    half[0, 0, 0], half[0, 0, 1] = np.float16(6e-8), np.float16(-65504)  # smallest and largest
    double = random.normal(0, 1e200, 5)
    single = random.normal(0, 1, (3, 1)).astype(np.float32)
    kept = {
        "float16": (values(half, [(0, 1, 32), (1, 2, 9), (0, 1, 4)], -7), half.astype(np.float64) * 2.0**-7),
        "float32": (values(single, [(0, 1, 3), (4, 1, 8)]), single),
        "float64": (values(double, [(0, 3, 15)]), double),
        "scalar": (values(np.array(2.5, np.float32), []), np.array(2.5)),
        "large scale": (values(np.array([1.0, -2.0], np.float16), [(0, 1, 2)], 200), np.array([1.0, -2.0]) * 2.0**200),
    }
    every = np.arange(0, 65536, 13)
    units = random.uniform(0, 1, (4, 6)).astype(np.float16)

    fixtures = {
        "histograms": histograms,
        "values": {
            name: {"bytes": text(data), "shape": list(array.shape), "elements": listed(array)}
            for name, (data, array) in kept.items()
        },
        "units": {"bytes": text(b"".join(block(row) for row in units)), "rows": [listed(row) for row in units]},
        # All 65,536 would be a megabyte of text: every 13th has each exponent and sign.
        "float16": {"bits": every.tolist(), "numbers": listed(every.astype(np.uint16).view(np.float16))},
    }
    path = pathlib.Path(__file__).with_name("fixtures.json")
    path.write_text(json.dumps(fixtures, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
