"""Places where a log's bytes lie, and what reads there: folders of this machine, and stores.

Whoever reads need not tell them apart: a place is a `Path` or a `RemotePath`, and a `Store` reads there.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
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

    @property
    def root(self) -> str:
        """The store's own address, with a slash at its end: `s3://bucket/`."""
        scheme, _, rest = self.address.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}/"


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

    def forget(self, one: Range) -> None:
        """Does not keep what was read there: it is not what was logged, and may be mended."""

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
        self,
        folder: Place,
        wanted: Callable[[str], bool] = lambda _: True,
        age: float | None = None,
        limit: float | None = None,
    ) -> dict[str, int]:
        """How long files are, by their names.

        Args:
          folder: Where they lie; what lies in folders below it is left out.
          wanted: Which of the names are asked for.
          age: Seconds that what is known of a store may be old, where not the usual ones.
          limit: Seconds that it may take in a store, where not the usual ones.
        """

    def open(self, file: Place, size: int | None = None) -> tuple[io.BufferedReader[Any], int]:
        """Opens a file for reading from its beginning; also says how long it is, `size` if that is known already."""

    def open_all(self, files: Sequence[Range]) -> Iterator[tuple[io.BufferedReader[Any], int] | OSError]:
        """Opens files one after the other; each is read from where a range begins, to where it ends.

        Yields:
          What `open` gives for each, or why it cannot be read.
        """

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


def within(folder: str, name: str) -> str:
    """The path or address of what lies in a folder that `addresses.checked` has returned."""
    return f"{folder}/{name}" if scheme_of(folder) else os.path.join(folder, name)
