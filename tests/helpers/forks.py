"""Runs programs in processes that have TensorFlow loaded already: to load it takes longer than all that they do.

`python forks.py` loads it, and forks a process for each line of its standard input: a JSON list of the file for what
the program prints, that for its warnings, variables of its environment, and the program with its arguments. It answers
with the program's exit status.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path


def forked(do: Callable[[], object], *, out: int, warnings: int) -> int:
    """A process of its own that does something, and what it writes goes to these descriptors; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.dup2(out, 1)
        os.dup2(warnings, 2)
        do()
        status = 0
    except BaseException:  # noqa: BLE001  # said, and by the exit status too
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def load() -> None:
    """Loads TensorFlow, and starts nothing: only a process of one thread can be forked and go on as if it were new."""
    import tensorflow as tf

    from tb_layerview import LayerViewCallback, LayerViewHook

    assert tf.keras.layers.Dense and tf.compat.v1.train.MonitoredTrainingSession  # both are loaded when asked for
    assert LayerViewCallback and LayerViewHook
    gc.collect()
    gc.freeze()  # in what is forked no collection of garbage looks through all of that
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"{threads} threads run; is OPENBLAS_NUM_THREADS=1 set?"


class Forks:
    """That process, from outside; to be closed."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**environment, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: object, seconds: float, **variables: str) -> tuple[str, str]:
        """Runs a program and its arguments, with variables beside those that there are.

        TensorFlow reads some when it is loaded: these come too late.

        Returns:
          What it printed, and its warnings.

        Raises:
          RuntimeError: It failed.
          TimeoutError: It took longer than so many seconds; nothing can be run any more.
        """
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder, "printed"), Path(folder, "warnings")
            assert self._process.stdin is not None and self._process.stdout is not None
            line = [*map(str, files), variables, [str(word) for word in command]]
            print(json.dumps(line), file=self._process.stdin, flush=True)
            if not select.select([self._process.stdout], [], [], seconds)[0]:
                os.killpg(self._process.pid, signal.SIGKILL)
                raise TimeoutError(f"{command} took longer than {seconds} s")
            status = self._process.stdout.readline().strip()
            printed, warnings = (path.read_text() if path.exists() else "" for path in files)
        if status != "0":
            raise RuntimeError(f"{command} ended with {status!r}:\n{warnings}")
        return printed, warnings

    def close(self) -> None:
        self._process.communicate()


def _run(command: list[str], variables: dict[str, str]) -> None:
    os.environ.update(variables)
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")


def _serve() -> None:
    load()
    for line in sys.stdin:
        printed, warnings, variables, command = json.loads(line)
        with open(printed, "wb") as out, open(warnings, "wb") as err:
            pid = forked(functools.partial(_run, command, variables), out=out.fileno(), warnings=err.fileno())
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
