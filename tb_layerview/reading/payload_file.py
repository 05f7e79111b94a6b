"""Payload files: histograms, units and values, beside the event file that says where in them each piece lies."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from tb_layerview.format.names import payload_name
from tb_layerview.format.storage import open_regular

_T = TypeVar("_T")


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


def read(folder: str | os.PathLike[str] | None, piece: Piece) -> bytes:
    """Reads one piece and checks it.

    Args:
      folder: That of the event file; None where there is none to read from.
      piece: Where the piece lies.

    Raises:
      PayloadError: The file is missing, cut off or damaged, or there is no folder.
    """
    (found,) = read_all(folder, [piece])
    if isinstance(found, PayloadError):
        raise found
    return found


def read_all(folder: str | os.PathLike[str] | None, pieces: Iterable[Piece]) -> Iterator[bytes | PayloadError]:
    """Reads pieces and checks them, one after the other, and opens each file once.

    Yields:
      For each piece its bytes, or the error that `read` would raise.
    """
    with contextlib.ExitStack() as stack:
        files: dict[str, _File | PayloadError] = {}
        for piece in pieces:
            if piece.writer not in files:
                files[piece.writer] = _open(folder, piece.writer, stack)
            file = files[piece.writer]
            yield file if isinstance(file, PayloadError) else _read(file, piece)


def decoded(decode: Callable[[bytes], _T], data: bytes) -> _T:
    """What a decoder makes of a piece.

    Raises:
      PayloadError: The decoder raises a ValueError.
    """
    try:
        return decode(data)
    except ValueError as error:
        raise PayloadError(f"what the payload file holds cannot be decoded: {error}.") from error


class _File(NamedTuple):
    path: str
    size: int
    raw: io.FileIO


def _open(folder: str | os.PathLike[str] | None, writer: str, stack: contextlib.ExitStack) -> _File | PayloadError:
    if folder is None:
        return PayloadError(
            "this run's folder is not on this machine, so what lies beside the event file cannot be read; "
            "start TensorBoard where the logs are, or copy the whole folder here."
        )
    path = os.path.join(folder, payload_name(writer))
    try:
        raw = stack.enter_context(open_regular(path))
        return _File(path, os.fstat(raw.fileno()).st_size, raw)
    except FileNotFoundError:
        return PayloadError(f"{path} is missing: it lies beside the event file and must be copied with it.")
    except OSError as error:
        return PayloadError(f"{path} cannot be read: {error.strerror or error}.")


def _read(file: _File, piece: Piece) -> bytes | PayloadError:
    data = b""
    there = max(0, min(piece.length, file.size - piece.offset))
    if there == piece.length:
        try:
            file.raw.seek(piece.offset)
            data = file.raw.read(piece.length)
        except OSError as error:
            return PayloadError(f"{file.path} cannot be read: {error.strerror or error}.")
        there = len(data)
    if there != piece.length:
        return PayloadError(
            f"{file.path} is cut off: {piece.length} bytes from byte {piece.offset} on were logged, "
            f"{there} of them are there."
        )
    if zlib.crc32(data) != piece.crc32:
        return PayloadError(
            f"{file.path} is damaged: the {piece.length} bytes from byte {piece.offset} on do not have the checksum "
            "that was logged."
        )
    return data
