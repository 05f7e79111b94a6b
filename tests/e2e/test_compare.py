"""Two runs, or two steps of one, compared in the Layers tab: what is on the screen is what the logs hold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import box_of, number, open_tab, settled, showing, state_of
from playwright.sync_api import Frame, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.commands import demo
from tb_layerview.reading.run import Run

pytestmark = pytest.mark.e2e

STEPS = 40
SECOND_PARTS, THIRD_PARTS = 12, 20


def _write(folder: Path, seed: int, factors: dict[str, tuple[int, float]], layers: tuple[str, ...]) -> None:
    """Writes a run of dense layers whose kernels start by `seed`; a layer grows by its factor from its step on."""
    rng = np.random.default_rng(0)
    kernels = {layer: np.random.default_rng(seed + i).normal(size=(6, 5)) for i, layer in enumerate(layers)}
    with LayerWriter(folder) as writer:
        for step in range(STEPS):
            grown = {layer: factors[layer][1] if step >= factors.get(layer, (STEPS, 1))[0] else 1.0 for layer in layers}
            outputs = {layer: rng.normal(size=(4, 5)) * grown[layer] for layer in layers}
            writer.write(step, outputs, scalars={"loss": float(seed + 1 / (step + 1))})
            writer.write(step, {layer: kernels[layer] * grown[layer] for layer in layers}, kind="weight")


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same start that part at known layers and steps, others that do not fit, and the demo."""
    folder = tmp_path_factory.mktemp("logs")
    layers = ("first", "second", "third", "fourth")
    _write(folder / "a", 1, {}, layers)
    _write(folder / "b", 1, {"second": (SECOND_PARTS, 2.0), "third": (THIRD_PARTS, 8.0)}, layers)
    _write(folder / "other_start", 2, {}, layers)
    _write(folder / "other_model", 1, {}, ("first", "second", "head"))
    _write(folder / "stranger", 1, {}, ("encoder", "decoder"))
    demo.train(str(folder / "demo"), epochs=2)
    return folder


def _open(page: Page, server: TensorBoardServer, run: str, **fields: object) -> Frame:
    """Opens the tab on a run and returns its frame when the map is there."""
    return open_tab(page, server, "layer-row", run=run, **fields)


def _rms(run: Run, layer: str, kind: str, step: int) -> float:
    """The rms by numpy, in float64, of the values that the run holds."""
    tensor = run.tensor(layer, kind=kind)  # type: ignore[arg-type]
    return float(np.sqrt(np.mean(np.square(np.asarray(run.values(tensor, step).array, np.float64)))))


def _hover_cell(page: Page, frame: Frame, layer: str, step: int) -> str:
    """Points at a layer and a step of the activations' map, and returns what it says there."""
    layer_map = box_of(frame.get_by_test_id("map-activation"))
    row = box_of(frame.locator(f"[data-testid=layer-row][data-path='{layer}']"))
    x = layer_map["x"] + (step + 0.5) / STEPS * layer_map["width"]
    page.mouse.move(x, row["y"] + row["height"] / 2)
    return frame.get_by_role("tooltip").inner_text()


@pytest.mark.parametrize(("layer", "step"), [("second", 5), ("second", 30), ("third", 30), ("first", 39)])
def test_a_cell_of_the_difference_map_says_log2_of_the_ratio(
    page: Page, server: TensorBoardServer, logdir: Path, layer: str, step: int
) -> None:
    frame = _open(page, server, "a", against="b", spacing="even")
    expect(frame.get_by_test_id("compare-threshold")).to_contain_text("|log2(B / A)| is above 0.25")
    said = _hover_cell(page, frame, layer, step)
    reader = LayerReader(logdir)
    a, b = (_rms(reader.run(name), layer, "activation", step) for name in ("a", "b"))
    assert f"step {step}" in said and f"{layer} · activation output" in said
    found = re.search(r"log2\(B / A\) (\S+)", said)
    assert found is not None
    # Values are kept in float16 and three digits stand on the screen.
    assert number(found[1]) == pytest.approx(np.log2(b / a), abs=6e-3)


def test_what_parts_first_stands_first_and_says_since_when(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "a")
    frame.get_by_test_id("compare-picker").select_option("b")
    rows = frame.get_by_test_id("layer-row")
    expect(rows.nth(0)).to_contain_text(f"from {SECOND_PARTS}")
    assert [row.split("\n")[0] for row in rows.all_inner_texts()][:2] == ["second", "third"]
    expect(rows.nth(1)).to_contain_text(f"from {THIRD_PARTS}")
    expect(rows.nth(2)).to_contain_text("together")
    assert state_of(page)["order"] == "part"
    frame.get_by_test_id("order").select_option("model")
    expect(rows.nth(0)).to_contain_text("first")


@pytest.mark.parametrize("width", [600, 1280])
def test_the_whole_name_of_b_can_be_read(page: Page, server: TensorBoardServer, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    frame = _open(page, server, "demo", against="demo/evaluate")
    room, needed = frame.get_by_test_id("compare-picker").evaluate(
        """(list) => {
            const context = document.createElement("canvas").getContext("2d");
            context.font = getComputedStyle(list).font;
            return [list.clientWidth, context.measureText(list.selectedOptions[0].text).width];
        }"""
    )
    assert needed < room


def test_on_the_network_the_bar_says_nothing_of_the_map(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "a", against="b")
    expect(frame.get_by_test_id("compare-map")).to_be_visible()
    frame.get_by_test_id("screen-network").click()
    expect(frame.get_by_test_id("network")).to_be_visible()
    expect(frame.get_by_test_id("compare-bar")).to_contain_text("step")
    expect(frame.get_by_test_id("compare-map")).to_have_count(0)
    expect(frame.get_by_test_id("compare-threshold")).to_have_count(0)


def test_a_share_is_compared_by_its_difference_and_the_words_say_so(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "a", against="b", spacing="even", statistic="negative")
    expect(frame.get_by_test_id("compare-threshold")).to_contain_text("5 % of the elements")
    said = _hover_cell(page, frame, "second", 30)
    assert "B − A 0" in said and "log2" not in said


def test_a_training_and_its_evaluation_pair_by_themselves_with_different_inputs(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _open(page, server, "demo")
    picker = frame.get_by_test_id("compare-picker")
    suggested = picker.locator("optgroup[label='The same model'] option")
    expect(suggested).to_have_text(["demo/evaluate (different inputs: compare distributions)"])
    picker.select_option("demo/evaluate")
    said = frame.get_by_test_id("compare-inputs")
    expect(said).to_contain_text("The probes differ")
    expect(said).to_contain_text("Only distributions compare")
    offer = frame.get_by_test_id("compare-offer")
    expect(offer).to_have_attribute("data-offered", "false")
    expect(offer).to_contain_text("different inputs")
    expect(frame.get_by_test_id("compare-histograms")).to_be_visible()
    expect(frame.get_by_test_id("compare-picture-a")).to_have_count(0)
    assert state_of(page)["against"] == "demo/evaluate"
    frame.get_by_test_id("kind-gradient").click()
    expect(frame.get_by_test_id("map-gradient")).to_contain_text("B logs no gradient to compare with.")


def test_the_latest_earlier_step_of_b_is_compared_and_its_number_shown(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    steps = LayerReader(logdir).run("demo/evaluate").steps
    step = int(steps[0]) + 5
    frame = _open(page, server, "demo", against="demo/evaluate", step=step)
    shown = frame.get_by_test_id("compare-step-b")
    expect(shown).to_contain_text(f"step {int(steps[0])}, B's latest up to A's")


@pytest.mark.parametrize("order", ["change", "index"])
def test_the_difference_picture_holds_b_minus_a(
    page: Page, server: TensorBoardServer, logdir: Path, order: str
) -> None:
    step = 30
    fields = {"layer": "third", "kind": "weight", "name": "kernel", "step": step, "compareUnits": order}
    frame = _open(page, server, "a", against="b", comparePanel="difference", **fields)
    expect(frame.get_by_test_id("compare-offer")).to_contain_text(
        "Same start: at step 0 the statistics of all 4 weights"
    )
    picture = frame.get_by_test_id("compare-picture-difference").get_by_test_id("picture")
    expect(picture).to_be_visible()
    reader = LayerReader(logdir)
    a, b = (
        np.asarray(run.values(run.tensor("third", kind="weight"), step).array, np.float64)
        for run in (reader.run("a"), reader.run("b"))
    )
    box = box_of(picture)
    readout, seen = frame.get_by_test_id("compare-readout"), {}
    for row in range(6):
        for column in range(5):
            page.mouse.move(box["x"] + (column + 0.5) / 5 * box["width"], box["y"] + (row + 0.5) / 6 * box["height"])
            index = tuple(json.loads(f"[{readout.get_attribute('data-index')}]"))
            assert float(readout.get_attribute("data-value") or "nan") == pytest.approx((b - a)[index], rel=1e-6)
            seen[row, column] = index
    assert len(set(seen.values())) == 30, "each element stands in one place"
    change = np.sqrt(np.mean(np.square(b - a), axis=0))
    expected = np.argsort(-change) if order == "change" else np.arange(5)
    assert [seen[0, column][1] for column in range(5)] == list(expected)
    listed = frame.get_by_test_id("compare-changes").locator("[data-unit]")
    assert [int(unit.get_attribute("data-unit") or -1) for unit in listed.all()] == list(np.argsort(-change))


def test_pictures_of_runs_with_other_initial_weights_are_refused_with_the_reason(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _open(page, server, "a", against="other_start", layer="third", kind="weight", name="kernel")
    offer = frame.get_by_test_id("compare-offer")
    expect(offer).to_contain_text("The runs started from different weights (first · weight kernel: mean")
    expect(offer).to_have_attribute("data-offered", "false")
    expect(frame.get_by_test_id("compare-picture-a")).to_have_count(0)
    expect(frame.get_by_test_id("compare-course")).to_contain_text("rms at step 39")


def test_the_statistics_of_both_runs_stand_side_by_side(page: Page, server: TensorBoardServer, logdir: Path) -> None:
    frame = _open(page, server, "a", against="b", layer="third", kind="activation", name="output", step=30)
    table = frame.get_by_test_id("compare-statistics")
    reader = LayerReader(logdir)
    for side, name in (("A", "a"), ("B", "b")):
        run = reader.run(name)
        cell = table.locator(f"[data-side='{side}'] [data-statistic='rms']")
        expect(cell).not_to_be_empty()
        exact = run.digest(run.tensor("third", kind="activation"), 30).rms
        assert number(cell.get_attribute("title") or "nan") == pytest.approx(exact, rel=1e-5)
        expect(frame.get_by_test_id("compare-course")).to_contain_text(f"{side} {exact:.3g}")


def test_two_steps_of_one_run_compare_and_change_places(page: Page, server: TensorBoardServer, logdir: Path) -> None:
    frame = _open(page, server, "b", step=39, layer="second", kind="weight", name="kernel", spacing="even")
    frame.get_by_test_id("compare-picker").select_option("b")
    frame.get_by_test_id("compare-step").fill("3")
    frame.get_by_test_id("compare-step").press("Enter")
    expect(frame.get_by_test_id("compare-offer")).to_have_attribute("data-offered", "true")
    settled(frame)
    frame.get_by_test_id("compare-picture-b").get_by_test_id("picture").hover()
    readout = frame.get_by_test_id("compare-readout")
    index = tuple(json.loads(f"[{readout.get_attribute('data-index')}]"))
    run = LayerReader(logdir).run("b")
    early, late = (run.values(run.tensor("second", kind="weight"), step).array for step in (3, 39))
    assert float(readout.get_attribute("data-a") or "nan") == pytest.approx(float(early[index]), rel=1e-6)
    assert float(readout.get_attribute("data-b") or "nan") == pytest.approx(float(late[index]), rel=1e-6)
    frame.get_by_test_id("compare-swap").click()
    expect(frame.get_by_test_id("step-number")).to_have_value("3")
    expect(frame.get_by_test_id("compare-step")).to_have_value("39")
    assert (state_of(page)["step"], state_of(page)["againstStep"]) == ("3", "39")
    frame.get_by_test_id("compare-end").click()
    expect(frame.get_by_test_id("compare-bar")).to_have_count(0)


def test_the_first_step_stands_before_the_chosen_one_and_growth_is_above_0(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    run = LayerReader(logdir).run("b")
    fields = {"layer": "second", "kind": "weight", "name": "kernel", "maps": "weight", "spacing": "even"}
    frame = _open(page, server, "b", step=39, **fields)
    toggle = frame.get_by_role("button", name="Compare with the first step")
    expect(toggle).to_have_attribute("aria-pressed", "false")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(frame.get_by_test_id("compare-step")).to_have_value("0")
    expect(frame.get_by_test_id("compare-bar")).to_contain_text(re.compile("B step 39.*this run, another step"))
    settled(frame)
    tensor = run.tensor("second", kind="weight")
    rms = {step: run.digest(tensor, step).rms for step in (0, 39)}
    for side, step in (("A", 0), ("B", 39)):
        cell = frame.get_by_test_id("compare-statistics").locator(f"[data-side='{side}'] [data-statistic='rms']")
        expect(cell).not_to_be_empty()
        assert number(cell.get_attribute("title") or "nan") == pytest.approx(rms[step], rel=1e-5)
        figure = frame.get_by_test_id(f"compare-picture-{side.lower()}")
        expect(figure.locator("figcaption")).to_have_text(f"{side} step {step}")
    left, right = (box_of(frame.get_by_test_id(f"compare-picture-{side}"))["x"] for side in "ab")
    assert left < right
    box = box_of(frame.get_by_test_id("map-weight"))
    row = box_of(frame.locator("[data-testid='layer-row'][data-path^='second']").first)
    page.mouse.move(box["x"] + box["width"] - 2, row["y"] + row["height"] / 2)
    words = frame.get_by_role("tooltip").inner_text()
    found = re.search(r"log2\(B / A\) (\S+)", words)
    assert found is not None, words
    assert number(found[1]) == pytest.approx(np.log2(rms[39] / rms[0]), rel=1e-2, abs=1e-3)
    assert "step 39, A at step 0" in words
    # Beside another step it is not pressed, and leads back to the first one.
    frame.get_by_test_id("compare-step").fill("7")
    frame.get_by_test_id("compare-step").press("Enter")
    expect(toggle).to_have_attribute("aria-pressed", "false")
    toggle.click()
    expect(frame.get_by_test_id("compare-step")).to_have_value("0")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("compare-bar")).to_have_count(0)
    page.keyboard.press("f")
    expect(frame.get_by_test_id("compare-bar")).to_have_count(1)
    toggle.click()
    expect(frame.get_by_test_id("compare-bar")).to_have_count(0)
    assert "against" not in state_of(page)


def test_what_has_no_partner_is_named(page: Page, server: TensorBoardServer) -> None:
    frame = _open(
        page, server, "a", against="other_model", order="part", layer="third", kind="activation", name="output"
    )
    expect(frame.get_by_test_id("compare-only-a")).to_contain_text("2 without a partner in B: third, fourth")
    expect(frame.get_by_test_id("compare-only-b")).to_contain_text("1 only in B: head")
    expect(frame.get_by_test_id("compare-alone")).to_contain_text("B has no third · activation output")
    expect(frame.locator("[data-testid=layer-row][data-path='third']")).to_contain_text("no partner")


def test_runs_without_a_common_layer_are_told_apart(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "a", against="stranger")
    expect(frame.get_by_test_id("compare-state")).to_contain_text("“stranger” has no tensor in common with this run")
    expect(frame.get_by_test_id("statistics")).to_be_visible()


def test_the_strip_shows_the_loss_of_both(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "a", against="other_start", step=39)
    expect(frame.get_by_test_id("curve-loss")).to_contain_text("loss of A")
    expect(frame.get_by_test_id("curve-loss of B")).to_contain_text(f"{2 + 1 / 40:.3g}")


def test_a_run_that_is_missing_is_said_and_compared_when_it_appears(page: Page, tmp_path: Path, logdir: Path) -> None:
    shutil.copytree(logdir / "a", tmp_path / "a")
    with showing(tmp_path, "--load_fast=false", "--reload_interval=1") as server:
        frame = _open(page, server, "a", against="b", order="part")
        expect(frame.get_by_test_id("compare-state")).to_contain_text("TensorBoard has no run “b”")
        expect(frame.get_by_test_id("statistics")).to_be_visible()
        shutil.copytree(logdir / "b", tmp_path / "b")
        expect(frame.get_by_test_id("layer-row").first).to_contain_text(f"from {SECOND_PARTS}")
        shutil.rmtree(tmp_path / "b")
        expect(frame.get_by_test_id("compare-bar")).to_contain_text("TensorBoard no longer has the run")
        expect(frame.get_by_test_id("layer-row").first).to_contain_text(f"from {SECOND_PARTS}")


def test_pictures_and_charts_of_both_runs_fit_a_small_laptops_screen(page: Page, server: TensorBoardServer) -> None:
    page.set_viewport_size({"width": 1280, "height": 736})
    frame = _open(page, server, "a", against="b", layer="third", kind="weight", name="kernel", step=30)
    expect(frame.get_by_test_id("compare-picture-a")).to_be_visible()
    expect(frame.get_by_test_id("compare-histograms")).to_be_in_viewport(ratio=1)
