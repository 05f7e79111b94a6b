"""What the end-to-end tests share: a real Chromium, a page in it, and a TensorBoard over the module's log folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chromium import find_chromium
from layers_tab import PATIENCE, new_page, showing
from serving import TensorBoardServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium with an empty profile."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)  # else five seconds
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_FLAGS, headless=True, timeout=PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page as wide as a small laptop's. An error that nobody catches in it fails the test."""
    errors: list[str] = []
    with new_page(browser, viewport={"width": 1280, "height": 800}, reduced_motion="reduce") as page:
        page.on("pageerror", lambda error: errors.append(f"{error.name}: {error.message}\n{error.stack}"))
        yield page
    assert not errors, "\n".join(errors)


@pytest.fixture
def clipboard(page: Page) -> None:
    """Lets the page write into the clipboard and read from it."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])


@pytest.fixture(scope="module")
def server(logdir: Path) -> Iterator[TensorBoardServer]:
    """TensorBoard over the folder that the module's fixture `logdir` has made."""
    with showing(logdir, "--load_fast=false", "--reload_interval=1") as running:
        yield running
