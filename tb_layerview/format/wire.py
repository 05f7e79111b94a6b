"""protobuf's wire format, as far as it takes to refuse a message before it is parsed.

A field of two bytes becomes an object of some hundred, so a message must not be parsed before it is known how many
fields it has.
See https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

#: The fewest bytes of a field: what is no longer than so many times its most fields has no more.
LEAST = 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(data: bytes, most: int) -> Iterator[tuple[int, bytes]]:
    """Walks over the fields of a message, not into them.

    Args:
      data: The message.
      most: The most fields that it may have.

    Yields:
      For each field its number, and its bytes if it is a string, a message or packed numbers, else none.

    Raises:
      ValueError: It has more fields, or is not a message.
    """
    at, found = 0, 0
    while at < len(data):
        found += 1
        if found > most:
            raise ValueError(f"it has more than {most:,} parts")
        key, at = read_varint(data, at)
        kind, content = key & 7, b""
        if kind == _VARINT:
            _, at = read_varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            length, at = read_varint(data, at)
            content = data[at : at + length]
            at += length
        else:
            raise ValueError(f"it has a part of the unknown kind {kind}")
        if at > len(data):
            raise ValueError("it ends within a part")
        yield key >> 3, content


def count(data: bytes, most: int) -> int:
    """How many fields a message has.

    Raises:
      ValueError: They are more than `most`, or it is not a message.
    """
    return sum(1 for _ in fields(data, most))


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it.

    Raises:
      ValueError: The data end within the number, or it has more than ten bytes.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends within a number")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("it has a number of more than ten bytes")


def varint_size(number: int) -> int:
    """Bytes of a number in a protobuf message."""
    return max(1, -(-number.bit_length() // 7))


def encode_varints(numbers: npt.NDArray[np.int64]) -> bytes:
    """Numbers of at least 0, one after the other; there must be one at least."""
    position = np.arange(max(1, -(-int(numbers.max()).bit_length() // 7)))
    rest = numbers[:, None] >> (7 * position)
    is_there = rest > 0
    is_there[:, 0] = True
    digits = (rest & 127).astype(np.uint8)
    digits[:, :-1] |= is_there[:, 1:].astype(np.uint8) << 7
    return bytes(digits[is_there])


def decode_varints(data: bytes) -> npt.NDArray[np.int64]:
    """The numbers that `encode_varints` wrote.

    Raises:
      ValueError: The data end within a number, or one has more than nine bytes.
    """
    raw = np.frombuffer(data, np.uint8).astype(np.int64)
    is_last = raw < 128
    if not len(raw):
        return raw
    if not is_last[-1]:
        raise ValueError("a histogram ends in the middle of a number")
    starts = np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1])
    position = np.arange(len(raw)) - np.repeat(starts, np.diff(np.append(starts, len(raw))))
    if position.max() > 8:
        raise ValueError("a histogram has a number of more than nine bytes")
    return np.asarray(np.add.reduceat((raw & 127) << (7 * position), starts))
