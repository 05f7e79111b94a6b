"""What `view` and `lv.show` share: the folder that is looked at, and where the tab is, on this machine alone."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import types

from tb_layerview.format.addresses import checked, scheme_of
from tb_layerview.format.names import PLUGIN_NAME
from tb_layerview.reading.reader import LayerReader

#: Where TensorBoard listens, and nowhere else.
HOST = "127.0.0.1"
#: What stands at the end of TensorBoard's address for the tab to be open.
FRAGMENT = f"#{PLUGIN_NAME}"


def folder_with_runs(logdir: str | os.PathLike[str]) -> tuple[str, list[str]]:
    """A folder's absolute path or its address in a store, and the names of the runs below it, which may be none yet.

    Raises:
      NotADirectoryError: There is no such folder, or it cannot be read.
    """
    names = LayerReader(logdir).names()
    path = checked(logdir)
    return path if scheme_of(path) else os.path.abspath(os.path.expanduser(path)), names


def is_hidden_by_tensorflow(folder: str) -> bool:
    """Whether TensorBoard, where TensorFlow is installed, reads a folder by it alone, and TensorFlow cannot.

    TensorFlow 2.15 and 2.21 open `gs://` and `ram://`; TensorBoard itself opens all that fsspec does.
    """
    return scheme_of(folder) not in (None, "gs", "ram") and importlib.util.find_spec("tensorflow") is not None


def prepare_for_stores(folder: str) -> None:
    """Has TensorBoard, in this process, open a store that TensorFlow does not, and see what is added there."""
    scheme = scheme_of(folder)
    if scheme is None:
        return
    if is_hidden_by_tensorflow(folder):
        # It does without where a module of that name is there.
        sys.modules["tensorboard.compat.notf"] = types.ModuleType("tensorboard.compat.notf")
    if importlib.util.find_spec("fsspec") is not None:
        import fsspec

        # Without boto3 TensorBoard lists a store by fsspec, whose listings are kept for ever.
        fsspec.config.conf.setdefault(scheme, {}).setdefault("use_listings_cache", False)


def flags_for(folder: str) -> dict[str, str]:
    """TensorBoard's flags for a folder: of those that its Rust loader takes, a store is read by the Python one.

    That finds the credentials and the endpoint that `gcsfs` or TensorFlow find; the other one asks Google alone, and
    shows nothing, for good, where it finds no credentials of its own (tensorboard-data-server 0.7.2).
    """
    return {} if scheme_of(folder) is None else {"load_fast": "false"}


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine, and one may."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
