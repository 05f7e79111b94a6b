"""The map, its strip, its filter and its steps as a person uses them, held against what LayerReader and numpy say."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("playwright")

from layers_tab import box_of, logdir_of, number, open_tab, pixels_of, settled, state_of, tab_within
from playwright.sync_api import Frame, Locator, Page, expect
from serving import TensorBoardServer

from tb_layerview import Keep, LayerReader, LayerViewCallback, LayerWriter, Select
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.statistics import Digest
from tb_layerview.measure.measurement import Measurement
from tb_layerview.reading.run import Run
from tb_layerview.writing.log_files import LogFiles

pytestmark = pytest.mark.e2e

LAYERS = ("encoder/conv_1", "encoder/conv_2", "decoder/conv_1", "decoder/dense", "head")
STEPS = 160
NAN_AT, INF_AT = 120, 150


def _write_plan(folder: Path) -> None:
    """Layers of known sizes, a NaN and an inf at known steps, updates of a thousandth of their weight."""
    rng = np.random.default_rng(0)
    base = {path: rng.normal(size=(4, 6)) for path in LAYERS}
    with LayerWriter(folder / "plan", keep=Keep(units=False)) as writer:
        for step in range(STEPS):
            arrays = {path: array * (1 + i * step / STEPS) for i, (path, array) in enumerate(base.items())}
            if step == NAN_AT:
                arrays["encoder/conv_2"] = np.where(np.arange(24).reshape(4, 6) == 7, np.nan, arrays["encoder/conv_2"])
            if step >= INF_AT:
                arrays["decoder/dense"] = np.where(np.arange(24).reshape(4, 6) < 6, np.inf, arrays["decoder/dense"])
            scalars = {"loss": 2.0 - step / STEPS, "accuracy": step / STEPS, "learning_rate": 1e-3}
            writer.write(step, arrays, scalars=scalars)
            writer.write(step, {"head": base["head"]}, kind="weight")
            writer.write(step, {"head": 1e-3 * base["head"]}, kind="update")
    with LayerWriter(folder / "plan" / "evaluate") as writer:
        for step in (50, 100, 150):
            writer.write(step, {"head": base["head"]}, scalars={"loss": 1.75, "accuracy": 0.25})


def _write_long(folder: Path, steps: int = 10_000, tensors: int = 20, bad: tuple[int, int] = (7, 6_789)) -> None:
    """Digests of ten thousand steps, one of them of a tensor with one NaN."""
    layers = tuple(Layer(f"layer_{i:02}") for i in range(tensors))
    logged = tuple(Tensor(i, "activation", "output", (4, 8), "float32") for i in range(tensors))
    log = LogFiles(folder / "long")
    log.describe(Model(layers, logged, software="a test"))
    for step in range(steps):
        measured = {
            i: Measurement(Digest(32, int((i, step) == bad), 0, 0, 0, 16, -3.0, 3.0, 0.0, 1.0, 1.0 + i))
            for i in range(tensors)
        }
        log.write(step, measured)
    log.close()


def _write_pool(folder: Path) -> None:
    """A layer that is healthy until it holds what max pooling makes of NaN, beside one that stays."""
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "pool") as writer:
        for step in range(30):
            pooled = rng.uniform(0.1, 4.0, size=(8, 4)).astype(np.float32)
            if step >= 20:
                pooled[3] = np.finfo(np.float32).min
            writer.write(step, {"pool": pooled, "before": rng.uniform(0.1, 0.4, size=(8, 4)).astype(np.float32)})


def _train(folder: Path) -> None:
    """A real training, with layers of several classes."""
    tf = pytest.importorskip("tensorflow")
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((6,)),
            layers.Dense(8, name="first"),
            layers.ReLU(name="relu"),
            layers.Dense(8, name="second"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(1, name="last"),
        ]
    )
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)), rng.normal(size=(64, 1))
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[LayerViewCallback(folder / "keras", schedule=1)])


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("map")
    _write_plan(folder)
    _write_long(folder)
    _write_pool(folder)
    _train(folder)
    return folder


@pytest.fixture
def plan(logdir: Path) -> Run:
    return LayerReader(logdir).run("plan")


def _open(page: Page, server: TensorBoardServer, run: str, **fields: object) -> Frame:
    """Opens the tab on a run, and returns its frame when its rows are there."""
    return open_tab(page, server, "layer-row", run=run, **fields)


def _layers_shown(frame: Frame) -> list[str]:
    """Paths of the rows that are layers, from above."""
    rows = frame.get_by_test_id("layer-row")
    paths = rows.evaluate_all("rows => rows.map((row) => [Number(row.id.split('-').pop()), row.dataset.path])")
    return [path for _, path in sorted(paths) if path in LAYERS]


def _hover(page: Page, frame: Frame, layer: str, inside: Locator, share: float) -> str:
    """Points at a layer's row, at a share of the width of what is beside it, and returns what is said."""
    row, box = box_of(frame.locator(f"[data-testid='layer-row'][data-path='{layer}']")), box_of(inside)
    page.mouse.move(box["x"] + share * box["width"], row["y"] + row["height"] / 2)
    return frame.get_by_role("tooltip").inner_text()


def _rms(run: Run, layer: str) -> npt.NDArray[np.float64]:
    return run.statistics("rms")[run.tensor(layer, kind="activation")]


def test_one_nan_among_ten_thousand_steps_is_on_the_map(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "long", step=100, layer="layer_00")
    canvas = frame.get_by_test_id("map-canvas")
    expect(frame.get_by_test_id("next-finding")).to_be_visible()
    # The server shows what it has read so far of a long log.
    expect(frame.get_by_text("101 of 10,000")).to_be_visible()
    # Red and not blue: where on the picture, as shares of width and height. It is drawn after it is there.
    find = """canvas => {
      const {width, height} = canvas;
      const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
      const found = [];
      for (let i = 0; i < data.length; i += 4)
        if (data[i] > 180 && data[i + 1] < 90 && data[i + 2] < 90)
          found.push([(i / 4 % width) / width, Math.floor(i / 4 / width) / height]);
      return found;
    }"""
    places, until = canvas.evaluate(find), time.monotonic() + 120
    while not places and time.monotonic() < until:
        page.wait_for_timeout(200)
        places = canvas.evaluate(find)
    across, down = np.array(places).T
    assert across.mean() == pytest.approx(0.6789, abs=0.01)
    assert across.max() - across.min() < 0.02
    assert down.min() >= 7 / 20 and down.max() <= 8 / 20
    frame.get_by_test_id("next-finding").click()
    expect(frame.get_by_test_id("step-number")).to_have_value("6,789")
    assert state_of(page)["layer"] == "layer_07"


def test_the_lowest_float_takes_no_colour_from_the_steps_before_and_is_said(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _open(page, server, "pool", step=25, layer="pool")
    expect(frame.get_by_test_id("beyond")).to_have_text("pool: 1.2e38")
    words = frame.locator(".lv-map-legend .lv-colourbar").get_attribute("aria-label") or ""
    assert words.startswith("activation rms: change since step 0 from × 1/2 to × 2"), words
    page.goto("about:blank")
    frame = _open(page, server, "pool", step=25, layer="pool", mapColour="level")
    expect(frame.get_by_test_id("beyond")).to_have_text("pool: 1.2e38")  # an eighth of the squares, rooted
    words = frame.locator(".lv-map-legend .lv-colourbar").get_attribute("aria-label")
    found = re.search(r"from (\S+) to ([^\s,]+)", words or "")
    assert found is not None, words
    assert 0.1 < number(found[1]) < number(found[2]) < 4
    # The picture's range leaves it out, too, and says how much of it lies beyond.
    expect(frame.get_by_test_id("clipped")).to_have_text("4 beyond")
    expect(_open(page, server, "plan").get_by_test_id("beyond")).to_have_count(0)


@pytest.mark.parametrize("pattern", ["encoder/*", "*conv*", "*/conv_?", "*conv_[!1]", "head", "nothing*"])
def test_a_pattern_finds_on_the_screen_what_select_takes(page: Page, server: TensorBoardServer, pattern: str) -> None:
    frame = _open(page, server, "plan", maps="activation")
    frame.get_by_test_id("filter").fill(pattern)
    taken = [path for path in LAYERS if Select(include=(pattern,)).takes(path)]
    expect(frame.get_by_test_id("filter-count")).to_have_text(f"{len(taken)} of {len(LAYERS)}")
    assert _layers_shown(frame) == taken


def test_the_filter_is_reached_by_slash_and_left_by_escape(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "plan")
    frame.locator("body").press("/")
    page.keyboard.type("dense")
    expect(frame.get_by_test_id("filter")).to_have_value("dense")
    assert _layers_shown(frame) == ["decoder/dense"]
    assert state_of(page)["filter"] == "dense"
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("filter")).to_have_value("")
    expect(frame.get_by_test_id("filter-count")).to_have_text("")
    assert _layers_shown(frame) == list(LAYERS)


def test_layers_of_a_class_are_found_from_the_menu(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "keras", maps="activation")
    frame.get_by_test_id("filter-class").select_option("Dense")
    expect(frame.get_by_test_id("filter")).to_have_value("class:Dense")
    expect(frame.get_by_test_id("layer-row")).to_have_count(3)
    paths = frame.get_by_test_id("layer-row").evaluate_all("rows => rows.map((row) => row.dataset.path)")
    assert sorted(paths) == ["first", "last", "second"]


def test_worst_first_is_nan_and_inf_by_their_step_and_then_the_largest(
    page: Page, server: TensorBoardServer, plan: Run
) -> None:
    frame = _open(page, server, "plan", maps="activation")
    assert _layers_shown(frame) == list(LAYERS)
    frame.get_by_test_id("order").select_option("worst")
    expect(frame.get_by_test_id("order-words")).to_contain_text("NaN or inf, then the largest rms")
    groups = {path: path.split("/")[0] for path in LAYERS}
    since = {"encoder/conv_2": NAN_AT, "decoder/dense": INF_AT}

    def rank(paths: list[str]) -> tuple[float, float]:
        return min((float(since.get(path, np.inf)), -float(np.nanmax(_rms(plan, path)))) for path in paths)

    expected = sorted(
        LAYERS, key=lambda path: (rank([other for other in LAYERS if groups[other] == groups[path]]), rank([path]))
    )
    assert _layers_shown(frame) == expected and expected[0] == "encoder/conv_2"
    assert state_of(page)["order"] == "worst"


def test_next_finding_walks_through_what_is_found_and_begins_again(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "plan", step=0, layer="head")
    expect(frame.get_by_test_id("slider-mark")).to_have_count(2)
    expect(frame.get_by_role("img", name=re.compile(f"since step {NAN_AT:,}: .* holds .* NaN")).first).to_be_visible()
    for key, step, layer in (
        ("n", NAN_AT, "encoder/conv_2"),
        ("n", INF_AT, "decoder/dense"),
        ("n", NAN_AT, "encoder/conv_2"),
        ("Shift+N", INF_AT, "decoder/dense"),
    ):
        page.keyboard.press(key)
        expect(frame.get_by_test_id("step-number")).to_have_value(str(step))
        assert state_of(page)["layer"] == layer
    lead = frame.get_by_test_id("lead-finding")
    expect(lead).to_have_text(f"NaN in 'encoder/conv_2' since step {NAN_AT:,}")
    frame.get_by_test_id("show-finding").click()
    expect(frame.get_by_test_id("step-number")).to_have_value(str(NAN_AT))
    assert state_of(page)["layer"] == "encoder/conv_2"
    # With more patience the one step is not found any more, and a person who moves a threshold sees that.
    frame.get_by_test_id("all-findings").click()
    frame.get_by_test_id("threshold-non_finite.patience").fill("2")
    frame.get_by_test_id("threshold-non_finite.patience").press("Enter")
    expect(frame.get_by_test_id("evidence-words")).to_contain_text("Not found")
    frame.get_by_test_id("all-findings").click()
    expect(lead).to_have_text(f"Inf in 'decoder/dense' since step {INF_AT:,}")
    assert state_of(page)["thresholds"] == "non_finite.patience:2"


def test_a_healthy_run_says_what_was_searched(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "keras")
    found = frame.get_by_test_id("nothing-found")
    run = LayerReader(logdir_of(server)).run("keras")
    layers = {tensor.layer for tensor in run.tensors}
    expect(found).to_have_text(f"No problems in {len(layers)} layers, {len(run.steps)} logged steps.")


def test_first_and_last_step_and_the_time_since_the_start(page: Page, server: TensorBoardServer, plan: Run) -> None:
    frame = _open(page, server, "plan", step=80)
    page.keyboard.press("Home")
    expect(frame.get_by_test_id("step-number")).to_have_value("0")
    expect(frame.get_by_test_id("wall-time")).to_contain_text("+0.0 s")
    frame.get_by_label("Last step").click()
    expect(frame.get_by_test_id("step-number")).to_have_value(str(STEPS - 1))
    text = frame.get_by_test_id("wall-time").inner_text()
    since = re.search(r"\+([\d.]+) s", text)
    assert since and f"{STEPS} of {STEPS}" in text
    assert float(since[1]) == pytest.approx(plan.wall_times[-1] - plan.wall_times[0], rel=0.1, abs=0.06)


def test_the_update_ratio_brings_the_updates_and_is_what_it_should_be(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "plan", maps="activation")
    frame.get_by_test_id("statistic").select_option("update_ratio")
    settled(frame)
    words = _hover(page, frame, "head", frame.get_by_test_id("map-update"), 0.5)
    assert re.search(r"update ratio (0\.001|1e[−-]3)$", words, re.M), words
    assert state_of(page)["maps"] == "update"


@pytest.mark.parametrize("statistic", ["p50", "p99", "silent", "nan", "pos_inf", "std"])
def test_a_statistic_on_the_map_is_that_of_the_log(
    page: Page, server: TensorBoardServer, plan: Run, statistic: str
) -> None:
    frame = _open(page, server, "plan", maps="activation", statistic=statistic, mapColour="level")
    words = _hover(page, frame, "decoder/dense", frame.get_by_test_id("map-activation"), 0.999)
    assert f"step {STEPS - 1}" in words
    if statistic == "silent":  # the log keeps no units
        assert "not logged" not in words
        expect(frame.get_by_test_id("unknown-statistic")).to_be_visible()
        return
    tensor = plan.tensor("decoder/dense", kind="activation")
    value = plan.statistics(statistic)[tensor][-1]
    if statistic in ("nan", "pos_inf"):
        value /= 24
        said = re.search(r"share (.*) %", words)
        assert said and float(said[1]) == pytest.approx(100 * value, abs=0.5)
    else:
        said = re.search(r"(?:p50\)|p99|std) (\S+)$", words, re.M)
        assert said and float(said[1].replace("−", "-")) == pytest.approx(value, rel=5e-3), words


def test_colours_linear_and_by_row_stand_in_the_address_and_come_back(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "plan", maps="activation", step=10, mapColour="level")
    canvas = frame.get_by_test_id("map-canvas")
    pictures = [pixels_of(canvas)]
    frame.get_by_test_id("scales").click()
    for choice in ("transform-linear", "rows-own"):
        frame.get_by_test_id(choice).check()
        settled(frame)
        pictures.append(pixels_of(canvas))
    assert len(set(pictures)) == 3
    state = state_of(page)
    assert (state["transform"], state["rowScales"]) == ("linear", "1")
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("scales-panel")).to_have_count(0)
    page.reload()
    again = tab_within(page, "layer-row")
    assert pixels_of(again.get_by_test_id("map-canvas")) == pictures[-1]


def test_the_profile_says_and_selects_the_layer_at_the_step(page: Page, server: TensorBoardServer, plan: Run) -> None:
    frame = _open(page, server, "plan", maps="activation", step=40, layer="head")
    words = _hover(page, frame, "decoder/conv_1", frame.get_by_test_id("profile-activation"), 0.5)
    value = re.search(r"rms (\S+)$", words, re.M)
    assert "step 40" in words and value
    assert float(value[1]) == pytest.approx(_rms(plan, "decoder/conv_1")[40], rel=5e-3)
    page.mouse.down()
    page.mouse.up()
    state = state_of(page)
    assert (state["layer"], state["step"]) == ("decoder/conv_1", "40")


def test_the_strip_has_the_loss_alone_with_its_value_and_the_evaluation_and_others_on_demand(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _open(page, server, "plan", step=80)
    loss = frame.get_by_test_id("curve-loss")
    expect(loss).to_contain_text(f"{2.0 - 80 / STEPS:.3g}")
    expect(loss).to_have_attribute("title", re.compile(r"plan/evaluate at step 50: 1\.75"))
    strip = frame.get_by_test_id("loss-strip")
    expect(strip.locator(".lv-strip-axes")).to_have_text("loss, logarithmic")
    expect(strip.locator(".lv-strip-end")).to_have_text(["loss"])
    for name, drawn in (("loss", "true"), ("accuracy", "false"), ("learning_rate", "false")):
        expect(frame.get_by_test_id(f"curve-{name}")).to_have_attribute("aria-pressed", drawn)
    assert "curves" not in state_of(page), "the loss alone is what is drawn anyway"
    before = pixels_of(strip.locator("canvas"))
    frame.get_by_test_id("curve-accuracy").click()
    expect(frame.get_by_test_id("curve-accuracy")).to_have_attribute("aria-pressed", "true")
    # The loss ends at 1, the accuracy near its own scale's top.
    expect(strip.locator(".lv-strip-end")).to_have_text(["accuracy", "loss"])
    expect(strip.locator(".lv-strip-axes")).to_have_text("shares · loss (log)")
    ticks = [float(text) for text in strip.locator(".lv-strip-ticks").nth(1).locator("span").all_inner_texts()]
    assert ticks and all(0 <= tick <= 1 for tick in ticks), "accuracy has an axis of its own"
    left = box_of(strip.locator("canvas"))["x"]
    for tick in strip.locator(".lv-strip-ticks span").all():
        assert box_of(tick)["x"] + box_of(tick)["width"] <= left, "no number over a line"
    settled(frame)
    assert pixels_of(strip.locator("canvas")) != before
    assert state_of(page)["curves"] == "loss,accuracy"


def test_one_strip_stands_above_all_maps(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "plan", maps="activation,weight,update")
    expect(frame.get_by_test_id("map-canvas")).to_have_count(3)
    strip, last = box_of(frame.get_by_test_id("loss-strip")), box_of(frame.get_by_test_id("map-canvas").last)
    assert frame.get_by_test_id("loss-strip").count() == 1
    assert strip["x"] == pytest.approx(box_of(frame.get_by_test_id("map-canvas").first)["x"], abs=1)
    assert strip["x"] + strip["width"] == pytest.approx(last["x"] + last["width"], abs=2)
    legends = [box_of(bar) for bar in frame.locator(".lv-map-legend .lv-colourbar").all()]
    for one, other in itertools.pairwise(legends):
        assert one["x"] + one["width"] <= other["x"]


def test_what_logging_has_cost_is_told_in_full(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "keras")
    run = LayerReader(logdir_of(server)).run("keras")
    assert run.cost is not None
    frame.get_by_test_id("cost").click()
    panel = frame.get_by_test_id("cost-panel")
    cost = run.cost
    share = cost.logging_seconds / (cost.training_seconds - cost.set_up_seconds - cost.logging_seconds)
    said = re.search(r"Share of training\s+([\d.]+) %", panel.inner_text())
    assert said and float(said[1]) == pytest.approx(100 * share, rel=0.05)
    taken = re.search(r"A logged step\s+([\d.]+) (m?s)", panel.inner_text())  # on a busy machine it may be a second
    assert taken
    seconds = float(taken[1]) * {"ms": 1e-3, "s": 1.0}[taken[2]]
    assert seconds == pytest.approx(run.cost.logging_seconds / len(run.steps), rel=0.06)
    expect(panel).to_contain_text("the budget left out none")
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 600])
def test_a_low_window_keeps_three_rows_and_nothing_overlaps(page: Page, server: TensorBoardServer, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 350})
    frame = open_tab(page, server, "map-canvas", run="plan", maps="activation")
    rows = [box_of(row) for row in frame.get_by_test_id("layer-row").all()]
    foot = box_of(frame.locator(".lv-map-foot"))
    seen = [row for row in rows if row["y"] + row["height"] <= foot["y"]]
    assert len(seen) >= 3 and foot["y"] + foot["height"] <= 350
    page.set_viewport_size({"width": width, "height": 300})
    settled(frame)
    stacked = [box_of(frame.locator(place).first) for place in (".lv-top", ".lv-findings", ".lv-toolbar", ".lv-map")]
    for above, below in itertools.pairwise(stacked):
        assert above["y"] + above["height"] <= below["y"] + 0.5
    assert box_of(frame.locator(".lv-map-foot"))["y"] >= box_of(frame.locator(".lv-map"))["y"] + 20
