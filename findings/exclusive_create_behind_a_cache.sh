#!/usr/bin/env bash
# fsspec 2026.9.0: behind `simplecache`, what is to be created only if it is not there replaces what is there.
#
# Guess: `open(path, "xb")` and `pipe_file(path, data, mode="create")` raise FileExistsError through a cache as they do
# without one, as the cache hands on what it is asked.
# Seen, of an object that is there:
#                 open(path, "xb")     pipe_file(mode="create")
#   memory        FileExistsError      FileExistsError
#   dir           FileExistsError      FileExistsError
#   filecache     replaced             FileExistsError
#   simplecache   replaced             replaced
# So of two writers that claim a name so, by `simplecache::s3://…` say, both have it, and the first one's bytes are gone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'fsspec==2026.9.0'
cat >"$folder/show.py" <<'PYTHON'
import sys

import fsspec

store = fsspec.filesystem("memory")


def opened(files, path):
    with files.open(path, "xb") as file:
        file.write(b"second")


def piped(files, path):
    files.pipe_file(path, b"second", mode="create")


def outcome(create, files, path):
    """What the second creation does to the first one's object."""
    store.pipe_file("/folder/name", b"first")
    try:
        create(files, path)
    except FileExistsError:
        assert store.cat_file("/folder/name") == b"first"
        return "FileExistsError"
    return "replaced" if store.cat_file("/folder/name") == b"second" else "nothing"


raised, replaced = "FileExistsError", "replaced"
expected = {
    "memory": (raised, raised),
    "dir": (raised, raised),
    "filecache": (replaced, raised),
    "simplecache": (replaced, replaced),
}
seen = {}
for name in expected:
    outcomes = []
    for create in (opened, piped):
        files, path = store, "/folder/name"
        if name == "dir":
            files, path = fsspec.filesystem("dir", path="/folder", fs=store), "name"
        elif name != "memory":
            files = fsspec.filesystem(name, fs=store, skip_instance_cache=True)
        outcomes.append(outcome(create, files, path))
    seen[name] = tuple(outcomes)
    print(f"{name:14}{outcomes[0]:18}{outcomes[1]:18}{'' if seen[name] == expected[name] else 'CHANGED'}")
sys.exit(seen != expected)
PYTHON
TMPDIR="$folder" "$folder/venv/bin/python" "$folder/show.py"
