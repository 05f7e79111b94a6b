"""Compiles the native digest, plain C, into the Python package.

`python build_native.py` compiles it if its sources have changed: with the compiler that `CC` names or that is on the
PATH, else with the one in the PyPI package ziglang, if that is installed. Without any, and with
`TB_LAYERVIEW_NATIVE=none`, there is no library, and numpy does the same, slower.

setup.py compiles it into wheels and editable installs. A source distribution carries the sources alone.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "tb_layerview" / "measure" / "native"
#: As `tb_layerview.measure.native.library` looks for it.
LIBRARY = SOURCES / {"win32": "digest.dll", "darwin": "digest.dylib"}.get(sys.platform, "digest.so")
# What the library was made from and for. A hash, because times of files mean nothing after a checkout or a copy.
BUILT_FROM = SOURCES / "built_from.sha256"

ZIG_REQUIREMENT = "ziglang>=0.13"
_ZIG_SYSTEMS = ("linux", "darwin", "win32")
_ZIG_MACHINES = ("x86_64", "amd64", "aarch64", "arm64")

# Never -ffast-math: it lets the compiler reorder sums, and linking with it turns off subnormals for the whole process.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra")
#: What is compiled for each level of the processor.
EACH_LEVEL = ("digest", "extra")
#: What it is compiled with for each of them; a processor that is not named has its baseline alone.
LEVELS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "baseline": (),
        "avx2": ("-mavx2",),
        "avx512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"),
    },
}
#: What is compiled once, for the baseline.
ONCE = ("histogram", "units", "levels")
_SPELLINGS = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


class BuildError(Exception):
    """The library cannot be compiled; says why and what to do."""


def build() -> bool:
    """Compiles the library unless it is that of its sources.

    Returns:
      Whether there was anything to do.

    Raises:
      BuildError: There is no compiler, or it failed; its output is in the message. There is no library then.
    """
    if is_current() or not is_wanted():
        return False
    digest = _digest()
    # What is there is not that of the sources, and must not be taken for it.
    BUILT_FROM.unlink(missing_ok=True)
    LIBRARY.unlink(missing_ok=True)
    compiler = find_compiler()
    if compiler is None:
        raise BuildError(
            "Compiling the native digest needs a C compiler, and none was found: numpy will do the same, slower. "
            f"Install gcc or clang, or run: {sys.executable} -m pip install '{ZIG_REQUIREMENT}'"
        )
    with tempfile.TemporaryDirectory(dir=SOURCES, prefix=".build-") as folder:
        made = Path(folder, LIBRARY.name)
        link(compiler, made)
        # A process that runs keeps the file that it has loaded.
        os.replace(made, LIBRARY)
    BUILT_FROM.write_text(digest + "\n", encoding="ascii")
    return True


def link(compiler: Sequence[str], library: Path, extra: Sequence[str] = ()) -> None:
    """Compiles all levels, and makes a shared library of them.

    Args:
      compiler: The command.
      library: What to make; the parts are left beside it.
      extra: More options, such as `-fsanitize=address`.

    Raises:
      BuildError: The compiler failed.
    """
    flags = [*FLAGS, *([] if sys.platform == "win32" else ["-fPIC"]), *extra]
    parts = []
    for level, options in levels().items():
        for name in EACH_LEVEL:
            parts.append(library.with_name(f"{name}_{level}.o"))
            source = SOURCES / f"{name}.c"
            _run([*compiler, *flags, *options, f"-DSUFFIX=_{level}", "-c", str(source), "-o", str(parts[-1])])
    for name in ONCE:
        parts.append(library.with_name(f"{name}.o"))
        _run([*compiler, *flags, "-c", str(SOURCES / f"{name}.c"), "-o", str(parts[-1])])
    mathematics = [] if sys.platform == "win32" else ["-lm"]
    _run([*compiler, *extra, "-shared", "-o", str(library), *map(str, parts), *mathematics])


def levels() -> dict[str, tuple[str, ...]]:
    """The levels of this machine's kind of processor, and the compiler's options for each."""
    return LEVELS.get(_machine(), {"baseline": ()})


def is_current() -> bool:
    """Whether the library in the package is that of the sources, and of this kind of machine."""
    return LIBRARY.is_file() and BUILT_FROM.is_file() and BUILT_FROM.read_text(encoding="ascii").strip() == _digest()


def is_wanted() -> bool:
    """Whether a library is wanted at all."""
    return os.environ.get("TB_LAYERVIEW_NATIVE") != "none"


def compiler_requirements() -> list[str]:
    """What has to be installed from PyPI for there to be a compiler: nothing where there is one, or none to be had."""
    return [ZIG_REQUIREMENT] if zig_can_be_had() and is_wanted() and _system_compiler() is None else []


def zig_can_be_had() -> bool:
    """Whether PyPI has a compiler for this machine: where it has none, asking for it would end an installation."""
    return sys.platform in _ZIG_SYSTEMS and platform.machine().lower() in _ZIG_MACHINES


def find_compiler() -> list[str] | None:
    """The command that compiles C here, if there is one."""
    if system := _system_compiler():
        return list(system)
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


@functools.cache
def _system_compiler() -> tuple[str, ...] | None:
    named = shlex.split(os.environ.get("CC", ""))
    for command in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]) and _compiles(command):
            return tuple(command)
    return None


def _compiles(command: Sequence[str]) -> bool:
    """Whether a compiler does its work: it may be there without the C library's headers, or take other options."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "try.c")
        source.write_text("#include <math.h>\n#include <string.h>\ndouble f(double x) { return ldexp(x, 1); }\n")
        options = [*FLAGS, "-shared", *([] if sys.platform == "win32" else ["-fPIC"])]
        tried = [*command, *options, str(source), "-o", str(Path(folder, "try"))]
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def _machine() -> str:
    machine = platform.machine().lower()
    return _SPELLINGS.get(machine, machine)


def _digest() -> str:
    """The SHA-256 of all that the library depends on."""
    digest = hashlib.sha256(f"{sys.platform} {_machine()} {FLAGS} {levels()}\n".encode())
    for file in sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")]):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{done.stdout}\n`{shlex.join(command)}` failed with exit status {done.returncode}.")


def main(arguments: list[str]) -> int:
    """Runs this module as a command."""
    if arguments:
        print("build_native.py takes no arguments", file=sys.stderr)
        return 2
    try:
        if build():
            print(f"Compiled the native digest into {LIBRARY.relative_to(ROOT)}.")
    except BuildError as error:
        print(error, file=sys.stderr)
        # Without a compiler all of it works, slower; one that fails is to be looked into.
        return 0 if find_compiler() is None else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
