"""What tests share: a quiet TensorFlow, processes that have loaded it, a real TensorBoard."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import time
from collections.abc import Callable, Iterator

import pytest
from arithmetic import ARITHMETIC
from forks import Forks
from places import environment
from serving import TensorBoardServer, run_tensorboard

from tb_layerview.measure.measurement import Measurement

# Read when TensorFlow is imported: errors only. Set before any test module imports it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

#: What `make test` runs of a way to train on the stack that people mainly have for another: Keras with TensorFlow 2.15,
#: graphs with TensorFlow 2.21. The other files are `long` there.
ON_BOTH = {
    "keras": {"test_callback.py", "test_first_batch.py", "test_keras_layers.py", "test_recorder.py", "test_replay.py"},
    "graph": {"test_fusions.py", "test_hook.py", "test_hook_replay.py"},
}

# The mark `core`; the option `--coverage-results` and the mark `covers`.
pytest_plugins = ["core_cases", "coverage_table"]


@pytest.hookimpl(tryfirst=True)  # before those are left out that `-m` does not ask for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what depends on how TensorFlow computes, and what is long; skips what needs Keras 2 where there is none."""
    for item in items:
        if item.path.name in ARITHMETIC:
            item.add_marker(pytest.mark.arithmetic)
    other = "keras" if _is_installed("tensorflow-estimator") else "graph"
    for item in items:
        if item.path.parent.name == other and item.path.name not in ON_BOTH[other]:
            item.add_marker(pytest.mark.long)
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


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """What runs programs in processes of their own that have TensorFlow loaded already."""
    started = Forks(environment(TF_CPP_MIN_LOG_LEVEL="3"))
    yield started
    started.close()


@pytest.fixture
def quiet_tensorflow() -> Iterator[None]:
    """TensorFlow's Python logger tells of errors only, in this test and no later one."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The writing thread begins to measure when a training may be steps further; how many tensors it has measured."""
    from tb_layerview.measure.tf.in_memory import Handed

    measure, measured = Handed.measurements, list[int]()

    def late(self: Handed) -> dict[int, Measurement]:
        time.sleep(0.03)
        measured.append(len(self.arrays))
        return measure(self)

    monkeypatch.setattr(Handed, "measurements", late)
    return measured


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors are digested by TensorFlow's operations, as where there is an accelerator."""
    from tb_layerview.measure.tf import in_memory

    monkeypatch.setattr(in_memory, "is_possible", lambda: False)


@pytest.fixture
def tensorboard_server() -> Iterator[Callable[..., TensorBoardServer]]:
    """Starts TensorBoards and ends them after the test: `server = tensorboard_server(logdir, "--load_fast=false")`.

    The arguments are those of `serving.run_tensorboard`, which is there for use outside of a test function.
    """
    with contextlib.ExitStack() as stack:
        yield lambda logdir, *flags: stack.enter_context(run_tensorboard(logdir, *flags))
