"""The Layers tab without a mouse and without eyes: axe-core's rules on all screens, and the main path by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from playwright.sync_api import Browser, Frame, Page, expect
from serving import TensorBoardServer, run_tensorboard

from tb_layerview import LayerReader, LayerWriter, demo

pytestmark = pytest.mark.e2e

AXE = Path(__file__).resolve().parents[2] / "tb_layerview_frontend/node_modules/axe-core/axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
STEPS, FIRST_NAN = 30, 20

# What is in the address, what is waited for, and what is clicked then.
SCREENS = {
    "picture": ("run=demo", "picture-canvas", ""),
    "distribution": ("run=demo&p.layerview.panel=distribution", "panel-distribution", ""),
    "units": ("run=demo&p.layerview.panel=units&p.layerview.unit=1", "unit-side", ""),
    "numbers": ("run=demo&p.layerview.panel=numbers", "numbers", ""),
    "findings": ("run=broken", "lead-finding", "all-findings"),
    "filter without a match": ("run=demo&p.layerview.filter=nothing", "filter-count", ""),
    "scales": ("run=demo", "picture-canvas", "scales"),
    "cost": ("run=demo", "picture-canvas", "cost"),
    "compared": ("run=broken&p.layerview.against=whole", "compare-threshold", ""),
}


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: run `npm ci` in tb_layerview_frontend")
    return AXE.read_text()


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of the demo, of a training that breaks, and of the same one where nothing breaks."""
    folder = tmp_path_factory.mktemp("logs")
    demo.train(str(folder / "demo"), epochs=1)
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "broken") as writer, LayerWriter(folder / "whole") as whole:
        for step in range(STEPS):
            array = rng.normal(size=(2, 6, 6, 4)).astype(np.float32)
            later = array.copy()
            whole.write(step, {"first": array, "later": 2 * later}, scalars={"loss": 1 / (step + 1)})
            if step >= FIRST_NAN:
                later[0, 2, 3, 1] = np.nan
            writer.write(step, {"first": array, "later": later}, scalars={"loss": 1 / (step + 1)})
    return folder


@pytest.fixture(scope="module")
def server(logdir: Path) -> Iterator[TensorBoardServer]:
    with run_tensorboard(logdir, "--load_fast=false", "--reload_interval=1") as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if anything throws in it."""
    context = browser.new_context(viewport={"width": 1280, "height": 736}, reduced_motion="reduce")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


def _open(page: Page, server: TensorBoardServer, state: str, dark: bool = False) -> Frame:
    """Opens the tab anew, with this in the address, and returns its frame."""
    page.goto("about:blank")
    page.goto(f"{server.url}/?darkMode={'true' if dark else 'false'}#layerview&p.layerview.{state}")
    handle = page.wait_for_selector("iframe[src*='plugin_entry']", state="attached", timeout=30_000)
    frame = handle.content_frame()
    assert frame is not None
    return frame


def _violations(frame: Frame, axe: str) -> list[str]:
    """What axe-core holds against what is on the screen, with the first element of each."""
    frame.evaluate(axe)
    found = frame.evaluate(
        "tags => axe.run(document, {runOnly: tags, resultTypes: ['violations']})",
        TAGS,
    )
    assert found["passes"], "axe-core has looked at nothing"
    return [
        f"{rule['id']} ({rule['impact']}): {rule['nodes'][0]['html'][:200]}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("width", "height", "dark"), [(1280, 736, False), (1920, 1000, True)])
def test_axe_finds_nothing_serious_on_any_screen(
    page: Page, server: TensorBoardServer, axe: str, width: int, height: int, dark: bool
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if dark else "light")
    found = {}
    for name, (state, there, opened) in SCREENS.items():
        frame = _open(page, server, state, dark)
        expect(frame.get_by_test_id(there).first).to_be_visible(timeout=30_000)
        if opened:
            frame.get_by_test_id(opened).click()
            expect(frame.get_by_test_id(opened)).to_have_attribute("aria-expanded", "true")
        # In the other colours the page is another one.
        assert ("lv-dark" in (frame.locator("html").get_attribute("class") or "")) == dark
        found[name] = _violations(frame, axe)
    assert not {name: violations for name, violations in found.items() if violations}


def test_axe_finds_nothing_serious_where_there_is_no_run(page: Page, axe: str, tmp_path: Path) -> None:
    with run_tensorboard(tmp_path, "--load_fast=false") as server:
        frame = _open(page, server, "run=")
        expect(frame.get_by_test_id("empty-state")).to_be_visible(timeout=30_000)
        assert not _violations(frame, axe)


def test_axe_sees_a_fault_where_there_is_one(page: Page, server: TensorBoardServer, axe: str) -> None:
    frame = _open(page, server, "run=demo")
    expect(frame.get_by_test_id("picture-canvas")).to_be_visible(timeout=30_000)
    frame.get_by_test_id("run-picker").evaluate("select => select.removeAttribute('aria-label')")
    frame.locator(".lv-run").evaluate("label => label.replaceWith(...label.querySelectorAll('select'))")
    assert any("select-name" in violation for violation in _violations(frame, axe))


def _state(page: Page) -> dict[str, str]:
    page.wait_for_timeout(300)  # the address follows a moment later
    return dict(re.findall(r"p\.layerview\.(\w+)=([^&]*)", page.evaluate("location.hash")))


def _tab_to(page: Page, frame: Frame, selector: str) -> None:
    """Presses Tab until the element has the focus, and checks that a person sees where they are on the way."""
    for _ in range(60):
        page.keyboard.press("Tab")
        at = frame.evaluate(
            """selector => {
              const at = document.activeElement;
              if (!at || at === document.body) return "outside";
              const framed = at.closest(".lv-filter") ?? at;
              const shown = getComputedStyle(framed).outlineStyle !== "none";
              return at.matches(selector) ? "there" : shown ? "on the way" : at.outerHTML.slice(0, 200);
            }""",
            selector,
        )
        if at == "there":
            return
        assert at in ("outside", "on the way"), f"no focus is seen on {at}"
    raise AssertionError(f"Tab does not lead to {selector}")


def test_from_opening_to_a_value_and_the_next_finding_by_keyboard(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    frame = _open(page, server, "run=broken&p.layerview.layer=first&p.layerview.step=3")
    picture = frame.get_by_test_id("tensor-picture")
    expect(picture).to_have_attribute("data-step", "3", timeout=30_000)

    _tab_to(page, frame, "[data-testid=step-slider]")
    page.keyboard.press("ArrowRight")
    expect(picture).to_have_attribute("data-step", "4")
    assert _state(page)["step"] == "4"

    _tab_to(page, frame, "[data-testid=scales]")
    page.keyboard.press("Enter")
    expect(frame.get_by_test_id("scales-panel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("scales-panel")).to_have_count(0)
    expect(frame.get_by_test_id("scales")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(6):
        page.keyboard.press("Tab")
    # Who tabs out of it leaves it behind.
    expect(frame.get_by_test_id("scales-panel")).to_have_count(0)

    page.keyboard.press("n")
    expect(picture).to_have_attribute("data-step", str(FIRST_NAN))
    state = _state(page)
    assert (state["layer"], state["step"]) == ("later", str(FIRST_NAN))

    _tab_to(page, frame, "[role=tree]")
    page.keyboard.press("ArrowUp")
    expect(frame.locator("[data-testid=layer-row][aria-selected=true]")).to_have_attribute("data-path", "first")

    _tab_to(page, frame, "[data-testid=slice-example]")
    page.keyboard.press("ArrowRight")
    assert _state(page)["at"] == "example%3A1"
    assert _state(page)["step"] == str(FIRST_NAN)

    _tab_to(page, frame, "[data-testid=picture]")
    expect(picture).not_to_have_class(re.compile("lv-pending"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    readout = frame.get_by_test_id("readout")
    index = [int(at) for at in (readout.get_attribute("data-index") or "").split(",")]
    assert index == [1, 1, 1, 0]
    run = LayerReader(logdir).run("broken")
    array = run.values(run.tensor("first"), FIRST_NAN).array
    assert float(readout.get_attribute("data-value") or "nan") == float(array[tuple(index)])
    assert _state(page)["step"] == str(FIRST_NAN)
    page.keyboard.press("Escape")
    expect(readout).not_to_have_attribute("data-index", re.compile("."))
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("picture")).not_to_be_focused()


def test_a_layer_alone_in_the_address_shows_its_first_tensor(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "run=demo&p.layerview.layer=hidden")
    expect(frame.get_by_test_id("tensor-activation-output")).to_have_attribute("aria-pressed", "true", timeout=30_000)
    expect(frame.locator("[data-testid=layer-row][aria-selected=true]")).to_have_attribute("data-path", "hidden")
    state = _state(page)
    assert (state["layer"], state["kind"], state["name"]) == ("hidden", "activation", "output")


def test_a_unit_chosen_in_units_is_outlined_in_the_picture(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "run=broken&p.layerview.layer=first&p.layerview.unit=2")
    expect(frame.get_by_test_id("readout")).to_contain_text("channel 2 is outlined", timeout=30_000)
    # Where the overlay is painted: 4 panels side by side or 2 × 2, of which the third has a frame and nothing else has.
    box = (
        frame.get_by_test_id("picture")
        .locator("canvas")
        .nth(1)
        .evaluate(
            """canvas => {
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          const xs = [], ys = [];
          for (let i = 3; i < data.length; i += 4) if (data[i] > 128) {
            xs.push(((i - 3) / 4) % width); ys.push(Math.floor((i - 3) / 4 / width));
          }
          const [left, right] = [Math.min(...xs) / width, Math.max(...xs) / width];
          const [top, bottom] = [Math.min(...ys) / height, Math.max(...ys) / height];
          return { left, right, top, bottom };
        }"""
        )
    )
    across, down = round(1 / (box["right"] - box["left"])), round(1 / (box["bottom"] - box["top"]))
    assert across * down == 4
    panel = round(box["left"] * across) + across * round(box["top"] * down)
    assert panel == 2
