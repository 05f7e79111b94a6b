"""Measures how quick the tab is: headless Chromium over a real TensorBoard. Writes docs/reports/benchmarks_ui.md."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from tb_layerview import Keep, LayerWriter, __version__

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "helpers"))  # the real TensorBoard and the real Chromium of the tests

from chromium import find_chromium  # noqa: E402
from serving import TensorBoardServer, run_tensorboard  # noqa: E402

from benchmarks import ui_slider  # noqa: E402

ROUNDS = 9
TABLE = ROOT / "docs" / "reports" / "benchmarks_ui.md"
SIZE = {"width": 1280, "height": 800}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
      what: What was measured.
      milliseconds: Each time it was.
      goal: What it is to reach.
    """

    what: str
    milliseconds: Sequence[float]
    goal: str


def steps_times_tensors(folder: str, steps: int = 1000, tensors: int = 100) -> None:
    """Logs arrays that change slowly, as layers of ten blocks."""
    rng = np.random.default_rng(0)
    arrays = [(rng.normal(size=(4, 8)) * np.exp(rng.normal())).astype(np.float32) for _ in range(tensors)]
    with LayerWriter(folder, keep=Keep(activations=0)) as writer:
        for step in range(steps):
            factors = 1 + 0.3 * np.sin(step / 200 + np.arange(tensors, dtype=np.float32))
            layers = {f"block_{i // 10}/layer_{i}": factors[i] * array for i, array in enumerate(arrays)}
            writer.write(step, layers, scalars={"loss": 1 / (step + 1)})


@contextlib.contextmanager
def served(log: Callable[[str], None]) -> Iterator[TensorBoardServer]:
    """Makes a log, and serves it; goes on when TensorBoard has read all of it."""
    with tempfile.TemporaryDirectory() as folder:
        log(f"{folder}/run")
        with run_tensorboard(folder, "--reload_interval=1") as server:
            read = -1
            while True:
                runs = json.loads(server.get("/data/plugin/layerview/runs").body)["runs"]
                known = runs[0]["steps"] if runs else 0
                if known and known == read:
                    break
                read = known
                time.sleep(2)
            yield server


def opened(page: Page, server: TensorBoardServer, state: str = "") -> Frame:
    """Opens the tab; returns its frame as soon as there is one."""
    page.goto(f"{server.url}/#layerview{state}")
    frame = page.wait_for_selector("iframe[src*='plugin_entry']", state="attached").content_frame()
    assert frame is not None
    return frame


def first_paint(browser: Browser, server: TensorBoardServer, screen: str) -> float:
    """Milliseconds from the frame's navigation to the first map or network, in a browser that has cached nothing."""
    context = browser.new_context(viewport=SIZE)
    frame = opened(context.new_page(), server, f"&p.layerview.screen={screen}")
    mark = f"performance.getEntriesByName('layerview {screen}')[0]?.startTime"
    milliseconds = float(frame.wait_for_function(mark).json_value())
    context.close()
    return milliseconds


def picture_moves(browser: Browser, server: TensorBoardServer, layer: str) -> tuple[list[float], list[float]]:
    """Milliseconds from the slider to the painted tensor: moves by one step, and jumps."""
    found = []
    for jumps in (False, True):
        context = browser.new_context(viewport=SIZE)
        page = context.new_page()
        layer_field = f"&p.layerview.layer={quote(layer, safe='')}"
        state = f"&p.layerview.screen=map&p.layerview.run=run{layer_field}"
        state += "&p.layerview.kind=activation&p.layerview.name=output"
        found.append(ui_slider.slider_moves(page, opened(page, server, state), jumps))
        context.close()
    return found[0], found[1]


def network_moves(browser: Browser, server: TensorBoardServer) -> tuple[list[float], list[float]]:
    """Milliseconds from the line of the loss to the painted network: moves by one step, and jumps."""
    found = []
    for jumps in (False, True):
        context = browser.new_context(viewport=SIZE)
        page = context.new_page()
        frame = opened(page, server, "&p.layerview.run=run&p.layerview.spacing=even")
        found.append(ui_slider.network_moves(page, frame, jumps))
        context.close()
    return found[0], found[1]


def rows() -> list[Row]:
    """Measures everything."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        with served(steps_times_tensors) as server:
            first_paint(browser, server, "map")
            times = [first_paint(browser, server, "map") for _ in range(ROUNDS)]
        found = [Row("first map on the screen after opening the tab, 1,000 steps × 100 tensors", times, "1,000 ms")]
        for name, log, layer, goal in (
            ("demo", ui_slider.demo_log, "block_2/relu", "100 ms"),
            ("ResNet-50", ui_slider.resnet_log, "conv2_block1_1_conv", "250 ms"),
        ):
            with served(log) as server:
                first_paint(browser, server, "network")
                times = [first_paint(browser, server, "network") for _ in range(ROUNDS)]
                found.append(Row(f"first network on the screen after opening the tab, {name}", times, "700 ms"))
                near, far = network_moves(browser, server)
                found.append(
                    Row(f"from the line of the loss to the painted network, {name}, to the next step", near, goal)
                )
                found.append(Row(f"the same, to any step, {name}", far, goal))
                near, far = picture_moves(browser, server, layer)
            found.append(Row(f"from the slider to the painted tensor, {name}, to the next step", near, "100 ms"))
            found.append(Row(f"the same, to any step, {name}", far, "100 ms"))
        browser.close()
    return found


def main() -> None:
    """Measures, prints the table, and writes it to docs/reports/benchmarks_ui.md."""
    lines = [
        "# Benchmarks of the tab",
        "",
        f"Written by `make bench-ui`: headless Chromium, {os.cpu_count()} cores, tb_layerview {__version__}.",
        "",
        "| what | median | 95 of 100 within | to reach |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows():
        late = float(np.percentile(row.milliseconds, 95, method="higher"))
        lines.append(f"| {row.what} | {statistics.median(row.milliseconds):.0f} ms | {late:.0f} ms | {row.goal} |")
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
