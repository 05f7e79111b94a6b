#!/usr/bin/env bash
# fsspec and s3fs 2026.9.0: a range of an object may be the object, by whose store it is, and its end an error.
#
# Guess: `cat_file(path, start=4, end=4)` gives no bytes, a range past the end those that are there, and a server that
# knows no ranges is an error, as it is for `open`.
# Seen, of 10 bytes:
#                                  0:3         4:4         8:20   10:20     20:30
#   local files, memory            3 bytes     none        2      none      none
#   s3fs (moto's S3)               3 bytes     the object  2      OSError   OSError
#   http, of Python's http.server  the object  none        the object, for every other range too
# s3fs asks for bytes 4 to 3, which a server takes for no range. `cat_ranges` gives the same, with the errors in its list.
# So a tensor of no elements is read as its whole file, and what takes a range for its bytes has to look at their number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
	's3fs==2026.9.0' 'fsspec==2026.9.0' 'aiobotocore==3.10.0' 'aiohttp==3.14.5' 'botocore==1.43.117' \
	'moto[s3]==5.2.5' 'flask==3.1.3' 'flask-cors==6.0.5' 'werkzeug==3.1.9'
cat >"$folder/show.py" <<'PYTHON'
import functools
import http.server
import logging
import pathlib
import sys
import threading

import fsspec
from moto.server import ThreadedMotoServer

folder = pathlib.Path(sys.argv[1])
logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
moto.start()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
threading.Thread(target=web.serve_forever, daemon=True).start()
s3 = fsspec.filesystem("s3", endpoint_url="http://{}:{}".format(*moto.get_host_and_port()))
s3.mkdir("bucket")
places = {
    "local": (fsspec.filesystem("file"), str(folder / "object")),
    "memory": (fsspec.filesystem("memory"), "/object"),
    "s3fs": (s3, "bucket/object"),
    "http": (fsspec.filesystem("http"), f"http://127.0.0.1:{web.server_port}/object"),
}
data, ranges = b"0123456789", ((0, 3), (4, 4), (8, 20), (10, 20), (20, 30))


def length(found):
    return len(found) if isinstance(found, bytes) else type(found).__name__


def read(files, path, start, end):
    try:
        return length(files.cat_file(path, start=start, end=end))
    except OSError as error:
        return length(error)


expected = {
    "local": [3, 0, 2, 0, 0],
    "memory": [3, 0, 2, 0, 0],
    "s3fs": [3, 10, 2, "OSError", "OSError"],
    "http": [10, 0, 10, 10, 10],
}
changed = False
for name, (files, path) in places.items():
    if name != "http":
        files.pipe_file(path, data)
    one_by_one = [read(files, path, start, end) for start, end in ranges]
    starts, ends = map(list, zip(*ranges))
    together = [length(found) for found in files.cat_ranges([path] * len(ranges), starts, ends)]
    differs = one_by_one != expected[name] or together != expected[name]
    changed |= differs
    print(f"{name:8}cat_file {one_by_one}, cat_ranges {together}{'   CHANGED' if differs else ''}")
try:
    with places["http"][0].open(places["http"][1], block_size=4) as file:
        file.seek(4)
        opened = length(file.read(3))
except ValueError as error:
    opened = str(error).partition(".")[0]
differs = opened != "The HTTP server doesn't appear to support range requests"
changed |= differs
print(f"http    open, seek, read: {opened}{'   CHANGED' if differs else ''}")
moto.stop()
sys.exit(changed)
PYTHON
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null NO_PROXY=127.0.0.1
mkdir "$folder/files"
"$folder/venv/bin/python" "$folder/show.py" "$folder/files"
