"""Stores on the loopback device, found where what opens them looks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import HELPERS, ROOT
from s3_server import BUCKET, S3, served, variables


@pytest.fixture(scope="session")
def _running() -> Iterator[S3]:
    pytest.importorskip("moto.server", reason="needs s3fs and moto: .venv-stores")
    with served() as s3:
        yield s3


@pytest.fixture
def s3(_running: S3, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[S3]:
    """A store with an empty bucket, found where s3fs and TensorBoard look."""
    from tb_layerview.format import remote_storage

    for name, value in variables(_running.url).items():
        monkeypatch.setenv(name, value)
    remote_storage._store.cache_clear()
    filesystem = files()
    filesystem.mkdir(BUCKET)
    _running.requests.clear()
    _running.sent = 0
    yield _running
    _running.delay = 0.0
    _running.accepts()
    filesystem.rm(BUCKET, recursive=True)
    remote_storage._store.cache_clear()


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what a store does not take is kept."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def s3_beside(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[str]:
    """A bucket's address, for what computes: the server is a process of the stores' own environment."""
    from tb_layerview.format import remote_storage

    pytest.importorskip("s3fs")
    python = ROOT / ".venv-stores/bin/python"
    if not python.exists():
        pytest.skip("needs moto: make .venv-stores/.ready")
    command = [python, HELPERS / "s3_server.py"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    for name, value in variables(process.stdout.readline().strip()).items():
        monkeypatch.setenv(name, value)
    remote_storage._store.cache_clear()
    yield f"s3://{BUCKET}"
    remote_storage._store.cache_clear()
    process.stdin.close()
    process.wait(30)


def files() -> Any:
    """What a person has beside ours: a file system that keeps no listings."""
    import fsspec

    return fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
