"""The locks of both environments: within the ranges of pyproject.toml and requirements/*.in, and of no one's index."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import tomllib
import venv
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
PYTHONS = {"modern": ("3.11.7", "3.12.1", "3.13.0"), "estimator": ("3.11.7",)}
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
    assert ("tensorflow" in found) != ("tensorflow-cpu" in found)
    assert violations([Requirement("numpy>=99"), Requirement("nothing")], found, there) == [
        f"numpy>=99: {found['numpy']}",
        "nothing: None",
    ]


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
