"""Every panel taken along as a file, and what belongs to it: what files and screen hold is what the log holds."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("playwright")

from layers_tab import open_tab, settled
from playwright.sync_api import Frame, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.reading.run import Run

pytestmark = pytest.mark.e2e

STEPS = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]
LAYERS = ("block/first", "block/second", "block/third", "head")
UNITS = 6
BROKEN = ("block/third", 6)
"""A layer, and the position of a step at which one of its elements is NaN."""


def _arrays(growth: float) -> dict[str, npt.NDArray[np.float32]]:
    """By layer [steps, examples, units]; the second one grows from the fifth step on."""
    rng = np.random.default_rng(5)
    arrays = {layer: rng.normal(size=(len(STEPS), 3, UNITS)).astype(np.float32) for layer in LAYERS}
    arrays["block/second"][4:] *= growth
    arrays[BROKEN[0]][BROKEN[1], 1, 2] = np.nan
    return arrays


def _kernel(run: str, position: int) -> npt.NDArray[np.float64]:
    """The weight of all layers: at the first step the same in both runs, in B further and further away."""
    rng = np.random.default_rng(1)
    start, change = rng.normal(size=(2, 4, UNITS)) * np.array([1, 0.1]).reshape(2, 1, 1)
    return np.asarray(start + (position * change * np.arange(1, UNITS + 1) if run == "b" else 0))


@pytest.fixture(scope="module")
def arrays() -> dict[str, npt.NDArray[np.float32]]:
    return _arrays(1)


@pytest.fixture(scope="module")
def others() -> dict[str, npt.NDArray[np.float32]]:
    return _arrays(4)


@pytest.fixture(scope="module")
def logdir(
    tmp_path_factory: pytest.TempPathFactory,
    arrays: dict[str, npt.NDArray[np.float32]],
    others: dict[str, npt.NDArray[np.float32]],
) -> Path:
    """Two runs that start from the same weights, and the evaluation of the first."""
    folder = tmp_path_factory.mktemp("logs")
    for name, of in (("a", arrays), ("b", others)):
        with LayerWriter(folder / name) as writer:
            for i, step in enumerate(STEPS):
                scalars = {"learning_rate": 0.1 / (i + 1), **({"loss": 1 / (i + 2)} if i else {})}
                writer.write(step, {layer: of[layer][i] for layer in LAYERS}, scalars=scalars)
                writer.write(step, {layer: _kernel(name, i) for layer in LAYERS}, kind="weight")
    with LayerWriter(folder / "narrow") as writer:
        for step in range(3):
            writer.write(step, {"two values": np.where(np.arange(200) % 9, 3.0, 40.0 - step).reshape(10, 20)})
    with LayerWriter(folder / "a" / "evaluate") as writer:
        for step in (3, 40):
            writer.write(step, {"head": arrays["head"][0]}, scalars={"loss": step / 100})
    return folder


@pytest.fixture(scope="module")
def run(logdir: Path) -> Run:
    return LayerReader(logdir).run("a")


def _open(page: Page, server: TensorBoardServer, **state: object) -> Frame:
    fields = {"run": "a", "step": 89, "layer": "block/second", "kind": "activation", "name": "output", **state}
    return open_tab(page, server, "layer-row", **fields)  # type: ignore[arg-type]


def _take(page: Page, frame: Frame, what: str, file: str) -> tuple[str, bytes]:
    """The name and the bytes of a file of the menu that downloads `what`."""
    frame.get_by_test_id(f"take-along-{what}").click()
    with page.expect_download() as caught:
        frame.get_by_test_id(f"download-{file}").click()
    return caught.value.suggested_filename, Path(caught.value.path()).read_bytes()


def _table(page: Page, frame: Frame, what: str, file: str = "csv") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_take(page, frame, what, file)[1].decode(), newline="")))


def _find(frame: Frame, png: bytes, canvas: str) -> list[int] | None:
    """Where in a picture each pixel of a canvas of the page is found again, those that nothing covers aside."""
    found = frame.locator(canvas).first.evaluate(
        """async (canvas, text) => {
          const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
          const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
          const read = (source, width, height) => {
            const made = new OffscreenCanvas(width, height).getContext("2d");
            made.drawImage(source, 0, 0);
            return new Uint32Array(made.getImageData(0, 0, width, height).data.buffer);
          };
          const { width, height } = canvas;
          const [all, own] = [read(picture, picture.width, picture.height), read(canvas, width, height)];
          const places = [];
          own.forEach((pixel, i) => { if (pixel >>> 24 === 255) places.push(i); });
          if (places.length < 50) return null;
          const fits = (x, y) => places.every((i) =>
            all[(y + Math.floor(i / width)) * picture.width + x + (i % width)] === own[i]);
          for (let y = 0; y <= picture.height - height; y++)
            for (let x = 0; x <= picture.width - width; x++) if (fits(x, y)) return [x, y];
          return null;
        }""",
        base64.b64encode(png).decode(),
    )
    return found and [int(at) for at in found]


def _rms(array: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.nanmean(np.square(array.astype(np.float64)))))


def test_the_map_is_a_table_of_each_tensors_own_value_at_every_step(
    page: Page, server: TensorBoardServer, run: Run, arrays: dict[str, npt.NDArray[np.float32]]
) -> None:
    frame = _open(page, server, mapColour="level")
    folded = frame.locator("[data-testid=layer-row][data-path=block]")
    folded.locator(".lv-caret").click()
    expect(frame.get_by_test_id("layer-row")).to_have_count(2)
    rows = _table(page, frame, "the-map", "the-map-csv")
    assert [row["layer"] for row in rows] == list(LAYERS), "a folded row gives away all that is in it"
    logged = run.statistics("rms")
    for row in rows:
        values = [float(row[f"step {step}"]) for step in STEPS]
        tensor = run.tensor(row["layer"], kind="activation")
        assert [row[name] for name in ("kind", "name", "call", "statistic")] == ["activation", "output", "0", "rms"]
        np.testing.assert_array_equal(np.float32(values), np.float32(logged[tensor]))
        np.testing.assert_allclose(values, [_rms(array) for array in arrays[row["layer"]]], rtol=1e-6)


def test_the_tables_of_map_and_profile_follow_statistic_kind_and_filter(
    page: Page, server: TensorBoardServer, arrays: dict[str, npt.NDArray[np.float32]]
) -> None:
    frame = _open(page, server, statistic="max", mapColour="level", filter="second", step=13)
    (row,) = _table(page, frame, "the-map", "the-profile-csv")
    assert (row["layer"], row["statistic"]) == ("block/second", "max")
    assert "step 0" not in row, "the profile is of one step"
    assert float(row["step 13"]) == pytest.approx(float(arrays["block/second"][6].max()), rel=1e-6)
    frame.get_by_test_id("kind-weight").click()
    settled(frame)
    name, data = _take(page, frame, "the-map", "the-map-csv")
    assert name == "a_weight-max_map_second.csv"
    (row,) = csv.DictReader(io.StringIO(data.decode()))
    assert (row["kind"], row["name"]) == ("weight", "kernel")


def test_the_pictures_of_map_and_curves_hold_what_is_drawn(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server)
    place = _find(frame, _take(page, frame, "the-map", "the-map-png")[1], "[data-testid=map-canvas]")
    assert place is not None and place[0] > 60, "the rows' names stand to the left"
    _, curves = _take(page, frame, "the-map", "the-curves-png")
    assert _find(frame, curves, "[data-testid=loss-strip] canvas") is not None
    assert _take(page, frame, "the-map", "the-profile-png")[1].startswith(b"\x89PNG")


def test_a_picture_of_the_map_has_the_rows_that_are_scrolled_away(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server)
    heights = []
    for window in (800, 320):
        page.set_viewport_size({"width": 1280, "height": window})
        settled(frame)
        png = _take(page, frame, "the-map", "the-map-png")[1]
        canvas = frame.get_by_test_id("map-canvas").first.evaluate("canvas => canvas.height")
        row = frame.get_by_test_id("layer-row").first.bounding_box()
        assert row is not None
        heights.append((int.from_bytes(png[20:24], "big"), canvas, 5 * round(row["height"])))
    (whole, drawn, rows), (scrolled, seen, low_rows) = heights
    assert drawn == rows and seen < low_rows, "five rows, which fit first and do not fit then"
    assert scrolled - low_rows == whole - rows, "all that is around the rows is as before"


def test_the_curves_are_a_table_with_the_evaluation_at_its_own_steps(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server)
    expect(frame.locator(".lv-strip-note")).to_be_visible()
    rows = {int(row["step"]): row for row in _table(page, frame, "the-map", "the-curves-csv")}
    assert sorted(rows) == sorted([*STEPS, 40])
    for i, step in enumerate(STEPS):
        assert float(rows[step]["learning_rate"]) == pytest.approx(0.1 / (i + 1), rel=1e-6)
        assert rows[step]["loss"] == "" if i == 0 else float(rows[step]["loss"]) == pytest.approx(1 / (i + 2), rel=1e-6)
    measured = {step: row["loss of a/evaluate"] for step, row in rows.items() if row["loss of a/evaluate"]}
    assert {step: float(loss) for step, loss in measured.items()} == pytest.approx({3: 0.03, 40: 0.4}, rel=1e-6)


def test_the_numbers_are_a_picture_too(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, panel="numbers")
    expect(frame.locator("[data-number=rms] td").first).to_contain_text(".")
    data = _take(page, frame, "the-numbers", "png")[1]
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert height > 19 * 20 and width > 400, "19 lines of text"


def _compare(page: Page, server: TensorBoardServer, **state: object) -> Frame:
    frame = _open(page, server, against="b", **state)
    expect(frame.get_by_test_id("compare-statistics").locator("[data-side=B] td").first).not_to_be_empty()
    return frame


def test_the_difference_map_is_a_table_of_log2_of_the_ratio(
    page: Page,
    server: TensorBoardServer,
    arrays: dict[str, npt.NDArray[np.float32]],
    others: dict[str, npt.NDArray[np.float32]],
) -> None:
    frame = _compare(page, server)
    rows = {row["layer"]: row for row in _table(page, frame, "the-map", "the-map-csv")}
    assert rows["head"]["statistic"] == "log2(B / A) of rms"
    for layer in LAYERS:
        expected = [np.log2(_rms(b) / _rms(a)) for a, b in zip(arrays[layer], others[layer], strict=True)]
        np.testing.assert_allclose([float(rows[layer][f"step {step}"]) for step in STEPS], expected, atol=1e-5)
    assert float(rows["block/second"]["step 89"]) == pytest.approx(2, abs=1e-5)
    png = _take(page, frame, "the-map", "the-map-png")[1]
    assert _find(frame, png, "[data-testid=map-canvas]") is not None


def test_statistics_courses_and_distributions_of_both_are_taken_along(
    page: Page, server: TensorBoardServer, logdir: Path, others: dict[str, npt.NDArray[np.float32]]
) -> None:
    frame = _compare(page, server, step=21)
    reader = LayerReader(logdir)
    runs = {"A": reader.run("a"), "B": reader.run("b")}
    tensors = {side: found.tensor("block/second", kind="activation") for side, found in runs.items()}
    rows = {row["statistic"]: row for row in _table(page, frame, "the-statistics")}
    b = others["block/second"][STEPS.index(21)].astype(np.float64)
    assert float(rows["rms"]["B"]) == pytest.approx(_rms(b), rel=1e-6)  # type: ignore[arg-type]
    assert float(rows["min"]["B"]) == pytest.approx(b.min(), rel=1e-6)
    assert float(rows["negative"]["B"]) == pytest.approx(float((b < 0).mean()))
    for row in rows.values():
        assert float(row["B - A"]) == pytest.approx(float(row["B"]) - float(row["A"]), abs=1e-12)

    courses = _table(page, frame, "the-courses")
    for side, found in runs.items():
        own = {int(row["step"]): np.float32(row["rms"]) for row in courses if row["side"] == side}
        assert list(own) == STEPS
        np.testing.assert_array_equal(list(own.values()), np.float32(found.statistics("rms")[tensors[side]]))

    bins = _table(page, frame, "the-distributions")
    for side, found in runs.items():
        histogram = found.histogram(tensors[side], 21)
        own_bins = [row for row in bins if row["side"] == side]
        assert [int(row["count"]) for row in own_bins] == list(histogram.counts)
        assert {row["step"] for row in own_bins} == {"21"}
        assert sum(int(row["count"]) for row in own_bins) == b.size
    png = _take(page, frame, "the-distributions", "png")[1]
    assert _find(frame, png, "[data-testid=compare-histograms]") is not None
    for what in ("the-statistics", "the-courses"):
        assert _take(page, frame, what, "png")[1].startswith(b"\x89PNG")


def test_compared_pictures_and_units_by_change_are_taken_along(page: Page, server: TensorBoardServer) -> None:
    frame = _compare(page, server, step=21, kind="weight", name="kernel")
    expect(frame.get_by_test_id("compare-offer")).to_have_attribute("data-offered", "true")
    a, b = (_kernel(run, STEPS.index(21)) for run in ("a", "b"))
    rows = _table(page, frame, "the-pictures")
    assert len(rows) == a.size
    for row in rows:
        at = tuple(int(index) for index in list(row.values())[:2])
        # Values are kept in float16.
        assert float(row["A"]) == pytest.approx(a[at], rel=1e-3)
        assert float(row["B"]) == pytest.approx(b[at], rel=1e-3)
        assert float(row["B - A"]) == pytest.approx(float(row["B"]) - float(row["A"]), abs=1e-12)
    png = _take(page, frame, "the-pictures", "png")[1]
    for side in ("a", "b"):
        assert _find(frame, png, f"[data-testid=compare-picture-{side}] [data-testid=picture-canvas]") is not None

    frame.get_by_test_id("compare-panel-difference").click()
    settled(frame)
    changes = {
        int(next(iter(row.values()))): float(row["rms of B - A"])
        for row in _table(page, frame, "the-pictures", "the-units-by-change-csv")
    }
    expected = np.sqrt(np.mean((b - a) ** 2, axis=0))
    assert list(changes) == list(np.argsort(-expected)), "the most first"
    np.testing.assert_allclose([changes[unit] for unit in range(UNITS)], expected, rtol=2e-3)
    png = _take(page, frame, "the-pictures", "the-difference-png")[1]
    assert _find(frame, png, "[data-testid=compare-picture-difference] [data-testid=picture-canvas]") is not None
    assert len(_table(page, frame, "the-pictures", "the-difference-csv")) == a.size
    assert _take(page, frame, "the-pictures", "the-units-by-change-png")[1].startswith(b"\x89PNG")


def _colours(frame: Frame, path: str) -> set[tuple[int, ...]]:
    """The colours in a row of the map."""
    row = frame.locator(f"[data-testid=layer-row][data-path='{path}']").bounding_box()
    assert row is not None
    pixels = frame.get_by_test_id("map-canvas").first.evaluate(
        """(canvas, y) => {
          const top = Math.round(y - canvas.getBoundingClientRect().top);
          return [...canvas.getContext("2d").getImageData(0, top, canvas.width, 1).data];
        }""",
        # Of the page, to be compared with what is measured in the frame.
        row["y"] + row["height"] / 2 - _top_of(frame),
    )
    return {tuple(pixels[at : at + 3]) for at in range(0, len(pixels), 4)}


def _top_of(frame: Frame) -> float:
    box = frame.frame_element().bounding_box()
    assert box is not None
    return float(box["y"])


def test_the_difference_map_follows_the_choice_of_scales_and_says_which_holds(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _compare(page, server, kind="weight", name="kernel", maps="weight", order="model", spacing="even")
    said = frame.get_by_test_id("compare-scale")
    expect(said).to_contain_text("linear around 0, one range, 99 % within it")
    frame.locator("[data-testid=layer-row][data-path=block] .lv-caret").first.wait_for()
    linear = _colours(frame, "head")
    frame.get_by_test_id("scales").click()
    expect(frame.get_by_test_id("transform-linear")).to_be_checked()
    frame.get_by_test_id("transform-log").check()
    expect(said).to_contain_text("logarithmic around 0")
    logarithmic = _colours(frame, "head")
    assert logarithmic != linear
    frame.get_by_test_id("transform-linear").check()
    expect(said).to_contain_text("linear around 0")
    assert _colours(frame, "head") == linear
    frame.get_by_test_id("rows-own").check()
    expect(said).to_contain_text("a range for each row")
    expect(frame.locator(".lv-colourbar").first).to_contain_text("high of each row")


def test_the_range_of_all_steps_goes_no_further_than_there_are_elements(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    run = LayerReader(logdir).run("narrow")
    tensor = run.tensor("two values")
    assert run.histogram(tensor, 0).upper[-1] == 42, "the histogram alone says more than there is"
    frame = _open(page, server, run="narrow", layer="two values", step=2)
    bar = frame.locator(".lv-picture-foot .lv-colourbar")
    # The largest element is one of the first step, and not of the step that is shown.
    expect(bar).to_have_attribute("aria-label", "from 0 to 40")
    frame.get_by_test_id("picture-range").select_option("step")
    expect(bar).to_have_attribute("aria-label", "from 0 to 38")


def _outline(frame: Frame) -> list[float] | None:
    """Left, top, right and bottom of what is outlined in the picture, as shares of its sizes; None where nothing is."""
    box = (
        frame.get_by_test_id("picture")
        .locator("canvas")
        .nth(1)
        .evaluate(
            """canvas => {
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          let box = null;
          for (let i = 3; i < data.length; i += 4) if (data[i] > 128) {
            const [x, y] = [((i - 3) / 4) % width / width, Math.floor((i - 3) / 4 / width) / height];
            box ??= [x, y, x, y];
            box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
          }
          return box;
        }"""
        )
    )
    return box and [float(at) for at in box]


def test_a_unit_that_is_chosen_comes_into_view_where_the_picture_is_enlarged(
    page: Page, server: TensorBoardServer
) -> None:
    # Of the units the first stands at the left, far from what the address shows: the right end, enlarged.
    frame = _open(page, server, layer="head", zoom="2,0.95,0.5", unit=0)
    expect(frame.get_by_test_id("readout")).to_contain_text("unit 0 is outlined")
    assert frame.get_by_test_id("picture").get_attribute("data-scale") == "2"
    hidden = _outline(frame)
    assert hidden is None or hidden[0] == 0, "an address shows what it showed elsewhere"
    frame.get_by_test_id("panel-units").click()
    chart = frame.locator("[data-chart=units]").bounding_box()
    assert chart is not None
    page.mouse.click(chart["x"] + chart["width"] / 2, chart["y"] + 1.5 / UNITS * chart["height"])
    frame.get_by_test_id("panel-picture").click()
    expect(frame.get_by_test_id("readout")).to_contain_text("unit 1 is outlined")
    settled(frame)
    assert frame.get_by_test_id("picture").get_attribute("data-scale") == "2", "it moves, and stays as large"
    outline = _outline(frame)
    assert outline is not None and 0 < outline[0] < outline[2] < 0.99, "its whole column is on the screen"


def test_the_legend_of_a_distribution_names_a_step_once(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, panel="distribution", step=0, history="heat")
    expect(frame.locator(".lv-histogram .lv-chart-key")).to_have_text("step 0")
    frame.get_by_test_id("loss-strip").click(position={"x": 300, "y": 40})
    expect(frame.get_by_test_id("ghost-step")).to_have_text("step 0")
