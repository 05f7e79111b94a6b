#!/usr/bin/env bash
# TensorBoard 2.21.0 without TensorFlow, boto3 1.43.117: begun before its run, it never shows one whose name begins another's.
#
# Guess: TensorBoard at s3://bucket/run1 waits for a run that is not there yet, as it does for a local folder, and a
# bucket may be its logdir.
# Seen, where each TensorBoard is begun first, then its run is put:
#   a local folder run1, beside one that is run10    shown
#   s3://bucket/new                                  shown
#   s3://bucket/run1, where run10 is                 never: ValueError, path exists and is not a directory
#   s3://bucket/                                     never: the same error
#   s3://bucket                                      never: ValueError, substring not found
# What begins with a name is taken for that name, and the one error ends all reloading, while the server goes on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
	'tensorboard==2.21.0' 'setuptools==80.9.0' 'numpy==2.4.6' 'protobuf==6.33.6' \
	'boto3==1.43.117' 'botocore==1.43.117' 'moto[s3]==5.2.5' 'flask==3.1.3' 'flask-cors==6.0.5' 'werkzeug==3.1.9'
cat >"$folder/show.py" <<'PYTHON'
import json
import logging
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.request

import boto3
from moto.server import ThreadedMotoServer
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

folder = pathlib.Path(sys.argv[1])
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
os.environ["S3_ENDPOINT"] = "http://{}:{}".format(*server.get_host_and_port())
client = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"])
client.create_bucket(Bucket="bucket")
directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with open(folder / "events", "wb") as file:
    RecordWriter(file).write(event_pb2.Event(wall_time=1000.0, file_version="brain.Event:2").SerializeToString())
events, name = (folder / "events").read_bytes(), "events.out.tfevents.1000.host.1.0"


def put(run):
    """Puts a run, or writes it to a local folder."""
    if run.startswith("s3://"):
        bucket, _, key = run.removeprefix("s3://").partition("/")
        client.put_object(Bucket=bucket, Key=f"{key}/{name}", Body=events)
    else:
        os.makedirs(run)
        (pathlib.Path(run) / name).write_bytes(events)


class Board:
    """A TensorBoard that looks at its logdir each second."""

    def __init__(self, logdir):
        tensorboard = os.path.join(os.path.dirname(sys.executable), "tensorboard")
        flags = ["--host", "127.0.0.1", "--port", "0", "--reload_interval", "1", "--load_fast", "false"]
        command = [tensorboard, "--logdir", logdir, *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.said, self.address = [], None
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stderr:
            self.said.append(line)
            if " at http://" in line:
                self.address = line.split(" at ")[1].split()[0].rstrip("/")

    def shows(self, seconds):
        """Whether it has the run "train" within some seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if "train" in json.load(directly.open(f"{self.address}/data/runs")):
                return True
            time.sleep(0.5)
        return False


put("s3://bucket/run10/train")
put(f"{folder}/run10/train")
never = "never: ValueError: GetLogdirSubdirectories: path exists and is not a directory, "
expected = {
    f"{folder}/run1": "shown",
    "s3://bucket/new": "shown",
    "s3://bucket/run1": never + "s3://bucket/run1",
    "s3://bucket/": never + "s3://bucket/",
    "s3://bucket": "never: ValueError: substring not found",
}
boards = {logdir: Board(logdir) for logdir in expected}
while not all(board.address for board in boards.values()):
    time.sleep(0.2)
time.sleep(5)
seen = {}
for logdir in boards:
    put(f"{logdir.rstrip('/')}/train")
for logdir, board in boards.items():
    errors = [line.strip() for line in board.said if line.startswith("ValueError")]
    seen[logdir] = "shown" if board.shows(8) else ": ".join(["never", *errors])
    board.process.terminate()
for logdir, found in seen.items():
    print(f"{logdir.replace(str(folder), '.'):18}{found}{'' if found == expected[logdir] else '   CHANGED'}")
server.stop()
sys.exit(seen != expected)
PYTHON
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null NO_PROXY=127.0.0.1
"$folder/venv/bin/python" "$folder/show.py" "$folder"
