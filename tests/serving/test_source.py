"""Where a run's files are: below the log folder, whatever it is called, and nowhere else."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
from tensorboard.plugins import base_plugin

from tb_layerview.format.places import RemotePath
from tb_layerview.serving.source import RunSource


def source(logdir: str = "", **paths: str) -> RunSource:
    """Of the Rust loader, which gives names alone, or of the Python loader, which gives paths by name."""
    multiplexer = types.SimpleNamespace(RunPaths=lambda: paths) if paths else None
    return RunSource(base_plugin.TBContext(logdir=logdir, data_provider=object(), multiplexer=multiplexer))


@pytest.mark.parametrize("end", ["", "/"])
def test_a_name_leads_to_a_folder_below_the_log_folder(end: str, tmp_path: Path) -> None:
    local, store = source(f"{tmp_path}{end}"), source(f"gs://bucket/logs{end}")
    assert [local._folder(name) for name in (".", "a/layers")] == [tmp_path, tmp_path / "a/layers"]
    assert [store._folder(name) for name in (".", "a/layers", "a..b")] == [
        RemotePath("gs://bucket/logs"),
        RemotePath("gs://bucket/logs/a/layers"),
        RemotePath("gs://bucket/logs/a..b"),
    ]


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "..", "/etc/layers", "//etc"])
def test_a_name_that_leads_out_of_it_leads_nowhere(name: str, tmp_path: Path) -> None:
    """As those of objects may: an object in a bucket can be called anything."""
    assert source(str(tmp_path))._folder(name) is None
    assert source("gs://bucket/logs")._folder(name) is None
    assert source(x=f"s3://bucket/logs/{name}")._folder("x") is None or name.startswith("/")


def test_an_address_of_this_machine_is_a_folder_and_a_password_is_not_shown(tmp_path: Path) -> None:
    found: Any = source(x=f"file://{tmp_path}/logs", y="s3://AKIA1:hid/den@bucket/logs", z="S3://bucket/logs/")
    assert found._folder("x") == tmp_path / "logs"
    assert str(found._folder("y")) == "s3://AKIA1:…@bucket/logs"
    assert str(found._folder("z")).lower() == "s3://bucket/logs"
    assert found._folder("w") is None
