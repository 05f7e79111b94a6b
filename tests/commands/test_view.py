"""`tb-layerview view`: TensorBoard on this machine alone, with the tab open in a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from listening import addresses, processes
from places import environment
from serving import get
from viewing import viewing

from tb_layerview import LayerWriter
from tb_layerview.commands import cli

pytestmark = pytest.mark.once


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    with LayerWriter(tmp_path / "logs" / "run") as writer:
        writer.write(0, {"dense": np.ones((4, 3))})
    return tmp_path / "logs"


def wait_for(path: Path) -> str:
    until = time.monotonic() + 120
    while not (path.exists() and path.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    return path.read_text()


def test_the_tab_opens_in_the_browser_on_this_machine_alone_and_ctrl_c_ends_all_of_it(
    logdir: Path, tmp_path: Path
) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{opened}.part" && mv "{opened}.part" "{opened}"\n')
    browser.chmod(0o755)
    with viewing(logdir, "--port=0", BROWSER=str(browser)) as (process, url):
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)#layerview", url)
        assert found is not None and wait_for(opened) == url
        until = time.monotonic() + 120
        while not (runs := json.loads(get(f"{found[1]}data/plugin/layerview/runs").body)["runs"]):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert [run["run"] for run in runs] == ["run"]
        if sys.platform == "linux":
            everything = processes(process.pid)
            assert addresses(process.pid) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
            assert "127.0.0.1" in addresses(process.pid), "a check that finds nothing says nothing"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        if sys.platform == "linux":
            until = time.monotonic() + 60
            while still := [one for one in everything if Path(f"/proc/{one}/exe").exists() and one != process.pid]:
                assert time.monotonic() < until, still
                time.sleep(0.1)


def test_no_browser_opens_where_none_is_wanted(logdir: Path, tmp_path: Path) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\ntouch "{opened}"\n')
    browser.chmod(0o755)
    with viewing(logdir, "--port=0", "--no-browser", BROWSER=str(browser)) as (process, url):
        assert get(url.partition("#")[0] + "data/plugins_listing").status == 200
        assert not opened.exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0


def test_what_cannot_be_viewed_is_said_before_anything_starts(
    logdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["view", str(tmp_path / "nothing")]) == 2
    assert "nothing' is not a folder. Give the folder that the callback" in capsys.readouterr().err
    assert cli.main(["view", "viewfs://bucket/run"]) == 2
    assert "'viewfs://bucket/run' is not a folder on this machine" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["view", str(logdir), "--port", str(port)]) == 2
        assert f"port {port} is taken, or not yours to take. Give another one" in capsys.readouterr().err
    for wrong in ("-1", "65536", "http"):
        with pytest.raises(SystemExit):
            cli.main(["view", str(logdir), "--port", wrong])
        assert f"a port is a number from 0 to 65535, not '{wrong}'" in capsys.readouterr().err


def test_a_folder_without_runs_is_waited_for_and_that_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tb_layerview.commands.cli", "view", str(tmp_path), "--port=0", "--no-browser"]
    with subprocess.Popen(command, env={**os.environ, **environment()}, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"there is no run with layers below {str(tmp_path)!r} yet" in process.stderr.readline()
        process.kill()
