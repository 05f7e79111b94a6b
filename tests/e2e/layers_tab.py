"""The Layers tab in a browser: how the end-to-end tests open it, and how they read what it shows."""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from serving import TensorBoardServer

if TYPE_CHECKING:
    from playwright.sync_api import Download, Frame, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
# `make pictures` has the tests renew those of the documents.
PICTURES = ROOT / ("docs" if os.environ.get("UPDATE_PICTURES") else "build") / "pictures"
# The other stack's interpreter.
OTHER_PYTHON = Path(os.environ.get("ESTIMATOR_STACK", ROOT / ".venv-estimator" / "bin" / "python"))
TORCH_PYTHON = ROOT / ".venv-torch" / "bin" / "python"


def open_tab(page: Page, server: TensorBoardServer, shown: str, dark: bool = False, **fields: object) -> Frame:
    """Opens the tab and waits until it shows something.

    Args:
      page: The page that it is opened in.
      server: The TensorBoard.
      shown: The test id of what must be visible.
      dark: Whether both the browser and TensorBoard ask for dark colours.
      **fields: What stands in the address: the run, the layer, the step, ...

    Returns:
      The tab's own frame within TensorBoard's page.
    """
    page.emulate_media(color_scheme="dark" if dark else "light")
    # Most tests are of the map; what a person sees first is tests/e2e/test_network.py's.
    fields = {"screen": "map", **fields}
    address = "".join(f"&p.layerview.{name}={urllib.parse.quote(str(at), safe='')}" for name, at in fields.items())
    page.goto(f"{server.url}/?darkMode={str(dark).lower()}#layerview{address}")
    return tab_within(page, shown)


def tab_within(place: Page | Frame, shown: str) -> Frame:
    """Returns the tab's own frame within TensorBoard's page, when what has the test id `shown` is visible in it."""
    from playwright.sync_api import expect

    frame = place.wait_for_selector("iframe[src*='plugin_entry']", state="attached", timeout=30_000).content_frame()
    assert frame is not None
    expect(frame.get_by_test_id(shown).first).to_be_visible(timeout=30_000)
    return frame


def state_of(place: Page | Frame) -> dict[str, str]:
    """What the address of TensorBoard's page says of the tab: the field's name and its value."""
    place.wait_for_timeout(300)  # it is written a moment after the last change
    found = re.findall(r"p\.layerview\.(\w+)=([^&]*)", place.evaluate("location.hash"))
    return {name: urllib.parse.unquote(value) for name, value in found}


def logdir_of(server: TensorBoardServer) -> Path:
    """The log folder that a TensorBoard serves."""
    return Path(json.loads(server.get("/data/environment").body)["data_location"])


def box_of(place: Locator) -> dict[str, float]:
    """Where something is on the page, in pixels: x, y, width and height."""
    box = place.bounding_box()
    assert box is not None
    return dict(box)


def pixels_of(canvas: Locator) -> str:
    """A canvas' content."""
    return str(canvas.evaluate("canvas => canvas.toDataURL()"))


def number(text: str) -> float:
    """A number as the tab writes it."""
    return float(text.replace("−", "-").replace(",", ""))


def download(page: Page, frame: Frame, what: str, kind: str) -> Download:
    """Takes along "the-picture", "the-units", ... as a file of a kind: "npy", "csv" or "png"."""
    frame.get_by_test_id(f"take-along-{what}").click()
    with page.expect_download() as event:
        frame.get_by_test_id(f"download-{kind}").click()
    return event.value
