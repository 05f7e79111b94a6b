"""Payload files: histograms, units and values, beside the event file that says where in them each piece lies."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tb_layerview.format.names import payload_name, payload_start
from tb_layerview.format.places import Place, Range, Reader, RemotePath, Store
from tb_layerview.format.storage import store_of

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


def read(folder: str | os.PathLike[str] | RemotePath | None, piece: Piece) -> bytes:
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


def read_all(
    folder: str | os.PathLike[str] | RemotePath | None, pieces: Iterable[Piece]
) -> Iterator[bytes | PayloadError]:
    """Reads pieces and checks them, one after the other, or some at a time where they lie in a store.

    Yields:
      For each piece its bytes, or the error that `read` would raise.
    """
    if folder is None:
        for _ in pieces:
            yield PayloadError(
                "this run's folder is not on this machine, so what lies beside the event file cannot be read; "
                "start TensorBoard where the logs are, or copy the whole folder here."
            )
        return
    place = folder if isinstance(folder, RemotePath) else Path(folder)
    try:
        store = store_of(place)
    except OSError as error:
        for _ in pieces:
            yield PayloadError(f"{place} cannot be read: {error.strerror or error}.")
        return
    payloads: dict[str, _Payloads] = {}
    with store.reader() as reader:
        waiting = iter(pieces)
        while some := list(itertools.islice(waiting, reader.ahead)):
            for piece in some:
                if piece.writer not in payloads:
                    payloads[piece.writer] = _Payloads(store, place, piece.writer)
            yield from _read(reader, some, [payloads[piece.writer].find(piece) for piece in some])


def decoded(decode: Callable[[bytes], _T], data: bytes) -> _T:
    """What a decoder makes of a piece.

    Raises:
      PayloadError: The decoder raises a ValueError.
    """
    try:
        return decode(data)
    except ValueError as error:
        raise PayloadError(f"what the payload file holds cannot be decoded: {error}.") from error


class _Payloads:
    """The payloads of one writer: a file, or several that follow one another."""

    def __init__(self, store: Store, folder: Place, writer: str) -> None:
        """Looks at nothing yet."""
        self._store, self._folder, self._writer = store, folder, writer
        self._files: list[tuple[int, int]] | None = None  # where they begin and end
        self._is_newest = False
        self._unreadable: PayloadError | None = None

    def find(self, piece: Piece) -> Range | PayloadError:
        """Where a piece lies; perhaps it is not wholly there."""
        if self._unreadable:
            return self._unreadable
        try:
            if self._files is None:
                self._files = self._list(math.inf)  # what is put in a store stays as it is
            # It may lack what was put there since. One is enough: payloads come before the
            # events that say where they are.
            lies = any(begin <= piece.offset and piece.offset + piece.length <= end for begin, end in self._files)
            if not lies and not self._is_newest:
                self._files = self._list(0.0)
                self._is_newest = True
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._unreadable = PayloadError(f"{self._path(0)} cannot be read: {error.strerror or error}.")
                return self._unreadable
            self._files, self._is_newest = [], True
        before = [(begin, end) for begin, end in self._files if begin <= piece.offset]
        if not before:
            return PayloadError(
                f"{self._path(0)} is missing: it lies beside the event file and must be copied with it."
            )
        begin, end = before[-1]
        if piece.length and piece.offset >= end and (len(self._files) > 1 or isinstance(self._folder, RemotePath)):
            # Of a writer with one file nobody knows whether there were more.
            cut = "" if len(self._files) > 1 else f", or {self._path(begin)} is cut off"
            return PayloadError(
                f"the {piece.length} bytes from byte {piece.offset} of the payloads on lie in no file: "
                f"{self._path(end)} is missing{cut}. It lies beside the event files and must be copied with them."
            )
        return Range(self._path(begin), piece.offset - begin, max(0, min(piece.length, end - piece.offset)))

    def _list(self, age: float) -> list[tuple[int, int]]:
        def is_own(name: str) -> bool:
            return payload_start(name, self._writer) is not None

        found = self._store.files(self._folder, is_own, age)
        begins = ((payload_start(name, self._writer) or 0, size) for name, size in found.items())
        return sorted((begin, begin + size) for begin, size in begins)

    def _path(self, begin: int) -> Place:
        return self._folder / payload_name(self._writer, begin)


def _read(
    reader: Reader, pieces: Sequence[Piece], places: Sequence[Range | PayloadError]
) -> Iterator[bytes | PayloadError]:
    found = iter(reader.read([place for place in places if isinstance(place, Range)]))
    for piece, place in zip(pieces, places):
        if isinstance(place, PayloadError):
            yield place
            continue
        data = _checked(piece, place, next(found))
        if isinstance(data, PayloadError):
            reader.forget(place)
        yield data


def _missing(file: Place) -> PayloadError:
    return PayloadError(f"{file} is missing: it lies beside the event file and must be copied with it.")


def _checked(piece: Piece, place: Range, data: bytes | OSError) -> bytes | PayloadError:
    if isinstance(data, FileNotFoundError):
        return _missing(place.file)
    if isinstance(data, OSError):
        return PayloadError(f"{place.file} cannot be read: {data.strerror or data}.")
    if len(data) != piece.length:
        return PayloadError(
            f"{place.file} is cut off: {piece.length} bytes from byte {place.offset} on were logged, "
            f"{len(data)} of them are there."
        )
    if zlib.crc32(data) != piece.crc32:
        return PayloadError(
            f"{place.file} is damaged: the {piece.length} bytes from byte {place.offset} on do not have the checksum "
            "that was logged."
        )
    return data
