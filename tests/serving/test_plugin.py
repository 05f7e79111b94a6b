"""The plugin: its routes over TensorBoard's own data provider, asked as a browser asks them."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import re
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from board import Board, Client, array_of, write_run
from framed import framed
from older_logs import without_summaries
from tensorboard.backend import security_validator
from tensorboard.plugins import base_plugin
from werkzeug import test as werkzeug_test

from tb_layerview import Keep, LayerReader, LayerWriter, Schedule
from tb_layerview.format import histogram, units, values
from tb_layerview.format.model import Layer, Model, Probe, Target, Window
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.history import Mask
from tb_layerview.health.rule import Panel, Rule, Severity
from tb_layerview.health.rules.catalogue import RULES, labels, thresholds, with_thresholds
from tb_layerview.serving import requests, static_files
from tb_layerview.serving.loader import LayerViewLoader
from tb_layerview.serving.plugin import LayerViewPlugin
from tb_layerview.writing.training_log import TrainingLog

HTTP_API = Path(__file__).resolve().parents[2] / "docs" / "http_api.md"


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    write_run(folder / "run1", range(7))
    return folder


@pytest.fixture(scope="module")
def rank(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """One of a training's processes has logged."""
    folder = tmp_path_factory.mktemp("ranks")
    write_run(folder / "rank-0", range(7))
    return Board(folder).client


@pytest.fixture(scope="module")
def client(logdir: Path) -> Client:
    return Board(logdir).client


def test_a_run_without_steps_is_listed_with_the_reason(tmp_path: Path) -> None:
    write_run(tmp_path / "good", range(3))
    session = TrainingLog(tmp_path / "nothing", Schedule(), Keep())
    session.report("the probe", "the model takes 16 rows")
    session.close()
    board = Board(tmp_path)
    answer = board.client.json("/runs")
    assert [run["run"] for run in answer["runs"]] == ["good"]
    assert answer["without_steps"] == [
        {"run": "nothing", "notes": ["0 steps logged: the probe: the model takes 16 rows"]}
    ]
    assert answer["unreadable"] == []
    assert board.client.json("/run?run=nothing")["notes"] == answer["without_steps"][0]["notes"]
    assert board.client.json("/steps?run=nothing")["steps"] == []
    assert board.client.json("/findings?run=nothing")["findings"] == []


# --- What the routes answer ------------------------------------------------------------------


def test_the_routes_are_those_that_the_documentation_has() -> None:
    documented = re.findall(r"^## (/\w+)$", HTTP_API.read_text(encoding="utf-8"), re.MULTILINE)
    assert [route for route in plugin_without_data().get_plugin_apps() if "." not in route] == documented


def test_the_documented_answers_have_the_form_of_real_ones(client: Client, rank: Client) -> None:
    text = HTTP_API.read_text(encoding="utf-8")
    examples = {
        route: json.loads(block)
        for route, block in re.findall(r"^## (/\w+)\n(?:(?!^## ).)*?^```json\n(.*?)^```$", text, re.M | re.S)
    }
    queries = {"/runs": "", "/run": "?run=run1", "/steps": "?run=run1", "/findings": "?run=run1"}
    queries["/tensor"] = "?run=run1&tensor=0&step=0"
    queries["/course"] = "?run=run1&rule=vanishing_gradient&tensor=0"
    of_ranks = {"/ranks": "?run=rank-0"}
    of_ranks["/rank_statistics"] = "?run=rank-0&kind=activation&statistic=rms&statistic=non_finite&step=4"
    in_front = {"/thumbnails": "?run=run1&step=4&example=0&tensors=0,2", "/ridges": "?run=run1&tensors=0,2"}
    assert set(examples) == {*queries, *of_ranks, *in_front}
    for route, query in in_front.items():
        assert_same_form(examples[route], framed(client, route + query)[0], route)
    for route, query in of_ranks.items():
        assert_same_form(examples[route], rank.json(route + query), route)
    for route, query in queries.items():
        assert_same_form(examples[route], client.json(route + query), route)


def assert_same_form(documented: Any, real: Any, where: str) -> None:
    """The same names in all objects. What may be missing (`null`), names that a person gives and numbers may differ."""
    if real is None or where.endswith((".scalars", ".thresholds", ".defaults", ".measured")):
        return
    if isinstance(documented, dict):
        assert isinstance(real, dict) and list(documented) == list(real), where
        for name in documented:
            assert_same_form(documented[name], real[name], f"{where}.{name}")
    elif isinstance(documented, list):
        assert isinstance(real, list), where
        if documented and real:
            assert_same_form(documented[0], real[0], f"{where}[]")
    else:
        assert isinstance(real, (str, int, float, bool)), where


def plugin_without_data() -> LayerViewPlugin:
    return LayerViewPlugin(base_plugin.TBContext(flags=argparse.Namespace()))


def test_runs_lists_runs_by_the_folder_that_was_given(client: Client) -> None:
    (run,) = client.json("/runs")["runs"]
    assert abs(run.pop("wall_time") - time.time()) < 600
    assert run == {"run": "run1", "steps": 7, "last_step": 6, "tensors": 3, "notes": 0}


def test_findings_name_what_went_wrong_and_take_thresholds(client: Client) -> None:
    sent = client.json("/findings?run=run1")
    conv = next(i for i, tensor in enumerate(client.json("/run?run=run1")["tensors"]) if tensor["kind"] == "activation")
    lead, *others = sent["findings"]
    assert (lead["rule"], lead["tensor"], lead["first"], lead["before"], lead["last"]) == (
        "non_finite",
        conv,
        0,
        None,
        6,
    )
    assert lead["measured"] == {"non_finite": 0.3, "nan": 1.0, "pos_inf": 1.0, "neg_inf": 1.0, "size": 10.0}
    assert "1 NaN and 1 +inf and 1 -inf among its 10" in lead["words"] and lead["follows"] is None
    assert {other["follows"] for other in others} == {0}
    assert (sent["steps"], sent["rules"][0]["thresholds"]) == (7, {"patience": 1})
    # Where it takes eight steps in a row, seven are none.
    assert client.json("/findings?run=run1&threshold=non_finite.patience:8")["findings"] == [
        {**other, "follows": None} for other in sent["findings"] if other["tensor"] is None
    ]
    assert client.error("/findings?run=run1&threshold=non_finite.patience:0") == (
        400,
        "the threshold non_finite.patience must be a whole number from 1 on, not 0.0.",
    )
    assert client.error("/findings?run=run1&threshold=nonsense")[0] == 400
    assert client.error("/findings?run=run1&threshold=a.b:1")[0] == 400
    assert client.error("/findings?run=nothing")[0] == 404
    moved = client.json("/findings?run=run1&threshold=vanishing_gradient.ratio:1e-3")["rules"]
    (rule,) = [rule for rule in moved if rule["name"] == "vanishing_gradient"]
    assert (rule["thresholds"]["ratio"], rule["defaults"]["ratio"]) == (1e-3, 1e-6)


@dataclasses.dataclass(frozen=True)
class LargeMean(Rule):
    """A mean that is too large: a rule that nothing but this file knows."""

    name: ClassVar[str] = "large_mean"
    severity: ClassVar[Severity] = "warning"
    panel: ClassVar[Panel] = "units"
    leads_to: ClassVar[tuple[str, ...]] = ("huge_mean",)
    advice: ClassVar[str] = "Subtract it."
    most_of_all: float = 2.0
    patience: int = 2

    def holds(self, evidence: Evidence) -> Mask:
        return np.asarray(evidence.statistic("mean") > self.most_of_all)

    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        return {"mean": float(evidence.statistic("mean")[tensor, position])}

    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"has a mean of {measured['mean']:g}"

    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        return f"mean of {evidence.tensors[tensor].short} is {measured['mean']:g}"


@dataclasses.dataclass(frozen=True)
class HugeMean(LargeMean):
    name: ClassVar[str] = "huge_mean"
    severity: ClassVar[Severity] = "error"
    panel: ClassVar[Panel] = "distribution"
    most_of_all: float = dataclasses.field(default=5.0, metadata={"label": "mean above"})
    patience: int = dataclasses.field(default=1, metadata={"label": "steps"})


def test_a_rule_brings_its_own_words_to_the_tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LayerWriter(tmp_path / "run1") as writer:
        for step in range(8):
            noise = np.random.default_rng(step).normal(size=(16, 3))
            writer.write(step, {"conv": noise - noise.mean() + step + 0.25})
    own = (LargeMean(), HugeMean())
    monkeypatch.setattr(requests, "with_thresholds", lambda given: with_thresholds(given, (*RULES, *own)))
    sent = Board(tmp_path).client.json("/findings?run=run1&threshold=huge_mean.most_of_all:4.5")
    assert sent["rules"][-2:] == [
        {
            "name": "large_mean",
            "severity": "warning",
            "panel": "units",
            "thresholds": {"patience": 2, "most_of_all": 2.0},
            "defaults": {"patience": 2, "most_of_all": 2.0},
            "labels": {"patience": "training steps in a row", "most_of_all": "most of all"},
            "advice": "Subtract it.",
        },
        {
            "name": "huge_mean",
            "severity": "error",
            "panel": "distribution",
            "thresholds": {"patience": 1, "most_of_all": 4.5},
            "defaults": {"patience": 1, "most_of_all": 5.0},
            "labels": {"patience": "steps", "most_of_all": "mean above"},
            "advice": "Subtract it.",
        },
    ]
    found = [finding for finding in sent["findings"] if finding["rule"].endswith("_mean")]
    assert [(f["rule"], f["first"], f["words"]) for f in found] == [
        ("large_mean", 2, "activation 'output' of layer 'conv' has a mean of 2.25"),
        ("huge_mean", 5, "activation 'output' of layer 'conv' has a mean of 5.25"),
    ]
    cause, effect = (sent["findings"].index(finding) for finding in found)
    assert (found[0]["led_to"], found[0]["follows"]) == (effect, None)
    assert (found[1]["led_to"], found[1]["follows"]) == (None, cause)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_says_its_panel_and_what_its_thresholds_are(rule: Rule) -> None:
    assert rule.panel in ("picture", "distribution", "units")
    assert list(labels(rule)) == list(thresholds(rule))
    assert labels(rule)["patience"] == "training steps in a row", "other defaults keep the label"


def test_a_threshold_is_named_by_what_is_held_against_it_in_its_own_rule() -> None:
    words = {f"{rule.name}.{name}": label for rule in RULES for name, label in labels(rule).items()}
    assert words["gradient_spike.least"] == "logged steps before"
    assert words["small_update.least"] == "update ratio below"
    assert words["update_spike.factor"] == "times the largest before"
    assert words["depth_scale.total"] == "total", "its own name where it has no other words"


def test_a_course_is_what_a_rule_judges_at_every_step(client: Client, logdir: Path) -> None:
    run = LayerReader(logdir).run("run1")
    conv = run.tensor("conv", kind="activation")
    bad = [int(np.sum(~np.isfinite(run.values(conv, int(step)).array))) for step in run.steps]
    sent = client.json(f"/course?run=run1&rule=non_finite&tensor={conv.index}")
    assert (sent["steps"], sent["measure"]) == (run.steps.tolist(), "non_finite")
    assert sent["values"] == pytest.approx([count / 10 for count in bad])
    assert sent["compared"] == {"threshold": [0.0] * len(bad)}
    assert sent["held"] == [count > 0 for count in bad]
    # A threshold that is moved moves the line that is drawn of it.
    for share in (0.9, 0.25):
        of = f"/course?run=run1&rule=silent_units&tensor={conv.index}&threshold=silent_units.share:{share}"
        assert set(client.json(of)["compared"]["threshold"]) == {share}
    assert client.error("/course?run=run1&rule=none&tensor=0")[0] == 400
    assert client.error("/course?run=run1&rule=non_finite&tensor=999")[0] == 404
    assert client.error("/course?run=run1&rule=non_finite&tensor=0&threshold=a.b:1")[0] == 400


def test_run_tells_what_is_logged(client: Client, logdir: Path) -> None:
    run = client.json("/run?run=run1")
    unknown = {"window": None, "direct": False, "in_place": False}
    assert run["layers"] == [
        {"path": path, "class_name": "", "inputs": [], "sources": [], **unknown} for path in ("conv", "dense")
    ]
    assert run["tensors"][2] == {
        "layer": 0,
        "call": 0,
        "kind": "weight",
        "name": "kernel",
        "shape": [3, 3],
        "dtype": "int64",
        "axes": run["tensors"][2]["axes"],
        "function": "",
    }
    assert len(run["tensors"]) == 3
    assert run["folder"] == str(logdir / "run1")
    assert (run["probe"], run["hidden"], run["notes"]) == (None, "", [])
    assert run["software"].startswith("tb_layerview ")


def test_run_tells_windows_and_targets_with_nan_as_a_word(tmp_path: Path) -> None:
    window = Window((3, 3), (2, 1), (1, 1), (-1, 1), (0, 1))
    values = np.array([[0.5, np.nan], [np.inf, -np.inf]], "<f2")
    targets = (Target("", "float16", (2, 2), values.tobytes()), Target("b", "bool", (1,), b"\1"))
    model = Model((Layer("conv", "Conv2D", window=window),), (), Probe("ab", 2, True, "given: 2 examples", targets))
    log = TrainingLog(tmp_path / "run1", Schedule(), Keep())
    log.describe(model)
    log.close()
    run = Board(tmp_path).client.json("/run?run=run1")
    expected = [("size", [3, 3]), ("strides", [2, 1]), ("dilation", [1, 1]), ("padding_before", [-1, 1])]
    expected += [("padding_after", [0, 1]), ("transposed", False), ("padding_mode", "")]
    assert list(run["layers"][0]["window"].items()) == expected
    assert run["probe"]["targets"] == [
        {"name": "", "dtype": "float16", "shape": [2, 2], "values": [0.5, "NaN", "Infinity", "-Infinity"]},
        {"name": "b", "dtype": "bool", "shape": [1], "values": [1]},
    ]


def test_every_documented_field_is_there_and_no_other(client: Client) -> None:
    text = HTTP_API.read_text(encoding="utf-8")
    for route in ("/runs", "/run?run=run1", "/steps?run=run1", "/tensor?run=run1&tensor=0&step=2"):
        section = text.split(f"\n## {route.partition('?')[0]}\n")[1].split("\n## ")[0]
        documented = json.loads(section.split("```json\n")[1].split("```")[0].replace("…", ""))
        assert client.json(route).keys() == documented.keys()


def test_steps_has_the_scalars_with_nan_told_from_missing(client: Client) -> None:
    steps = client.json("/steps?run=run1")
    assert steps["steps"] == [0, 1, 2, 3, 4, 5, 6]
    assert steps["modes"] == ["train"] * 7
    assert steps["scalars"] == {
        "loss": [0.5, "NaN", 0.5, 0.5, 0.5, 0.5, 0.5],
        "even": [0, None, 2, None, 4, None, 6],
    }
    assert len(steps["wall_times"]) == 7


def test_statistics_are_columns_of_float32_in_the_order_asked_for(client: Client) -> None:
    response = client.get("/statistics?run=run1&kind=activation&statistic=rms&statistic=nan&statistic=zero&since=2")
    columns = np.frombuffer(response.data, "<f4").reshape(3, 2, 5)
    for i, layer in enumerate(("conv", "dense")):
        for j, step in enumerate(range(2, 7)):
            array = array_of(step, layer)
            finite = array[np.isfinite(array)]
            np.testing.assert_allclose(
                columns[:, i, j],
                [np.sqrt(np.mean(finite**2)), np.isnan(array).mean(), np.mean(array == 0)],
                rtol=1e-6,
            )
    assert response.headers["X-Layerview-Steps"] == "7"
    assert response.headers["X-Layerview-Generation"] == client.json("/steps?run=run1")["generation"]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("size", lambda a: a.size),
        ("nan", lambda a: np.isnan(a).mean()),
        ("pos_inf", lambda a: np.mean(a == np.inf)),
        ("neg_inf", lambda a: np.mean(a == -np.inf)),
        ("non_finite", lambda a: 1 - np.isfinite(a).mean()),
        ("zero", lambda a: np.mean(a == 0)),
        ("negative", lambda a: np.mean(np.isfinite(a) & (a < 0))),
        ("min", lambda a: a[np.isfinite(a)].min()),
        ("max", lambda a: a[np.isfinite(a)].max()),
        ("mean", lambda a: a[np.isfinite(a)].mean()),
        ("std", lambda a: a[np.isfinite(a)].std()),
        ("rms", lambda a: np.sqrt(np.mean(a[np.isfinite(a)] ** 2))),
        ("silent", lambda a: np.mean([np.abs(unit[np.isfinite(unit)]).max() == 0 for unit in a.T])),
    ],
)
def test_each_statistic_is_what_numpy_says(client: Client, statistic: str, expected: Any) -> None:
    data = client.bytes(f"/statistics?run=run1&kind=activation&statistic={statistic}")
    column = np.frombuffer(data, "<f4").reshape(2, 7)[0]
    np.testing.assert_allclose(column, [expected(array_of(step, "conv")) for step in range(7)], rtol=1e-6)


def test_of_one_tensor_come_its_own_columns_alone(client: Client) -> None:
    asked = "/statistics?run=run1&kind=activation&statistic=min&statistic=max&since=2"
    both = np.frombuffer(client.bytes(asked), "<f4").reshape(2, 2, 5)
    columns = np.frombuffer(client.bytes(f"{asked}&tensor=1"), "<f4").reshape(2, 5)
    np.testing.assert_array_equal(columns, both[:, 1])
    arrays = [array_of(step, "dense") for step in range(2, 7)]
    for column, extreme in zip(columns, (np.min, np.max), strict=True):
        np.testing.assert_allclose(column, [extreme(array[np.isfinite(array)]) for array in arrays], rtol=1e-6)
    # Neither one that there is not, nor one of another kind.
    assert client.error(f"{asked}&tensor=99") == (
        404,
        "tensor 99 is not one of this run's tensors of kind 'activation'.",
    )
    assert client.error("/statistics?run=run1&kind=weight&statistic=min&tensor=1")[0] == 404
    assert client.error(f"{asked}&tensor=1&groups=1") == (
        400,
        "tensor and groups=1 do not go together: groups are of all tensors of a kind.",
    )


def test_a_tensor_that_is_not_logged_at_a_step_is_nan_in_its_column(client: Client) -> None:
    column = np.frombuffer(client.bytes("/statistics?run=run1&kind=weight&statistic=max"), "<f4")
    np.testing.assert_array_equal(column, [0, np.nan, 2, np.nan, 4, np.nan, 6])


def test_a_kind_that_is_not_logged_has_no_columns_but_steps(client: Client) -> None:
    response = client.get("/statistics?run=run1&kind=gradient&statistic=rms")
    assert (response.status_code, response.data, response.headers["X-Layerview-Steps"]) == (200, b"", "7")


def test_nothing_comes_after_the_last_step(client: Client) -> None:
    assert client.bytes("/statistics?run=run1&kind=activation&statistic=rms&since=7") == b""
    assert client.bytes("/histograms?run=run1&tensor=0&since=100") == b""


def test_in_groups_a_long_run_comes_as_lows_and_highs(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 1100))
    with LayerWriter(tmp_path, keep=Keep(units=False, activations=0)) as writer:
        for step in range(1100):
            writer.write(step, {"a": values[:1, step], "b": values[1:, step]})
    board = Board(tmp_path)
    path = "/statistics?run=.&kind=activation&statistic=max&statistic=zero&groups=1"
    response = board.client.get(path)
    assert (response.headers["X-Layerview-Groups"], response.headers["X-Layerview-Steps"]) == ("1062", "1100")
    found = np.frombuffer(response.data, "<f4").reshape(2, 2, 2, 1062)  # statistic, tensor, low and high, group
    pairs = values[:, 1024:].reshape(2, 38, 2)
    expected = np.stack([pairs.min(axis=2), pairs.max(axis=2)], axis=1).astype(np.float32)
    np.testing.assert_array_equal(found[0, ..., 1024:], expected)
    np.testing.assert_array_equal(found[0, ..., :1024], np.stack([values[:, :1024]] * 2, axis=1).astype(np.float32))
    assert not found[1].any()
    rest = np.frombuffer(board.client.bytes(f"{path}&since=1061"), "<f4").reshape(2, 2, 2, 1)
    np.testing.assert_array_equal(rest, found[..., -1:])
    assert board.client.bytes(f"{path}&since=5000") == b""
    # Without groups as ever, and no word of them.
    response = board.client.get(path.replace("groups=1", "groups=0"))
    assert len(response.data) == 4 * 2 * 2 * 1100
    assert "X-Layerview-Groups" not in response.headers


def test_what_is_finite_in_float64_stays_finite_in_a_column(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.array([1e100, -1e100])})
    board = Board(tmp_path)
    column = np.frombuffer(board.client.bytes("/statistics?run=.&kind=activation&statistic=max&statistic=min"), "<f4")
    assert column.tolist() == [np.finfo(np.float32).max, np.finfo(np.float32).min]
    found = board.client.json("/tensor?run=.&tensor=0&step=0")
    assert found["max"] == 1e100
    # In a column it would be float32's largest number.
    assert (found["quantiles"]["p1"], found["quantiles"]["p99"]) == pytest.approx((-0.98e100, 0.98e100), rel=0.07)
    column = np.frombuffer(board.client.bytes("/statistics?run=.&kind=activation&statistic=p99"), "<f4")
    assert column.tolist() == [np.finfo(np.float32).max]


def test_tensor_gives_exact_counts_and_quantiles(client: Client) -> None:
    array = array_of(2, "dense")
    finite = array[np.isfinite(array)]
    found = client.json("/tensor?run=run1&tensor=1&step=2")
    quantiles = found.pop("quantiles")
    moments = {name: found.pop(name) for name in ("min", "max", "mean", "std", "rms")}
    assert found == {
        "step": 2,
        "size": 10,
        "nan": 1,
        "pos_inf": 1,
        "neg_inf": 1,
        "zero": 1,
        "negative": np.count_nonzero(finite < 0),
        "histogram": True,
        "units": True,
        "values": True,
        "values_step": 2,
    }
    expected = [finite.min(), finite.max(), finite.mean(), finite.std(), np.sqrt(np.mean(finite**2))]
    np.testing.assert_allclose(list(moments.values()), expected, rtol=1e-12)
    assert list(quantiles) == ["p1", "p5", "p25", "p50", "p75", "p95", "p99"]
    room = max(0.05 * finite.std(), 0.07 * abs(finite).max())
    assert abs(quantiles["p50"] - np.median(finite)) <= np.abs(np.diff(np.sort(finite))).max() + room


def test_quantiles_come_as_columns_and_the_same_for_one_step(client: Client) -> None:
    found = client.json("/tensor?run=run1&tensor=1&step=2")["quantiles"]
    arguments = "".join(f"&statistic={name}" for name in found)
    columns = np.frombuffer(client.bytes(f"/statistics?run=run1&kind=activation{arguments}"), "<f4").reshape(-1, 2, 7)
    assert columns[:, 1, 2].tolist() == list(found.values())


def test_the_share_of_silent_units_is_a_column_too(client: Client) -> None:
    # The kernel at step 0 is all zero, later none of it.
    column = np.frombuffer(client.bytes("/statistics?run=run1&kind=weight&statistic=silent"), "<f4")
    np.testing.assert_array_equal(column, [1, np.nan, 0, np.nan, 0, np.nan, 0])


def test_an_update_ratio_is_a_column_of_updates(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(3):
            writer.write(step, {"a": np.full((2, 2), 4.0), "b": np.zeros((2, 2))}, kind="weight")
            writer.write(step, {"a": np.full((2, 2), step / 2), "b": np.full((2, 2), step)}, kind="update")
    data = Board(tmp_path).client.bytes("/statistics?run=.&kind=update&statistic=update_ratio")
    nan, inf = np.nan, np.inf
    np.testing.assert_array_equal(np.frombuffer(data, "<f4").reshape(2, 3), [[0, 1 / 8, 1 / 4], [nan, inf, inf]])


def test_of_an_older_log_one_step_has_the_quantiles_of_its_histogram(tmp_path: Path) -> None:
    write_run(tmp_path, range(3))
    before = Board(tmp_path).client.json("/tensor?run=.&tensor=0&step=1")
    without_summaries(tmp_path)
    client = Board(tmp_path).client
    after = client.json("/tensor?run=.&tensor=0&step=1")
    assert after["quantiles"] == pytest.approx(before["quantiles"], rel=1e-6)
    for name in ("p50", "silent"):
        column = np.frombuffer(client.bytes(f"/statistics?run=.&kind=activation&statistic={name}"), "<f4")
        assert np.isnan(column).all()
        assert len(column) == 6
    (path,) = (tmp_path / "layers").glob("*.payload")
    path.unlink()
    lost = client.json("/tensor?run=.&tensor=0&step=1")
    assert (lost["quantiles"], lost["histogram"], lost["mean"]) == (None, True, before["mean"])


def test_a_tensor_without_finite_elements_has_nan_as_a_word(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.full(4, np.inf)})
    found = Board(tmp_path).client.json("/tensor?run=.&tensor=0&step=0")
    assert (found["mean"], found["pos_inf"], found["quantiles"]["p50"]) == ("NaN", 4, "NaN")


def test_payloads_are_the_stored_bytes(client: Client) -> None:
    array = array_of(4, "conv")
    path = "/payload?run=run1&tensor=0&step=4&section="
    assert histogram.decode(client.bytes(path + "histogram")).counts.sum() == np.isfinite(array).sum()
    kept = values.decode(client.bytes(path + "values"))
    np.testing.assert_allclose(kept.array, array, rtol=2**-11)
    finite = np.isfinite(array)
    counted = units.decode(client.bytes(path + "units"))
    np.testing.assert_allclose(counted.zero, np.sum(array == 0, axis=0) / finite.sum(axis=0), rtol=1e-3)


def test_histograms_gives_all_of_them_with_their_lengths(client: Client) -> None:
    data = client.bytes("/histograms?run=run1&tensor=2")
    found = []
    while data:
        length = int.from_bytes(data[:4], "little")
        found.append(histogram.decode(data[4 : 4 + length]) if length else None)
        data = data[4 + length :]
    assert [None if h is None else int(h.counts.sum()) for h in found] == [9, None, 9, None, 9, None, 9]
    assert [h.quantiles([0.5])[0] for h in found if h] == pytest.approx([0, 2, 4, 6], rel=0.07)
    rest = client.bytes("/histograms?run=run1&tensor=2&since=5")
    assert rest == client.bytes("/histograms?run=run1&tensor=2")[-len(rest) :]
    assert rest[:4] == bytes(4)  # step 5 has none


def units_of(data: bytes) -> tuple[list[int], npt.NDArray[np.float32]]:
    """The indices of the steps and the table [steps, units] of an answer of /units."""
    count, width = np.frombuffer(data, "<u4", 2).tolist()
    indices = np.frombuffer(data, "<u4", count, offset=8).tolist()
    return indices, np.frombuffer(data, "<f4", offset=8 + 4 * count).reshape(count, width)


@pytest.mark.parametrize(
    ("statistic", "of_unit"),
    [
        ("mean", np.mean),
        ("rms", lambda unit: np.sqrt(np.mean(unit**2))),
        ("zero", lambda unit: np.mean(unit == 0)),
        ("peak", lambda unit: np.abs(unit).max()),
    ],
)
def test_units_are_one_statistic_of_each_unit_over_all_steps(client: Client, statistic: str, of_unit: Any) -> None:
    response = client.get(f"/units?run=run1&tensor=0&statistic={statistic}")
    indices, table = units_of(response.data)
    assert indices == list(range(7))
    expected = [[of_unit(unit[np.isfinite(unit)]) for unit in array_of(step, "conv").T] for step in range(7)]
    np.testing.assert_allclose(table, expected, rtol=2e-3)
    assert response.headers["X-Layerview-Steps"] == "7"
    assert response.headers["X-Layerview-Unreadable"] == "0"
    assert response.headers["X-Layerview-Generation"] == client.json("/steps?run=run1")["generation"]


def test_units_name_the_steps_that_keep_them_from_since_on(client: Client) -> None:
    indices, table = units_of(client.bytes("/units?run=run1&tensor=2&statistic=peak"))
    assert indices == [0, 2, 4, 6]
    np.testing.assert_allclose(table, np.repeat([[0], [2], [4], [6]], 3, axis=1), rtol=1e-3)
    indices, table = units_of(client.bytes("/units?run=run1&tensor=2&statistic=peak&since=3"))
    assert (indices, table[:, 0].tolist()) == ([4, 6], [4, 6])
    assert client.bytes("/units?run=run1&tensor=2&statistic=peak&since=7") == bytes(8)


def test_steps_with_another_number_of_units_than_the_newest_are_left_out(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step, units_there in enumerate([3, 4, 3, 4, 4]):
            writer.write(step, {"a": np.full((2, units_there), step)})
        writer.write(5, {"bias": np.ones(4)})
    client = Board(tmp_path).client
    indices, table = units_of(client.bytes("/units?run=.&tensor=0&statistic=mean"))
    assert (indices, table.tolist()) == ([1, 3, 4], [[1] * 4, [3] * 4, [4] * 4])
    # What has one axis has no units.
    assert client.bytes("/units?run=.&tensor=1&statistic=mean") == bytes(8)


def test_units_beyond_float32_stay_finite(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.array([[1e100, -1e100, 1.0]])})
    _, table = units_of(Board(tmp_path).client.bytes("/units?run=.&tensor=0&statistic=mean"))
    assert table[0, :2].tolist() == [np.finfo(np.float32).max, np.finfo(np.float32).min]


def test_units_that_cannot_be_read_are_counted_and_410_if_they_are_all(tmp_path: Path) -> None:
    write_run(tmp_path, range(4))
    first, second, *_ = LayerReader(tmp_path).run().pieces("units", 0)
    assert first is not None
    assert second is not None
    (path,) = (tmp_path / "layers").glob("*.payload")
    content = bytearray(path.read_bytes())
    content[first.offset] ^= 1
    content[second.offset + second.length - 1] ^= 1
    path.write_bytes(content)
    response = Board(tmp_path).client.get("/units?run=.&tensor=0&statistic=rms")
    assert (response.status_code, response.headers["X-Layerview-Unreadable"]) == (200, "2")
    assert units_of(response.data)[0] == [2, 3]
    path.unlink()
    status, sentence = Board(tmp_path).client.error("/units?run=.&tensor=0&statistic=rms")
    assert (status, sentence) == (
        410,
        f"{path} is missing: it lies beside the event file and must be copied with it.",
    )


def test_values_step_is_the_latest_before_else_the_first_after(tmp_path: Path) -> None:
    from tb_layerview.format.model import Layer, Model, Tensor
    from tb_layerview.measure.host import measure
    from tb_layerview.measure.measurement import Measurement
    from tb_layerview.writing.log_files import LogFiles

    log = LogFiles(tmp_path)
    log.describe(Model((Layer("a"),), (Tensor(0, "activation", "output", (3,), "float64"),)))
    for step in range(6):
        measured = measure(np.full(3, float(step)), keep=[values.Axis(0, 1, 3, 3)] if step in (2, 4) else None)
        log.write(step, {0: measured if step != 5 else Measurement(measured.digest)})
    log.close()
    client = Board(tmp_path).client
    found = [client.json(f"/tensor?run=.&tensor=0&step={step}") for step in range(6)]
    assert [tensor["values_step"] for tensor in found] == [2, 2, 2, 2, 4, 4]
    assert [tensor["values"] for tensor in found] == [False, False, True, False, True, False]
    assert (found[5]["histogram"], found[5]["quantiles"]) == (False, None)
    assert client.error("/payload?run=.&tensor=0&step=3&section=values") == (
        404,
        "activation 'output' of layer 'a' keeps no values at step 3; the nearest step that does is 2.",
    )


# --- What is wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/run", 400, "run is missing: add run=... to the address."),
        ("/run?run=run2", 404, "there is no run 'run2' that holds layers; nearest: run1."),
        ("/run?run=../run1", 404, "there is no run '../run1' that holds layers; nearest: run1."),
        ("/steps?run=", 404, "there is no run '' that holds layers; there are run1."),
        ("/statistics?run=run1", 400, "kind is missing: add kind=... to the address."),
        ("/statistics?run=run1&kind=x", 400, "kind='x' is not one of activation, weight, gradient, update, optimizer."),
        ("/statistics?run=run1&kind=weight", 400, "statistic is missing; it is one or more of size, nan,"),
        ("/statistics?run=run1&kind=weight&statistic=x", 400, "statistic='x' is not one of size, nan,"),
        (
            "/statistics?run=run1&kind=weight&statistic=rms&statistic=update_ratio",
            400,
            "statistic='update_ratio' is of updates alone: ask for it with kind=update.",
        ),
        ("/statistics?run=run1&kind=weight&statistic=rms&since=-1", 400, "since='-1' is not a whole number from 0 on."),
        ("/statistics?run=run1&kind=weight&statistic=rms&groups=2", 400, "groups='2' is not one of 0, 1."),
        ("/statistics?run=run1&kind=weight&statistic=rms&groups=", 400, "groups='' is not one of 0, 1."),
        ("/statistics?run=run1&kind=weight&statistic=rms&groups=1&since=1.5", 400, "since='1.5' is not a whole number"),
        ("/tensor?run=run1&step=0", 400, "tensor is missing: add tensor=... to the address."),
        ("/tensor?run=run1&tensor=x&step=0", 400, "tensor='x' is not a whole number from 0 on."),
        ("/tensor?run=run1&tensor=-1&step=0", 400, "tensor='-1' is not a whole number from 0 on."),
        ("/tensor?run=run1&tensor=3&step=0", 404, "run 'run1' has no tensor 3; it has 3, from 0 on."),
        ("/tensor?run=run1&tensor=0&step=9", 404, "run 'run1' did not log step 9; the nearest one is 6."),
        ("/tensor?run=run1&tensor=0&step=-5", 404, "run 'run1' did not log step -5; the nearest one is 0."),
        ("/tensor?run=run1&tensor=0&step=1e3", 400, "step='1e3' is not a whole number."),
        ("/tensor?run=run1&tensor=0&step=٣", 400, "step='٣' is not a whole number."),
        ("/tensor?run=run1&tensor=0&step=" + "9" * 30, 400, "step='999"),
        ("/tensor?run=run1&tensor=2&step=1", 404, "weight 'kernel' of layer 'conv' was not logged at step 1."),
        ("/payload?run=run1&tensor=0&step=0", 400, "section is missing: add section=... to the address."),
        ("/payload?run=run1&tensor=0&step=0&section=x", 400, "section='x' is not one of histogram, units, values."),
        ("/payload?run=run1&tensor=2&step=1&section=values", 404, "weight 'kernel' of layer 'conv' keeps no values at"),
        ("/histograms?run=run1&tensor=99", 404, "run 'run1' has no tensor 99; it has 3, from 0 on."),
        ("/units?run=run1&tensor=0", 400, "statistic is missing: add statistic=... to the address."),
        ("/units?run=run1&tensor=0&statistic=max", 400, "statistic='max' is not one of mean, rms, zero, peak."),
        ("/units?run=run1&statistic=rms", 400, "tensor is missing: add tensor=... to the address."),
        ("/units?run=run1&tensor=-1&statistic=rms", 400, "tensor='-1' is not a whole number from 0 on."),
        ("/units?run=run1&tensor=3&statistic=rms", 404, "run 'run1' has no tensor 3; it has 3, from 0 on."),
        ("/units?run=run1&tensor=0&statistic=rms&since=x", 400, "since='x' is not a whole number from 0 on."),
        ("/units?run=none&tensor=0&statistic=rms", 404, "there is no run 'none' that holds layers; there are run1."),
    ],
)
def test_a_wrong_request_is_answered_with_a_sentence(client: Client, path: str, status: int, sentence: str) -> None:
    found_status, found = client.error(path)
    assert (found_status, found[: len(sentence)]) == (status, sentence)


def test_only_get_is_answered(client: Client) -> None:
    response = client.get("/runs", method="POST")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
    assert json.loads(response.data) == {"error": "POST is not answered here; use GET."}


def test_a_payload_file_that_is_lost_is_410_and_the_statistics_stay(tmp_path: Path) -> None:
    write_run(tmp_path, range(2))
    client = Board(tmp_path).client
    (path,) = (tmp_path / "layers").glob("*.payload")
    path.unlink()
    status, sentence = client.error("/payload?run=.&tensor=0&step=0&section=values")
    assert status == 410
    assert sentence == f"{path} is missing: it lies beside the event file and must be copied with it."
    assert client.error("/histograms?run=.&tensor=0")[0] == 410
    found = client.json("/tensor?run=.&tensor=0&step=0")
    assert (found["size"], found["histogram"]) == (10, True)
    finite = array_of(0, "conv")[np.isfinite(array_of(0, "conv"))]
    assert finite.min() <= found["quantiles"]["p1"] <= found["quantiles"]["p99"] <= finite.max()


def test_one_damaged_histogram_does_not_take_the_others_along(tmp_path: Path) -> None:
    write_run(tmp_path, range(4))
    (piece, *_) = LayerReader(tmp_path).run().pieces("histogram", 0)
    assert piece is not None
    (path,) = (tmp_path / "layers").glob("*.payload")
    content = bytearray(path.read_bytes())
    content[piece.offset] ^= 1
    path.write_bytes(content)
    response = Board(tmp_path).client.get("/histograms?run=.&tensor=0")
    assert response.status_code == 200
    assert response.headers["X-Layerview-Unreadable"] == "1"
    assert int.from_bytes(response.data[:4], "little") == 0
    assert int.from_bytes(response.data[4:8], "little") > 0


# --- Runs that grow ----------------------------------------------------------------------------


def test_new_steps_appear_and_the_generation_stays(tmp_path: Path) -> None:
    with LayerWriter(tmp_path / "run") as writer:
        writer.write(0, {"a": np.zeros(3)})
        board = Board(tmp_path)
        first = board.client.json("/steps?run=run")
        assert first["steps"] == [0]
        for step in range(1, 600):
            writer.write(step, {"a": np.full(3, step)})
        board.reload()
        second = board.client.json("/steps?run=run")
        assert second["steps"] == list(range(600))
        assert second["generation"] == first["generation"]
        column = np.frombuffer(board.client.bytes("/statistics?run=run&kind=activation&statistic=max&since=1"), "<f4")
        np.testing.assert_array_equal(column, np.arange(1, 600))
        writer.write(600, {"a": np.full(3, 600)})
        board.reload()
        assert board.client.json("/tensor?run=run&tensor=0&step=600")["mean"] == 600


def test_steps_that_come_before_their_model_appear_with_it(tmp_path: Path) -> None:
    from tb_layerview.format.model import Layer, Model, Tensor
    from tb_layerview.measure.host import measure
    from tb_layerview.writing.log_files import LogFiles

    log = LogFiles(tmp_path)
    log.write(0, {0: measure(np.ones(3))})
    board = Board(tmp_path)
    assert board.client.json("/runs") == {"runs": [], "without_steps": [], "unreadable": []}
    log.describe(Model((Layer("a"),), (Tensor(0, "activation", "output", (3,), "float64"),)))
    board.reload()
    log.close()
    assert board.client.json("/tensor?run=.&tensor=0&step=0")["mean"] == 1


def test_a_restart_hides_what_it_replaces_and_changes_the_generation(tmp_path: Path) -> None:
    write_run(tmp_path / "run", range(5))
    board = Board(tmp_path)
    before = board.client.json("/steps?run=run")
    write_run(tmp_path / "run", range(3, 4))
    board.reload()
    after = board.client.json("/steps?run=run")
    assert after["steps"] == [0, 1, 2, 3]
    assert after["generation"] != before["generation"]
    assert board.client.json("/run?run=run")["hidden"] == "2 steps from 3 on, of a writer that a later one replaced"


def test_runs_come_in_the_order_of_their_names_and_the_logdir_itself_is_a_dot(tmp_path: Path) -> None:
    for name in ("b", "a/eval", ".", "a"):
        write_run(tmp_path / name, range(1))
    assert [run["run"] for run in Board(tmp_path).client.json("/runs")["runs"]] == [".", "a", "a/eval", "b"]


def test_a_run_of_a_logdir_spec_is_found_by_its_name_and_its_payloads_by_its_folder(tmp_path: Path) -> None:
    write_run(tmp_path / "somewhere", range(1))
    client = Board(tmp_path / "somewhere", name="best").client
    assert [run["run"] for run in client.json("/runs")["runs"]] == ["best"]
    assert client.json("/run?run=best")["folder"] == str(tmp_path / "somewhere")
    assert client.bytes("/payload?run=best&tensor=0&step=0&section=values")


def test_two_runs_that_would_share_a_name_keep_those_of_tensorboard(tmp_path: Path) -> None:
    write_run(tmp_path / "run", range(1))
    (tmp_path / "copy").mkdir()
    (tmp_path / "run" / "layers").rename(tmp_path / "copy" / "layers")
    # By hand, files were put both into the run's folder and into the folder `layers` in it.
    write_run(tmp_path / "other", range(2))
    for path in (tmp_path / "other" / "layers").iterdir():
        path.rename(tmp_path / "copy" / path.name)
    names = [run["run"] for run in Board(tmp_path).client.json("/runs")["runs"]]
    assert names == ["copy", "copy/layers"]


def test_many_threads_see_whole_runs_while_one_is_written(tmp_path: Path) -> None:
    failures: list[str] = []
    done = threading.Event()
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.zeros(3), "b": np.zeros(3)})
        board = Board(tmp_path)

        def ask() -> None:
            seen = 0
            while not done.is_set():
                response = board.client.get("/statistics?run=.&kind=activation&statistic=max")
                column = np.frombuffer(response.data, "<f4").reshape(2, -1)
                expected = np.arange(column.shape[1])
                if response.status_code != 200 or column.shape[1] < seen or not np.array_equal(column, [expected] * 2):
                    failures.append(f"{response.status_code}: {column}")
                    return
                seen = column.shape[1]

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for step in range(1, 60):
            writer.write(step, {"a": np.full(3, step), "b": np.full(3, step)})
            board.reload()
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_the_plugin_is_active_once_there_are_layers(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert not board.plugin.is_active()
    assert board.client.json("/runs") == {"runs": [], "without_steps": [], "unreadable": []}
    write_run(tmp_path / "run", range(1))
    board.reload()
    assert board.plugin.is_active()


# --- What TensorBoard wants ----------------------------------------------------------------------


def test_no_answer_violates_tensorboards_security_rules(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tensorboard"):
        for path in (
            "/runs",
            "/run?run=run1",
            "/run?run=none",
            "/steps?run=run1",
            "/statistics?run=run1&kind=weight&statistic=rms",
            "/payload?run=run1&tensor=0&step=0&section=units",
            "/histograms?run=run1&tensor=0",
            "/units?run=run1&tensor=0&statistic=rms",
            "/index.js",
        ):
            client.get(path)
    assert [record.getMessage() for record in caplog.records] == []


def test_the_check_of_the_security_rules_can_fail(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    with caplog.at_level(logging.WARNING, logger="tensorboard"):
        werkzeug_test.Client(security_validator.SecurityValidatorMiddleware(app)).get("/")
    assert len(caplog.records) == 1


def test_json_is_sent_small_to_who_can_unpack_it(client: Client) -> None:
    assert client.get("/steps?run=run1", **{"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"


def test_the_tab_is_called_layers_and_its_script_is_a_route() -> None:
    plugin = plugin_without_data()
    assert plugin.frontend_metadata().tab_name == "Layers"
    assert plugin.frontend_metadata().es_module_path in plugin.get_plugin_apps()


def test_all_steps_are_kept_unless_the_user_gave_a_number() -> None:
    given = {"scalars": 5}
    flags = argparse.Namespace(samples_per_plugin=given)
    LayerViewLoader().fix_flags(flags)
    assert flags.samples_per_plugin == {"scalars": 5, "layerview": 0}
    assert given == {"scalars": 5}
    flags = argparse.Namespace(samples_per_plugin={"layerview": 7})
    LayerViewLoader().fix_flags(flags)
    assert flags.samples_per_plugin == {"layerview": 7}


def test_without_a_data_provider_there_is_no_tab() -> None:
    assert LayerViewLoader().load(base_plugin.TBContext(flags=argparse.Namespace())) is None


# --- The front end ---------------------------------------------------------------------------------


def static_client(folder: Path) -> Client:
    return Client(static_files.static_routes(folder))


def test_each_file_of_the_front_end_is_served_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    files = {
        "/index.js": ("text/javascript; charset=utf-8", "no-cache, must-revalidate"),
        "/index.css": ("text/css; charset=utf-8", "no-cache, must-revalidate"),
        "/assets/worker-Bf3dE_9a.js": ("text/javascript; charset=utf-8", "private, max-age=86400"),
        "/assets/icon.svg": ("image/svg+xml; charset=utf-8", "no-cache, must-revalidate"),
    }
    for path in files:
        (tmp_path / path[1:]).write_text(f"content of {path}", encoding="utf-8")
    assert static_files.static_routes(tmp_path).keys() == files.keys()
    client = static_client(tmp_path)
    for path, (content_type, cache) in files.items():
        response = client.get(path)
        assert response.text == f"content of {path}"
        assert response.headers["Content-Type"] == content_type
        assert response.headers["Cache-Control"] == cache
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_that_a_new_build_removed_is_404(tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text("", encoding="utf-8")
    client = static_client(tmp_path)
    (tmp_path / "index.js").unlink()
    status, sentence = client.error("/index.js")
    assert status == 404
    assert "Start TensorBoard again" in sentence


def test_without_a_built_front_end_the_tab_says_how_to_build_it(tmp_path: Path) -> None:
    response = static_client(tmp_path).get("/index.js")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert response.text.startswith("export function render() {")
    assert "Install it with `pip install .`, or build it with `make frontend`" in response.text
