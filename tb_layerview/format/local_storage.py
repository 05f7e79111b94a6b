"""Folders of this machine, and files that may be anything, as somebody else put them there."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from tb_layerview.format.places import Place, Range, Reader


class LocalStore:
    """Folders of this machine."""

    def walk(self, folder: Place) -> Iterator[tuple[Place, Collection[str]]]:
        """See `Store`. Links are followed; each folder is entered once."""
        seen = set()
        for path, subfolders, files in os.walk(_local(folder), followlinks=True):
            real = os.path.realpath(path)  # a link may lead back up
            if real in seen:
                subfolders.clear()
                continue
            seen.add(real)
            yield Path(path), files

    def files(
        self,
        folder: Place,
        wanted: Callable[[str], bool] = lambda _: True,
        age: float | None = None,
        limit: float | None = None,
    ) -> dict[str, int]:
        """See `Store`. Folders in it have names, too; what a link points to and is not there has no bytes."""
        found = {}
        with os.scandir(_local(folder)) as entries:
            for entry in entries:
                if wanted(entry.name):
                    found[entry.name] = 0
                    with contextlib.suppress(OSError):
                        found[entry.name] = os.stat(entry.path).st_size
        return found

    def open(self, file: Place, size: int | None = None) -> tuple[io.BufferedReader[Any], int]:
        """See `Store`."""
        raw = open_regular(_local(file))
        return io.BufferedReader(raw), os.fstat(raw.fileno()).st_size

    def open_all(self, files: Sequence[Range]) -> Iterator[tuple[io.BufferedReader[Any], int] | OSError]:
        """See `Store`. A file that has grown is read to its end."""
        for file, _, _ in files:
            try:
                opened = self.open(file)
            except OSError as error:
                yield error
            else:
                yield opened

    def reader(self) -> Reader:
        """See `Store`."""
        return _LocalReader()

    def exists(self, file: Place) -> bool:
        """See `Store`."""
        return _local(file).exists()

    def is_folder(self, folder: Place) -> bool:
        """See `Store`."""
        return _local(folder).is_dir()


class _LocalReader:
    """Reads one range at a time: what is not looked at need not be in memory."""

    def __init__(self) -> None:
        self.ahead = 1
        self._files: dict[Place, FileIO] = {}
        self._opened = contextlib.ExitStack()

    def read(self, ranges: Sequence[Range]) -> list[bytes | OSError]:
        """See `Reader`."""
        return [self._read(*one) for one in ranges]

    def _read(self, file: Place, offset: int, length: int) -> bytes | OSError:
        try:
            if file not in self._files:
                self._files[file] = self._opened.enter_context(open_regular(_local(file)))
            if not length:
                return b""
            self._files[file].seek(offset)
            return self._files[file].read(length)
        except OSError as error:
            return error

    def forget(self, one: Range) -> None:
        """See `Reader`. Nothing is kept."""

    def __enter__(self) -> _LocalReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()


def _local(place: Place) -> Path:
    assert isinstance(place, Path)
    return place


def open_regular(path: str | os.PathLike[str]) -> FileIO:
    """Opens a file for reading, unbuffered, if it has an end: a pipe or a device would be waited for without end.

    Raises:
      OSError: There is none, it must not be read, or it is something else than a file.
    """
    # Without waiting for somebody who writes into the pipe. Windows has no such pipes, and no such flag.
    file = FileIO(path, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    return file
