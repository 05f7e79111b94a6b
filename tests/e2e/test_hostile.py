"""Names that would like to be something else, and damaged files, in Chromium: shown as text, and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")

from layers_tab import open_tab, settled
from playwright.sync_api import Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerWriter

pytestmark = pytest.mark.e2e

SCRIPT = "<script>window.top.broken = 1</script>"
IMAGE = '<img src="x" onerror="window.top.broken = 2">'
NAMES = (
    SCRIPT,
    IMAGE,
    "../../etc/passwd",
    "javascript:alert(1)",
    "control\x00\x07\x1b[31m\u2028\r\ncharacters",
    "\u202eright-to-left \u05e9\u05dc\u05d5\u05dd",
    "long" * 2500,
    "deep/" * 2000 + "end",
    "${1+1} {{1+1}} %s &lt;b&gt; '\"",
)
RUN = '<img src="x" onerror="window.top.broken = 3">'.replace("/", "")


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose folder, layers, tensors, axes and scalars are called all that, and which is damaged at one step."""
    folder = tmp_path_factory.mktemp("logs")
    rng = np.random.default_rng(0)
    with LayerWriter(folder / RUN) as writer:
        for step in range(10):
            arrays = {name: rng.normal(size=(4, 6)) for name in NAMES}
            if step == 9:
                arrays[IMAGE][0, 0] = np.nan
            writer.write(step, arrays, name=IMAGE, axes=(SCRIPT, IMAGE), scalars={IMAGE: float(step), "loss": 0.5})
    (path,) = (folder / RUN / "layers").glob("*tfevents*")
    content = bytearray(path.read_bytes())
    content[-2000] ^= 8  # behind the model, which has the long names
    path.write_bytes(content)
    return folder


def test_hostile_names_are_text_and_damage_is_named(page: Page, server: TensorBoardServer, tmp_path: Path) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    frame = open_tab(page, server, "map-canvas", run=RUN)
    for name in (SCRIPT, IMAGE, "${1+1} {{1+1}} %s &lt;b&gt; '\""):
        expect(frame.locator("body")).to_contain_text(name)
    for name in (SCRIPT, IMAGE):
        frame.get_by_text(name, exact=True).first.click()
        settled(frame)
    expect(frame.locator("body")).to_contain_text(RUN)
    # TensorBoard's own page has a script; none of the names became an element.
    assert frame.evaluate("document.querySelectorAll('img').length") == 0
    assert "broken" not in frame.evaluate("Array.from(document.scripts, script => script.text).join()")
    assert page.evaluate("window.broken") is None and dialogs == []
    width = frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 1, "a name of 10,000 characters makes the page wider"
    page.screenshot(path=tmp_path / "hostile.png")
    frame.get_by_test_id("cost").click()
    # The files are checked once the run is shown.
    expect(frame.locator("body")).to_contain_text("is damaged in the")
    page.screenshot(path=tmp_path / "hostile_trust.png")
