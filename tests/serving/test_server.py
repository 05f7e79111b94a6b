"""The plugin inside a real TensorBoard process, with both of its loaders."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import pytest
from serving import TensorBoardServer, run_tensorboard

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.format import values

# TensorBoard 2.15 finds and loads plugins in its own way, and reads events with TensorFlow 2.15 where its Python loader
# reads them; its data server is the same program as TensorBoard 2.21's.
LOADERS = (pytest.param("--load_fast=true", marks=pytest.mark.once), "--load_fast=false")
STEPS = 1000


def array_of(step: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(step).normal(step, 1, size=(2, 4, 4, 3)).astype(np.float32)


def ask(server: TensorBoardServer, route: str, **arguments: object) -> bytes:
    reply = server.get(f"/data/plugin/layerview/{route}?{urlencode(arguments, doseq=True)}")
    assert reply.status == 200, reply.body
    return reply.body


def ask_json(server: TensorBoardServer, route: str, **arguments: object) -> dict[str, Any]:
    found = json.loads(ask(server, route, **arguments))
    assert isinstance(found, dict)
    return found


def wait_for(found: Callable[[], bool], what: str) -> None:
    """Waits for TensorBoard to read what was written; it looks every second."""
    end = time.monotonic() + 120
    while not found():
        assert time.monotonic() < end, f"no {what} within two minutes"
        time.sleep(0.1)


def last_step(server: TensorBoardServer, run: str) -> int | None:
    return next((r["last_step"] for r in ask_json(server, "runs")["runs"] if r["run"] == run), None)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    with LayerWriter(folder / "run1") as writer:
        for step in range(STEPS):
            writer.write(step, {"conv": array_of(step)}, scalars={"loss": 1 / (step + 1)})
    return folder


@pytest.fixture(scope="module", params=LOADERS)
def server(request: pytest.FixtureRequest, logdir: Path) -> Iterator[TensorBoardServer]:
    with run_tensorboard(logdir, request.param, "--reload_interval=1", tensorflow="false" in request.param) as running:
        wait_for(lambda: last_step(running, "run1") == STEPS - 1, "run")
        yield running


@pytest.mark.core("--load_fast=true")
def test_a_thousand_logged_steps_are_a_thousand_steps(server: TensorBoardServer) -> None:
    steps = ask_json(server, "steps", run="run1")
    assert steps["steps"] == list(range(STEPS))
    assert steps["scalars"]["loss"] == [1 / (step + 1) for step in range(STEPS)]
    means = np.frombuffer(ask(server, "statistics", run="run1", kind="activation", statistic="mean"), "<f4")
    np.testing.assert_allclose(means, [array_of(step).mean(dtype=np.float64) for step in range(STEPS)], rtol=1e-6)


def test_every_histogram_and_the_values_of_any_step_are_there(server: TensorBoardServer) -> None:
    data = ask(server, "histograms", run="run1", tensor=0)
    lengths = []
    while data:
        lengths.append(int.from_bytes(data[:4], "little"))
        data = data[4 + lengths[-1] :]
    assert len(lengths) == STEPS
    assert min(lengths) > 0
    for step in (0, 511, 512, 999):
        kept = values.decode(ask(server, "payload", run="run1", tensor=0, step=step, section="values"))
        np.testing.assert_allclose(kept.array, array_of(step), rtol=2**-11)


def test_the_server_and_the_reader_say_the_same(server: TensorBoardServer, logdir: Path) -> None:
    run = LayerReader(logdir).run("run1")
    assert ask(server, "payload", run="run1", tensor=0, step=77, section="units") == run.payload("units", 0, 77)
    found = ask_json(server, "tensor", run="run1", tensor=0, step=77)
    assert {name: found[name] for name in ("size", "mean", "rms")} == {
        "size": 96,
        "mean": run.digest(0, 77).mean,
        "rms": run.digest(0, 77).rms,
    }
    assert ask_json(server, "run", run="run1")["folder"] == str(logdir / "run1")


def test_the_tab_is_listed_active_and_its_page_loads_the_script(server: TensorBoardServer) -> None:
    listing = json.loads(server.get("/data/plugins_listing").body)["layerview"]
    assert listing["tab_name"] == "Layers"
    assert listing["enabled"]
    assert listing["loading_mechanism"]["type"] == "IFRAME"
    page = server.get("/data/plugin_entry.html?name=layerview")
    assert b'<base href="plugin/layerview/" />' in page.body
    assert b'import("./index.js")' in page.body
    script = server.get("/data/plugin/layerview/index.js")
    assert (script.status, script.content_type) == (200, "text/javascript")
    assert b"render" in script.body


def test_errors_reach_the_browser_as_sentences(server: TensorBoardServer) -> None:
    reply = server.get("/data/plugin/layerview/run?run=nothing")
    assert (reply.status, json.loads(reply.body)) == (
        404,
        {"error": "there is no run 'nothing' that holds layers; there are run1."},
    )
    assert server.get("/data/plugin/layerview/../../../../etc/passwd").status == 404


def test_no_warning_was_printed(server: TensorBoardServer) -> None:
    for route in ("runs", "run?run=run1", "steps?run=run1", "index.js"):
        server.get(f"/data/plugin/layerview/{route}")
    printed = server.log.read_text(encoding="utf-8", errors="replace")
    assert "In 3.0, this warning will become an error" not in printed
    assert "Traceback" not in printed


@pytest.mark.once
@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.core("--load_fast=true")
def test_a_run_in_progress_grows_and_a_restart_replaces(tmp_path: Path, loader: str) -> None:
    with run_tensorboard(tmp_path, loader, "--reload_interval=1") as server:
        assert ask_json(server, "runs") == {"runs": [], "without_steps": [], "unreadable": []}
        with LayerWriter(tmp_path) as writer:
            for step in range(20):
                writer.write(step, {"conv": array_of(step)})
            wait_for(lambda: last_step(server, ".") == 19, "first steps")
            first = ask_json(server, "steps", run=".")
            assert first["steps"] == list(range(20))
            for step in range(20, 540):
                writer.write(step, {"conv": array_of(step)})
            wait_for(lambda: last_step(server, ".") == 539, "further steps")
            second = ask_json(server, "steps", run=".")
            assert second["steps"] == list(range(540))
            assert second["generation"] == first["generation"]
        with LayerWriter(tmp_path) as writer:
            for step in range(500, 510):
                writer.write(step, {"conv": -array_of(step)})
        wait_for(lambda: last_step(server, ".") == 509, "steps after the restart")
        third = ask_json(server, "steps", run=".")
        assert third["steps"] == list(range(510))
        assert third["generation"] != first["generation"]
        assert (
            ask_json(server, "run", run=".")["hidden"] == "40 steps from 500 on, of a writer that a later one replaced"
        )
        kept = values.decode(ask(server, "payload", run=".", tensor=0, step=505, section="values"))
        np.testing.assert_allclose(kept.array, -array_of(505), rtol=2**-11)


@pytest.mark.once
@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.core("--load_fast=false")
def test_a_path_prefix_and_the_users_own_number_of_samples_are_kept(tmp_path: Path, loader: str) -> None:
    with LayerWriter(tmp_path / "run") as writer:
        for step in range(50):
            writer.write(step, {"conv": array_of(step)})
    flags = (loader, "--reload_interval=1", "--path_prefix=/tb", "--samples_per_plugin=layerview=20")
    with run_tensorboard(tmp_path, *flags) as server:
        assert server.url.endswith("/tb")
        wait_for(lambda: last_step(server, "run") == 49, "run")
        assert len(ask_json(server, "steps", run="run")["steps"]) == 20
