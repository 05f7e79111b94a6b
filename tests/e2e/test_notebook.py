"""What `lv.show` puts below a cell, in Chromium: the Layers tab, at the frame's width."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("nbclient")

from layers_tab import box_of, tab_within
from notebooks import html_of, notebook
from playwright.sync_api import Page

from tb_layerview import LayerWriter

pytestmark = [pytest.mark.e2e, pytest.mark.once]
PAGE = "<!doctype html><meta charset=utf-8><title>A notebook</title><body style='margin: 0 20px'><div>{}</div>"


def test_the_tab_opens_below_the_cell_as_wide_as_it_is(page: Page, tmp_path: Path) -> None:
    with LayerWriter(tmp_path / "logs" / "run") as writer:
        for step in range(4):
            writer.write(step, {"dense": np.full((4, 3), step)}, scalars={"loss": 1.0 / (1 + step)})
    (tmp_path / "site").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with (
        notebook(tmp_path) as cells,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,  # a notebook's page comes from one
    ):
        html = html_of(cells.run("import tb_layerview as lv\nlv.show('logs', height=500)"))
        (tmp_path / "site" / "index.html").write_text(PAGE.format(html), encoding="utf-8")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for width in (600, 1000):
            page.set_viewport_size({"width": width, "height": 700})
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            frame = page.wait_for_selector("iframe", state="attached").content_frame()
            assert frame is not None
            tab_within(frame, "network")
            box = box_of(page.locator("iframe").first)
            assert (box["x"], box["width"], box["height"]) == (20, width - 40, 500)
            assert frame.url.partition("#")[2].startswith("layerview")
            page.screenshot(path=tmp_path / f"notebook_{width}.png")
        server.shutdown()
