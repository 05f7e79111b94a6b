"""What TensorFlow's `tf.io.gfile` opens, as far as a store needs it: in the place of one of fsspec's file systems."""

from __future__ import annotations

import contextlib
import errno
import posixpath
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

_T = TypeVar("_T")


class GFileSystem:
    """The methods of a file system of fsspec's by which a store is read and written.

    Paths are whole addresses, `ram://logs/run`. TensorFlow must be loaded already.
    """

    async_impl = False

    def __init__(self) -> None:
        """Looks at nothing."""
        self._errors = sys.modules["tensorflow"].errors
        self._gfile = sys.modules["tensorflow"].io.gfile

    @staticmethod
    def _strip_protocol(path: str) -> str:
        return path

    def find(self, path: str, detail: bool = True) -> dict[str, dict[str, Any]]:
        """All files below a folder, by their paths; none where there is no folder."""
        folders = _translated(self._errors, lambda: list(self._gfile.walk(path)), path)
        files = [posixpath.join(folder, name) for folder, _, names in folders for name in names]
        return {entry["name"]: entry for entry in self._entries(files)}

    def ls(self, path: str, detail: bool = True) -> list[dict[str, Any]]:
        """The files and folders in a folder, or of a file the file itself.

        Raises:
          FileNotFoundError: There is neither.
        """
        if not _translated(self._errors, lambda: self._gfile.isdir(path), path):
            return [self._entry(path)]
        names = _translated(self._errors, lambda: self._gfile.listdir(path), path)
        return list(self._entries(posixpath.join(path, name.rstrip("/")) for name in names))

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        """Bytes of a file, fewer where it ends before.

        Raises:
          OSError: It cannot be read.
        """

        def read() -> bytes:
            with self._gfile.GFile(path, "rb") as file:
                length = file.size()
                if start >= length:
                    return b""
                file.seek(start)
                return bytes(file.read(min(end, length) - start))

        return _translated(self._errors, read, path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Makes a folder and those that it is in; it may be there."""
        _translated(self._errors, lambda: self._gfile.makedirs(path), path)

    def pipe_file(self, path: str, value: bytes) -> None:
        """Writes a file, whole, into a folder that is there.

        Raises:
          OSError: It cannot be written.
        """

        def write() -> None:
            if path.startswith("ram://") and self._gfile.exists(path):
                self._gfile.remove(path)  # it would be appended to
            with self._gfile.GFile(path, "wb") as file:
                file.write(value)

        _translated(self._errors, write, path)

    def _entries(self, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        """What is at paths that were listed; somebody may have removed it since."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                yield self._entry(path)

    def _entry(self, path: str) -> dict[str, Any]:
        found = _translated(self._errors, lambda: self._gfile.stat(path), path)
        return {"name": path, "size": found.length, "type": "directory" if found.is_directory else "file"}


def _translated(errors: Any, call: Callable[[], _T], path: str) -> _T:
    """What a call returns; TensorFlow's errors as those of the operating system."""
    try:
        return call()
    except errors.NotFoundError:
        raise FileNotFoundError(errno.ENOENT, "there is no such file or folder", path) from None
    except errors.PermissionDeniedError as error:
        raise PermissionError(errno.EACCES, str(error.message), path) from None
    except errors.DeadlineExceededError as error:
        raise TimeoutError(errno.ETIMEDOUT, str(error.message), path) from None
    except errors.OpError as error:
        raise OSError(errno.EIO, f"tf.io.gfile says: {error.message}", path) from None
