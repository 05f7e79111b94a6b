"""Stores on the loopback device, found where what opens them looks."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
import subprocess
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from places import HELPERS, ROOT
from s3_server import BUCKET, S3, served, variables

# Else it asks by gRPC of which type a bucket is, and waits a minute, as the emulator answers by HTTP alone. It looks
# when it is imported.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


@pytest.fixture(scope="session")
def _running() -> Iterator[S3]:
    pytest.importorskip("moto.server", reason="needs s3fs and moto: .venv-stores")
    with served() as s3:
        yield s3


@pytest.fixture
def s3(_running: S3, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[S3]:
    """A store with an empty bucket, found where s3fs and TensorBoard look."""
    from tb_layerview.format import remote_storage
    from tb_layerview.writing import objects

    for name, value in variables(_running.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(objects, "CLOSING", 600.0)  # a busy machine takes its time
    remote_storage._store.cache_clear()
    filesystem = files()
    filesystem.mkdir(BUCKET)
    _running.forget()
    yield _running
    _running.delay, _running.hangs = 0.0, lambda _: False
    _running.accepts()
    _remove_bucket(filesystem)
    remote_storage._store.cache_clear()


def _remove_bucket(filesystem: Any) -> None:
    """Removes it with all that is in it, also what a request puts there meanwhile that was on its way."""
    end = time.monotonic() + 120
    while True:
        try:
            return filesystem.rm(BUCKET, recursive=True)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what a store does not take is kept."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow one another quickly, and parts are sent at once."""
    from tb_layerview.writing import objects, outbox

    monkeypatch.setattr(outbox, "_SOON", 0.05)
    monkeypatch.setattr(outbox, "_LATE", 0.2)
    monkeypatch.setattr(objects, "_FIRST", 0.01)
    monkeypatch.setattr(objects, "OLDEST", 0.01)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A store that gave no answer is not asked again until this is called, however long a busy machine takes."""
    from tb_layerview.format import remote_storage

    passed = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0], thread_time=time.thread_time)
    monkeypatch.setattr(remote_storage, "time", clock)
    monkeypatch.setattr(remote_storage, "_REST", 1e6)

    def pass_by() -> None:
        passed[0] += 2e6

    return pass_by


@pytest.fixture(params=["s3", "gcs"])
def beside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[str]:
    """A bucket's address, for what computes: the server is a process of the stores' own environment."""
    from tb_layerview.format import remote_storage

    pytest.importorskip("s3fs" if request.param == "s3" else "gcsfs")
    python = ROOT / ".venv-stores/bin/python"
    if not python.exists():
        pytest.skip("needs what serves stores: make .venv-stores/.ready")
    command = [python, HELPERS / f"{request.param}_server.py"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    url = process.stdout.readline().strip()
    for name, value in (variables(url) if request.param == "s3" else {"STORAGE_EMULATOR_HOST": url}).items():
        monkeypatch.setenv(name, value)
    remote_storage._store.cache_clear()
    yield f"s3://{BUCKET}" if request.param == "s3" else f"gs://{BUCKET}"
    remote_storage._store.cache_clear()
    process.stdin.close()
    process.wait(120)


def files() -> Any:
    """What a person has beside ours: a file system that keeps no listings."""
    import fsspec

    return fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)


@dataclasses.dataclass
class GCS:
    """A server of Google's storage.

    Attributes:
      requests: The method, path and range of each request that came.
      refuse: What a request that reads is answered, as 403; 0 lets it through.
      hangs: Whether none that reads is answered until it no longer is so.
    """

    requests: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    refuse: int = 0
    hangs: bool = False

    @property
    def address(self) -> str:
        return f"gs://{BUCKET}"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GCS]:
    """A store with an empty bucket, found where gcsfs looks."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcsfs and gcp-storage-emulator")
    from tb_layerview.format import remote_storage

    found = GCS()
    handler = emulator.RequestHandler
    answer = handler.do_GET

    def watched(self: Any) -> None:
        found.requests.append(("GET", self.path, self.headers.get("Range") or ""))
        while found.hangs:
            threading.Event().wait(0.05)
        if found.refuse:
            body = json.dumps({"error": {"code": found.refuse, "message": "it is refused"}}).encode()
            self.send_response(found.refuse)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        answer(self)

    monkeypatch.setattr(handler, "do_GET", watched)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    remote_storage._store.cache_clear()
    with serving:
        yield found
        found.hangs = False
    remote_storage._store.cache_clear()


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[str]:
    """The address of a server of FTP that shows `tmp_path` to anybody."""
    handlers = pytest.importorskip("pyftpdlib.handlers", reason="needs pyftpdlib")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.servers import ThreadedFTPServer

    logging.getLogger("pyftpdlib").setLevel(logging.ERROR)
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(tmp_path), perm="elradfmwMT")
    handler = type("Handler", (handlers.FTPHandler,), {"authorizer": authorizer})
    serving = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    host, port = serving.address[:2]
    yield f"ftp://{host}:{port}"
    serving.close_all()
    thread.join(10)
