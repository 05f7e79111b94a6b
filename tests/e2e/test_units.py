"""Distributions, units and numbers on the screen, beside what numpy and the log say of the same arrays."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import box_of, download, number, open_tab, settled, state_of, tab_within
from playwright.sync_api import Frame, Locator, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.commands import demo
from tb_layerview.reading.run import Run

pytestmark = pytest.mark.e2e

STEPS = 60
UNITS = 24
EXAMPLES = 40
QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def _planted() -> npt.NDArray[np.float32]:
    """[steps, examples, units]: unit 2 is silent from the 20th step on, 5 always, 7 from 10 to 15, 11 at 30 and 40."""
    rng = np.random.default_rng(3)
    growth = 1 + np.arange(STEPS)[:, None, None] / 20
    arrays = (rng.normal(size=(STEPS, EXAMPLES, UNITS)) * growth * np.linspace(0.2, 2, UNITS)).astype(np.float32)
    arrays[20:, :, 2] = 0
    arrays[:, :, 5] = 0
    arrays[10:16, :, 7] = 0
    arrays[[30, 40], :, 11] = 0
    return arrays


@pytest.fixture(scope="module")
def planted() -> npt.NDArray[np.float32]:
    return _planted()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory, logdir: Path) -> npt.NDArray[np.float32]:
    """The kernel of the demo's hidden layer as Keras has it after the training."""
    return np.asarray(np.load(logdir / "kernel.npy"))


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    model = demo.train(str(folder / "demo"), epochs=2)
    np.save(folder / "kernel.npy", model.get_layer("hidden").get_weights()[0])
    arrays = _planted()
    with LayerWriter(folder / "planted") as writer:
        for step in range(STEPS):
            # Steps need not be numbered one by one.
            writer.write(10 * step, {"dense": arrays[step]})
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "thousand") as writer:
        for step in range(1000):
            writer.write(step, {"wide": rng.normal(size=(2, 1000))})
    return folder


@pytest.fixture(scope="module")
def run(logdir: Path) -> Run:
    return LayerReader(logdir).run("planted")


def _open(page: Page, server: TensorBoardServer, run: str, **fields: object) -> Frame:
    """Opens the tab on a run and returns its frame when the tensor's panels are there."""
    return open_tab(page, server, "panel-units", run=run, **fields)


def _rows(table: Locator) -> list[list[str]]:
    """The cells of a table's body."""
    rows = table.evaluate("t => [...t.tBodies[0].rows].map(r => [...r.cells].map(c => c.textContent))")
    return [[str(cell).strip() for cell in row] for row in rows]


def _point(page: Page, target: Locator, right: float, down: float) -> None:
    box = box_of(target)
    page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"])


def _download(page: Page, frame: Frame, what: str, kind: str) -> bytes:
    return Path(download(page, frame, what, kind).path()).read_bytes()


@pytest.mark.parametrize("axis", ["linear", "log", "symlog"])
def test_a_histogram_read_under_the_mouse_has_the_logs_counts(
    page: Page, server: TensorBoardServer, run: Run, planted: npt.NDArray[np.float32], axis: str
) -> None:
    frame = _open(page, server, "planted", panel="distribution", step=300, values=axis, history="heat")
    truth = run.histogram(run.tensors[0], 300)
    array = planted[30].astype(np.float64).ravel()
    chart = frame.get_by_test_id("histogram")
    expect(chart).to_be_visible()
    seen = set()
    for down in (0.2, 0.25, 0.3, 0.4, 0.48, 0.55, 0.62, 0.7):
        _point(page, chart, 0.3, down)
        tip = frame.get_by_test_id("histogram-tip")
        expect(tip).to_contain_text("step 300")
        own = tip.inner_text().split("step 0\n")[0]  # below is the ghost's
        found = re.search(r"([−\d.e,]+) to ([−\d.e,]+): ([\d,]+) of ([\d,]+) elements", own)
        if not found:
            continue
        lower, upper, count, total = map(number, found.groups())
        (bin_,) = np.flatnonzero(np.isclose(truth.lower, lower, rtol=1e-5, atol=0))
        assert np.isclose(truth.upper[bin_], upper, rtol=1e-5)
        assert count == truth.counts[bin_]
        # And those are the elements of the array itself.
        inside = (array >= truth.lower[bin_]) & (array < truth.upper[bin_])
        assert count == np.count_nonzero(inside) and total == array.size
        seen.add(bin_)
    assert len(seen) >= 2


@pytest.mark.parametrize("history", ["ridges", "heat", "bands"])
def test_quantiles_over_the_steps_are_numpys_of_the_arrays(
    page: Page, server: TensorBoardServer, run: Run, planted: npt.NDArray[np.float32], history: str
) -> None:
    frame = _open(page, server, "planted", panel="distribution", step=0, history=history)
    table = frame.get_by_test_id("distribution-table")
    expect(table).to_be_attached()
    rows = _rows(table)
    assert len(rows) == 12 and rows[0][0] == "0" and rows[-1][0] == "590"
    for cells in rows:
        step, *shown = map(number, cells)
        stored = run.quantiles(run.tensors[0], int(step), list(QUANTILES.values()))
        assert shown == pytest.approx(list(stored), rel=6e-3, abs=1e-6), "what LayerReader says"
        array = planted[int(step) // 10].astype(np.float64)
        true = np.quantile(array, list(QUANTILES.values()))
        allowed = np.maximum(0.05 * array.std(), 0.07 * np.abs(true)) * 1.01
        assert np.all(np.abs(np.array(shown) - true) <= allowed), "what numpy says of the array"


def test_bands_read_under_the_mouse_are_the_steps_quantiles(
    page: Page, server: TensorBoardServer, run: Run, planted: npt.NDArray[np.float32]
) -> None:
    frame = _open(page, server, "planted", panel="distribution", step=0, history="bands")
    chart = frame.get_by_test_id("distribution")
    expect(chart).to_be_visible()
    _point(page, chart, 0.5, 0.5)
    text = frame.get_by_test_id("distribution-tip").inner_text()
    step = int(number(re.search(r"step ([\d,]+)", text)[1]))  # type: ignore[index]
    assert 250 <= step <= 340
    shown = {name: number(value) for name, value in re.findall(r"(p\d+|min|max) (−?[\d.e−]+)", text)}
    array = planted[step // 10]
    for name, true in (("min", array.min()), ("max", array.max())):
        assert shown[name] == pytest.approx(float(true), rel=6e-3)
    fractions = {name: int(name[1:]) / 100 for name in shown if name.startswith("p")}
    assert len(fractions) == 7
    stored = run.quantiles(run.tensors[0], step, list(fractions.values()))
    assert [shown[name] for name in fractions] == pytest.approx(list(stored), rel=6e-3, abs=1e-6)


def test_a_click_in_the_history_selects_the_step_and_a_pinned_step_stays_as_ghost(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _open(page, server, "planted", panel="distribution", step=100, history="heat")
    expect(frame.get_by_test_id("ghost-step")).to_contain_text("step 0")
    frame.get_by_test_id("pin-step").click()
    chart = frame.get_by_test_id("distribution")
    box = box_of(chart)
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    state = state_of(page)
    assert state["ghost"] == "100" and 400 <= int(state["step"]) <= 490
    expect(frame.get_by_test_id("ghost-step")).to_contain_text("step 100")
    page.reload()
    again = tab_within(page, "ghost-step")
    expect(again.get_by_test_id("ghost-step")).to_contain_text("step 100")
    again.get_by_test_id("unpin-step").click()
    expect(again.get_by_test_id("ghost-step")).to_contain_text("step 0")


def test_the_distribution_is_taken_along_with_all_bins_or_quantiles(
    page: Page, server: TensorBoardServer, run: Run
) -> None:
    frame = _open(page, server, "planted", panel="distribution", step=300, history="heat")
    expect(frame.get_by_test_id("histogram")).to_be_visible()
    rows = list(csv.DictReader(io.StringIO(_download(page, frame, "the-distribution", "csv").decode())))
    truth = run.histogram(run.tensors[0], 300)
    own = [row for row in rows if row["step"] == "300"]
    assert [int(row["count"]) for row in own] == truth.counts.tolist()
    assert [float(row["lower"]) for row in own] == pytest.approx(truth.lower.tolist())
    assert {int(row["step"]) for row in rows} == set(run.steps.tolist())
    frame.get_by_test_id("history").select_option("bands")
    expect(frame.get_by_label("Quantiles of the values over the steps")).to_be_visible()
    settled(frame)
    rows = list(csv.DictReader(io.StringIO(_download(page, frame, "the-distribution", "csv").decode())))
    assert len(rows) == STEPS
    (row,) = [row for row in rows if row["step"] == "300"]
    assert float(row["p95"]) == pytest.approx(run.quantiles(run.tensors[0], 300, [0.95])[0], rel=1e-5)
    assert _download(page, frame, "the-distribution", "png").startswith(b"\x89PNG")


def test_units_are_said_to_be_silent_since_the_step_at_which_all_they_gave_was_zero(
    page: Page, server: TensorBoardServer, planted: npt.NDArray[np.float32]
) -> None:
    frame = _open(page, server, "planted", panel="units", step=300)
    table = frame.get_by_test_id("units-table")
    expect(table).to_be_attached()
    silent = np.all(planted == 0, axis=1)
    assert silent[30].sum() == 3
    expect(frame.get_by_test_id("units-summary")).to_have_text(
        "3 of 24 units silent on what was logged at this step (13 %), 1 since the first step"
    )
    rows = {int(unit): (value, words) for unit, value, words in _rows(table)}
    what = "silent on what was logged"
    said = {
        2: f"{what} since step 200",
        5: f"{what} at all 60 steps kept, since step 0",
        7: f"{what} from 100 to 150, came back",
        11: f"{what} at step 300 and at step 400, came back",
    }
    for unit in range(UNITS):
        value, words = rows[unit]
        assert words == said.get(unit, f"never {what} at the 60 steps kept")
        assert (unit in said) == bool(silent[:, unit].any())
        rms = np.sqrt(np.mean(planted[30, :, unit].astype(np.float64) ** 2))
        # float16 under a common power of two.
        assert number(value) == pytest.approx(rms, rel=2e-3)


def test_units_are_ordered_by_silence_activity_and_change(
    page: Page, server: TensorBoardServer, planted: npt.NDArray[np.float32]
) -> None:
    frame = _open(page, server, "planted", panel="units", step=300)
    rms = np.sqrt(np.mean(planted.astype(np.float64) ** 2, axis=1))
    table = frame.get_by_test_id("units-table")

    def order() -> list[int]:
        return [int(cells[0]) for cells in _rows(table)]

    choice = frame.get_by_test_id("unit-order")
    choice.select_option("silence")
    expect(table.locator("tbody th").first).to_have_text("5")
    assert order()[:4] == [5, 2, 11, 7], "always; since step 200; now alone; before"
    for name, worth in (
        ("activity", rms[30]),
        ("change", np.abs(rms[30] - rms[0])),
        ("previous", np.abs(rms[30] - rms[29])),
    ):
        choice.select_option(name)
        settled(frame)
        shown = worth[order()]
        # Neighbours may change places by what float16 leaves of them.
        assert np.all(np.diff(shown) <= 4e-3 * worth.max()), name
    assert state_of(page)["unitOrder"] == "previous"


def test_a_unit_read_and_clicked_in_the_map_is_that_unit_at_that_step(
    page: Page, server: TensorBoardServer, planted: npt.NDArray[np.float32]
) -> None:
    frame = _open(page, server, "planted", panel="units", step=0, unitStatistic="peak")
    layer_map = frame.get_by_test_id("units-map")
    expect(layer_map).to_be_visible()
    for unit, right in ((7, 0.22), (2, 0.9), (20, 0.5)):
        _point(page, layer_map, right, (unit + 0.5) / UNITS)
        text = frame.get_by_test_id("units-tip").inner_text()
        found = re.search(r"unit (\d+) · step ([\d,]+)\npeak ([−\d.e,]+)", text)
        assert found is not None, text
        step = int(number(found[2]))
        assert int(found[1]) == unit and abs(step - right * 590) < 20
        peak = np.abs(planted[step // 10, :, unit]).max()
        assert number(found[3]) == pytest.approx(float(peak), rel=2e-3)
        assert ("silent" in text.split("\n")[1]) == (peak == 0)
    box = box_of(layer_map)
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 20.5 / UNITS * box["height"])
    state = state_of(page)
    assert state["unit"] == "20" and 280 <= int(state["step"]) <= 310
    facts = frame.get_by_test_id("unit-facts")
    mean = float(planted[int(state["step"]) // 10, :, 20].mean())
    shown = re.search(r"mean ([−\d.e,]+)", facts.inner_text())
    assert shown is not None and number(shown[1]) == pytest.approx(mean, rel=2e-3, abs=2e-3)
    layer_map.focus()
    page.keyboard.press("ArrowDown")
    assert state_of(page)["unit"] == "21"


def test_a_chosen_unit_shows_its_activation_and_its_incoming_weights(
    page: Page, server: TensorBoardServer, logdir: Path, kernel: npt.NDArray[np.float32]
) -> None:
    demo_run = LayerReader(logdir).run("demo")
    step = int(demo_run.steps[-1])
    state = {"layer": "hidden", "kind": "activation", "name": "output", "panel": "units", "step": step, "unit": 9}
    frame = _open(page, server, "demo", **state)
    for part, tensor, truth in (
        ("unit-activation", demo_run.tensor("hidden", kind="activation"), None),
        ("unit-incoming-weights", demo_run.tensor("hidden", kind="weight", name="kernel"), kernel),
    ):
        place = frame.get_by_test_id(part)
        picture = place.get_by_role("img").first
        expect(picture).to_be_visible()
        kept = demo_run.values(tensor, step)
        seen = set()
        for right, down in ((0.05, 0.5), (0.3, 0.5), (0.62, 0.5), (0.9, 0.3)):
            _point(page, picture, right, down)
            readout = place.get_by_test_id("unit-readout")
            index = tuple(int(i) for i in (readout.get_attribute("data-index") or "").split(",") if i)
            if not index:
                continue  # a gap
            assert index[-1] == 9
            value = float(readout.get_attribute("data-value") or "nan")
            spot = tuple((i - axis.start) // axis.step for i, axis in zip(index, kept.axes))
            assert value == pytest.approx(float(kept.array[spot]), rel=1e-6)
            if truth is not None:
                assert value == pytest.approx(float(truth[index]), rel=2e-3, abs=1e-4)
            seen.add(index)
        assert len(seen) >= 2
    expect(frame.get_by_test_id("unit-silence")).to_contain_text("on the probe (32 examples)")


def test_the_units_are_taken_along_as_numpy_reads_them(
    page: Page, server: TensorBoardServer, planted: npt.NDArray[np.float32]
) -> None:
    frame = _open(page, server, "planted", panel="units", step=0, unitStatistic="rms")
    expect(frame.get_by_test_id("units-map")).to_be_visible()
    array = np.load(io.BytesIO(_download(page, frame, "the-units", "npy")))
    rms = np.sqrt(np.mean(planted.astype(np.float64) ** 2, axis=1))
    assert array.shape == (STEPS, UNITS) and array.dtype == np.float32
    np.testing.assert_allclose(array, rms, rtol=2e-3)
    rows = list(csv.reader(io.StringIO(_download(page, frame, "the-units", "csv").decode())))
    assert rows[0][:3] == ["unit", "step 0", "step 10"] and rows[0][-1] == "silence"
    np.testing.assert_allclose(np.array([row[1:-1] for row in rows[1:]], float).T, rms, rtol=2e-3)
    assert rows[3][-1] == "silent since step 200"
    assert _download(page, frame, "the-units", "png").startswith(b"\x89PNG")


def test_numbers_stand_beside_those_of_the_step_before_and_of_the_first(
    page: Page, server: TensorBoardServer, run: Run, planted: npt.NDArray[np.float32]
) -> None:
    frame = _open(page, server, "planted", panel="numbers", step=300)
    table = frame.get_by_test_id("numbers")
    for column in range(3):
        expect(table.locator("[data-number=rms] td").nth(column)).not_to_have_text("…")
    for column, step in enumerate((30, 29, 0)):
        array = planted[step].astype(np.float64)
        true = {
            "rms": np.sqrt(np.mean(array**2)),
            "mean": array.mean(),
            "std": array.std(),
            "min": array.min(),
            "max": array.max(),
            "size": array.size,
            "p95": run.quantiles(run.tensors[0], 10 * step, [0.95])[0],
        }
        for name, value in true.items():
            text = table.locator(f"[data-number={name}] td").nth(column).inner_text()
            assert number(text) == pytest.approx(value, rel=1e-5), (name, step)
        zeros = table.locator("[data-number=zero] td").nth(column).inner_text()
        assert int(re.match(r"\d+", zeros)[0]) == np.count_nonzero(array == 0)  # type: ignore[index]
    rows = list(csv.DictReader(io.StringIO(_download(page, frame, "the-numbers", "csv").decode())))
    (rms,) = [row for row in rows if row["statistic"] == "rms"]
    assert float(rms["step 290"]) == pytest.approx(np.sqrt(np.mean(planted[29].astype(np.float64) ** 2)), rel=1e-6)


def test_panels_are_walked_through_by_keyboard_and_the_picture_stands_above_where_there_is_room(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _open(page, server, "planted", step=300)
    tabs = frame.get_by_role("tablist", name="What is shown of the tensor")
    expect(tabs.get_by_role("tab")).to_have_count(4)
    expect(frame.get_by_test_id("picture-canvas")).to_be_visible()
    tabs.get_by_role("tab", name="Picture").focus()
    page.keyboard.press("ArrowRight")
    expect(frame.get_by_test_id("ridges")).to_be_visible()
    expect(frame.get_by_test_id("picture-canvas")).to_have_count(0)
    assert state_of(page)["panel"] == "distribution"
    page.keyboard.press("ArrowRight")
    expect(frame.get_by_test_id("units-map")).to_be_visible()
    assert state_of(page)["step"] == "300", "arrows on the tabs are no steps"
    page.set_viewport_size({"width": 1920, "height": 1080})
    expect(frame.get_by_test_id("picture-canvas")).to_be_visible()
    expect(frame.get_by_test_id("units-map")).to_be_visible()
    expect(tabs.get_by_role("tab")).to_have_count(3)


def test_a_thousand_units_at_a_thousand_steps_are_sorted_and_painted_in_half_a_second(
    page: Page, server: TensorBoardServer
) -> None:
    """Of a processor, which others may have meanwhile: of the thread that does all but put pixels on the screen."""
    frame = _open(page, server, "thousand", panel="units")
    expect(frame.get_by_test_id("units-map")).to_be_visible()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def processor() -> float:
        found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        return float(found["ThreadTime"])

    took = []
    for order in ("activity", "silence", "change", "previous", "index"):
        before = processor()
        frame.evaluate(
            """async (order) => {
              const choice = document.querySelector("[data-testid=unit-order]");
              choice.value = order;
              choice.dispatchEvent(new Event("change", {bubbles: true}));
              await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            }""",
            order,
        )
        took.append(processor() - before)
    assert 0 < sorted(took)[len(took) // 2] < 0.5, took
