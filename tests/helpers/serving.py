"""A real TensorBoard process, for tests that look at it from outside."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

# Whatever proxy the machine has, it is not for the loopback device.
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
#: A program that starts TensorBoard as it is where no TensorFlow is installed, in a sixth of the processor time.
_WITHOUT_TENSORFLOW = "import sys; sys.modules['tensorflow'] = None; from tensorboard import main; main.run_main()"


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a server answered.

    Attributes:
      status: The HTTP status.
      content_type: The media type, without parameters.
      body: The bytes.
    """

    status: int
    content_type: str
    body: bytes


@dataclasses.dataclass(frozen=True)
class TensorBoardServer:
    """A TensorBoard that is up.

    Attributes:
      url: Its address, path prefix included, without a slash at the end.
      log: The file that holds what it has printed.
    """

    url: str
    log: Path

    def get(self, path: str) -> Reply:
        """Requests `path`, which begins with a slash; an HTTP error is a reply like any other."""
        return get(self.url + path)


def get(url: str) -> Reply:
    """Requests `url`; an HTTP error is a reply like any other."""
    try:
        with _DIRECTLY.open(url, timeout=120) as response:
            return Reply(response.status, response.headers.get_content_type(), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers.get_content_type(), error.read())


@contextlib.contextmanager
def run_tensorboard(
    logdir: str | os.PathLike[str],
    *flags: str,
    python: str = sys.executable,
    tensorflow: bool = False,
    timeout: float = 300.0,
) -> Iterator[TensorBoardServer]:
    """Runs TensorBoard on a free port of the loopback device until the block ends.

    Args:
      logdir: The folder that it shows.
      *flags: Further flags: `--load_fast=false`, `--path_prefix=/tb`, `--reload_interval=1`, ...
      python: The interpreter whose TensorBoard it is.
      tensorflow: Whether it loads TensorFlow, with which its Python loader reads events, if that is installed.
      timeout: Seconds until it must answer.

    Yields:
      The server, once it has answered.
    """
    command = [
        python,
        *(("-m", "tensorboard.main") if tensorflow else ("-c", _WITHOUT_TENSORFLOW)),
        "--host=127.0.0.1",
        "--port=0",
        f"--logdir={os.fspath(logdir)}",
        *flags,
    ]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "tensorboard.log")
        with log.open("wb") as output:
            # What is not installed must not be found because the tests happen to run in the checkout.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder
            )
        try:
            yield TensorBoardServer(_wait_for_url(process, log, time.monotonic() + timeout), log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_url(process: subprocess.Popen[bytes], log: Path, deadline: float) -> str:
    """Returns the address that TensorBoard prints, once it answers there."""
    while time.monotonic() < deadline:
        said = log.read_text(errors="replace")
        if process.poll() is not None:
            raise RuntimeError(f"TensorBoard ended with exit status {process.returncode}:\n{said}")
        url = re.search(r"TensorBoard \S+ at (http://\S+)", said)
        if url:
            address = url[1].rstrip("/")
            with contextlib.suppress(urllib.error.URLError):  # It prints the address before it listens.
                if get(address + "/data/environment").status == 200:
                    return address
        time.sleep(0.1)
    raise TimeoutError(f"TensorBoard does not answer. It has printed:\n{log.read_text(errors='replace')}")
