"""How long TensorBoard takes to start, with the plugin and without."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from benchmarks.measuring import Options, Row, duration_row

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# TensorBoard as its own command starts it, but that it has its own plugins, and ours or not.
_PROGRAM = """
import sys
from tensorboard import default, program
plugins = default.get_static_plugins()
if sys.argv.pop(1) == "with":
    from tb_layerview.serving.loader import LayerViewLoader
    plugins.append(LayerViewLoader)
tensorboard = program.TensorBoard(plugins=plugins)
tensorboard.configure(sys.argv)
sys.exit(tensorboard.main())
"""


def rows(options: Options) -> list[Row]:
    """The difference of starts that take turns."""
    timed = [[_start(how) for how in ("with", "without")] for _ in range(options.rounds(9) + 1)][1:]
    more = [one - other for one, other in timed]
    without = sorted(other for _, other in timed)[len(timed) // 2]
    what = "start of TensorBoard until it answers, with the plugin: what it takes more"
    return [duration_row(what, f"without it: {without:.2f} s", more, most=0.150)]


def _start(how: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, how, "--host=127.0.0.1", "--port=0", f"--logdir={folder}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            said = next(line for line in process.stderr if " at http://" in line)
            url = said.partition(" at ")[2].split()[0]
            while True:
                with contextlib.suppress(urllib.error.URLError), _DIRECTLY.open(f"{url}data/environment") as reply:
                    if reply.status == 200:
                        return time.perf_counter() - began
                time.sleep(0.005)
        finally:
            process.terminate()
            process.communicate()
