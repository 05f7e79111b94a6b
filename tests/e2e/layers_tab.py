"""The Layers tab in a browser: how the end-to-end tests open it, and how they read what it shows."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import time
import urllib.parse
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving import TensorBoardServer, run_tensorboard

from tb_layerview import LayerReader

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Download, Frame, Locator, Page, Request

ROOT = Path(__file__).resolve().parents[2]
# `make pictures` has the tests renew those of the documents.
PICTURES = ROOT / ("docs" if os.environ.get("UPDATE_PICTURES") else "build") / "pictures"
# The other stack's interpreter.
OTHER_PYTHON = Path(os.environ.get("ESTIMATOR_STACK", ROOT / ".venv-estimator" / "bin" / "python"))
TORCH_PYTHON = ROOT / ".venv-torch" / "bin" / "python"
#: Milliseconds after which something hangs: how long it takes says nothing on a busy machine.
PATIENCE = 120_000
#: Longer than any of the tab's own delays, and some frames in which what came of them is drawn. Timers of one page end
#: in the order of their times, however late all of them are.
_DELAYS = """async () => {
  await new Promise((done) => setTimeout(done, 250));
  for (let i = 0; i < 3; i++) {
    await new Promise((done) => requestAnimationFrame(done));
    await new Promise((done) => setTimeout(done));
  }
}"""


@dataclasses.dataclass
class _Asked:
    """What a page asks the plugin.

    Attributes:
      count: How many requests have begun, and have ended.
      under_way: Those that have not ended.
    """

    count: int = 0
    under_way: set[Request] = dataclasses.field(default_factory=set)

    def begins(self, request: Request) -> None:
        if "/plugin/layerview/" in request.url:
            self.count += 1
            self.under_way.add(request)

    def ends(self, request: Request) -> None:
        if request in self.under_way:
            self.count += 1
            self.under_way.discard(request)

    def is_waiting(self) -> bool:
        """Whether an answer is to come; what was asked by a page that is no longer there gets none."""
        for request in [one for one in self.under_way if one.frame.is_detached()]:
            self.ends(request)
        return bool(self.under_way)


_ASKED: weakref.WeakKeyDictionary[Page, _Asked] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def new_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in a profile of its own, which waits for what it is told to as long as a busy machine may take."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    asked = _ASKED[page] = _Asked()
    page.on("request", asked.begins)
    page.on("requestfinished", asked.ends)
    page.on("requestfailed", asked.ends)
    try:
        yield page
    finally:
        context.close()


@contextlib.contextmanager
def showing(logdir: str | os.PathLike[str], *flags: str, **options: Any) -> Iterator[TensorBoardServer]:
    """See `serving.run_tensorboard`; it has read all steps of the folder's whole runs."""
    steps = {run.name: len(run.steps) for run in LayerReader(logdir).runs() if len(run.steps) and not run.problems}
    with run_tensorboard(logdir, *flags, **options) as server:
        end = time.monotonic() + PATIENCE / 1000
        while True:
            listed = json.loads(server.get("/data/plugin/layerview/runs").body)["runs"]
            if steps.items() <= {run["run"]: run["steps"] for run in listed}.items():
                break
            assert time.monotonic() < end, f"of {steps} it has read {listed}"
            time.sleep(0.1)
        yield server


def open_tab(page: Page, server: TensorBoardServer, shown: str, dark: bool = False, **fields: object) -> Frame:
    """Opens the tab and waits until it shows something, and until it has done all that it then does by itself.

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

    frame = _frame_in(place)
    expect(frame.get_by_test_id(shown).first).to_be_visible()
    settled(frame)
    return frame


def _frame_in(place: Page | Frame) -> Frame:
    frame = place.wait_for_selector("iframe[src*='plugin_entry']", state="attached").content_frame()
    assert frame is not None
    return frame


def settled(frame: Frame) -> None:
    """Waits until the tab has done what it had begun: its delays are over, its requests answered, and all is drawn."""
    asked = _ASKED[frame.page]
    end, before = time.monotonic() + PATIENCE / 1000, -1
    while asked.is_waiting() or asked.count != before:
        assert time.monotonic() < end, f"there is no answer to {[request.url for request in asked.under_way]}"
        before = asked.count
        frame.evaluate(_DELAYS)


@contextlib.contextmanager
def words_seen(frame: Frame, place: str, words: str) -> Iterator[None]:
    """Something says these words while the block runs or afterwards, for however short a time.

    Args:
      frame: The tab.
      place: The test id of what says them.
      words: What its text holds.
    """
    frame.evaluate(
        """([place, words, patience]) => {
          window.seen = new Promise((done) => {
            const look = () => {
              const found = [...document.querySelectorAll(`[data-testid=${place}]`)];
              if (found.some((one) => one.textContent.includes(words))) done(true);
            };
            new MutationObserver(look)
              .observe(document.body, { subtree: true, childList: true, characterData: true });
            setTimeout(() => done(false), patience);
          });
        }""",
        [place, words, PATIENCE],
    )
    yield
    assert frame.evaluate("window.seen"), f"{place} never said {words!r}"


def state_of(place: Page | Frame) -> dict[str, str]:
    """What the address of TensorBoard's page says of the tab: the field's name and its value."""
    settled(_frame_in(place))  # it is written a moment after the last change
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
