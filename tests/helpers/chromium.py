"""The browser of the end-to-end tests. Run as a command, installs one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Returns the path of the Chromium or Chrome that is installed; None: only Playwright may have one.

    Raises:
      FileNotFoundError: The environment variable CHROMIUM names no program.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        found = shutil.which(named)
        if found is None:
            raise FileNotFoundError(f"CHROMIUM is {named!r}, which is no program; unset it, or let it name a Chromium.")
        return found
    return next(filter(None, map(shutil.which, NAMES)), None)


def install_chromium() -> None:
    """Makes sure that there is a browser: Debian's as root on Debian, else Playwright's own."""
    if find_chromium():
        return
    if hasattr(os, "geteuid") and os.geteuid() == 0 and Path("/etc/debian_version").exists():
        print("Installing chromium, for the end-to-end tests.", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-yqq", "--no-install-recommends", "chromium", "fonts-liberation"],
        ):
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    else:
        # Returns at once where it has been installed before.
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


if __name__ == "__main__":
    install_chromium()
