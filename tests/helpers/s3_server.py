"""A server of S3 on the loopback device: moto's, and what a test has it do to requests.

`python s3_server.py [DELAY]` serves one with a bucket, in a process of its own, until its standard input ends, and
prints its address. It answers each line of its input: `stop` and `start` when it has done so, any other with what came
so far, a JSON object of `requests`, `put` and `got`, the bytes of bodies and of answers to GET.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

BUCKET = "bucket"
SECRET = "not-to-be-told"


@dataclasses.dataclass
class S3:
    """A server of S3.

    Attributes:
      url: Its address.
      requests: The method, path and range of each that came.
      ours: Those of them that did not come from TensorBoard's own loader, which asks by boto3.
      put: The bytes of bodies that came.
      sent: The bytes of answers to GET that it has sent.
      refuse: Answers a request itself where it returns a status, as 503; None lets it through.
      delay: Seconds before each answer.
      hangs: Whether none is answered, which path it asks for, until it no longer is so.
      waiting: How many it has that are not answered yet.
    """

    url: str = ""
    requests: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    ours: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    put: int = 0
    sent: int = 0
    refuse: Callable[[str], int | None] = lambda _: None
    delay: float = 0.0
    hangs: Callable[[str], bool] = lambda _: False
    waiting: int = 0
    _serving: Any = None

    def start(self) -> None:
        """Serves, at the address that it has had."""
        from werkzeug.serving import make_server

        port = int(self.url.rpartition(":")[2]) if self.url else 0
        self._serving = make_server("127.0.0.1", port, self._application, threaded=True)
        self.url = f"http://127.0.0.1:{self._serving.server_port}"
        threading.Thread(target=self._serving.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Refuses connections, and forgets nothing."""
        self._serving.shutdown()
        self._serving.server_close()

    @functools.cached_property
    def _application(self) -> _Watched:
        from moto.server import DomainDispatcherApplication, create_backend_app

        return _Watched(self, DomainDispatcherApplication(create_backend_app))

    @property
    def address(self) -> str:
        return f"s3://{BUCKET}"

    def refuses(self, kind: str, status: int) -> None:
        """Answers requests of a method with a status from now on."""
        self.refuse = lambda method: status if method == kind else None

    def accepts(self) -> None:
        """Answers all requests from now on."""
        self.refuse = lambda _: None

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
            self._s3.put += int(environ.get("CONTENT_LENGTH") or 0)
            self._s3.waiting += 1
        try:
            return self._answer(environ, start_response, status)
        finally:
            with self._lock:
                self._s3.waiting -= 1

    def _answer(self, environ: dict[str, Any], start_response: Any, status: int | None) -> list[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        while self._s3.hangs(path):
            time.sleep(0.05)
        if self._s3.delay:
            time.sleep(self._s3.delay)
        if status is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            code = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}[status]
            body = f"<Error><Code>{code}</Code><Message>{code} it is</Message></Error>".encode()
            start_response(f"{status} {code}", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
            return [body]
        answer = list(self._application(environ, start_response))
        if method == "GET":
            with self._lock:
                self._s3.sent += sum(map(len, answer))
        return answer


@contextmanager
def served() -> Iterator[S3]:
    """A server without a bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3 = S3()
    s3.start()
    yield s3
    s3.stop()


def variables(url: str) -> dict[str, str]:
    """The variables by which s3fs and TensorBoard find a server, and are let in."""
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "S3_ENDPOINT": url,
        "AWS_MAX_ATTEMPTS": "1",  # of botocore's, below those of s3fs and ours
    }


def main() -> None:
    """Serves a bucket until nothing more comes in."""
    import boto3

    with served() as s3:
        access = {"aws_access_key_id": "testing", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=s3.url, **access).create_bucket(Bucket=BUCKET)
        s3.delay = float(sys.argv[1]) if sys.argv[1:] else 0.0
        print(s3.url, flush=True)
        for line in sys.stdin:
            if line.strip() in ("stop", "start"):
                getattr(s3, line.strip())()
            print(json.dumps({"requests": len(s3.requests), "put": s3.put, "got": s3.sent}), flush=True)


if __name__ == "__main__":
    main()
