#!/usr/bin/env bash
# TensorBoard 2.21.0: what a notebook starts does not see what is found by PYTHONPATH.
#
# Guess: `%tensorboard`, and `tensorboard.manager.start` behind it, starts the TensorBoard that the shell would start, with
# the kernel's environment, so a plugin that is on the kernel's PYTHONPATH has its tab.
# Seen:
#   tensorboard, by the shell                 the plugin is listed
#   tensorboard.manager.start, same process   it is not, and nothing is said: PYTHONPATH is taken out of the environment
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
	'tensorboard==2.21.0' 'setuptools==80.9.0' 'numpy==2.4.6' 'protobuf==6.33.6'
mkdir -p "$folder/plugins/a_tab-1.dist-info" "$folder/logs"
cat >"$folder/plugins/a_tab-1.dist-info/METADATA" <<'TEXT'
Metadata-Version: 2.1
Name: a_tab
Version: 1
TEXT
printf '[tensorboard_plugins]\na_tab = a_tab:ATab\n' >"$folder/plugins/a_tab-1.dist-info/entry_points.txt"
cat >"$folder/plugins/a_tab.py" <<'PYTHON'
from tensorboard.plugins import base_plugin


class ATab(base_plugin.TBPlugin):
    plugin_name = "a_tab"

    def is_active(self):
        return True

    def get_plugin_apps(self):
        return {}

    def frontend_metadata(self):
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="A tab")
PYTHON
cat >"$folder/show.py" <<'PYTHON'
import json
import os
import subprocess
import sys
import time
import urllib.request

from tensorboard import manager

logs, flags = sys.argv[1], ["--host", "127.0.0.1", "--port", "0"]
tensorboard = os.path.join(os.path.dirname(sys.executable), "tensorboard")
directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def listed(address):
    """Whether the plugin is there, once the server answers."""
    for _ in range(100):
        try:
            return "a_tab" in json.load(directly.open(f"{address}/data/plugins_listing"))
        except OSError:
            time.sleep(0.2)
    sys.exit("TensorBoard did not answer.")


shell = subprocess.Popen([tensorboard, "--logdir", logs, *flags], stderr=subprocess.PIPE, text=True)
for line in shell.stderr:
    if " at http://" in line:
        by_shell = listed(line.split(" at ")[1].split()[0].rstrip("/"))
        break
shell.terminate()

os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
started = manager.start(["--logdir", logs, *flags])
assert isinstance(started, manager.StartLaunched), started
by_notebook = listed(f"http://127.0.0.1:{started.info.port}")
os.kill(started.info.pid, 15)

print(f"by the shell: {by_shell}, by tensorboard.manager: {by_notebook}")
sys.exit((by_shell, by_notebook) != (True, False))
PYTHON
PYTHONPATH="$folder/plugins" TMPDIR="$folder" "$folder/venv/bin/python" "$folder/show.py" "$folder/logs"
