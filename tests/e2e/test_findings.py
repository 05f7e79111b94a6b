"""The findings in the tab, of real trainings that go wrong, held against what `diagnose` and numpy say of it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright")
pytest.importorskip("tensorflow")

from layers_tab import ROOT, box_of, logdir_of, open_tab, settled, state_of
from playwright.sync_api import Frame, Page, Route, expect
from serving import TensorBoardServer

from tb_layerview import Check, LayerReader, LayerViewCallback
from tb_layerview.commands import demo
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.finding import Finding, headline
from tb_layerview.health.of_run import evidence_of
from tb_layerview.health.rules.catalogue import with_thresholds
from tb_layerview.reading.run import Run

pytestmark = pytest.mark.e2e

AXE = ROOT / "tb_layerview_frontend/node_modules/axe-core/axe.min.js"
PLOT_HEIGHT = 132


# From these steps on most units of `two`, and all of `three`, are silent.
UNITS_AT, LAYER_AT, FAR_BELOW = 15, 35, -50.0


def _train(folder: Path, name: str, layers: Callable[[Any], list[Any]], silence: bool = False) -> None:
    import tensorflow as tf

    def before_batch(batch: int, logs: object = None) -> None:
        if silence and batch + 1 == UNITS_AT:
            kernel, bias = model.get_layer("two").get_weights()
            bias[3:] = FAR_BELOW
            model.get_layer("two").set_weights([kernel, bias])
        if silence and batch + 1 == LAYER_AT:
            kernel, bias = model.get_layer("three").get_weights()
            model.get_layer("three").set_weights([kernel, np.full_like(bias, FAR_BELOW)])

    x, y = demo.digits()
    tf.keras.utils.set_random_seed(1)
    keras = tf.keras.layers
    own = [keras.Flatten(name="flat"), *layers(keras.Dense), keras.Dense(10, name="classes")]
    model = tf.keras.Sequential([tf.keras.Input(x.shape[1:]), *own])
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.SGD(0.01), loss)
    planted = tf.keras.callbacks.LambdaCallback(on_train_batch_begin=before_batch)
    log = LayerViewCallback(folder / name, schedule=1)
    model.fit(x, y, batch_size=32, verbose=0, callbacks=[planted, log])


def _train_until_it_overflows(folder: Path) -> None:
    """A linear layer at a learning rate above what is stable: each step is some times larger than the one before."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(3)
    x = np.random.default_rng(0).normal(size=(1600, 8)).astype(np.float32)
    model = tf.keras.Sequential([tf.keras.Input((8,)), tf.keras.layers.Dense(1, name="score")])
    model.compile(tf.keras.optimizers.SGD(1.5), "mse")
    log = LayerViewCallback(folder, schedule=1, check=Check(replay=False))
    model.fit(x, np.tanh(x[:, :1] * x[:, 1:2]), batch_size=16, verbose=0, callbacks=[log])


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of a layer dead from the start, of units and then a layer that fall silent, of twenty sigmoids, and of a
    learning rate that is too high.
    """
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("findings")

    def dead(dense: Any) -> list[Any]:
        first, after = dense(64, "relu", name="first"), dense(32, "relu", name="after")
        silent = dense(48, "relu", bias_initializer=tf.keras.initializers.Constant(FAR_BELOW), name="dead")
        return [first, silent, after]

    _train(folder, "sigmoids", lambda dense: [dense(32, "sigmoid", name=f"sigmoid_{i:02}") for i in range(20)])
    _train(folder, "silenced", lambda dense: [dense(64, "relu", name=name) for name in ("one", "two", "three")], True)
    _train(folder, "dead", dead)
    _train_until_it_overflows(folder / "runaway")
    return folder


def _run(server: TensorBoardServer, name: str) -> Run:
    return LayerReader(logdir_of(server)).run(name)


def _key(finding: Finding) -> str:
    return f"{finding.rule}:{next(iter(finding.measured)) if finding.tensor is None else finding.tensor.index}"


def _by_cause(findings: Sequence[Finding]) -> list[str]:
    """Keys in the order of the panel: causes of one rule together, each before what follows from it."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, finding in enumerate(findings):
        if finding.follows is None:
            groups[finding.severity, finding.rule].append(i)
    causes = [i for group in groups.values() for i in group]
    return [_key(f) for i in causes for f in [findings[i], *_following(findings, i)]]


def _following(findings: Sequence[Finding], cause: int) -> list[Finding]:
    """What follows from a finding; the first error that a warning led to stands before all else."""
    found = [finding for finding in findings if finding.follows == cause]
    led = [f for f in found if f.severity == "error" and findings[cause].severity == "warning"][:1]
    return [*led, *(f for f in found if f not in led)]


def _listed(frame: Frame) -> list[str]:
    rows = frame.get_by_test_id("finding")
    return [str(row.get_attribute("data-key")) for row in rows.all()]


def _points(frame: Frame, line: str) -> np.ndarray:
    """The corners of a line in the plot, float64 [steps, (x, y)] in pixels."""
    path = frame.locator(f"[data-testid=course] [data-line={line}]").get_attribute("d") or ""
    return np.array([[float(at) for at in point.split(" ")] for point in re.split("[ML]", path)[1:]])


def test_what_a_warning_led_to_is_told_with_it(page: Page, server: TensorBoardServer) -> None:
    findings = diagnose(evidence_of(_run(server, "runaway")))
    lead, led = findings[0], next(f for f in findings if f.severity == "error")
    assert lead.severity == "warning" and led.rule == "non_finite" and led.follows == 0 and lead.first < led.first
    frame = open_tab(page, server, "lead-finding", run="runaway")
    line = frame.get_by_test_id("lead-finding")
    expect(line).to_have_text(f"{headline(lead)}, which led to: {headline(led)}")
    title = line.get_attribute("title") or ""
    assert f"{lead.words}." in title and f"since step {led.first}: {led.words}." in title
    frame.get_by_test_id("all-findings").click()
    expect(frame.get_by_test_id("finding-list").locator("h3").first).to_have_text("First cause")
    assert _listed(frame) == _by_cause(findings)
    row = frame.get_by_test_id("led-to").get_by_test_id("finding").first
    assert row.get_attribute("data-key") == _key(led)
    row.click()
    expect(frame.get_by_test_id("step-slider")).to_have_value(str(led.first))
    # Both are among those that one walks through.
    walked = set()
    for _ in range(20):
        frame.get_by_test_id("next-finding").click()
        walked.add(int(frame.get_by_test_id("step-slider").input_value()))
    assert {lead.first, led.first} <= walked


def test_the_panel_lists_what_diagnose_finds_by_cause(page: Page, server: TensorBoardServer) -> None:
    for name in ("dead", "silenced", "sigmoids"):
        findings = diagnose(evidence_of(_run(server, name)))
        lead = findings[0]
        frame = open_tab(page, server, "lead-finding", run=name)
        expect(frame.get_by_test_id("lead-finding")).to_contain_text(headline(lead))
        frame.get_by_test_id("all-findings").click()
        expect(frame.get_by_test_id("finding-list")).to_be_visible()
        # What the panel says the line above it does not say again.
        expect(frame.get_by_test_id("lead-finding")).to_have_count(0)
        assert frame.locator("body").inner_text().count(lead.words) == 1
        assert _listed(frame) == _by_cause(findings)
        errors = sum(finding.severity == "error" for finding in findings)
        summary = frame.get_by_test_id("findings-summary")
        for count, word in ((errors, "error"), (len(findings) - errors, "warning")):
            if count:
                expect(summary).to_contain_text(f"{count} {word}")
        following = sum(finding.follows == 0 for finding in findings)
        # The first error that a warning led to is told beside it.
        is_told = lead.severity == "warning" and any(f.severity == "error" and f.follows == 0 for f in findings)
        if following:
            said = f"{following - 1} more follow from it" if is_told else f"{following} follow from it"
            expect(frame.get_by_test_id("following").first).to_contain_text(said)
    assert errors == 0 and len(findings) > 10


def test_the_plot_of_a_finding_shows_every_step_against_what_it_is_held_against(
    page: Page, server: TensorBoardServer
) -> None:
    run = _run(server, "silenced")
    (finding,) = [f for f in diagnose(evidence_of(run)) if f.rule == "silent_units"]
    assert finding.tensor is not None
    assert (finding.tensor.layer, finding.first) == ("two", UNITS_AT)
    frame = open_tab(page, server, "course", run="silenced", why=_key(finding))
    silent = run.statistics("silent")[finding.tensor.index]
    points = _points(frame, "silent")
    np.testing.assert_allclose(points[:, 1], PLOT_HEIGHT * (1 - silent), atol=0.06)
    np.testing.assert_allclose(_points(frame, "threshold")[:, 1], PLOT_HEIGHT * 0.1, atol=0.06)
    first = frame.get_by_test_id("course-first").get_attribute("d") or ""
    at = run.steps.tolist().index(finding.first)
    assert float(first[1:].split(" ")[0]) == pytest.approx(points[at, 0], abs=0.06)
    # The same in words: before, at and after the first step.
    rows = frame.get_by_test_id("course-table").locator("tbody tr")
    told = {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows.all()}
    for step, holds in ((finding.before, "no"), (finding.first, "yes")):
        threshold, value, held = told[str(step)]
        assert (threshold, held) == ("90 %", holds)
        assert float(re.sub("[^0-9.]", "", value)) == pytest.approx(
            100 * silent[run.steps.tolist().index(step)], abs=0.6
        )
    numbers = frame.get_by_label("Measured at its first step")
    expect(numbers).to_contain_text("silent units")
    expect(numbers).to_contain_text("threshold: share")


def test_of_gradients_the_largest_layers_is_drawn_too(page: Page, server: TensorBoardServer) -> None:
    run = _run(server, "sigmoids")
    findings = [f for f in diagnose(evidence_of(run)) if f.rule == "vanishing_gradient"]
    finding = findings[0]
    assert finding.tensor is not None
    frame = open_tab(page, server, "course", run="sigmoids", why=_key(finding))
    rms = run.statistics("rms")
    kernels = [t.index for t in run.tensors if t.kind == "gradient" and t.name == "kernel"]
    lines = {
        "rms": rms[finding.tensor.index],
        "largest": rms[kernels].max(axis=0),
        "threshold": 1e-6 * rms[kernels].max(axis=0),
    }
    drawn = {name: _points(frame, name)[:, 1] for name in lines}
    # On one logarithmic axis: heights are linear in the logarithm, with one slope and one offset for all three.
    logs = np.log(np.concatenate(list(lines.values())))
    heights = np.concatenate(list(drawn.values()))
    slope, offset = np.polyfit(logs, heights, 1)
    assert slope < 0
    np.testing.assert_allclose(heights, slope * logs + offset, atol=0.15)
    expect(frame.get_by_test_id("evidence")).to_contain_text("Many saturating activation functions in a row")


def test_one_click_leads_to_the_layer_the_step_and_the_panel(page: Page, server: TensorBoardServer) -> None:
    findings = diagnose(evidence_of(_run(server, "silenced")))
    frame = open_tab(page, server, "finding-list", run="silenced", why="lead")
    frame.get_by_test_id("following").first.click()
    (gradient, *_) = [f for f in findings if f.rule == "zero_gradient"]
    (units, *_) = [f for f in findings if f.rule == "silent_units"]
    (weight, *_) = [f for f in findings if f.rule == "unmoved_weight"]
    for finding, panel in ((gradient, "picture"), (units, "units"), (weight, "distribution")):
        assert finding.tensor is not None
        frame.locator(f"[data-key='{_key(finding)}']").filter(visible=True).first.click()
        expect(frame.get_by_test_id("evidence")).to_have_attribute("data-key", _key(finding))
        expect(frame.get_by_test_id("evidence-words")).to_contain_text(finding.words)
        expect(frame.get_by_test_id("step-number")).to_have_value(str(finding.first))
        state = state_of(page)
        assert (state["layer"], state["kind"]) == (finding.tensor.layer, finding.tensor.kind)
        assert (state.get("panel", "picture"), state["why"]) == (panel, _key(finding))
        # The map of that kind is there, too.
        expect(frame.get_by_test_id(f"map-{finding.tensor.kind}")).to_be_visible()


def test_a_moved_threshold_shows_its_result_at_once_and_stays_in_the_address(
    page: Page, server: TensorBoardServer
) -> None:
    evidence = evidence_of(_run(server, "silenced"))
    usual = {_key(finding) for finding in diagnose(evidence)}
    (units, *_) = [f for f in diagnose(evidence) if f.rule == "silent_units"]
    frame = open_tab(page, server, "course", run="silenced", why=_key(units))
    expect(frame.get_by_test_id("reset-silent_units.share")).to_be_disabled()
    for share in (0.99, 0.05):
        moved = diagnose(evidence, with_thresholds({"silent_units.share": share}))
        keys = {_key(finding) for finding in moved}
        assert keys != usual
        frame.get_by_test_id("threshold-silent_units.share").fill(str(share))
        frame.get_by_test_id("threshold-silent_units.share").press("Enter")
        settled(frame)
        change = [
            f"{count} {word}" for count, word in ((len(keys - usual), "more"), (len(usual - keys), "fewer")) if count
        ]
        expect(frame.get_by_test_id("threshold-change")).to_contain_text(f"{', '.join(change)} than with the usual")
        assert _listed(frame) == _by_cause(moved)
        # The line moves with it.
        expect(frame.locator("[data-testid=course] [data-line=threshold]")).to_have_attribute(
            "d", re.compile(rf"^M\S+ {PLOT_HEIGHT * (1 - share):.1f}L")
        )
        assert state_of(page)["thresholds"] == f"silent_units.share:{share}"
    assert _key(units) in state_of(page)["why"]
    page.reload()
    frame = open_tab(page, server, "course", run="silenced", why=_key(units), thresholds="silent_units.share:0.99")
    expect(frame.get_by_test_id("threshold-silent_units.share")).to_have_value("0.99")
    frame.get_by_test_id("put-back").click()
    expect(frame.get_by_test_id("threshold-change")).to_be_empty()
    expect(frame.get_by_test_id("threshold-silent_units.share")).to_have_value("0.9")
    settled(frame)
    assert set(_listed(frame)) == usual
    # By keyboard, and what one looked at stays there when it is found no more.
    slider = frame.get_by_test_id("slider-silent_units.patience")
    slider.focus()
    step = frame.get_by_test_id("step-number").input_value()
    slider.press("End")
    expect(frame.get_by_test_id("evidence-words")).to_contain_text("Not found")
    expect(frame.get_by_test_id("threshold-silent_units.patience")).to_have_value("50")
    expect(frame.get_by_test_id("step-number")).to_have_value(step)
    frame.get_by_test_id("reset-silent_units.patience").click()
    expect(frame.get_by_test_id("evidence-words")).to_contain_text(units.words)


def test_what_is_no_threshold_is_said_and_nothing_is_lost(page: Page, server: TensorBoardServer) -> None:
    frame = open_tab(page, server, "all-rules", run="silenced", why="rules")
    before = _listed(frame)
    field = frame.get_by_test_id("threshold-silent_units.patience")
    field.fill("many")
    field.press("Enter")
    expect(frame.get_by_role("alert")).to_contain_text("“many” is no threshold")
    field.fill("2.5")
    field.press("Enter")
    expect(frame.get_by_role("alert").first).to_contain_text("must be a whole number from 1 on, not 2.5")
    assert _listed(frame) == before
    field.fill("")
    field.press("Enter")
    expect(frame.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 1920])
def test_every_word_of_the_legends_can_be_read(page: Page, server: TensorBoardServer, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    frame = open_tab(page, server, "map-canvas", run="silenced", maps="activation,weight,gradient", step=0)
    expect(frame.get_by_test_id("found-error")).to_have_count(1)  # once for all maps
    foot = frame.locator(".lv-map-foot")
    cut = foot.locator(".lv-colourbar-label, .lv-mark").evaluate_all(
        "of => of.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText)"
    )
    assert cut == []
    within = box_of(foot)
    for mark in foot.locator(".lv-mark").all():
        box = box_of(mark)
        assert box["y"] + box["height"] <= within["y"] + within["height"]
        assert box["x"] + box["width"] <= within["x"] + within["width"]


def test_what_is_found_in_rows_that_are_scrolled_away_is_marked_at_the_edge(
    page: Page, server: TensorBoardServer
) -> None:
    frame = open_tab(page, server, "map-canvas", run="silenced", maps="activation", step=0)
    expect(frame.locator(".lv-row-trouble").first).to_be_visible()
    marks = frame.get_by_test_id("overview")
    expect(marks).to_have_count(0)  # all rows are there to be seen
    troubled, rows = frame.locator(".lv-row-trouble").count(), frame.get_by_test_id("layer-row").count()
    page.set_viewport_size({"width": 1280, "height": 360})
    settled(frame)
    expect(marks).to_have_count(troubled)
    box = box_of(frame.locator(".lv-map-sticky"))
    first = frame.locator("[data-testid='layer-row']:has(.lv-row-trouble)").first.get_attribute("id") or ""
    index = int(first.rsplit("-", 1)[1])
    assert box_of(marks.first)["y"] == pytest.approx(box["y"] + index / rows * box["height"], abs=1)


def test_map_tree_and_slider_mark_findings_where_they_are(page: Page, server: TensorBoardServer) -> None:
    run = _run(server, "silenced")
    findings = diagnose(evidence_of(run))
    frame = open_tab(page, server, "map-canvas", run="silenced", maps="activation", step=0)
    expect(frame.get_by_test_id("found-error")).to_be_visible()
    severities = defaultdict(set)
    for finding in findings:
        assert finding.tensor is not None
        severities[finding.tensor.layer].add(finding.severity)
    rows = frame.get_by_test_id("layer-row").all()
    for row in rows:
        # The worst child of a folded layer, of whatever kind.
        own = severities[str(row.get_attribute("data-path"))]
        sign = row.locator(".lv-row-trouble")
        expect(sign).to_have_count(1 if own else 0)
        if own:
            expect(sign).to_have_text("✖" if "error" in own else "▲")
    marks = frame.get_by_test_id("slider-mark")
    firsts = {f.first for f in findings if f.follows is None}
    assert 1 < marks.count() <= len(firsts)
    assert {mark.get_attribute("data-severity") for mark in marks.all()} == {"error", "warning"}
    # The hatched band: red of the error, amber of the warnings, from the first to the last step.
    coloured = frame.get_by_test_id("map-canvas").evaluate(
        """canvas => {
          const {width, height} = canvas;
          const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
          const found = {error: [], warning: []};
          for (let i = 0; i < data.length; i += 4) {
            const [r, g, b] = data.slice(i, i + 3);
            const at = [(i / 4 % width + 0.5) / width, (Math.floor(i / 4 / width) + 0.5) / height];
            if (r > 180 && g < 90 && b < 90) found.error.push(at);
            if (r > 130 && g > 60 && g < 120 && b < 40) found.warning.push(at);
          }
          return found;
        }"""
    )
    shown = [str(row.get_attribute("data-path")) for row in rows]
    edges = np.linspace(0, 1, len(run.steps) + 1)
    for severity in ("error", "warning"):
        places = np.array(coloured[severity])
        own = [f for f in findings if f.severity == severity and f.tensor and f.tensor.kind == "activation"]
        assert own
        for layer in {finding.tensor.layer for finding in own if finding.tensor}:
            held = np.zeros(len(run.steps), bool)
            # What is an error is painted over what is a warning.
            for other in sorted(findings, key=lambda f: f.severity == "error"):
                if other.tensor and (other.tensor.layer, other.tensor.kind) == (layer, "activation"):
                    begin, end = (run.steps.tolist().index(step) for step in (other.first, other.last))
                    held[begin : end + 1] = other.severity == severity
            across = places[(places[:, 1] * len(shown)).astype(int) == shown.index(layer)][:, 0]
            begin, end = np.flatnonzero(held)[[0, -1]]
            assert across.min() == pytest.approx(edges[begin], abs=0.012)
            assert across.max() == pytest.approx(edges[end + 1], abs=0.012)
        wanted = {shown.index(f.tensor.layer) for f in own if f.tensor}
        assert set((places[:, 1] * len(shown)).astype(int)) == wanted
    step = sorted(firsts)[0]
    frame.get_by_test_id("next-finding").click()
    expect(frame.get_by_test_id("step-number")).to_have_value(str(step))
    frame.get_by_test_id("previous-finding").click()
    expect(frame.get_by_test_id("step-number")).to_have_value(str(sorted(firsts)[-1]))


def test_a_finding_that_was_replayed_leads_to_the_replay(page: Page, server: TensorBoardServer) -> None:
    (lead, *_) = diagnose(evidence_of(_run(server, "dead")))
    assert lead.tensor is not None

    # Any other run stands for the replay: what is tested is the way there.
    def with_replay(route: Route) -> None:
        answer = route.fetch()
        data = answer.json()
        data["findings"][0]["replay"] = {"run": "silenced", "step": 17}
        route.fulfill(response=answer, body=json.dumps(data))

    page.route("**/findings?run=dead*", with_replay)
    frame = open_tab(page, server, "lead-finding", run="dead")
    frame.get_by_test_id("show-replay").click()
    expect(frame.get_by_test_id("run-picker")).to_have_value("silenced")
    expect(frame.get_by_test_id("step-number")).to_have_value("17")
    assert state_of(page)["layer"] == lead.tensor.layer


@pytest.mark.parametrize(("width", "height", "dark"), [(1280, 736, False), (1920, 1000, True)])
def test_the_panel_can_be_used_without_a_mouse_and_without_eyes(
    page: Page, server: TensorBoardServer, width: int, height: int, dark: bool
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    frame = open_tab(page, server, "lead-finding", dark, run="silenced")
    frame.get_by_test_id("all-findings").focus()
    page.keyboard.press("Enter")
    expect(frame.get_by_test_id("course")).to_be_visible()
    # Behind the line's last button: the warning, the error that it led to, and all else that follows.
    for wanted in ("keys", "finding", "finding", "following", "finding"):
        page.keyboard.press("Tab")
        expect(frame.locator(f"[data-testid={wanted}]:focus")).to_have_count(1)
        if wanted == "following":
            page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    lead, *others = diagnose(evidence_of(_run(server, "silenced")))
    told = next(finding for finding in others if finding.severity == "error")
    follower = next(finding for finding in others if finding is not told)
    assert lead.severity == "warning"
    expect(frame.get_by_test_id("evidence")).to_have_attribute("data-key", _key(follower))
    if not AXE.exists():
        pytest.skip("axe-core is not installed: run `npm ci` in tb_layerview_frontend")
    for there in ("course", "all-rules"):
        if there == "all-rules":
            frame.get_by_test_id("rules").click()
        expect(frame.get_by_test_id(there)).to_be_visible()
        expect(frame.locator(".lv-pending")).to_have_count(0)  # what is about to be replaced is pale
        frame.evaluate(AXE.read_text())
        found = frame.evaluate("() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
        assert found["passes"]
        assert not [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]]
