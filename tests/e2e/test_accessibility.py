"""The Layers tab without a mouse and without eyes: axe-core's rules on all screens, and the main path by keyboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import ROOT, box_of, new_page, open_tab, settled, showing, state_of
from playwright.sync_api import Frame, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.commands import demo
from tb_layerview.format.model import KINDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.e2e

AXE = ROOT / "tb_layerview_frontend/node_modules/axe-core/axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
STEPS, FIRST_NAN = 30, 20
# What is played is over after a minute and more: nobody is so late to see that it plays.
MANY = 600

# What is waited for, what is in the address, and what is clicked then.
SCREENS: dict[str, tuple[str, dict[str, Any], str]] = {
    "network": ("lanes", {"run": "demo", "screen": "network"}, ""),
    "a lane opened": ("lanes", {"run": "demo", "screen": "network", "detail": 1}, ""),
    "a network that breaks": ("lanes", {"run": "broken", "screen": "network"}, ""),
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
    """Logs of the demo, of a training that breaks, of the same one where nothing breaks, and of many steps."""
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
    with LayerWriter(folder / "many") as writer:
        for step in range(MANY):
            writer.write(step, {"first": array, "later": array + step}, scalars={"loss": 1 / (step + 1)})
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
            settled(frame)
        # In the other colours the page is another one.
        assert ("lv-dark" in (frame.locator("html").get_attribute("class") or "")) == dark
        expect(frame.locator(".lv-pending")).to_have_count(0)  # what is about to be replaced is pale
        found[name] = _violations(frame, axe)
    assert not {name: violations for name, violations in found.items() if violations}


def test_axe_finds_nothing_serious_where_there_is_no_run(page: Page, axe: str, tmp_path: Path) -> None:
    with showing(tmp_path, "--load_fast=false") as server:
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
    expect(picture).to_have_attribute("data-step", "3")

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
    expect(frame.get_by_test_id("tensor-activation-output")).to_have_attribute("aria-pressed", "true")
    expect(frame.locator("[data-testid=layer-row][aria-selected=true]")).to_have_attribute("data-path", "hidden")
    state = state_of(page)
    assert (state["layer"], state["kind"], state["name"]) == ("hidden", "activation", "output")


def test_a_unit_chosen_in_units_is_outlined_in_the_picture(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "readout", run="broken", layer="first", unit=2)
    expect(frame.get_by_test_id("readout")).to_contain_text("channel 2 is outlined")
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


WIDTHS = (600, 800, 1000, 1280, 1440, 1920, 2560)
#: Where controls stand, and those that are told of their boxes.
BARS = (
    ".lv-top",
    ".lv-findings-line",
    ".lv-examples",
    ".lv-lanes-heads",
    ".lv-timeline",
    ".lv-toolbar",
    ".lv-title",
    ".lv-tabs",
    ".lv-picture",
)
CONTROLS = """bar => [...bar.querySelectorAll(
    "button, select, input:not([type=range]), [role=slider], .lv-lanes-heads > span:not(.lv-flow-tick), label.lv-check"
  )].filter((one) => one.checkVisibility() && one.getBoundingClientRect().width > 0).map((one) => {
    const { x, y, width, height } = one.getBoundingClientRect();
    const own = one.closest("label, .lv-filter") ?? one.parentElement;
    return {
      name: one.outerHTML.slice(0, 120), x, y, width, height,
      cut: one.matches("button") && one.scrollWidth > one.clientWidth + 1,
      text: (one.getAttribute("aria-label") || one.innerText || one.title || own.innerText || "").trim(),
      inside: !one.matches("label") && !!one.closest("label.lv-check, .lv-filter"),
    };
  })"""


def _faults_of_boxes(frame: Frame, width: int) -> list[str]:
    """What is wrong with where the controls stand: upon each other, cut off, without a name, beyond the page."""
    found = []
    sideways, room = frame.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    main = frame.locator(".lv-main").evaluate("main => [main.scrollWidth, main.clientWidth]")
    if sideways > room or main[0] > main[1]:
        found.append(f"the page is {sideways} wide, its main part {main}")
    boxes = [box for bar in BARS for place in frame.locator(bar).all() for box in place.evaluate(CONTROLS)]
    assert len(boxes) > 8
    for i, box in enumerate(boxes):
        if box["cut"]:
            found.append(f"cut: {box['name']}")
        if not box["text"]:
            found.append(f"no name: {box['name']}")
        is_box = "checkbox" in box["name"] or "radio" in box["name"]
        if box["width"] < (12 if is_box else 20) or box["x"] < 0 or box["x"] + box["width"] > width + 0.5:
            found.append(f"at {box['x']:.0f}, {box['width']:.0f} wide: {box['name']}")
        for other in boxes[:i]:
            if not (box["inside"] or other["inside"]) and _overlap(box, other) > 1:
                found.append(f"{box['name']} upon {other['name']}")
    return found


@pytest.mark.parametrize("run", ["demo", "broken"])
@pytest.mark.parametrize(
    "fields",
    [{"screen": "network"}, {"screen": "network", "detail": 1}, {"screen": "map"}],
    ids=["network", "a lane opened", "map"],
)
def test_controls_lie_beside_each_other_whole_and_named_at_every_width(
    page: Page, server: TensorBoardServer, fields: dict[str, Any], run: str
) -> None:
    frame = _open(page, server, "findings", run=run, **fields)
    expect(frame.locator("[data-testid=lanes], [data-testid=map-canvas]").first).to_be_visible()
    expect(frame.locator(".lv-pending")).to_have_count(0)
    found = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        settled(frame)
        found[width] = _faults_of_boxes(frame, width)
    assert not {width: faults for width, faults in found.items() if faults}


def test_what_a_button_opens_lies_on_the_page_at_every_width(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "map-canvas", run="demo")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        settled(frame)
        for button in frame.locator(":is(.lv-top, .lv-toolbar) .lv-popover-button").all():
            button.click()
            box = box_of(frame.get_by_role("dialog"))
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width, (width, button.get_attribute("data-testid"))
            page.keyboard.press("Escape")
            expect(frame.get_by_role("dialog")).to_have_count(0)


def test_at_twice_the_size_all_is_there(browser: Browser, server: TensorBoardServer, axe: str) -> None:
    """A page of 1,280 pixels at 200 % has 640 of CSS."""
    with new_page(browser, viewport={"width": 640, "height": 500}, device_scale_factor=2) as page:
        for fields in ({"screen": "network"}, {"screen": "map"}):
            frame = _open(page, server, "findings", run="broken", **dict[str, Any](fields))
            expect(frame.locator("[data-testid=lanes], [data-testid=map-canvas]").first).to_be_visible()
            assert not _faults_of_boxes(frame, 640)
            assert not _violations(frame, axe)


def test_controls_are_where_they_were_at_every_step(page: Page, server: TensorBoardServer) -> None:
    """At widths at which the bar has little room, too."""
    frame = _open(page, server, "findings", run="broken", step=0)
    for width in (1279, 1300, 1340, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        settled(frame)
        places = set()
        for _ in range(STEPS):
            places.add(
                frame.locator(".lv-top, .lv-findings").evaluate_all(
                    """bars => JSON.stringify(bars.flatMap((bar) => [...bar.querySelectorAll("button, select, input")])
                      .map((one) => { const {x, y, width} = one.getBoundingClientRect(); return [x, y, width]; }))"""
                )
            )
            page.keyboard.press("ArrowRight")
        assert len(places) == 1, width
        page.keyboard.press("Home")


def test_the_network_is_used_by_keyboard_alone(page: Page, server: TensorBoardServer) -> None:
    page.emulate_media(reduced_motion="no-preference")
    frame = _open(page, server, "lanes", run="many", screen="network", step=3)
    expect(frame.locator("[data-testid=lanes][data-pending=false]")).to_be_attached()
    # Another step, by the line of the steps.
    _tab_to(page, frame, ".lv-timeline-line")
    page.keyboard.press("ArrowRight")
    expect(frame.locator(".lv-timeline-line")).to_have_attribute("aria-valuenow", "4")
    # Play, and pause.
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(frame.get_by_test_id("play")).to_have_attribute("aria-label", "Pause")
    expect(frame.locator(".lv-timeline-line")).not_to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("Space")
    expect(frame.get_by_test_id("play")).to_have_attribute("aria-label", "Play through the steps")
    # Another example.
    _tab_to(page, frame, "[data-testid=example-1]")
    page.keyboard.press("Enter")
    expect(frame.get_by_test_id("example-1")).to_have_attribute("aria-checked", "true")
    # A lane's tensor, and back.
    _tab_to(page, frame, "[data-layer=later] .lv-lane-name")
    page.keyboard.press("Enter")
    expect(frame.locator(".lv-detail h2")).to_have_text("later")
    page.keyboard.press("Escape")
    expect(frame.locator(".lv-detail")).to_have_count(0)
    page.keyboard.press("g")
    expect(frame.get_by_test_id("map-canvas").first).to_be_visible()
    page.keyboard.press("g")
    expect(frame.get_by_test_id("lanes")).to_be_visible()


def test_who_asks_for_less_motion_plays_a_step_at_a_time(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "lanes", run="broken", screen="network", step=0)
    play, step = frame.get_by_test_id("play"), frame.locator(".lv-timeline-line")
    expect(play).to_have_attribute("aria-label", "Play one step")
    assert "less motion" in (play.get_attribute("title") or "")
    for at in ("1", "2"):
        play.click()
        expect(step).to_have_attribute("aria-valuenow", at)
        page.wait_for_timeout(600)
        expect(step).to_have_attribute("aria-valuenow", at)


def test_no_tool_lies_upon_another_however_narrow_the_window_is(page: Page, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    with LayerWriter(tmp_path / "all kinds") as writer:
        for step in range(3):
            for kind in KINDS:
                writer.write(step, {"dense": array + step}, kind)
    with showing(tmp_path, "--load_fast=false") as server:
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
