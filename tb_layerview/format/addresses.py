"""Where a log folder is: on this machine, or in a store that a package of its own opens."""

from __future__ import annotations

import importlib.util
import os
import re

#: The schemes that are opened, and the package that opens each; fsspec itself brings `memory://`.
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "memory": "fsspec",
}
#: The extra of tb_layerview that brings a package.
_EXTRAS = {"s3fs": "s3", "gcsfs": "gcs", "adlfs": "azure"}
_OPENED = (
    "s3:// (pip install s3fs), gs:// (pip install gcsfs), abfs:// and az:// (pip install adlfs) "
    "and, within one process, memory:// (pip install fsspec)"
)
# What pathlib and os.path leave of `gs://bucket/run` is a folder called `gs:`. Other folders may end in a colon.
_OTHERS = "s3n|hdfs|viewfs|har|webhdfs|wasb|wasbs|adl|azfs|oss|ram|http|https|ftp|cns"
_KNOWN = "|".join([*PACKAGES, _OTHERS])
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"
_WHOLE = re.compile(rf"({_SCHEME})://(.*)", re.DOTALL)
_WITHIN = re.compile(rf"({_SCHEME})://")
# Windows' drives, `C:\logs` and `C:/logs`, are none of these.
_COLLAPSED = re.compile(rf"(?:^|[/\\])({_KNOWN}):(?:[/\\]+(.*)|$)", re.IGNORECASE | re.DOTALL)
_FILE = re.compile(r"file://(?:localhost)?(/.*)", re.IGNORECASE | re.DOTALL)
_WAY_OUT = "give a local folder, and copy it there or from there"


def scheme_of(path: str) -> str | None:
    """The scheme of an address that `checked` has returned, in lower case; None for a path on this machine."""
    whole = _WHOLE.fullmatch(path)
    return whole[1].lower() if whole else None


def checked(logdir: str | os.PathLike[str]) -> str:
    """A path on this machine, or an address in a store that can be opened here: `s3://bucket/run`.

    `file:///logs` is `/logs`, as TensorFlow has it. Of an address the scheme is in lower case, and no slash at its end.

    Raises:
      ValueError: It is an address that cannot be opened: of no scheme that is known, of one whose package is not
        installed, or one of which pathlib or os.path have left a folder's name. Without this a folder would be made
        here that is called `s3:`.
    """
    path = os.fspath(logdir)
    local = _FILE.fullmatch(path)
    if local:
        return re.sub(r"^/(?=[A-Za-z]:)", "", local[1])
    whole = _WHOLE.fullmatch(path)
    if whole is None:
        _refuse_what_is_left(path)
        return path
    scheme, rest = whole[1].lower(), whole[2]
    said = f"{_shown(path)} is not a folder on this machine"
    package = PACKAGES.get(scheme)
    if package is None:
        raise ValueError(f"{said}, and {scheme}:// is not opened here: {_OPENED} are. Give one of them, or {_WAY_OUT}.")
    if importlib.util.find_spec(package) is None:
        extra = f", or pip install 'tb_layerview[{_EXTRAS[package]}]'" if package in _EXTRAS else ""
        raise ValueError(
            f"{said}: {scheme}:// is opened by the package {package}, which is not installed. "
            f"Run  pip install {package}{extra},  or {_WAY_OUT}."
        )
    if "://" in rest or not rest.strip("/"):
        raise ValueError(f"{said}, nor is it one in a store: give {scheme}://, the store's name and a folder in it.")
    return f"{scheme}://{rest.rstrip('/')}"


def _shown(path: str) -> str:
    """A path as it was given, but for a password in it."""
    return repr(re.sub(r"(://[^/:@]*:)[^/@]+@", r"\1…@", path))


def _refuse_what_is_left(path: str) -> None:
    """Raises a ValueError for a path on this machine that is made of an address."""
    within = _WITHIN.search(path)
    if within:
        raise ValueError(
            f"{_shown(path)} is not a folder on this machine, nor an address: {within[1]}:// stands within it. "
            f"Give the address alone, from {within[1]}:// on, or {_WAY_OUT}."
        )
    collapsed = _COLLAPSED.search(path)
    if collapsed:
        address = f"{collapsed[1]}://{(collapsed[2] or '').lstrip('/')}"
        raise ValueError(
            f"{path!r} is not a folder on this machine, but what pathlib.Path or os.path leave of {address}: they take "
            f"two slashes for one. Give {address!r} as a string, or {_WAY_OUT}."
        )
