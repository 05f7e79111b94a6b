#!/usr/bin/env bash
# TensorFlow 2.21.0: on `ram://` to write a file a second time appends to it, and so does to copy over it.
#
# Guess: `GFile(path, "wb")`, `write_file`, `TFRecordWriter` and `copy(overwrite=True)` leave only what came last,
# whatever file system the path is of.
# Seen, of a file that held b"first" and into which b"second" is written:
#                            local file    ram://
#   GFile(path, "wb")        second        firstsecond
#   write_file               second        firstsecond
#   TFRecordWriter           second        first, second (two records)
#   copy(overwrite=True)     second        firstsecond
#   rename(overwrite=True)   second        second
# So what is written twice to `ram://`, in a test in place of a disk say, is not what a disk would have.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tensorflow-cpu==2.21.0'
cat >"$folder/show.py" <<'PYTHON'
import sys

import tensorflow as tf

gfile = tf.io.gfile


def by_gfile(path, content):
    with gfile.GFile(path, "wb") as file:
        file.write(content)


def by_records(path, content):
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(content)


def through(move):
    def write(path, content):
        if not gfile.exists(path):
            by_gfile(path, content)
            return
        other = f"{path}-{content.decode()}"
        by_gfile(other, content)
        move(other, path, overwrite=True)

    return write


def all_bytes(path):
    return gfile.GFile(path, "rb").read()


def all_records(path):
    return b" ".join(record.numpy() for record in tf.data.TFRecordDataset(path))


ways = {
    "GFile": (by_gfile, all_bytes, b"firstsecond"),
    "write_file": (tf.io.write_file, all_bytes, b"firstsecond"),
    "TFRecordWriter": (by_records, all_records, b"first second"),
    "copy": (through(gfile.copy), all_bytes, b"firstsecond"),
    "rename": (through(gfile.rename), all_bytes, b"second"),
}
has_changed = False
for name, (write, read, in_ram) in ways.items():
    for folder, expected in ((sys.argv[1], b"second"), ("ram://folder", in_ram)):
        gfile.makedirs(folder)
        path = f"{folder}/{name}"
        for content in (b"first", b"second"):
            write(path, content)
        found = read(path)
        has_changed |= found != expected
        place = "ram" if folder.startswith("ram") else "local"
        print(f"{name:16}{place:7}{found.decode():14}{'' if found == expected else 'CHANGED'}")
sys.exit(has_changed)
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/show.py" "$folder/files" 2>"$folder/stderr" || { cat "$folder/stderr" >&2; exit 1; }
