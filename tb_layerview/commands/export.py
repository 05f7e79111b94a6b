"""`tb-layerview export LOGDIR --html FILE`: a run as one page that opens without a server."""

from __future__ import annotations

import sys
from pathlib import Path

from tb_layerview.commands.page import Page
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.format.names import replay_name
from tb_layerview.reading.reader import LayerReader
from tb_layerview.reading.run import Run


def export(logdir: str, file: str, run: str | None, step: int | None, size_limit: float) -> int:
    """Writes the page.

    Args:
      logdir: A folder that holds runs, or a run's own.
      file: Where the page is written; what is there is replaced.
      run: The name of the run; None for the only one, or the only one that trains.
      step: The logged step whose numbers and pictures are shown; None for the last.
      size_limit: The most megabytes, of 10⁶ bytes, that the page takes.

    Returns:
      0, or 2 if it cannot be written: a sentence says why.
    """
    try:
        reader = LayerReader(logdir)
        found = reader.run(run) if run is not None else _only(list(reader.runs()), logdir)
        replays = replay_name(found.name)
        page = Page(found, reader.run(replays) if replays in reader.names() else None, _step(found, step))
        try:
            content = page.html(int(size_limit * 1e6))
        except ValueError as error:
            return _refuse(f"the page does not fit into {size_limit:g} MB: {error}. Give a larger --size-limit.")
        Path(file).write_bytes(content)
    except (NotADirectoryError, NotLoggedError) as error:
        return _refuse(f"{error}")
    except OSError as error:
        return _refuse(f"{file!r} cannot be written: {error.strerror or error}. Give another --html.")
    print(
        f"{file}: the run {found.name!r}, {len(content) / 1e6:.2f} MB. It says at its head what it holds of your data."
    )
    return 0


def _only(runs: list[Run], logdir: str) -> Run:
    runs = [run for run in runs if len(run.steps)]
    training = [run for run in runs if "train" in run.modes]
    chosen = training if len(training) == 1 else runs
    if len(chosen) == 1:
        return chosen[0]
    if not runs:
        raise NotLoggedError(f"there is no run with logged steps below {logdir!r}.")
    names = ", ".join(run.name for run in runs[:8]) + (", ..." if len(runs) > 8 else "")
    raise NotLoggedError(f"there are {len(runs)} runs below {logdir!r}: {names}. Choose one with --run.")


def _step(run: Run, step: int | None) -> int:
    if not len(run.steps):
        raise NotLoggedError(f"the run {run.name!r} has no logged steps.")
    if step is None:
        return int(run.steps[-1])
    if step not in run.steps:
        near = min((int(one) for one in run.steps), key=lambda one: abs(one - step))
        raise NotLoggedError(f"the run {run.name!r} did not log step {step}; the nearest one is {near}.")
    return step


def _refuse(why: str) -> int:
    print(f"tb-layerview export: {why}", file=sys.stderr)
    return 2
