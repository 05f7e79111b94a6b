"""Where a log's bytes lie: folders of this machine, and files that may be anything, as somebody else put them there."""

from __future__ import annotations

import errno
import os
import re
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


# What pathlib leaves of `gs://bucket/run` is `gs:/bucket/run`, which a folder may be called too; so only known ones.
_KNOWN = "gs|gcs|s3|s3a|s3n|hdfs|viewfs|har|webhdfs|abfs|abfss|wasb|wasbs|adl|az|azfs|oss|ram|memory|http|https|ftp|cns"
# Windows' drives, `C:\logs` and `C:/logs`, have one letter and no second slash.
_ELSEWHERE = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*)://|({_KNOWN}):/", re.IGNORECASE)
_FILE = re.compile(r"file://(?:localhost)?(/.*)", re.IGNORECASE | re.DOTALL)


def local_folder(logdir: str | os.PathLike[str]) -> str:
    """The path of a folder on this machine; `file:///logs` is `/logs`, as TensorFlow has it.

    Raises:
      ValueError: It lies elsewhere: `gs://`, `s3://`, `hdfs://` and whatever else begins so would be made here as a
        folder that is called `gs:`.
    """
    path = os.fspath(logdir)
    local = _FILE.fullmatch(path)
    if local:
        return re.sub(r"^/(?=[A-Za-z]:)", "", local[1])
    elsewhere = _ELSEWHERE.match(path)
    if elsewhere:
        scheme = elsewhere[1] or elsewhere[2]
        raise ValueError(
            f"{path!r} is not a folder on this machine, and layers cannot be logged to or read from {scheme}:// yet. "
            "Give a local folder, and copy it there or from there."
        )
    return path
