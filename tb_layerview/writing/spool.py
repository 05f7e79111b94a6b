"""Objects that a store has not taken: kept on this machine, and sent when it takes them, by whoever logs there next."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tb_layerview.format.places import RemotePath

#: Bytes that are kept of all that waits on this machine.
MOST_KEPT = 1 << 30
_ADDRESS, _LOCK = "address", "lock"
_OBJECT = re.compile(r"[0-9]{8}\.(.+)")


class Spool:
    """One writer's objects, each in a file, in a folder that is there as long as one is.

    Attributes:
      folder: Where they are kept.
    """

    def __init__(self, address: RemotePath, writer: str) -> None:
        """Makes nothing yet."""
        self.folder = _root() / writer
        self._address = address
        self._count = 0
        self._lock: IO[bytes] | None = None

    def keep(self, name: str, data: bytes) -> Path:
        """Keeps an object that is to have this name; it is there once this returns, and outlives the process.

        Raises:
          OSError: There is no room for it, or no folder.
        """
        if self._lock is None or not self.folder.is_dir():  # somebody may have emptied the cache
            self._open()
        if _size(self.folder.parent) + len(data) > MOST_KEPT:
            raise OSError(
                errno.ENOSPC,
                f"{self._address} takes nothing, and of what waits for stores {MOST_KEPT >> 30} GB are kept and no "
                f"more; they lie in {self.folder.parent}, and  tb-layerview send  sends them",
                str(self.folder),
            )
        self._count += 1
        file = self.folder / f"{self._count:08d}.{name}"
        _write(file, data)
        return file

    def drop(self, file: Path) -> None:
        """Lets go of an object that was sent."""
        file.unlink(missing_ok=True)

    def leave(self) -> None:
        """Lets others send what is still here."""
        if self._lock is not None:
            if self.folder.is_dir() and not any(_objects(self.folder)):
                _remove(self.folder)
            _unlock(self._lock)
            self._lock = None

    def _open(self) -> None:
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(self.folder.parent):
            raise PermissionError(errno.EPERM, f"{self.folder.parent} belongs to somebody else", str(self.folder))
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._lock = _locked(self.folder)
        _write(self.folder / _ADDRESS, str(self._address).encode())  # last: what has no address is nobody's


def left_behind(put: Callable[[RemotePath, bytes], object], within: str = "") -> Iterator[RemotePath | None]:
    """Sends what processes that have ended did not send, and yields where each object went.

    Where one could not be sent it yields None, and goes on with those of other writers.

    Args:
      put: Puts an object.
      within: How the addresses begin whose objects are meant.

    Raises:
      OSError: Of some writer an object cannot be sent or looked at: it stays with all after it. It is raised once all
        others are sent.
    """
    root = _root()
    failed: OSError | None = None
    for folder in sorted(root.iterdir()) if root.is_dir() and _is_ours(root) else ():
        address = _address(folder)
        if address is None or not f"{address}/".startswith(within):
            continue
        try:
            yield from _send(folder, RemotePath(address), put)
        except OSError as error:
            if folder.is_dir():  # else another process has sent it
                failed = failed or error
                yield None
    if failed:
        raise failed


def _send(folder: Path, address: RemotePath, put: Callable[[RemotePath, bytes], object]) -> Iterator[RemotePath]:
    lock = _locked(folder)
    if lock is None:  # it is being written, or sent
        return
    try:
        for file, name in _objects(folder):
            put(address / name, file.read_bytes())
            file.unlink(missing_ok=True)
            yield address / name
        _remove(folder)
    finally:
        _unlock(lock)


def still_kept() -> int:
    """How many objects are kept: of processes that are about to send them, or that could not."""
    root = _root()
    folders = [folder for folder in root.iterdir() if folder.is_dir()] if root.is_dir() and _is_ours(root) else []
    return sum(1 for folder in folders for _ in _objects(folder))


def _root() -> Path:
    """The folder of all that waits: below the user's cache, or where temporary files go if that cannot be written."""
    cache = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    cache = cache or os.path.expanduser("~/.cache")
    if os.path.isabs(cache):  # it is not where nobody knows the user's home
        root = Path(cache) / "tb_layerview" / "unsent"
        with contextlib.suppress(OSError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return root
    return Path(tempfile.gettempdir()) / f"tb_layerview-unsent-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _is_ours(root: Path) -> bool:
    """Whether nobody else can put there what we would send: anyone makes folders where temporary files go."""
    return not hasattr(os, "getuid") or root.stat().st_uid == os.getuid()


def _objects(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a writer's objects, in order, each with the object's name."""
    for file in sorted(folder.iterdir()):
        found = _OBJECT.fullmatch(file.name)
        if found and not file.name.endswith(_UNFINISHED):
            yield file, found[1]


_UNFINISHED = ".part"


def _write(file: Path, data: bytes) -> None:
    unfinished = file.with_name(file.name + _UNFINISHED)
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, file)
    except OSError:
        unfinished.unlink(missing_ok=True)  # a full disk is to have room for others
        raise


def _address(folder: Path) -> str | None:
    try:
        return (folder / _ADDRESS).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _size(root: Path) -> int:
    """Bytes of all that waits; what another process removes meanwhile has none."""
    total = 0
    for folder, _, files in os.walk(root):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.path.getsize(os.path.join(folder, name))
    return total


def _remove(folder: Path) -> None:
    """Removes a folder whose lock is held; another process that has just opened the lock may leave an empty one."""
    for file in folder.iterdir():
        if file.name != _LOCK:
            file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / _LOCK).unlink()
        folder.rmdir()


def _locked(folder: Path) -> IO[bytes] | None:
    """The lock of a folder, held until it is closed or the process ends; None if somebody else holds it."""
    file = open(folder / _LOCK, "ab")  # it is the lock
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            file.close()
            return None
        # The file system has no locks: what two send at a time is the same.
    return file


def _unlock(lock: IO[bytes]) -> None:
    """Lets go of a lock, also where a forked process has it, too."""
    if os.name != "nt":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
    lock.close()
