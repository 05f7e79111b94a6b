"""How records lie in an event file: their length, a checksum of it, the record, and a checksum of that.

Integers are little-endian: uint64 length, uint32 masked CRC-32C of the length, that many bytes, uint32 masked CRC-32C
of those, as in TFRecord files.
"""

from __future__ import annotations

import struct

import google_crc32c

_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
#: How many bytes stand before a record, and how many after it.
HEAD_SIZE, TAIL_SIZE = _HEAD.size, _TAIL.size


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord files store it: rotated and offset, so that a CRC of data with CRCs in it stays good."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def framed(record: bytes) -> bytes:
    """A record as it is written to an event file."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, _TAIL.pack(masked_crc32c(length)), record, _TAIL.pack(masked_crc32c(record))))


def length_of(head: bytes) -> tuple[int, bool]:
    """How many bytes the record after a head of `HEAD_SIZE` bytes has, and whether the checksum of that is right."""
    length, checksum = _HEAD.unpack_from(head)
    return length, masked_crc32c(head[:8]) == checksum


def is_whole(record: bytes, tail: bytes) -> bool:
    """Whether the checksum after a record is that of the record."""
    return masked_crc32c(record) == int(_TAIL.unpack(tail)[0])
