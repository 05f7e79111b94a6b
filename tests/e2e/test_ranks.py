"""A training by two processes, one of which forgets to scale its pixels, in the Layers tab: the bad rank is seen."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from layers_tab import PICTURES, ROOT, box_of, open_tab, settled, state_of
from playwright.sync_api import Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader

PYTHON = ROOT / ".venv-torch" / "bin" / "python"
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not PYTHON.exists(), reason=f"not set up: {PYTHON.name}")]
BAD = 1


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    together = [str(PYTHON), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*together, "examples/torch_ranks.py", str(folder / "run1"), "--unscaled", str(BAD)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=600)
    return folder


def test_the_bad_rank_is_found_in_two_actions(page: Page, server: TensorBoardServer, logdir: Path) -> None:
    frame = open_tab(page, server, "layer-row", run="run1/rank-0", order="model")
    expect(frame.locator("[data-testid=run-picker] optgroup")).to_have_attribute("label", "run1: 2 ranks")
    # One: how the ranks compare.
    frame.get_by_test_id("across-ranks").click()
    said = frame.get_by_test_id("furthest-rank")
    # What was not divided by 16, on pictures of other digits.
    sizes = [
        run.statistics("rms")[run.tensor("input", kind="activation")][-1] for run in LayerReader(logdir / "run1").runs()
    ]
    assert 14 < sizes[BAD] / sizes[0] < 18
    times = f"{sizes[BAD] / sizes[0]:.3g}"
    expect(said).to_have_text(
        f"At step 84 the two ranks differ: rank {BAD}, first in input · activation output, rms {times} times the other "
        "rank’s."
    )
    # Two: that rank, there.
    frame.get_by_test_id("show-furthest").click()
    expect(frame.get_by_test_id("run-picker")).to_have_value(f"run1/rank-{BAD}")
    expect(frame.get_by_test_id(f"rank-{BAD}")).to_have_attribute("aria-pressed", "true")
    expect(frame.locator("[data-testid=layer-row][data-path=input]")).to_have_attribute("aria-selected", "true")
    assert state_of(page).items() >= {"run": f"run1/rank-{BAD}", "across": "ranks", "layer": "input"}.items()


def test_a_cell_is_a_rank_and_says_how_far_it_is_from_the_others(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(
        page, server, "furthest-rank", run="run1/rank-0", step=84, across="ranks", layer="1", kind="weight"
    )
    canvas = frame.get_by_test_id("map-activation")
    box, row = box_of(canvas), box_of(frame.locator("[data-testid=layer-row][data-path='0']"))
    place = {"x": 0.75 * box["width"], "y": row["y"] + row["height"] / 2 - box["y"]}
    canvas.hover(position=place)
    tooltip = frame.get_by_role("tooltip").first
    expect(tooltip).to_contain_text("0 · activation output")
    expect(tooltip).to_contain_text("rank 1, step 84")
    expect(tooltip).to_contain_text("times the other rank’s")
    canvas.click(position=place)
    expect(frame.get_by_test_id("run-picker")).to_have_value("run1/rank-1")
    # What a normalisation has seen is its own, and what the optimizers do is the same in all.
    frame.get_by_test_id("kind-weight").click()
    expect(frame.get_by_test_id("furthest-rank")).to_contain_text("first in 1 · weight running_var")
    frame.get_by_test_id("kind-update").click()
    # Nobody knew before that the last step would be the last.
    expect(frame.get_by_test_id("furthest-rank")).to_contain_text("no two ranks have logged the rms of one update")
    frame.get_by_test_id("step-number").fill("80")
    frame.get_by_test_id("step-number").press("Enter")
    expect(frame.get_by_test_id("furthest-rank")).to_contain_text("the ranks are alike")
    frame.get_by_test_id("across-steps").click()
    expect(frame.get_by_test_id("map-update")).to_have_attribute(
        "aria-label",
        "rms of the updates, its change since the start, layers down, steps across. Use the arrow keys to move.",
    )


def test_the_map_of_ranks_is_a_picture(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "furthest-rank", run="run1/rank-1", across="ranks", panel="distribution", layer="0")
    expect(frame.get_by_test_id("furthest-rank")).to_contain_text("rank 1")
    page.mouse.move(0, 0)
    settled(frame)
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / "ranks.png"
    page.screenshot(path=str(path))
    assert path.stat().st_size < 200_000
