#!/usr/bin/env bash
# TensorBoard 2.21.0 without TensorFlow, s3fs 2026.9.0: without boto3, s3:// is shown as it was at the first look, for ever.
#
# Guess: TensorBoard follows a run in s3:// whichever package opens it, boto3, or s3fs where there is no boto3.
# Seen, of a run whose event object is replaced by a longer one, and of a second run, each loaded again after it was put:
#   s3fs                                        the first look, and no request to the store from then on, nor an error
#   s3fs, FSSPEC_S3_LISTINGS_EXPIRY_TIME=1      both are seen
#   s3fs, FSSPEC_S3_USE_LISTINGS_CACHE empty    both are seen
#   boto3                                       both are seen
# The file system that TensorBoard keeps takes names and sizes from the first listing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
	'tensorboard==2.21.0' 'setuptools==80.9.0' 'numpy==2.4.6' 'protobuf==6.33.6' \
	's3fs==2026.9.0' 'fsspec==2026.9.0' 'aiobotocore==3.10.0' 'boto3==1.43.117' 'botocore==1.43.117' \
	'moto[s3]==5.2.5' 'flask==3.1.3' 'flask-cors==6.0.5' 'werkzeug==3.1.9'
cat >"$folder/store.py" <<'PYTHON'
"""An S3 that counts what it is asked for; it prints its address."""
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

s3, asked = DomainDispatcherApplication(create_backend_app), []


def answer(environ, start):
    if environ["PATH_INFO"] == "/asked":
        start("200 OK", [("Content-Type", "text/plain")])
        return [str(len(asked)).encode()]
    asked.append(environ["PATH_INFO"])
    return s3(environ, start)


class Quiet(WSGIRequestHandler):
    def log(self, *words):
        pass


server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Quiet)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
PYTHON
cat >"$folder/show.py" <<'PYTHON'
import io
import os
import sys
import time
import urllib.request

import boto3

client, prefix, package = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"]), sys.argv[1], sys.argv[2]
if package == "s3fs":  # as if boto3 were not installed
    for name in [name for name in sys.modules if name.partition(".")[0] == "boto3"]:
        del sys.modules[name]
    sys.modules["boto3"] = None

from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def put(run, steps):
    """Puts an event object, whole."""
    file = io.BytesIO()
    for step in range(steps):
        value = summary_pb2.Summary.Value(tag="loss", simple_value=1.0)
        event = event_pb2.Event(wall_time=1000.0 + step, step=step, summary=summary_pb2.Summary(value=[value]))
        RecordWriter(file).write(event.SerializeToString())
    client.put_object(Bucket="bucket", Key=f"{prefix}/{run}/events.out.tfevents.1000.host.1.0", Body=file.getvalue())


def look():
    """The number of steps of each run."""
    multiplexer.AddRunsFromDirectory(f"s3://bucket/{prefix}")
    multiplexer.Reload()
    return {run: len(multiplexer.GetAccumulator(run).Tensors("loss")) for run in sorted(multiplexer.Runs())}


def asked():
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return int(directly.open(f"{os.environ['S3_ENDPOINT']}/asked").read())


client.create_bucket(Bucket="bucket")
multiplexer = plugin_event_multiplexer.EventMultiplexer()
put("first", 2)
before = look()
put("first", 4)
put("second", 3)
time.sleep(1.5)
count = asked()
print(before, "then", look(), "no request" if asked() == count else "requests")
PYTHON
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null NO_PROXY=127.0.0.1
"$folder/venv/bin/python" "$folder/store.py" >"$folder/address" 2>"$folder/stderr" &
store=$!
trap 'kill "$store"; rm -rf "$folder"' EXIT
until [ -s "$folder/address" ]; do kill -0 "$store"; sleep 0.2; done
S3_ENDPOINT=$(cat "$folder/address")
export S3_ENDPOINT AWS_ENDPOINT_URL=$S3_ENDPOINT
failed=0
show() { # name, what is expected, package, settings
	found=$(env "${@:4}" "$folder/venv/bin/python" "$folder/show.py" "$1" "$3" 2>>"$folder/stderr") || { cat "$folder/stderr" >&2; exit 1; }
	changed=; [ "$found" = "$2" ] || { changed='   CHANGED'; failed=1; }
	printf '%-22s%s%s\n' "$1" "$found" "$changed"
}
followed="{'first': 2} then {'first': 4, 'second': 3} requests"
show s3fs "{'first': 2} then {'first': 2} no request" s3fs
show s3fs-expiring "$followed" s3fs FSSPEC_S3_LISTINGS_EXPIRY_TIME=1
show s3fs-no-cache "$followed" s3fs FSSPEC_S3_USE_LISTINGS_CACHE=
show boto3 "$followed" boto3
exit "$failed"
