#!/usr/bin/env bash
# fsspec 2026.9.0 with pyarrow 26.0.1: of what pyarrow opens, HDFS among it, a range is read from the second byte on only.
#
# Guess: `cat_file(path, start=0, end=4)` gives the first 4 bytes, as every file system of fsspec does.
# Seen, for a file of 10 bytes through ArrowFSWrapper, whose `cat_file` HadoopFileSystem and its like inherit:
#   start=1, end=4                          3 bytes
#   start=0, end=4 and end=4                OSError: only valid on seekable files
#   cat_ranges, some of which begin at 0    no error: those have the OSError in the place of their bytes
#   start=0, end=4, seekable=True           4 bytes
# So a reader that begins at a file's head fails on hdfs://, and one that was tried with later bytes seems to work.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'fsspec==2026.9.0' 'pyarrow==26.0.1'
cat >"$folder/show.py" <<'PYTHON'
import sys

import pyarrow.fs
from fsspec.implementations.arrow import ArrowFSWrapper, HadoopFileSystem

files, path = ArrowFSWrapper(pyarrow.fs.LocalFileSystem()), sys.argv[1]
files.pipe_file(path, b"0123456789")


def read(**named):
    try:
        return files.cat_file(path, **named)
    except OSError as error:
        return str(error)


refused = "only valid on seekable files"
seen = {
    "start=1, end=4": (read(start=1, end=4), b"123"),
    "start=0, end=4": (read(start=0, end=4), refused),
    "end=4": (read(end=4), refused),
    "start=0, end=4, seekable=True": (read(start=0, end=4, seekable=True), b"0123"),
    "cat_ranges of 0:4 and 4:8": (
        [one if isinstance(one, bytes) else str(one) for one in files.cat_ranges([path] * 2, [0, 4], [4, 8])],
        [refused, b"4567"],
    ),
    "HDFS inherits it": (HadoopFileSystem.cat_file is ArrowFSWrapper.cat_file, True),
}
for name, (found, expected) in seen.items():
    print(f"{name:32}{found}{'' if found == expected else '   CHANGED'}")
sys.exit(any(found != expected for found, expected in seen.values()))
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder/file"
