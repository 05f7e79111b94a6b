"""Where a log's bytes lie: in folders of this machine or in a store, which whoever reads need not tell apart.

A place is a `Path` or a `RemotePath`, and `store_of` a place gives what reads there. Files may be anything, as somebody
else put them there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from tb_layerview.format.addresses import scheme_of


@dataclasses.dataclass(frozen=True, order=True)
class RemotePath:
    """A folder or an object in a store, as much of a `Path` as a log needs.

    Attributes:
      address: `s3://bucket/run`, without a slash at its end.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.address}/{name}")

    @property
    def name(self) -> str:
        """What stands after the last slash."""
        return self.address.rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in; of a store itself, the store."""
        above = self.address.rpartition("/")[0]
        return self if above.endswith("/") else RemotePath(above)


Place = Path | RemotePath


class Range(NamedTuple):
    """Bytes of a file: `length` of them from byte `offset` on."""

    file: Place
    offset: int
    length: int


class Reader(Protocol):
    """Reads ranges of files; each file is opened once, and all are closed when the block ends.

    Attributes:
      ahead: How many ranges are worth asking for at a time.
    """

    ahead: int

    def read(self, ranges: Sequence[Range]) -> list[bytes | OSError]:
        """For each range its bytes, fewer where the file ends before, or why they cannot be read."""

    def __enter__(self) -> Reader:
        """Reads until the block ends."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Closes the files."""


class Store(Protocol):
    """What reads at places of one kind. May be used from many threads.

    All methods raise an OSError whose `strerror` says, in words, why something cannot be read.
    """

    def walk(self, folder: Place) -> Iterator[tuple[Place, Collection[str]]]:
        """A folder and all folders below it that hold files, each with the names of its files."""

    def files(
        self, folder: Place, wanted: Callable[[str], bool] = lambda _: True, newest: bool = False
    ) -> dict[str, int]:
        """How long files are, by their names.

        Args:
          folder: Where they lie; what lies in folders below it is left out.
          wanted: Which of the names are asked for.
          newest: Whether a listing of some seconds ago will not do.
        """

    def open(self, file: Place, size: int | None = None) -> tuple[io.BufferedReader[Any], int]:
        """Opens a file for reading from its beginning; also says how long it is, `size` if that is known already."""

    def reader(self) -> Reader:
        """What reads parts of files."""

    def exists(self, file: Place) -> bool:
        """Whether there is such a file; False also where nobody can say."""

    def is_folder(self, folder: Place) -> bool:
        """Whether there is such a folder; in a store, one that holds something."""


def place_of(path: str) -> Place:
    """The place of a path or address that `addresses.checked` has returned."""
    return RemotePath(path.rstrip("/")) if scheme_of(path) else Path(os.path.expanduser(path))


def below(folder: Place, within: Place) -> str:
    """What leads from a folder to one within it, with slashes; `.` where they are the same."""
    if isinstance(within, Path) and isinstance(folder, Path):
        return within.relative_to(folder).as_posix()
    return str(within)[len(str(folder)) + 1 :] or "."


def store_of(place: Place) -> Store:
    """What reads at a place.

    Raises:
      OSError: Nothing that is installed does.
    """
    if isinstance(place, Path):
        return _LOCAL
    from tb_layerview.format import remote_storage  # which is needed for nothing else

    return remote_storage.store_of(place)


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
        self, folder: Place, wanted: Callable[[str], bool] = lambda _: True, newest: bool = False
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

    def __enter__(self) -> _LocalReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()


def _local(place: Place) -> Path:
    assert isinstance(place, Path)
    return place


_LOCAL = LocalStore()


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
