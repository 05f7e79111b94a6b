"""One training on TensorFlow, JAX and PyTorch in the Layers tab: compared, it is the same but for rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

import program_on_any_backend as program
from layers_tab import PICTURES, box_of, number, open_tab, settled
from playwright.sync_api import Frame, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader
from tb_layerview.commands import demo

MISSING = ", ".join(str(python.relative_to(program.ROOT)) for python in program.missing().values())
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(MISSING), reason=f"not set up: {MISSING}")]

STEPS = 40
#: Whose gradient is zero but for rounding: the normalisation after it takes it out again.
BEFORE_NORM = "conv bias"


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    pictures, labels = demo.digits()
    program.train(folder, pictures[: STEPS * program.BATCH], labels[: STEPS * program.BATCH])
    return folder


def _open(page: Page, server: TensorBoardServer, layer: str, kind: str, name: str) -> Frame:
    fields = {"run": "tensorflow", "step": STEPS, "layer": layer, "kind": kind, "name": name, "order": "part"}
    return open_tab(page, server, "layer-row", **fields, comparePanel="difference")


def test_the_picture_of_one_training_on_two_backends_shows_nothing_but_rounding(
    page: Page, server: TensorBoardServer, logdir: Path
) -> None:
    frame = _open(page, server, "classes", "gradient", "kernel")
    frame.get_by_test_id("kind-gradient").click()
    picker = frame.get_by_test_id("compare-picker")
    expect(picker.locator("optgroup[label='Other runs'] option")).to_have_text(["jax", "torch"])
    reader = LayerReader(logdir)
    values: dict[str, np.ndarray] = {}
    for name in ("tensorflow", "jax", "torch"):
        run = reader.run(name)
        values[name] = run.values(run.tensor("classes", kind="gradient", name="kernel"), STEPS).array.astype(float)
    for backend in ("jax", "torch"):
        picker.select_option(backend)
        settled(frame)  # what is shown until then is of the one before
        expect(frame.get_by_test_id("compare-offer")).to_contain_text("Same start")
        shown = frame.get_by_test_id("compare-picture-difference").get_by_test_id("picture")
        expect(shown).to_be_visible()
        rows = frame.get_by_test_id("layer-row")
        expect(rows.first).to_contain_text(f"{BEFORE_NORM}")
        expect(rows.first).to_contain_text("from 0")
        assert len(rows.all()) == len(program.TRAINED)
        assert all("together" in row for row in rows.all_inner_texts()[1:])
        change = np.sqrt(np.mean((values[backend] - values["tensorflow"]) ** 2, axis=0))
        most = frame.get_by_test_id("compare-changes").locator("[data-unit]").first
        expect(most).to_have_attribute("data-unit", str(np.argmax(change)))
        assert number(most.inner_text().rpartition(" ")[2]) == pytest.approx(change.max(), rel=6e-3)
        assert change.max() < 1e-4 * np.abs(values["tensorflow"]).max()
    page.mouse.move(0, 0)
    settled(frame)
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / "compare_backends.png"
    page.screenshot(path=str(path))
    assert path.stat().st_size < 200_000


def test_the_colours_numbers_stand_above_the_charts_and_not_behind_them(page: Page, server: TensorBoardServer) -> None:
    frame = _open(page, server, "norm", "activation", "output")  # whose examples take a line more
    frame.get_by_test_id("compare-picker").select_option("jax")
    picture, charts = frame.locator(".lv-picture"), frame.locator(".lv-compare-charts")
    expect(frame.get_by_test_id("compare-picture-difference")).to_be_visible()
    expect(charts).to_be_visible()
    bottom = max(box_of(part)["y"] + box_of(part)["height"] for part in picture.locator("> *").all())
    assert bottom <= box_of(charts)["y"]
