"""The page that `tb-layerview export` writes, in Chromium: nothing in it runs, and nothing is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page, expect

from tb_layerview import LayerWriter
from tb_layerview.commands import cli

pytestmark = [pytest.mark.e2e, pytest.mark.once]
NAME = '</script></title></style><img src="x" onerror="window.broken = 1"><script>window.broken = 2</script>'


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_hostile_log_is_shown_as_text_in_a_page_that_asks_for_nothing(
    page: Page, tmp_path: Path, width: int, dark: bool
) -> None:
    rng = np.random.default_rng(0)
    with LayerWriter(tmp_path / "run") as writer:
        for step in range(8):
            maps = rng.normal(size=(4, 8, 8, 12))
            if step == 7:
                maps[0, 0, 0, 0] = np.nan
            writer.write(step, {NAME: maps, "long" * 200: maps[:, 0, 0]}, axes=None, scalars={NAME: float(step)})
    file = tmp_path / "page.html"
    assert cli.main(["export", str(tmp_path / "run"), "--html", str(file)]) == 0
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.goto(file.as_uri())
    expect(page.locator(".layers")).to_contain_text(NAME)
    assert page.evaluate("window.broken") is None
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert page.evaluate("Array.from(document.images, image => image.naturalWidth > 0)").count(False) == 0
    assert page.evaluate("document.images.length") >= 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(32, 33, 36)" if dark else "rgb(245, 245, 245)")
    second = page.locator("summary").last
    second.click()
    expect(page.locator("details[open] .numbers").last).to_contain_text("rms")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
