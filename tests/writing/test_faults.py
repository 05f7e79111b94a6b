"""Trainings that are killed, run out of disk, or lose their folder: what was written is whole, nothing else changes.

Truth is the same program without logging. `make soak` kills 100 of them.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from forks import Forks
from kills import read_whole
from places import HELPERS

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.reading import event_file
from tb_layerview.writing import log_files

PROGRAM = HELPERS / "program_faults.py"
STEPS = 12
SECONDS = 900  # only what hangs takes longer, however busy the machine is


def train(forks: Forks, kind: str, folder: Path, *options: str) -> tuple[list[str], list[str]]:
    """Losses and weights of a training, exactly, and what was reported as not logged."""
    printed, warned = forks.run(PROGRAM, kind, folder, STEPS, *options, seconds=SECONDS)
    outcome = [line for line in printed.splitlines() if line.startswith(("losses", "weights"))]
    assert len(outcome) == 2
    return outcome, [line for line in warned.splitlines() if "he training goes on" in line]


@functools.cache
def bare(forks: Forks, kind: str) -> list[str]:
    """What the training comes to without logging."""
    return train(forks, kind, Path("nowhere"), "bare")[0]


# --- Killed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.once
def test_what_killed_writers_had_written_is_whole_and_the_next_goes_on(
    forks: Forks, tmp_path: Path, count: int
) -> None:
    printed, _ = forks.run(HELPERS / "kills.py", "writer", count, tmp_path, seconds=SECONDS)
    assert json.loads(printed) == {**json.loads(printed), "killed": count, "writers": count, "lost": 0}
    with LayerWriter(tmp_path) as writer:
        last = int(LayerReader(tmp_path).run().steps[-1])
        writer.write(last + 1, {"layer0": np.ones((2, 2))})
    assert LayerReader(tmp_path).run().steps.tolist() == list(range(last + 2))


@pytest.mark.parametrize("kind", ["keras", "hook"])
@pytest.mark.core("hook")
def test_what_a_killed_training_had_written_is_whole_and_the_next_replaces_it(
    forks: Forks, tmp_path: Path, kind: str
) -> None:
    forks.run(HELPERS / "kills.py", kind, 1, tmp_path / "killed", seconds=SECONDS)
    train(forks, kind, tmp_path / "killed")
    train(forks, kind, tmp_path / "alone")
    (alone, killed) = LayerReader(tmp_path).runs()
    assert killed.problems == () and read_whole(killed) == read_whole(alone)
    assert killed.steps.tolist() == alone.steps.tolist()
    for name in ("mean", "std", "max"):
        np.testing.assert_array_equal(killed.statistics(name), alone.statistics(name))


# --- No room, no folder, no speed ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["keras", "hook"])
@pytest.mark.core("keras")
@pytest.mark.once
def test_a_file_that_must_not_grow_ends_the_logging_with_one_report(forks: Forks, tmp_path: Path, kind: str) -> None:
    outcome, reported = train(forks, kind, tmp_path, "limit=60000")
    assert outcome == bare(forks, kind)
    assert reported == [
        "tb_layerview: the log: OSError: [Errno 27] File too large. Nothing more is logged; the training goes on."
    ]
    run = LayerReader(tmp_path).run()
    assert 2 <= len(run.steps) < STEPS and run.problems == ()
    assert read_whole(run)


@pytest.mark.once
def test_a_full_disk_ends_the_logging_with_one_report(forks: Forks, tmp_path: Path) -> None:
    mount = ("unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=100k", "none", tmp_path)
    if not shutil.which("unshare") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    outcome, reported = train(forks, "keras", tmp_path / "disk", "disk=100k")
    assert outcome == bare(forks, "keras")
    assert reported == [
        "tb_layerview: the log: OSError: [Errno 28] No space left on device. Nothing more is logged; "
        "the training goes on."
    ]
    run = LayerReader(tmp_path / "disk-copy").run()
    assert 1 <= len(run.steps) < STEPS and run.problems == ()
    assert read_whole(run)


@pytest.mark.once
def test_a_folder_that_is_removed_ends_the_logging_with_one_report(forks: Forks, tmp_path: Path) -> None:
    outcome, reported = train(forks, "keras", tmp_path, "remove=5")
    assert outcome == bare(forks, "keras")
    assert len(reported) == 1
    assert reported[0].startswith("tb_layerview: the log: FileNotFoundError: [Errno 2] the log's files were removed")


@pytest.mark.long
@pytest.mark.once
def test_files_that_can_no_longer_be_written_to_end_the_logging_with_one_report(forks: Forks, tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.touch()
    if not shutil.which("chattr") or subprocess.run(["chattr", "+i", probe], capture_output=True).returncode:
        pytest.skip("only an administrator can have a file system refuse what is written to an open file")
    try:
        outcome, reported = train(forks, "keras", tmp_path / "run", "frozen=5")
    finally:
        subprocess.run(["chattr", "-i", probe, *tmp_path.glob("run/layers/*")], check=True)
    assert outcome == bare(forks, "keras")
    assert reported == [
        "tb_layerview: the log: PermissionError: [Errno 1] Operation not permitted. Nothing more is logged; "
        "the training goes on."
    ]
    run = LayerReader(tmp_path / "run").run()
    assert 1 <= len(run.steps) < STEPS and run.problems == ()
    assert read_whole(run)


@pytest.mark.once
def test_a_folder_that_is_renamed_keeps_all_steps(forks: Forks, tmp_path: Path) -> None:
    outcome, reported = train(forks, "keras", tmp_path / "run", "rename=5")
    assert (outcome, reported) == (bare(forks, "keras"), [])
    run = LayerReader(tmp_path).run("run-renamed")
    assert len(run.steps) == STEPS + 1 and read_whole(run)
    assert len(list((tmp_path / "run-renamed" / "layers").glob("*.end"))) == 1  # it says that it is complete


@pytest.mark.long
@pytest.mark.once
def test_a_slow_disk_changes_nothing_but_the_time(forks: Forks, tmp_path: Path) -> None:
    outcome, reported = train(forks, "keras", tmp_path, "slow=0.02")
    assert (outcome, reported) == (bare(forks, "keras"), [])
    assert len(LayerReader(tmp_path).run().steps) == STEPS + 1


@pytest.mark.once
def test_a_writer_whose_folder_is_removed_says_so(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.ones(3)})
        shutil.rmtree(tmp_path / "layers")
        with pytest.raises(FileNotFoundError, match="the log's files were removed while it was written"):
            writer.write(1, {"a": np.ones(3)})


# --- Two at once, and clocks ------------------------------------------------------------------------


@pytest.mark.once
def test_two_writers_at_once_never_mix_and_the_later_one_is_shown(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as one, LayerWriter(tmp_path) as two:
        for step in range(20):
            one.write(step, {"a": np.full(3, 1.0)})
            if step >= 5:
                two.write(step, {"a": np.full(3, 2.0)})
    run = LayerReader(tmp_path).run()
    assert run.statistics("mean")[0].tolist() == [1.0] * 5 + [2.0] * 15
    assert [run.values(0, step).array[0] for step in range(20)] == [1.0] * 5 + [2.0] * 15
    assert run.hidden == "15 steps from 5 on, of a writer that a later one replaced"


@pytest.mark.once
def test_a_clock_that_is_put_back_hides_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    names: list[str] = []
    for hour, value in enumerate((1.0, 2.0, 3.0)):
        at = now - 3600 * hour  # each begins an hour before the one before
        monkeypatch.setattr(log_files.time, "time", lambda at=at: at)
        monkeypatch.setattr(log_files.time, "time_ns", lambda at=at: int(at * 1e9))
        with LayerWriter(tmp_path) as writer:
            for step in range(2 * hour, 6):
                writer.write(step, {"a": np.full(3, value)})
                writer.write(step, {"b": np.full(3, value)})  # the clock stands still, too
        (new,) = {p.name for p in (tmp_path / "layers").iterdir() if event_file.is_event_file(p.name)} - set(names)
        names.append(new)
    assert names == sorted(names), "TensorBoard follows the file that sorts last"
    run = LayerReader(tmp_path).run()
    assert run.statistics("mean").tolist() == [[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]] * 2
    assert (np.diff([m.wall_time for m in _messages(tmp_path, names[-1])]) > 0).all()


def _messages(folder: Path, name: str) -> list[event_file.Message]:
    found, _ = event_file.read(folder / "layers" / name)
    return [message for tag, messages in found.items() if not tag.endswith("/model") for message in messages]
