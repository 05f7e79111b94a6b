"""A server that stands for Google's storage, on the loopback device, with a bucket, until its standard input ends.

`python gcs_server.py` prints its address.
"""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Serves until nothing more comes in."""
    from gcp_storage_emulator.server import create_server

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
