"""Requests of any kind: 200, or a sentence under 400, 404 or 405; never 500, never another run's data."""

from __future__ import annotations

import json
import logging
import threading
import time
import tracemalloc
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto import event_pb2, tensor_pb2, types_pb2
from test_plugin import Board, write_run

from tb_layerview import LayerWriter
from tb_layerview.columns import COLUMNS
from tb_layerview.log import Log

ROUTES = ("/runs", "/run", "/steps", "/statistics", "/findings", "/tensor", "/payload", "/histograms", "/units")
SECRET = 777.0
NAMES = st.sampled_from(
    ["run", "kind", "statistic", "since", "groups", "tensor", "step", "section", "threshold", "RUN", "", "run[]"]
)
WORDS = """
    mine weight activation update rms mean values units histogram 0 1 2 6 -1 1e3 0x1 nan inf 999999999999999999 ١
    <script> non_finite.patience:2 ../other other/../mine mine/layers /etc/passwd . ..
"""
PLAUSIBLE = st.sampled_from(WORDS.split())
ODD = st.sampled_from(["", " ", "\x00", "1" * 40, "mine\r\nX-Injected: 1", "a" * 5000])
VALUES = st.one_of(PLAUSIBLE.map(str.encode), ODD.map(str.encode), st.binary(max_size=30))
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=7)
METHODS = st.sampled_from(["GET"] * 8 + ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "NONSENSE"])


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    folder = tmp_path_factory.mktemp("logs")
    write_run(folder / "mine", range(7))
    with LayerWriter(folder / "other") as writer:
        writer.write(0, {"secret": np.full((2, 2), SECRET)}, scalars={"secret": SECRET})
    return Board(folder)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(route=st.sampled_from(ROUTES), query=QUERIES, method=METHODS, base=st.booleans())
def test_any_request_is_answered_or_refused_in_a_sentence(
    board: Board, caplog: pytest.LogCaptureFixture, route: str, query: list, method: str, base: bool
) -> None:
    given_names = {name for name, _ in query}
    if base and "run" not in given_names:
        query = [("run", b"mine"), *query]
    path = f"{route}?{'&'.join(f'{name}={quote_from_bytes(value)}' for name, value in query)}"
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="tensorboard"):
        response = board.client.get(path, method=method)
    assert [r.getMessage() for r in caplog.records] == [], "TensorBoard's validator of headers warns"
    assert response.status_code in (200, 400, 404, 405), path
    assert not any(name.startswith("X-Injected") for name, _ in response.headers)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if response.status_code != 200 and method != "HEAD":
        error = json.loads(response.data)["error"]
        assert len(error) > 10 and error.endswith("."), error
    if b"other" not in dict(query).get("run", b"") and route != "/runs":
        assert b"secret" not in response.data and np.float32(SECRET).tobytes() not in response.data


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/run?run=mine&run=other", "run is given 2 times; which one is meant cannot be told."),
        ("/tensor?run=mine&tensor=0&tensor=1&step=0", "tensor is given 2 times; which one is meant cannot be told."),
        (
            "/statistics?run=mine&kind=weight" + "&statistic=rms" * 1000,
            "a statistic is asked for more than once; its columns are the same each time.",
        ),
    ],
)
def test_what_is_said_twice_is_refused(board: Board, path: str, sentence: str) -> None:
    assert board.client.error(path) == (400, sentence)


def test_an_event_of_our_plugin_that_holds_no_message_is_said_and_breaks_nothing(tmp_path: Path) -> None:
    def event(log: Log, tag: str, **tensor: object) -> event_pb2.Event:
        found = log._event(tag, 3, b"")
        found.summary.value[0].tensor.CopyFrom(tensor_pb2.TensorProto(**tensor))
        return found

    log = Log(tmp_path)
    strings = types_pb2.DT_STRING
    shape = tensor_pb2.TensorProto().tensor_shape
    shape.dim.add(size=2)
    for tag, tensor in {
        "layers/2-w/model": {"dtype": types_pb2.DT_FLOAT, "float_val": [1.0]},
        "layers/3-w/00000": {"dtype": strings, "tensor_shape": shape, "string_val": [b"a", b"b"]},
        "layers/4-w/00000": {"dtype": types_pb2.DT_FLOAT, "tensor_shape": shape, "tensor_content": b"123"},
        "layers/5-w/00000": {"dtype": 99, "string_val": [b"a"]},
        "../../etc/passwd": {"dtype": strings, "string_val": [b"a"]},
    }.items():
        log._append(event(log, tag, **tensor))
    log.close()
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.ones(3)})
    client = Board(tmp_path).client
    assert client.json("/steps?run=.")["steps"] == [0]
    notes = client.json("/run?run=.")["notes"]
    assert "the tag 'layers/2-w/model' has something else than a message at step 3" in notes
    assert "the tag '../../etc/passwd' is none of a layer log" in notes


def test_a_damaged_event_file_is_read_around_and_named(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(6):
            writer.write(step, {"a": np.full((2, 3), float(step))})
    (path,) = (tmp_path / "layers").glob("*tfevents*")
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 8
    path.write_bytes(content)
    board = Board(tmp_path)
    end = time.monotonic() + 60
    # TensorBoard's loader stops at the damage; meanwhile the files are checked.
    while not any("is damaged in the" in note for note in board.client.json("/run?run=.")["notes"]):
        assert time.monotonic() < end, "the damage is not named"
        time.sleep(0.05)
    assert len(board.client.json("/steps?run=.")["steps"]) == 5


def test_a_folder_that_is_removed_while_it_is_open_is_said(tmp_path: Path) -> None:
    write_run(tmp_path / "run", range(3))
    board = Board(tmp_path)
    assert len(board.client.json("/steps?run=run")["steps"]) == 3
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    status, sentence = board.client.error("/payload?run=run&tensor=0&step=0&section=values")
    assert status == 410 and "is missing" in sentence
    board.reload()
    assert board.client.bytes("/payload?run=elsewhere&tensor=0&step=0&section=values")


def ask_everything(board: Board, run: str, value: float, most: int) -> None:
    """Asks each route once; every answer must be of that run."""
    for step in (0, most):
        assert board.client.json(f"/tensor?run={run}&tensor=0&step={step}")["mean"] == value
        assert board.client.bytes(f"/payload?run={run}&tensor=0&step={step}&section=values")
    column = np.frombuffer(board.client.bytes(f"/statistics?run={run}&kind=activation&statistic=mean"), "<f4")
    assert len(column) >= most + 1 and (column == value).all()
    assert board.client.json(f"/steps?run={run}")["scalars"]["value"][0] == value
    assert board.client.json(f"/run?run={run}")["run"] == run
    units = np.frombuffer(board.client.bytes(f"/units?run={run}&tensor=0&statistic=mean"), "<f4")
    assert (units[-3:] == value).all()
    board.client.get(f"/histograms?run={run}&tensor=0"), board.client.json(f"/findings?run={run}")


def clients_while_a_writer_appends(folder: Path, clients: int, steps: int) -> tuple[int, int]:
    """Threads that ask for everything of runs that grow; returns the server's memory at a quarter and at the end."""
    writers = {f"run{i}": LayerWriter(folder / f"run{i}") for i in range(4)}
    failures: list[BaseException] = []
    done, written = threading.Event(), 0

    def append(step: int) -> None:
        for i, writer in enumerate(writers.values()):
            writer.write(step, {"a": np.full((2, 3), float(i + 1))}, scalars={"value": float(i + 1)})

    append(0)
    board = Board(folder)

    def ask(i: int) -> None:
        try:
            while not done.is_set():
                ask_everything(board, f"run{i % 4}", float(i % 4 + 1), 0)
        except BaseException as error:  # noqa: BLE001  # said by the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    tracemalloc.start()
    memory = 0
    for step in range(1, steps):
        append(step)
        if step % 8 == 0:
            board.reload()
        if step == steps // 4:
            memory = tracemalloc.get_traced_memory()[0]
        written = step
    done.set()
    for thread in threads:
        thread.join()
    board.reload()
    ends = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert not failures, failures[0]
    for i in range(4):
        ask_everything(board, f"run{i}", float(i + 1), written)
    for writer in writers.values():
        writer.close()
    return memory, ends


def test_sixteen_clients_get_their_own_runs_while_it_is_written(tmp_path: Path) -> None:
    early, late = clients_while_a_writer_appends(tmp_path, 16, 64)
    assert late < early + (16 << 20)


def test_all_columns_can_still_be_asked_for_at_once(board: Board) -> None:
    names = "".join(f"&statistic={name}" for name in COLUMNS if name != "update_ratio")
    assert board.client.bytes(f"/statistics?run=mine&kind=weight{names}")
