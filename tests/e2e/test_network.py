"""The first screen as a person uses it: the network's layers at work on one example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")

from layers_tab import box_of, open_tab, pixels_of, settled, state_of, tab_within
from playwright.sync_api import Frame, Locator, Page, expect
from serving import TensorBoardServer

from tb_layerview import Check, Keep, LayerReader, LayerViewCallback, LayerWriter

pytestmark = pytest.mark.e2e

STEPS = 70
BAD_EXAMPLE, BAD_AT = 2, 40
#: The colour of the run that is compared with.
OF_B = (181, 71, 140)


def _write_maps(folder: Path) -> None:
    """Feature maps of which the first has its left half at 0 and its right half at 1; later example 2 holds a NaN."""
    rng = np.random.default_rng(0)
    with LayerWriter(folder / "maps") as writer:
        for step in range(STEPS):
            halves = np.zeros((4, 6, 6, 12), np.float32)
            halves[..., 3:, 0] = 1.0
            halves[1, :, :, 1:] = rng.uniform(size=(6, 6, 11))
            if step >= BAD_AT:
                halves[BAD_EXAMPLE, 4, 1, 5] = np.nan
            scores = np.eye(4, 10, dtype=np.float32) + 0.01 * step
            writer.write(step, {"block/conv": halves, "classes": scores}, scalars={"loss": float(np.exp(-step / 20))})
            kernel = rng.normal(size=(5, 7)) * 10.0 ** (-step / 20)
            writer.write(step, {"block/conv": kernel, "classes": 0.1 * kernel}, kind="gradient")


def _write_weaker(folder: Path) -> None:
    """The same layers with other gradients, at every second step."""
    rng = np.random.default_rng(4)
    with LayerWriter(folder / "weaker") as writer:
        for step in range(0, STEPS, 2):
            kernel = rng.normal(size=(5, 7)) * 10.0 ** (-step / 40)
            writer.write(step, {"block/conv": 0.8 * kernel, "classes": 0.08 * kernel}, kind="gradient")


def _write_vanished(folder: Path) -> None:
    """The same layers with gradients far below those of the others."""
    kernel = np.random.default_rng(5).normal(size=(5, 7)) * 1e-9
    with LayerWriter(folder / "vanished") as writer:
        for step in range(0, STEPS, 2):
            writer.write(step, {"block/conv": kernel, "classes": kernel}, kind="gradient")


def _write_bare(folder: Path) -> None:
    with LayerWriter(folder / "bare", keep=Keep(activations=0)) as writer:
        for step in range(4):
            writer.write(step, {"dense": np.arange(12.0).reshape(3, 4)}, scalars={"loss": 1.0})


def _write_deep(folder: Path) -> None:
    """A thousand layers in ten stages of ten blocks."""
    rng = np.random.default_rng(1)
    names = [f"stage_{i // 100}/block_{i // 10 % 10}/part_{chr(97 + i % 10)}" for i in range(1000)]
    with LayerWriter(folder / "deep", keep=Keep(units=False)) as writer:
        for step in range(3):
            writer.write(step, {name: rng.normal(size=(2, 5)) for name in names})


def _train_skipping(folder: Path) -> None:
    """A real model with a skip, two inputs and two outputs."""
    import keras

    keras.utils.set_random_seed(0)
    image, side = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="side")
    down = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="down")(image)
    deep = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="deep")(down)
    both = keras.layers.Concatenate(name="both")([down, deep])
    flat = keras.layers.GlobalAveragePooling2D(name="flat")(both)
    joined = keras.layers.Concatenate(name="joined")([flat, side])
    outputs = [keras.layers.Dense(3, name="kind")(joined), keras.layers.Dense(1, name="size")(joined)]
    model = keras.Model([image, side], outputs)
    model.compile("sgd", [keras.losses.SparseCategoricalCrossentropy(from_logits=True), "mse"])
    rng = np.random.default_rng(2)
    x = [rng.uniform(size=(64, 8, 8, 3)), rng.normal(size=(64, 4))]
    y = [rng.integers(0, 3, 64), rng.normal(size=(64, 1))]
    callback = LayerViewCallback(folder / "skipping", schedule=1)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[callback])


def _train_on_an_empty_picture(folder: Path) -> None:
    """A real training of which one picture, the sixth of batch 12, is empty: its share of itself is 0 / 0."""
    import keras

    class Share(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: object) -> object:
            return x / keras.ops.sum(x, axis=(1, 2, 3), keepdims=True)

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), Share(name="share"), layers.Flatten(name="flat"), layers.Dense(3, name="classes")]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(3)
    x, y = rng.uniform(size=(160, 6, 6, 1)), rng.integers(0, 3, 160)
    x[11 * 8 + 5] = 0
    callback = LayerViewCallback(folder / "empty", schedule=5, check=Check(replay=True))
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[callback])


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    _write_maps(folder)
    _write_bare(folder)
    _write_weaker(folder)
    _write_vanished(folder)
    _write_deep(folder)
    _train_skipping(folder)
    _train_on_an_empty_picture(folder)
    return folder


def _open(page: Page, server: TensorBoardServer, run: str, **fields: object) -> Frame:
    """Opens the first screen and waits for its pictures."""
    frame = open_tab(page, server, "lanes", **{"screen": "network", "run": run, **fields})
    expect(frame.locator("[data-testid=lanes][data-step][data-pending=false]")).to_be_attached()
    return frame


def _lanes(frame: Frame) -> Locator:
    return frame.get_by_test_id("lane")


def _colours(frame: Frame, x: float, y: float, width: float = 1, height: float = 1) -> list[tuple[int, ...]]:
    """The colours of a part of the network's canvas; x and y in CSS pixels from its corner."""
    found = frame.get_by_test_id("network-canvas").evaluate(
        """(canvas, [x, y, w, h]) => {
            const ratio = canvas.width / canvas.getBoundingClientRect().width;
            return [...canvas.getContext("2d").getImageData(x * ratio, y * ratio, w * ratio, h * ratio).data];
        }""",
        [x, y, width, height],
    )
    return [tuple(found[i : i + 4]) for i in range(0, len(found), 4)]


def _pictures_at(frame: Frame, lane: int) -> tuple[float, float, float]:
    """Where a lane's first picture begins on the canvas, and how large it is; 4 pixels lie between two."""
    head = box_of(frame.locator(".lv-lanes-heads > span", has_text="what it gives"))
    row, canvas = box_of(_lanes(frame).nth(lane)), box_of(frame.get_by_test_id("network-canvas"))
    side = row["height"] - 12
    return head["x"] - canvas["x"], row["y"] - canvas["y"] + 6, side


def test_the_tab_opens_with_the_network(page: Page, server: TensorBoardServer) -> None:
    page.goto(f"{server.url}/#layerview")
    frame = tab_within(page, "lanes")
    expect(frame.get_by_test_id("screen-network")).to_have_attribute("aria-pressed", "true")
    # One key leads to the map of the same step and layer, and back.
    page.keyboard.press("g")
    expect(frame.get_by_test_id("map-canvas").first).to_be_visible()
    assert state_of(page)["screen"] == "map"
    page.keyboard.press("g")
    expect(frame.get_by_test_id("lanes")).to_be_visible()


def test_a_lane_shows_what_its_layer_gives(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "maps", step=10)
    expect(_lanes(frame)).to_have_count(2)
    x, y, side = _pictures_at(frame, 0)
    middle = y + side / 2
    [left, right] = [_colours(frame, x + at * side, middle)[0] for at in (0.25, 0.75)]
    # From light to dark: 0 on the left, 1 on the right.
    assert sum(left[:3]) > 600 > 300 > sum(right[:3])
    # The second channel of this example is all 0, but of the next example it is not.
    second = [x + side + 4 + at * side for at in (0.1, 0.35, 0.6, 0.85)]
    before = {_colours(frame, at, middle)[0] for at in second}
    assert len(before) == 1
    frame.get_by_test_id("example-1").click()
    expect(frame.locator(".lv-lanes-heads")).to_contain_text("for example 1, step 10")
    expect(frame.locator("[data-testid=lanes][data-pending=false]")).to_be_attached()
    settled(frame)
    assert len({_colours(frame, at, middle)[0] for at in second}) > 1
    assert state_of(page)["at"] == "example:1"


def test_the_example_that_holds_nan_is_marked_and_its_pixel_is_not_averaged_away(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _open(page, server, "maps", step=BAD_AT - 1)
    expect(frame.locator(".lv-example-bad")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    bad = frame.get_by_test_id(f"example-{BAD_EXAMPLE}")
    expect(bad).to_have_text("× NaN")
    expect(frame.get_by_test_id("lane-non-finite")).to_have_count(0)
    bad.click()
    expect(frame.get_by_test_id("lane-non-finite")).to_have_text("× 1 NaN or inf")
    x, y, side = _pictures_at(frame, 0)
    settled(frame)
    tile = 5 * (side + 4)
    red = _colours(frame, x + tile + 1.5 * side / 6, y + 4.5 * side / 6)[0]
    assert red[0] > 180 > 80 > red[1], "element [4, 1] of channel 5"
    # The layer's sign says it with its shape, which the row says in words.
    expect(_lanes(frame).first).to_have_attribute("data-health", "error")
    expect(_lanes(frame).first).to_contain_text("error")


def test_what_the_model_says_of_each_example_is_its_largest_score(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "maps", step=0)
    for example in range(4):
        expect(frame.get_by_test_id(f"example-{example}")).to_have_text(str(example))


@pytest.mark.parametrize("compared", [{}, {"against": "maps", "againstStep": 0}], ids=["alone", "compared"])
def test_nothing_changes_place_or_size_while_steps_go_by(
    page: Page, server: TensorBoardServer, compared: dict[str, object]
) -> None:
    frame = _open(page, server, "maps", step=0, **compared)
    expect(frame.get_by_test_id("beside")).to_have_count(len(compared) // 2)
    places = []
    for _ in range(60):
        boxes = frame.locator(
            ".lv-lane, .lv-lanes-heads > span, .lv-example-one, .lv-timeline-line, .lv-findings, "
            "[data-testid=network-canvas], .lv-steps button"
        ).evaluate_all(
            "all => all.map((one) => { const b = one.getBoundingClientRect();"
            " return [one.classList[0] + (one.dataset.testid ?? ''), b.x, b.y, b.width, b.height]; })"
        )
        places.append(boxes)
        page.keyboard.press("ArrowRight")
    expect(frame.get_by_test_id("timeline-step")).to_contain_text("60")
    for step, boxes in enumerate(places):
        assert boxes == places[0], step


def test_the_line_of_the_steps_chooses_the_step_and_says_the_loss(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "maps", step=0)
    line = frame.get_by_role("slider", name="Step")
    before = pixels_of(frame.get_by_test_id("network-canvas"))
    box = box_of(line)
    page.mouse.click(box["x"] + box["width"] * (50.5 / STEPS), box["y"] + 20)
    expect(line).to_have_attribute("aria-valuenow", "50")
    expect(frame.get_by_test_id("timeline-value")).to_contain_text(f"{np.exp(-50 / 20):.3g}")
    expect(frame.locator("[data-testid=lanes][data-step='50'][data-pending=false]")).to_be_attached()
    settled(frame)
    assert pixels_of(frame.get_by_test_id("network-canvas")) != before
    cursor, line_box = box_of(frame.get_by_test_id("timeline-cursor")), box_of(line)
    assert cursor["x"] + cursor["width"] / 2 == pytest.approx(line_box["x"] + line_box["width"] * 50.5 / STEPS, abs=2)
    # And no other cursor is there.
    expect(frame.get_by_test_id("step-slider")).to_have_count(0)


def _flow_axis(frame: Frame) -> Callable[[float, int], tuple[float, float]]:
    """Where on the canvas a decimal logarithm lies in a lane's gradient flow, by the ticks of the axis."""
    ticks = frame.locator(".lv-flow-tick").evaluate_all(
        "all => all.map((one) => { const b = one.getBoundingClientRect();"
        " return [Number(one.querySelector('sup').textContent.replace('−', '-')), b.x + b.width / 2]; })"
    )
    [power, start] = np.polyfit([at for _, at in ticks], [tick for tick, _ in ticks], 1)
    canvas = box_of(frame.get_by_test_id("network-canvas"))

    def place(logarithm: float, lane: int) -> tuple[float, float]:
        row = box_of(_lanes(frame).nth(lane))
        return (logarithm - start) / power - canvas["x"], row["y"] - canvas["y"] + row["height"] / 2

    return place


def test_gradients_flow_down_the_network_as_the_log_has_them(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    run = LayerReader(logdir / "maps").run()
    rms = run.statistics("rms")
    [first, last] = [np.log10(rms[run.tensor(layer, kind="gradient")][30]) for layer in ("block/conv", "classes")]
    frame = _open(page, server, "maps", step=30)
    scale = _flow_axis(frame)
    for lane, expected in enumerate((first, last)):
        x, y = scale(float(expected), lane)
        # The dot of the shown step is of the darker blue, and as wide as this.
        assert _colours(frame, x, y)[0][:3] == (31, 111, 178)
        assert _colours(frame, x, y - 9)[0][:3] != (31, 111, 178)


def test_the_gradients_of_the_run_that_is_compared_with_flow_beside_them(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    other = LayerReader(logdir / "weaker").run()
    at = other.steps.tolist().index(30)
    rms = other.statistics("rms")
    frame = _open(page, server, "maps", step=31)
    expect(frame.get_by_test_id("flow-other")).to_have_count(0)
    frame.get_by_test_id("compare-picker").select_option("weaker")
    expect(frame.get_by_test_id("map-canvas").first).to_be_visible()  # where runs are compared at first
    frame.get_by_test_id("screen-network").click()
    expect(frame.get_by_test_id("flow-other")).to_have_attribute("data-points", "2")
    assert state_of(page)["against"] == "weaker"
    settled(frame)
    scale = _flow_axis(frame)
    for lane, layer in enumerate(("block/conv", "classes")):
        # Step 31 is not logged there: the latest up to it counts.
        x, y = scale(float(np.log10(rms[other.tensor(layer, kind="gradient")][at])), lane)
        assert _colours(frame, x, y)[0][:3] == OF_B
        assert _colours(frame, x, y - 9)[0][:3] != OF_B


def test_the_first_step_s_pictures_stand_before_those_of_the_shown_one_in_their_colours(
    page: Page, server: TensorBoardServer
) -> None:
    frame = _open(page, server, "maps", step=31)
    x, y, side = _pictures_at(frame, 0)
    others = "[data-testid=network-canvas], .lv-lane-name, .lv-flow-head, .lv-flow-tick"
    places = [box_of(one) for one in frame.locator(others).all()]
    frame.get_by_role("button", name="Compare with the first step").click()
    frame.get_by_test_id("screen-network").click()
    beside = frame.get_by_test_id("beside")
    expect(beside).to_have_attribute("data-pictures", "2")
    expect(beside).to_have_text("A, step 0")
    expect(frame.locator(".lv-lanes-heads")).to_contain_text("B, step 31")
    settled(frame)
    top = box_of(frame.get_by_test_id("network-canvas"))["y"]
    now = [box_of(one) for one in frame.locator(others).all()]
    # The comparison's bar takes a line; beside that nothing has moved.
    assert [box["x"] for box in now] == [box["x"] for box in places]
    y = box_of(_lanes(frame).first)["y"] - top + (box_of(_lanes(frame).first)["height"] - side) / 2
    head = box_of(frame.locator(".lv-lanes-heads > span", has_text="B, step 31"))["x"]
    right = head - box_of(frame.get_by_test_id("network-canvas"))["x"]
    assert right > x + side
    for element in (0.5, 4.5):
        # The halves of the first feature map are 0 and 1 at every step.
        before, after = (_colours(frame, at + element * side / 6, y + side / 2)[0] for at in (x, right))
        assert before == after
    zero, one = (_colours(frame, x + element * side / 6, y + side / 2)[0] for element in (0.5, 4.5))
    assert zero != one


def test_a_gradient_beyond_the_axis_points_there(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "maps", step=31, against="vanished")
    expect(frame.get_by_test_id("flow-other")).to_have_attribute("data-points", "2")
    settled(frame)
    scale = _flow_axis(frame)
    lowest = frame.locator(".lv-flow-tick sup").first.inner_text()
    for lane in range(2):
        # 1e-9 is far below: an arrow's point lies on the axis' left end, its base within.
        x, y = scale(float(lowest.replace("−", "-")), lane)
        drawn = [_colours(frame, x + right, y + down)[0][:3] == OF_B for right, down in ((7, 0), (8, 3), (2, 3))]
        assert drawn == [True, True, False]


def test_a_lane_opens_its_tensor_and_escape_closes_it(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "maps", step=5)
    expect(frame.locator(".lv-detail")).to_have_count(0)
    _lanes(frame).nth(1).click()
    expect(frame.locator(".lv-detail h2")).to_have_text("classes")
    assert state_of(page).items() >= {"detail": "1", "layer": "classes"}.items()
    page.keyboard.press("Escape")
    expect(frame.locator(".lv-detail")).to_have_count(0)
    # By keyboard alone, too.
    _lanes(frame).first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(frame.locator(".lv-detail h2")).to_have_text("block/conv")
    frame.get_by_test_id("close-detail").click()
    expect(frame.locator(".lv-detail")).to_have_count(0)


def test_real_connections_skip_layers_and_a_picture_has_its_colours(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "skipping")
    names = _lanes(frame).evaluate_all("all => all.map((one) => one.dataset.layer)")
    assert set(names) == {"input/0", "input/1", "down", "deep", "both", "flat", "joined", "kind", "size"}
    # `down` feeds `both` past `deep`: at the middle of `deep` a bow lies at the left of the line.
    deep = box_of(_lanes(frame).nth(names.index("deep")))
    canvas = box_of(frame.get_by_test_id("network-canvas"))
    left_of_line = _colours(frame, 0, deep["y"] - canvas["y"] + deep["height"] / 2, 60, 1)
    drawn = [i for i, colour in enumerate(left_of_line) if colour[3] > 100]
    dots = [i for i in drawn if i > max(drawn) - 14]
    assert len(drawn) > len(dots), "a bow and the sign"
    x, y, side = _pictures_at(frame, names.index("input/0"))
    settled(frame)
    colours = {colour[:3] for colour in _colours(frame, x, y, side, side)}
    assert any(len(set(colour)) == 3 and max(colour) - min(colour) > 60 for colour in colours), "not grey"


def test_without_values_there_are_statistics_and_a_sentence(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "bare")
    expect(frame.get_by_test_id("lane-problem")).to_have_text("no values are kept")
    expect(frame.get_by_test_id("examples-canvas")).to_have_count(0)


def test_a_thousand_layers_are_folded_and_only_what_is_seen_is_asked_for(page: Page, server: TensorBoardServer) -> None:
    asked: list[int] = []
    page.on(
        "request",
        lambda request: asked.append(request.url.count("%2C") + 1) if "/thumbnails" in request.url else None,
    )
    frame = _open(page, server, "deep", step=0)
    assert _lanes(frame).count() < 40
    first = _lanes(frame).filter(has_text="stage_0")
    expect(first).to_contain_text("100 layers")
    first.click()
    block = _lanes(frame).filter(has_text="block_0").first
    expect(block).to_contain_text("10 layers")
    block.click()
    expect(_lanes(frame).filter(has_text="part_a").first).to_be_visible()
    head = frame.get_by_role("button", name="stage_0 × 10")
    expect(head).to_have_attribute("aria-expanded", "true")
    head.click()
    expect(_lanes(frame).filter(has_text="part_a")).to_have_count(0)
    assert asked
    assert max(asked) <= 96


def test_the_network_fits_narrow_and_wide_pages(page: Page, server: TensorBoardServer) -> None:
    for width in (600, 1280, 1920, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        frame = _open(page, server, "maps", step=3)
        inner = frame.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert inner[0] <= inner[1], width
        for name in ("screen-network", "screen-map", "play"):
            box = box_of(frame.get_by_test_id(name))
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width, (width, name)


def test_what_the_model_says_of_each_example_is_held_against_its_target(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    run = LayerReader(logdir).run("skipping")
    said = run.values(run.tensor("kind", kind="activation"), 0).array.argmax(axis=1)
    of = run.targets()["kind"].reshape(-1).astype(int)
    assert 0 < (said == of).sum() < len(of)
    frame = _open(page, server, "skipping", step=0)
    expect(frame.get_by_test_id("examples-right")).to_have_text(f"{(said == of).sum()} of {len(of)} right")
    for index in range(len(of)):
        words = f"{said[index]}" if said[index] == of[index] else f"{said[index]} ≠ {of[index]}"
        expect(frame.get_by_test_id(f"example-{index}")).to_have_text(words)


def test_one_button_leads_to_the_very_example_that_broke_the_training(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "empty")
    batch = frame.locator(".lv-examples", has_text="batch of step 12, which broke it")
    expect(batch.get_by_role("button")).to_have_count(8)
    expect(batch.locator(".lv-example-bad")).to_have_count(1)
    expect(batch.locator(".lv-example-bad")).to_have_attribute("data-testid", "batch-example-5")
    frame.get_by_test_id("show-replay").click()
    expect(frame.locator(".lv-lanes-heads")).to_contain_text("for example 5, step 12")
    state = state_of(page)
    assert (state["run"], state["layer"], state["step"]) == ("empty/replay", "share", "12")
    lane = frame.locator("[data-testid=lane][data-layer=share]")
    expect(lane.get_by_test_id("lane-non-finite")).to_have_text("× 36 NaN or inf")
    expect(frame.get_by_test_id("example-5")).to_have_attribute("aria-checked", "true")
    # Any other of them is one click away, and so is the training.
    frame.get_by_test_id("replayed").get_by_role("button", name="Back to the training").click()
    expect(batch.get_by_role("button")).to_have_count(8)
    batch.get_by_test_id("batch-example-2").click()
    expect(frame.locator(".lv-lanes-heads")).to_contain_text("for example 2, step 12")
    expect(lane.get_by_test_id("lane-non-finite")).to_have_count(0)


def test_examples_that_are_out_of_sight_are_said_and_one_click_away(page: Page, server: TensorBoardServer) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    frame = _open(page, server, "maps", step=BAD_AT - 1)
    more = frame.get_by_test_id("examples-more")
    expect(more).to_have_text("3 more")
    page.keyboard.press("ArrowRight")
    expect(more).to_have_text("× 1 more")
    more.click()
    expect(frame.get_by_test_id(f"example-{BAD_EXAMPLE}")).to_have_attribute("aria-checked", "true")
    expect(frame.get_by_test_id(f"example-{BAD_EXAMPLE}")).to_have_text("× NaN")


def test_a_key_tells_all_keys_and_escape_closes_what_was_opened_last(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "empty")
    _lanes(frame).first.get_by_role("button").click()
    frame.get_by_test_id("all-findings").click()
    page.keyboard.press("?")
    keys = frame.get_by_test_id("keys-panel")
    for words in ("Space", "play, pause", "from the network to the map, and back"):
        expect(keys).to_contain_text(words)
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)
    expect(frame.locator(".lv-findings-panel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(frame.locator(".lv-findings-panel")).to_have_count(0)
    expect(frame.get_by_test_id("statistics")).to_be_visible()
    page.keyboard.press("Escape")
    expect(frame.get_by_test_id("statistics")).to_have_count(0)
