"""Locks what the environments hold, and installs it: with uv, in the environment whose Python runs this.

`python requirements/environment.py lock` writes a lock of each stack, for every Python and platform that it is for;
`lock --upgrade` with the newest versions. `install modern.lock` makes the environment hold just what that names, and
the project itself as an editable install.

uv does not read pip's configuration. Where it cannot install a lock, pip does, as it is configured: more slowly.
PyTorch is always pip's: one version of it has builds for processors and for CUDA, which need different packages, and an
index has one of them or all.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

import build_frontend  # noqa: E402
import build_native  # noqa: E402

#: The oldest Python of each stack. A lock holds for it and all newer ones that its packages know.
OLDEST = {"modern": "3.11", "estimator": "3.11", "jax": "3.11", "torch": "3.11", "stores": "3.11"}


def lock(*options: str) -> None:
    """Writes all locks; versions that they hold already stay where they can, unless uv is told to `--upgrade`."""
    for stack, oldest in OLDEST.items():
        command = ["pip", "compile", "--quiet", "--universal", "--no-annotate", "--no-header", *options]
        command += ["--python-version", oldest, "--override", "requirements/overrides.txt", "--extra", "test"]
        command += ["--output-file", f"requirements/{stack}.lock", "pyproject.toml", f"requirements/{stack}.in", "-"]
        _uv(sys.executable, command, f"{build_frontend.NODE_REQUIREMENT}\n{build_native.ZIG_REQUIREMENT}\n")


def install(path: Path) -> None:
    """Makes the environment hold what a lock names, and the project; without Node or a compiler where there is one."""
    lacking = build_frontend.node_requirements() + build_native.compiler_requirements()
    tools = [_name(line) for line in (build_frontend.NODE_REQUIREMENT, build_native.ZIG_REQUIREMENT)]
    needless = set(tools) - {_name(line) for line in lacking}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if _name(line) not in needless]
    if _torch(lines):
        asked = path.with_suffix(".in").read_text(encoding="utf-8").splitlines()
        bring(sys.executable, [*_of_the_project(), *asked, *lacking], path)
    else:
        sync(sys.executable, "\n".join(lines))
    # With the setuptools, the Node and the compiler of the lock, not with newer ones of an isolated build.
    _uv(sys.executable, ["pip", "install", "--no-deps", "--no-build-isolation", "--editable", "."])


def sync(python: str, locked: str) -> None:
    """Makes an environment hold what is locked: by uv, else by pip, which leaves what else is there."""
    try:
        _uv(python, ["pip", "sync", "-"], locked)
    except subprocess.CalledProcessError:
        _pip(python, locked, "--no-deps")


def bring(python: str, asked: Iterable[str], lock: Path) -> None:
    """Makes an environment hold what is asked for, PyTorch among it, in the versions of a lock.

    Of the packages that the lock names it has those that its build of PyTorch needs: the lock also names CUDA's.
    """
    asked, constraint = list(asked), f"--constraint={lock}"
    # What is there already stays, if it is of the right version.
    subprocess.run([python, "-m", "pip", "install", constraint, *_torch(asked)], cwd=ROOT, check=True)
    try:
        _uv(python, ["pip", "install", "--exact", constraint, "--requirement", "-"], "\n".join(asked))
    except subprocess.CalledProcessError:
        _pip(python, "\n".join(asked), constraint)


def _pip(python: str, requirements: str, option: str) -> None:
    print("uv cannot install it: pip does, as it is configured.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "requirements.txt")
        file.write_text(requirements, encoding="utf-8")
        subprocess.run([python, "-m", "pip", "install", option, "-r", file], cwd=ROOT, check=True)


def _of_the_project() -> list[str]:
    """What the project needs to run and to be tested."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["test"]]


def _torch(requirements: Iterable[str]) -> list[str]:
    return [line for line in requirements if _name(line) == "torch"]


def _name(requirement: str) -> str:
    """What a requirement is of, as indexes spell it."""
    found = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def _uv(python: str, arguments: Iterable[str], given: str = "") -> None:
    command = [python, "-m", "uv", *arguments, "--python", python]
    subprocess.run(command, cwd=ROOT, input=given, text=True, check=True)


def main(arguments: list[str]) -> int:
    """Runs this module as a command."""
    try:
        if arguments[:1] == ["lock"]:
            lock(*arguments[1:])
        elif arguments[:1] == ["install"] and len(arguments) == 2:
            install(HERE / arguments[1])
        else:
            print("environment.py lock [--upgrade], or environment.py install modern.lock", file=sys.stderr)
            return 2
    except subprocess.CalledProcessError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
