"""The Layers tab as a person uses it: real trainings, a real TensorBoard, a real Chromium."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import PICTURES, box_of, logdir_of, open_tab, pixels_of, settled, showing, state_of, tab_within
from playwright.sync_api import Frame, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.commands import demo
from tb_layerview.format.model import as_kind
from tb_layerview.reading.run import LoggedTensor, Run

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of the demo, of a training that ends in NaN, and of a thousand steps."""
    folder = tmp_path_factory.mktemp("logs")
    demo.train(str(folder / "demo"), epochs=6)
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "thousand") as writer:
        for step in range(1000):
            writer.write(step, {"dense": rng.normal(size=(8, 6))}, scalars={"loss": 1 / (step + 1)})
    with LayerWriter(folder / "trouble") as writer:
        for step in range(60):
            array = rng.normal(size=(2, 6, 6, 4)).astype(np.float32)
            if step >= 40:
                array[0, 2, 3, 1], array[0, 4, 4, 1], array[0, 5, 5, 1] = np.nan, np.inf, -np.inf
            writer.write(step, {"a/conv": array, "b": np.abs(array)}, scalars={"loss": np.nan if step >= 41 else 1.0})
    return folder


@pytest.fixture(scope="module", params=["--load_fast=true", "--load_fast=false"])
def either_server(request: pytest.FixtureRequest, logdir: Path) -> Iterator[TensorBoardServer]:
    """TensorBoard over these logs, with each of its two loaders."""
    with showing(logdir, request.param, "--reload_interval=1") as running:
        yield running


def _open(page: Page, server: TensorBoardServer, run: str, dark: bool = False, **fields: object) -> Frame:
    """Opens the tab on a run and returns its frame when a picture is painted."""
    return open_tab(page, server, "picture-canvas", dark, run=run, **fields)


def _pixels(frame: Frame) -> str:
    return pixels_of(frame.get_by_test_id("picture-canvas"))


def _statistic(frame: Frame, name: str) -> str:
    """What the table of statistics shows under a name."""
    return str(frame.get_by_test_id("statistics").locator(f"[data-statistic='{name}'] b").inner_text())


def _go_to(frame: Frame, step: int) -> None:
    field = frame.get_by_test_id("step-number")
    field.fill(str(step))
    field.press("Enter")


def _tensor(run: Run, page: Page) -> LoggedTensor:
    """The tensor that the tab has selected."""
    state = state_of(page)
    return run.tensor(state["layer"], kind=as_kind(state["kind"]), name=state["name"])


def _fields(tensor: LoggedTensor, step: int) -> dict[str, object]:
    """What selects a tensor and a step in the address."""
    return {"layer": tensor.layer, "kind": tensor.kind, "name": tensor.name, "step": step}


def test_all_of_a_thousand_steps_can_be_looked_at(page: Page, either_server: TensorBoardServer) -> None:
    frame = _open(page, either_server, "thousand")
    expect(frame.get_by_test_id("step-slider")).to_have_attribute("max", "999")
    for step in (0, 1, 499, 998, 999):
        _go_to(frame, step)
        expect(frame.get_by_test_id("step-number")).to_have_value(str(step))
        run = LayerReader(logdir_of(either_server)).run("thousand")
        rms = run.statistics("rms")[run.tensors[0], step]
        expect(frame.get_by_test_id("statistics")).to_contain_text(f"{rms:.3g}")


def test_a_click_in_the_map_selects_the_layer_and_the_step(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "demo")
    before = state_of(page)["step"]
    rows = frame.get_by_test_id("layer-row")
    labels = [text.split("\n")[0].strip() for text in rows.all_inner_texts()]
    row, layer_map = labels.index("pool"), frame.get_by_test_id("map-activation")
    box, target = box_of(layer_map), box_of(rows.nth(row))
    page.mouse.click(box["x"] + 0.3 * box["width"], target["y"] + target["height"] / 2)
    run = LayerReader(logdir_of(server)).run("demo")
    assert _tensor(run, page).layer == "pool"
    step = int(state_of(page)["step"])
    assert str(step) != before and step in run.steps
    assert 0.2 < step / run.steps[-1] < 0.4


def test_the_slider_moves_everything_by_mouse_and_by_keyboard(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "demo")
    run = LayerReader(logdir_of(server)).run("demo")
    pictures, statistics = set(), set()
    for position in (0, len(run.steps) // 2, len(run.steps) - 1):
        frame.get_by_test_id("step-slider").fill(str(position))
        expect(frame.get_by_test_id("step-number")).to_have_value(str(run.steps[position]))
        settled(frame)
        pictures.add(_pixels(frame))
        statistics.add(frame.get_by_test_id("statistics").inner_text())
    assert len(pictures) == len(statistics) == 3, "the feature maps change with the step"
    page.keyboard.press("ArrowLeft")
    expect(frame.get_by_test_id("step-number")).to_have_value(str(run.steps[-2]))
    page.keyboard.press("ArrowRight")
    expect(frame.get_by_test_id("step-number")).to_have_value(str(run.steps[-1]))


def test_play_walks_through_the_steps_until_it_is_stopped(page: Page, server: TensorBoardServer) -> None:
    page.emulate_media(reduced_motion="no-preference")
    frame = _open(page, server, "thousand")  # it plays for two minutes
    _go_to(frame, 0)
    frame.get_by_test_id("play").click()
    expect(frame.get_by_test_id("step-number")).not_to_have_value("0")
    frame.get_by_test_id("play").click()
    settled(frame)
    stopped = frame.get_by_test_id("step-number").input_value()
    page.wait_for_timeout(500)
    assert frame.get_by_test_id("step-number").input_value() == stopped


@pytest.mark.parametrize(
    ("layer", "kind", "name"),
    [("block_2/conv", "activation", "output"), ("block_2/conv", "weight", "kernel"), ("hidden", "weight", "kernel")],
)
def test_what_is_read_under_the_mouse_is_the_value_at_that_index(
    page: Page, either_server: TensorBoardServer, layer: str, kind: Any, name: str
) -> None:
    run = LayerReader(logdir_of(either_server)).run("demo")
    tensor = run.tensor(layer, kind=kind, name=name)
    step = int(run.kept_steps("values", tensor)[5])
    frame = _open(page, either_server, "demo", **_fields(tensor, step))
    assert _tensor(run, page) == tensor
    kept = run.values(tensor, step)
    # Where the picture does not show all of a large tensor at once it is still the kept part that is shown.
    box = box_of(frame.get_by_test_id("picture-canvas"))
    seen = set()
    for right, down in itertools.product((0.11, 0.47, 0.63, 0.83), (0.13, 0.31, 0.55, 0.77)):
        page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"])
        readout = frame.get_by_test_id("readout")
        if readout.get_attribute("data-index") is None:
            continue  # a gap between two panels, or a panel's name
        index = tuple(json.loads(f"[{(readout.get_attribute('data-index') or '').strip('[]')}]"))
        value = float(readout.get_attribute("data-value") or "nan")
        place = tuple((i - axis.start) // axis.step for i, axis in zip(index, kept.axes))
        assert value == pytest.approx(float(kept.array[place]), rel=1e-6)
        seen.add(index)
    assert len(seen) >= 2


def test_statistics_on_the_screen_are_those_of_the_log(page: Page, server: TensorBoardServer) -> None:
    run = LayerReader(logdir_of(server)).run("demo")
    tensor = run.tensor("block_1/relu", kind="activation")
    step = int(run.steps[-1])
    frame = _open(page, server, "demo", **_fields(tensor, step))
    digest = run.digest(tensor, step)
    for name, value in (("rms", digest.rms), ("max", digest.max), ("mean", digest.mean)):
        assert float(_statistic(frame, name)) == pytest.approx(value, rel=5e-3)


def test_a_run_with_trouble_opens_where_it_began(page: Page, server: TensorBoardServer) -> None:
    _open(page, server, "trouble")
    state = state_of(page)
    assert (state["layer"], state["step"]) == ("a/conv", "40")


def test_what_is_not_finite_is_drawn_and_said(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "trouble", layer="a/conv", step=20)
    healthy = _pixels(frame)
    assert _statistic(frame, "NaN") == "0"
    _go_to(frame, 45)
    settled(frame)
    assert _statistic(frame, "NaN") == "1"
    assert _pixels(frame) != healthy
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(PICTURES / "not_finite.png"))


def test_new_steps_appear_without_a_reload_and_move_nothing(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    rng = np.random.default_rng(1)
    with LayerWriter(logdir / "live") as writer:
        for step in range(10):
            writer.write(step, {"dense": rng.normal(size=(4, 4))})
        page.goto(f"{server.url}/#layerview")
        until = time.monotonic() + 120
        while b'"live"' not in server.get("/data/plugin/layerview/runs").body:
            assert time.monotonic() < until
            page.wait_for_timeout(500)
        frame = _open(page, server, "live", step=4)
        expect(frame.get_by_test_id("step-slider")).to_have_attribute("max", "9")
        for step in range(10, 20):
            writer.write(step, {"dense": rng.normal(size=(4, 4))})
        expect(frame.get_by_test_id("step-slider")).to_have_attribute("max", "19")
        expect(frame.get_by_test_id("step-number")).to_have_value("4")


def test_the_address_holds_what_is_shown(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "demo")
    frame.get_by_test_id("kind-weight").click()
    frame.get_by_test_id("statistic").select_option("std")
    _go_to(frame, 18)
    before = state_of(page)
    page.reload()
    expect(tab_within(page, "step-number").get_by_test_id("step-number")).to_have_value("18")
    assert state_of(page) == before


def test_an_address_that_somebody_goes_to_right_after_a_choice_wins(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "trouble", step=10)
    # The choice is yet to be written, and the browser does not tell of an address that a script sets.
    frame.get_by_test_id("next-finding").evaluate(
        """(button) => {
          button.click();
          const host = window.parent;
          host.history.replaceState(null, "", host.location.href.replace("step=10", "step=7"));
        }"""
    )
    expect(frame.get_by_test_id("step-number")).to_have_value("7")
    assert state_of(page)["step"] == "7"
    frame.get_by_test_id("next-finding").click()
    expect(frame.get_by_test_id("step-number")).to_have_value("40")
    assert state_of(page)["step"] == "40"


def test_a_filter_that_matches_nothing_says_so(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "demo")
    frame.get_by_test_id("filter").fill("norm")
    expect(frame.get_by_test_id("layer-row").filter(has_text="norm")).to_have_count(2)
    frame.get_by_test_id("filter").fill("no such layer")
    expect(frame.get_by_test_id("layer-row")).to_have_count(0)
    expect(frame.get_by_label("Layers over the steps")).to_contain_text("no such layer")


def test_an_empty_log_folder_shows_what_to_do(page: Page, tmp_path: Path) -> None:
    with showing(tmp_path, "--load_fast=false") as empty:
        page.goto(f"{empty.url}/data/plugin_entry.html?name=layerview")
        state = page.get_by_test_id("empty-state")
        expect(state).to_contain_text("LayerViewCallback")
        expect(state).to_contain_text("LayerViewHook")


def test_a_missing_payload_file_is_said_and_not_shown_as_nothing(page: Page, tmp_path: Path) -> None:
    with LayerWriter(tmp_path / "run") as writer:
        for step in range(3):
            writer.write(step, {"dense": np.ones((4, 4))})
    (payload,) = (tmp_path / "run" / "layers").glob("*.payload")
    payload.unlink()
    with showing(tmp_path, "--load_fast=false") as damaged:
        page.goto(f"{damaged.url}/#layerview")
        frame = tab_within(page, "lanes")
        expect(frame.get_by_test_id("lane")).to_contain_text("is missing")
        frame.get_by_test_id("lane").get_by_role("button").click()
        expect(frame.get_by_test_id("statistics")).to_contain_text("rms")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_picture_of_the_tab_is_made(page: Page, server: TensorBoardServer, dark: bool) -> None:
    run = LayerReader(logdir_of(server)).run("demo")
    tensor = run.tensor("block_2/relu", kind="activation")
    frame = _open(page, server, "demo", dark, **_fields(tensor, int(run.steps[-1])))
    background = frame.evaluate("getComputedStyle(document.documentElement).colorScheme")
    assert ("dark" in background) == dark
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(PICTURES / f"layers_tab{'_dark' if dark else ''}.png"))


def test_the_moving_picture_of_the_demo_is_made(page: Page, server: TensorBoardServer) -> None:
    """The film that opens the README: as a person takes it along, from the network's own menu."""
    page.set_viewport_size({"width": 1020, "height": 860})
    frame = open_tab(page, server, "lanes", screen="network", run="demo", example=0)
    expect(frame.locator("[data-testid=lanes][data-step][data-pending=false]")).to_be_attached()
    frame.get_by_test_id("take-along-the-network").click()
    with page.expect_download(timeout=600_000) as caught:
        frame.get_by_test_id("download-gif").click()
    path = PICTURES / "demo.gif"
    PICTURES.mkdir(parents=True, exist_ok=True)
    caught.value.save_as(path)
    film = path.read_bytes()
    assert film.startswith(b"GIF89a") and len(film) < 2_000_000
    steps = LayerReader(logdir_of(server)).run("demo").steps
    assert film.count(b"\x21\xf9\x04") >= len(steps), "a frame for each logged step"
