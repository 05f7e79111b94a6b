"""Cells run in a real kernel, and the TensorBoards that they start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from places import environment


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
def notebook(folder: Path, **variables: str) -> Iterator[Notebook]:
    """A kernel that works in a folder; the TensorBoards that its cells start end with it.

    Args:
      folder: Where it works.
      **variables: Variables of its environment.
    """
    import nbclient
    import nbformat

    temporary, without = folder / "temporary", folder / "without" / "tensorflow"
    temporary.mkdir()
    # TensorBoard starts as it does where no TensorFlow is installed, in a tenth of the time.
    without.mkdir(parents=True)
    (without / "__init__.py").write_text('raise ModuleNotFoundError("it is not to be loaded", name="tensorflow")\n')
    own = {**environment(without.parent, TMPDIR=str(temporary)), **variables}
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(), timeout=120, resources={"metadata": {"path": str(folder)}}
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
