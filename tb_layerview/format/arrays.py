"""Array blocks: how payloads keep floats small, with their scale."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format.model import MOST_AXES, MOST_VALUES

Precision = Literal["float16", "float32", "float64"]

_CODES: tuple[Precision, ...] = ("float16", "float32", "float64")
_HEAD = struct.Struct("<BBh")
_LENGTH = struct.Struct("<I")
_LARGEST = 15  # float16 holds magnitudes below 2**16
#: Float32 holds no square of what is larger: no training works with such numbers, but max pooling makes the lowest of
#: all floats, -3.4e38, of NaN. Beside them nothing would be left of the others in float16.
WIDE = float(np.sqrt(np.finfo(np.float32).max))


def encode(array: npt.NDArray[np.generic], precision: Precision = "float16") -> bytes:
    """Encodes an array as a block (see `docs/http_api.md`).

    float16 elements are stored under the power of two that brings the largest finite one just below 2**16: relative
    error at most 2**-11 for what is larger than 2**-29 of it. Where that one is beyond `WIDE`, they are stored as
    float32. The other precisions are exact for their type.
    """
    values = np.asarray(array)
    shift = 0
    if precision == "float16":
        values = values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)
        finite = np.abs(values[np.isfinite(values)])
        largest = float(finite.max()) if finite.size else 0.0
        if WIDE < largest <= float(np.finfo(np.float32).max):
            precision = "float32"
    if precision == "float16":
        if largest > 0.0:
            shift = int(np.frexp(largest)[1]) - _LARGEST
        values = np.ldexp(values, -shift)
    stored = np.ascontiguousarray(values, np.dtype(precision).newbyteorder("<"))
    # Floats repeat themselves in runs of zeros alone. To look for more takes three times as long, and finds less.
    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
    body = deflate.compress(stored.tobytes()) + deflate.flush()
    return (
        _HEAD.pack(_CODES.index(precision), stored.ndim, shift)
        + struct.pack(f"<{stored.ndim}I", *stored.shape)
        + _LENGTH.pack(len(body))
        + body
    )


class Block(NamedTuple):
    """A block whose elements are as they are stored: an element of the array is `widen(stored, shift)`.

    Attributes:
      stored: float16, float32 or float64, little-endian, read-only.
      shift: The power of two by which they are multiplied.
      precision: Their type.
      end: The offset after the block.
    """

    stored: npt.NDArray[np.floating]
    shift: int
    precision: Precision
    end: int


def decode(data: bytes, offset: int = 0, most: int = MOST_VALUES) -> tuple[npt.NDArray[np.floating], Precision, int]:
    """Decodes the block at `offset`. What it says of itself is checked before anything is allocated for it.

    Args:
      data: Bytes from anywhere.
      offset: Where the block begins.
      most: The most elements that it may have.

    Returns:
      The array (float32, or float64 where float64 is stored), its stored precision, and the offset after the block.

    Raises:
      ValueError: There is no whole block there.
    """
    block = read(data, offset, most)
    return widen(block.stored, block.shift), block.precision, block.end


def widen(stored: npt.NDArray[np.floating], shift: int) -> npt.NDArray[np.floating]:
    """Elements of a block in their own unit: float32, or float64 where that is stored."""
    wide = stored.astype(np.float64 if stored.dtype.itemsize == 8 else np.float32)
    with np.errstate(all="ignore"):  # a damaged shift leads out of the type's range
        return np.asarray(np.ldexp(wide, shift, out=wide))


def read(data: bytes, offset: int = 0, most: int = MOST_VALUES, first: int | None = None) -> Block:
    """Inflates the block at `offset`, and leaves it to the caller of which elements floats are made.

    Args:
      data: Bytes from anywhere.
      offset: Where the block begins.
      most: The most elements that it may have.
      first: So many indices of its first axis are enough; what comes after them is not looked at.

    Raises:
      ValueError: There is no whole block there.
    """
    code, shift, shape, offset, length = _head(data, offset)
    if code >= len(_CODES):
        raise ValueError(f"an array block has the unknown code {code}")
    precision = _CODES[code]
    dtype = np.dtype(precision).newbyteorder("<")
    if len(shape) > MOST_AXES:
        raise ValueError(f"an array block says it has {len(shape)} axes; {MOST_AXES} are the most that is written")
    count = math.prod(shape)
    # An axis of size 0 must not hide sizes that numpy cannot have.
    if math.prod(size for size in shape if size) > most:
        raise ValueError(
            f"an array block says it has the shape {shape}; {most:,} elements are the most that is written"
        )
    if length > len(data) - offset:
        raise ValueError(f"an array block says it takes {length} bytes where {len(data) - offset} are left")
    is_part = first is not None and bool(shape) and first < shape[0]
    if is_part and first is not None:
        shape = (first, *shape[1:])
        count = math.prod(shape)
    inflate = zlib.decompressobj()
    try:
        # Of a whole one a byte too many is asked for, which must not be there; 0 would stand for all that there are.
        wanted = max(1, count * dtype.itemsize) if is_part else count * dtype.itemsize + 1
        raw = inflate.decompress(data[offset : offset + length], wanted)
    except zlib.error as error:
        raise ValueError(f"an array block cannot be inflated: {error}") from None
    if is_part:
        raw = raw[: count * dtype.itemsize]
    if len(raw) != count * dtype.itemsize:
        raise ValueError(
            f"an array block of shape {shape} holds {len(raw)} bytes or more, not {count * dtype.itemsize}"
        )
    return Block(np.frombuffer(raw, dtype).reshape(shape), shift, precision, offset + length)


def shape_of(data: bytes, offset: int = 0) -> tuple[int, ...]:
    """The shape of the block at `offset`, as it says itself.

    Raises:
      ValueError: There is no block there.
    """
    return _head(data, offset)[2]


def end(data: bytes, offset: int = 0) -> int:
    """The offset after the block at `offset`, which is not decoded.

    Raises:
      ValueError: There is no block there.
    """
    *_, offset, length = _head(data, offset)
    return offset + length


def _head(data: bytes, offset: int) -> tuple[int, int, tuple[int, ...], int, int]:
    """The code, shift and shape of a block, the offset of its elements, and their length in bytes."""
    try:
        code, rank, shift = _HEAD.unpack_from(data, offset)
        offset += _HEAD.size
        shape = struct.unpack_from(f"<{rank}I", data, offset)
        offset += 4 * rank
        (length,) = _LENGTH.unpack_from(data, offset)
    except struct.error as error:
        raise ValueError(f"an array block is cut off: {error}") from None
    return code, shift, shape, offset + _LENGTH.size, length
