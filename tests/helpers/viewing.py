"""`tb-layerview view` in a process of its own."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from places import environment


@contextlib.contextmanager
def viewing(logdir: Path | str, *options: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`tb-layerview view` in a process of its own, and the address that it prints."""
    command = [sys.executable, "-m", "tb_layerview.commands.cli", "view", str(logdir), *options]
    own = environment(TF_CPP_MIN_LOG_LEVEL="3", **variables)
    # What runs in a shell's background ignores Ctrl-C, and has its children do so.
    process = subprocess.Popen(
        command,
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        yield process, next(found[1] for line in lines if (found := re.search(r"The Layers tab: (\S+)", line)))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
