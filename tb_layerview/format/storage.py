"""Where a log's bytes lie: folders of this machine, and files that may be anything, as somebody else put them there."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO


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
