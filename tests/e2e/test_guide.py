"""The guide's tasks, walked on real trainings: what it says to click is there, and what is then shown is true."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

import guide_trainings as trainings
from layers_tab import (
    OTHER_PYTHON,
    PICTURES,
    ROOT,
    TORCH_PYTHON,
    box_of,
    number,
    settled,
    showing,
    state_of,
    tab_within,
)
from playwright.sync_api import Frame, Locator, Page, expect
from serving import TensorBoardServer

from tb_layerview import LayerReader

pytestmark = pytest.mark.e2e

GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL))


class Walk:
    """A person who follows a section of the guide, and remembers all that they have seen.

    Attributes:
      page: The browser's page.
      frame: The tab.
      logdir: The log folder that TensorBoard serves.
    """

    def __init__(self, page: Page, frame: Frame, logdir: Path, section: str) -> None:
        self.page, self.frame, self.logdir = page, frame, logdir
        self._section = SECTIONS[section]
        self._seen = ""
        self.look()

    def look(self) -> str:
        """All texts and names on the screen."""
        settled(self.frame)  # the address and the pictures follow a moment later
        text = self.frame.evaluate(
            """() => [document.body.innerText,
                ...[...document.querySelectorAll('option')].map((option) => option.text),
                ...[...document.querySelectorAll('optgroup')].map((group) => group.label),
                ...[...document.querySelectorAll('[aria-label]')].map((named) => named.getAttribute('aria-label')),
            ].join('\\n')"""
        )
        self._seen += "\n" + " ".join(str(text).split())
        return str(text)

    def click(self, what: Locator) -> None:
        what.click()
        self.look()

    def choose(self, testid: str, label: str) -> None:
        self.frame.get_by_test_id(testid).select_option(label=label)
        self.look()

    def row(self, layer: str) -> Locator:
        """The layer's row, its first one where each of its tensors has a row."""
        return self.frame.locator(f"[data-testid='layer-row'][data-path='{layer}']").first

    def lane(self, layer: str) -> Locator:
        """The layer's lane, of the network."""
        return self.frame.locator(f"[data-testid=lane][data-layer='{layer}'] button")

    def map(self) -> None:
        """Goes to the second screen."""
        self.click(self.frame.get_by_role("button", name="Map", exact=True))

    def go_to(self, step: int) -> None:
        field = self.frame.get_by_test_id("step-number")
        field.fill(str(step))
        field.press("Enter")
        self.look()

    def state(self) -> dict[str, str]:
        """What the address says: the field's name and its value."""
        return state_of(self.page)

    def statistic(self, name: str) -> float:
        """What the line of statistics shows under a name."""
        cell = self.frame.get_by_test_id("statistics").locator(f"[data-statistic='{name}'] b")
        return number(cell.inner_text().removesuffix(" %"))

    def map_says(self, kind: str, layer: str, step: int) -> str:
        """Points at a layer and a step of the map and returns what it says there; steps are from 0 on, each logged."""
        last = int(self.frame.get_by_test_id("step-slider").get_attribute("max") or 0)
        box, row = box_of(self.frame.get_by_test_id(f"map-{kind}")), box_of(self.row(layer))
        x = box["x"] + (step + 0.5) / (last + 1) * box["width"]
        self.page.mouse.move(x, row["y"] + row["height"] / 2)
        return self.frame.get_by_role("tooltip").inner_text()

    def cell(self, row: int, column: int, shape: tuple[int, int]) -> tuple[tuple[int, ...], float]:
        """Points at a cell of a picture of one matrix; the index and the value that are read there."""
        box = box_of(self.frame.get_by_test_id("picture"))
        x = box["x"] + (column + 0.5) / shape[1] * box["width"]
        self.page.mouse.move(x, box["y"] + (row + 0.5) / shape[0] * box["height"])
        readout = self.frame.get_by_test_id("readout")
        index = tuple(json.loads(f"[{readout.get_attribute('data-index')}]"))
        return index, float((readout.get_attribute("data-value") or "nan").replace("Infinity", "inf"))

    def picture(self, name: str) -> None:
        """Takes a picture for the guide, which has it in this section."""
        self.look()
        assert f"(pictures/guide_{name}.png)" in self._section
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"guide_{name}.png"
        self.page.screenshot(path=str(path))
        assert path.stat().st_size < 200_000

    def end(self) -> None:
        """Holds the section's labels (**bold**) and quotations (“so”, … stands for anything) against what was seen."""
        self.look()
        labels = re.findall(r"\*\*(.+?)\*\*", self._section, re.DOTALL)
        quotations = re.findall(r"“(.+?)”", self._section, re.DOTALL)
        assert labels and quotations
        for text in labels + quotations:
            parts = [re.escape(" ".join(part.split())) for part in text.replace("**", "").split("…")]
            assert re.search(".{1,80}?".join(parts), self._seen), f"the guide says {text!r}, the screen never did"


def _walk(page: Page, server: TensorBoardServer, logdir: Path, section: str) -> Walk:
    """Opens the tab as one finds it; nothing is chosen by the address."""
    page.goto(f"{server.url}/#layerview")
    frame = tab_within(page, "lanes")
    expect(frame.locator("[data-testid=lanes][data-step][data-pending=false]")).to_be_attached()
    return Walk(page, frame, logdir, section)


def _rms(array: Any) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(array, np.float64)))))


def _log2(said: str) -> float:
    """The log2(B / A) that a cell of the difference map says."""
    found = re.search(r"log2\(B / A\) (\S+)", said)
    assert found is not None, said
    return number(found[1])


def test_my_loss_is_nan(page: Page, tmp_path: Path) -> None:
    x, weights = trainings.loss_is_nan(tmp_path / "training")
    features = [np.maximum(x @ kernel + bias, 0) for kernel, bias in weights]
    step = next(i for i, outputs in enumerate(features) if (outputs == 0).any())
    zeros = np.argwhere(features[step] == 0)
    with showing(tmp_path, "--load_fast=false") as server:
        walk = _walk(page, server, tmp_path, "My loss is NaN")
        lead = walk.frame.get_by_test_id("lead-finding")
        expect(lead).to_have_text(re.compile(rf"^Inf in 'log' since step {step} \(.*guide_trainings\.py:62\)$"))
        walk.go_to(0)
        walk.click(walk.lane("input"))
        walk.click(walk.frame.get_by_role("button", name="Show", exact=True))
        for layer, led in (("log", None), ("features", "true")):
            lane = walk.frame.locator(f"[data-testid=lane][data-layer={layer}]")
            expect(lane).to_have_attribute("data-health", "error")
            assert lane.get_attribute("data-led") == led
        state = walk.state()
        assert (state["layer"], state["name"], state["step"]) == ("log", "output", str(step))
        assert walk.statistic("± inf") == len(zeros)
        for place in zeros:
            assert walk.cell(*place, features[step].shape) == (tuple(place), -np.inf)
        walk.picture("nan")
        walk.click(walk.frame.get_by_test_id("panel-numbers"))
        numbers = walk.frame.locator("#lv-panel").inner_text()
        assert re.search(rf"−inf\s+{len(zeros)}\b", numbers), numbers
        walk.click(walk.frame.get_by_test_id("panel-picture"))
        walk.click(walk.frame.get_by_role("button", name="features", exact=True))
        assert walk.statistic("min") == 0
        row, column = zeros[0]
        assert walk.cell(row, column, features[step].shape) == ((row, column), 0)
        walk.click(walk.frame.get_by_role("button", name="Why", exact=True))
        words = walk.frame.get_by_test_id("evidence-words")
        expect(words).to_contain_text(f"guide_trainings.py:62) holds {len(zeros)} -inf among its 320 elements")
        expect(words).to_contain_text(f"from 'features', is finite (0 to {features[step].max():.4g}")
        expect(walk.frame.get_by_test_id("findings")).to_contain_text("A division by zero, a logarithm of zero")
        walk.end()


def test_one_batch_breaks_my_training(page: Page, tmp_path: Path) -> None:
    batch = trainings.one_batch_breaks_it(tmp_path / "training")
    (empty,) = np.flatnonzero(batch.sum(axis=1) == 0)
    step = trainings.EMPTY // trainings.BATCH + 1
    assert step not in range(0, 100, 10)
    with showing(tmp_path, "--load_fast=false") as server:
        walk = _walk(page, server, tmp_path, "One batch breaks my training")
        expect(walk.frame.get_by_test_id("run-picker")).to_have_value("training")
        lead = walk.frame.get_by_test_id("lead-finding")
        expect(lead).to_contain_text(f"NaN in 'share' since step {step}")
        walk.click(walk.frame.get_by_role("button", name="Why", exact=True))
        words = walk.frame.get_by_test_id("evidence-words")
        expect(words).to_contain_text("replayed: activation 'output' of layer 'share'")
        expect(words).to_contain_text(f"holds {batch.shape[1]} NaN among its {batch.size:,} elements")
        expect(walk.frame.get_by_test_id("replay-only")).to_be_visible()
        walk.click(walk.frame.get_by_test_id("show-replay"))
        state = walk.state()
        assert (state["run"], state["layer"], state["step"]) == ("training/replay", "share", str(step))
        expect(walk.frame.get_by_test_id("kept")).to_contain_text(f"batch of step {step} in training mode")
        expect(walk.frame.get_by_test_id(f"example-{empty}")).to_have_attribute("aria-checked", "true")
        expect(walk.frame.get_by_test_id(f"example-{empty}")).to_have_text("× NaN")
        assert walk.statistic("NaN") == batch.shape[1]
        assert walk.cell(empty - 1, 2, batch.shape)[1] == pytest.approx(
            float(batch[empty - 1, 2] / batch[empty - 1].sum()), rel=1e-3
        )
        for column in (0, 31, 63):
            index, value = walk.cell(empty, column, batch.shape)
            assert index == (empty, column) and np.isnan(value)
        assert int(empty) == 5
        walk.picture("replay")
        walk.click(walk.frame.get_by_role("button", name="input", exact=True))
        expect(walk.frame.get_by_test_id("kept")).to_contain_text(f"batch of step {step}")
        expect(walk.frame.get_by_test_id("tensor-picture")).to_have_attribute("data-tensor", "0")
        for row in (empty - 1, empty):
            for column in (2, 10, 60):
                index, value = walk.cell(row, column, batch.shape)
                assert (index, value) == ((row, column), pytest.approx(float(batch[row, column]), rel=1e-3))
        walk.end()


@pytest.mark.skipif(not TORCH_PYTHON.exists(), reason="needs PyTorch: make .venv-torch/.ready")
def test_my_pytorch_loss_is_nan(page: Page, tmp_path: Path) -> None:
    section = "My PyTorch loss is NaN"
    program = tmp_path / "train.py"
    shutil.copy(ROOT / "tests" / "helpers" / "program_guide_torch.py", program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "KERAS_BACKEND": "torch"}
    options: dict[str, Any] = {"env": environment, "cwd": tmp_path, "timeout": 900, "text": True}
    options["capture_output"] = True
    (tmp_path / "logs").mkdir()
    trained = subprocess.run([str(TORCH_PYTHON), str(program), "logs"], check=True, **options)
    checked = subprocess.run([sys.executable, "-m", "tb_layerview.commands.cli", "check", "logs"], **options)
    assert checked.returncode == 1
    terminal = " ".join(f"{trained.stdout} {trained.stderr} {checked.stdout}".split())
    quoted = re.findall(r"^ *```text\n(.*?)```", SECTIONS[section], re.MULTILINE | re.DOTALL)
    assert len(quoted) == 3
    for block in quoted:
        assert " ".join(block.split()) in terminal, f"the guide says {block!r}, the terminal never did"
    batch = np.load(tmp_path / "logs" / "batch.npy")
    (empty,) = np.flatnonzero(batch.std(axis=1) == 0)
    assert int(empty) == 5
    with showing(tmp_path / "logs", "--load_fast=false") as server:
        walk = _walk(page, server, tmp_path, section)
        lead = walk.frame.get_by_test_id("lead-finding")
        expect(lead).to_have_text("NaN in 'standardize' since step 37 (defined in train.py:29)")
        walk.click(walk.frame.get_by_role("button", name="Why", exact=True))
        words = walk.frame.get_by_test_id("evidence-words")
        expect(words).to_contain_text("layer 'standardize' (defined in train.py:29) holds 64 NaN")
        walk.click(walk.frame.get_by_test_id("show-replay"))
        state = walk.state()
        assert (state["run"], state["layer"], state["step"]) == ("training/replay", "standardize", "37")
        assert walk.statistic("NaN") == batch.shape[1]
        walk.picture("torch")
        for layer in ("relu", "dropout", "block/relu"):
            walk.click(walk.lane(layer))
            assert walk.statistic("NaN") == 32, layer
            for row in (empty - 1, empty, empty + 1):
                index, value = walk.cell(row, 3, (len(batch), 32))
                assert index == (row, 3) and np.isnan(value) == (row == empty), layer
        walk.click(walk.lane("input"))
        expect(walk.frame.get_by_test_id("tensor-picture")).to_have_attribute("data-tensor", "0")
        for row in (empty - 1, empty):
            index, value = walk.cell(row, 10, batch.shape)
            assert (index, value) == ((row, 10), pytest.approx(float(batch[row, 10]), rel=1e-3))
        walk.end()


def test_accuracy_is_stuck(page: Page, tmp_path: Path) -> None:
    _, model = trainings.accuracy_is_stuck(tmp_path / "training")
    step = trainings.SILENCED_AT
    with showing(tmp_path, "--load_fast=false") as server:
        walk = _walk(page, server, tmp_path, "My accuracy is stuck")
        lead = walk.frame.get_by_test_id("lead-finding")
        dead = f"'hidden_2' is dead: all its elements are zero since step {step}"
        expect(lead).to_have_text(
            re.compile(rf"^Bias of 'hidden_2' changes .* since step {step}.*, which led to: {dead}$")
        )
        walk.map()
        walk.choose("statistic", "zero share")
        run = LayerReader(tmp_path).run("training")
        for layer, at in (("hidden_2", step), ("hidden_2", step - 1), ("hidden_1", step), ("hidden_3", step)):
            tensor = run.tensor(layer, kind="activation")
            share = np.mean(run.values(tensor, at).array == 0)
            found = re.search(r"zero share\s+([\d.]+) %", walk.map_says("activation", layer, at))
            assert found is not None
            assert float(found[1]) == pytest.approx(100 * share, abs=0.6)
            assert (share == 1) == ((layer, at) == ("hidden_2", step))
        walk.click(walk.frame.get_by_test_id("panel-units"))
        expect(walk.frame.get_by_test_id("units-summary")).to_contain_text("24 of 24 units silent on the probe")
        walk.choose("unit-order", "longest silent first")
        canvas = walk.frame.locator("[data-chart=units]")
        box = box_of(canvas)
        canvas.click(position={"x": (step + 0.5) / len(run.steps) * box["width"], "y": box["height"] - 4})
        expect(walk.frame.get_by_test_id("step-number")).to_have_value(str(step))
        side = walk.frame.get_by_test_id("unit-side")
        expect(side).to_have_attribute("data-unit", re.compile(r"\d+"))
        unit = int(side.get_attribute("data-unit") or -1)
        peaks = [run.units(run.tensor("hidden_2", kind="activation"), at).peak[unit] for at in run.steps]
        since = 1 + max((i for i, peak in enumerate(peaks) if peak != 0), default=-1)
        expect(walk.frame.get_by_test_id("unit-silence")).to_contain_text(f"since step {since}")
        assert since == step
        page.mouse.move(0, 0)
        walk.picture("silent")
        walk.click(walk.frame.get_by_test_id("tensor-weight-bias"))
        walk.frame.locator("body").press("ArrowLeft")
        expect(walk.frame.get_by_test_id("step-number")).to_have_value(str(step - 1))
        walk.look()
        assert walk.statistic("min") > -1
        walk.frame.locator("body").press("ArrowRight")
        expect(walk.frame.get_by_test_id("step-number")).to_have_value(str(step))
        walk.look()
        assert walk.statistic("min") == walk.statistic("max") == trainings.FAR_BELOW
        walk.go_to(int(run.steps[-1]))
        _, bias = model.get_layer("hidden_2").get_weights()
        assert walk.statistic("mean") == pytest.approx(float(bias.mean()), rel=5e-3)
        walk.click(walk.frame.get_by_test_id("all-findings"))
        walk.end()


def test_run_b_is_worse(page: Page, tmp_path: Path) -> None:
    started = trainings.run_b_is_worse(tmp_path)
    kernels = {run: {layer: weights[0] for layer, weights in own.items()} for run, own in started.items()}
    changed = [layer for layer in kernels["he"] if not np.array_equal(kernels["he"][layer], kernels["normal"][layer])]
    (layer,) = changed
    with showing(tmp_path, "--load_fast=false") as server:
        walk = _walk(page, server, tmp_path, "Run B is worse: what differs inside?")
        walk.choose("run-picker", "he · 101 steps")
        walk.choose("compare-picker", "normal")
        walk.click(walk.frame.get_by_test_id("kind-weight"))
        rows = walk.frame.get_by_test_id("layer-row")
        expect(rows.first).to_contain_text("from 0")
        assert rows.first.get_attribute("data-path") == layer == "hidden_3"
        expect(rows.first).to_contain_text("kernel")
        for row in rows.all()[1:]:
            assert "from 0" not in row.inner_text().split("\n")
        walk.click(walk.row(layer))
        expected = np.log2(_rms(kernels["normal"][layer]) / _rms(kernels["he"][layer]))
        walk.click(walk.frame.get_by_test_id("tensor-weight-kernel"))
        walk.go_to(0)
        said = walk.map_says("weight", layer, 0)
        assert _log2(said) == pytest.approx(expected, abs=6e-3)
        for side, run in (("A", "he"), ("B", "normal")):
            cell = walk.frame.get_by_test_id("compare-statistics").locator(f"[data-side='{side}']")
            text = cell.locator("[data-statistic='rms']").get_attribute("title") or "nan"
            assert number(text) == pytest.approx(_rms(kernels[run][layer]), rel=1e-5)
        offer = walk.frame.get_by_test_id("compare-offer")
        expect(offer).to_contain_text("The runs started from different weights (hidden_3 · weight kernel")
        expect(offer).to_have_attribute("data-offered", "false")
        expect(walk.frame.get_by_test_id("compare-picture-a")).to_have_count(0)
        walk.picture("compare_weights")
        walk.click(walk.frame.get_by_test_id("kind-gradient"))
        walk.choose("order", "model order")
        walk.click(walk.row("hidden_1"))
        walk.click(walk.frame.get_by_test_id("tensor-gradient-kernel"))
        reader = LayerReader(tmp_path)

        def gradients(layer: str) -> dict[str, float]:
            runs = {name: reader.run(name) for name in ("he", "normal")}
            return {n: run.digest(run.tensor(layer, kind="gradient", name="kernel"), 0).rms for n, run in runs.items()}

        # The gradient reaches the first layers through the kernel that is so much smaller; its own does not.
        ratios = {layer: np.log2(rms["normal"] / rms["he"]) for layer in kernels["he"] for rms in [gradients(layer)]}
        assert all((ratio < expected / 2) == (layer != "hidden_3") for layer, ratio in ratios.items())
        assert abs(ratios["hidden_3"]) < 0.5
        rms = gradients("hidden_1")
        table = walk.frame.get_by_test_id("compare-statistics")
        for side, run in (("A", "he"), ("B", "normal")):
            text = table.locator(f"[data-side='{side}'] [data-statistic='rms']").get_attribute("title") or "nan"
            assert number(text) == pytest.approx(rms[run], rel=1e-5)
        page.mouse.move(0, 0)
        walk.picture("compare_gradients")
        walk.end()


def test_gradients_and_heads_of_a_transformer(page: Page, tmp_path: Path) -> None:
    tokens, gradient, reach = trainings.transformer(tmp_path / "transformer")
    looked_up = list(dict.fromkeys(tokens.ravel().tolist()))
    rows = gradient[looked_up]
    assert 0 < len(looked_up) < trainings.TOKENS
    with showing(tmp_path, "--load_fast=false") as server:
        walk = _walk(page, server, tmp_path, "Do gradients reach the embeddings? Have heads collapsed?")
        expect(walk.frame.get_by_test_id("lead-finding")).to_contain_text("A head of 'block_2_attention'")
        expect(walk.frame.locator(".lv-flow-head")).to_be_visible()
        walk.map()
        walk.click(walk.frame.get_by_test_id("kind-gradient"))
        walk.click(walk.row("embedding"))
        walk.frame.locator("body").press("Home")
        walk.look()
        expect(walk.frame.get_by_test_id("step-number")).to_have_value("0")
        expect(walk.frame.get_by_test_id("tensor-picture")).to_have_attribute("data-step", "0")
        assert walk.state()["kind"] == "gradient"
        assert walk.statistic("rms") == pytest.approx(_rms(rows), rel=6e-3)
        found = re.search(r"gradient rms\s+(\S+)|rms (\S+)", walk.map_says("gradient", "embedding", 0))
        assert found is not None
        assert number(found[1] or found[2]) == pytest.approx(_rms(rows), rel=6e-3)
        expect(walk.frame.get_by_test_id("tensor-shape")).to_have_text(f"{len(looked_up)} × 16")
        for row, unit in ((0, 0), (3, 7), (len(rows) - 1, 15)):
            index, value = walk.cell(row, unit, rows.shape)
            assert index == (row, unit)
            assert value == pytest.approx(float(rows[row, unit]), rel=5e-3, abs=1e-3 * float(np.abs(rows).max()))
        page.mouse.move(0, 0)
        walk.picture("embedding")
        run = LayerReader(tmp_path).run("transformer")
        walk.click(walk.frame.get_by_test_id("kind-activation"))
        for block, positions in reach.items():
            walk.click(walk.row(f"block_{block}_attention"))
            walk.click(walk.frame.get_by_test_id("tensor-activation-scores"))
            tensor = run.tensor(f"block_{block}_attention", kind="activation", name="scores")
            assert 1 / (trainings.LENGTH * run.digest(tensor, 0).rms ** 2) == pytest.approx(positions, rel=5e-3)
            scores = np.asarray(run.values(tensor, 0).array, np.float64)[0]
            if block == 1:
                # Of block 2, keys at the ends at which no head looks cannot be told from padding.
                expect(walk.frame.get_by_test_id("uniform-reach")).to_have_attribute("data-uniform", "12")
            cells = walk.frame.get_by_test_id("head-reach").locator("[data-reach]")
            shown = [float(cell.get_attribute("data-reach") or "nan") for cell in cells.all()]
            assert shown == pytest.approx([1 / (12 * np.mean(head**2)) for head in scores], rel=1e-6)
        assert reach[1] > 11 and reach[2] < 1.05
        walk.picture("heads")
        walk.click(walk.frame.get_by_test_id("all-findings"))
        walk.end()


@pytest.mark.skipif(not OTHER_PYTHON.exists(), reason="needs the other stack: make .venv-estimator")
def test_an_estimator_in_train_and_in_eval(page: Page, tmp_path: Path) -> None:
    program = ROOT / "tests" / "helpers" / "program_guide_estimator.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(OTHER_PYTHON), str(program), str(tmp_path)]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=900)
    with showing(tmp_path, "--load_fast=false") as server:
        walk = _walk(page, server, tmp_path, "What do an Estimator's layers do in train and in eval?")
        suggested = walk.frame.get_by_test_id("compare-picker").locator("optgroup[label='The same model'] option")
        expect(suggested).to_have_text(["estimator/eval (different inputs: compare distributions)"])
        walk.choose("compare-picker", "estimator/eval (different inputs: compare distributions)")
        walk.choose("order", "model order")
        walk.click(walk.row("norm"))
        walk.go_to(120)
        reader = LayerReader(tmp_path)
        a, b = reader.run("estimator"), reader.run("estimator/eval")
        assert list(b.steps) == [24, 48, 72, 96, 120] and a.steps[-1] == 120
        rms = {}
        for layer in ("conv2", "norm"):
            walk.click(walk.row(layer))
            table = walk.frame.get_by_test_id("compare-statistics")
            for side, run in (("A", a), ("B", b)):
                cell = table.locator(f"[data-side='{side}'] [data-statistic='rms']")
                rms[layer, side] = run.digest(run.tensor(layer, kind="activation"), 120).rms
                expect(cell).to_have_attribute("title", re.compile("."))
                assert number(cell.get_attribute("title") or "nan") == pytest.approx(rms[layer, side], rel=1e-5)
        learnt = np.load(tmp_path / "norm.npz")
        for side, run in (("A", a), ("B", b)):
            taken = run.units(run.tensor("conv2", kind="activation"), 120)
            mean, square = taken.mean.astype(np.float64), taken.rms.astype(np.float64) ** 2
            # The batch's own mean and variance in training, the moving averages in evaluation.
            center = mean if side == "A" else learnt["moving_mean_120"]
            variance = square - mean**2 if side == "A" else learnt["moving_variance_120"]
            scale = learnt["gamma_120"] / np.sqrt(variance + 1e-3)
            offset = learnt["beta_120"] - scale * center
            by_definition = np.sqrt(np.mean(scale**2 * square + 2 * scale * offset * mean + offset**2))
            assert rms["norm", side] == pytest.approx(by_definition, rel=0.01)
        assert rms["conv2", "B"] == pytest.approx(rms["conv2", "A"], rel=0.1)
        assert rms["norm", "B"] < 0.5 * rms["norm", "A"]
        expect(walk.frame.get_by_test_id("compare-offer")).to_have_attribute("data-offered", "false")
        expect(walk.frame.get_by_test_id("compare-histograms")).to_be_visible()
        walk.picture("estimator")
        walk.choose("order", "parts first")
        expect(walk.row("norm")).to_contain_text("from 24")
        expect(walk.row("conv2")).to_contain_text("together")
        walk.end()
