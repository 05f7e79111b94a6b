"""What tests share: a quiet TensorFlow, a real TensorBoard, a real Chromium."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from chromium import find_chromium
from serving import TensorBoardServer, run_tensorboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Read when TensorFlow is imported: errors only. Set before any test module imports it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Its option `--coverage-results` and its mark `covers`.
pytest_plugins = ["coverage_table"]

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs a TensorFlow of before Keras 3 where there is none."""
    if _is_installed("tensorflow-estimator"):
        return
    lacking = {"estimator": "needs tf.estimator, that is TensorFlow 2.15"}
    if not (_is_installed("tf_keras") and os.environ.get("TF_USE_LEGACY_KERAS") == "1"):
        lacking["tf_layers"] = "needs tf.compat.v1.layers, that is TensorFlow 2.15 or TF_USE_LEGACY_KERAS=1"
    for item in items:
        for mark, reason in lacking.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.fixture
def tensorboard_server() -> Iterator[Callable[..., TensorBoardServer]]:
    """Starts TensorBoards and ends them after the test: `server = tensorboard_server(logdir, "--load_fast=false")`.

    The arguments are those of `serving.run_tensorboard`, which is there for use outside of a test function.
    """
    with contextlib.ExitStack() as stack:
        yield lambda logdir, *flags: stack.enter_context(run_tensorboard(logdir, *flags))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium with an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS, headless=True)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page as wide as a small laptop's. An error that nobody catches in it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"{error.name}: {error.message}\n{error.stack}"))
    yield page
    context.close()
    assert not errors, "\n".join(errors)
