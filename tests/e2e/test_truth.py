"""Nothing on the screen is untrue: logs that tempt it to say more than they hold, and what it then shows."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import box_of, download, logdir_of, open_tab, settled, state_of
from playwright.sync_api import Frame, Locator, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader, LayerViewCallback, LayerWriter, Schedule
from tb_layerview.commands import demo

pytestmark = pytest.mark.e2e

#: With a hole of 39 steps, which a map has as hatching.
GAPPY = (*range(61), *range(100, 121))
HOLE, LAST = (61, 99), 120
#: Where nothing is healthy any more, and how many steps there are.
BREAKS_AT, STEPS = 20, 30
KEYS = 16
#: From this step on most of a layer is silent; at the last one, far from all others, all of it.
MOST_AT, ALL_AT = 15, 60
FAR_BELOW = -50.0


def _write_gappy(folder: Path) -> None:
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "gappy") as writer:
        for step in GAPPY:
            arrays = {name: rng.normal(size=(4, 6, 6, 4)).astype(np.float32) for name in ("first", "second")}
            writer.write(step, arrays, scalars={"loss": float(np.exp(-step / 40))})


def _write_broken(folder: Path) -> None:
    """The same numbers over and over; of one run a layer then holds NaN and another what max pooling makes of it."""
    rng = np.random.default_rng(0)
    arrays = [
        {"before": size * rng.uniform(1, 2, size=(8, 4)), "pool": rng.uniform(1, 2, size=(8, 4))}
        for size in (0.2, 0.5, 1.0, 2.0, 4.0)
    ]
    with LayerWriter(folder / "whole") as whole, LayerWriter(folder / "broken") as broken:
        for step in range(STEPS):
            now = {name: array.astype(np.float32) for name, array in arrays[step % 5].items()}
            whole.write(step, now)
            if step >= BREAKS_AT:
                now["before"][0, 0] = np.nan
                now["pool"][:] = 3e38
            broken.write(step, now)


def _write_from_zero(folder: Path) -> None:
    """A layer that is 0 at first, one that is logged later on, and an input that stays."""
    with LayerWriter(folder / "from_zero") as writer:
        for step in range(10):
            arrays = {"zero": np.full((4, 4), float(step > 0)), "input": np.full((4, 4), 100.0)}
            if step > 2:
                arrays["late"] = np.full((4, 4), float(step))
            writer.write(step, {name: array.astype(np.float32) for name, array in arrays.items()})


def _write_even_attention(folder: Path) -> None:
    """One layer looks at all keys alike, but for noise of a thousandth; the other at one alone."""
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "attention") as writer:
        for step in range(3):
            noise = rng.uniform(-1e-3, 1e-3, size=(2, 2, KEYS, KEYS))
            even = ((1 + noise) / KEYS).astype(np.float32)
            sharp = np.broadcast_to(np.eye(KEYS, dtype=np.float32), even.shape)
            axes = ("example", "head", "query", "key")
            writer.write(step, {"even": even, "sharp": sharp}, name="scores", axes=axes)


def _train(folder: Path) -> None:
    """Most channels of a convolution are silent; pooling and a Flatten pass that on. Steps 30 to 89 are not logged."""
    import tensorflow as tf

    layers = tf.keras.layers

    def bias(shape: tuple[int, ...], dtype: object = None) -> npt.NDArray[np.float32]:
        return np.where(np.arange(shape[0]) == 0, 0.1, FAR_BELOW).astype(np.float32)

    x, y = demo.digits()
    tf.keras.utils.set_random_seed(1)
    model = tf.keras.Sequential(
        [
            tf.keras.Input(x.shape[1:]),
            layers.Conv2D(32, 3, activation="relu", bias_initializer=bias, name="conv"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(10, name="classes"),
        ]
    )
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    log = LayerViewCallback(folder / "passing", schedule=Schedule(steps=(*range(30), *range(90, 112))))
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[log])


def _write_dying(folder: Path) -> None:
    """A layer of which 7 of 8 channels fall silent, and at the very last step, far from the others, all of them."""
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "dying") as writer:
        for step in (*range(32), ALL_AT):
            conv = rng.uniform(0.5, 1.0, size=(4, 6, 6, 12)).astype(np.float32)
            if step >= MOST_AT:
                conv[..., 1:] = 0
            if step == ALL_AT:
                conv[:] = 0
            writer.write(step, {"conv": conv, "other": rng.uniform(0.5, 1, size=(4, 8))}, scalars={"loss": 1.0})
            writer.write(step, {"conv": rng.normal(size=(3, 3, 1, 12))}, kind="weight", name="kernel")


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    _write_gappy(folder)
    _write_broken(folder)
    _write_even_attention(folder)
    _write_from_zero(folder)
    _write_dying(folder)
    _train(folder)
    return folder


def _pixels(canvas: Locator) -> npt.NDArray[np.uint8]:
    """A canvas as [height, width, 4]."""
    width, height, data = canvas.evaluate(
        """canvas => {
          const {width, height} = canvas;
          return [width, height, [...canvas.getContext('2d').getImageData(0, 0, width, height).data]];
        }"""
    )
    return np.array(data, np.uint8).reshape(height, width, 4)


def _painted(frame: Frame, of: str = "map-canvas") -> npt.NDArray[np.uint8]:
    """A canvas that is not empty any more."""
    canvas = frame.get_by_test_id(of).first
    expect(frame.locator(".lv-pending")).to_have_count(0)
    settled(frame)
    pixels = _pixels(canvas)
    assert pixels[..., 3].any(), f"nothing is drawn on {of}"
    return pixels


def _is_grey(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which pixels have no colour of a ramp: they are nearly grey."""
    channels = pixels[..., :3].astype(int)
    return np.asarray(channels.max(-1) - channels.min(-1) <= 14)


def _table(page: Page, frame: Frame) -> list[dict[str, str]]:
    """The map's CSV."""
    text = Path(download(page, frame, "the-map", "the-map-csv").path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def _place(step: float) -> float:
    """Where a step of the run with the hole lies on an axis by step, 0 to 1."""
    return (step + 0.5) / (LAST + 1)


def test_steps_that_were_not_logged_are_hatched_and_say_how_many_and_why(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "layer-row", run="gappy", mapColour="level", step=0)
    pixels = _painted(frame)
    height, width, _ = pixels.shape
    columns = [round(_place(at) * width) for at in (HOLE[0] + 1, HOLE[1] - 1)]
    hole = pixels[:, columns[0] : columns[1]]
    assert _is_grey(hole).all(), "no colour of a step is in the hole"
    assert len(np.unique(hole[height // 4].reshape(-1, 4), axis=0)) >= 2, "it is hatched and not plain"
    # The rows beside it have colours.
    row = height // 4
    assert not _is_grey(pixels[row, : columns[0] - 8]).any()
    assert not _is_grey(pixels[row, columns[1] + 8 :]).any()
    box = box_of(frame.get_by_test_id("map-canvas").first)
    page.mouse.move(box["x"] + _place(80) * box["width"], box["y"] + box["height"] / 4)
    tip = frame.get_by_role("tooltip")
    expect(tip).to_contain_text("39 steps are not logged (61 to 99)")
    expect(tip).to_contain_text("The log does not say why")
    page.mouse.move(box["x"] + _place(50) * box["width"], box["y"] + box["height"] / 4)
    expect(tip).to_contain_text("step 50")
    expect(tip).not_to_contain_text("not logged")


def test_a_schedule_that_left_steps_out_is_named(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "layer-row", run="passing", spacing="linear")
    _painted(frame)
    box = box_of(frame.get_by_test_id("map-canvas").first)
    page.mouse.move(box["x"] + 60 / 112 * box["width"], box["y"] + 10)
    tip = frame.get_by_role("tooltip")
    expect(tip).to_contain_text("60 steps are not logged (30 to 89)")
    expect(tip).to_contain_text("Left out by the schedule")
    expect(tip).to_contain_text("schedule=1")


def test_nothing_is_painted_after_the_last_step(page: Page, server: TensorBoardServer) -> None:
    """The last step is as wide as each other one, half of it before and half after its place."""
    frame = open_tab(page, server, "layer-row", run="gappy", step=LAST)
    pixels = _painted(frame)
    height, width, _ = pixels.shape
    row = pixels[height // 4, :, :3].astype(int)
    changes = np.flatnonzero(np.abs(np.diff(row, axis=0)).sum(-1)) + 1
    # Where the last step's colour begins, of several rows the nearest: two steps may have one colour.
    assert (width - changes[-1]) / width == pytest.approx(1 / (LAST + 1), abs=2 / width)
    box = box_of(frame.get_by_test_id("map-canvas").first)
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + height / 4)
    expect(frame.get_by_role("tooltip")).to_contain_text(f"step {LAST}")
    ticks = frame.locator(".lv-map-pane .lv-axis span").all_inner_texts()
    assert ticks and max(int(tick) for tick in ticks if tick.isdigit()) <= LAST


def _cursor(place: Locator) -> tuple[float, float, float]:
    """Where the line of the step stands: its middle on the page, and its share of what it lies upon; how many."""
    line = place.locator(".lv-now, .lv-timeline-now")
    expect(line).to_have_count(1)
    at, around = box_of(line), box_of(place)
    middle = at["x"] + at["width"] / 2
    return middle, (middle - around["x"]) / around["width"], around["width"]


@pytest.mark.parametrize("step", [0, 60, 100, LAST])
def test_one_cursor_stands_at_one_place_in_every_panel(page: Page, server: TensorBoardServer, step: int) -> None:
    fields: dict[str, Any] = {"run": "gappy", "layer": "first", "step": step}
    frame = open_tab(page, server, "distribution", panel="distribution", history="heat", **fields)
    _painted(frame)
    (strip, share, _), (on_map, map_share, _) = map(
        _cursor, (frame.get_by_test_id("loss-strip"), frame.get_by_test_id("map-activation"))
    )
    assert strip == pytest.approx(on_map, abs=0.5)
    assert share == pytest.approx(map_share, abs=2e-3)
    assert share == pytest.approx(_place(step), abs=3e-3)
    heat = frame.locator(".lv-heat-canvas")
    _, found, width = _cursor(heat)
    assert found == pytest.approx(_place(step), abs=1.5 / width)
    frame.get_by_test_id("panel-units").click()
    expect(frame.get_by_test_id("units-map")).to_be_visible()
    settled(frame)
    _, found, width = _cursor(frame.get_by_test_id("units-map"))
    assert found == pytest.approx(_place(step), abs=1.5 / width)
    page.keyboard.press("g")
    expect(frame.get_by_test_id("lanes")).to_be_visible()
    settled(frame)
    _, found, width = _cursor(frame.locator(".lv-timeline-line"))
    assert found == pytest.approx(_place(step), abs=2.5 / width)


def test_what_breaks_takes_no_colour_from_the_healthy_past(page: Page, server: TensorBoardServer) -> None:
    whole = _painted(open_tab(page, server, "layer-row", run="whole", step=0, layer="before"))
    page.goto("about:blank")
    frame = open_tab(page, server, "layer-row", run="broken", step=0, layer="before")
    expect(frame.get_by_test_id("beyond")).to_have_text("pool: 3e38")
    broken = _painted(frame)
    _, width, _ = whole.shape
    until = width * BREAKS_AT // STEPS - 8
    assert len(np.unique(whole[whole.shape[0] // 4, :until], axis=0)) == 5, "five sizes, five colours"
    scale = min(whole.shape[0], broken.shape[0])
    rows = [scale // 4, 3 * scale // 4]
    np.testing.assert_array_equal(broken[rows, :until], whole[rows, :until])
    # And what broke is none of the ramp's blues.
    after = broken[rows[1], until + 16 :].astype(int)
    assert not (np.abs(after[:, None] - whole[rows[1], None, :until].astype(int)).sum(-1) < 12).any()


def test_the_map_is_the_change_since_the_first_logged_step(page: Page, server: TensorBoardServer) -> None:
    logged = LayerReader(logdir_of(server)).run("broken")
    rms = logged.statistics("rms")[logged.tensor("before", kind="activation")].astype(np.float64)
    change = np.log2(rms / rms[0])
    fields = {"run": "broken", "maps": "activation", "layer": "pool"}
    frame = open_tab(page, server, "map-canvas", **fields)
    box = box_of(frame.get_by_test_id("map-activation"))

    def said(step: int, layer: str) -> str:
        row = box_of(frame.locator(f"[data-testid='layer-row'][data-path='{layer}']"))
        page.mouse.move(box["x"] + (step + 0.5) / STEPS * box["width"], row["y"] + row["height"] / 2)
        return frame.get_by_role("tooltip").inner_text()

    for step in (0, 2, 4, 11):
        found = re.search(r"rms (\S+), × (1/)?(\S+) since step 0 \((\S+)\)", said(step, "before"))
        assert found is not None, said(step, "before")
        factor = float(found[3]) ** (-1 if found[2] else 1)
        assert np.log2(factor) == pytest.approx(change[step], abs=0.01)
        assert float(found[1]) == pytest.approx(rms[step], rel=5e-3)
        assert float(found[4]) == pytest.approx(rms[0], rel=5e-3)
    assert "far beyond since step 0" in said(BREAKS_AT, "pool")
    # The range is of the healthy past, which × 1/32 to × 32 holds.
    assert 2 < np.abs(change[:BREAKS_AT]).max() < 5
    legend = frame.locator(".lv-map-legend .lv-colourbar")
    expect(legend).to_have_attribute("aria-label", "activation rms: change since step 0 from × 1/32 to × 32")
    (row,) = [row for row in _table(page, frame) if row["layer"] == "before"]
    assert row["statistic"] == "log2 of rms / that of step 0"
    np.testing.assert_allclose([float(row[f"step {step}"]) for step in range(BREAKS_AT)], change[:BREAKS_AT], atol=1e-5)
    frame.get_by_test_id("scales").click()
    frame.get_by_test_id("colour-level").check()
    page.keyboard.press("Escape")
    assert state_of(page)["mapColour"] == "level"
    (row,) = [row for row in _table(page, frame) if row["layer"] == "before"]
    assert row["statistic"] == "rms"
    assert re.search(r"rms 0\.\d+$", said(0, "before"), re.M)


def test_what_was_0_or_not_logged_at_first_has_no_change(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "map-canvas", run="from_zero", maps="activation", layer="late")
    box = box_of(frame.get_by_test_id("map-activation"))
    canvas = _painted(frame)
    for layer, words in (("zero", "rms 1; no ratio to 0 at step 0"), ("late", "no ratio to what is unknown at step 0")):
        row = box_of(frame.locator(f"[data-testid='layer-row'][data-path='{layer}']"))
        y = row["y"] + row["height"] / 2
        page.mouse.move(box["x"] + 0.7 * box["width"], y)
        assert words in frame.get_by_role("tooltip").inner_text()
        at = int((y - box["y"] - 4) / box["height"] * canvas.shape[0]), int(0.7 * canvas.shape[1])
        assert tuple(canvas[at][:3]) == (255, 255, 255), "the colour of no data"
    row = box_of(frame.locator("[data-testid='layer-row'][data-path='input']"))
    page.mouse.move(box["x"] + 0.7 * box["width"], row["y"] + row["height"] / 2)
    assert "× 1 since step 0" in frame.get_by_role("tooltip").inner_text(), "the same batch is no change"


def test_even_attention_looks_even(page: Page, server: TensorBoardServer) -> None:
    fields: dict[str, Any] = {"run": "attention", "kind": "activation", "name": "scores", "step": 1}
    frame = open_tab(page, server, "picture-canvas", layer="even", **fields)
    pixels = _painted(frame, "picture-canvas").reshape(-1, 4)
    colours, counts = np.unique(pixels[pixels[:, 3] == 255], axis=0, return_counts=True)
    assert (counts > 0.01 * counts.sum()).sum() == 1, colours[counts > 0.01 * counts.sum()]
    mark, ramp = frame.get_by_test_id("scale-mark"), frame.locator(".lv-picture .lv-colourbar-ramp")
    assert float(mark.get_attribute("data-value") or "nan") == 1 / KEYS
    at, bar = box_of(mark), box_of(ramp)
    # The scale reaches to three times what even attention is.
    assert (at["x"] + at["width"] / 2 - bar["x"]) / bar["width"] == pytest.approx(1 / 3, abs=0.02)
    page.goto("about:blank")
    frame = open_tab(page, server, "picture-canvas", layer="sharp", **fields)
    pixels = _painted(frame, "picture-canvas").reshape(-1, 4)
    _, counts = np.unique(pixels[pixels[:, 3] == 255], axis=0, return_counts=True)
    assert (counts > 0.01 * counts.sum()).sum() >= 2, "a head that looks at one key does not"


def test_a_layer_that_only_passes_on_inherits_the_verdict(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "lanes", screen="network", run="passing", step=20)
    lead = frame.get_by_test_id("lead-finding")
    expect(lead).to_contain_text("'conv'")
    for passing in ("pool", "flatten"):
        expect(lead).not_to_contain_text(f"'{passing}'")
    lanes = frame.get_by_test_id("lane")
    health = dict(lanes.evaluate_all("all => all.map((one) => [one.dataset.layer, one.dataset.health])"))
    assert health["conv"] in ("warning", "error")
    assert health["pool"] == health["flatten"] == health["conv"]
    title = frame.locator("[data-layer=flatten] button").get_attribute("title") or ""
    assert "passes on 'conv'" in title
    frame.get_by_test_id("all-findings").click()
    expect(frame.locator(".lv-finding-row").first).to_be_visible()
    named = " ".join(frame.locator(".lv-finding-row").all_inner_texts())
    assert "flatten" not in named and "pool" not in named


def test_a_layer_that_dies_for_good_is_never_said_to_recover(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "lanes", screen="network", run="dying", step=ALL_AT)
    findings = frame.get_by_test_id("findings")
    expect(findings.get_by_test_id("lead-finding")).to_contain_text("'conv'")
    expect(findings.get_by_test_id("lead-finding")).to_contain_text(f"since step {MOST_AT}")
    conv = frame.locator("[data-testid=lane][data-layer=conv]")
    expect(conv).to_have_attribute("data-health", "error")
    frame.get_by_test_id("all-findings").click()
    expect(frame.locator(".lv-finding-row").first).to_be_visible()
    for at in range(2):  # the warning, and the error that it led to
        frame.locator(".lv-finding-row").nth(at).click()
        settled(frame)
        words = findings.inner_text().lower()
        for word in ("last at", "recovered", "until step", "over since", "revival"):
            assert word not in words, words
    expect(findings).to_contain_text("It is so to the last logged step")  # of the error
    # Between the warning's first step and the last one no logged step is healthy.
    for step in (MOST_AT, 31, ALL_AT):
        page.goto("about:blank")
        frame = open_tab(page, server, "lanes", screen="network", run="dying", step=step)
        expect(frame.locator("[data-testid=lane][data-layer=conv]")).not_to_have_attribute("data-health", "healthy")
