"""Payload files: histograms, units and values, beside the event file that says where in them each piece lies."""

from __future__ import annotations

import dataclasses
import os
import re
import zlib

from tb_layerview.record import payload_name

# What the id of a writer may be: part of a file's name and of a tag, and nothing that leads out of a folder.
_WRITER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class PayloadError(Exception):
    """A payload that was logged cannot be read; the message says why."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """Where one payload lies.

    Attributes:
      writer: Id of the writer whose payload file holds it.
      offset: Of its first byte in that file.
      length: In bytes; 0 if nothing is kept.
      crc32: zlib's CRC-32 of the bytes.
    """

    writer: str
    offset: int
    length: int
    crc32: int


def is_writer(writer: str) -> bool:
    """Whether this may be the id of a writer."""
    return _WRITER.fullmatch(writer) is not None


def read(folder: str | os.PathLike[str] | None, piece: Piece) -> bytes:
    """Reads one piece and checks it.

    Args:
      folder: That of the event file; None where there is none to read from.
      piece: Where the piece lies.

    Raises:
      PayloadError: The file is missing, cut off or damaged, or there is no folder.
    """
    if folder is None:
        raise PayloadError(
            "this run's folder is not on this machine, so what lies beside the event file cannot be read; "
            "start TensorBoard where the logs are, or copy the whole folder here."
        )
    path = os.path.join(folder, payload_name(piece.writer))
    data = b""
    try:
        with open(path, "rb") as file:
            there = max(0, min(piece.length, os.fstat(file.fileno()).st_size - piece.offset))
            if there == piece.length:
                file.seek(piece.offset)
                data = file.read(piece.length)
                there = len(data)
    except FileNotFoundError:
        raise PayloadError(f"{path} is missing: it lies beside the event file and must be copied with it.") from None
    except OSError as error:
        raise PayloadError(f"{path} cannot be read: {error.strerror or error}.") from error
    if there != piece.length:
        raise PayloadError(
            f"{path} is cut off: {piece.length} bytes from byte {piece.offset} on were logged, "
            f"{there} of them are there."
        )
    if zlib.crc32(data) != piece.crc32:
        raise PayloadError(
            f"{path} is damaged: the {piece.length} bytes from byte {piece.offset} on do not have the checksum "
            "that was logged."
        )
    return data
