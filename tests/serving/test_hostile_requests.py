"""Requests of any kind: 200, or a sentence under 400, 404 or 405; never 500, never another run's data."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np
import pytest
from board import Board, write_run
from clients import clients_while_a_writer_appends
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto import event_pb2, tensor_pb2, types_pb2

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.serving.columns import COLUMNS
from tb_layerview.writing.log_files import LogFiles

ROUTES = (
    *("/runs", "/run", "/steps", "/statistics", "/findings", "/tensor", "/payload", "/histograms", "/units"),
    *("/thumbnails", "/ridges"),
)
SECRET = 777.0
NAMES = st.sampled_from(
    [
        *("run", "kind", "statistic", "since", "groups", "tensor", "step", "section", "threshold", "RUN", "", "run[]"),
        *("tensors", "example", "ridges"),
    ]
)
WORDS = """
    all 0,1 0,1,2,999 64
    mine weight activation update rms mean values units histogram 0 1 2 6 -1 1e3 0x1 nan inf 999999999999999999 ١
    <script> non_finite.patience:2 ../other other/../mine mine/layers /etc/passwd . ..
"""
PLAUSIBLE = st.sampled_from(WORDS.split())
ODD = st.sampled_from(["", " ", "\x00", "1" * 40, "mine\r\nX-Injected: 1", "a" * 5000])
VALUES = st.one_of(PLAUSIBLE.map(str.encode), ODD.map(str.encode), st.binary(max_size=30))
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=7)
IN_THE_MODEL = 150  # an offset in an event file
METHODS = st.sampled_from(["GET"] * 8 + ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "NONSENSE"])


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    folder = tmp_path_factory.mktemp("logs")
    write_run(folder / "mine", range(7))
    with LayerWriter(folder / "other") as writer:
        writer.write(0, {"secret": np.full((2, 2), SECRET)}, scalars={"secret": SECRET})
    return Board(folder)


@pytest.mark.once
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
    def event(log: LogFiles, tag: str, **tensor: object) -> event_pb2.Event:
        found = log._event(tag, 3, b"")
        found.summary.value[0].tensor.CopyFrom(tensor_pb2.TensorProto(**tensor))
        return found

    log = LogFiles(tmp_path)
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
    assert "the tag '../../etc/passwd' does not belong to a layer log" in notes


def ask_until(board: Board, path: str, says: str) -> str:
    """Asks until an answer says so: the files are checked beside the requests."""
    end = time.monotonic() + 120
    while says not in (answer := board.client.get(path).get_data(as_text=True)):
        assert time.monotonic() < end, f"nothing says {says!r}"
        time.sleep(0.05)
    return answer


def write_plainly(folder: Path) -> None:
    """A run whose event file holds a version, a model and three steps, in that order."""
    with LayerWriter(folder) as writer:
        for step in range(3):
            writer.write(step, {"a": np.full((2, 3), float(step))})


def damage(folder: Path, at: int) -> None:
    (path,) = (folder / "layers").glob("*tfevents*")
    content = bytearray(path.read_bytes())
    content[at] ^= 8
    path.write_bytes(content)


def test_a_damaged_event_file_is_read_around_and_named(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(6):
            writer.write(step, {"a": np.full((2, 3), float(step))})
    (path,) = (tmp_path / "layers").glob("*tfevents*")
    damage(tmp_path, path.stat().st_size * 2 // 3)
    board = Board(tmp_path)
    # TensorBoard's loader stops at the damage; meanwhile the files are checked.
    ask_until(board, "/run?run=.", "is damaged in the")
    assert len(board.client.json("/steps?run=.")["steps"]) == 5


def test_a_run_that_does_not_say_what_it_logs_is_named_and_the_others_are_there(tmp_path: Path) -> None:
    """Its first message is damaged: TensorBoard's loader stops before it, and knows nothing of the run."""
    for name in ("broken", "good"):
        write_plainly(tmp_path / name)
    damage(tmp_path / "broken", IN_THE_MODEL)
    board = Board(tmp_path)
    answer = json.loads(ask_until(board, "/runs", "broken"))
    assert [run["run"] for run in answer["runs"]] == ["good"]
    ((name, problems),) = [found.values() for found in answer["unreadable"]]
    assert name == "broken"
    assert "is damaged in the" in problems[0] and "has not said what it logs" in problems[1]
    status, sentence = board.client.error("/run?run=broken")
    assert status == 404 and sentence.startswith("the run 'broken' cannot be read: ") and problems[0] in sentence
    with pytest.raises(NotLoggedError, match="the run 'broken' cannot be read: .* is damaged in the"):
        LayerReader(tmp_path).run("broken")
    assert [run.name for run in LayerReader(tmp_path).runs()] == ["good"]


def test_the_tab_is_active_where_the_only_run_cannot_be_read(tmp_path: Path) -> None:
    assert not Board(tmp_path).plugin.is_active()
    write_plainly(tmp_path / "broken")
    damage(tmp_path / "broken", IN_THE_MODEL)
    assert Board(tmp_path).plugin.is_active()


def test_a_run_that_has_only_begun_is_no_problem(tmp_path: Path) -> None:
    with LayerWriter(tmp_path / "begun"):
        board = Board(tmp_path)
        for _ in range(3):
            assert board.client.json("/runs") == {"runs": [], "without_steps": [], "unreadable": []}
            time.sleep(0.1)
    assert board.client.error("/run?run=begun") == (
        404,
        "the run 'begun' cannot be read: it has not said yet what it logs.",
    )


def test_damage_in_what_is_added_is_found_though_tensorboard_stops_there(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(5):
            writer.write(step, {"a": np.full((2, 3), float(step))})
            if step == 2:
                (path,) = (tmp_path / "layers").glob("*tfevents*")
                three = path.stat().st_size
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:three])
    board = Board(tmp_path)
    assert board.client.json("/steps?run=.")["steps"] == [0, 1, 2]
    content[three + 100] ^= 8
    with path.open("ab") as file:
        file.write(content[three:])
    board.reload()
    ask_until(board, "/run?run=.", "is damaged in the")
    assert board.client.json("/steps?run=.")["steps"] == [0, 1, 2, 4]


def test_the_payloads_of_another_writer_are_named_as_damaged_and_statistics_stay(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_plainly(tmp_path / name)
    (mine,), (theirs,) = ((tmp_path / name / "layers").glob("*.payload") for name in ("one", "other"))
    theirs.write_bytes(bytes(reversed(theirs.read_bytes())))  # as long, and something else
    theirs.replace(mine)
    client = Board(tmp_path).client
    for section in ("values", "histogram", "units"):
        status, sentence = client.error(f"/payload?run=one&tensor=0&step=1&section={section}")
        assert status == 410 and mine.name in sentence and "is damaged" in sentence
    assert client.json("/tensor?run=one&tensor=0&step=1")["mean"] == 1.0
    status, sentence = client.error("/payload?run=other&tensor=0&step=1&section=values")
    assert status == 410 and theirs.name in sentence and "is missing" in sentence


def test_the_event_file_of_another_run_is_one_more_writer_whose_payloads_are_missing(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_plainly(tmp_path / name)
    (events,) = (tmp_path / "other" / "layers").glob("*tfevents*")
    (payload,) = (tmp_path / "other" / "layers").glob("*.payload")
    events.rename(tmp_path / "one" / "layers" / events.name)
    client = Board(tmp_path).client
    assert client.json("/run?run=one")["hidden"] == "3 steps from 0 on, of a writer that a later one replaced"
    status, sentence = client.error("/payload?run=one&tensor=0&step=1&section=values")
    assert status == 410 and payload.name in sentence and "is missing" in sentence
    assert [run["run"] for run in client.json("/runs")["runs"]] == ["one"]


def test_a_folder_that_is_removed_while_it_is_open_is_said(tmp_path: Path) -> None:
    write_run(tmp_path / "run", range(3))
    board = Board(tmp_path)
    assert len(board.client.json("/steps?run=run")["steps"]) == 3
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    status, sentence = board.client.error("/payload?run=run&tensor=0&step=0&section=values")
    assert status == 410 and "is missing" in sentence
    board.reload()
    assert board.client.bytes("/payload?run=elsewhere&tensor=0&step=0&section=values")


@pytest.mark.once
def test_sixteen_clients_get_their_own_runs_while_it_is_written(tmp_path: Path) -> None:
    early, late = clients_while_a_writer_appends(tmp_path, 16, 32)
    assert late < early + (16 << 20)


def test_all_columns_can_still_be_asked_for_at_once(board: Board) -> None:
    names = "".join(f"&statistic={name}" for name in COLUMNS if name != "update_ratio")
    assert board.client.bytes(f"/statistics?run=mine&kind=weight{names}")
