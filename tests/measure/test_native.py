"""Which native level is taken, what happens where there is none, and that it is compiled anew when it has changed."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from tb_layerview.measure import host
from tb_layerview.measure.native import library

needs_library = pytest.mark.skipif(not library.LIBRARY.is_file(), reason="there is no native library")


@pytest.fixture(autouse=True)
def _chosen_anew() -> Iterator[None]:
    library.engine.cache_clear()
    yield
    library.engine.cache_clear()


@needs_library
def test_the_best_level_of_the_processor_is_taken() -> None:
    found = library.engines()
    assert list(found) == list(library.LEVELS[: len(found)])
    chosen = library.choose("")
    assert chosen is not None and chosen.level == list(found)[-1]


@needs_library
def test_linux_itself_says_which_levels_the_processor_has() -> None:
    told = Path("/proc/cpuinfo")
    if not told.is_file() or os.uname().machine != "x86_64":
        pytest.skip("needs /proc/cpuinfo of an x86-64 processor")
    flags = next(line for line in told.read_text().splitlines() if line.startswith("flags")).split()
    has = [True, "avx2" in flags, {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= set(flags)]
    assert list(library.engines()) == [level for level, there in zip(library.LEVELS, has) if there]


@needs_library
@pytest.mark.parametrize("level", library.engines())
def test_the_variable_forces_a_level(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, level)
    chosen = library.engine()
    assert chosen is not None and chosen.level == level


def test_the_variable_forces_numpy(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(library.VARIABLE, "none")
    assert library.engine() is None
    measured = host.measure(np.arange(6.0).reshape(2, 3), units=True)
    assert measured.digest.mean == 2.5
    assert caplog.messages == []


@needs_library
def test_a_level_that_is_not_there_is_said_and_the_best_one_taken(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tb_layerview"):
        chosen = library.choose("avx1024")
    best = list(library.engines())[-1]
    assert chosen is not None and chosen.level == best
    (message,) = caplog.messages
    assert "TB_LAYERVIEW_NATIVE='avx1024' is not among those that this processor has" in message
    assert message.endswith(f"none. {best} it is.")


def test_without_a_library_numpy_measures_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    choose = library.choose
    monkeypatch.setattr(library, "choose", lambda wish: choose(wish, tmp_path / "digest.so"))
    with caplog.at_level(logging.WARNING, "tb_layerview"):
        for _ in range(3):
            assert host.measure(np.ones(3)).digest.mean == 1
    assert caplog.messages == ["There is no native digest (digest.so): numpy does the same, slower."]


def test_a_file_that_is_no_library_is_said_and_numpy_measures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = tmp_path / "digest.so"
    broken.write_bytes(b"\x7fELF of another machine")
    with caplog.at_level(logging.WARNING, "tb_layerview"):
        assert library.choose("", broken) is None
    (message,) = caplog.messages
    assert message.startswith("The native digest cannot be loaded, numpy does the same, slower: ")


@needs_library
def test_what_has_been_measured_is_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "baseline")
    monkeypatch.setattr(host, "look", None)  # numpy's
    assert host.measure(np.arange(6.0).reshape(2, 3), units=True).digest.mean == 2.5


def _measured(array: np.ndarray) -> float:
    engine = library.engines()["baseline"]
    return engine.look(array, units=True, threads=4).digest.mean


@needs_library
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_process_that_was_forked_measures_as_its_parent_did() -> None:
    array = np.random.default_rng(0).normal(size=(3000, 1000)).astype(np.float32)
    before = threading.enumerate()
    wanted = _measured(array)
    assert set(threading.enumerate()) <= set(before), "some that it began are left"
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(_measured, [array] * 4).get(timeout=120)
    assert set(found) == {wanted}


@needs_library
def test_a_thread_that_cannot_be_started_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).normal(size=(3000, 1000)).astype(np.float32)
    engine = library.engines()["baseline"]
    wanted = engine.look(array, units=True, threads=1)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found = engine.look(array, units=True, threads=4)
    assert found.digest == wanted.digest
    assert found.cells is not None and wanted.cells is not None
    assert np.array_equal(found.cells, wanted.cells)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the library is made of, without one."""
    if not (ROOT / "build_native.py").is_file():
        pytest.skip("not in a checkout")
    native = tmp_path / "tb_layerview" / "measure" / "native"
    native.mkdir(parents=True)
    shutil.copy(ROOT / "build_native.py", tmp_path)
    for file in library.LIBRARY.parent.glob("*.[ch]"):
        shutil.copy(file, native)
    return tmp_path


def build(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != library.VARIABLE}
    command = [sys.executable, "build_native.py"]
    return subprocess.run(command, cwd=checkout, env={**environment, **variables}, capture_output=True, text=True)


def test_a_changed_source_is_compiled_anew_and_an_unchanged_one_is_not(checkout: Path) -> None:
    native = checkout / "tb_layerview" / "measure" / "native"
    first = build(checkout)
    assert first.returncode == 0, first.stderr
    if not (native / library.LIBRARY.name).is_file():
        pytest.skip(first.stderr)
    assert first.stdout.startswith("Compiled the native digest into ")
    assert list(library.engines(native / library.LIBRARY.name))
    assert build(checkout).stdout == ""
    with open(native / "piece.h", "a", encoding="utf-8") as file:
        file.write("#error it has changed\n")
    failed = build(checkout)
    assert failed.returncode == 1
    assert "it has changed" in failed.stderr
    # What is no longer that of its sources is not taken for it.
    assert not (native / library.LIBRARY.name).exists()
    assert {path.suffix for path in native.iterdir()} == {".c", ".h"}


def test_without_a_compiler_nothing_is_made_and_it_is_said(checkout: Path, tmp_path: Path) -> None:
    program = (
        "import build_native, importlib.util, sys\n"
        "build_native.importlib.util.find_spec = lambda name: None\n"
        "print(build_native.compiler_requirements())\n"
        "sys.exit(build_native.main([]))\n"
    )
    environment = {**os.environ, "PATH": str(tmp_path / "nowhere")}
    environment.pop(library.VARIABLE, None)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout in ("['ziglang>=0.13']\n", "[]\n")
    assert "needs a C compiler, and none was found: numpy will do the same, slower" in done.stderr


def test_a_build_without_it_can_be_asked_for(checkout: Path) -> None:
    done = build(checkout, TB_LAYERVIEW_NATIVE="none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list((checkout / "tb_layerview" / "measure" / "native").glob(library.LIBRARY.name))


def test_no_option_lets_the_compiler_change_the_sums() -> None:
    text = (ROOT / "build_native.py").read_text(encoding="utf-8")
    flags = text[text.index("FLAGS = (") : text.index("_SPELLINGS")]
    assert "-ffp-contract=off" in flags
    assert not [word for word in ("-ffast-math", "-Ofast", "-funsafe", "-mfma", "-march=") if word in flags]
