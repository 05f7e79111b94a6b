"""Which folders can be logged to and read from: those of this machine's file system."""

from __future__ import annotations

import os
import re

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
            f"{path!r} is no folder on this machine, and layers cannot be logged to or read from {scheme}:// yet. "
            "Give a local folder, and copy it there or from there."
        )
    return path
