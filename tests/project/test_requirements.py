"""The locks of the environments: within the ranges of pyproject.toml and requirements/*.in, and of no one's index."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import tomllib
import venv
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.once

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = {path.stem: path for path in sorted(REQUIREMENTS.glob("*.lock"))}
#: Of each stack, where it is used: the interpreter and platform of `python_full_version` and the rest of the markers.
NEW = ("3.11.7", "3.12.1", "3.13.0")
PYTHONS = {"modern": NEW, "estimator": ("3.11.7",), "jax": NEW, "torch": NEW, "stores": NEW}
#: What each has to compute with; the others must not be there, but for the arrays of JAX that the modern stack logs.
FRAMEWORKS = {
    "modern": {"tensorflow", "jax"},
    "estimator": {"tensorflow"},
    "jax": {"jax"},
    "torch": {"torch"},
    "stores": set(),
}
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix", "platform_system": "Linux"}
MAC = {"sys_platform": "darwin", "platform_machine": "arm64", "os_name": "posix", "platform_system": "Darwin"}
WINDOWS = {"sys_platform": "win32", "platform_machine": "AMD64", "os_name": "nt", "platform_system": "Windows"}
PLACES = [
    pytest.param(stack, python, place, id=f"{stack}, Python {python}, {place['sys_platform']}")
    for stack, pythons in PYTHONS.items()
    for python in pythons
    for place in (LINUX, MAC, WINDOWS)
]


def requirements(path: Path) -> list[Requirement]:
    """What a file of requirements asks for; a line that is none is refused."""
    lines = [line.partition(" #")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned(stack: str, python: str, place: dict[str, str]) -> dict[str, str]:
    """The versions that a lock names for one Python on one platform."""
    there = {**place, "python_full_version": python, "python_version": python.rpartition(".")[0]}
    found: dict[str, str] = {}
    for requirement in requirements(LOCKS[stack]):
        (version,) = requirement.specifier
        assert version.operator == "==" and "*" not in version.version, requirement
        if requirement.marker is None or requirement.marker.evaluate(there):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is there twice"
            found[name] = version.version
    return found


def violations(asked: list[Requirement], found: dict[str, str], there: dict[str, str]) -> list[str]:
    """What is asked for, and what is there instead."""
    where = {**there, "extra": "test"}
    asked = [requirement for requirement in asked if requirement.marker is None or requirement.marker.evaluate(where)]
    locked = [(requirement, found.get(canonicalize_name(requirement.name))) for requirement in asked]
    return [f"{asked}: {version}" for asked, version in locked if not version or not asked.specifier.contains(version)]


def test_there_is_a_lock_of_each_stack() -> None:
    assert LOCKS.keys() == PYTHONS.keys() == {path.stem for path in REQUIREMENTS.glob("*.in")}


@pytest.mark.parametrize(("stack", "python", "place"), PLACES)
def test_a_lock_keeps_to_the_ranges(stack: str, python: str, place: dict[str, str]) -> None:
    ranges = [Requirement(line) for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"])]
    there = {**place, "python_full_version": python, "python_version": python.rpartition(".")[0]}
    found = pinned(stack, python, place)
    assert violations([*ranges, *requirements(REQUIREMENTS / f"{stack}.in")], found, there) == []
    known = ("tensorflow", "tensorflow-cpu", "jax", "torch")
    frameworks = [name.removesuffix("-cpu") for name in known if name in found]
    assert sorted(frameworks) == sorted(FRAMEWORKS[stack])
    assert violations([Requirement("numpy>=99"), Requirement("nothing")], found, there) == [
        f"numpy>=99: {found['numpy']}",
        "nothing: None",
    ]


def test_keras_is_of_one_version_whatever_computes() -> None:
    versions = {stack: pinned(stack, "3.11.7", LINUX)["keras"] for stack in ("modern", "jax", "torch")}
    assert len(set(versions.values())) == 1, versions


@pytest.mark.parametrize("stack", ["jax", "torch"])
def test_an_extra_of_the_project_asks_for_what_the_stack_has(stack: str) -> None:
    asked = [Requirement(line) for line in PROJECT["optional-dependencies"][stack]]
    assert {requirement.name for requirement in asked} == {"keras", stack}
    for python in NEW:
        assert violations(asked, pinned(stack, python, LINUX), {"extra": stack}) == []


@pytest.mark.parametrize("stack", PYTHONS)
def test_a_lock_is_of_pythons_that_the_project_is_for(stack: str) -> None:
    (oldest,) = Requirement(f"tb_layerview{PROJECT['requires-python']}").specifier
    assert (oldest.operator, PYTHONS[stack][0].rpartition(".")[0]) == (">=", oldest.version)
    assert environment_program().OLDEST[stack] == oldest.version


def test_no_file_names_an_index_or_a_place_of_a_machine() -> None:
    """Of what decides from where something is installed; a package-lock.json's `resolved` is npm's own registry."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "requirements", "pyproject.toml", "Makefile", ".ci", "setup.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name] if listed.returncode == 0 else []
    files = files or [*REQUIREMENTS.iterdir(), ROOT / "pyproject.toml", ROOT / "Makefile"]
    address = re.compile(r"(?:https?|file)://|^--|--hash|^-e |@ ", re.MULTILINE)
    found = [f"{file.name}: {match[0]}" for file in files for match in address.finditer(file.read_text())]
    assert found == []
    assert (
        address.search("--option value\n") and address.search("a @ b\n") and address.search("see https://example.org\n")
    )


def environment_program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", REQUIREMENTS / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_where_uv_cannot_install_a_lock_pip_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In an environment that has pip and no uv."""
    venv.create(tmp_path, with_pip=True)
    python = tmp_path / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment_program().sync(str(python), "pip\n")
    printed = capfd.readouterr().out
    assert "uv cannot install it: pip does" in printed and "Requirement already satisfied: pip" in printed
    with pytest.raises(subprocess.CalledProcessError):
        environment_program().sync(str(python), "not a requirement\n")


def wheel(folder: Path, name: str, version: str, *more: str) -> None:
    """Writes a wheel that holds nothing."""
    info = f"{name}-{version}.dist-info"
    metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more, ""])
    tags = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", tags)
        file.writestr(f"{info}/RECORD", "")


@pytest.mark.long
def test_pip_installs_the_build_of_pytorch_that_it_finds_and_what_that_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock names CUDA's packages, too, and one of them would fail to install here: there is none."""
    wheel(tmp_path, "torch", "2.13.0+cpu", "Requires-Dist: needed")
    for version in ("1.5", "1.6"):
        wheel(tmp_path, "needed", version)
        wheel(tmp_path, "asked", version)
    lock = tmp_path / "torch.lock"
    lock.write_text("asked==1.5\nneeded==1.5\nnvidia-of-another-build==13.0\ntorch==2.13.0\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment_program().bring(str(python), ["asked>=1", "torch==2.13.0"], lock)
    found = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    assert {"asked==1.5", "needed==1.5", "torch==2.13.0+cpu"} == set(found.split())
