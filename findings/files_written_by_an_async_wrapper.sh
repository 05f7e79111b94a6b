#!/usr/bin/env bash
# fsspec 2026.9.0: what is written to a file that AsyncFileSystemWrapper opened is nowhere, without an error.
#
# Guess: the wrapper, which makes a file system that knows no asyncio (local files, memory, SFTP, HDFS) one that does,
# opens a file as the wrapped one does, or refuses to.
# Seen, through the wrapper, by the wrapped file system:
#   pipe_file(path, data)          written
#   open(path, "wb"), write        5 bytes, it says; there is no file
#   open(path, "ab"), write        5 bytes, it says; the file is as it was
#   touch(path)                    there is no file
#   open(path, "rb"), read         what is there
# A library that wraps whatever it is given, to have one way to call it, loses what its user writes by `open`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'fsspec==2026.9.0'
cat >"$folder/show.py" <<'PYTHON'
import sys

import fsspec
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

wrapped = fsspec.filesystem("file")
files, folder = AsyncFileSystemWrapper(wrapped, asynchronous=False), sys.argv[1]


def content(name):
    path = f"{folder}/{name}"
    return wrapped.cat_file(path) if wrapped.exists(path) else None


def written(name, mode):
    with files.open(f"{folder}/{name}", mode) as file:
        count = file.write(b"hello")
    return count, content(name)


files.pipe_file(f"{folder}/piped", b"hello")
files.touch(f"{folder}/touched")
seen = {
    "pipe_file": (content("piped"), b"hello"),
    'open, "wb"': (written("new", "wb"), (5, None)),
    'open, "ab"': (written("piped", "ab"), (5, b"hello")),
    "touch": (content("touched"), None),
    'open, "rb"': (files.open(f"{folder}/piped", "rb").read(), b"hello"),
}
for name, (found, expected) in seen.items():
    print(f"{name:14}{found}{'' if found == expected else '   CHANGED'}")
sys.exit(any(found != expected for found, expected in seen.values()))
PYTHON
mkdir "$folder/files"
"$folder/venv/bin/python" "$folder/show.py" "$folder/files"
