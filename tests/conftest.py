"""What tests share: a framework and what runs with it, processes that have loaded TensorFlow, a real TensorBoard."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import importlib.util
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arithmetic import ARITHMETIC
from forks import Forks
from places import TESTS, environment
from serving import TensorBoardServer, run_tensorboard

from tb_layerview.measure.measurement import Measurement

# Read when TensorFlow is imported: errors only. Set before any test module imports it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

#: What computes in this environment; nothing does where stores are tested. JAX is there beside TensorFlow, for the
#: arrays that it makes.
FRAMEWORK = next((name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)), "stores")
if FRAMEWORK in ("jax", "torch"):
    os.environ.setdefault("KERAS_BACKEND", FRAMEWORK)
#: What is tested without TensorFlow: in each such environment the first folder, and those of its framework.
KERAS = TESTS / "capture" / "keras"
WITHOUT_TENSORFLOW = (
    KERAS / "backends",
    *(TESTS / folder / framework for folder in ("capture/keras", "capture") for framework in ("jax", "torch")),
    TESTS / "stores",
)

#: What `make test` runs of a way to train on the stack that people mainly have for another: Keras with TensorFlow 2.15,
#: graphs with TensorFlow 2.21. The other files are `long` there.
_OF_KERAS = ("keras_layers", "keras_programs")
ON_BOTH = {
    "keras": {f"test_{name}.py" for name in ("callback", "first_batch", *_OF_KERAS, "recorder", "replay")},
    "graph": {"test_fusions.py", "test_hook.py", "test_hook_replay.py"},
}

#: What `backends` and `jax` have in other words, and takes XLA long to compile: `long` on JAX.
TWICE_ON_JAX = {
    "test_a_training_is_bit_identical_with_and_without_the_callback",
    "test_an_int8_model_that_learns_by_lora_is_trained_the_same_to_the_last_bit",
}

# The mark `core`; `--coverage-results` and the mark `covers`; `--processor-seconds`; what there is no time for.
pytest_plugins = ["core_cases", "coverage_table", "processor_seconds", "time_left"]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out what is not for this environment's framework; a file that is named is collected all the same."""
    if FRAMEWORK == "tensorflow":
        return True if collection_path in WITHOUT_TENSORFLOW else None
    names = (FRAMEWORK,) if FRAMEWORK == "stores" else ("backends", FRAMEWORK)
    own = [folder for folder in WITHOUT_TENSORFLOW if folder.name in names]
    on_the_way = any(collection_path.is_relative_to(folder) or collection_path in folder.parents for folder in own)
    return None if on_the_way else True


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
    for item in items:
        if FRAMEWORK == "jax" and getattr(item, "originalname", "") in TWICE_ON_JAX:
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


@pytest.fixture(autouse=True, scope="module")
def what_is_there_stays() -> None:
    """No collection of garbage looks through what was there before this module's tests.

    A framework is 400,000 objects, and Keras' `clear_session` collects garbage: that took half of some files' time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def no_word_of_costs() -> Iterator[None]:
    """A logged step may take as long as it does: on a busy machine the words of it stand in any test's records, and
    in the notes of any ladder's log.

    Of a module, as there are trainings that all tests of one share. A module that tests the words, on a clock of its
    own, has a fixture of this name that leaves them on.
    """
    from tb_layerview.writing import cost_warning

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cost_warning, "_DEAR", float("inf"))
        patched.setattr(cost_warning, "_NOTICED", float("inf"))
        yield


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The writing thread begins to measure when a training may be steps further; how many tensors it has measured."""
    from tb_layerview.measure.handed import Handed

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
