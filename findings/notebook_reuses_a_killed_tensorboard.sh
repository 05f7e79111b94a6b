#!/usr/bin/env bash
# TensorBoard 2.21.0: a TensorBoard that was killed counts as running, for a notebook.
#
# Guess: `tensorboard.manager.start`, which `%tensorboard` calls, looks whether the process of the file that it has left in the
# temporary folder is alive before it says "Reusing TensorBoard on port …".
# Seen:
#   start, kill -9, start with the same flags   StartReused, with the process that is gone: the cell's frame is dead
#   list of `tensorboard.manager.get_all()`     holds it, until somebody removes the file
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
	'tensorboard==2.21.0' 'setuptools==80.9.0' 'numpy==2.4.6' 'protobuf==6.33.6'
mkdir "$folder/logs"
cat >"$folder/show.py" <<'PYTHON'
import os
import sys
import time

from tensorboard import manager

flags = ["--logdir", sys.argv[1], "--host", "127.0.0.1", "--port", "0"]
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
first = manager.start(flags)
assert isinstance(first, manager.StartLaunched), first
os.kill(first.info.pid, 9)


def is_alive(pid):
    """A process that is gone; one that nobody has waited for is a zombie, which answers nothing either."""
    try:
        os.waitpid(pid, os.WNOHANG)
        os.kill(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return False
    return True


while is_alive(first.info.pid):
    time.sleep(0.1)
again = manager.start(flags)
known = [info.pid for info in manager.get_all()]
print(f"{type(again).__name__}, the same process: {again.info.pid == first.info.pid}, still listed: {first.info.pid in known}")
if not isinstance(again, manager.StartReused):
    os.kill(again.info.pid, 15)
sys.exit((type(again).__name__, again.info.pid, first.info.pid in known) != ("StartReused", first.info.pid, True))
PYTHON
TMPDIR="$folder" "$folder/venv/bin/python" "$folder/show.py" "$folder/logs"
