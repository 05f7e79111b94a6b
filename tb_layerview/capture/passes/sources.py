"""Where in a person's own code a layer is called, told while its pass is traced."""

from __future__ import annotations

import contextlib
import functools
import getpass
import inspect
import itertools
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tb_layerview.format.model import Source

#: What stands for the file of a notebook's cell, whose own is a temporary one.
CELL = "notebook cell"
_OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(_OURS))), "")
_IS_CELL = re.compile(r"<ipython-input-|[/\\]ipykernel_\d+[/\\]\d+\.py$")
_IS_CONVERTED = "__autograph_generated_file"
_INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\](.*)", re.DOTALL)
# Others than the user's own may lie there.
_HOLDING_HOMES = frozenset(("/home", "/Users"))
# What everybody knows and nobody looks up.
_FRAMEWORKS = ("torch", "keras", "tf_keras", "tensorflow", "flax")


def source_of(layer: Any, within: int = 0) -> Source | None:
    """Where a layer is called, asked by what is called in its place: the innermost line that is a person's own.

    Where the whole model comes from libraries, where the layer's class defines what it does, unless that is the
    framework's own.

    Args:
      layer: The layer.
      within: The id of the frame of the model's own call, if there is one: what calls the model does not count for what
        is in it. The frame itself is not kept, as it holds whatever the training holds.

    Returns:
      The place; None where none can be told.
    """
    for path, line in _frames(within):
        if path.startswith(_PACKAGE) and not path.startswith(_OURS):
            break  # what runs the pass: beyond it is nothing of the model
        name = own_file(path)
        if name is not None:
            return Source(name, line)
    return _of_class(type(layer))


def _frames(within: int) -> Iterator[tuple[str, int]]:
    """File and line of this thread's frames, innermost first; of what TensorFlow has converted, the original ones."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and id(frame) != within:
        path = frame.f_code.co_filename
        if _IS_CONVERTED in path:
            yield from _original()
            return
        yield path, frame.f_lineno
        frame = frame.f_back


def _original() -> Iterator[tuple[str, int]]:
    stack: Any = sys.modules.get("tensorflow.python.util.tf_stack")
    if stack is not None:
        ours = itertools.dropwhile(
            lambda found: not found[0].startswith(_OURS),
            ((one.filename, one.lineno) for one in reversed(list(stack.extract_stack()))),
        )
        yield from ours


def source_of_operation(operation: Any) -> Source | None:
    """Where in a person's own code an operation of a TensorFlow graph was made: the innermost line that is."""
    for path, line, *_ in reversed(operation.traceback or ()):
        name = own_file(path)
        if name is not None:
            return Source(name, line)
    return None


def _of_class(cls: type) -> Source | None:
    """Where a class defines what its layers do, or the nearest one that it is derived from."""
    for one in cls.__mro__:
        for name in ("forward", "call", "__call__"):
            method: Any = vars(one).get(name)
            code = None
            with contextlib.suppress(ValueError):  # of what says without end that it wraps something
                code = getattr(inspect.unwrap(method), "__code__", None)
            if code is None:
                continue
            if one.__module__.partition(".")[0] in _FRAMEWORKS:
                return None
            installed = _INSTALLED.search(code.co_filename)
            file = installed[2].replace("\\", "/") if installed else own_file(code.co_filename)
            return None if file is None else Source(file, code.co_firstlineno, is_class=True)
    return None


def own_file(path: str) -> str | None:
    """What a file of a person's own is called: relative to the working folder, else to where it is imported from.

    A file that lies elsewhere is called by its last part, and so is one in a folder that has the user's name: nobody is
    told whose it is.

    Args:
      path: As code objects have it.

    Returns:
      The name, its parts separated by `/`; None for a file of Python's, of an installed package, of this one, or none.
    """
    try:
        folder = os.getcwd()
    except OSError:  # it may be gone
        folder = ""
    return _own_file(path, folder)


@functools.lru_cache(maxsize=4096)
def _own_file(path: str, working: str) -> str | None:
    if _IS_CELL.search(path):
        return CELL
    if path.startswith(("<", _PACKAGE)) or _INSTALLED.search(path):
        return None
    file = os.path.realpath(path)
    if any(_below(file, os.path.realpath(folder)) is not None for folder in _python()) or _INSTALLED.search(file):
        return None
    for folder in _folders(working):
        below = _below(file, folder)
        if below is not None and not _users() & set(below.split("/")[:-1]):
            return below
    return os.path.basename(file)


def _folders(working: str) -> Iterator[str]:
    """What paths are relative to: the working folder, and from where modules are imported, the innermost first.

    One above a home folder would tell whose that is.
    """
    home = os.path.realpath(os.path.expanduser("~"))
    imports = sorted((folder for folder in sys.path if os.path.isdir(folder)), key=len, reverse=True)
    for folder in map(os.path.realpath, filter(None, [working, *imports])):
        if folder == home or (_below(home, folder) is None and folder not in _HOLDING_HOMES):
            yield folder


def _users() -> frozenset[str]:
    """What the user is called, and so perhaps folders outside of the home."""
    try:
        name = getpass.getuser()
    except (KeyError, ImportError, OSError):  # nobody knows, as in some containers
        name = ""
    return frozenset(filter(None, (name, os.path.basename(os.path.expanduser("~")))))


@functools.cache
def _python() -> frozenset[str]:
    """Where Python's own files lie."""
    return frozenset(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib"))


def _below(file: str, folder: str) -> str | None:
    """A file's path from a folder on, if it lies below."""
    start = os.path.join(folder, "")
    return file[len(start) :].replace(os.sep, "/") if file.startswith(start) else None
