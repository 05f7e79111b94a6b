"""Locks what the environments hold, and installs it: with uv, in the environment whose Python runs this.

`python requirements/environment.py lock` writes modern.lock and estimator.lock, each for every Python and platform of
its stack; `lock --upgrade` with the newest versions. `install modern.lock` makes the environment hold just what that
names, and the project itself as an editable install.

uv does not read pip's configuration, so it is told what that says of indexes and certificates. None of it is written
into a lock.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

import build_frontend  # noqa: E402
import build_native  # noqa: E402

#: The oldest Python of each stack. A lock holds for it and all newer ones that its packages know.
OLDEST = {"modern": "3.11", "estimator": "3.11"}
#: What uv calls what pip is told. A lock is made of the main index alone: others may hold builds of this machine.
INDEX = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY", "timeout": "UV_HTTP_TIMEOUT"}
MORE = {"extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS", "trusted-host": "UV_INSECURE_HOST"}


def lock(*options: str) -> None:
    """Writes both locks; versions that they hold already stay where they can, unless uv is told to `--upgrade`."""
    for stack, oldest in OLDEST.items():
        command = ["pip", "compile", "--quiet", "--universal", "--no-annotate", "--no-header", *options]
        command += ["--python-version", oldest, "--override", "requirements/overrides.txt", "--extra", "test"]
        command += ["--output-file", f"requirements/{stack}.lock", "pyproject.toml", f"requirements/{stack}.in", "-"]
        _uv(command, INDEX, f"{build_frontend.NODE_REQUIREMENT}\n{build_native.ZIG_REQUIREMENT}\n")


def install(path: Path) -> None:
    """Makes the environment hold what a lock names, and the project; without Node or a compiler where there is one.

    All of it comes from the main index if that has it, from further ones only if not: of a version that several have uv
    takes the first one's files, and further indexes may have it for some platforms only.
    """
    lacking = [_name(line) for line in build_frontend.node_requirements() + build_native.compiler_requirements()]
    tools = [_name(line) for line in (build_frontend.NODE_REQUIREMENT, build_native.ZIG_REQUIREMENT)]
    needless = set(tools) - set(lacking)
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if _name(line) not in needless]
    locked = "\n".join(lines)
    try:
        _uv(["pip", "sync", "-"], INDEX, locked)
    except subprocess.CalledProcessError:
        print("The main index does not have all of it: further ones are asked, too.", flush=True)
        _uv(["pip", "sync", "-"], {**INDEX, **MORE}, locked)
    # With the setuptools, the Node and the compiler of the lock, not with newer ones of an isolated build.
    _uv(["pip", "install", "--no-deps", "--no-build-isolation", "--editable", "."], INDEX)


def _name(requirement: str) -> str:
    """What a requirement is of, as indexes spell it."""
    found = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def _uv(arguments: Iterable[str], told: Mapping[str, str], given: str = "") -> None:
    command = [sys.executable, "-m", "uv", *arguments, "--python", sys.executable]
    subprocess.run(command, cwd=ROOT, env=environment(told, _settings_of_pip()), input=given, text=True, check=True)


def _settings_of_pip() -> dict[str, str]:
    """What pip is told by its files and by environment variables, by the name of the option."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return settings(listed)


def settings(listed: str) -> dict[str, str]:
    """The options in what `pip config list` prints: those of `pip install` over global ones, variables over both."""
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                found[name.removeprefix(section).removeprefix("default-")] = ast.literal_eval(value)
    return found


def environment(told: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of a uv that is told what pip is told; what is in its own variables already stays."""
    variables = {variable: settings[option] for option, variable in told.items() if settings.get(option)}
    if "UV_FIND_LINKS" in variables:
        variables["UV_FIND_LINKS"] = ",".join(variables["UV_FIND_LINKS"].split())
    if "UV_INDEX" in variables:
        # As pip: the newest of all indexes, not of the first that knows the name.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {**{name: " ".join(value.split()) for name, value in variables.items()}, **os.environ}


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
