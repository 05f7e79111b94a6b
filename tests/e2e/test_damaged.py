"""Logs that are damaged, newer than the tab, or lie about themselves, in Chromium: said in words, and nothing hangs."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")

from hostile_bytes import block, bomb
from layers_tab import open_tab
from playwright.sync_api import Page, expect
from serving import TensorBoardServer

from tb_layerview import Keep, LayerWriter, Schedule
from tb_layerview.format import messages, values
from tb_layerview.writing.training_log import TrainingLog

pytestmark = pytest.mark.e2e

STEPS = 6
#: The step at which the kept values of a layer are not what their lengths and checksums say.
AT = 3


def write(folder: Path) -> None:
    with LayerWriter(folder) as writer:
        for step in range(STEPS):
            arrays = {name: np.full((4, 6), float(step)) for name in ("bomb", "lie", "axes", "whole")}
            writer.write(step, arrays)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "encode", _lying())
        write(folder / "good")
    write(folder / "broken")
    (path,) = (folder / "broken" / "layers").glob("*tfevents*")
    content = bytearray(path.read_bytes())
    content[150] ^= 8  # in what the writer says that it logs
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "_least_format", lambda _: messages.FORMAT + 1)
        write(folder / "newer")
    session = TrainingLog(folder / "nothing", Schedule(), Keep())
    session.report("the probe", "the model takes 16 rows")
    session.close()
    return folder


def _lying() -> object:
    """Encodes values as they are, but those of one step of three layers."""
    encode, seen = values.encode, {"count": 0}
    axis = values._AXIS.pack(0, 1, 2**31)
    lies = (
        bytes([2]) + 2 * axis + block((4, 6), bomb(1 << 30)),  # a megabyte that inflates to a gigabyte
        bytes([2]) + 2 * axis + block((2**31, 2**31), bomb(1 << 20)),
        bytes([2]) + 2 * values._AXIS.pack(0, 0, 6) + block((4, 6), zlib.compress(bytes(48))),
    )

    def lie(*arguments: object) -> bytes:
        step, layer = divmod(seen["count"], 4)
        seen["count"] += 1
        return lies[layer] if step == AT and layer < len(lies) else encode(*arguments)

    return lie


def test_runs_that_cannot_be_read_are_named_with_the_reason(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "map-canvas")
    notice = frame.get_by_test_id("unreadable")
    expect(notice.locator("summary")).to_have_text("2 runs “broken”, “newer” cannot be read.")
    notice.locator("summary").click()
    expect(notice).to_contain_text("has not said what it logs")
    expect(notice).to_contain_text("is damaged in the")
    expect(notice).to_contain_text("Upgrade tb_layerview to see it.")
    for run, reason in (("broken", "is damaged in the"), ("newer", "Upgrade tb_layerview to see it.")):
        said = open_tab(page, server, "error", run=run).get_by_test_id("error")
        expect(said).to_contain_text(f"the run '{run}' cannot be read: ")
        expect(said).to_contain_text(reason)


def test_a_run_without_steps_is_named_with_the_reason(page: Page, server: TensorBoardServer) -> None:
    notice = open_tab(page, server, "map-canvas").get_by_test_id("without-steps")
    expect(notice.locator("summary")).to_have_text("The run “nothing” has no steps.")
    expect(notice).to_contain_text("0 steps logged: the probe: the model takes 16 rows.")


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("bomb", "more than the 48 bytes that its shape says"),
        ("lie", "67,108,864 elements are the most that is written"),
        ("axes", "indices from 0 on, every 0th, are kept of 6"),
    ],
)
def test_values_that_lie_are_refused_in_words_and_the_next_step_is_shown(
    page: Page, server: TensorBoardServer, layer: str, sentence: str
) -> None:
    frame = open_tab(page, server, "map-canvas", run="good", layer=layer, step=AT, panel="picture")
    expect(frame.locator("body")).to_contain_text(sentence)
    page.keyboard.press("ArrowRight")
    expect(frame.get_by_test_id("picture-canvas").first).to_be_visible()
    expect(frame.locator("body")).not_to_contain_text(sentence)
