"""Where a log folder is: on this machine, or in a store that a package of its own opens."""

from __future__ import annotations

import importlib.util
import os
import re
import sys

#: The schemes that are opened, and the package that opens each; fsspec itself brings `memory://`.
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "hdfs": "pyarrow",
    "memory": "fsspec",
}
#: The extra of tb_layerview that brings a package.
_EXTRAS = {"s3fs": "s3", "gcsfs": "gcs", "adlfs": "azure"}
_OPENED = (
    "s3:// (pip install s3fs), gs:// (pip install gcsfs), abfs:// and az:// (pip install adlfs), hdfs:// (pip install "
    "fsspec pyarrow), whatever else fsspec opens and, within one process, memory:// (pip install fsspec)"
)
#: What fsspec opens that is no store of its own: files of this machine, pages, and what leads on to another address.
_NO_STORES = frozenset(
    (
        *("file", "local", "asynclocal", "dir", "dvc", "git", "github", "gist", "data", "http", "https"),
        *("generic", "reference", "dask", "blockcache", "cached", "filecache", "simplecache", "async_wrapper"),
        *("asyncwrapper", "zip", "tar", "libarchive", "pyscript", "jlab", "jupyter"),
    )
)
# What pathlib and os.path leave of `gs://bucket/run` is a folder called `gs:`. Other folders may end in a colon.
_OTHERS = "s3n|viewfs|har|webhdfs|wasb|wasbs|adl|azfs|oss|ram|http|https|ftp|cns"
_KNOWN = "|".join([*PACKAGES, _OTHERS])
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"
_WHOLE = re.compile(rf"({_SCHEME})://(.*)", re.DOTALL)
_WITHIN = re.compile(rf"({_SCHEME})://")
# Windows' drives, `C:\logs` and `C:/logs`, are none of these.
_COLLAPSED = re.compile(rf"(?:^|[/\\])({_KNOWN}):(?:[/\\]+(.*)|$)", re.IGNORECASE | re.DOTALL)
_FILE = re.compile(r"file://(?:localhost)?(/.*)", re.IGNORECASE | re.DOTALL)
_SECRET_IN = re.compile(r"[?;&][^/]*(?:sig|token|secret|key|passw|credential)[\w-]*=", re.IGNORECASE)
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
        installed, one that holds a password, or one of which pathlib or os.path have left a folder's name. Without this
        a folder would be made here that is called `s3:`.
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
    if re.search(r":(?![0-9]*$)", re.sub(r"^\[[0-9A-Fa-f:.]*\]", "", rest.partition("/")[0])):
        raise ValueError(
            f"{said}, and a password or key has no place in an address, as it would be shown wherever the log is: "
            f"what opens {scheme}:// finds credentials in environment variables or files of its own. Give the address "
            f"without what stands before the @, or {_WAY_OUT}."
        )
    _refuse_what_nothing_opens(scheme, said)
    if _SECRET_IN.search(rest):
        raise ValueError(
            f"the address of {scheme}:// is signed or holds a key, which would be shown wherever the log is: what "
            f"opens {scheme}:// finds credentials in environment variables or files of its own. Give the address "
            f"without what stands after the ? or ;, or {_WAY_OUT}."
        )
    if "://" in rest or not rest.strip("/"):
        raise ValueError(f"{said}, nor is it one in a store: give {scheme}://, the store's name and a folder in it.")
    return f"{scheme}://{rest.rstrip('/')}"


def _refuse_what_nothing_opens(scheme: str, said: str) -> None:
    """Raises a ValueError, which begins with what is `said`, for a scheme that nothing opens that is installed."""
    package = PACKAGES.get(scheme)
    lacking = [name for name in ("fsspec", package) if name and importlib.util.find_spec(name) is None]
    if (not lacking and package) or is_gfiles(scheme):
        return
    if package is None:
        known, why = (False, "") if lacking else _opened_by_fsspec(scheme)
        if not known:
            raise ValueError(
                f"{said}, and {scheme}:// is not opened here: {_OPENED} are. Give one of them, or {_WAY_OUT}."
            )
        if why:
            opened = f"{scheme}:// is opened by fsspec, which says: {why}"
            raise ValueError(f"{said}: {opened}. Install that, or {_WAY_OUT}.")
        return
    if package == "pyarrow":
        package, install = " and ".join(lacking), " ".join(lacking)
    else:
        install = package
    extra = f", or pip install 'tb_layerview[{_EXTRAS[package]}]'" if package in _EXTRAS else ""
    verb, are = ("packages", "are") if " and " in package else ("package", "is")
    raise ValueError(
        f"{said}: {scheme}:// is opened by the {verb} {package}, which {are} not installed. "
        f"Run  pip install {install}{extra},  or {_WAY_OUT}."
    )


def _opened_by_fsspec(scheme: str) -> tuple[bool, str]:
    """Whether fsspec, which is installed, knows a scheme of a store, and why it cannot open it; "" where it can."""
    if scheme in _NO_STORES:
        return False, ""
    import fsspec

    # Those that it brings or that are installed, and those that this process has registered.
    if scheme not in fsspec.available_protocols() and scheme not in fsspec.registry:
        return False, ""
    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        return True, " ".join(str(error).split()).rstrip(".")
    return True, ""


def is_gfiles(scheme: str) -> bool:
    """Whether TensorFlow's own `tf.io.gfile` opens a scheme, as fsspec does not: not unless TensorFlow is loaded."""
    if not _is_registered(scheme):
        return False
    if importlib.util.find_spec("fsspec") is None:
        return True
    package = PACKAGES.get(scheme)
    if package is not None:
        return importlib.util.find_spec(package) is None
    return _opened_by_fsspec(scheme) != (True, "")


def is_twice(scheme: str) -> bool:
    """Whether both fsspec and TensorFlow, which is loaded, open a scheme: fsspec then does."""
    return _is_registered(scheme) and not is_gfiles(scheme)


def _is_registered(scheme: str) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not scheme or scheme in _NO_STORES:
        return False
    try:
        return scheme in tensorflow.io.gfile.get_registered_schemes()
    except AttributeError:  # it is being imported, or one of TensorBoard's own
        return False


def _shown(path: str) -> str:
    """A path as it was given, but for a password in it or a signature at its end."""
    return repr(re.sub(r"\?.*=.*", "?…", without_password(path), flags=re.DOTALL))


def without_password(path: str) -> str:
    """A path or address as it may be shown: a password in it is `…`."""
    shown = re.sub(r"(:[/\\]+[^/\\:@]*:)(?![0-9]*(?:[/\\]|$)).*@", r"\1…@", path, flags=re.DOTALL)
    return re.sub(r"(://[^/:@]*:)(?!…@|[0-9]*(?:/|$)).*", r"\1…", shown, flags=re.DOTALL)


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
            f"{_shown(path)} is not a folder on this machine, but what pathlib.Path or os.path leave of "
            f"{without_password(address)}: they take two slashes for one. "
            f"Give {_shown(address)} as a string, or {_WAY_OUT}."
        )
