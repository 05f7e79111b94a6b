"""`lv.show`: the Layers tab below a cell of a notebook."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tb_layerview.commands import loopback
from tb_layerview.format.names import PLUGIN_NAME

if TYPE_CHECKING:
    from tensorboard.manager import TensorBoardInfo

_BINARY = "TENSORBOARD_BINARY"  # TensorBoard's own variable for the program that is started
_PATIENCE = 10.0  # seconds for an answer of a server that is up
# Whatever proxy the machine has, it is not for the loopback device.
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def show(logdir: str | os.PathLike[str], *, height: int = 800) -> None:
    """Shows the Layers tab below the cell of a notebook, as wide as the cell.

    It is TensorBoard in a process of its own that listens on this machine alone and goes on when the notebook ends: the
    next `show` of the same folder takes it again. The line above the frame names its process.

    The frame has the host of the notebook's page: to another one browsers may deny their storage. Where the browser is
    on another machine than the notebook's kernel, forward the port, or let TensorBoard's variable TENSORBOARD_PROXY_URL
    say where it is: `/proxy/%PORT%/` with jupyter-server-proxy.

    Args:
      logdir: A folder that holds runs, or a run's own.
      height: Of the frame, in pixels.

    Raises:
      NotADirectoryError: There is no such folder.
      RuntimeError: This is no notebook, or TensorBoard does not start; the sentence has the way out.
    """
    if not _is_notebook():
        raise RuntimeError(
            "lv.show shows the tab below a cell of a notebook, and this is none. "
            f"Run  tb-layerview view {os.fspath(logdir)}  in a shell, which opens it in a browser."
        )
    folder, names = loopback.folder_with_runs(logdir)
    if loopback.is_hidden_by_tensorflow(folder):
        raise RuntimeError(
            f"TensorBoard in a notebook reads {folder} by TensorFlow, which is installed and cannot. "
            f"Run  tb-layerview view {folder}  in a shell, which does without it."
        )
    info = _start(folder)
    if not names:
        print(f"There is no run with layers below {os.fspath(logdir)!r} yet.")
    _display(info.port, height)


def _display(port: int, height: int) -> None:
    """Has TensorBoard make its frame, and opens the tab in it: the frame's address takes a fragment by no option."""
    from IPython.display import display
    from IPython.utils.capture import capture_output
    from tensorboard import notebook

    with capture_output() as captured:
        notebook.display(port=port, height=height)
    print(captured.stdout, end="")
    for output in captured.outputs:
        data = {kind: _with_fragment(content) for kind, content in output.data.items()}
        display(data, raw=True)
        if data == output.data:
            print("Choose Layers at the top, if it is not open yet.")


def _with_fragment(content: str) -> str:
    """TensorBoard's frame, in HTML or in Colab's JavaScript, with the tab in the address that it is given."""
    return re.sub(r"(\w+\.src = url;)", rf"url.hash = {json.dumps(PLUGIN_NAME)}; \1", content)


def _is_notebook() -> bool:
    """Whether this is the kernel of a notebook, and no script and no shell, by what TensorBoard goes by too."""
    loaded = sys.modules.get("IPython")  # a kernel has loaded it
    shell = None if loaded is None else loaded.get_ipython()
    return shell is not None and (_is_colab() or shell.has_trait("kernel"))


def _is_colab() -> bool:
    return "google.colab" in sys.modules


def _start(folder: str) -> TensorBoardInfo:
    """A TensorBoard over a folder that answers and has the tab: one that is there, else a new one.

    Raises:
      RuntimeError: None starts, or the one that does lacks the tab.
    """
    from tensorboard import manager

    # TensorBoard takes the first of this name on the path: of another environment, or none.
    own = Path(sys.executable).with_name("tensorboard.exe" if os.name == "nt" else "tensorboard")
    flags = {"logdir": folder, "host": loopback.HOST, **loopback.flags_for(folder)}
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    with _environment(_BINARY, os.environ.get(_BINARY) or (str(own) if own.exists() else None)):
        started = manager.start(arguments)
        # What was killed has left its note behind, and is taken for one that is up; its port may be another's by now.
        if isinstance(started, manager.StartReused) and not _serves(started.info.port, folder):
            for info in manager.get_all():
                if info.logdir == folder and _serves(info.port, folder):
                    return info
            started = manager.start([*arguments, f"--port={loopback.free_port()}"])
    if isinstance(started, manager.StartLaunched | manager.StartReused):
        if _has_tab(started.info.port):
            return started.info
        raise RuntimeError(
            f"the TensorBoard that starts here (process {started.info.pid}) has no Layers tab: it is not of the "
            "environment in which tb_layerview is installed, or finds it by PYTHONPATH alone, which TensorBoard takes "
            f"away. Install tb_layerview there, or let {_BINARY} name the program that has it."
        )
    if isinstance(started, manager.StartExecFailed):
        raise RuntimeError(
            f"no program `tensorboard` can be run: {started.os_error}. Put it on the PATH, or let {_BINARY} name it."
        )
    if isinstance(started, manager.StartFailed):
        said = (started.stderr or started.stdout or "nothing").strip()
        raise RuntimeError(f"TensorBoard ended with exit status {started.exit_code}. It said:\n{said}")
    raise RuntimeError(
        f"TensorBoard (process {started.pid}) did not start within a minute. It may yet: run the cell again."
    )


def _serves(port: int, folder: str) -> bool:
    """Whether a TensorBoard with the tab answers on a port of this machine, and shows a folder."""
    try:
        with _DIRECTLY.open(f"http://{loopback.HOST}:{port}/data/environment", timeout=_PATIENCE) as answer:
            shown = json.load(answer).get("data_location")
    except (OSError, ValueError):  # nobody is there, or somebody else
        return False
    return shown == folder and _has_tab(port)


def _has_tab(port: int) -> bool:
    """Whether a TensorBoard answers on a port of this machine, and has the tab."""
    try:
        with _DIRECTLY.open(f"http://{loopback.HOST}:{port}/data/plugins_listing", timeout=_PATIENCE) as answer:
            return PLUGIN_NAME in json.load(answer)
    except (OSError, ValueError):  # nobody is there, or somebody else
        return False


@contextlib.contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Gives an environment variable another value for a while; None leaves it as it is."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before
        elif value is not None:
            del os.environ[name]
