"""`lv.show` in a real kernel: whose TensorBoard it is, where it listens, and what is said where it cannot be."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

nbclient = pytest.importorskip("nbclient")
from listening import addresses  # noqa: E402
from notebooks import html_of, notebook, printed  # noqa: E402
from serving import get  # noqa: E402

import tb_layerview as lv  # noqa: E402

pytestmark = pytest.mark.once

SHOW = "import tb_layerview as lv\nlv.show('logs', height=640)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a log, in which a notebook works."""
    with lv.LayerWriter(tmp_path / "logs" / "run") as writer:
        writer.write(0, {"dense": np.ones((4, 3))})
    return tmp_path


def port_of(html: str) -> int:
    """The port in the address that a frame is given, which ends in the tab's name."""
    found = re.search(r"const port = (\d+);.*url\.hash = \"layerview\"; frame\.src = url;", html, re.DOTALL)
    assert found is not None, html
    return int(found[1])


def test_the_tab_is_shown_as_wide_as_the_cell_by_this_environments_tensorboard_on_this_machine_alone(
    folder: Path,
) -> None:
    # The tensorboard on the path is another one: it would end at once.
    (folder / "bin").mkdir()
    (folder / "bin" / "tensorboard").symlink_to("/bin/false")
    with notebook(folder, its_own=True, PATH=os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])) as cells:
        outputs = cells.run(SHOW)
        html = html_of(outputs)
        assert 'width="100%" height="640"' in html
        (server,) = cells.servers()
        assert server["port"] == port_of(html) and f"pid {server['pid']}" in printed(outputs)
        assert b"layerview" in get(f"http://127.0.0.1:{server['port']}/data/plugins_listing").body
        if sys.platform == "linux":
            assert "127.0.0.1" in addresses(server["pid"])
            assert addresses(server["pid"]) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
        # Once more it is the same one; a proxy of the notebook's is asked for the tab, too.
        again = cells.run("import os\nos.environ['TENSORBOARD_PROXY_URL'] = '/proxy/%PORT%/'\n" + SHOW)
        html = html_of(again)
        assert f'"/proxy/{server["port"]}/"' in html and 'url.hash = "layerview"' in html
        assert len(cells.servers()) == 1
        assert printed(cells.run("print(os.environ.get('TENSORBOARD_BINARY'))")) == "None\n"


def test_a_tensorboard_that_was_killed_is_not_shown_again(folder: Path) -> None:
    with notebook(folder) as cells:
        first = port_of(html_of(cells.run(SHOW)))
        os.kill(cells.servers()[0]["pid"], signal.SIGKILL)
        until = time.monotonic() + 120
        while _answers(first) and time.monotonic() < until:
            time.sleep(0.05)
        second = port_of(html_of(cells.run(SHOW)))
        assert second != first and _answers(second)


def test_what_cannot_be_shown_is_said_with_the_way_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="Run  tb-layerview view logs  in a shell"):
        lv.show("logs")
    with notebook(folder) as cells:
        with pytest.raises(nbclient.exceptions.CellExecutionError, match="'lgos' is not a folder"):
            cells.run("import tb_layerview as lv\nlv.show('lgos')")
        cells.run("import os\nos.environ['TENSORBOARD_BINARY'] = '/bin/false'")
        with pytest.raises(nbclient.exceptions.CellExecutionError, match="TensorBoard ended with exit status 1"):
            cells.run("lv.show('logs')")
        cells.run("os.environ['TENSORBOARD_BINARY'] = 'no-such-program'")
        with pytest.raises(nbclient.exceptions.CellExecutionError, match="let TENSORBOARD_BINARY name it"):
            cells.run("lv.show('logs')")


def _answers(port: int) -> bool:
    try:
        return get(f"http://127.0.0.1:{port}/data/plugins_listing").status == 200
    except OSError:
        return False
