"""What a newcomer wants to know, from the screen that opens to the answer: within three actions, by keyboard too."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

import guide_trainings as trainings
from layers_tab import open_tab, pixels_of, settled, showing, state_of, tab_within, words_seen
from playwright.sync_api import Frame, Locator, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader, LayerWriter

pytestmark = pytest.mark.e2e

#: More than these is no answer but a search.
MOST = 3
STEPS = 20


def _write_convolutions(folder: Path) -> None:
    """Two convolutions whose feature maps turn from one corner to the other."""
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "net") as writer:
        for step in range(STEPS):
            maps = rng.uniform(0, 0.1, size=(4, 6, 6, 3)).astype(np.float32)
            maps[:, :, step * 6 // STEPS] += 1
            writer.write(step, {"conv_1": maps, "conv_2": 2 * maps}, scalars={"loss": 1 / (step + 1)})
            kernel = rng.normal(size=(3, 3, 1, 3)) * 10.0 ** (-step / 10)
            writer.write(step, {"conv_1": 1e-3 * kernel, "conv_2": kernel}, kind="gradient")


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    _write_convolutions(folder)
    trainings.accuracy_is_stuck(folder / "stuck")
    trainings.one_batch_breaks_it(folder / "broken")
    trainings.transformer(folder / "transformer")
    trainings.run_b_is_worse(folder)
    return folder


@pytest.fixture(scope="module")
def server(logdir: Path) -> Iterator[TensorBoardServer]:
    with showing(logdir, "--load_fast=false") as server:
        yield server


class Person:
    """Somebody in front of the screen that opens, whose actions are counted."""

    def __init__(self, page: Page, server: TensorBoardServer, run: str) -> None:
        self.page, self.actions = page, 0
        self.frame = open_tab(page, server, "lanes", screen="network", run=run)
        expect(self.frame.locator("[data-testid=lanes][data-step][data-pending=false]")).to_be_attached()

    def _act(self) -> None:
        self.actions += 1
        assert self.actions <= MOST, "too many actions"

    def click(self, what: Locator) -> None:
        self._act()
        what.click()

    def choose(self, what: Locator, label: str) -> None:
        self._act()
        what.select_option(label)

    def press(self, key: str) -> None:
        self._act()
        self.page.keyboard.press(key)

    def lane(self, layer: str) -> Locator:
        return self.frame.locator(f"[data-testid=lane][data-layer='{layer}']")


def test_which_layer_is_dead(page: Page, server: TensorBoardServer) -> None:
    person = Person(page, server, "stuck")
    words = f"'hidden_2' is dead: all its elements are zero since step {trainings.SILENCED_AT}"
    expect(person.frame.get_by_test_id("lead-finding")).to_contain_text(words)
    expect(person.lane("hidden_2")).to_have_attribute("data-health", "error")
    assert person.actions == 0
    person.click(person.frame.get_by_role("button", name="Next finding"))
    person.click(person.lane("hidden_2"))
    person.click(person.frame.get_by_test_id("panel-units"))
    expect(person.frame.get_by_test_id("units-summary")).to_contain_text("24 of 24 units silent")


def test_the_first_convolution_at_the_start_and_at_the_end(page: Page, server: TensorBoardServer, logdir: Path) -> None:
    person = Person(page, server, "net")
    canvas = person.frame.get_by_test_id("network-canvas")
    heads = person.frame.locator(".lv-lanes-heads")
    expect(heads).to_contain_text(f"step {STEPS - 1}")
    end = pixels_of(canvas)
    person.press("Home")
    expect(heads).to_contain_text("what it gives for example 0, step 0")
    settled(person.frame)
    assert pixels_of(canvas) != end
    person.click(person.lane("conv_1"))
    run = LayerReader(logdir).run("net")
    for step in (0, STEPS - 1):
        if step:
            person.press("End")
        picture = person.frame.get_by_test_id("tensor-picture")
        expect(picture).to_have_attribute("data-step", str(step))
        mean = float(run.values(run.tensor("conv_1", kind="activation"), step).array.mean())
        shown = person.frame.get_by_test_id("statistics").locator("[data-statistic='mean'] b")
        assert float(shown.inner_text()) == pytest.approx(mean, rel=5e-3)


def test_where_the_nan_came_from(page: Page, server: TensorBoardServer) -> None:
    person = Person(page, server, "broken")
    step = trainings.EMPTY // trainings.BATCH + 1
    expect(person.frame.get_by_test_id("lead-finding")).to_contain_text(f"NaN in 'share' since step {step}")
    person.click(person.frame.get_by_test_id("show-replay"))
    expect(person.frame.get_by_test_id(f"example-{trainings.EMPTY % trainings.BATCH}")).to_have_attribute(
        "aria-checked", "true"
    )
    expect(person.lane("share").get_by_test_id("lane-non-finite")).to_be_visible()
    assert person.actions == 1


def test_where_two_runs_part(page: Page, server: TensorBoardServer) -> None:
    person = Person(page, server, "he")
    person.choose(person.frame.get_by_test_id("compare-picker"), "normal")
    person.click(person.frame.get_by_test_id("kind-weight"))
    first = person.frame.get_by_test_id("layer-row").first
    expect(first).to_have_attribute("data-path", "hidden_3")
    expect(first).to_contain_text("from 0")


def test_an_attention_head_at_a_step(page: Page, server: TensorBoardServer) -> None:
    person = Person(page, server, "transformer")
    person.click(person.lane("block_1"))  # it is folded
    person.click(person.lane("block_1_attention").last)
    person.press("Home")
    picture = person.frame.get_by_test_id("tensor-picture")
    expect(picture).to_have_attribute("data-step", "0")
    state = state_of(page)
    assert (state["layer"], state["name"], state["step"]) == ("block_1_attention", "scores", "0")
    expect(person.frame.locator(".lv-detail")).to_contain_text("query")


def test_how_gradients_flow_over_depth(page: Page, server: TensorBoardServer) -> None:
    person = Person(page, server, "net")
    head = person.frame.locator(".lv-flow-head")
    expect(head).to_be_visible()
    expect(head).to_contain_text("gradient flow")
    # What it is, in words, and the axis with its unit.
    assert "rms of each kernel's gradient" in (head.get_attribute("title") or "")
    assert person.frame.locator(".lv-flow-tick").count() >= 3
    assert person.actions == 0


def test_a_picture_to_take_along(page: Page, server: TensorBoardServer) -> None:
    person = Person(page, server, "net")
    person.click(person.lane("conv_1"))
    person.click(person.frame.get_by_test_id("take-along-the-picture"))
    with page.expect_download() as caught:
        person.click(person.frame.get_by_test_id("download-png"))
    data = Path(caught.value.path()).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(data[16:20], "big") >= 800


def test_by_the_keyboard_alone(page: Page, server: TensorBoardServer) -> None:
    """From the screen that opens to the picture of a layer that is dead, without the mouse."""
    person = Person(page, server, "stuck")
    person.press("n")
    person.lane("hidden_2").get_by_role("button").focus()
    person.press("Enter")
    expect(person.frame.locator(".lv-detail h2")).to_have_text("hidden_2")
    person.press("g")
    expect(person.frame.get_by_test_id("map-canvas").first).to_be_visible()


def test_what_one_sees_is_shared_by_a_link(page: Page, server: TensorBoardServer) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person = Person(page, server, "net")
    person.press("Home")
    person.click(person.lane("conv_2"))
    with words_seen(person.frame, "copy-link", "Copied"):
        person.click(person.frame.get_by_test_id("copy-link"))
    link = page.evaluate("navigator.clipboard.readText()")
    assert urllib.parse.urlparse(link).fragment.startswith("layerview")
    page.goto("about:blank")
    page.goto(link)
    other: Frame = tab_within(page, "lanes")
    expect(other.locator(".lv-detail h2")).to_have_text("conv_2")
    expect(other.locator(".lv-lanes-heads")).to_contain_text("example 0, step 0")
