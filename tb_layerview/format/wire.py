"""protobuf's wire format, as far as it takes to refuse a message before it is parsed.

A field of two bytes becomes an object of some hundred, so a message must not be parsed before it is known how many
fields it has.
See https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

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
      ValueError: It has more fields, or is no message.
    """
    at, found = 0, 0
    while at < len(data):
        found += 1
        if found > most:
            raise ValueError(f"it has more than {most:,} parts")
        key, at = _varint(data, at)
        kind, content = key & 7, b""
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            length, at = _varint(data, at)
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
      ValueError: They are more than `most`, or it is no message.
    """
    return sum(1 for _ in fields(data, most))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends within a number")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("it has a number of more than ten bytes")
