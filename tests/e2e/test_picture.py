"""The tensor's picture as a person uses it, held against what LayerReader and numpy say."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import (
    box_of,
    download,
    logdir_of,
    new_page,
    open_tab,
    pixels_of,
    settled,
    state_of,
    tab_within,
    words_seen,
)
from playwright.sync_api import Browser, Frame, Page, expect
from serving import TensorBoardServer

from tb_layerview import Keep, LayerReader, LayerViewCallback, LayerWriter
from tb_layerview.commands import demo

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("clipboard")]

STEPS = 6


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """By layer, what is logged: [steps, *shape]."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(STEPS, 3, 6, 5, 4)).astype(np.float32)
    maps *= np.array([1, 4, 2, 3], np.float32)  # activity of the channels: 1, 3, 2, 0 from large to small
    maps[:, 0, 2, 3, 1], maps[:, 0, 4, 4, 1], maps[:, 0, 5, 0, 3] = np.nan, np.inf, -np.inf
    volume = rng.normal(size=(STEPS, 2, 3, 4, 4, 2)).astype(np.float32)
    vector = rng.normal(size=(STEPS, 12)).astype(np.float32)
    causal = np.tril(np.ones((5, 5)))
    scores = np.exp(rng.normal(size=(STEPS, 2, 3, 5, 5))) * causal
    scores /= scores.sum(-1, keepdims=True)
    return {"maps": maps, "volume": volume, "vector": vector, "scores": scores.astype(np.float32)}


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]) -> Path:
    """Logs of arrays of many ranks, of the demo, and of its model under a cap that has room for some values only."""
    folder = tmp_path_factory.mktemp("logs")
    with LayerWriter(folder / "ranks", keep=Keep(precision="float32")) as writer:
        for step in range(STEPS):
            writer.write(step, {"maps": arrays["maps"][step]}, axes=("example", "row", "column", "channel"))
            writer.write(
                step, {"volume": arrays["volume"][step]}, axes=("example", "timestep", "row", "column", "channel")
            )
            writer.write(step, {"vector": arrays["vector"][step]}, "weight", name="bias")
            writer.write(step, {"scalar": np.float32(0.125 * step)}, "weight", name="scale")
            writer.write(
                step, {"attention": arrays["scores"][step]}, name="scores", axes=("example", "head", "query", "key")
            )
    with LayerWriter(folder / "halves") as writer:
        for step in range(STEPS):
            writer.write(step, {"maps": arrays["maps"][step]})
            # Some are too small for float16 without the power of two under which they are kept.
            writer.write(step, {"small ones": arrays["maps"][step] * 1e-6})
    demo.train(str(folder / "demo"), epochs=2)
    model, (images, labels) = demo.model(), demo.digits()
    model.compile("adam", "sparse_categorical_crossentropy")
    capped = LayerViewCallback(folder / "capped", schedule=1, keep=Keep(max_bytes=20_000_000))
    model.fit(images, labels, batch_size=45, epochs=2, verbose=0, callbacks=[capped])
    return folder


def _open(page: Page, server: TensorBoardServer, run: str, **fields: Any) -> Frame:
    return open_tab(page, server, "kept", **{"run": run, "kind": "activation", "name": "output", **fields})


def _picture(page: Page, server: TensorBoardServer, run: str, **fields: Any) -> Frame:
    frame = _open(page, server, run, **fields)
    expect(frame.get_by_test_id("picture-canvas")).to_be_visible()
    settled(frame)
    return frame


def _read(frame: Frame) -> tuple[tuple[int, ...], float]:
    """The index and the value that the readout says."""
    readout = frame.get_by_test_id("readout")
    index = tuple(json.loads(f"[{readout.get_attribute('data-index')}]"))
    return index, float((readout.get_attribute("data-value") or "").replace("Infinity", "inf"))


def _download(page: Page, frame: Frame, kind: str, folder: Path) -> Path:
    taken = download(page, frame, "the-picture", kind)
    path = folder / taken.suggested_filename
    taken.save_as(path)
    return path


def _pixels(frame: Frame) -> str:
    return pixels_of(frame.get_by_test_id("picture-canvas"))


def test_the_cursor_walks_over_cells_and_says_their_true_values(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray]
) -> None:
    frame = _picture(page, server, "ranks", layer="maps", step=2, at="example:1")
    picture = frame.get_by_test_id("picture")
    picture.focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
        index, value = _read(frame)
        assert value == pytest.approx(float(arrays["maps"][2][index]), rel=1e-6)
        seen.append(index)
    assert seen == [(1, 0, 0, 0), (1, 0, 1, 0), (1, 1, 1, 0), (1, 2, 1, 0), (1, 2, 0, 0)]
    assert frame.get_by_test_id("readout").get_attribute("aria-live") == "polite"
    assert frame.get_by_test_id("step-number").input_value() == "2", "arrows in the picture are no steps"
    assert state_of(page)["cell"] == "1,2,0,0"
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("readout")).to_contain_text("Point at an element")
    page.keyboard.press("Escape")
    assert not picture.evaluate("element => element === document.activeElement")


@pytest.mark.parametrize("way", ["wheel", "keys", "buttons"])
def test_zoom_leads_to_single_cells_and_the_pointer_reads_true_values(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray], way: str
) -> None:
    frame = _picture(page, server, "ranks", layer="maps", step=1)
    picture = frame.get_by_test_id("picture")
    before = _pixels(frame)
    box = box_of(picture)
    if way == "wheel":
        page.mouse.move(box["x"] + 60, box["y"] + 60)
        for _ in range(12):
            page.mouse.wheel(0, -240)
    elif way == "keys":
        picture.focus()
        for _ in range(8):
            page.keyboard.press("+")
    else:
        while frame.get_by_test_id("zoom-in").is_enabled():
            frame.get_by_test_id("zoom-in").click()
    settled(frame)
    scale = float(picture.get_attribute("data-scale") or 1)
    assert scale > 2 and _pixels(frame) != before
    box = box_of(picture)
    seen = set()
    # Some of these places are between two panels.
    for right, down in itertools.product((0.2, 0.5, 0.8), repeat=2):
        page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"])
        if frame.get_by_test_id("readout").get_attribute("data-index") is None:
            continue
        index, value = _read(frame)
        assert np.isclose(value, arrays["maps"][1][index], rtol=1e-6, equal_nan=True)
        seen.add(index)
    assert seen
    # Dragging moves the picture, and the element under the pointer with it.
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    moved_from = state_of(page)["zoom"]
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"] - 40, box["y"] + 0.5 * box["height"] - 20, steps=4)
    page.mouse.up()
    assert state_of(page)["zoom"] != moved_from
    picture.focus()
    page.keyboard.press("0")
    expect(picture).to_have_attribute("data-scale", "1")
    assert "zoom" not in state_of(page)


def test_a_slider_for_each_axis_of_any_rank(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray]
) -> None:
    frame = _picture(page, server, "ranks", layer="volume", step=3)
    frame.get_by_test_id("slice-example").fill("1")
    slider = frame.get_by_test_id("slice-timestep")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert frame.get_by_test_id("step-number").input_value() == "3", "arrows on a slice are no steps"
    frame.get_by_test_id("picture").focus()
    page.keyboard.press("ArrowRight")
    index, value = _read(frame)
    assert index == (1, 2, 0, 0, 0)
    assert value == pytest.approx(float(arrays["volume"][3][index]), rel=1e-6)
    assert state_of(page)["at"] == "example:1,timestep:2"


def test_a_person_puts_the_axes_where_they_want_them_and_the_address_keeps_it(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray], browser: Browser
) -> None:
    frame = _picture(page, server, "ranks", layer="maps", step=0)
    frame.get_by_test_id("picture-view").click()
    frame.get_by_test_id("axis-column").select_option(label="channel")
    frame.get_by_test_id("axis-panelColumn").select_option(label="example")
    frame.get_by_test_id("picture-colours").select_option("viridis")
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("slice-column")).to_be_visible()
    frame.get_by_test_id("slice-column").fill("2")
    frame.get_by_test_id("picture").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    index, value = _read(frame)
    assert index == (0, 0, 2, 1), "across runs the channel"
    assert value == pytest.approx(float(arrays["maps"][0][index]), rel=1e-6)
    frame.get_by_test_id("picture-sort").select_option("activity")
    frame.get_by_test_id("picture-range").select_option("step")
    frame.get_by_test_id("zoom-in").click()
    state, pixels = state_of(page), _pixels(frame)
    assert state["axes"] == "down=row,across=channel,grid=example" and state["colours"] == "viridis"
    with new_page(browser, viewport={"width": 1280, "height": 800}) as other:
        other.goto(page.url)
        again = tab_within(other, "readout")
        expect(again.get_by_test_id("readout")).to_have_attribute("data-index", "0,0,2,1")
        assert _pixels(again) == pixels


def test_what_is_no_number_and_what_is_clipped_is_counted(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray]
) -> None:
    shown = arrays["maps"][2][0]
    frame = _picture(page, server, "ranks", layer="maps", step=2, range="hand", low="-1", high="1")
    expect(frame.get_by_test_id("mark-nan")).to_contain_text(f"NaN {np.isnan(shown).sum()}")
    expect(frame.get_by_test_id("mark-posInf")).to_contain_text(f"+inf {np.isposinf(shown).sum()}")
    expect(frame.get_by_test_id("mark-negInf")).to_contain_text(f"−inf {np.isneginf(shown).sum()}")
    finite = shown[np.isfinite(shown)]
    expect(frame.get_by_test_id("clipped")).to_have_text(f"{(np.abs(finite) > 1.002).sum()} beyond")
    frame.get_by_test_id("slice-example").fill("1")
    expect(frame.get_by_test_id("mark-nan")).to_have_count(0)
    frame.get_by_test_id("picture-low").fill("3")
    expect(frame.get_by_role("alert")).to_contain_text("must lie below")


def test_channels_are_ordered_by_activity_and_by_change(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray]
) -> None:
    frame = _picture(page, server, "ranks", layer="maps", step=4, sort="activity")

    def first_channel() -> int:
        frame.get_by_test_id("picture").focus()
        page.keyboard.press("Escape")
        frame.get_by_test_id("picture").focus()
        page.keyboard.press("ArrowRight")
        return _read(frame)[0][3]

    now = np.where(np.isfinite(arrays["maps"]), arrays["maps"], np.nan).astype(np.float64)
    axes = (0, 1, 2)
    assert first_channel() == np.argmax(np.nanmean(now[4] ** 2, axes))
    for sort, other in (("change", 3), ("growth", 0)):
        frame.get_by_test_id("picture-sort").select_option(sort)
        settled(frame)
        assert first_channel() == np.argmax(np.nanmean((now[4] - now[other]) ** 2, axes))


def test_a_vector_and_a_scalar_have_their_numbers(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray]
) -> None:
    frame = _picture(page, server, "ranks", layer="vector", kind="weight", name="bias", step=5, sort="activity")
    frame.get_by_test_id("picture").focus()
    order = np.argsort(-np.abs(arrays["vector"][5]))
    for unit in order[:3]:
        page.keyboard.press("ArrowRight")
        index, value = _read(frame)
        assert index == (unit,) and value == pytest.approx(float(arrays["vector"][5][unit]), rel=1e-6)
    frame = _open(page, server, "ranks", layer="scalar", kind="weight", name="scale", step=5)
    page.reload()
    expect(tab_within(page, "one-value").get_by_test_id("one-value")).to_have_text("0.625")


def test_heads_look_at_as_many_positions_as_their_scores_say(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray]
) -> None:
    frame = _picture(page, server, "ranks", layer="attention", name="scores", step=3, at="example:1")
    scores = arrays["scores"][3][1].astype(np.float64)
    expected = 1 / (5 * np.mean(scores**2, axis=(1, 2)))
    for head in range(3):
        cell = frame.get_by_test_id("head-reach").locator(f"[data-head='{head}']")
        assert float(cell.get_attribute("data-reach") or "nan") == pytest.approx(expected[head], rel=1e-5)
    uniform = frame.get_by_test_id("uniform-reach").get_attribute("data-uniform")
    expect(frame.get_by_test_id("uniform-reach")).to_contain_text("under the mask (inferred from scores of 0)")
    assert float(uniform or "nan") == pytest.approx(5 / sum(1 / n for n in range(1, 6)), rel=1e-6)


@pytest.mark.parametrize(
    ("run", "layer", "dtype"), [("ranks", "maps", "<f4"), ("halves", "maps", "<f2"), ("halves", "small ones", "<f4")]
)
def test_the_npy_file_holds_the_values_as_they_are_kept(
    page: Page, server: TensorBoardServer, tmp_path: Path, run: str, layer: str, dtype: str
) -> None:
    frame = _picture(page, server, run, layer=layer, step=4, at="example:2")
    path = _download(page, frame, "npy", tmp_path)
    logged = LayerReader(logdir_of(server)).run(run)
    kept = logged.values(logged.tensor(layer), step=4).array
    assert path.name.startswith(f"{run}_{layer.replace(' ', '-')}_activation_output_") and "step-4" in path.name
    array = np.load(path)
    np.testing.assert_array_equal(array, kept[2])
    assert array.dtype == np.dtype(dtype)


def test_the_csv_file_holds_index_and_value_of_each_shown_element(
    page: Page, server: TensorBoardServer, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    frame = _picture(page, server, "ranks", layer="maps", step=1)
    lines = _download(page, frame, "csv", tmp_path).read_text().splitlines()
    assert lines[0] == "example,row,column,channel,value"
    shown = arrays["maps"][1][0]
    assert len(lines) == 1 + shown.size
    for line in lines[1:]:
        *index, value = line.split(",")
        assert np.isclose(float(value), arrays["maps"][1][tuple(map(int, index))], rtol=1e-6, equal_nan=True)


def test_the_png_file_is_a_picture_with_a_caption(page: Page, server: TensorBoardServer, tmp_path: Path) -> None:
    frame = _picture(page, server, "ranks", layer="maps", step=1)
    data = _download(page, frame, "png", tmp_path).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    canvas = frame.get_by_test_id("picture-canvas").evaluate("canvas => [canvas.width, canvas.height]")
    assert width >= 2 * canvas[0] and height > 2 * canvas[1] + 80


def test_the_python_lines_read_what_is_shown(page: Page, server: TensorBoardServer) -> None:
    frame = _picture(page, server, "halves", layer="maps", step=3, at="example:2")
    with words_seen(frame, "copy-python", "Copied"):
        frame.get_by_test_id("copy-python").click()
    lines = frame.evaluate("navigator.clipboard.readText()")
    found: dict[str, Any] = {}
    exec(lines, found)  # what a person would do with them
    run = LayerReader(logdir_of(server)).run("halves")
    np.testing.assert_array_equal(found["shown"], run.values(run.tensor("maps"), step=3).array[2])


def test_the_example_stands_beside_what_the_layer_makes_of_it(page: Page, server: TensorBoardServer) -> None:
    run = LayerReader(logdir_of(server)).run("demo")
    output = run.tensor("classes", kind="activation")
    step = int(run.kept_steps("values", output)[-1])
    frame = _picture(page, server, "demo", layer="block_2/relu", kind="activation", name="output", step=step)
    scores = run.values(output, step).array
    pictures = set()
    for example in (0, 3, 31):
        frame.get_by_test_id("slice-example").fill(str(example))
        settled(frame)
        guess = frame.get_by_test_id("prediction")
        expect(guess).to_have_attribute("data-class", str(int(np.argmax(scores[example]))))
        score = float(guess.get_attribute("data-score") or "nan")
        assert score == pytest.approx(float(scores[example].max()), rel=1e-6)
        pictures.add(pixels_of(frame.get_by_test_id("example-picture")))
    assert len(pictures) == 3, "the input switches with the example"


def test_it_is_said_which_part_is_shown_and_of_which_step(page: Page, server: TensorBoardServer) -> None:
    run = LayerReader(logdir_of(server)).run("capped")
    tensor = run.tensor("block_1/relu")
    kept = run.kept_steps("values", tensor)
    step = int(next(step for step in run.steps if step > kept[3] and step not in kept))
    frame = _picture(page, server, "capped", layer=tensor.layer, kind=tensor.kind, name=tensor.name, step=step)
    nearest = int(kept[kept <= step][-1])
    mark = frame.get_by_test_id("values-step")
    expect(mark).to_have_text(f"step {nearest}")
    expect(mark).to_have_attribute("title", re.compile(f"Values of step {nearest}, the nearest that keeps values"))
    expect(frame.get_by_test_id("kept")).to_contain_text("float16")
    expect(frame.get_by_test_id("kept")).to_contain_text("one example at a time")


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
@pytest.mark.parametrize(("kind", "name"), [("activation", "output"), ("weight", "kernel")])
def test_the_picture_stays_in_its_place_from_step_to_step(
    page: Page, server: TensorBoardServer, size: tuple[int, int], kind: str, name: str
) -> None:
    run = LayerReader(logdir_of(server)).run("capped")
    tensor = run.tensor("block_1/conv", kind=kind, name=name)
    kept = run.kept_steps("values", tensor)
    steps = run.steps[:60]
    assert len(steps) == 60 and len(np.intersect1d(steps, kept)) < 60, "at some of them no values are kept"
    page.set_viewport_size({"width": size[0], "height": size[1]})
    frame = _picture(page, server, "capped", layer="block_1/conv", kind=kind, name=name, step=int(steps[0]))
    if kind == "activation":
        expect(frame.get_by_test_id("prediction")).to_be_visible()
    picture = frame.get_by_test_id("tensor-picture")
    boxes = {}
    for step in steps:
        expect(picture).to_have_attribute("data-step", str(step))
        boxes[int(step)] = tuple(box_of(frame.get_by_test_id("picture-canvas")).values())
        page.keyboard.press("ArrowRight")
    assert len(set(boxes.values())) == 1, boxes


def test_what_is_played_are_steps_that_keep_values_where_a_picture_is_looked_at(
    page: Page, server: TensorBoardServer
) -> None:
    run = LayerReader(logdir_of(server)).run("capped")
    tensor = run.tensor("block_1/relu")
    kept = [int(step) for step in run.kept_steps("values", tensor)]
    page.emulate_media(reduced_motion="no-preference")
    frame = _picture(page, server, "capped", layer="block_1/relu", kind="activation", name="output", step=kept[-4])
    frame.evaluate(
        """() => {
          window.shown = [];
          const place = document.querySelector("[data-testid=tensor-picture]");
          new MutationObserver(() => window.shown.push(Number(place.dataset.step)))
            .observe(place, { attributes: true, attributeFilter: ["data-step"] });
        }"""
    )
    frame.get_by_test_id("play").click()
    expect(frame.get_by_test_id("play")).to_have_attribute("aria-label", "Play through the steps")
    assert frame.evaluate("window.shown") == kept[-3:]
    assert kept[-1] - kept[-4] > 3, "there are others between them"
