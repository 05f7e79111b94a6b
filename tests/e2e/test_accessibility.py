"""The Layers tab without a mouse and without eyes: axe-core's rules on all screens, and the main path by keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import ROOT, box_of, open_tab, state_of
from playwright.sync_api import Frame, Page, expect
from serving import TensorBoardServer, run_tensorboard

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.commands import demo
from tb_layerview.format.model import KINDS

pytestmark = pytest.mark.e2e

AXE = ROOT / "tb_layerview_frontend/node_modules/axe-core/axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
STEPS, FIRST_NAN = 30, 20

# What is waited for, what is in the address, and what is clicked then.
SCREENS = {
    "picture": ("picture-canvas", {"run": "demo"}, ""),
    "distribution": ("ridges", {"run": "demo", "panel": "distribution"}, ""),
    "heat map": ("histogram", {"run": "demo", "panel": "distribution", "history": "heat"}, ""),
    "units": ("unit-side", {"run": "demo", "panel": "units", "unit": 1}, ""),
    "numbers": ("numbers", {"run": "demo", "panel": "numbers"}, ""),
    "findings": ("lead-finding", {"run": "broken"}, "all-findings"),
    "rules": ("all-rules", {"run": "whole", "why": "rules"}, ""),
    "filter without a match": ("filter-count", {"run": "demo", "filter": "nothing"}, ""),
    "scales": ("picture-canvas", {"run": "demo"}, "scales"),
    "cost": ("picture-canvas", {"run": "demo"}, "cost"),
    "compared": ("compare-threshold", {"run": "broken", "against": "whole"}, ""),
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


def _open(page: Page, server: TensorBoardServer, shown: str, dark: bool = False, **fields: object) -> Frame:
    """Opens the tab anew, with this in the address, and returns its frame."""
    page.goto("about:blank")
    return open_tab(page, server, shown, dark, **fields)


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
    found = {}
    for name, (shown, fields, opened) in SCREENS.items():
        frame = _open(page, server, shown, dark, **fields)
        if opened:
            frame.get_by_test_id(opened).click()
            expect(frame.get_by_test_id(opened)).to_have_attribute("aria-expanded", "true")
        # In the other colours the page is another one.
        assert ("lv-dark" in (frame.locator("html").get_attribute("class") or "")) == dark
        expect(frame.locator(".lv-pending")).to_have_count(0)  # what is about to be replaced is pale
        found[name] = _violations(frame, axe)
    assert not {name: violations for name, violations in found.items() if violations}


def test_axe_finds_nothing_serious_where_there_is_no_run(page: Page, axe: str, tmp_path: Path) -> None:
    with run_tensorboard(tmp_path, "--load_fast=false") as server:
        frame = _open(page, server, "empty-state")
        assert not _violations(frame, axe)


def test_axe_sees_a_fault_where_there_is_one(page: Page, server: TensorBoardServer, axe: str) -> None:
    frame = _open(page, server, "picture-canvas", run="demo")
    frame.get_by_test_id("run-picker").evaluate("select => select.removeAttribute('aria-label')")
    frame.locator(".lv-run").evaluate("label => label.replaceWith(...label.querySelectorAll('select'))")
    assert any("select-name" in violation for violation in _violations(frame, axe))


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
    frame = _open(page, server, "tensor-picture", run="broken", layer="first", step=3)
    picture = frame.get_by_test_id("tensor-picture")
    expect(picture).to_have_attribute("data-step", "3", timeout=30_000)

    _tab_to(page, frame, "[data-testid=step-slider]")
    page.keyboard.press("ArrowRight")
    expect(picture).to_have_attribute("data-step", "4")
    assert state_of(page)["step"] == "4"

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
    state = state_of(page)
    assert (state["layer"], state["step"]) == ("later", str(FIRST_NAN))

    _tab_to(page, frame, "[role=tree]")
    page.keyboard.press("ArrowUp")
    expect(frame.locator("[data-testid=layer-row][aria-selected=true]")).to_have_attribute("data-path", "first")

    _tab_to(page, frame, "[data-testid=slice-example]")
    page.keyboard.press("ArrowRight")
    assert state_of(page)["at"] == "example:1"
    assert state_of(page)["step"] == str(FIRST_NAN)

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
    assert state_of(page)["step"] == str(FIRST_NAN)
    page.keyboard.press("Escape")
    expect(readout).not_to_have_attribute("data-index", re.compile("."))
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("picture")).not_to_be_focused()


def test_a_layer_alone_in_the_address_shows_its_first_tensor(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "layer-row", run="demo", layer="hidden")
    expect(frame.get_by_test_id("tensor-activation-output")).to_have_attribute("aria-pressed", "true", timeout=30_000)
    expect(frame.locator("[data-testid=layer-row][aria-selected=true]")).to_have_attribute("data-path", "hidden")
    state = state_of(page)
    assert (state["layer"], state["kind"], state["name"]) == ("hidden", "activation", "output")


def test_a_unit_chosen_in_units_is_outlined_in_the_picture(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "readout", run="broken", layer="first", unit=2)
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


def _overlap(one: dict[str, float], other: dict[str, float]) -> float:
    """How many pixels of two boxes lie upon each other, in the direction in which it is less; below 0 if none do."""
    sides = (("x", "width"), ("y", "height"))
    return min(min(b[at] + b[size] for b in (one, other)) - max(one[at], other[at]) for at, size in sides)


def test_no_tool_lies_upon_another_however_narrow_the_window_is(page: Page, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    with LayerWriter(tmp_path / "all kinds") as writer:
        for step in range(3):
            for kind in KINDS:
                writer.write(step, {"dense": array + step}, kind)
    with run_tensorboard(tmp_path, "--load_fast=false") as server:
        for width in (800, 1000, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 800})
            frame = _open(page, server, "picture-canvas", run="all kinds", kind="optimizer")
            for place, edge in ((".lv-top", width), (".lv-toolbar", box_of(frame.locator(".lv-map-pane"))["width"])):
                tools = frame.locator(f"{place} :is(button, select, input[type=search], input[type=text])")
                boxes = [(tool.evaluate("tool => tool.outerHTML"), box_of(tool)) for tool in tools.all()]
                assert len(boxes) > 5
                for i, (name, box) in enumerate(boxes):
                    assert box["width"] >= 20 and box["x"] + box["width"] <= edge, (width, name)
                    for other, beside in boxes[:i]:
                        is_within = "lv-filter" in name + other  # the choice of a class stands in the field's own frame
                        assert _overlap(box, beside) <= 1 or is_within, (width, name, other)
            frame.get_by_test_id("kind-optimizer").click()
            expect(frame.get_by_test_id("kind-optimizer")).to_have_attribute("aria-pressed", "true")
