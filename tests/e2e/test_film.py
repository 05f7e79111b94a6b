"""Films of pictures, pictures to take along, and ridges: what the files hold is what the log holds."""

from __future__ import annotations

import base64
import re
import struct
import time
import urllib.parse
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("playwright")

from layers_tab import box_of, open_tab, pixels_of, state_of, words_seen
from playwright.sync_api import Frame, Page, Route, expect
from serving import TensorBoardServer

from tb_layerview import LayerWriter

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("clipboard")]

STEPS = list(range(0, 120, 10))
HOSTILE = 'block/</script><svg onload="x&y">'
SVG = "{http://www.w3.org/2000/svg}"


def _maps() -> npt.NDArray[np.float32]:
    """[steps, examples, rows, columns, channels]: a bright column that walks from left to right, a third of it 0."""
    rng = np.random.default_rng(3)
    arrays = rng.normal(0.2, 0.1, size=(len(STEPS), 2, 12, 12, 4))
    for position in range(len(STEPS)):
        arrays[position, :, :, position, :] = 1 + 0.1 * position
        arrays[position, :, :4] = 0
    return arrays.astype(np.float32)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of feature maps, and a layer whose name is no name."""
    folder = tmp_path_factory.mktemp("logs")
    maps = _maps()
    with LayerWriter(folder / "walk") as writer:
        for position, step in enumerate(STEPS):
            axes = ("example", "row", "column", "channel")
            writer.write(step, {"maps": maps[position], HOSTILE: maps[position]}, axes=axes)
    return folder


def _open(page: Page, server: TensorBoardServer, **fields: object) -> Frame:
    given = {"run": "walk", "layer": "maps", "kind": "activation", "name": "output", "step": STEPS[-1], **fields}
    return open_tab(page, server, "layer-row", **given)  # type: ignore[arg-type]


def _picture(page: Page, server: TensorBoardServer, **fields: object) -> Frame:
    frame = _open(page, server, **fields)
    expect(frame.get_by_test_id("picture-canvas")).to_be_visible()
    return frame


def _take(page: Page, frame: Frame, kind: str, what: str = "the-picture") -> tuple[str, bytes]:
    frame.get_by_test_id(f"take-along-{what}").click()
    with page.expect_download() as caught:
        frame.get_by_test_id(f"download-{kind}").click()
    return caught.value.suggested_filename, Path(caught.value.path()).read_bytes()


def _size_of_png(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """The content of GIF's sub-blocks from a place on, and where they end."""
    content = b""
    while size := data[at]:
        content += data[at + 1 : at + 1 + size]
        at += 1 + size
    return content, at + 1


def _read_gif(data: bytes) -> tuple[tuple[int, int], list[bytes], list[int]]:
    """Width and height, the compressed pixels of each frame, and each one's hundredths of a second.

    Every frame must be as large as the whole and use the one palette of the file.
    """
    assert data[:6] == b"GIF89a"
    width, height, flags = struct.unpack("<HHB", data[6:11])
    assert flags & 0x80, "there is a palette for all frames"
    at = 13 + 3 * 2 ** ((flags & 7) + 1)
    frames, delays = [], []
    while data[at] != 0x3B:
        if data[at] == 0x21:
            content, after = _blocks(data, at + 2)
            if data[at + 1] == 0xF9:
                delays.append(struct.unpack("<H", content[1:3])[0])
            at = after
            continue
        assert data[at] == 0x2C
        left, top, across, down, own = struct.unpack("<HHHHB", data[at + 1 : at + 10])
        assert (left, top, across, down) == (0, 0, width, height)
        assert not own & 0x80, "no frame has a palette of its own"
        content, at = _blocks(data, at + 11)
        frames.append(content)
    return (width, height), frames, delays


def test_a_gif_has_a_frame_for_each_step_and_one_palette(page: Page, server: TensorBoardServer) -> None:
    frame = _picture(page, server)
    name, data = _take(page, frame, "gif")
    assert name.startswith("walk_maps_activation") and name.endswith(".gif")
    size, frames, delays = _read_gif(data)
    assert len(frames) == len(STEPS)
    assert len(set(frames)) == len(STEPS), "in each of them something else is seen"
    canvas = box_of(frame.get_by_test_id("picture-canvas"))
    assert size[0] > canvas["width"] and size[1] > canvas["height"] + 60
    assert len(set(delays[:-1])) == 1 and delays[-1] > delays[0], "the last one stays for a moment"
    # A frame has nothing of what it shares with the one before.
    assert max(map(len, frames[1:])) < 0.9 * len(frames[0])


def test_the_last_frame_of_a_gif_is_the_picture_of_the_last_step(page: Page, server: TensorBoardServer) -> None:
    frame = _picture(page, server)
    name, gif = _take(page, frame, "gif")
    assert name == "walk_maps_activation_output_example-0_all-steps.gif"
    png = _take(page, frame, "png")[1]
    canvas = box_of(frame.get_by_test_id("picture-canvas"))
    differences = frame.evaluate(
        """async ([gif, png, width, height]) => {
          const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
          const pixels = (picture, x, y, scale) => {
            const canvas = new OffscreenCanvas(width, height);
            const context = canvas.getContext("2d", { willReadFrequently: true });
            context.drawImage(picture, x * scale, y * scale, width * scale, height * scale, 0, 0, width, height);
            return context.getImageData(0, 0, width, height).data;
          };
          const truth = pixels(await createImageBitmap(new Blob([bytes(png)])), 12, 38, 2);
          const decoder = new ImageDecoder({ data: bytes(gif), type: "image/gif" });
          await decoder.tracks.ready;
          const differences = [];
          for (let frameIndex = 0; frameIndex < decoder.tracks.selectedTrack.frameCount; frameIndex++) {
            const { image } = await decoder.decode({ frameIndex });
            // A film says its step above the picture.
            const found = pixels(image, 12, 38 + 37, 1);
            differences.push(found.reduce((sum, one, at) => sum + Math.abs(one - truth[at]), 0) / found.length);
          }
          return differences;
        }""",
        [*(base64.b64encode(data).decode() for data in (gif, png)), int(canvas["width"]), int(canvas["height"])],
    )
    assert len(differences) == len(STEPS)
    assert differences[-1] < 4 < min(differences[:-1]), f"of 255: {differences}"


def _decoded(page: Page, data: bytes, kind: str) -> dict[str, float]:
    """What a browser makes of a film, on a page of its own: TensorBoard's lets none play."""
    other = page.context.new_page()
    found: dict[str, float] = other.evaluate(
        """async ([text, type]) => {
          const video = document.createElement("video");
          video.muted = true;
          video.src = `data:${type};base64,${text}`;
          const until = (name) => new Promise((resolve, reject) => {
            video.addEventListener(name, resolve, { once: true });
            video.addEventListener("error", () => reject(new Error(video.error.message)), { once: true });
          });
          await until("loadeddata");
          const { duration, videoWidth: width, videoHeight: height } = video;
          const canvas = new OffscreenCanvas(width, height);
          const context = canvas.getContext("2d", { willReadFrequently: true });
          const sums = [];
          // Twice as often as there is a new frame at most: on a busy machine some stay for longer.
          const looks = Math.ceil(12 * (duration - 1.5));
          for (let i = 0; i < looks; i++) {
            video.currentTime = ((i + 0.5) / looks) * (duration - 1.5);
            await until("seeked");
            context.drawImage(video, 0, 0);
            const { data } = context.getImageData(0, 0, width, height);
            let sum = 0;
            for (let at = 0; at < data.length; at += 4) sum += data[at] * ((at >> 2) % width);
            sums.push(Math.round(sum / 1e4));
          }
          return { duration, width, height, different: new Set(sums).size };
        }""",
        [base64.b64encode(data).decode(), kind],
    )
    other.close()
    return found


def test_a_webm_can_be_sought_in_and_is_twice_as_sharp(page: Page, server: TensorBoardServer) -> None:
    frame = _picture(page, server)
    frame.get_by_test_id("take-along-the-picture").click()
    began = time.monotonic()
    with words_seen(frame, "film-progress", f"of {len(STEPS)} frames"), page.expect_download() as caught:
        frame.get_by_test_id("download-webm").click()
    took = time.monotonic() - began
    data = Path(caught.value.path()).read_bytes()
    assert data[:4] == b"\x1aE\xdf\xa3" and b"webm" in data[:64], "an EBML header of this type"
    expect(frame.get_by_test_id("film-progress")).to_have_count(0)
    film = _decoded(page, data, "video/webm")
    # A frame lasts a sixth of a second, the last one and a half; on a busy machine longer, but not than it was filmed.
    assert 0.65 * ((len(STEPS) - 1) / 6 + 1.5) < film["duration"] < took
    assert film["different"] >= 9, "what is seen changes, wherever one seeks"
    gif = _read_gif(_take(page, frame, "gif")[1])[0]
    # The frame around the outermost panels is one pixel wide in either.
    assert (film["width"], film["height"]) == pytest.approx(tuple(2 * side for side in gif), abs=2)


def test_a_film_that_is_cancelled_leaves_nothing(page: Page, server: TensorBoardServer) -> None:
    # What one of its frames is of does not come before it is cancelled: it cannot be over by then.
    held: list[Route] = []
    values = re.compile(rf"/payload\?.*step={STEPS[3]}&section=values")
    page.route(values, lambda route: held.append(route))
    frame = _picture(page, server)
    downloads: list[object] = []
    page.on("download", lambda download: downloads.append(download))
    frame.get_by_test_id("take-along-the-picture").click()
    frame.get_by_test_id("download-webm").click()
    frame.get_by_test_id("film-cancel").click()
    page.unroute(values)
    for route in held:
        route.continue_()
    expect(frame.get_by_test_id("film-progress")).to_have_count(0)
    page.wait_for_timeout(4000)
    assert not downloads
    expect(frame.locator(".lv-picture-take [role=alert]")).to_have_count(0)


def test_a_png_is_twice_as_sharp_and_has_what_the_svg_has(page: Page, server: TensorBoardServer) -> None:
    frame = _picture(page, server)
    svg = ET.fromstring(_take(page, frame, "svg")[1])
    size = tuple(float(svg.attrib[name]) for name in ("width", "height"))
    assert _size_of_png(_take(page, frame, "png")[1]) == tuple(np.ceil(np.multiply(2, size)))
    texts = [node.text or "" for node in svg.iter(f"{SVG}text")]
    assert any("walk · maps · activation output" in text and "step 110" in text for text in texts)
    for words in ("channel 3", "all steps"):
        assert any(words in text for text in texts), words
    shown = frame.locator(".lv-picture-foot .lv-colourbar-ticks span").all_inner_texts()
    assert shown and set(shown) <= set(texts), "the legend's numbers are text"
    pictures = list(svg.iter(f"{SVG}image"))
    assert len(pictures) == 2, "the tensor and the colours"
    canvas = box_of(frame.get_by_test_id("picture-canvas"))
    assert float(pictures[0].attrib["width"]) == canvas["width"] + 1, "half a pixel of frame at either side"


def test_a_layers_name_is_text_and_no_markup_in_an_svg(page: Page, server: TensorBoardServer) -> None:
    frame = _picture(page, server, layer=HOSTILE)
    name, data = _take(page, frame, "svg")
    assert b"</script>" not in data and b"<svg onload" not in data
    svg = ET.fromstring(data)
    assert any(HOSTILE in (node.text or "") for node in svg.iter(f"{SVG}text"))
    assert {node.tag for node in svg.iter()} == {f"{SVG}{tag}" for tag in ("svg", "title", "rect", "text", "image")}
    assert not set('<>"/&') & set(name)


def test_a_picture_is_copied_to_the_clipboard(page: Page, server: TensorBoardServer) -> None:
    frame = _picture(page, server)
    png = _take(page, frame, "png")[1]
    frame.get_by_test_id("take-along-the-picture").click()
    # Chromium encodes a canvas when the page is idle, and begins after seconds where it never is.
    with words_seen(frame, "take-along-the-picture", "Copied"):
        frame.get_by_test_id("download-copy").click()
    size = frame.evaluate(
        """async () => {
          const [item] = await navigator.clipboard.read();
          const { width, height } = await createImageBitmap(await item.getType("image/png"));
          return [width, height];
        }"""
    )
    assert tuple(size) == _size_of_png(png)


def test_the_link_that_is_copied_opens_what_is_shown(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, panel="distribution", step=30)
    with words_seen(frame, "copy-link", "Copied"):
        frame.get_by_test_id("copy-link").click()
    link = str(frame.evaluate("navigator.clipboard.readText()"))
    assert link == page.url and urllib.parse.urlsplit(link).netloc == urllib.parse.urlsplit(server.url).netloc
    assert "p.layerview.step=30" in link and "p.layerview.panel=distribution" in link


# --- the network --------------------------------------------------------------------------------


def test_a_film_of_the_network_shows_what_each_layer_gave_at_each_step(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "lanes", screen="network", run="walk", step=0)
    expect(frame.locator("[data-testid=lanes][data-step][data-pending=false]")).to_be_attached()
    name, picture = _take(page, frame, "svg", "the-network")
    assert name == "walk_network_example-0_step-0.svg" and b"</script>" not in picture
    svg = ET.fromstring(picture)
    texts = {node.text or "" for node in svg.iter(f"{SVG}text")}
    assert {"walk, example 0", "maps", "step 0", "what it gives for example 0"} <= texts
    size = tuple(float(svg.attrib[side]) for side in ("width", "height"))
    png = _take(page, frame, "png", "the-network")[1]
    assert _size_of_png(png) == tuple(np.ceil(np.multiply(2, size)))

    # Where the first feature map of the first lane stands in the picture: 12 columns, one of them bright.
    canvas = next(svg.iter(f"{SVG}image")).attrib
    lane, lanes = box_of(frame.get_by_test_id("lane").first), box_of(frame.get_by_test_id("network-canvas"))
    head = box_of(frame.locator(".lv-lanes-heads > span", has_text="what it gives"))
    x = float(canvas["x"]) + head["x"] - lanes["x"]
    y, side = float(canvas["y"]) + lane["y"] - lanes["y"] + 6, lane["height"] - 12
    name, gif = _take(page, frame, "gif", "the-network")
    assert name == f"walk_network_example-0_{len(STEPS)}-steps.gif"
    assert _read_gif(gif)[0] == tuple(np.ceil(size))
    darkest = frame.evaluate(
        """async ([gif, x, y, side]) => {
          const data = Uint8Array.from(atob(gif), (sign) => sign.charCodeAt(0));
          const decoder = new ImageDecoder({ data, type: "image/gif" });
          await decoder.tracks.ready;
          const found = [];
          for (let frameIndex = 0; frameIndex < decoder.tracks.selectedTrack.frameCount; frameIndex++) {
            const { image } = await decoder.decode({ frameIndex });
            const context = new OffscreenCanvas(side, side).getContext("2d");
            context.drawImage(image, x, y, side, side, 0, 0, side, side);
            const light = (column) => {
              const [r, g, b] = context.getImageData((column + 0.5) * side / 12, 0.75 * side, 1, 1).data;
              return r + g + b;
            };
            const columns = [...Array(12).keys()].map(light);
            found.push(columns.indexOf(Math.min(...columns)));
          }
          return found;
        }""",
        [base64.b64encode(gif).decode(), x, y, side],
    )
    assert darkest == list(range(len(STEPS))), "the bright column walks from left to right"


# --- ridges -------------------------------------------------------------------------------------


@pytest.fixture
def ridges(page: Page, server: TensorBoardServer) -> Frame:
    frame = _open(page, server, panel="distribution", step=0)
    expect(frame.get_by_test_id("ridges")).to_be_visible()
    return frame


def test_ridges_come_first_and_the_chosen_one_moves_down_with_the_steps(page: Page, ridges: Frame) -> None:
    expect(ridges.get_by_test_id("history")).to_have_value("ridges")
    chart = ridges.get_by_test_id("ridges")
    feet, drawn = [], set()
    for step in STEPS:
        expect(chart).to_have_attribute("data-step", str(step))
        expect(ridges.locator(".lv-ridge-steps [data-role=chosen]")).to_have_text(str(step))
        feet.append(int(chart.get_attribute("data-foot") or -1))
        drawn.add(pixels_of(chart.locator("canvas")))
        page.keyboard.press("ArrowRight")
    assert feet == sorted(feet) and len(set(feet)) == len(drawn) == len(STEPS)
    gaps = np.diff(feet)
    assert gaps.max() - gaps.min() <= 1, "as far from one to the next"


def test_a_ridge_tells_its_step_and_share_and_a_click_selects_it(page: Page, ridges: Frame) -> None:
    chart = ridges.get_by_test_id("ridges")
    box = box_of(chart)
    # Over the spikes of exact zeros: each step has a third of them.
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 4)
    tip = ridges.get_by_test_id("distribution-tip")
    expect(tip).to_contain_text("step 110")
    expect(tip).to_contain_text("exactly 0: 384 of 1,152 elements (33 %)")
    page.mouse.click(box["x"] + 20, box["y"] + box["height"] - 4)
    assert state_of(page)["step"] == "110"
    expect(ridges.get_by_test_id("chosen-ridge")).to_have_text("step 110, 33 % exactly 0")
    expect(ridges.get_by_test_id("ghost-step")).to_have_text("step 0")


def test_ridges_are_taken_along_as_png_svg_and_all_bins(page: Page, ridges: Frame) -> None:
    svg = ET.fromstring(_take(page, ridges, "svg", "the-distribution")[1])
    texts = [node.text or "" for node in svg.iter(f"{SVG}text")]
    assert {"step", "value", "0", "110"} <= set(texts)
    png = _take(page, ridges, "png", "the-distribution")[1]
    assert _size_of_png(png) == tuple(np.ceil(2 * float(svg.attrib[name])) for name in ("width", "height"))
    lines = _take(page, ridges, "csv", "the-distribution")[1].decode().splitlines()
    assert lines[0] == "step,lower,upper,count"
    counts = dict.fromkeys(STEPS, 0)
    for line in lines[1:]:
        step, *_, count = line.split(",")
        counts[int(step)] += int(count)
    assert set(counts.values()) == {2 * 12 * 12 * 4}
