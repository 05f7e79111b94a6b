"""Cells run in a real kernel, and the TensorBoards that they start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from places import ROOT, environment

# A program, as TensorBoard keeps PYTHONPATH from those that it starts.
_BINARY = """#!{python}
import sys
sys.path.insert(0, {root!r})
sys.modules["tensorflow"] = None
from tensorboard import main
main.run_main()
"""


#: Seconds for a cell, for the kernel to start, and for what a cell puts out to come: four, if nothing is said.
PATIENCE = {"timeout": 300, "startup_timeout": 300, "iopub_timeout": 120}


class Notebook:
    """A notebook without cells, and the kernel that runs them.

    Attributes:
      temporary: The folder of temporary files, where each TensorBoard that is started leaves its note.
    """

    def __init__(self, client: Any, temporary: Path) -> None:
        self._client, self.temporary = client, temporary

    def run(self, source: str) -> list[Any]:
        """What a cell puts out; an error in it is raised as `nbclient.exceptions.CellExecutionError`."""
        import nbformat

        cell = nbformat.v4.new_code_cell(source)
        self._client.nb.cells.append(cell)
        self._client.execute_cell(cell, len(self._client.nb.cells) - 1)
        return list(cell.outputs)

    def servers(self) -> list[dict[str, Any]]:
        """The notes that TensorBoards have left: `pid`, `port`, ..."""
        return [json.loads(file.read_text()) for file in (self.temporary / ".tensorboard-info").glob("pid-*.info")]


@contextlib.contextmanager
def notebook(folder: Path, its_own: bool = False, **variables: str) -> Iterator[Notebook]:
    """A kernel that works in a folder; the TensorBoards that its cells start end with it.

    Args:
      folder: Where it works.
      its_own: Whether it finds a TensorBoard by itself, which is the installed one; else it is this checkout's, and
        loads no TensorFlow, which takes ten times as long.
      **variables: Variables of its environment.
    """
    import nbclient
    import nbformat

    temporary, binary = folder / "temporary", folder / "tensorboard-of-the-checkout"
    temporary.mkdir()
    binary.write_text(_BINARY.format(python=sys.executable, root=str(ROOT)))
    binary.chmod(0o755)
    of_the_checkout = {} if its_own else {"TENSORBOARD_BINARY": str(binary)}
    own = {**environment(TMPDIR=str(temporary), TF_CPP_MIN_LOG_LEVEL="3"), **of_the_checkout, **variables}
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(), **PATIENCE, resources={"metadata": {"path": str(folder)}}
    )
    with client.setup_kernel(env=own):
        made = Notebook(client, temporary)
        try:
            yield made
        finally:
            for server in made.servers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server["pid"], signal.SIGTERM)


def html_of(outputs: list[Any]) -> str:
    """The one piece of HTML among what a cell puts out."""
    (found,) = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    return str(found)


def printed(outputs: list[Any]) -> str:
    """What a cell prints."""
    return "".join(output.get("text", "") for output in outputs)
