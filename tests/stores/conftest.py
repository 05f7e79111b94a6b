"""Stores on the loopback device: moto's S3, and what a test has it do to requests, and an emulator of Google's."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

server = pytest.importorskip("moto.server", reason="needs s3fs and moto: .venv-stores")

BUCKET = "bucket"
_SECRET = "not-to-be-told"
# Else it asks by gRPC of which type a bucket is, and waits a minute, as the emulator answers by HTTP alone. It looks
# when it is imported.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


@dataclasses.dataclass
class S3:
    """A server of S3.

    Attributes:
      url: Its address.
      requests: The method, path and range of each that came.
      ours: Those of them that did not come from TensorBoard's own loader, which asks by boto3.
      sent: The bytes of answers to GET that it has sent.
      refuse: Answers a request itself where it returns a status, as 503; None lets it through.
      delay: Seconds before each answer.
      hangs: Whether none is answered, which path it asks for, until it no longer is so.
    """

    url: str = ""
    requests: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    ours: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    sent: int = 0
    refuse: Callable[[str], int | None] = lambda _: None
    delay: float = 0.0
    hangs: Callable[[str], bool] = lambda _: False

    @property
    def address(self) -> str:
        return f"s3://{BUCKET}"

    def forget(self) -> None:
        """Forgets what came until now."""
        self.requests.clear()
        self.ours.clear()
        self.sent = 0

    def gets(self) -> list[tuple[str, str]]:
        """The paths and ranges of objects that were read."""
        return [(path, part) for method, path, part in self.requests if method == "GET" and path.count("/") > 1]


class _Watched:
    """The application, and what is known of its requests."""

    def __init__(self, s3: S3, application: Any) -> None:
        self._s3, self._application = s3, application
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        status = self._s3.refuse(method)
        with self._lock:
            request = (method, path, environ.get("HTTP_RANGE", ""))
            self._s3.requests.append(request)
            if "boto3" not in environ.get("HTTP_USER_AGENT", "").lower():
                self._s3.ours.append(request)
        while self._s3.hangs(path):
            time.sleep(0.05)
        if self._s3.delay:
            time.sleep(self._s3.delay)
        if status is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            code = {403: "AccessDenied", 503: "SlowDown"}[status]
            body = f"<Error><Code>{code}</Code><Message>{code} it is</Message></Error>".encode()
            start_response(f"{status} {code}", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
            return [body]
        answer = list(self._application(environ, start_response))
        if method == "GET":
            with self._lock:
                self._s3.sent += sum(map(len, answer))
        return answer


@pytest.fixture(scope="session")
def _running() -> Iterator[S3]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from moto.server import DomainDispatcherApplication, create_backend_app

    s3 = S3()
    serving = make_server("127.0.0.1", 0, _Watched(s3, DomainDispatcherApplication(create_backend_app)), threaded=True)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    s3.url = f"http://127.0.0.1:{serving.server_port}"
    yield s3
    serving.shutdown()


@pytest.fixture
def s3(_running: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A store with an empty bucket, found where s3fs and TensorBoard look."""
    from tb_layerview.format import remote_storage

    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": _SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": _running.url,
        "S3_ENDPOINT": _running.url,
    }.items():
        monkeypatch.setenv(name, value)
    remote_storage._store.cache_clear()
    filesystem = files()
    filesystem.mkdir(BUCKET)
    _running.forget()
    yield _running
    _running.refuse, _running.hangs, _running.delay = (lambda _: None), (lambda _: False), 0.0
    filesystem.rm(BUCKET, recursive=True)
    remote_storage._store.cache_clear()


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
    authorizer.add_anonymous(str(tmp_path))
    handler = type("Handler", (handlers.FTPHandler,), {"authorizer": authorizer})
    serving = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    host, port = serving.address[:2]
    yield f"ftp://{host}:{port}"
    serving.close_all()
    thread.join(10)
