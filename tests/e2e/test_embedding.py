"""The tab under a path prefix, in a notebook's frame, and when the server goes and comes back."""

from __future__ import annotations

import functools
import http.server
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")

from layers_tab import OTHER_PYTHON, settled, showing, state_of, tab_within
from playwright.sync_api import Frame, Page, expect

from tb_layerview import LayerWriter

pytestmark = pytest.mark.e2e

FLAGS = ("--load_fast=false", "--reload_interval=1")


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    """A run of ten steps."""
    rng = np.random.default_rng(0)
    with LayerWriter(tmp_path / "run") as writer:
        for step in range(10):
            writer.write(step, {"dense": rng.normal(size=(4, 4))})
    return tmp_path


def _tab(place: Frame | Page) -> Frame:
    """The tab's own frame within TensorBoard's page, when its first screen is there and then the map with a picture."""
    tab = tab_within(place, "lanes")
    expect(tab.locator("[data-testid=lanes][data-step][data-pending=false]")).to_be_attached()
    tab.get_by_test_id("screen-map").click()
    expect(tab.get_by_test_id("picture-canvas")).to_be_visible()
    settled(tab)
    return tab


def test_the_tab_recovers_when_the_server_comes_back(page: Page, logdir: Path) -> None:
    with showing(logdir, *FLAGS) as server:
        port = urllib.parse.urlsplit(server.url).port
        page.goto(f"{server.url}/#layerview&p.layerview.step=4")
        tab = _tab(page)
        expect(tab.get_by_test_id("step-slider")).to_have_attribute("max", "9")
    expect(tab.get_by_test_id("connection-lost")).to_contain_text("TensorBoard does not answer")
    expect(tab.get_by_test_id("picture-canvas")).to_be_visible()
    # What was not read before is asked for in vain, and said.
    tab.get_by_test_id("step-slider").fill("9")
    expect(tab.get_by_test_id("detail-problem")).to_contain_text("could not be read")
    rng = np.random.default_rng(1)
    with LayerWriter(logdir / "run") as writer:
        for step in range(10, 15):
            writer.write(step, {"dense": rng.normal(size=(4, 4))})
    with showing(logdir, *FLAGS, f"--port={port}"):
        expect(tab.get_by_test_id("connection-lost")).to_have_count(0)
        expect(tab.get_by_test_id("step-slider")).to_have_attribute("max", "14")
        expect(tab.get_by_test_id("step-number")).to_have_value("9")
        expect(tab.get_by_test_id("detail-problem")).to_have_count(0)


@pytest.mark.parametrize(
    "python",
    [
        pytest.param(sys.executable, id="this TensorBoard"),
        pytest.param(
            str(OTHER_PYTHON),
            id="TensorBoard 2.15",
            marks=pytest.mark.skipif(not OTHER_PYTHON.exists(), reason="needs the other stack: make .venv-estimator"),
        ),
    ],
)
def test_the_tab_works_under_a_path_prefix(page: Page, logdir: Path, python: str) -> None:
    with showing(logdir, *FLAGS, "--path_prefix=/proxy/6006", python=python) as server:
        assert server.url.endswith("/proxy/6006")
        page.goto(f"{server.url}/#layerview")
        tab = _tab(page)
        tab.get_by_test_id("step-slider").fill("3")
        expect(tab.get_by_test_id("step-number")).to_have_value("3")
        assert state_of(page)["step"] == "3"
        assert urllib.parse.urlsplit(page.url).path == "/proxy/6006/"
        page.reload()
        again = tab_within(page, "picture-canvas")
        expect(again.get_by_test_id("step-number")).to_have_value("3")


@pytest.fixture
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A page server of another origin than TensorBoard's, as a notebook is, and its folder."""
    folder = tmp_path_factory.mktemp("notebook")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Keeps the test's output to what matters."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        # The same host, as %tensorboard has it: in another site's page browsers deny TensorBoard its storage.
        yield f"http://127.0.0.1:{running.server_address[1]}", folder
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("attributes", ["", 'sandbox="allow-scripts allow-same-origin"'], ids=["frame", "sandbox"])
def test_the_tab_works_in_a_notebooks_frame(
    page: Page, logdir: Path, notebook: tuple[str, Path], attributes: str
) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    url, folder = notebook
    with showing(logdir, *FLAGS) as server:
        # What %tensorboard makes of its cell, except for how it finds the port.
        (folder / "notebook.html").write_text(
            f'<!doctype html><title>A notebook</title><iframe id="tensorboard-frame" width="100%" height="800" '
            f'frameborder="0" src="{server.url}/#layerview" {attributes}></iframe>'
        )
        page.goto(f"{url}/notebook.html")
        handle = page.wait_for_selector("#tensorboard-frame", state="attached")
        outer = handle.content_frame()
        assert outer is not None
        tab = _tab(outer)
        tab.get_by_test_id("step-slider").fill("3")
        expect(tab.get_by_test_id("step-number")).to_have_value("3")
        assert state_of(outer)["step"] == "3"
        assert "#" not in page.url, "the notebook's own address is not ours"
        buttons = tab.get_by_role("button", name=re.compile("copy", re.IGNORECASE))
        for button in buttons.all():
            button.click()
        settled(tab)
        own = [problem for problem in problems if "layerview" in problem or "SecurityError" in problem]
        assert not own
